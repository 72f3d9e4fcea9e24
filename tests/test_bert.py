"""The methods of the encoder: what each of them learns, moves, survives and refuses."""

import numpy as np
import pytest
import torch
import transformers
from interrupted import Stop
from tiny_encoders import write_tiny_bert

from helpers import grid, training
from helpers.methods import Corpus, bert
from helpers.pretrained import learning_rate_for
from helpers.runtime import PROFILES

DEPTH = 6
# The tiny BERT by hand: H = 32, 64 inside, 30,522 pieces, 512 positions, 2 kinds of text.
BLOCK = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 2 * 2 * 32
EMBEDDINGS = (30_522 + 512 + 2) * 32 + 2 * 32
HEAD = 2 * 32 + 2
METHODS = grid.methods_of("bert")
LEARN = {"num_epochs": 60, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def corpus():
    return Corpus(PROFILES["smoke"])


@pytest.fixture(scope="module")
def labelled(corpus):
    return corpus.labelled(32, 0)


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def moved(model, before) -> set[str]:
    return {name for name, value in weights(model).items() if not torch.equal(value, before[name])}


def layers(names) -> set[str]:
    """Cut names of parameters down to the blocks, the embeddings and the head."""
    parts = (name.split(".") for name in names)
    return {".".join(p[: 4 if p[1] == "encoder" else 2 if p[0] == "bert" else 1]) for p in parts}


BLOCKS = [f"bert.encoder.layer.{i}" for i in range(DEPTH)]


# --- what is learned, and what moves -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_the_texts_it_was_trained_on(corpus, labelled, name):
    method = METHODS[name]
    settings = {"C": 1e4} if "probe" in name else LEARN
    method.prepare(corpus, **settings)
    fitted = method.fit(corpus, labelled, 0, **settings)
    answers = fitted.predict(labelled["text"][:])
    assert np.mean(answers == np.array(labelled["label"][:])) > 0.8


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("encoder, linear probe", 32 + 1),  # two classes need one weight a dimension
        ("encoder, top block", BLOCK + HEAD),
        ("encoder, top three", 3 * BLOCK + HEAD),
        ("encoder, fine-tuned", DEPTH * BLOCK + HEAD),
        ("encoder, random weights", EMBEDDINGS + DEPTH * BLOCK + HEAD),
    ],
)
def test_every_method_says_how_many_parameters_it_trained(corpus, labelled, name, trained):
    settings = {"C": 1.0} if "probe" in name else {"num_epochs": 1, "learning_rate": 1e-3}
    fitted = METHODS[name].fit(corpus, labelled, 0, **settings)
    total = EMBEDDINGS + DEPTH * BLOCK + (33 if "probe" in name else HEAD)
    assert (fitted.trainable_parameters, fitted.total_parameters) == (trained, total)
    assert fitted.artefact_bytes == 4 * trained


def test_the_linear_probe_leaves_the_encoder_as_it_was(corpus, labelled):
    fitted = bert.linear_probe(corpus, labelled, 0, C=1.0)
    fitted.predict(labelled["text"][:4])
    shared = corpus.once("encoder", lambda: pytest.fail("the probe keeps its encoder")).model
    assert moved(shared, weights(bert.encoder(corpus).model)) == set() and not shared.training


def test_the_vectors_of_the_probe_are_the_means_of_the_last_states(corpus):
    texts = ["a good film", "a film that is much longer and not so good"]
    found = bert.embed(corpus, texts)
    loaded = bert.encoder(corpus)
    for text, vector in zip(texts, found, strict=True):
        tokens = loaded.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = loaded.model.bert(**tokens).last_hidden_state[0]
        assert np.allclose(vector, states.mean(dim=0).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (1, {BLOCKS[-1], "head"}),
        (3, {*BLOCKS[-3:], "head"}),
        ("blocks", {*BLOCKS, "head"}),
        ("all", {*BLOCKS, "bert.embeddings", "head"}),
    ],
)
def test_only_the_blocks_that_are_tuned_move(corpus, labelled, blocks, expected):
    before = weights(bert.encoder(corpus).model)
    settings = {"num_epochs": 2, "min_steps": 3, "learning_rate": 1e-2}
    loaded, result = bert.tune(corpus, labelled, 0, blocks, **settings)
    assert layers(moved(loaded.model, before)) == expected
    assert result.steps == 3  # one an epoch: the least number of steps, not of epochs


def test_the_random_twin_shares_no_matrix_with_the_encoder_and_trains_everything(corpus, labelled):
    trained, twin = bert.encoder(corpus).model, bert.encoder(corpus, weights=False).model
    a, b = weights(trained), weights(twin)
    assert {name: value.shape for name, value in a.items()} == {n: v.shape for n, v in b.items()}
    assert not any(torch.equal(a[name], b[name]) for name in a if a[name].ndim == 2)
    loaded, _ = bert.tune(corpus, labelled, 0, "all", weights=False, num_epochs=2,
                          learning_rate=1e-2)  # fmt: skip
    assert moved(loaded.model, b) == set(b)


@pytest.mark.parametrize(
    ("width", "depth", "expected"), [(384, 6, 2e-4), (768, 12, 5e-5), (64, 2, 2e-4)]
)
def test_a_larger_encoder_takes_a_smaller_rate_and_a_tiny_one_no_larger(width, depth, expected):
    config = transformers.BertConfig(hidden_size=width, num_hidden_layers=depth)
    assert learning_rate_for(config, 2e-4) == pytest.approx(expected)


# --- the code of the `gpu` profile, on a tiny encoder --------------------------------------------


@pytest.fixture
def encoder_folder(tmp_path, monkeypatch):
    """Name a tiny BERT in COURSE_ENCODER."""
    folder = write_tiny_bert(tmp_path / "tiny-bert")
    monkeypatch.setenv("COURSE_ENCODER", str(folder))
    return folder


def test_the_gpu_profile_runs_every_method_on_the_encoder_it_is_given(encoder_folder):
    corpus = Corpus(PROFILES["gpu"])
    corpus.reviews["validation"] = corpus.reviews["validation"].select(range(40))
    configuration = {"num_epochs": 1, "learning_rate": 1e-3}
    for name, method in METHODS.items():
        settings = {"C": 1.0} if "probe" in name else configuration
        cell = grid.run_cell(method, corpus, 32, 0, settings)
        assert cell.correct.shape == (40,) and cell.labels == 32
    assert bert.encoder(corpus).name == "tiny-bert"


# --- interrupted ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, "blocks"], ids=["states remembered", "all blocks"])
def test_an_interrupted_fine_tune_resumes_to_the_same_result(corpus, tmp_path, blocks):
    labelled = corpus.labelled(100, 0)  # four steps an epoch
    settings = {"num_epochs": 3, "learning_rate": 3e-3, "save_steps": 3}

    def tune(folder, **more):
        return bert.tune(corpus, labelled, 0, blocks, output_dir=folder, **settings, **more)

    whole, expected = tune(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "killed", on_step=Stop(8))
    resumed, found = tune(tmp_path / "killed", resume=True)
    assert (expected.steps, found.steps) == (12, 6)  # six steps lay in the checkpoint
    assert found.losses == expected.losses
    assert moved(resumed.model, weights(whole.model)) == set()
    rows = bert.rows_of(whole, corpus.reviews["validation"])
    first, second = (training.predict(each.model, rows) for each in (whole, resumed))
    assert np.array_equal(first, second)
