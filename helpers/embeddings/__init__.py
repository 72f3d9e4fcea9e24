"""Word vectors: GloVe, skip-gram, and their use for texts and networks.

All embeddings and small networks of the course split texts with `tokenize`, so that results differ
by the vectors and not by what counts as a word.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from helpers.embeddings.skipgram import cached_skipgram, cooccurrence, train_skipgram
from helpers.embeddings.vectors import Embeddings, load_glove
from helpers.words import tokenize

__all__ = [
    "Embeddings",
    "average",
    "cached_skipgram",
    "cooccurrence",
    "embedding_matrix",
    "inverse_frequencies",
    "load_glove",
    "tokenize",
    "train_skipgram",
]


def embedding_matrix(
    vocabulary: Sequence[str], embeddings: Embeddings, seed: int, pad: int | None = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Arrange vectors by a vocabulary of V words, to initialise a network's embedding layer.

    A word without a vector gets a random one with the standard deviation of the known vectors
    (after Kim 2014). The row `pad` stays zero; None if there is no padding.

    Returns:
        The matrix (V, dimensions), and which words are known (V,).
    """
    rows = np.array([embeddings.index.get(word, -1) for word in vocabulary], dtype=int)
    known = rows >= 0
    if pad is not None:
        known[pad] = False
    spread = np.std(embeddings.matrix[rows[known]] if known.any() else embeddings.matrix)
    size = (len(rows), embeddings.dimensions)
    matrix = np.random.default_rng(seed).normal(0, spread, size).astype(np.float32)
    matrix[known] = embeddings.matrix[rows[known]]
    if pad is not None:
        matrix[pad] = 0
    return matrix, known


def inverse_frequencies(texts: Sequence[str]) -> dict[str, float]:
    """Weight each word by its inverse document frequency: 1 + ln((1 + texts) / (1 + with it))."""
    counts = TfidfVectorizer(tokenizer=tokenize, lowercase=False, token_pattern=None).fit(texts)
    return dict(zip(counts.get_feature_names_out().tolist(), counts.idf_.tolist(), strict=True))


def average(
    texts: Sequence[str], embeddings: Embeddings, weights: Mapping[str, float] | None = None
) -> np.ndarray:
    """Turn each text into the mean vector of its words: (texts, dimensions).

    Words without a vector are skipped; a text without any known word gets zeros. With `weights`,
    such as `inverse_frequencies`, a word without one counts as the rarest.
    """
    columns, starts = [], [0]
    for text in texts:
        columns += [row for row in map(embeddings.index.get, tokenize(text)) if row is not None]
        starts.append(len(columns))
    values = np.ones(len(columns), dtype=np.float32)
    if weights:
        rarest = max(weights.values())
        values[:] = [weights.get(embeddings.words[row], rarest) for row in columns]
    counts = sparse.csr_matrix((values, columns, starts), shape=(len(texts), len(embeddings)))
    totals = np.asarray(counts.sum(axis=1))
    return (counts @ embeddings.matrix) / np.where(totals == 0, 1, totals).astype(np.float32)
