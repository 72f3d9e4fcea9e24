"""Where the loss counts: rows of texts and conversations."""

import copy

import numpy as np
import pytest
import tiny_decoders
from datasets import Dataset

from helpers import decoding, instructing
from helpers.adapters import add_adapter
from helpers.networks import IGNORED
from helpers.pretrained import load_decoder

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


def test_rows_are_cut_and_stay_one_a_conversation(loaded):
    whole = instructing.chat_rows(loaded.tokenizer, CHATS)
    start = whole[0]["labels"].index(next(y for y in whole[0]["labels"] if y != IGNORED))
    cut = instructing.chat_rows(loaded.tokenizer, CHATS, max_length=start)
    assert [len(row["input_ids"]) for row in cut] == [start, min(start, len(whole[1]["labels"]))]
    assert set(cut[0]["labels"]) == {IGNORED}
    assert cut[1]["labels"] == whole[1]["labels"][:start]


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
        (no_answer, "Row 1 has no answer"),
        (too_long, r"Row 0 has \d+ tokens; the model reads 20"),
        (rewritten, "Row 0: the chat template"),
    ],
)
def test_conversations_that_cannot_be_learned_are_named(loaded, make, said):
    tokenizer = copy.deepcopy(loaded.tokenizer)
    chats = make(tokenizer)
    with pytest.raises(ValueError, match=said):
        instructing.chat_rows(tokenizer, chats)


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


# --- what is learned from them


def test_losses_of_texts_are_those_a_perplexity_is_made_of(loaded):
    rows = instructing.text_rows(loaded.tokenizer, TEXTS, max_tokens=6)
    expected = decoding.document_losses(loaded, TEXTS, max_tokens=6)
    np.testing.assert_allclose(decoding.answer_losses(loaded, rows), expected, rtol=1e-5)
