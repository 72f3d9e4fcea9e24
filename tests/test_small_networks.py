"""Methods that train small networks: what they share, start from and leave as it was."""

import numpy as np
import pytest
import torch

from helpers import training
from helpers.methods import Corpus, checkpoints, common, embeddings, pretraining
from helpers.runtime import PROFILES
from helpers.word_tokenizer import tokenize

BRIEF = {"num_epochs": 1, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    made = Corpus(PROFILES["smoke"])
    assert embeddings.skipgram(made) and common.vocabulary(made)  # before the cache is moved
    embeddings.glove(made)
    folder = tmp_path_factory.mktemp("networks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.assets, "cache_dir", lambda: folder / "cache")
        patch.setenv("COURSE_RESULTS", str(folder / "results"))
        yield made


@pytest.fixture
def seen(monkeypatch):
    """The networks that were handed over for prediction."""
    models, wrap = [], common.as_fitted
    monkeypatch.setattr(
        common, "as_fitted", lambda model, *rest: models.append(model) or wrap(model, *rest)
    )
    return models


def changed(model, source) -> set[str]:
    """Layers whose weights differ."""
    ours, theirs = model.state_dict(), source.state_dict()
    differ = {key for key in ours if not torch.equal(ours[key], theirs[key])}
    return {key.partition(".")[0] for key in differ}


# --- what is shared -------------------------------------------------------------------------------


def test_one_vocabulary_serves_both_corpora_and_reads_no_held_out_text(corpus):
    vocabulary = common.vocabulary(corpus)
    assert vocabulary is common.vocabulary(corpus)
    counts = {}
    for split in (corpus.imdb["train"], corpus.reviews["train"]):
        for text in split["text"]:
            for token in tokenize(text):
                counts[token] = counts.get(token, 0) + 1
    assert {w for w, n in counts.items() if n >= 5} == set(vocabulary.words[2:])


def test_combinations_go_through_the_last_axis_first():
    assert common.combinations(rate=(1, 2), steps=9, idf=(True, False)) == (
        {"rate": 1, "steps": 9, "idf": True},
        {"rate": 1, "steps": 9, "idf": False},
        {"rate": 2, "steps": 9, "idf": True},
        {"rate": 2, "steps": 9, "idf": False},
    )


@pytest.mark.parametrize(
    ("rows", "least", "epochs"),
    [
        (32, 0, 4),  # as asked for
        (32, 60, 60),  # one step an epoch
        (33, 60, 30),  # two steps
        (100, 60, 15),  # four
        (100, 61, 16),  # 15 epochs are 60 steps, one too few
        (1_000, 60, 4),  # 32 steps an epoch: two would do, four are asked for
    ],
)
def test_a_small_set_is_passed_over_until_there_are_enough_steps(rows, least, epochs):
    assert common.epochs_for(rows, num_epochs=4, min_steps=least) == epochs


def test_smoke_alone_lowers_a_floor_of_steps():
    assert [profile.floor(200) for profile in PROFILES.values()] == [20, 200, 200]
    assert PROFILES["smoke"].floor(5) == 5


def test_a_uniform_model_hesitates_between_all_words_but_padding(corpus):
    model = pretraining.new_language_model(corpus)
    with torch.no_grad():
        model.embedding.weight.zero_()
    windows = training.cut_windows(np.full(7, 2), 3)
    words = len(common.vocabulary(corpus)) - 1
    assert common.perplexity(model, windows) == pytest.approx(words)


@pytest.mark.slow
@pytest.mark.parametrize("method", embeddings.METHODS, ids=lambda method: method.name)
def test_every_method_of_word_vectors_learns_what_it_was_trained_on(corpus, method):
    quick = {"num_epochs": 8, "learning_rate": 3e-3}
    configuration = quick if "TextCNN" in method.name else {"idf": True, "C": 1e5}
    method.prepare(corpus, **configuration)
    train = corpus.reviews["train"]
    fitted = method.fit(corpus, train, 0, **configuration)
    right = fitted.predict(train["text"][:]) == np.array(train["label"][:])
    assert right.mean() > 0.6
    assert 0 < fitted.trainable_parameters <= fitted.total_parameters


def test_a_seed_repeats_a_training_and_another_does_not(corpus):
    labelled, texts = corpus.labelled(100, 0), corpus.reviews["validation"]["text"][:]
    settings = {"num_epochs": 3, "learning_rate": 1e-2}
    answers = [
        common.cnn_from_scratch(corpus, labelled, seed, **settings).predict(texts)
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


# --- word vectors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [True, False])
def test_static_vectors_stay_and_tuned_vectors_move(corpus, frozen):
    model = embeddings.new_textcnn(corpus, 0, freeze_embeddings=frozen)
    before = model.embedding.weight.detach().clone()
    common.train_on(corpus, model, corpus.labelled(100, 0), 0, **BRIEF)
    assert torch.equal(model.embedding.weight, before) is frozen


def test_the_random_control_differs_by_its_vectors_alone(corpus):
    labelled = corpus.labelled(32, 0)
    control = common.cnn_from_scratch(corpus, labelled, 0, **BRIEF)
    tuned, static = (
        embeddings.textcnn(corpus, labelled, 0, frozen, **BRIEF) for frozen in (False, True)
    )
    assert control.total_parameters == tuned.total_parameters == static.total_parameters
    vectors = len(common.vocabulary(corpus)) * embeddings.skipgram(corpus).dimensions
    assert tuned.trainable_parameters - static.trainable_parameters == vectors


# --- pre-training ---------------------------------------------------------------------------------


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


def test_the_source_learns_from_pieces_as_long_as_a_snippet(corpus):
    rows, held_out = pretraining.IMDB_TEXTCNN.rows(corpus)
    lengths = [len(tokenize(text)) for text in corpus.imdb["train"]["text"]]
    assert held_out is None
    assert len(rows) == sum(max(1, length // pretraining.PIECE) for length in lengths)
    assert max(map(len, rows["input_ids"])) == pretraining.PIECE
    first = max(1, lengths[0] // pretraining.PIECE)
    assert set(rows["labels"][:first]) == {corpus.imdb["train"]["label"][0]}


def test_source_only_is_the_source_model_and_trains_nothing(corpus, seen):
    fitted = pretraining.cnn_source_only(corpus, corpus.labelled(0, 0), 0)
    assert fitted.trainable_parameters == fitted.artefact_bytes == 0
    assert changed(seen[0], pretraining.imdb_textcnn(corpus)) == set()


@pytest.mark.parametrize(
    "fit, moved",
    [
        (pretraining.cnn_frozen, {"head"}),
        (pretraining.cnn_tuned, {"embedding", "convolutions", "head"}),
        (common.cnn_from_scratch, {"embedding", "convolutions", "head"}),
    ],
)
def test_a_frozen_body_stays_and_all_else_differs_from_the_source(corpus, seen, fit, moved):
    fitted, source = (
        fit(corpus, corpus.labelled(32, 0), 1, **BRIEF),
        pretraining.imdb_textcnn(corpus),
    )
    assert changed(seen[0], source) == moved
    counts = {k: p.numel() for k, p in seen[0].named_parameters() if k.partition(".")[0] in moved}
    assert fitted.trainable_parameters == sum(counts.values())
