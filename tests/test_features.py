"""Counts, ratios and priors, against hand counts and other people's optimisers."""

import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from helpers import features


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6))
    y = (X @ rng.normal(size=6) + rng.normal(size=60) > 0).astype(int)
    return sparse.csr_matrix(X), y, rng.normal(size=6)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("it is not good , but short", "it is not not_good , but short"),
        ("never dull. Funny", "never not_dull . funny"),
        ("I didn't like it", "i didn't not_like not_it"),
        ("no charm however witty", "no not_charm however witty"),
        ("charming", "charming"),
        ("", ""),
    ],
)
def test_words_after_a_negation_are_marked_to_the_end_of_the_clause(text, marked):
    assert features.NegationMarks().fit([text]).transform([text]) == [marked]


def test_log_count_ratio_by_direct_count():
    # good: 2 of 3 words in positive texts, 0 of 3 in negative; film: 1 of 3 and 1 of 3
    X = sparse.csr_matrix([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]])  # good, bad, film
    ratio = features.log_count_ratio(X, [1, 1, 0, 0], alpha=1.0)
    p, q = np.array([3, 1, 2]) / 6, np.array([1, 3, 2]) / 6
    assert ratio == pytest.approx(np.log(p / q))
    assert ratio[2] == 0 and ratio[0] == -ratio[1] == pytest.approx(np.log(3))


def test_log_count_ratios_are_naive_bayes_weights():
    rng = np.random.default_rng(1)
    X, y = rng.integers(0, 3, size=(40, 7)), np.arange(40) % 2
    nb = MultinomialNB(alpha=0.5).fit(X, y)
    theirs = nb.feature_log_prob_[1] - nb.feature_log_prob_[0]
    assert features.log_count_ratio(X, y, alpha=0.5) == pytest.approx(theirs)


def test_ratios_scale_columns_and_keep_the_matrix_sparse():
    X, y = sparse.csr_matrix([[2.0, 0.0], [0.0, 3.0]]), [1, 0]
    scaled = features.LogCountRatio(alpha=1.0).fit(X, y).transform(X)
    ratio = features.log_count_ratio(X, y)
    assert sparse.issparse(scaled)
    assert scaled.toarray() == pytest.approx(X.toarray() * ratio)


@pytest.mark.parametrize("labels", [[1, 1], [1, 2]])
def test_one_class_or_foreign_labels_are_refused(labels):
    with pytest.raises(ValueError, match="0 and 1"):
        features.log_count_ratio(np.eye(2), labels)


def test_augmented_texts_share_one_copy_and_own_another():
    X = np.array([[1.0, 2.0]])
    assert features.augment(X, "source").toarray().tolist() == [[1, 2, 1, 2, 0, 0]]
    assert features.augment(X, "target").toarray().tolist() == [[1, 2, 0, 0, 1, 2]]


@pytest.mark.parametrize("strength", [0.05, 1.0, 30.0])
def test_the_fit_towards_a_prior_agrees_with_a_generic_optimiser(problem, strength):
    X, y, prior = problem
    dense = X.toarray()

    def objective(w):  # written from the definition, differentiated numerically
        p = 1 / (1 + np.exp(-dense @ w))
        loss = -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p))
        return loss + strength / 2 * np.sum((w - prior) ** 2)

    exact = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000, "adaptive": True}
    generic = optimize.minimize(objective, np.zeros(6), method="Nelder-Mead", options=exact).x
    ours = features.PriorLogisticRegression(prior, strength, tol=1e-9).fit(X, y).coef_
    assert np.abs(ours - generic).max() < 1e-5


def test_a_prior_of_zeros_is_ordinary_regularisation(problem):
    X, y, _ = problem
    ours = features.PriorLogisticRegression(strength=0.5, tol=1e-9).fit(X, y).coef_
    theirs = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10, max_iter=5_000).fit(X, y)
    assert ours == pytest.approx(theirs.coef_[0], abs=1e-5)
