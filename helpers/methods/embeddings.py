"""Methods of 2013 to 2015: word vectors, averaged or as the first layer of a network."""

import json
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from helpers import embeddings, networks, pretrained
from helpers.files import write_text
from helpers.methods import Corpus, Fitted, Method, common, seeds
from helpers.runtime import PROFILES, results_dir, versions

__all__ = ["METHODS", "new_textcnn", "store_skipgram", "word_weights"]


def glove(corpus: Corpus) -> embeddings.Embeddings:
    """GloVe 6B, restricted to the shared vocabulary."""
    words = common.vocabulary(corpus).words
    return corpus.once("glove", lambda: embeddings.load_glove().restrict(words))


def skipgram(corpus: Corpus) -> embeddings.Embeddings:
    """Skip-gram vectors of IMDB's training reviews, labels unread."""
    make = embeddings.cached_skipgram
    return corpus.once("skipgram", lambda: make(corpus.imdb["train"]["text"][:]))


def store_skipgram(profile: str = "cpu", folder: Path | None = None) -> Path:
    """Write the vectors of `skipgram` for Pythons without gensim: float16, and a JSON record.

    They are those of the cache, which notebook 3 shows here, or trained now. `folder` is where both
    files go; by default `data/checkpoints`, for `smoke` under `results/`.
    """
    if folder is None:
        trial = profile == "smoke"
        folder = results_dir() / "checkpoints" if trial else embeddings.STORED.parent
    corpus = Corpus(PROFILES[profile])
    texts, vectors = corpus.imdb["train"]["text"][:], skipgram(corpus)
    digest = embeddings.digest_of(texts)
    record = {
        "name": embeddings.STORED.stem,
        "trained_on": "the text of IMDB's training reviews (Maas et al. 2011), labels unread",
        "texts": len(texts),
        "words": len(vectors),
        "dimensions": vectors.dimensions,
        "digest": digest,
        "profile": profile,
        "versions": versions() | {"gensim": version("gensim")},
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    path = folder / embeddings.STORED.name
    half = embeddings.Embeddings(vectors.words, vectors.matrix.astype(np.float16))
    embeddings.save(half, path, digest)
    write_text(path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, {len(vectors):,} words")
    return path


def word_weights(corpus: Corpus) -> dict[str, float]:
    """Inverse frequency of each word in the training texts of both corpora, labels unread."""
    make = embeddings.inverse_frequencies
    return corpus.once("word_weights", lambda: make(common.training_texts(corpus)))


def averaged(corpus, labelled, seed, idf, C, load) -> Fitted:
    """Logistic regression on mean word vectors."""
    vectors, weights = load(corpus), word_weights(corpus) if idf else None
    read = partial(embeddings.average, embeddings=vectors, weights=weights)
    model = LogisticRegression(C=C, max_iter=2_000)
    return common.probe(read, labelled, model, vectors.matrix.size)


def new_textcnn(corpus: Corpus, seed: int, freeze_embeddings: bool = False) -> networks.TextCNN:
    """A TextCNN whose word vectors are IMDB's skip-gram vectors (Kim 2014)."""
    words = common.vocabulary(corpus).words
    matrix, _ = embeddings.embedding_matrix(words, skipgram(corpus), seed)
    options = {"embeddings": matrix, "freeze_embeddings": freeze_embeddings}
    with pretrained.seeded(seed):
        return networks.TextCNN(len(words), **options)


def textcnn(corpus, labelled, seed, freeze_embeddings=False, **settings) -> Fitted:
    """TextCNN on skip-gram vectors, tuned or frozen."""
    model = new_textcnn(corpus, seed, freeze_embeddings)
    return common.fit_words(corpus, model, labelled, seed, **settings)


def _share(corpus, idf=False, load=skipgram, **configuration) -> None:
    common.vocabulary(corpus)
    load(corpus)
    if idf:
        word_weights(corpus)


def _averaged(name, load) -> Method:
    tried = common.combinations(idf=(False, True), C=(0.3, 1.0, 3.0))
    fit, prepare = partial(averaged, load=load), partial(_share, load=load)
    return Method(name, "embeddings", tried, fit, seeds.SETTLED, prepare)


def _network(name, fit) -> Method:
    return Method(name, "embeddings", common.CNN, fit, seeds.EVERY, _share)


METHODS = (
    _averaged("averaged GloVe", glove),
    _averaged("averaged skip-gram", skipgram),
    _network("TextCNN, random vectors", common.cnn_from_scratch),
    _network("TextCNN, static skip-gram", partial(textcnn, freeze_embeddings=True)),
    _network("TextCNN, tuned skip-gram", textcnn),
)
