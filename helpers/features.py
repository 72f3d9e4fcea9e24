"""Bag-of-words methods from before 2010 that scikit-learn lacks.

Presence and n-grams are scikit-learn's own `CountVectorizer(binary=True, ngram_range=(1, 2))`.
"""

import re

import numpy as np
from scipy import optimize, sparse, special
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "LogCountRatio", "NegationMarks", "PriorLogisticRegression", "augment", "log_count_ratio",
]  # fmt: skip

NEGATIONS = re.compile(r"^(not|no|never|neither|nor|nothing|nobody|without|cannot|.+n't|n't)$")
CLAUSE_ENDS = re.compile(r"^([.,:;!?()]+|but|however)$")


class NegationMarks(TransformerMixin, BaseEstimator):
    """Write `not_good` for `good` after a negation, up to the end of the clause.

    A bag of words cannot see that "not" belongs to "good"; the mark makes it another word (Das &
    Chen 2001; used by Pang, Lee & Vaithyanathan 2002).
    """

    def fit(self, texts, y=None):
        """Learn nothing; pipelines call it."""
        return self

    def transform(self, texts):
        """Mark each text."""
        return [self.mark(text) for text in texts]

    @staticmethod
    def mark(text: str) -> str:
        """Mark one text: `it is not good , but short` -> `it is not not_good , but short`."""
        marked, negated = [], False
        for word in re.findall(r"[\w'-]+|[.,:;!?()]", text.lower()):
            if CLAUSE_ENDS.match(word):
                negated = False
            marked.append(f"not_{word}" if negated else word)
            if NEGATIONS.match(word):
                negated = True
        return " ".join(marked)


def log_count_ratio(X, y, alpha: float = 1.0) -> np.ndarray:
    """How much more often each feature occurs in positive texts (y = 1) than in negative ones (0).

    r = log((p / sum p) / (q / sum q)) with p = alpha + counts in positive texts and q the same for
    negative ones (Wang & Manning 2012, equation 2). X is (texts, features), none negative; alpha
    keeps the ratio of an unseen feature finite.

    Raises:
        ValueError: if there are not exactly the classes 0 and 1.
    """
    y = np.asarray(y)
    if set(np.unique(y)) != {0, 1}:
        raise ValueError(
            f"Log-count ratios need labels 0 and 1; these are {np.unique(y).tolist()}."
        )
    p = alpha + np.asarray(X[np.flatnonzero(y == 1)].sum(axis=0)).ravel()
    q = alpha + np.asarray(X[np.flatnonzero(y == 0)].sum(axis=0)).ravel()
    return np.log((p / p.sum()) / (q / q.sum()))


class LogCountRatio(TransformerMixin, BaseEstimator):
    """Scale each feature by its log-count ratio: the "NB" in NB-SVM (Wang & Manning 2012).

    With all weights equal to one, the linear model after it is naive Bayes; regularisation keeps
    weights small where the labels say little.
    """

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def fit(self, X, y):
        """Learn the ratio of each feature; X (texts, features), y (texts,) of 0 and 1."""
        self.ratio_ = log_count_ratio(X, y, self.alpha)
        return self

    def transform(self, X):
        """Multiply each column by its ratio; sparse in, sparse out, shape unchanged."""
        check_is_fitted(self)
        return sparse.csr_matrix(X).multiply(self.ratio_).tocsr()


def augment(X, domain: str):
    """Give every feature three copies: one shared, one for each domain (Daume 2007, equation 1).

    A source text becomes (x, x, 0) and a target text (x, 0, x), sparse, (texts, 3 * features). A
    linear model learns what is common in the first copy and what differs in the other two.
    """
    X = sparse.csr_matrix(X)
    zeros = sparse.csr_matrix(X.shape, dtype=X.dtype)
    parts = {"source": [X, X, zeros], "target": [X, zeros, X]}
    return sparse.hstack(parts[domain], format="csr")


class PriorLogisticRegression(ClassifierMixin, BaseEstimator):
    """Logistic regression pulled towards earlier weights: fine-tuning in 2004.

    Minimises sum of log-losses + strength / 2 * |w - prior|^2, the maximum a posteriori weights
    under a Gaussian prior centred on `prior` (Chelba & Acero 2004). A prior of zeros is ordinary L2
    regularisation with C = 1 / strength. There is no intercept: our classes are balanced.

    Args:
        prior: weights to start from and be pulled to, shape (features,); None for zeros.
        strength: above 0; small values forget the prior, large ones ignore the labels.
        tol: largest gradient entry at which fitting stops.
    """

    def __init__(self, prior=None, strength: float = 1.0, tol: float = 1e-6):
        self.prior, self.strength, self.tol = prior, strength, tol

    def fit(self, X, y):
        """Fit from the prior; X (texts, features), y (texts,) of 0 and 1."""
        prior = np.zeros(X.shape[1]) if self.prior is None else np.asarray(self.prior, float)
        sign = 2 * np.asarray(y) - 1

        def objective(weights):
            margin = sign * (X @ weights)
            away = weights - prior
            value = np.logaddexp(0, -margin).sum() + 0.5 * self.strength * away @ away
            slope = X.T @ (-sign * special.expit(-margin)) + self.strength * away
            return value, slope

        options = {"maxiter": 500, "gtol": self.tol, "ftol": 1e-14}
        result = optimize.minimize(objective, prior, jac=True, method="L-BFGS-B", options=options)
        self.coef_, self.n_iter_ = result.x, result.nit
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, X):
        """Score of each text, positive for class 1; shape (texts,)."""
        check_is_fitted(self)
        return X @ self.coef_

    def predict(self, X):
        """0 or 1 for each text; shape (texts,)."""
        return (self.decision_function(X) > 0).astype(int)
