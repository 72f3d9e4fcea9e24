"""Reading texts with a language model: losses of a plain computation, however they are batched."""

import dataclasses
import math
import types

import numpy as np
import pytest
import torch
from tiny_decoders import CONTEXT, save_gpt2, save_llama

from helpers import data, decoding, evaluation
from helpers.decoding import language
from helpers.pretrained import load_decoder
from helpers.runtime import PROFILES

TEXTS = [
    "a good film of a good man",
    "bad",
    "Review: a man who films a man who films a man.\n\nSentiment: positive<|endoftext|>",
    "<|endoftext|> is how a text may begin",
    "Twelve bad films, and of each the end; of each the end.",
    "good",
]


@pytest.fixture(autouse=True)
def quiet_and_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", "0")
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path))
    monkeypatch.delenv("COURSE_DECODER", raising=False)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def loaded(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / request.param
    save = {"gpt2": save_gpt2, "llama": save_llama}[request.param]
    return load_decoder(source=save(folder), echo=None)


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


def broken(loaded, **changes):
    """The same decoder behind a tokenizer with other settings."""
    tokenizer = types.SimpleNamespace(
        bos_token_id=loaded.tokenizer.bos_token_id,
        eos_token_id=loaded.tokenizer.eos_token_id,
        model_max_length=loaded.tokenizer.model_max_length,
    )
    tokenizer.__dict__.update(changes)
    encode = loaded.tokenizer

    class Tokenizer(types.SimpleNamespace):
        def __call__(self, *args, **settings):
            return encode(*args, **settings)

    return dataclasses.replace(loaded, tokenizer=Tokenizer(**vars(tokenizer)))


# --- losses of documents


def test_losses_are_those_that_transformers_gives_for_each_text_alone(loaded):
    found = decoding.document_losses(loaded, TEXTS, batch_size=4)
    expected = [plain(loaded, text) for text in TEXTS]
    assert found.shape == (6, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_the_batch_size_does_not_matter(loaded, batch_size):
    found = decoding.document_losses(loaded, TEXTS, batch_size=batch_size)
    np.testing.assert_allclose(found, decoding.document_losses(loaded, TEXTS), rtol=1e-4)


def test_the_size_of_the_slices_does_not_matter(loaded, monkeypatch):
    whole = decoding.document_losses(loaded, TEXTS)
    monkeypatch.setattr(language, "POSITIONS", 3)
    np.testing.assert_allclose(decoding.document_losses(loaded, TEXTS), whole, rtol=1e-4)


def test_logits_are_computed_in_slices_and_only_where_a_token_of_the_text_follows(llama):
    seen = []
    head = llama.model.get_output_embeddings()
    handle = head.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[:-1]))
    texts = [" ".join(["good"] * n) for n in (4, 60, 90)]
    counts = decoding.document_losses(llama, texts)
    handle.remove()
    whole, apart, *slices = seen  # the two looks at the first tokens, then the batch
    assert len(apart) == 1 and math.prod(whole) <= 8
    assert sum(size for (size,) in slices) == counts[:, 1].sum()
    assert max(size for (size,) in slices) <= language.POSITIONS


def test_the_side_and_the_token_of_padding_do_not_matter(loaded):
    expected = decoding.document_losses(loaded, TEXTS)
    tokenizer = loaded.tokenizer
    side, pad = tokenizer.padding_side, tokenizer.pad_token
    try:
        for other in ("left", "right"):
            tokenizer.padding_side, tokenizer.pad_token = other, "<|im|>"
            assert np.array_equal(decoding.document_losses(loaded, TEXTS), expected)
    finally:
        tokenizer.padding_side, tokenizer.pad_token = side, pad


def test_texts_are_cut_and_the_cut_counts_tokens_of_the_text(loaded):
    found = decoding.document_losses(loaded, TEXTS, max_tokens=5)
    np.testing.assert_allclose(found, [plain(loaded, t, 5) for t in TEXTS], rtol=1e-4)
    assert found[:, 1].max() == 5
    long = "x" * (3 * CONTEXT)
    longest = decoding.document_losses(loaded, [long], max_tokens=CONTEXT - 1)
    assert longest[0, 1] == CONTEXT - 1


def test_a_text_longer_than_the_model_reads_is_refused_with_the_number_to_pass(loaded):
    with pytest.raises(ValueError, match=rf"Text 1 has .* Pass max_tokens={CONTEXT - 1} or less"):
        decoding.document_losses(loaded, ["good", "x" * (3 * CONTEXT)])


def test_a_tokenizer_without_start_token_lends_its_end_token(loaded):
    im = loaded.tokenizer.convert_tokens_to_ids("<|im|>")
    found = decoding.document_losses(broken(loaded, bos_token_id=None, eos_token_id=im), TEXTS)
    np.testing.assert_allclose(found, [plain(loaded, t, start=im) for t in TEXTS], rtol=1e-4)
    found = decoding.document_losses(broken(loaded, bos_token_id=im, eos_token_id=0), TEXTS)
    np.testing.assert_allclose(found, [plain(loaded, t, start=im) for t in TEXTS], rtol=1e-4)
    with pytest.raises(ValueError, match="neither a start nor an end token"):
        decoding.document_losses(broken(loaded, bos_token_id=None, eos_token_id=None), TEXTS)


def test_dropout_is_off_while_reading_and_the_mode_is_given_back(tmp_path):
    folder = save_gpt2(tmp_path / "gpt2", resid_pdrop=0.5, embd_pdrop=0.5)
    loaded = load_decoder(source=folder, echo=None)
    expected = decoding.document_losses(loaded, TEXTS)
    assert not loaded.model.training
    loaded.model.train()
    assert np.array_equal(decoding.document_losses(loaded, TEXTS), expected)
    assert loaded.model.training and loaded.model.transformer.h[0].mlp.dropout.training


def test_the_mode_is_given_back_after_an_error(llama, monkeypatch):
    llama.model.train()
    monkeypatch.setattr(language, "_batch_losses", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decoding.document_losses(llama, TEXTS)
    assert llama.model.training and torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_model_can_be_trained_after_it_has_read(llama):
    decoding.document_losses(llama, TEXTS)
    ids = torch.tensor([[0, 5, 6]])
    llama.model(ids, labels=ids).loss.backward()
    assert all(p.grad is not None for p in llama.model.parameters())


def test_an_adapter_of_peft_is_read_with_its_model(llama):
    import peft

    base = decoding.document_losses(llama, TEXTS)
    config = peft.LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = dataclasses.replace(llama, model=peft.get_peft_model(llama.model, config).eval())
    found = decoding.document_losses(adapted, TEXTS)
    np.testing.assert_allclose(found, [plain(adapted, text) for text in TEXTS], rtol=1e-4)
    assert np.abs(found - base)[:, 0].max() > 0.1


def test_a_model_that_does_more_than_its_parts_is_refused(llama):
    import peft

    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    prompted = dataclasses.replace(llama, model=peft.get_peft_model(llama.model, config))
    with pytest.raises(ValueError, match="PeftModelForCausalLM are not its output layer's alone"):
        decoding.document_losses(prompted, TEXTS)


def test_the_losses_of_a_training_that_failed_are_no_numbers_and_refused_later(llama):
    llama.model.get_output_embeddings().weight.data.fill_(math.nan)
    counts = decoding.document_losses(llama, TEXTS)
    assert np.isnan(counts[:, 0]).all()
    with pytest.raises(ValueError, match="a training that failed"):
        evaluation.perplexity_interval(counts, draws=10)


def test_a_classifier_is_refused(tmp_path):
    folder = save_llama(tmp_path / "llama")
    loaded = load_decoder("classification", source=folder, echo=None)
    with pytest.raises(ValueError, match="LastTokenClassifier predicts no words.*load_decoder"):
        decoding.document_losses(loaded, TEXTS)


@pytest.mark.parametrize(
    ("texts", "settings", "said"),
    [
        ("good", {}, "The texts are 'good'"),
        ([], {}, "at least one text"),
        (["good", ""], {}, "Text 1 has no token: ''"),
        (["good"], {"max_tokens": 0}, "max_tokens is 0"),
        (["good"], {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_cannot_be_read_is_refused(loaded, texts, settings, said):
    with pytest.raises(ValueError, match=said):
        decoding.document_losses(loaded, texts, **settings)


def test_the_tiny_decoder_of_tests_reads_a_column_of_a_dataset():
    loaded = load_decoder(profile=PROFILES["smoke"], echo=None)
    pairs = data.load_minimal_pairs(PROFILES["smoke"])
    counts = decoding.document_losses(loaded, pairs["good"])
    assert counts.shape == (80, 2) and np.isfinite(counts).all() and (counts[:, 1] >= 5).all()


# --- minimal pairs


def test_the_sentence_of_higher_probability_is_preferred(loaded):
    pairs = {"good": TEXTS[:3], "bad": TEXTS[3:]}
    losses = {side: [plain(loaded, text)[0] for text in texts] for side, texts in pairs.items()}
    expected = np.less(losses["good"], losses["bad"]).tolist()
    assert decoding.prefers_good(loaded, pairs).tolist() == expected
    turned = {"good": pairs["bad"], "bad": pairs["good"]}
    assert decoding.prefers_good(loaded, turned, batch_size=2).tolist() == [
        not each for each in expected
    ]


def test_preferences_of_a_model_that_knows_only_how_often_words_come(llama):
    # With no blocks and states all alike, each token has one fixed probability, set here by hand.
    size = llama.model.config.vocab_size
    weight = torch.zeros(size)
    good, bad = (llama.tokenizer(w, add_special_tokens=False)["input_ids"] for w in ("a", "b"))
    weight[good], weight[bad] = 2.0, 1.0

    class Fixed(torch.nn.Module):
        training = False

        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(1, size, bias=False)
            self.head.weight.data = weight[:, None]

        def get_output_embeddings(self):
            return self.head

        def get_decoder(self):
            return lambda input_ids, **_: types.SimpleNamespace(
                last_hidden_state=torch.ones(*input_ids.shape, 1)
            )

        def forward(self, input_ids, **_):
            states = self.get_decoder()(input_ids).last_hidden_state
            return types.SimpleNamespace(logits=self.head(states))

    fixed = dataclasses.replace(llama, model=Fixed())
    whole = math.log(math.e**2 + math.e + size - 2)
    found = decoding.document_losses(fixed, ["a", "b", "aab"])
    np.testing.assert_allclose(found[:, 0], [whole - 2, whole - 1, 3 * whole - 5], rtol=1e-5)
    pairs = {"good": ["a", "b", "ab", "a"], "bad": ["b", "a", "ba", "aa"]}
    assert decoding.prefers_good(fixed, pairs).tolist() == [True, False, False, True]
