"""Checks of the exercises in `03_word_embeddings`."""

import numpy as np

from helpers.lessons.hint import Hint, compare

__all__ = ["CHECKS"]


def cosine(function) -> str:
    """Exercise 1: known angles, and that length does not matter."""
    cases = [([3.0, 0.0], [2.0, 0.0], 1.0), ([1.0, 1.0], [1.0, 0.0], np.sqrt(0.5))]
    cases += [([1.0, 2.0], [-2.0, 1.0], 0.0), ([1.0, 0.0], [-5.0, 0.0], -1.0)]
    for a, b, expected in cases:
        got = float(function(np.array(a), np.array(b)))
        if abs(got - expected) > 1e-5:
            raise Hint(f"between {a} and {b} it should be {expected:.3f}, not {got:.3f}")
    return "Only the direction counts, not the length."


def weighted_average(function) -> str:
    """Exercise 2: by hand, with an unknown word, and a text of unknown words."""
    vectors = {"good": np.array([1.0, 0.0]), "the": np.array([0.0, 1.0])}
    weights = {"good": 3.0, "the": 1.0, "unheard": 9.0}
    got = np.asarray(function(["the", "good", "unheard"], vectors, weights, 2), dtype=float)
    if got.shape != (2,):
        raise Hint(f"return one vector of shape (2,), not {got.shape}")
    slips = {
        "a word without a vector must not count in the sum of weights either": [3 / 13, 1 / 13],
        "that is the plain mean; each word should count by its weight": [0.5, 0.5],
    }
    otherwise = "divide the weighted sum by the sum of the weights that were used"
    compare(got, [0.75, 0.25], otherwise, slips)
    if not np.allclose(function(["unheard"], vectors, weights, 2), 0):
        raise Hint("a text without a known word is a vector of zeros")
    return "With inverse document frequencies as weights, `the` hardly speaks."


def without_direction(function) -> str:
    """Exercise 3: nothing is left along the direction, and everything else stays."""
    rng = np.random.default_rng(0)
    matrix, direction = rng.normal(size=(6, 4)), rng.normal(size=4) * 3
    got = np.asarray(function(matrix.copy(), direction.copy()), dtype=float)
    if got.shape != matrix.shape:
        raise Hint(f"the shape must stay {matrix.shape}, not {got.shape}")
    unit = direction / np.linalg.norm(direction)
    if np.abs(got @ unit).max() > 1e-5:
        raise Hint("something still points along the direction; is it of length one?")
    if not np.allclose(got, matrix - np.outer(matrix @ unit, unit), atol=1e-5):
        raise Hint("the part along the direction is gone, and something else with it")
    return "A projection removes the direction, not everything that is correlated with it."


CHECKS = {"1": cosine, "2": weighted_average, "3": without_direction}
