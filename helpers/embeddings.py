"""Word vectors: GloVe, skip-gram, and their use for texts and networks.

All embeddings and small networks of the course split texts with `tokenize`, so that results differ
by the vectors and not by what counts as a word.
"""

import difflib
import hashlib
import inspect
import io
import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from tqdm.auto import tqdm

from helpers import assets
from helpers.files import write_bytes
from helpers.runtime import ROOT, shows_progress
from helpers.word_tokenizer import recipe, tokenize

try:
    from gensim.models import Word2Vec
except ModuleNotFoundError:  # there is no wheel for Python 3.14
    Word2Vec = None

__all__ = ["STORED", "Embeddings", "average", "cached_skipgram", "cooccurrence", "digest_of"]
__all__ += ["embedding_matrix", "inverse_frequencies", "load_glove", "save", "tokenize"]
__all__ += ["train_skipgram"]

STORED = ROOT / "data" / "checkpoints" / "imdb-skipgram.npz"
"""Skip-gram vectors of IMDB's training reviews, for a Python that gensim has no wheel for."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Words and their vectors: `matrix[index[word]]` is the vector of `word`.

    `words` are distinct, the most frequent first; `matrix` is float32 (words, dimensions).
    """

    words: tuple[str, ...]
    matrix: np.ndarray
    index: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "index", {word: row for row, word in enumerate(self.words)})
        if self.matrix.ndim != 2 or not len(self.words) == len(self.index) == len(self.matrix):
            raise ValueError(
                f"{len(self.words)} words, {len(self.index)} of them distinct, and a matrix of "
                f"shape {self.matrix.shape}: give one row for each distinct word."
            )

    def __contains__(self, word: str) -> bool:
        return word in self.index

    def __len__(self) -> int:
        return len(self.words)

    @property
    def dimensions(self) -> int:
        """Length of each vector."""
        return self.matrix.shape[1]

    @cached_property
    def _unit(self) -> np.ndarray:
        return _unit_rows(np.asarray(self.matrix))

    def vector(self, word: str) -> np.ndarray:
        """Look up one word; shape (dimensions,).

        Raises:
            KeyError: if it has no vector; the message suggests words with similar spelling.
        """
        if word not in self.index:
            # All of GloVe would take seconds, and rare words are rarely meant.
            likely = [w for w in self.words[:100_000] if w[:1] == word[:1].lower()]
            close = difflib.get_close_matches(word.lower(), likely, n=3)
            hint = f" Close to it: {', '.join(close)}." if close else ""
            case = "" if word == word.lower() else " Words are lower-case here."
            raise KeyError(f"No vector for {word!r}.{hint}{case}")
        return np.asarray(self.matrix[self.index[word]])

    def similarity(self, a: str, b: str) -> float:
        """Cosine of the angle between two words' vectors, from -1 to 1."""
        pair = _unit_rows(np.stack([self.vector(a), self.vector(b)]))
        return float(pair[0] @ pair[1])

    def neighbours(
        self, word_or_vector: str | np.ndarray, n: int = 10, exclude: Iterable[str] = ()
    ) -> list[tuple[str, float]]:
        """Find the `n` words with the most similar vectors: (word, cosine), nearest first.

        The given word itself and those in `exclude` are left out. A vector has shape (dimensions,).
        """
        left_out = set(exclude)
        if isinstance(word_or_vector, str):
            left_out.add(word_or_vector)
            word_or_vector = self.vector(word_or_vector)
        if np.shape(word_or_vector) != (self.dimensions,):
            raise ValueError(
                f"The vector has shape {np.shape(word_or_vector)}; these have {self.dimensions}."
            )
        cosines = self._unit @ _unit_rows(np.asarray(word_or_vector, np.float32)[None])[0]
        most = min(n + len(left_out), len(cosines))
        nearest = np.argpartition(-cosines, most - 1)[:most]
        order = nearest[np.argsort(-cosines[nearest], kind="stable")]
        found = [(self.words[i], float(cosines[i])) for i in order]
        return [pair for pair in found if pair[0] not in left_out][:n]

    def analogy(
        self, a: str, b: str, c: str, n: int = 5, exclude_inputs: bool = True
    ) -> list[tuple[str, float]]:
        """Answer "a is to b as c is to ...?" with the words nearest to b - a + c.

        Vectors are scaled to length one first (3CosAdd; Mikolov, Yih & Zweig 2013). By convention
        the three given words are left out; otherwise the answer is often b or c.
        """
        first, second, third = _unit_rows(np.stack([self.vector(word) for word in (a, b, c)]))
        return self.neighbours(second - first + third, n, (a, b, c) if exclude_inputs else ())

    def restrict(self, words: Iterable[str]) -> "Embeddings":
        """Keep only these words, in the order here; words without a vector are skipped."""
        rows = sorted({self.index[word] for word in words if word in self.index})
        return Embeddings(tuple(self.words[row] for row in rows), np.asarray(self.matrix[rows]))


def load_glove(limit: int | None = None) -> Embeddings:
    """Load GloVe 6B (Pennington et al. 2014): 400,000 words, 50 dimensions.

    `limit` keeps the most frequent words only.
    """
    folder = assets.path("glove")
    words = pd.read_parquet(folder / "glove_6B_index.parquet")["index"][:limit]
    matrix = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")[:limit]
    return Embeddings(tuple(words), matrix)


def _unit_rows(matrix: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(lengths == 0, 1, lengths)


def embedding_matrix(
    vocabulary: Sequence[str], embeddings: Embeddings, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Arrange vectors by a vocabulary of V words, to initialise a network's embedding layer.

    A word without a vector gets a random one with the standard deviation of the known vectors
    (after Kim 2014). The first row is padding and stays zero.

    Returns:
        The matrix (V, dimensions), and which words are known (V,).
    """
    rows = np.array([embeddings.index.get(word, -1) for word in vocabulary], dtype=int)
    known = rows >= 0
    known[0] = False
    spread = np.std(embeddings.matrix[rows[known]] if known.any() else embeddings.matrix)
    size = (len(rows), embeddings.dimensions)
    matrix = np.random.default_rng(seed).normal(0, spread, size).astype(np.float32)
    matrix[known] = embeddings.matrix[rows[known]]
    matrix[0] = 0
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


def train_skipgram(
    token_lists: Sequence[Sequence[str]], dimensions: int = 100, window: int = 5,
    num_epochs: int = 3, min_count: int = 5, negative: int = 5, seed: int = 0,
    workers: int | None = None,
) -> Embeddings:  # fmt: skip
    """Learn word vectors from unlabelled text: skip-gram with negative sampling, by gensim.

    The method is that of Mikolov et al. (2013). A seed repeats the result only with `workers=1`,
    since several threads update in varying order.

    Args:
        window: furthest context word to either side.
        min_count: words seen less often get no vector.
        negative: random words that each true pair is compared with.
        workers: threads; None for one per processor, at most four.

    Raises:
        ValueError: if no word occurs `min_count` times, or this Python has no gensim.
    """
    if Word2Vec is None:
        raise ValueError(
            f"Word vectors are trained by gensim, which has no wheel for Python "
            f"{platform.python_version()}. Take Python 3.11 to 3.13 for vectors of your own; those "
            "of IMDB's training reviews, with the course's settings, are stored."
        )
    options = {"window": window, "min_count": min_count, "negative": negative, "seed": seed}
    options["workers"] = workers or min(os.cpu_count() or 1, 4)
    model = Word2Vec(sg=1, vector_size=dimensions, epochs=num_epochs, **options)
    model.build_vocab(token_lists)
    if not len(model.wv):
        raise ValueError(
            f"No word occurs {min_count} times in {len(token_lists)} texts. Lower min_count."
        )
    texts = _Counted(token_lists, len(token_lists) * num_epochs)
    model.train(texts, total_examples=len(token_lists), epochs=num_epochs)
    texts.bar.close()
    return Embeddings(tuple(model.wv.index_to_key), model.wv.vectors.astype(np.float32))


def cached_skipgram(
    texts: Sequence[str], name: str = "imdb", seed: int = 0, **settings
) -> Embeddings:
    """Return skip-gram vectors of unlabelled texts, trained on first use and then kept.

    They are kept in the cache folder under `derived/`. A change of the texts, of tokenization or of
    a setting of `train_skipgram` trains again. Without gensim, those of IMDB are the stored ones.
    """
    digest = digest_of(texts, seed, **settings)
    file = f"{name}-skipgram-{len(texts)}-{digest}.npz"
    path = assets.cache_dir() / "derived" / file
    if path.exists():
        return _load(path)[0]
    if Word2Vec is None and (name, seed, settings) == ("imdb", 0, {}):
        return _stored(texts, digest)
    trained = train_skipgram([tokenize(text) for text in texts], seed=seed, **settings)
    save(trained, path)
    return trained


def digest_of(texts: Sequence[str], seed: int = 0, **settings) -> str:
    """Fingerprint what decides the vectors: texts, tokenization, settings of `train_skipgram`."""
    asked = inspect.signature(train_skipgram).bind([], seed=seed, **settings)
    asked.apply_defaults()
    digest = hashlib.sha256("\0".join(texts).encode("utf-8"))
    digest.update(json.dumps([asked.arguments, *recipe()], sort_keys=True).encode("utf-8"))
    return digest.hexdigest()[:16]


def save(vectors: Embeddings, path: Path, digest: str = "") -> None:
    """Write vectors as they are to an .npz file, with the `digest_of` what made them."""
    content = io.BytesIO()
    np.savez_compressed(
        content, words=np.array(vectors.words), matrix=vectors.matrix, digest=np.array(digest)
    )
    write_bytes(path, content.getvalue())


def _load(path: Path) -> tuple[Embeddings, str]:
    with np.load(path, allow_pickle=False) as kept:
        vectors = Embeddings(tuple(kept["words"].tolist()), kept["matrix"].astype(np.float32))
        return vectors, str(kept["digest"]) if "digest" in kept else ""


def _stored(texts: Sequence[str], digest: str) -> Embeddings:
    """The stored vectors; for fewer texts, those of the words that training would have met."""
    print("Stored skip-gram vectors: gensim, which trains them, has no wheel for this Python.")
    vectors, made_with = _load(STORED)
    if digest == made_with:
        return vectors
    least = inspect.signature(train_skipgram).parameters["min_count"].default
    counts = Counter(word for text in texts for word in tokenize(text))
    return vectors.restrict(word for word, count in counts.items() if count >= least)


def cooccurrence(token_lists: Iterable[Sequence[str]], vocabulary: Sequence[str], window: int = 10):
    """Count which words occur near which, as a symmetric sparse matrix (V, V).

    A pair d words apart counts 1/d (GloVe, section 3.1). Words outside the vocabulary (V words) are
    removed first, as in GloVe's own program. A pair lies within one text, at most `window` apart.
    """
    row_of = {word: row for row, word in enumerate(vocabulary)}
    texts = [[row_of[word] for word in tokens if word in row_of] for tokens in token_lists]
    words = np.array([row for text in texts for row in text], dtype=int)
    text_of = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    total = sparse.csr_matrix((len(row_of), len(row_of)))
    for distance in range(1, min(window, max(len(words) - 1, 0)) + 1):
        together = text_of[:-distance] == text_of[distance:]
        left, right = words[:-distance][together], words[distance:][together]
        each = np.full(len(left), 1 / distance)
        total = total + sparse.csr_matrix((each, (left, right)), shape=total.shape)
    return (total + total.T).tocsr()


class _Counted:
    """Texts that gensim may read several times, with one progress bar over all passes."""

    def __init__(self, token_lists, total: int):
        self.token_lists = token_lists
        self.bar = tqdm(total=total, desc="skip-gram", unit=" texts", disable=not shows_progress())

    def __iter__(self):
        for tokens in self.token_lists:
            self.bar.update()
            yield tokens
