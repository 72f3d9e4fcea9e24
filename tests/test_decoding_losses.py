"""Reading texts with a language model: losses of a plain computation, however they are batched."""

import dataclasses
import math
import types

import numpy as np
import peft
import pytest
import torch
from tiny_decoders import CONTEXT, save_gpt2, save_llama

from helpers import decoding, training
from helpers.decoding import LossAtLabels, answer_losses, document_losses, losses
from helpers.networks import IGNORED
from helpers.pretrained import load_decoder

TEXTS = [
    "a good film of a good man",
    "bad",
    "Review: a man who films a man who films a man.\n\nSentiment: positive<|endoftext|>",
    "<|endoftext|> is how a text may begin",
    "Twelve bad films, and of each the end; of each the end.",
    "good",
]


@pytest.fixture
def llama(tmp_path):
    return load_decoder(source=save_llama(tmp_path / "llama"), echo=None)


def plain(loaded, text: str, max_tokens: int | None = None, start: int = 0) -> tuple[float, int]:
    """Loss of one text as transformers computes it, alone and without padding."""
    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"][:max_tokens]
    row = torch.tensor([[start, *ids]])
    with torch.no_grad():
        mean = loaded.model(row, labels=row).loss  # a mean over the predicted tokens
    return float(mean) * len(ids), len(ids)


def starting_with(loaded, bos: int | None, eos: int | None):
    """The same decoder behind a tokenizer with other special tokens."""

    class Tokenizer(types.SimpleNamespace):
        def __call__(self, *args, **settings):
            return loaded.tokenizer(*args, **settings)

    size = loaded.tokenizer.model_max_length
    return dataclasses.replace(
        loaded, tokenizer=Tokenizer(bos_token_id=bos, eos_token_id=eos, model_max_length=size)
    )


# --- texts


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_losses_are_those_that_transformers_gives_for_each_text_alone(loaded, batch_size):
    found = document_losses(loaded, TEXTS, batch_size=batch_size)
    np.testing.assert_allclose(found, [plain(loaded, text) for text in TEXTS], rtol=1e-4)


def test_the_size_of_the_slices_does_not_matter(loaded, monkeypatch):
    whole = document_losses(loaded, TEXTS)
    monkeypatch.setattr(losses, "POSITIONS", 3)
    np.testing.assert_allclose(document_losses(loaded, TEXTS), whole, rtol=1e-4)


def test_logits_are_computed_in_slices_and_only_where_a_token_of_the_text_follows(llama):
    seen = []
    head = llama.model.get_output_embeddings()
    handle = head.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[:-1]))
    counts = document_losses(llama, [" ".join(["good"] * n) for n in (4, 60, 90)])
    handle.remove()
    whole, apart, *slices = seen  # the two looks at a few tokens, then the batch
    assert len(apart) == 1 and math.prod(whole) <= 8
    assert sum(size for (size,) in slices) == counts[:, 1].sum()
    assert max(size for (size,) in slices) <= losses.POSITIONS


def test_texts_are_cut_and_the_cut_counts_tokens_of_the_text(loaded):
    found = document_losses(loaded, TEXTS, max_tokens=5)
    np.testing.assert_allclose(found, [plain(loaded, t, 5) for t in TEXTS], rtol=1e-4)
    assert found[:, 1].max() == 5
    longest = document_losses(loaded, ["x" * (3 * CONTEXT)], max_tokens=CONTEXT - 1)
    assert longest[0, 1] == CONTEXT - 1


def test_a_tokenizer_without_start_token_lends_its_end_token(loaded):
    im = loaded.tokenizer.convert_tokens_to_ids("<|im|>")
    for bos, eos in ((None, im), (im, 0)):
        found = document_losses(starting_with(loaded, bos, eos), TEXTS)
        np.testing.assert_allclose(found, [plain(loaded, t, start=im) for t in TEXTS], rtol=1e-4)
    with pytest.raises(ValueError, match="bos_token"):
        document_losses(starting_with(loaded, None, None), TEXTS)


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ("good", "'good'"),
        ([], "at least one text"),
        (["good", ""], "Text 1 has no token"),
        (["good", "x" * (3 * CONTEXT)], f"Text 1 .* max_tokens={CONTEXT - 1} or less"),
    ],
)
def test_what_cannot_be_read_is_refused(loaded, texts, named):
    with pytest.raises(ValueError, match=named):
        document_losses(loaded, texts)


# --- the model before and after


def test_dropout_is_off_while_reading_and_the_mode_is_given_back(tmp_path):
    folder = save_gpt2(tmp_path / "gpt2", resid_pdrop=0.5, embd_pdrop=0.5)
    loaded = load_decoder(source=folder, echo=None)
    expected = document_losses(loaded, TEXTS)
    assert not loaded.model.training
    loaded.model.train()
    assert np.array_equal(document_losses(loaded, TEXTS), expected)
    assert loaded.model.training and loaded.model.transformer.h[0].mlp.dropout.training


def test_mode_and_gradients_are_given_back_after_an_error_and_training_goes_on(llama, monkeypatch):
    llama.model.train()
    with monkeypatch.context() as broken:
        broken.setattr(losses, "token_losses", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError) as error:  # the traceback keeps all frames alive
            document_losses(llama, TEXTS)
        assert error and llama.model.training and torch.is_grad_enabled()
    document_losses(llama, TEXTS)
    ids = torch.tensor([[0, 5, 6]])
    llama.model(ids, labels=ids).loss.backward()
    assert all(p.grad is not None for p in llama.model.parameters())


def test_an_adapter_of_peft_is_read_with_its_model(llama):
    base = document_losses(llama, TEXTS)
    config = peft.LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = dataclasses.replace(llama, model=peft.get_peft_model(llama.model, config).eval())
    found = document_losses(adapted, TEXTS)
    np.testing.assert_allclose(found, [plain(adapted, text) for text in TEXTS], rtol=1e-4)
    assert np.abs(found - base)[:, 0].max() > 0.1


def test_a_model_that_does_more_than_its_parts_is_refused(llama, monkeypatch):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    prompted = peft.get_peft_model(llama.model, config)
    with pytest.raises(ValueError, match="PeftModelForCausalLM"):
        LossAtLabels(prompted)
    forward = llama.model.forward

    def scaled(*args, **options):
        given = forward(*args, **options)
        given.logits = given.logits / 8  # as Granite does
        return given

    monkeypatch.setattr(llama.model, "forward", scaled)
    with pytest.raises(ValueError, match="LlamaForCausalLM"):
        document_losses(llama, TEXTS)


# --- rows with labels


def rows_of(loaded) -> list[dict]:
    """Texts with the first half of each not counted, as a question is."""
    rows = decoding.document_rows(loaded.tokenizer, TEXTS, None)
    return [
        {"input_ids": row, "labels": [IGNORED] * (len(row) // 2) + row[len(row) // 2 :]}
        for row in rows
    ]


def test_the_loss_and_its_gradient_are_the_library_s(loaded):
    batch, model = training.pad_batch(rows_of(loaded), loaded.pad_id), loaded.model
    ours = LossAtLabels(model)(**batch)["loss"]
    ours.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    theirs = model(**batch).loss
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)
    model.zero_grad()


def test_a_batch_without_a_label_has_no_loss(loaded):
    ids = torch.tensor([[1, 2, 3]])
    nothing = torch.full_like(ids, IGNORED)
    assert float(LossAtLabels(loaded.model)(ids, torch.ones_like(ids), nothing)["loss"]) == 0.0


@pytest.mark.parametrize("batch_size", [1, 4])
def test_answer_losses_are_those_of_each_row_alone(loaded, batch_size):
    rows = rows_of(loaded)
    for row, (nll, labels) in zip(rows, answer_losses(loaded, rows, batch_size), strict=True):
        with torch.no_grad():
            mean = float(loaded.model(**training.pad_batch([row])).loss)
        assert labels == sum(label != IGNORED for label in row["labels"])
        assert nll / labels == pytest.approx(mean, rel=1e-4)


# --- minimal pairs


@pytest.mark.parametrize("batch_size", [2, 32])
def test_the_sentence_of_higher_probability_is_preferred(loaded, batch_size):
    pairs = {"good": [*TEXTS[:3], "bad"], "bad": [*TEXTS[3:], "bad"]}
    sums = {side: [plain(loaded, text)[0] for text in texts] for side, texts in pairs.items()}
    better = np.less(sums["good"][:3], sums["bad"][:3]).tolist()
    # Equal likelihoods are no preference, whichever of the two is called good.
    found = decoding.prefers_good(loaded, pairs, batch_size)
    assert found.tolist() == [*better, False]
    turned = {"good": pairs["bad"], "bad": pairs["good"]}
    found = decoding.prefers_good(loaded, turned, batch_size)
    assert found.tolist() == [*(not each for each in better), False]
