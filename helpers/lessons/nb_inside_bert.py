"""Checks of the exercises in `bonus/inside_bert`."""

import numpy as np

from helpers.lessons.hint import Hint, compare, numbers

__all__ = ["CHECKS"]


def number_of_pairs(answer) -> str:
    """Exercise 1: 64 texts, 64 * 63 / 2 pairs; 32 * 31 / 2 in each of two classes."""
    every, same = numbers(answer, 2, "give two numbers: all pairs, and those of one class")
    if every in (64 * 63, 64 * 64):
        raise Hint("each pair counts once, and no text is paired with itself")
    if every != 64 * 63 // 2:
        raise Hint("among 64 texts, each can be paired with 63 others; count each pair once")
    if same == 32 * 31 // 2:
        raise Hint("that is one class; there are two")
    if same != 32 * 31:
        raise Hint("within each class there are 32 * 31 / 2 pairs")
    return "A little under half of the pairs are of one class: the answers are nearly balanced."


def block_movement(function) -> str:
    """Exercise 2: 3-4-5 triangles over two arrays of unequal size."""
    before = {"large": np.full((4, 4), 3.0), "small": np.array([9.0, 12.0])}  # lengths 12, 15
    after = {"large": before["large"] + 1.0, "small": before["small"] + [0.0, 3.0]}  # 4, 3
    got = float(function(before, after))
    expected = 5 / np.sqrt(12**2 + 15**2)
    slips = {
        "that is the mean of the ratios; join the arrays before you divide": (4 / 12 + 3 / 15) / 2,
        "lengths do not add up, squared lengths do": 7 / 27,
        "that is the ratio of the squared lengths; the root is missing": expected**2,
        "divide by the length of the block before, not after": 5 / np.sqrt(16**2 + 9**2 + 15**2),
    }
    otherwise = f"for this example it should be {expected:.4f}, not {got:.4f}"
    compare(got, expected, otherwise, slips, rtol=1e-5)
    return "A large matrix now counts for more than a small one."


CHECKS = {"1": number_of_pairs, "2": block_movement}
