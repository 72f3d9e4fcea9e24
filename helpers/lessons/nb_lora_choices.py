"""Checks of the exercises in `bonus/lora_choices`."""

from helpers.lessons.hint import Hint, compare, number

__all__ = ["CHECKS"]


def same_scale(answer) -> str:
    """Exercise 1: alpha over the square root of 64 is 2."""
    slips = {"that is plain LoRA's; rsLoRA divides by the root of the rank": 128}
    otherwise = "alpha over the root of 64 should be 2"
    compare(number(answer, "give a number"), 16, otherwise, slips, rtol=1e-9)
    return "The same number as plain LoRA's at rank 8, since the root of 64 is 8."


def rank_for(function) -> str:
    """Exercise 2: a rank costs the rows and columns of every layer."""
    shapes = [(576, 576), (192, 576)]
    each = 576 + 576 + 192 + 576
    cases = [(each, 1), (2 * each - 1, 1), (10 * each, 10), (each - 1, 0)]
    for budget, expected in cases:
        got = function(list(shapes), budget)
        if got != expected:
            raise Hint(f"{shapes} within {budget:,} should give {expected}, not {got!r}")
    return "So feed-forward layers, being wide, get a lower rank for the same file."


CHECKS = {"1": same_scale, "2": rank_for}
