"""Word vectors, against hand calculation, autograd, and the published GloVe file."""

import json
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from helpers import assets, data, embeddings, grid
from helpers.embeddings import Embeddings
from helpers.runtime import PROFILES, ROOT

TOPICS = (["cat", "dog", "horse", "cow", "sheep"], ["red", "green", "blue", "white", "black"])


@pytest.fixture
def royals():
    """Four words in a plane: one axis is royal, the other female."""
    words = ("man", "woman", "king", "queen", "apple")
    matrix = np.array([[0.1, 0], [0.1, 1], [2, 0], [2, 1], [-1, -1]], dtype=np.float32)
    return Embeddings(words, matrix)


@pytest.fixture(scope="module")
def glove():
    if not assets.is_cached("glove"):
        pytest.skip("the GloVe file is not in the cache; `course prefetch` fetches it")
    return embeddings.load_glove()


@pytest.fixture(scope="module")
def two_topics():
    """Texts that speak of animals or of colours, never of both."""
    rng = np.random.default_rng(0)
    return [rng.choice(TOPICS[i % 2], size=12).tolist() for i in range(600)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It isn't bad , but", ["it", "is", "n't", "bad", ",", "but"]),
        ("I can't; it'll be the film's", "i ca n't ; it 'll be the film 's".split()),
        ("A well-acted, coming-of-age tale", "a well acted , coming of age tale".split()),
        ("End.<br /><br />Next<br/>one", ["end", ".", "next", "one"]),
        ("wow..... -- no ---", ["wow", "...", "--", "no", "--"]),
        ("Don\x92t \x96 it\u2019s O'Brien's", ["do", "n't", "--", "it", "'s", "o'brien", "'s"]),
        ("10/10 Amélie!", ["10", "/", "10", "amélie", "!"]),
        ("the stars' 'action film'", ["the", "stars", "'", "'", "action", "film", "'"]),
        ("", []),
    ],
)
def test_texts_are_cut_into_the_tokens_that_glove_has(text, tokens):
    assert embeddings.tokenize(text) == tokens


@pytest.mark.parametrize("load", [data.load_reviews, data.load_imdb])
def test_glove_knows_nearly_every_token_of_both_corpora(glove, load):
    texts = load()["train"]["text"][:3_000]
    counts = Counter(token for text in texts for token in embeddings.tokenize(text))
    known = sum(count for token, count in counts.items() if token in glove)
    assert known / counts.total() > 0.99


def test_similarity_is_the_cosine(royals):
    # (0.1, 1) and (2, 1): 1.2 / (sqrt(1.01) * sqrt(5))
    assert royals.similarity("woman", "queen") == pytest.approx(1.2 / np.sqrt(1.01 * 5), rel=1e-5)
    assert royals.similarity("king", "king") == pytest.approx(1)


def test_neighbours_are_ordered_by_cosine_and_leave_the_word_out(royals):
    found = royals.neighbours("king", n=2)
    assert [word for word, _ in found] == ["man", "queen"]  # 1, 2 / sqrt(5)
    assert [cosine for _, cosine in found] == pytest.approx([1, 2 / np.sqrt(5)], rel=1e-5)
    assert [w for w, _ in royals.neighbours("king", n=1, exclude=["man"])] == ["queen"]
    assert len(royals.neighbours("king", n=99)) == 4


def test_an_analogy_is_the_word_nearest_to_b_minus_a_plus_c():
    # brought to length one: a = (1, 0, 0), b = (0, 1, 0), c = (0.6, 0, 0.8)
    matrix = [[3, 0, 0], [0, 1, 0], [3, 0, 4], [1.6, -1, 0.8], [0.4, 1, -0.8], [-0.8, 2, 1.6]]
    words = ("a", "b", "c", "a-b+c", "a+b-c", "b-a+c")
    letters = Embeddings(words, np.array(matrix, dtype=np.float32))
    word, cosine = letters.analogy("a", "b", "c", n=1)[0]
    assert (word, cosine) == ("b-a+c", pytest.approx(1))


def test_a_missing_word_is_answered_with_words_spelled_like_it(royals):
    with pytest.raises(KeyError, match="'quene'.*queen"):
        royals.vector("quene")
    with pytest.raises(KeyError, match="queen.*lower-case"):
        royals.similarity("king", "Queen")
    assert "queen" in royals and "Queen" not in royals


def test_restricting_keeps_vectors_and_passes_over_unknown_words(royals):
    kept = royals.restrict(["queen", "man", "unheard", "man"])
    assert kept.words == ("man", "queen")
    assert np.array_equal(kept.vector("queen"), royals.vector("queen"))


@pytest.mark.parametrize("words", [("a",), ("a", "a")])
def test_words_and_rows_must_belong_together(words):
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        Embeddings(words, np.zeros((2, 3), dtype=np.float32))


def test_glove_is_the_published_file(glove):
    assert glove.matrix.shape == (400_000, 50)
    assert glove.matrix.dtype == np.float32
    assert glove.words[:3] == ("the", ",", ".")
    # first numbers of "the" in Stanford's glove.6B.50d.txt
    assert glove.vector("the")[:3] == pytest.approx([0.418, 0.24968, -0.41242], abs=1e-5)
    assert embeddings.load_glove(limit=1_000).words == glove.words[:1_000]


def test_glove_answers_as_it_is_known_to(glove):
    assert "movie" in [word for word, _ in glove.neighbours("film", n=3)]
    assert glove.analogy("man", "king", "woman", n=1)[0][0] == "queen"
    flattered = glove.analogy("man", "king", "woman", n=1, exclude_inputs=False)
    assert flattered[0][0] == "king"


def test_average_by_hand_with_unknown_and_repeated_words(royals):
    found = embeddings.average(["King king woman ufo", "", "ufo"], royals)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx([4.1 / 3, 1 / 3], rel=1e-5)
    assert np.array_equal(found[1:], np.zeros((2, 2)))


def test_a_weighted_average_divides_by_the_weights(royals):
    found = embeddings.average(["king woman"], royals, weights={"king": 1.0, "woman": 3.0})
    assert found[0] == pytest.approx([(2 + 0.3) / 4, 3 / 4], rel=1e-5)
    # a word without a weight counts as the rarest: 3 for the king
    found = embeddings.average(["king woman"], royals, weights={"woman": 3.0, "man": 1.0})
    assert found[0] == pytest.approx([2.1 / 2, 1 / 2], rel=1e-5)


def test_inverse_frequencies_by_hand():
    weights = embeddings.inverse_frequencies(["a film", "a film !", "a dog's film", "a"])
    assert weights["a"] == pytest.approx(1)
    assert weights["film"] == pytest.approx(1 + np.log(5 / 4))
    assert weights["'s"] == pytest.approx(1 + np.log(5 / 2))


def test_known_rows_are_copied_and_padding_is_zero(royals):
    vocabulary = ["<pad>", "queen", "ufo", "man"]
    matrix, known = embeddings.embedding_matrix(vocabulary, royals, seed=0)
    assert known.tolist() == [False, True, False, True]
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix[[1, 3]], royals.matrix[[3, 0]])
    assert not matrix[0].any() and matrix[2].any()


def test_unknown_words_spread_as_known_ones_and_follow_the_seed():
    rng = np.random.default_rng(1)
    known_words = Embeddings([f"k{i}" for i in range(500)], rng.normal(0, 0.37, (500, 40)))
    vocabulary = ["<pad>", *known_words.words, *(f"u{i}" for i in range(500))]
    matrix, known = embeddings.embedding_matrix(vocabulary, known_words, seed=3)
    unknown = matrix[501:]
    assert unknown.std() == pytest.approx(0.37, rel=0.03)
    assert abs(unknown.mean()) < 0.01
    again, _ = embeddings.embedding_matrix(vocabulary, known_words, seed=3)
    other, _ = embeddings.embedding_matrix(vocabulary, known_words, seed=4)
    assert np.array_equal(matrix, again)
    assert not np.array_equal(unknown, other[501:])


def test_cooccurrences_by_hand():
    texts = [["a", "b", "zzz", "a"], ["b"], ["c", "a"]]
    counts = embeddings.cooccurrence(texts, ["a", "b", "c"], window=2).toarray()
    # zzz is taken out: a-b at 1, b-a at 1, a-a at 2 (half, counted from both ends); c-a at 1
    assert counts == pytest.approx(np.array([[1, 2, 1], [2, 0, 0], [1, 0, 0]]))
    assert embeddings.cooccurrence([], ["a"], window=2).nnz == 0


def test_skipgram_puts_words_of_one_topic_together(two_topics):
    learned = embeddings.train_skipgram(two_topics, dimensions=16, num_epochs=8, workers=1)
    assert set(learned.words) == {*TOPICS[0], *TOPICS[1]}
    assert learned.matrix.shape == (10, 16) and learned.matrix.dtype == np.float32
    for topic in TOPICS:
        for word in topic:
            assert {near for near, _ in learned.neighbours(word, n=4)} == set(topic) - {word}


@pytest.fixture
def cached(monkeypatch, tmp_path, two_topics):
    """Vectors of a corpus of seconds, with a cache folder of its own."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    texts = [" ".join(tokens) for tokens in two_topics[:100]]

    def make(texts=texts, **settings):
        return embeddings.cached_skipgram(texts, **({"dimensions": 8} | settings))

    return make, tmp_path / "derived", texts


def test_vectors_of_a_corpus_are_trained_once_and_then_read(cached):
    make, folder, _ = cached
    first = make(workers=2)
    [file] = folder.iterdir()
    written = file.stat().st_mtime_ns
    second = make(workers=2, window=5)  # 5 is the default
    assert file.suffix == ".npz" and file.stat().st_mtime_ns == written
    assert first.words == second.words and np.array_equal(first.matrix, second.matrix)


@pytest.fixture
def without_gensim(monkeypatch):
    monkeypatch.setattr(embeddings, "Word2Vec", None)


def test_without_gensim_the_vectors_of_imdb_are_the_stored_ones(
    without_gensim, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    texts = ["the film is good good", "a good film the film", "unheard word"]
    path = tmp_path / "stored.npz"
    monkeypatch.setattr(embeddings, "STORED", path)
    words = ("the", "good", "film", "bad")
    matrix = np.arange(8, dtype=np.float16).reshape(4, 2) / 3
    embeddings.save(Embeddings(words, matrix), path, embeddings.digest_of(texts))
    whole = embeddings.cached_skipgram(texts)
    assert "gensim" in capsys.readouterr().out
    assert whole.words == words and whole.matrix.dtype == np.float32
    assert np.array_equal(whole.matrix, matrix.astype(np.float32))
    # Of fewer texts, the words that training would have met five times.
    fewer = embeddings.cached_skipgram(["good film"] * 3 + ["good good"])
    assert fewer.words == ("good",) and np.array_equal(fewer.matrix, whole.matrix[1:2])
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("asked", [{"name": "mine"}, {"dimensions": 8}, {"seed": 1}])
def test_without_gensim_vectors_of_one_s_own_name_the_python_to_take(
    without_gensim, monkeypatch, tmp_path, asked
):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"3\.11 to 3\.13"):
        embeddings.cached_skipgram(["good film"] * 9, **asked)


def test_a_python_without_gensim_can_import_every_module():
    code = "import sys; sys.modules['gensim'] = sys.modules['gensim.models'] = None\n"
    code += "from helpers import embeddings; print(embeddings.Word2Vec)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "None\n", done.stderr
    importing = re.compile(r"^\s*(from|import) gensim\b", re.M)
    modules = (ROOT / "helpers").rglob("*.py")
    assert [path for path in modules if importing.search(path.read_text("utf-8"))] == [
        ROOT / "helpers" / "embeddings.py"
    ]


def test_what_is_stored_is_trained_by_the_command_and_found_again(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path / "results"))
    assert grid.pretrain("imdb-skipgram", "smoke") == 0
    folder = tmp_path / "results" / "checkpoints"
    texts = data.load_imdb(PROFILES["smoke"])["train"]["text"][:]
    record = json.loads((folder / "imdb-skipgram.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(embeddings, "STORED", folder / "imdb-skipgram.npz")
    monkeypatch.setattr(embeddings, "Word2Vec", None)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    found = embeddings.cached_skipgram(texts)
    assert (len(found), found.dimensions) == (record["words"], record["dimensions"])
    assert record["digest"] == embeddings.digest_of(texts) and "good" in found


@pytest.mark.slow
def test_the_vectors_in_the_repository_are_those_the_code_asks_for():
    texts = data.load_imdb()["train"]["text"][:]
    with np.load(embeddings.STORED, allow_pickle=False) as kept:
        assert str(kept["digest"]) == embeddings.digest_of(texts)
        assert kept["matrix"].shape == (len(kept["words"]), 100)
    assert embeddings.STORED.stat().st_size <= 12e6


def test_another_seed_setting_or_corpus_is_trained_anew(cached):
    make, folder, texts = cached
    for changed in ({}, {"seed": 1}, {"dimensions": 9}, {"texts": [*texts, "a cat and a dog"]}):
        make(**changed)
    assert len(list(folder.iterdir())) == 4
