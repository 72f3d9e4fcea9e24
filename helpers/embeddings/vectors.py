"""Word vectors that can be looked up and compared."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from helpers import assets

__all__ = ["Embeddings", "load_glove"]


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
