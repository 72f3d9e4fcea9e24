"""Names found, invented and missed: F1 over spans, its interval, and whether two taggers differ."""

from collections.abc import Sequence

import numpy as np

from helpers.evaluation.intervals import (
    DRAWS,
    Difference,
    Interval,
    check_pair,
    counts_table,
    mean_of_drawn_seeds,
    middle,
    resampled_means,
)
from helpers.tables import spans

__all__ = ["bootstrap_f1", "paired_f1_difference", "span_counts", "span_f1"]

FORM = ("tp", "fp", "fn")


def span_counts(
    predicted: list[list[str]], truth: list[list[str]]
) -> tuple[list[list[int]], dict[str, list[int]]]:
    """Count entity spans found, invented and missed; a span is found if borders and type agree.

    Args:
        predicted, truth: IOB2 tags per sentence.

    Returns:
        `[tp, fp, fn]` for each sentence, and for each entity type over all sentences.

    Raises:
        ValueError: if the numbers of sentences or of tags in one differ; the message names it.
    """
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predicted sentences for {len(truth)} true ones.")
    sentences, types = [], {}
    for i, (guess, gold) in enumerate(zip(predicted, truth, strict=True)):
        if len(guess) != len(gold):
            raise ValueError(f"Sentence {i}: {len(guess)} predicted tags for {len(gold)} words.")
        found, true = set(spans(guess)), set(spans(gold))
        groups = (found & true, found - true, true - found)
        sentences.append([len(group) for group in groups])
        for column, group in enumerate(groups):
            for kind, _, _ in group:
                types.setdefault(kind, [0, 0, 0])[column] += 1
    return sentences, types


def span_f1(counts: Sequence[Sequence[int]]) -> float:
    """Micro-averaged F1 from rows of `[tp, fp, fn]`; 0 without any true or predicted span."""
    return float(_f1(np.asarray(counts, float).reshape(-1, 3).sum(axis=0)))


def bootstrap_f1(
    counts: Sequence[Sequence[int]], draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Interval:
    """How far a span F1 could move on other test sentences of the same kind.

    Sentences are drawn with replacement, not spans: names of one sentence are found or missed
    together. F1 is taken from the summed counts of each draw. `counts` has `[tp, fp, fn]` per
    sentence, shape (sentences, 3).

    Raises:
        ValueError: if there are no sentences, or a row does not have three counts.
    """
    [table] = counts_table([counts], FORM, "sentences")
    rng = np.random.default_rng(seed)
    low, high = middle(_f1(resampled_means(table.T, draws, rng)), level)
    value = span_f1(table)
    # Where every draw gives the same F1, rounding must not put it outside its own interval.
    return Interval(value, min(low, value), max(high, value))


def paired_f1_difference(
    first: np.ndarray, second: np.ndarray, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Difference:
    """First tagger's span F1 minus the second's, over seeds and test sentences together.

    Each draw picks the same sentences and seeds for both, as in `paired_difference`. F1 is taken
    seed by seed and then averaged.

    Args:
        first, second: `[tp, fp, fn]` of the same sentences, shape (seeds, sentences, 3), or
            (sentences, 3) for one seed. A single seed is repeated for each seed of the other.

    Raises:
        ValueError: if the shapes do not fit; the message gives both.
    """
    a, b = (counts_table(counts, FORM, "sentences") for counts in (first, second))
    check_pair(a, b, "test sentences")
    rng = np.random.default_rng(seed)
    both = np.concatenate([a, b]).transpose(0, 2, 1)  # (seeds of a and of b, 3, sentences)
    means = resampled_means(both.reshape(-1, a.shape[1]), draws, rng)
    by_seed = _f1(means.reshape(draws, -1, 3))  # F1 of means is F1 of sums
    gap = by_seed[:, : len(a)] - by_seed[:, len(a) :]  # (draws, seeds)
    low, high = middle(mean_of_drawn_seeds(gap, rng), level)
    value = float((_f1(a.sum(axis=1)) - _f1(b.sum(axis=1))).mean())
    return Difference(value, low, high, seeds=max(len(a), len(b)), items=a.shape[1])


def _f1(counts: np.ndarray) -> np.ndarray:
    """F1 of counts (..., 3); 0 if there are no true and no predicted spans."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    whole = 2 * tp + fp + fn
    return np.divide(2 * tp, whole, out=np.zeros_like(whole), where=whole > 0)
