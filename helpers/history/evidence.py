"""Ways to put a claim to the test: each is a function of the results, and gives an interval.

All comparisons are paired: the same seeds and the same test items on both sides. Where rows are
missing, every measure gives None.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from helpers import evaluation
from helpers.evaluation import Interval
from helpers.history.results import REVIEWS, At, Results

__all__ = [
    "CONTROLS",
    "FEW",
    "Measure",
    "Measured",
    "best_of",
    "compare",
    "gain",
    "more_than_best",
    "over_less_of_it",
    "relative",
    "surprise",
]

FEW = 320
"""Labels at which claims are tested, unless they name another number: the course's middle."""

CONTROLS = ("random", "from scratch", "zero-shot: ", "untouched")
"""Pieces of names of rows that are no method of an era: controls, and single prompts."""


class Measured(NamedTuple):
    """A value with its interval, and what it was compared with where code chose that."""

    interval: Interval
    against: str = ""


Measure = Callable[[Results], Measured | None]


def compare(results: Results, first: At, second: At) -> evaluation.Difference | None:
    """First place minus second, in shares of one: accuracy, span F1 or right pairs."""
    if (first, second) not in results.compared:
        pair = results.pair(first, second)
        spans = pair is not None and pair[0].ndim == 3
        measure = evaluation.paired_f1_difference if spans else evaluation.paired_difference
        results.compared[first, second] = pair and measure(*pair, results.draws)
    return results.compared[first, second]


def gain(
    first: str | tuple[str, ...],
    second: str | tuple[str, ...],
    labels: int = FEW,
    *,
    second_labels: int | None = None,
    task: str = REVIEWS,
) -> Measure:
    """First method minus second; `second_labels` is 0 for one that is only asked."""

    def measure(results: Results) -> Measured | None:
        beside = labels if second_labels is None else second_labels
        found = compare(results, At(first, labels, task), At(second, beside, task))
        return Measured(found) if found else None

    return measure


def over_less_of_it(first: str, second: str, few: int = FEW, many: int = 6_398) -> Measure:
    """By how much the gain of first over second is larger with few labels than with many."""

    def measure(results: Results) -> Measured | None:
        pairs = [results.pair(At(first, n), At(second, n)) for n in (few, many)]
        if None in pairs:
            return None
        gains = [np.subtract(*(side.astype(float) for side in pair)) for pair in pairs]
        seeds = min(map(len, gains))
        if seeds > 1:  # a lone seed stands beside all of the other's
            gains = [gain[:seeds] for gain in gains]
        return Measured(evaluation.paired_difference(*gains, draws=results.draws))

    return measure


def best_of(
    results: Results, eras: Iterable[str], task: str = REVIEWS, labels: int = FEW
) -> str | None:
    """The method of some eras that did best on test at a budget, with target labels alone.

    To choose it on test flatters it, which is meant: it is the bar for who comes later.
    """
    means = {}
    for row in results.all:
        if row["era"] in eras and row["task"] == task and row["source_labels"] == 0:
            name = row["method"]
            known = not any(piece in name for piece in CONTROLS)
            values = results.values(At(name, labels, task)) if known else ()
            if len(values):
                means[name] = float(values.mean())
    return max(means, key=means.get) if means else None


def more_than_best(
    method: str, eras: Iterable[str], task: str = REVIEWS, labels: int = FEW
) -> Measure:
    """A method minus the best of some eras, which `best_of` finds."""

    def measure(results: Results) -> Measured | None:
        best = best_of(results, eras, task, labels)
        found = compare(results, At(method, labels, task), At(best, labels, task)) if best else None
        return Measured(found, best) if found else None

    return measure


def surprise(
    first: str | tuple[str, ...],
    second: str | tuple[str, ...],
    labels: int = FEW,
    task: str = "news",
) -> Measure:
    """By which share the perplexity of first is above that of second, which saw no label."""

    def measure(results: Results) -> Measured | None:
        pair = results.pair(At(first, labels, task), At(second, 0, task))
        if pair is None or (pair[0][..., 1] != pair[1][..., 1]).any():  # other tokens, other units
            return None
        return Measured(evaluation.paired_perplexity_change(*pair, results.draws))

    return measure


def relative(
    first: str, second: str | tuple[str, ...], labels: int = FEW, *, errors: bool = False
) -> Measure:
    """By which share first has more right answers than the unlabelled second, or fewer errors."""

    def measure(results: Results) -> Measured | None:
        pair = results.pair(At(first, labels), At(second, 0))
        if pair is None:
            return None
        a, b = (side != errors for side in pair)  # (seeds, items): what is counted
        if not b.any():
            return None
        found = evaluation.paired_relative_change(a, b, results.draws)
        fewer = Interval(-found.value, -found.high, -found.low)
        return Measured(fewer if errors else found)

    return measure
