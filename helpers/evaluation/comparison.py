"""Compare two learning curves, seed by seed and item by item."""

from collections.abc import Mapping

import numpy as np

from helpers.evaluation.intervals import DRAWS, Difference, paired_difference
from helpers.evaluation.spans import paired_f1_difference

__all__ = ["gain"]


def gain(
    first: Mapping[int, np.ndarray],
    second: Mapping[int, np.ndarray],
    labels: int,
    draws: int = DRAWS,
    settled: bool = False,
) -> Difference:
    """First method minus second at one budget, on the seeds that both have.

    Seed k draws the same labels for every method, so methods with five and with three seeds pair on
    the first three. A method with one run is compared on that seed alone, and the interval then
    says nothing about other seeds.

    Args:
        first, second: {labels: outcomes}, as `reference_curve` and `learning_curve` give them:
            (seeds, items), or (seeds, sentences, 3) for spans.
        settled: whether a single run stands for every seed, because nothing in it is random: a
            linear model or a CRF on all labels.

    Raises:
        ValueError: if one of the curves lacks the budget; the message lists those that both have.
    """
    if labels not in first or labels not in second:
        both = ", ".join(f"{n:,}" for n in sorted(set(first) & set(second))) or "none"
        raise ValueError(f"{labels:,} labels are not in both curves; these are: {both}.")
    counts = len(first[labels]), len(second[labels])
    seeds = max(counts) if settled and 1 in counts else min(counts)
    compare = paired_f1_difference if first[labels].ndim == 3 else paired_difference
    return compare(first[labels][:seeds], second[labels][:seeds], draws)
