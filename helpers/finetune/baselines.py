"""What every dearer method has to beat: a linear model of n-grams, or each word's usual tag.

The linear model is stored as terms and weights, so that loading it unpickles nothing.
"""

import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save
from scipy import sparse, special
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import FeatureUnion

from helpers.files import write_bytes, write_text
from helpers.tables import to_iob2

__all__ = ["Choice", "CommonTags", "LinearModel", "cross_validate", "fit_linear"]

TERMS, WEIGHTS = "linear.json", "linear.safetensors"
COUNTED = {
    "words": {"ngram_range": (1, 2), "sublinear_tf": True},
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True},
}
FEATURES = (("words",), ("words", "characters"))
STRENGTHS = (1.0, 3.0, 10.0, 30.0)
MOST_TERMS = 100_000  # of a kind
MOST_ROWS = 4_000  # in the cross-validation
FEWEST = 5  # rows of each class in the cross-validation, if it has them
MOST_CHARACTERS = 4_000_000  # in all texts; with more, character n-grams are not tried


@dataclass(frozen=True)
class Choice:
    """What cross-validation chose.

    Attributes:
        C: the inverse of the L2 penalty.
        rows: numbers of the texts it used.
        probabilities: of each class by a model that has not seen the text, (rows, classes).
    """

    features: tuple[str, ...]
    C: float
    accuracy: float
    rows: np.ndarray
    probabilities: np.ndarray


@dataclass
class LinearModel:
    """A TF-IDF classifier, stored as plain numbers.

    Attributes:
        parts: kind of terms -> its `terms` in order and their inverse document frequencies `idf`.
        weights: (classes, terms), or (1, terms) for two classes; float32.
        intercept: (classes,) or (1,).
    """

    parts: dict[str, dict]
    weights: np.ndarray
    intercept: np.ndarray

    def probabilities(self, texts: list[str]) -> np.ndarray:
        """Probability of each class, (texts, classes)."""
        matrices = []
        for kind, part in self.parts.items():
            vectors = TfidfVectorizer(vocabulary=part["terms"], **COUNTED[kind])
            vectors.idf_ = np.array(part["idf"])
            matrices.append(vectors.transform(texts))
        scores = sparse.hstack(matrices, "csr") @ self.weights.T.astype(np.float64) + self.intercept
        if scores.shape[1] == 1:
            positive = special.expit(scores[:, 0])
            return np.stack([1 - positive, positive], axis=1)
        return special.softmax(scores, axis=1)

    def sizes(self) -> tuple[int, int]:
        """Number of trained parameters, and of all parameters, which is the same here."""
        return (self.weights.size + self.intercept.size,) * 2

    def save(self, folder: Path) -> None:
        """Write terms as JSON and weights as safetensors."""
        numbers = {"weights": self.weights, "intercept": self.intercept}
        numbers = {name: np.ascontiguousarray(value) for name, value in numbers.items()}
        write_bytes(folder / WEIGHTS, save(numbers))
        write_text(folder / TERMS, json.dumps(self.parts, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path, card: dict | None = None, base: str | None = None) -> "LinearModel":
        """Read what `save` wrote; `card` and `base` are there for the other methods."""
        numbers = load((folder / WEIGHTS).read_bytes())
        parts = json.loads((folder / TERMS).read_text(encoding="utf-8"))
        return cls(parts, numbers["weights"], numbers["intercept"])


def cross_validate(texts: list[str], labels: list[int], seed: int = 0) -> Choice:
    """Choose features and strength by cross-validation; every class needs two texts or more.

    TF-IDF is fitted anew in every fold, so that no fold is seen before it judges, and once for all
    strengths. Of equally accurate choices, the one with the stronger penalty wins.
    """
    rows = _sample(np.array(labels), seed)
    texts, y = np.array(texts, object)[rows], np.array(labels)[rows]
    fewest = np.unique(y, return_counts=True)[1].min()
    most = 5 if len(y) < 1_500 else 3
    folds = StratifiedKFold(max(2, min(most, fewest)), shuffle=True, random_state=seed)
    choices = FEATURES if sum(map(len, texts)) < MOST_CHARACTERS else FEATURES[:1]
    pairs = list(itertools.product(choices, STRENGTHS))
    held_out = {pair: np.zeros((len(y), max(labels) + 1)) for pair in pairs}
    for train, judged in folds.split(texts, y):
        for features in choices:
            vectors = _vectors(features)
            learned, others = vectors.fit_transform(texts[train]), vectors.transform(texts[judged])
            for C in STRENGTHS:
                model = _classifier(C).fit(learned, y[train])
                held_out[features, C][np.ix_(judged, model.classes_)] = model.predict_proba(others)
    accuracy = {pair: float((p.argmax(axis=1) == y).mean()) for pair, p in held_out.items()}
    best = max(pairs, key=lambda pair: (accuracy[pair], -pair[1]))
    features, C = best
    return Choice(features, C, accuracy[best], rows, held_out[best])


def fit_linear(
    texts: list[str], labels: list[int], features: tuple[str, ...], C: float
) -> LinearModel:
    """Fit the chosen model on all training texts."""
    vectors = _vectors(features)
    model = _classifier(C).fit(vectors.fit_transform(texts), labels)
    parts = {
        kind: {"terms": v.get_feature_names_out().tolist(), "idf": v.idf_.tolist()}
        for kind, v in vectors.transformer_list
    }
    return LinearModel(parts, model.coef_.astype(np.float32), model.intercept_.astype(np.float32))


def _classifier(C: float) -> LogisticRegression:
    return LogisticRegression(C=C, max_iter=1_000, tol=1e-3)


def _vectors(features: tuple[str, ...]) -> FeatureUnion:
    kinds = [(kind, COUNTED[kind]) for kind in features]
    return FeatureUnion([(k, TfidfVectorizer(max_features=MOST_TERMS, **c)) for k, c in kinds])


def _sample(y: np.ndarray, seed: int) -> np.ndarray:
    """Shuffled row numbers, about `MOST_ROWS` at most, with a few of every class."""
    order = np.random.default_rng(seed).permutation(len(y))
    if len(y) <= MOST_ROWS:
        return order
    taken = np.zeros(len(y), bool)
    for label in np.unique(y):
        of_class = order[y[order] == label]
        taken[of_class[: max(FEWEST, round(MOST_ROWS * len(of_class) / len(y)))]] = True
    return order[taken[order]]


class CommonTags:
    """The baseline for names: each word gets its most frequent tag in train."""

    def __init__(self, sentences: list[list[str]], tags: list[list[str]]):
        seen = defaultdict(Counter)
        for words, row in zip(sentences, tags, strict=True):
            for word, tag in zip(words, row, strict=True):
                seen[word][tag] += 1
        self.known = {word: tags.most_common(1)[0][0] for word, tags in seen.items()}

    def tags(self, sentences: list[list[str]]) -> list[list[str]]:
        """One IOB2 tag per word; an entity that would begin with I- begins with B-."""
        return [to_iob2([self.known.get(w, "O") for w in words], "IOB2") for words in sentences]
