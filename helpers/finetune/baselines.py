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
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import normalize

from helpers.files import write_bytes, write_text
from helpers.tables import to_iob2

__all__ = ["Choice", "CommonTags", "LinearModel"]
__all__ += ["cross_validate", "fit_linear", "held_out_probabilities"]

TERMS, WEIGHTS = "linear.json", "linear.safetensors"
COUNTED = {
    "words": {"ngram_range": (1, 2)},
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}
FEATURES = (("words",), ("words", "characters"))
STRENGTHS = (1.0, 3.0, 10.0, 30.0)
MOST_TERMS = 100_000  # of a kind
MOST_ROWS = 4_000  # in the cross-validation
FEWEST = 5  # rows of each class in the cross-validation, if it has them
MOST_CHARACTERS = 4_000_000  # in all texts; with more, character n-grams are not tried


@dataclass(frozen=True)
class Choice:
    """What cross-validation chose; `C` is the inverse L2 penalty, `rows` the texts it used."""

    features: tuple[str, ...]
    C: float
    accuracy: float
    rows: np.ndarray


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
        features = sparse.hstack([self._tfidf(kind, texts) for kind in self.parts], format="csr")
        scores = features @ self.weights.T.astype(np.float64) + self.intercept
        if scores.shape[1] == 1:
            positive = special.expit(scores[:, 0])
            return np.stack([1 - positive, positive], axis=1)
        return special.softmax(scores, axis=1)

    def _tfidf(self, kind: str, texts: list[str]) -> sparse.csr_matrix:
        part = self.parts[kind]
        counter = CountVectorizer(vocabulary=part["terms"], dtype=np.float64, **COUNTED[kind])
        counts = counter.transform(texts)
        counts.data = (1 + np.log(counts.data)) * np.array(part["idf"])[counts.indices]
        return normalize(counts, copy=False)

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

    TF-IDF is fitted anew in every fold, so that no fold is seen before it judges. Of equally
    accurate choices, the one with the stronger penalty wins.
    """
    rows = _sample(np.array(labels), seed)
    texts, y = [texts[i] for i in rows], np.array(labels)[rows]
    folds = list(_folds(y, seed).split(texts, y))
    choices = FEATURES if sum(map(len, texts)) < MOST_CHARACTERS else FEATURES[:1]
    grid = {"features": [_vectors(features) for features in choices], "model__C": STRENGTHS}
    search = GridSearchCV(_pipeline(choices[0], 1.0), grid, cv=folds, refit=False).fit(texts, y)
    by_fold = [search.cv_results_[f"split{k}_test_score"] for k in range(len(folds))]
    accuracy = np.average(by_fold, axis=0, weights=[len(held) for _, held in folds])
    pairs = itertools.product(choices, STRENGTHS)
    tried = {pair: round(float(mean), 12) for pair, mean in zip(pairs, accuracy, strict=True)}
    features, C = max(tried, key=lambda pair: (tried[pair], -pair[1]))
    return Choice(features, C, tried[features, C], rows)


def held_out_probabilities(
    texts: list[str], labels: list[int], choice: Choice, seed: int = 0
) -> np.ndarray:
    """Held-out probabilities, (choice.rows, classes); the arguments are as for `cross_validate`."""
    y = np.array(labels)[choice.rows]
    return cross_val_predict(
        _pipeline(choice.features, choice.C), [texts[i] for i in choice.rows], y,
        cv=_folds(y, seed), method="predict_proba",
    )  # fmt: skip


def fit_linear(
    texts: list[str], labels: list[int], features: tuple[str, ...], C: float
) -> LinearModel:
    """Fit the chosen model on all training texts."""
    pipeline = _pipeline(features, C).fit(texts, labels)
    vectors, model = pipeline["features"], pipeline["model"]
    parts = {
        kind: {"terms": v.get_feature_names_out().tolist(), "idf": v.idf_.tolist()}
        for kind, v in vectors.transformer_list
    }
    return LinearModel(parts, model.coef_.astype(np.float32), model.intercept_.astype(np.float32))


def _pipeline(features: tuple[str, ...], C: float) -> Pipeline:
    model = LogisticRegression(C=C, max_iter=1_000, tol=1e-3)
    return Pipeline([("features", _vectors(features)), ("model", model)])


def _vectors(features: tuple[str, ...]) -> FeatureUnion:
    options = {"sublinear_tf": True, "max_features": MOST_TERMS}
    return FeatureUnion([(kind, TfidfVectorizer(**COUNTED[kind], **options)) for kind in features])


def _folds(y: np.ndarray, seed: int) -> StratifiedKFold:
    fewest = np.unique(y, return_counts=True)[1].min()
    most = 5 if len(y) < 1_500 else 3
    return StratifiedKFold(max(2, min(most, fewest)), shuffle=True, random_state=seed)


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
