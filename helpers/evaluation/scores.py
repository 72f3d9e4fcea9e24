"""One number for a whole test set, and the size of the model behind it."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import f1_score

from helpers.evaluation.intervals import (
    DRAWS,
    Interval,
    check_pair,
    counts_table,
    mean_of_drawn_seeds,
    middle,
    resampled_means,
)

__all__ = [
    "accuracy",
    "count_parameters",
    "macro_f1",
    "paired_perplexity_change",
    "perplexity",
    "perplexity_interval",
]


def perplexity_interval(
    counts: Sequence[Sequence[float]], draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Interval:
    """How far a perplexity could move on other documents of the same kind.

    Documents are drawn with replacement, not tokens: the words of one text are easy or hard
    together. As in `perplexity`, documents are weighted by their tokens. `counts` has
    `[nll, tokens]` per document, shape (documents, 2), as `document_losses` gives them.

    Raises:
        ValueError: if there are no documents, or a row is not a finite loss and a count of tokens.
    """
    table = _checked(counts)
    if len(table) != 1:
        raise ValueError(f"Counts of {len(table)} seeds: give those of one, (documents, 2).")
    means = resampled_means(table[0].T, draws, np.random.default_rng(seed))  # (draws, 2)
    low, high = middle(np.exp(means[:, 0] / means[:, 1]), level)
    value = perplexity(*table[0].T)
    # Where every draw gives the same perplexity, rounding must not put it outside its interval.
    return Interval(value, min(low, value), max(high, value))


def paired_perplexity_change(
    first: np.ndarray, second: np.ndarray, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Interval:
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
    rng = np.random.default_rng(seed)
    means = resampled_means(np.concatenate([gap, tokens[None]]), draws, rng)
    change = np.expm1(means[:, :-1] / means[:, -1:])  # (draws, seeds)
    low, high = middle(mean_of_drawn_seeds(change, rng), level)
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


def count_parameters(model) -> tuple[int, int]:
    """(trainable, total) parameters; tied weights and the copies of a head by peft count once."""
    named = model.named_parameters()
    parameters = [p for name, p in named if ".original_module." not in name]
    return sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)
