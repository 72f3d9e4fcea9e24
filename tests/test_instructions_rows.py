"""Where the loss counts: rows of texts and conversations, and a loss computed only there."""

import copy
import dataclasses

import numpy as np
import pytest
import tiny_decoders
import torch
from datasets import Dataset

from helpers import decoding, instructing, training
from helpers.adapters import add_adapter
from helpers.networks import IGNORED
from helpers.pretrained import Pretrained, load_decoder

CHATS = [
    [
        {"role": "user", "content": "Is it good?\n\nReview: a good film"},
        {"role": "assistant", "content": "positive"},
    ],
    [
        {"role": "user", "content": "Review: bad"},
        {"role": "assistant", "content": "negative, I would say"},
    ],
]
TEXTS = ["a good film of a good man", "bad", "Review: a good man", "a bad film, a bad man"]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    if request.param == "llama":
        return tiny_decoders.save_llama(path)
    return tiny_decoders.save(
        tiny_decoders.transformers.GPT2LMHeadModel.from_pretrained(tiny_decoders.save_gpt2(path)),
        path, pad=tiny_decoders.END, chat=True,
    )  # fmt: skip


@pytest.fixture
def loaded(folder):
    return load_decoder(source=folder, echo=None)


def decoded(tokenizer, labels) -> str:
    return tokenizer.decode([i for i in labels if i != IGNORED])


# --- rows


def test_the_loss_is_on_the_answer_and_its_end_token(loaded):
    rows = instructing.chat_rows(loaded.tokenizer, CHATS)
    for row, chat in zip(rows, CHATS, strict=True):
        answer = chat[-1]["content"]
        assert decoded(loaded.tokenizer, row["labels"]) == f"{answer}{tiny_decoders.END}\n"
        whole = loaded.tokenizer.decode(row["input_ids"])
        assert whole == loaded.tokenizer.apply_chat_template(chat, tokenize=False)
        kept = [(i, y) for i, y in zip(row["input_ids"], row["labels"], strict=True)]
        assert all(y in (i, IGNORED) for i, y in kept)


def test_every_answer_of_a_longer_conversation_counts(loaded):
    rows = instructing.chat_rows(loaded.tokenizer, [CHATS[0] + CHATS[1]])
    end = tiny_decoders.END
    expected = f"positive{end}\nnegative, I would say{end}\n"
    assert decoded(loaded.tokenizer, rows[0]["labels"]) == expected


def test_with_prompt_loss_every_token_has_its_label(loaded):
    rows = instructing.chat_rows(loaded.tokenizer, CHATS, prompt_loss=True)
    assert rows["labels"][:] == rows["input_ids"][:]


def test_a_prompt_ends_where_the_answer_begins(loaded):
    prompts = instructing.chat_prompts(loaded.tokenizer, CHATS)
    whole = [loaded.tokenizer.apply_chat_template(chat, tokenize=False) for chat in CHATS]
    for prompt, text, chat in zip(prompts, whole, CHATS, strict=True):
        assert text == prompt + chat[-1]["content"] + tiny_decoders.END + "\n"


def test_labels_are_those_of_trl(loaded, tmp_path):
    """TRL masks the question of a prompt-completion row by itself."""
    rows = instructing.chat_rows(loaded.tokenizer, CHATS)
    chats = Dataset.from_dict({"messages": CHATS})
    trainer = instructing.sft_trainer(add_adapter(loaded), chats, tmp_path)
    assert trainer.train_dataset["input_ids"][:] == rows["input_ids"][:]
    assert trainer.train_dataset["labels"][:] == rows["labels"][:]


MARKED = tiny_decoders.CHAT.replace(
    "<|im|>{{ m['role'] }}\n{{ m['content'] }}<|endoftext|>\n{% endfor %}",
    "<|im|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}"
    "<|endoftext|>\n{% endgeneration %}{% else %}{{ m['content'] }}<|endoftext|>\n{% endif %}"
    "{% endfor %}",
)


def test_labels_are_those_of_a_template_that_marks_its_answers(loaded):
    """The mask that TRL's assistant_only_loss takes."""
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.chat_template = MARKED
    for chat in (*CHATS, CHATS[0] + CHATS[1]):
        marked = tokenizer.apply_chat_template(
            chat, return_dict=True, return_assistant_tokens_mask=True
        )
        [row] = instructing.chat_rows(loaded.tokenizer, [chat])
        assert list(marked["input_ids"]) == row["input_ids"]
        assert list(marked["assistant_masks"]) == [int(y != IGNORED) for y in row["labels"]]


def test_a_text_begins_with_the_start_token_and_is_cut(loaded):
    rows = instructing.text_rows(loaded.tokenizer, TEXTS[:1], max_tokens=3)
    ids = loaded.tokenizer(TEXTS[0])["input_ids"]
    assert rows[0] == {"input_ids": [0, *ids[:3]], "labels": [IGNORED, *ids[:3]]}


def no_template(tokenizer):
    tokenizer.chat_template = None
    return CHATS


def no_answer(tokenizer):
    return [CHATS[0], CHATS[0][:1]]


def too_long(tokenizer):
    tokenizer.model_max_length = 20
    return CHATS


def rewritten(tokenizer):
    """A template that shows the number of messages at its top, as some do with a date."""
    tokenizer.chat_template = "{{ messages | length }}" + tiny_decoders.CHAT
    return CHATS


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_template, "no chat template"),
        (no_answer, "Row 1 does not end with the assistant"),
        (too_long, r"Row 0 has \d+ tokens; the model reads 20"),
        (rewritten, "Row 0: the chat template writes what comes before an answer otherwise"),
    ],
)
def test_conversations_that_cannot_be_learned_are_named(loaded, make, said):
    tokenizer = copy.deepcopy(loaded.tokenizer)
    chats = make(tokenizer)
    with pytest.raises(ValueError, match=said):
        instructing.chat_rows(tokenizer, chats)


@pytest.mark.parametrize(("texts", "said"), [([], "no text"), (["a", ""], "Text 1 has no token")])
def test_texts_without_a_token_are_refused(loaded, texts, said):
    with pytest.raises(ValueError, match=said):
        instructing.text_rows(loaded.tokenizer, texts, 5)


def test_preference_pairs_are_those_with_a_rejected_answer():
    messages = CHATS[0]
    rows = [
        {"messages": messages, "answer": "positive", "rejected": "negative"},
        {"messages": messages, "answer": "positive", "rejected": ""},
    ]
    [pair] = instructing.preference_pairs(rows)
    assert pair["prompt"] == messages[:1]
    assert pair["chosen"] == [{"role": "assistant", "content": "positive"}]
    assert pair["rejected"] == [{"role": "assistant", "content": "negative"}]


# --- the loss


def batch_of(rows, pad_id: int) -> dict:
    return training.pad_batch([dict(row) for row in rows], pad_id)


@pytest.mark.parametrize("prompt_loss", [False, True])
def test_the_loss_and_its_gradient_are_the_library_s(loaded, prompt_loss):
    rows = instructing.chat_rows(loaded.tokenizer, CHATS, prompt_loss)
    batch, model = batch_of(rows, loaded.pad_id), loaded.model
    ours = decoding.LossAtLabels(model)(**batch)["loss"]
    ours.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    theirs = model(**batch).loss
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_the_loss_by_hand(loaded):
    """Probabilities of each answer token, after all that stands before it."""
    [row] = instructing.chat_rows(loaded.tokenizer, CHATS[:1])
    ids = torch.tensor([row["input_ids"]])
    with torch.no_grad():
        logs = loaded.model(ids).logits[0].log_softmax(dim=-1)
        loss = decoding.LossAtLabels(loaded.model)(
            ids, torch.ones_like(ids), torch.tensor([row["labels"]])
        )["loss"]
    places = [i for i, label in enumerate(row["labels"]) if label != IGNORED]
    by_hand = -sum(float(logs[i - 1, row["input_ids"][i]]) for i in places) / len(places)
    assert float(loss) == pytest.approx(by_hand, rel=1e-5)


def test_only_positions_with_a_label_get_logits(loaded):
    """The last layer sees as many rows as there are labels, and not one more."""
    rows = instructing.chat_rows(loaded.tokenizer, CHATS)
    seen, wrapped = [], decoding.LossAtLabels(loaded.model)
    head = loaded.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _, inputs, output: seen.append(len(inputs[0])))
    wrapped(**batch_of(rows, loaded.pad_id))
    hook.remove()
    assert seen == [sum(label != IGNORED for row in rows for label in row["labels"])]


def test_a_batch_without_a_label_has_no_loss(loaded):
    ids = torch.tensor([[1, 2, 3]])
    nothing = torch.full_like(ids, IGNORED)
    loss = decoding.LossAtLabels(loaded.model)(ids, torch.ones_like(ids), nothing)["loss"]
    assert float(loss) == 0.0


def test_what_is_trained_through_the_wrapper_is_trained_in_the_model(loaded):
    loaded = add_adapter(loaded)
    rows = instructing.chat_rows(loaded.tokenizer, CHATS * 4)
    before = decoding.answer_losses(loaded, rows).sum(axis=0)
    result = training.fit(
        decoding.LossAtLabels(loaded.model), rows, num_epochs=8, learning_rate=1e-2,
        batch_size=4, pad_id=loaded.pad_id, progress=False,
    )  # fmt: skip
    after = decoding.answer_losses(loaded, rows).sum(axis=0)
    assert result.losses[-1] < result.losses[0]
    assert after[0] < before[0] and after[1] == before[1]
    moved = [name for name, p in loaded.model.named_parameters() if p.requires_grad]
    assert moved and all(".lora_" in name for name in moved)


def test_answer_losses_are_those_of_each_row_alone(loaded):
    rows = instructing.chat_rows(loaded.tokenizer, CHATS * 2)
    together = decoding.answer_losses(loaded, rows, batch_size=3)
    for row, (nll, labels) in zip(rows, together, strict=True):
        batch = batch_of([row], loaded.pad_id)
        with torch.no_grad():
            mean = float(loaded.model(**batch).loss)
        assert labels == sum(label != IGNORED for label in row["labels"])
        assert nll / labels == pytest.approx(mean, rel=1e-4)


def test_losses_of_texts_are_those_a_perplexity_is_made_of(loaded):
    rows = instructing.text_rows(loaded.tokenizer, TEXTS, max_tokens=6)
    expected = decoding.document_losses(loaded, TEXTS, max_tokens=6)
    np.testing.assert_allclose(decoding.answer_losses(loaded, rows), expected, rtol=1e-5)


def test_a_model_whose_logits_are_more_than_its_last_layer_is_refused(loaded):
    spoken = loaded.model.forward

    def scaled(*args, **options):
        given = spoken(*args, **options)
        given.logits = given.logits / 8  # as Granite does
        return given

    loaded.model.forward = scaled
    with pytest.raises(ValueError, match="not its output layer's alone"):
        decoding.LossAtLabels(loaded.model)
    with pytest.raises(ValueError, match="not its output layer's alone"):
        decoding.answer_losses(loaded, instructing.text_rows(loaded.tokenizer, TEXTS, 6))
    del loaded.model.forward
    classifier = dataclasses.replace(loaded, model=loaded.model.base_model)
    assert isinstance(classifier, Pretrained)
    with pytest.raises(ValueError, match="load_decoder"):
        decoding.LossAtLabels(classifier.model)
