"""Checks of the exercises in `00_start_here`."""

import numpy as np

from helpers import evaluation
from helpers.lessons.hint import Hint, slope

__all__ = ["CHECKS"]


def three_bars(answer) -> str:
    """Exercise 1: target only above source then target is negative transfer."""
    answer = str(answer).strip().lower()
    if answer not in ("a", "b", "c"):
        raise Hint('answer with one letter: "a", "b" or "c"')
    if answer == "a":
        raise Hint("compare the first and the third bar: same labels, which start did better?")
    if answer == "c":
        raise Hint("the source alone is the lowest of the three bars")
    return "The same labels do better from zero: negative transfer."


def leash(gradient) -> str:
    """Exercise 2: the gradient with a penalty pull/2 * |weights - start|^2, checked numerically."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 5)), rng.integers(0, 2, 12)
    weights, start = rng.normal(size=5), rng.normal(size=5)
    for pull in (0.0, 0.5):
        got = np.asarray(gradient(X, y, weights, start, pull), dtype=float)
        if got.shape != weights.shape:
            raise Hint(f"return one number a weight: shape {weights.shape}, not {got.shape}")

        def loss(w, pull=pull):
            score, away = X @ w, 0.5 * pull * np.sum((w - start) ** 2)
            return np.mean(np.logaddexp(0, score) - y * score) + away

        if np.abs(got - slope(loss, weights, 1e-5)).max() > 1e-5:
            where = "with pull=0 it is the plain gradient" if pull == 0 else "look at the pull"
            raise Hint(f"not the right slope yet; {where}")
    return "A small change to the gradient, and the start becomes a prior."


def interval(function) -> str:
    """Exercise 3: the paired percentile bootstrap, compared with the course's own."""
    rng = np.random.default_rng(1)
    first = (rng.random(400) < 0.8).astype(float)
    second = np.where(rng.random(400) < 0.15, 1 - first, first)
    low, high = function(first, second, 4_000, np.random.default_rng(2))
    expected = evaluation.paired_difference(first, second, draws=4_000)
    if low > high:
        raise Hint("the lower end comes first")
    if abs(low - expected.low) > 0.006 or abs(high - expected.high) > 0.006:
        raise Hint(
            f"got [{low:.3f}, {high:.3f}], expected about [{expected.low:.3f}, {expected.high:.3f}]"
            "; draw item numbers once and use them for both methods"
        )
    return "This is how every claim of the course is decided."


CHECKS = {"1": three_bars, "2": leash, "3": interval}
