"""Checks of the exercises in `bonus/lora_choices`."""

import math

from helpers.lessons.hint import Hint

__all__ = ["CHECKS"]


def same_scale(answer) -> str:
    """Exercise 1: alpha over the square root of 64 is 2."""
    try:
        alpha = float(answer)
    except (TypeError, ValueError):
        raise Hint("give a number") from None
    if math.isclose(alpha, 128):
        raise Hint("that is plain LoRA's; rsLoRA divides by the root of the rank")
    if not math.isclose(alpha, 16):
        raise Hint("alpha over the root of 64 should be 2")
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
