"""Reading texts with a language model: losses of a plain computation, however they are batched."""

import dataclasses
import json
import math
import types

import numpy as np
import pytest
import torch
from tiny_decoders import CONTEXT, save_gpt2, save_llama

from helpers import data, decoding, evaluation, ledger
from helpers.evaluation import language
from helpers.pretrained import load_decoder
from helpers.runtime import PROFILES, Cost, Run

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


# --- perplexity: intervals and changes


def documents(seed: int, n: int = 60, seeds: int | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tokens = np.random.default_rng(99).integers(20, 200, size=n)
    loss = rng.normal(3.0, 0.4, size=(n,) if seeds is None else (seeds, n)) * tokens
    return np.stack([loss, np.broadcast_to(tokens, loss.shape)], axis=-1)


def test_the_interval_of_a_perplexity_lies_around_it():
    counts = documents(0)
    found = evaluation.perplexity_interval(counts, draws=2_000)
    assert found.value == evaluation.perplexity(counts[:, 0], counts[:, 1])
    assert found.low < found.value < found.high
    assert found == evaluation.perplexity_interval(counts.tolist(), draws=2_000)


def test_the_interval_of_a_perplexity_agrees_with_scipys():
    from scipy import stats

    counts = documents(1)

    def statistic(nll, tokens, axis=-1):
        return np.exp(nll.sum(axis=axis) / tokens.sum(axis=axis))

    theirs = stats.bootstrap(
        (counts[:, 0], counts[:, 1]), statistic, paired=True, vectorized=True, n_resamples=20_000,
        method="percentile", rng=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    ours = evaluation.perplexity_interval(counts, draws=20_000)
    assert ours.low == pytest.approx(theirs.low, abs=0.1)
    assert ours.high == pytest.approx(theirs.high, abs=0.1)


def test_documents_that_are_all_alike_have_an_interval_of_no_width():
    found = evaluation.perplexity_interval([[2.1, 3]] * 7, draws=50)
    assert found.value == pytest.approx(math.exp(0.7))
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 1e-12


@pytest.mark.parametrize("seeds", [None, 3])
def test_a_model_does_not_differ_from_itself(seeds):
    counts = documents(2, seeds=seeds)
    found = evaluation.paired_perplexity_change(counts, counts, draws=200)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_a_change_by_hand():
    # Sums 6 and 5 over 10 tokens: exp(0.6) / exp(0.5) - 1.
    first, second = [[2.0, 4], [4.0, 6]], [[3.0, 4], [2.0, 6]]
    found = evaluation.paired_perplexity_change(first, second, draws=500)
    assert found.value == pytest.approx(math.exp(0.1) - 1)
    # The worst draws hold one document twice: exp(-1 / 4) - 1 and exp(2 / 6) - 1.
    assert found.low == pytest.approx(math.exp(-0.25) - 1)
    assert found.high == pytest.approx(math.exp(1 / 3) - 1)


def test_a_change_that_is_the_same_everywhere_is_certain_though_perplexities_are_not():
    counts = documents(3)
    shifted = counts + [0.1, 0] * counts[:, 1:]  # a tenth of a nat more in every token
    found = evaluation.paired_perplexity_change(shifted, counts, draws=500)
    expected = math.exp(0.1) - 1
    assert [found.value, found.low, found.high] == pytest.approx([expected] * 3)
    alone = evaluation.perplexity_interval(counts, draws=500)
    assert alone.high - alone.low > 1


def test_seeds_are_averaged_change_by_change_and_drawn_too():
    base = documents(4)
    shifts = (-0.1, 0.0, 0.3)
    tuned = np.stack([base + [shift, 0] * base[:, 1:] for shift in shifts])
    found = evaluation.paired_perplexity_change(tuned, base, draws=2_000)
    assert found.value == pytest.approx(np.mean(np.expm1(shifts)))
    # All that varies here is which seeds are drawn; one draw in 27 holds the same seed thrice.
    assert found.low == pytest.approx(math.expm1(-0.1))
    assert found.high == pytest.approx(math.expm1(0.3))
    pairs = evaluation.paired_perplexity_change(tuned, tuned + 0, draws=100)
    assert (pairs.low, pairs.high) == (0, 0)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (documents(0), documents(0, n=59), r"\(1, 60, 2\) and \(1, 59, 2\) cannot be paired"),
        (documents(0, seeds=2), documents(0, seeds=3), "cannot be paired"),
        (documents(0), documents(0) + [0, 1], "another number of tokens"),
        (documents(0), [], r"Counts of shape \(0,\)"),
        ([[1.0, 2, 3]], documents(0), r"Counts of shape \(1, 3\)"),
        ([[1.0, 2], [0.0, 0]], [[1.0, 2], [0.0, 0]], r"Document 1 has .* \[0.0, 0.0\]"),
        ([[math.nan, 2]], [[1.0, 2]], "Document 0 has .*finite"),
    ],
)
def test_counts_that_cannot_be_compared_are_refused(first, second, said):
    with pytest.raises(ValueError, match=said):
        evaluation.paired_perplexity_change(first, second, draws=10)


def test_an_interval_is_of_one_seed():
    with pytest.raises(ValueError, match="Counts of 3 seeds"):
        evaluation.perplexity_interval(documents(0, seeds=3), draws=10)


# --- rows of the ledger


FACTS = {
    "era": "lora",
    "task": "news",
    "method": "a decoder",
    "labels": 0,
    "seed": 0,
    "trainable_parameters": 10,
    "total_parameters": 10,
    "train": Cost(1.5, 2_000),
    "evaluate": Cost(0.25, 0),
    "artefact_bytes": 40,
}


def a_run():
    return Run("08_domain_llm", PROFILES["smoke"], 0, "cpu", "float32", 2)


def test_a_row_of_perplexity_keeps_what_pairs_it_with_another():
    counts = documents(5)
    entry = ledger.perplexity_row(a_run(), counts, **FACTS)
    ledger.append(entry)
    [back] = ledger.read()
    assert back == entry and back["metric"] == "perplexity"
    assert back["correct"][0] == [round(counts[0, 0], 4), int(counts[0, 1])]
    assert all(type(tokens) is int for _, tokens in back["correct"])
    expected = evaluation.perplexity_interval(back["correct"], draws=200)
    assert (back["value"], back["low"], back["high"]) == dataclasses.astuple(expected)
    assert back["value"] == pytest.approx(evaluation.perplexity(*counts.T))
    stored = np.array([back["correct"]])
    change = evaluation.paired_perplexity_change(stored, counts, draws=50)
    assert abs(change.value) < 1e-5


def test_a_row_of_pairs_keeps_each_outcome():
    correct = np.arange(10) % 3 > 0
    entry = ledger.pairs_row(a_run(), correct, **FACTS)
    ledger.append(entry)
    [back] = ledger.read()
    assert back == entry and back["metric"] == "minimal_pairs"
    assert back["value"] == 0.6 and back["low"] <= 0.6 <= back["high"]
    assert ledger.outcomes([back], 10).tolist() == [correct.tolist()]
    twin = ledger.accuracy_row(a_run(), correct, **FACTS)
    assert twin["metric"] == "accuracy"
    same = ("value", "low", "high", "correct")
    assert [twin[key] for key in same] == [back[key] for key in same]
    assert json.dumps(entry)
