"""The cheapest method: counted words and characters, and a linear model that is kept as numbers.

What is kept is a list of terms with their weights, so that nothing has to be unpickled to use it.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.files import write_bytes, write_text

__all__ = ["CrossValidated", "LinearModel", "cross_validate", "fit_linear"]

TERMS, WEIGHTS = "linear.json", "linear.safetensors"
PARTS = {
    "words": {"ngram_range": (1, 2), "sublinear_tf": True, "max_features": 100_000},
    "characters": {
        "analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True,
        "max_features": 100_000,
    },
}  # fmt: skip
FEATURES = (("words",), ("words", "characters"))
STRENGTHS = (1.0, 3.0, 10.0, 30.0)
MOST_ROWS = 4_000  # in the cross-validation
FEWEST = 5  # rows of a class among them, if it has so many
MOST_CHARACTERS = 4_000_000  # in texts, up to which pieces of words are counted


@dataclass(frozen=True)
class CrossValidated:
    """What cross-validation on the training texts said.

    Attributes:
        features: the parts chosen.
        C: the strength chosen; small is a strong pull to zero.
        accuracy: mean accuracy of that choice.
        probabilities: of each text by a model that had not seen it, (texts, classes).
        rows: places of these texts.
        tried: (features, C) -> accuracy.
    """

    features: tuple[str, ...]
    C: float
    accuracy: float
    probabilities: np.ndarray
    rows: np.ndarray
    tried: dict


@dataclass
class LinearModel:
    """Terms, their rarity and their weights: text -> probability of each class.

    Attributes:
        parts: name of a part -> its terms in order and their inverse document frequencies.
        weights: (classes, terms), or (1, terms) for two classes; float32, as on disk.
        intercept: (classes,) or (1,).
    """

    parts: dict[str, dict]
    weights: np.ndarray
    intercept: np.ndarray

    @cached_property
    def _vectorizers(self) -> list:
        from sklearn.feature_extraction.text import TfidfVectorizer

        made = []
        for name, part in self.parts.items():
            settings = {key: value for key, value in PARTS[name].items() if key != "max_features"}
            made.append(TfidfVectorizer(vocabulary=part["terms"], **settings))
            made[-1].idf_ = np.array(part["idf"])
        return made

    def probabilities(self, texts: list[str]) -> np.ndarray:
        """Probability of each class, (texts, classes)."""
        from scipy import sparse, special

        features = sparse.hstack([v.transform(texts) for v in self._vectorizers], format="csr")
        scores = features @ self.weights.T.astype(np.float64) + self.intercept
        if scores.shape[1] == 1:
            positive = special.expit(scores[:, 0])
            return np.stack([1 - positive, positive], axis=1)
        return special.softmax(scores, axis=1)

    def sizes(self) -> tuple[int, int]:
        """Trained parameters and all parameters, which are the same here."""
        return (self.weights.size + self.intercept.size,) * 2

    def save(self, folder: Path) -> None:
        """Write terms as JSON and weights as safetensors."""
        from safetensors.numpy import save

        numbers = {"weights": self.weights, "intercept": self.intercept}
        write_bytes(
            folder / WEIGHTS, save({k: np.ascontiguousarray(v) for k, v in numbers.items()})
        )
        write_text(folder / TERMS, json.dumps(self.parts, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path, card: dict | None = None, base=None) -> "LinearModel":
        """Read what `save` wrote; it needs no base."""
        from safetensors.numpy import load

        numbers = load((folder / WEIGHTS).read_bytes())
        parts = json.loads((folder / TERMS).read_text(encoding="utf-8"))
        return cls(parts, numbers["weights"], numbers["intercept"])


def cross_validate(texts: list[str], labels: list[int], seed: int = 0) -> CrossValidated:
    """Choose features and strength by cross-validation on training texts alone.

    Terms and their rarity are counted anew in every fold: counted on all texts, they would have
    seen the fold that judges.

    Args:
        texts: of train.
        labels: their classes, each with two texts or more.
        seed: of the folds.
    """
    from sklearn.model_selection import StratifiedKFold

    y = np.array(labels)
    rows = _drawn(y, np.random.default_rng(seed).permutation(len(y)))
    y, texts = y[rows], [texts[i] for i in rows]
    fewest = min(np.bincount(y)[np.unique(y)])
    folds = StratifiedKFold(max(2, min(5 if len(y) < 1_500 else 3, fewest)), shuffle=True,
                            random_state=seed)  # fmt: skip
    choices = FEATURES if sum(map(len, texts)) < MOST_CHARACTERS else FEATURES[:1]
    classes = max(labels) + 1
    found = {(f, C): np.zeros((len(y), classes)) for f in choices for C in STRENGTHS}
    for train, held in folds.split(texts, y):
        for features in choices:
            learn, judge, _ = _matrices(
                [texts[i] for i in train], features, [texts[i] for i in held]
            )
            for C in STRENGTHS:
                model = _regression(C).fit(learn, y[train])
                found[features, C][np.ix_(held, model.classes_)] = model.predict_proba(judge)
    tried = {key: float((p.argmax(axis=1) == y).mean()) for key, p in found.items()}
    best = max(tried, key=lambda key: (tried[key], -key[1]))
    return CrossValidated(*best, tried[best], found[best], rows, tried)


def _drawn(y: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Numbers of at most about `MOST_ROWS` rows, in an order, a few of every class among them."""
    if len(y) <= MOST_ROWS:
        return order
    kept = np.zeros(len(y), bool)
    for label in np.unique(y):
        of_class = order[y[order] == label]
        kept[of_class[: max(FEWEST, round(MOST_ROWS * len(of_class) / len(y)))]] = True
    return order[kept[order]]


def fit_linear(
    texts: list[str], labels: list[int], features: tuple[str, ...], C: float
) -> LinearModel:
    """Fit the model of one choice on all texts of train."""
    matrix, _, vectorizers = _matrices(texts, features)
    model = _regression(C).fit(matrix, labels)
    parts = {}
    for name, vectorizer in zip(features, vectorizers, strict=True):
        terms = vectorizer.get_feature_names_out().tolist()
        parts[name] = {"terms": terms, "idf": vectorizer.idf_.tolist()}
    return LinearModel(parts, model.coef_.astype(np.float32), model.intercept_.astype(np.float32))


def _matrices(texts, features, others=()):
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizers = [TfidfVectorizer(**PARTS[name]) for name in features]
    learn = sparse.hstack([v.fit_transform(texts) for v in vectorizers], format="csr")
    judge = sparse.hstack([v.transform(others) for v in vectorizers], "csr") if others else None
    return learn, judge, vectorizers


def _regression(C: float):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=1_000, tol=1e-3)
