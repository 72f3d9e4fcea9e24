"""Methods that train small networks: what is shared, and what stands beside what."""

import numpy as np
import pytest
import torch

from helpers import grid
from helpers.methods import Corpus, embeddings, neural, pretraining
from helpers.runtime import PROFILES

QUICK = {"num_epochs": 8, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(PROFILES["smoke"])


def test_one_vocabulary_serves_both_corpora_and_reads_no_held_out_text(corpus):
    vocabulary = neural.vocabulary(corpus)
    assert vocabulary is neural.vocabulary(corpus)
    counts = {}
    for split in (corpus.imdb["train"], corpus.reviews["train"]):
        for text in split["text"]:
            for token in neural.tokenize(text):
                counts[token] = counts.get(token, 0) + 1
    assert {w for w, n in counts.items() if n >= 5} == set(vocabulary.words[2:])


def test_long_reviews_are_cut_and_labels_kept(corpus):
    rows = neural.encode(corpus, corpus.imdb["train"])
    assert max(map(len, rows["input_ids"])) == neural.MAX_TOKENS
    assert rows["labels"][:] == corpus.imdb["train"]["label"][:]


def test_the_same_seed_builds_the_same_network():
    first, second = (neural.seeded(3, lambda: torch.nn.Linear(4, 4)).weight for _ in range(2))
    assert torch.equal(first, second)


def test_static_vectors_stay_and_tuned_vectors_move(corpus):
    labelled = corpus.labelled(100, 0)
    for frozen in (True, False):
        model = embeddings.new_textcnn(corpus, 0, freeze_embeddings=frozen)
        before = model.embedding.weight.detach().clone()
        neural.train_on(corpus, model, labelled, 0, num_epochs=1, learning_rate=1e-3)
        assert torch.equal(model.embedding.weight, before) is frozen


def test_the_random_control_differs_by_its_vectors_alone(corpus):
    labelled = corpus.labelled(32, 0)
    settings = {"num_epochs": 1, "learning_rate": 1e-3}
    control = pretraining.cnn_from_scratch(corpus, labelled, 0, **settings)
    tuned = embeddings.tuned_textcnn(corpus, labelled, 0, **settings)
    static = embeddings.static_textcnn(corpus, labelled, 0, **settings)
    assert control.total_parameters == tuned.total_parameters == static.total_parameters
    vectors = len(neural.vocabulary(corpus)) * embeddings.skipgram(corpus).dimensions
    assert tuned.trainable_parameters - static.trainable_parameters == vectors


@pytest.mark.parametrize("name", [method.name for method in embeddings.METHODS])
def test_every_method_learns_what_it_was_trained_on(corpus, name):
    method = grid.methods_of("embeddings")[name]
    configuration = QUICK if "TextCNN" in name else {"idf": True, "C": 1e5}
    method.prepare(corpus, **configuration)
    train = corpus.reviews["train"]
    fitted = method.fit(corpus, train, 0, **configuration)
    right = fitted.predict(train["text"][:]) == np.array(train["label"][:])
    assert right.mean() > 0.6
    assert 0 < fitted.trainable_parameters <= fitted.total_parameters
