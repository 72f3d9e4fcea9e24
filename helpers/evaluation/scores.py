"""One number for a whole test set, and the size of what earned it."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import f1_score

__all__ = ["accuracy", "count_parameters", "macro_f1", "perplexity"]


def accuracy(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """Share of predictions that equal the label."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or predictions.size == 0:
        raise ValueError(
            f"{predictions.size} predictions for {labels.size} labels; give one for each."
        )
    return float(np.mean(predictions == labels))


def macro_f1(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """F1 of each class, averaged with equal weight: a rare class counts as much as a common one."""
    return float(f1_score(labels, predictions, average="macro", zero_division=0))


def perplexity(nll: Sequence[float], tokens: Sequence[int]) -> float:
    """Exponential of the mean loss a token, over documents of summed loss and token count.

    Args:
        nll: summed negative log-likelihood of each document, in nats.
        tokens: predicted tokens of each document.

    Raises:
        ValueError: if no token was predicted.
    """
    if sum(tokens) == 0:
        raise ValueError("Perplexity needs at least one predicted token.")
    return float(np.exp(np.sum(nll) / np.sum(tokens)))


def count_parameters(model) -> tuple[int, int]:
    """(trainable, total) numbers in a torch module; tied weights count once.

    A classifier's head is counted once, too: peft keeps the untrained one beside the trained.
    """
    named = model.named_parameters()
    parameters = [p for name, p in named if ".original_module." not in name]
    return sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)
