"""Checks of the exercises in `09_whole_history`."""

import math

from helpers.lessons.hint import Hint, numbers

__all__ = ["CHECKS"]


def ten_percent(function) -> str:
    """Exercise 1: points, relative right answers, relative errors."""
    for before, after in ((0.80, 0.85), (0.50, 0.75), (0.90, 0.90)):
        found = function(before, after)
        points, right, errors = numbers(
            found, 3, "give three numbers: (points, right answers, errors)"
        )
        wanted = (
            100 * (after - before),
            100 * (after / before - 1),
            100 * (after - before) / (1 - before),
        )
        if math.isclose(points, after - before, abs_tol=1e-9) and after > before:
            raise Hint("all three in points or percent: a hundred times as much")
        if not math.isclose(points, wanted[0], abs_tol=1e-6):
            raise Hint("points are the difference of two percentages")
        if not math.isclose(right, wanted[1], abs_tol=1e-6):
            raise Hint("right answers: by which percentage of those before are there more?")
        if math.isclose(errors, -wanted[2], abs_tol=1e-6) and after > before:
            raise Hint("fewer errors should count as an improvement, above zero")
        if not math.isclose(errors, wanted[2], abs_tol=1e-6):
            raise Hint("errors are what is missing to 100 percent; which share of them is gone?")
    return "From 80 to 85 the three say 5, 6.25 and 25: ask which one a headline means."


def verdict(function) -> str:
    """Exercise 2: the course's rule on (low, value, high)."""
    yes, almost, no = (0.01, 0.04, 0.07), (-0.01, 0.02, 0.05), (-0.05, -0.01, 0.03)
    strict = (0.08, 0.12, 0.15)
    cases = (
        ([yes], 0, "supported", "the whole interval lies above: supported"),
        ([almost], 0, "partly", "only the value lies above, not its low end: partly"),
        ([no], 0, "not supported here", "the value itself is on the wrong side"),
        ([yes, no], 0, "partly", "one of two comparisons holds: partly"),
        ([yes, almost], 0, "partly", "every interval must lie above for supported"),
        ([almost, no], 0, "not supported here", "none holds, and not all values lie above"),
        ([strict], 0.10, "partly", "compare with `above`, which need not be zero"),
    )
    for intervals, above, expected, hint in cases:
        got = function(list(intervals), above)
        if not isinstance(got, str):
            raise Hint("give one of the three verdicts, as a string")
        if got != expected:
            raise Hint(f"{intervals} above {above} should be {expected!r}: {hint}")
    return "This is the rule behind every verdict above."


def frontier(function) -> str:
    """Exercise 3: the options that no cheaper or equally cheap one beats."""
    cases = (
        ([1, 10, 100], [0.6, 0.7, 0.8], [0, 1, 2]),
        ([100, 1, 10], [0.8, 0.7, 0.6], [1, 0]),
        ([1, 1, 5], [0.7, 0.6, 0.7], [0]),
        ([5, 2, 9], [0.9, 0.5, 0.9], [1, 0]),
        ([3, 3], [0.7, 0.7], [0, 1]),
    )
    for costs, accuracies, expected in cases:
        got = [int(place) for place in function(list(costs), list(accuracies))]
        if sorted(got) == sorted(expected) and got != expected:
            raise Hint("the cheapest first")
        if set(got) > set(expected):
            beaten = f"someone in {got} is beaten by one that costs no more"
            raise Hint(f"costs {costs}, accuracies {accuracies}: {beaten}")
        if got != expected:
            raise Hint(f"costs {costs}, accuracies {accuracies} should give {expected}, not {got}")
    return "Whatever is not on it is somebody's habit."


CHECKS = {"1": ten_percent, "2": verdict, "3": frontier}
