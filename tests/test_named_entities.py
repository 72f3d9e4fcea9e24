"""The taggers: what each may see, that it learns, and that pairs of them differ by one thing."""

import gc
import tempfile

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_encoders import write_tiny_bert

from helpers import data, embeddings, evaluation, grid, pretrained, training
from helpers.methods import FILM_NER, Corpus, common, named_entities
from helpers.methods.crf import train_crf, word_features, word_shape
from helpers.pretrained import CaseAwareTagger
from helpers.runtime import PROFILES

METHODS = grid.methods_of("named_entities")
QUICK = {
    "CRF on features": {"c1": 0.1, "c2": 0.01},
    "BiLSTM, random vectors": {"tuned": True, "num_epochs": 40, "learning_rate": 1e-2},
    "BiLSTM, GloVe": {"tuned": False, "num_epochs": 40, "learning_rate": 1e-2},
    "encoder, token head": {"num_epochs": 40, "learning_rate": 1e-2},
    "encoder, token head + capitals": {"num_epochs": 40, "learning_rate": 1e-2},
}


@pytest.fixture(scope="module")
def corpus():
    return Corpus(PROFILES["smoke"])


def few(corpus, n=32):
    """Labelled sentences, and their tags as texts."""
    labelled = FILM_NER.labelled(corpus, n, 0)
    return labelled, [[data.NER_TAGS[tag] for tag in row] for row in labelled["tags"][:]]


def simple():
    """Two names that a word alone gives away: all that a tiny random encoder has room for."""
    tokens, tags = [["Bob", "left", "Rome"], ["in", "Rome", "Bob"]], [[7, 0, 3], [0, 3, 7]]
    return Dataset.from_dict({"tokens": tokens * 12, "tags": tags * 12})


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_tagger_learns_the_sentences_it_was_trained_on(corpus, name):
    method, labelled = METHODS[name], simple() if "encoder" in name else few(corpus)[0]
    steps = {} if "CRF" in name else {"min_steps": 0}
    if method.prepare:
        method.prepare(corpus, **QUICK[name])
    fitted = method.fit(corpus, labelled, 0, **QUICK[name] | steps)
    counts = FILM_NER.judge(labelled, fitted.predict(labelled["tokens"][:]))
    assert evaluation.span_f1(counts) > 0.8
    assert 0 < fitted.trainable_parameters <= fitted.total_parameters
    assert fitted.artefact_bytes >= fitted.trainable_parameters


@pytest.mark.parametrize(
    ("word", "shape"),
    [("Jake", "Xx"), ("USA", "XX"), ("I", "X"), ("1999", "dd"), ("7", "d"), ("U.S.", "X.X.")]
    + [("McCoy", "XxXx"), ("film", "x"), ("!", "!"), ("Žižek", "Xx"), ("O'Brien", "X'Xx")],
)
def test_the_shape_of_a_word_is_its_spelling_alone(word, shape):
    assert word_shape(word) == shape


def test_features_say_what_stands_there_and_beside_it():
    rows = word_features(["In", '"', "Jaws", '"', "1975", "."])
    assert {"word=jaws", "shape=Xx", "capital", "quoted", "suffix2=ws", "prefix3=jaw"} < {*rows[2]}
    assert {'-1:word="', "-2:word=in", "-2:shape=Xx", "+2:shape=dd"} < {*rows[2]}
    assert {"first", "-1:outside", "-2:outside", "+2:word=jaws"} < {*rows[0]}
    assert "first" not in rows[2] and "quoted" not in rows[0] + rows[1] + rows[3] + rows[4]
    assert "prefix4=jaws" not in rows[2]  # the whole word is told already
    assert not [row for row in word_features(["6", '"', "tall"]) if "quoted" in row]  # a lone mark


def test_a_field_is_the_same_each_time_and_answers_after_all_else_is_gone(corpus):
    labelled, tags = few(corpus)
    tokens = labelled["tokens"][:]
    field = train_crf(tokens, tags, 0.1, 0.1)
    before = [field.tag(row) for row in tokens]
    again = train_crf(tokens, tags, 0.1, 0.1)
    gc.collect()
    noise = [bytes(n) for n in range(0, 200_000, 5_000)]  # where freed memory would be used again
    assert [field.tag(row) for row in tokens] == [again.tag(row) for row in tokens] == before
    assert field.model == again.model and noise


def test_a_field_leaves_no_file_behind_and_counts_the_weights_it_keeps(
    corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    labelled, tags = few(corpus)
    dense, sparse = (train_crf(labelled["tokens"][:], tags, c1, 0.1) for c1 in (0.0, 1.0))
    assert list(tmp_path.iterdir()) == []
    assert sparse.num_weights < dense.num_weights / 3 and len(sparse.model) < len(dense.model)


def test_a_field_says_what_it_learned():
    words, tags = [["Mr", "Bond", "left"], ["he", "left"]], [["O", "B-CHAR", "O"], ["O", "O"]]
    field = train_crf(words * 5, tags * 5, 0.0, 0.1)
    state, pairs = field.weights()
    assert len(state) + len(pairs) == field.num_weights
    assert state["word=bond", "B-CHAR"] > 0 > state.get(("word=left", "B-CHAR"), -1)
    assert pairs["B-CHAR", "B-CHAR"] < 0 < pairs["O", "B-CHAR"]  # the one never occurs


def test_spelling_tells_what_lower_case_hides():
    words = ["film", "Film", "FILM", "1975", "!", "McCoy", "I", "don't", "iPod", "U.S."]
    kinds = [2, 3, 4, 5, 1, 6, 3, 2, 6, 4]
    assert [named_entities.spelling(word) for word in words] == kinds
    assert max(kinds) < named_entities.NUM_SHAPES


def test_a_test_word_that_no_tagged_sentence_has_can_have_a_vector(corpus):
    words = named_entities.vocabulary(corpus)
    tagged = {named_entities.known_form(w) for t in corpus.names["train"]["tokens"][:] for w in t}
    seen = tagged | {w for text in common.training_texts(corpus) for w in embeddings.tokenize(text)}
    assert tagged <= set(words.words) and set(words.words[2:]) <= seen  # no held-out sentence's
    beyond = set(words.words[2:]) - tagged
    assert len(beyond) > 500 and beyond <= set(named_entities.glove(corpus).words)
    assert named_entities.known_form("’s") == "'s" and named_entities.known_form("Don't") == "don't"


def test_two_bilstms_differ_by_their_vectors_alone(corpus):
    random, known = (named_entities.new_tagger(corpus, 3, flag) for flag in (False, True))
    same = {
        name: torch.equal(a, b)
        for (name, a), (_, b) in zip(
            random.named_parameters(), known.named_parameters(), strict=True
        )
    }
    assert {name for name, equal in same.items() if not equal} == {"embedding.weight"}
    spreads = [tagger.embedding.weight.std().item() for tagger in (random, known)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.1)
    row = named_entities.vocabulary(corpus).ids["film"]
    vector = embeddings.load_glove().vector("film")
    assert np.allclose(known.embedding.weight[row].detach().numpy(), vector)


def test_spelling_reaches_every_piece_of_its_word(corpus):
    tokenizer = pretrained.load_encoder("tokens", profile=corpus.profile, echo=None).tokenizer
    rows = named_entities.piece_rows(tokenizer, [["Weissmuller", "swam", "1932"]])
    pieces = len(tokenizer.tokenize("weissmuller"))
    assert pieces > 1 and rows["shape_ids"][0] == [0, *[3] * pieces, 2, 5, 0]


def test_a_word_that_was_not_read_counts_as_missed(corpus, monkeypatch):
    monkeypatch.setattr(named_entities.common, "MAX_PIECES", 6)
    labelled, _ = few(corpus)
    settings = QUICK["encoder, token head"] | {"num_epochs": 1, "min_steps": 0}
    fitted = named_entities.encoder(corpus, labelled, 0, **settings)
    long = [["Never", "mind", "who", "was", "in", "it", ",", "Bob", "Hope"]]
    [answer] = fitted.predict(long)
    assert len(answer) == 9 and answer[4:] == [0] * 5  # two of six pieces are special
    truth = {"tags": [[0, 0, 0, 0, 0, 0, 0, 7, 8]]}
    assert FILM_NER.judge(truth, [answer])[0, 2] == 1


def test_capitals_change_nothing_until_they_are_trained_and_then_reach_the_answer(corpus):
    loaded = pretrained.load_encoder(
        "tokens", label_names=data.NER_TAGS, profile=corpus.profile, echo=None
    )
    tagger = CaseAwareTagger(loaded.model, named_entities.NUM_SHAPES).eval()
    rows = named_entities.piece_rows(loaded.tokenizer, [["Rose", "left"], ["rose", "left"]])
    plain = training.predict(loaded.model, rows)
    assert np.allclose(training.predict(tagger, rows), plain, atol=1e-6)
    assert np.allclose(plain[0], plain[1], atol=1e-6)  # the tokenizer cannot tell them apart
    with torch.no_grad():
        tagger.casing.weight[3] = 0.1 * torch.randn(tagger.casing.embedding_dim)
    first, second = training.predict(tagger, rows)
    assert not np.allclose(first[1], second[1], atol=1e-4)
    assert not np.allclose(first[2], second[2], atol=1e-6)  # and the neighbour hears of it


@pytest.mark.parametrize("capitals", [False, True])
def test_piece_vectors_stay_and_all_else_trains(corpus, capitals):
    labelled, _ = few(corpus)
    settings = {"num_epochs": 1, "min_steps": 0, "learning_rate": 1e-3}
    model = named_entities.tune(corpus, labelled, 0, capitals, **settings).model
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen and all("bert.embeddings" in name for name in frozen)
    if capitals:
        assert model.casing.weight[1:].abs().max() > 0 and model.casing.weight[0].abs().max() == 0


@pytest.mark.parametrize("name", [name for name in METHODS if name.startswith("encoder")])
def test_the_gpu_profile_tags_with_the_encoder_it_is_given(tmp_path, monkeypatch, name):
    monkeypatch.setenv("COURSE_ENCODER", str(write_tiny_bert(tmp_path)))
    corpus = Corpus(PROFILES["gpu"])
    corpus.names["validation"] = corpus.names["validation"].select(range(20))
    settings = {"num_epochs": 1, "min_steps": 0, "learning_rate": 1e-3}
    cell = grid.run_cell(METHODS[name], corpus, 32, 0, settings)
    assert cell.correct.shape == (20, 3) and cell.labels == 32
