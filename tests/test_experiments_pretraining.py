"""Methods that start from a language model or from IMDB's labels, each beside its control."""

import numpy as np
import pytest
import torch

from helpers import grid, training
from helpers.methods import Corpus, checkpoints, neural, pretraining
from helpers.runtime import PROFILES

BRIEF = {"num_epochs": 1, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    made = Corpus(PROFILES["smoke"])
    neural.vocabulary(made)  # read from the real cache, before it is moved
    folder = tmp_path_factory.mktemp("pretraining")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.assets, "cache_dir", lambda: folder / "cache")
        patch.setenv("COURSE_RESULTS", str(folder / "results"))
        yield made


@pytest.fixture
def seen(monkeypatch):
    """The networks that were handed over for prediction."""
    models = []
    wrap = pretraining.as_fitted
    monkeypatch.setattr(
        pretraining, "as_fitted", lambda c, m, **k: models.append(m) or wrap(c, m, **k)
    )
    return models


def changed(model, source) -> set[str]:
    """Layers whose weights differ."""
    ours, theirs = model.state_dict(), source.state_dict()
    differ = {key for key in ours if not torch.equal(ours[key], theirs[key])}
    return {key.partition(".")[0] for key in differ}


class OneWord:
    """A vocabulary in which every token is the third word."""

    def encode(self, tokens):
        return [2 for _ in tokens]


def test_a_uniform_model_hesitates_between_all_words_but_padding(corpus):
    model = pretraining.new_language_model(corpus).eval()
    with torch.no_grad():
        model.embedding.weight.zero_()
    windows = training.language_model_windows(["a b c d e f g"], OneWord(), str.split, 3)
    words = len(neural.vocabulary(corpus)) - 1
    assert pretraining.perplexity(model, windows) == pytest.approx(words)


def test_the_classifier_starts_from_the_language_model_and_the_control_from_chance(corpus, seen):
    labelled = corpus.labelled(32, 0)
    still = {"num_epochs": 1, "learning_rate": 0.0}
    ours = pretraining.lstm_from_lm(corpus, labelled, 0, **still)
    control = pretraining.lstm_from_scratch(corpus, labelled, 0, **still)
    body = pretraining.language_model(corpus)
    pre_trained, random = seen
    assert torch.equal(pre_trained.lstm.weight_hh_l0, body.lstm.weight_hh_l0)
    assert not torch.equal(random.lstm.weight_hh_l0, body.lstm.weight_hh_l0)
    assert ours.total_parameters == control.total_parameters == ours.trainable_parameters


def test_two_language_models_differ_in_how_long_they_were_trained():
    lengths = [pretraining.LANGUAGE_MODEL.settings, pretraining.ONE_EPOCH.settings]
    assert [settings["num_epochs"] for settings in lengths] == [15, 1]
    assert {**lengths[0], "num_epochs": 1} == lengths[1]


def test_the_source_learns_from_pieces_as_long_as_a_snippet(corpus):
    rows, held_out = pretraining.IMDB_TEXTCNN.rows(corpus)
    lengths = [len(neural.tokenize(text)) for text in corpus.imdb["train"]["text"]]
    assert held_out is None
    assert len(rows) == sum(max(1, length // pretraining.PIECE) for length in lengths)
    assert max(map(len, rows["input_ids"])) == pretraining.PIECE
    first = max(1, lengths[0] // pretraining.PIECE)
    assert set(rows["labels"][:first]) == {corpus.imdb["train"]["label"][0]}


def test_source_only_is_the_source_model_and_trains_nothing(corpus, seen):
    fitted = pretraining.cnn_source_only(corpus, corpus.labelled(0, 0), 0)
    assert fitted.trainable_parameters == 0
    assert changed(seen[0], pretraining.imdb_textcnn(corpus)) == set()


@pytest.mark.parametrize(
    "method, moved",
    [("cnn_frozen", {"head"}), ("cnn_tuned", {"embedding", "convolutions", "head"})],
)
def test_a_frozen_body_stays_and_a_tuned_one_moves(corpus, seen, method, moved):
    fitted = getattr(pretraining, method)(corpus, corpus.labelled(32, 0), 0, **BRIEF)
    assert changed(seen[0], pretraining.imdb_textcnn(corpus)) == moved
    counts = {k: p.numel() for k, p in seen[0].named_parameters() if k.partition(".")[0] in moved}
    assert fitted.trainable_parameters == sum(counts.values())


def test_the_control_has_the_shape_of_the_source_model_and_other_weights(corpus, seen):
    pretraining.cnn_from_scratch(corpus, corpus.labelled(32, 0), 1, **BRIEF)
    source = pretraining.imdb_textcnn(corpus)
    shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in (seen[0], source)]
    assert shapes[0] == shapes[1]
    assert changed(seen[0], source) == {"embedding", "convolutions", "head"}


def test_a_seed_repeats_a_training_and_another_does_not(corpus):
    answers = []
    for seed in (0, 0, 1):
        fitted = pretraining.cnn_from_scratch(
            corpus, corpus.labelled(100, 0), seed, num_epochs=3, learning_rate=1e-2
        )
        answers.append(fitted.predict(corpus.reviews["validation"]["text"][:]))
    assert np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


def test_each_method_says_what_labels_it_uses():
    methods = grid.methods_of("pretraining").values()
    source = {method.name for method in methods if method.uses_source}
    assert source == {
        "TextCNN, source only", "TextCNN, frozen body", "TextCNN, source then target"
    }  # fmt: skip
    assert [m.name for m in methods if not m.uses_target] == ["TextCNN, source only"]
