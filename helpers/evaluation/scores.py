"""Accuracy, F1 and perplexity with their intervals, and the gain of one method over another."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.metrics import f1_score

from helpers.evaluation.intervals import (
    DRAWS,
    Difference,
    Interval,
    check_pair,
    counts_table,
    mean_of_drawn_seeds,
    middle,
    paired_difference,
    resampled_means,
)
from helpers.tables import spans

__all__ = ["accuracy", "bootstrap_f1", "gain", "macro_f1"]
__all__ += ["paired_f1_difference", "paired_perplexity_change", "perplexity", "perplexity_interval"]
__all__ += ["span_counts", "span_f1"]

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


def bootstrap_f1(counts: Sequence[Sequence[int]], draws: int = DRAWS) -> Interval:
    """How far a span F1 could move on other test sentences of the same kind.

    Sentences are drawn with replacement, not spans: names of one sentence are found or missed
    together. F1 is taken from the summed counts of each draw. `counts` has `[tp, fp, fn]` per
    sentence, shape (sentences, 3).

    Raises:
        ValueError: if there are no sentences, or a row does not have three counts.
    """
    [table] = counts_table([counts], FORM, "sentences")
    rng = np.random.default_rng(0)
    low, high = middle(_f1(resampled_means(table.T, draws, rng)))
    value = span_f1(table)
    # Where every draw gives the same F1, rounding must not put it outside its own interval.
    return Interval(value, min(low, value), max(high, value))


def paired_f1_difference(first: np.ndarray, second: np.ndarray, draws: int = DRAWS) -> Difference:
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
    rng = np.random.default_rng(0)
    both = np.concatenate([a, b]).transpose(0, 2, 1)  # (seeds of a and of b, 3, sentences)
    means = resampled_means(both.reshape(-1, a.shape[1]), draws, rng)
    by_seed = _f1(means.reshape(draws, -1, 3))  # F1 of means is F1 of sums
    gap = by_seed[:, : len(a)] - by_seed[:, len(a) :]  # (draws, seeds)
    low, high = middle(mean_of_drawn_seeds(gap, rng))
    value = float((_f1(a.sum(axis=1)) - _f1(b.sum(axis=1))).mean())
    return Difference(value, low, high, seeds=max(len(a), len(b)), items=a.shape[1])


def _f1(counts: np.ndarray) -> np.ndarray:
    """F1 of counts (..., 3); 0 if there are no true and no predicted spans."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    whole = 2 * tp + fp + fn
    return np.divide(2 * tp, whole, out=np.zeros_like(whole), where=whole > 0)


def perplexity_interval(counts: Sequence[Sequence[float]], draws: int = DRAWS) -> Interval:
    """How far a perplexity could move on other documents of the same kind.

    Documents are drawn with replacement, not tokens: the words of one text are easy or hard
    together. As in `perplexity`, documents are weighted by their tokens. `counts` has
    `[nll, tokens]` per document, shape (documents, 2), as `document_losses` gives them.

    Raises:
        ValueError: if there are no documents, or a row is not a finite loss and a count of tokens.
    """
    [table] = _checked([counts])
    means = resampled_means(table.T, draws, np.random.default_rng(0))  # (draws, 2)
    low, high = middle(np.exp(means[:, 0] / means[:, 1]))
    value = perplexity(*table.T)
    # Where every draw gives the same perplexity, rounding must not put it outside its interval.
    return Interval(value, min(low, value), max(high, value))


def paired_perplexity_change(first: np.ndarray, second: np.ndarray, draws: int = DRAWS) -> Interval:
    """First model's perplexity over the second's, minus one: -0.1 is a tenth less.

    Each draw picks the same documents and seeds for both, as in `paired_difference`, so that a text
    hard for both cancels. The change is taken seed by seed and then averaged.

    Args:
        first, second: `[nll, tokens]` of the same documents, shape (seeds, documents, 2), or
            (documents, 2) for one seed. A single seed is repeated for each seed of the other.

    Raises:
        ValueError: if the shapes do not fit, or token counts differ, as with two tokenizers:
            perplexities per token cannot be compared then.
    """
    a, b = _checked(first), _checked(second)
    check_pair(a, b, "documents")
    tokens = a[0, :, 1]
    if any((each[:, 1] != tokens).any() for each in (*a, *b)):
        raise ValueError(
            "A document has another number of tokens in one of the two: their perplexities cannot "
            "be compared. Cut the texts alike, and compare models of one tokenizer."
        )
    gap = a[:, :, 0] - b[:, :, 0]  # (seeds, documents); exactly 0 for equal losses
    rng = np.random.default_rng(0)
    means = resampled_means(np.concatenate([gap, tokens[None]]), draws, rng)
    change = np.expm1(means[:, :-1] / means[:, -1:])  # (draws, seeds)
    low, high = middle(mean_of_drawn_seeds(change, rng))
    return Interval(float(np.expm1(gap.sum(axis=1) / tokens.sum()).mean()), low, high)


def _checked(counts) -> np.ndarray:
    """Counts as (seeds, documents, 2)."""
    table = counts_table(counts, ("nll", "tokens"), "documents")
    wrong = ~(np.isfinite(table).all(axis=2) & (table[:, :, 1] >= 1))
    if wrong.any():
        row, document = np.argwhere(wrong)[0]
        raise ValueError(
            f"Document {document} has [nll, tokens] {table[row, document].tolist()}: the loss must "
            "be finite and the tokens at least one. Leave out empty texts; a loss that is not "
            "finite comes from a training that failed."
        )
    return table


def accuracy(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """Share of predictions that equal the label."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or predictions.size == 0:
        raise ValueError(
            f"{predictions.size} predictions for {labels.size} labels; give one for each."
        )
    return float(np.mean(predictions == labels))


def macro_f1(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """F1 averaged over classes with equal weight: a rare class counts as much as a common one."""
    return float(f1_score(labels, predictions, average="macro", zero_division=0))


def perplexity(nll: Sequence[float], tokens: Sequence[int]) -> float:
    """Exponential of the mean loss per token; ValueError if no token was predicted.

    Args:
        nll: summed negative log-likelihood of each document, in nats.
        tokens: predicted tokens of each document.
    """
    if sum(tokens) == 0:
        raise ValueError("Perplexity needs at least one predicted token.")
    return float(np.exp(np.sum(nll) / np.sum(tokens)))


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
