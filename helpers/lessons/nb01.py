"""Checks of the exercises in `01_classical_ml`."""

import numpy as np

from helpers.features import augment
from helpers.lessons.hint import Hint, compare, number, slope

__all__ = ["CHECKS"]


def ratio_of_good(answer) -> str:
    """Exercise 1: good 1 + 2 = 3, bad 1, film and plot 2 each: 3/8 against 1/8, so log 3."""
    slips = {"that is the ratio; the log is missing": 3}
    slips |= {"take the natural logarithm, not that of base 2": np.log2(3)}
    otherwise = "add alpha to the count of each of the four words, on both sides, then normalise"
    compare(number(answer), np.log(3), otherwise, slips, atol=0.01)
    return "Three eighths of the positive counts against one eighth of the negative ones."


def augmented(function) -> str:
    """Exercise 2: compared with the course's own augmentation."""
    X = np.arange(6.0).reshape(2, 3) + 1
    for domain in ("source", "target"):
        got = np.asarray(function(X, domain))
        expected = augment(X, domain).toarray()
        if got.shape != expected.shape:
            raise Hint(f"three copies of {X.shape} give {expected.shape}, not {got.shape}")
        if not np.array_equal(got, expected):
            raise Hint(f"look at the order of the copies of a {domain} row")
    return "Ten lines of Perl in 2007; one of NumPy today."


def own_strength(function) -> str:
    """Exercise 3: value by its definition, gradient by central differences."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(15, 4)), rng.integers(0, 2, 15)
    w, prior, strength = rng.normal(size=4), rng.normal(size=4), np.array([0.1, 1.0, 5.0, 0.0])

    def value(weights):
        score = X @ weights
        loss = np.sum(np.logaddexp(0, score) - y * score)
        return loss + 0.5 * np.sum(strength * (weights - prior) ** 2)

    got, gradient = function(w, X, y, prior, strength)
    if np.ndim(got) != 0:
        raise Hint("the value is one number: sum over features")
    if not np.isclose(got, value(w)):
        raise Hint("the value is not right yet; sum the log-losses, do not average them")
    if not np.allclose(gradient, slope(value, w), atol=1e-4):
        raise Hint("the value is right, the gradient not yet: each weight has its own strength")
    return "With strengths from the source's own certainty, this is elastic weight consolidation."


CHECKS = {"1": ratio_of_good, "2": augmented, "3": own_strength}
