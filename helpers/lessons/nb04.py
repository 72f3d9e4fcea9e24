"""Checks of the exercises in `04_bert`."""

import numpy as np
import torch

from helpers.lessons.hint import Hint, compare, number

__all__ = ["CHECKS"]


def numbers_in_a_block(answer) -> str:
    """Exercise 1: attention, feed-forward and layer norms of a block of width 384."""
    width, inner = 384, 1_536
    matrices = 4 * width * width + 2 * width * inner
    biases, norms = 4 * width + inner + width, 4 * width
    slips = {
        "biases and layer norms hold numbers as well": matrices,
        "two layer norms are missing, each with a scale and a shift for every place": matrices
        + biases,
        "every matrix has a bias as long as its output": matrices + norms,
    }
    otherwise = "count query, key, value, output; the two wide matrices; biases; two norms"
    compare(number(answer), matrices + biases + norms, otherwise, slips, rtol=0)
    share = 2 * width * inner / answer
    return f"{answer:,}; the two wide matrices are {share:.0%} of it, attention the smaller part."


def masked_weights(function) -> str:
    """Exercise 2: nothing on padding, rows sum to one, real positions as without padding."""
    scores = torch.tensor([[1.0, 2.0, 9.0], [0.0, 0.0, 9.0], [3.0, 1.0, 9.0]])
    real = torch.tensor([True, True, False])
    given = scores.clone()
    got = torch.as_tensor(function(scores, real))
    if not torch.equal(scores, given):
        raise Hint("the scores you were given have changed; work on a copy")
    if got.shape != scores.shape:
        raise Hint(f"the weights must have shape (3, 3), not {tuple(got.shape)}")
    if got[:, 2].abs().max() > 1e-6:
        raise Hint("a padded position still has weight; hide it before the softmax")
    sums = got.sum(dim=1)
    if not torch.allclose(sums, torch.ones(3), atol=1e-5):
        raise Hint("each row must sum to one; hide scores before the softmax, not weights after it")
    if not torch.allclose(got[:, :2], scores[:, :2].softmax(dim=1), atol=1e-5):
        raise Hint("the real positions should have the weights they had without padding")
    return "Minus infinity before the softmax is a weight of zero after it."


def padding_share(function) -> str:
    """Exercise 3: by hand, a last batch that is not full, and sorting."""
    cases = [([3, 5, 4, 4], 2, 2 / 18), ([5, 5], 2, 0.0), ([2, 6, 4], 2, 4 / 16)]
    for lengths, size, expected in cases:
        got = float(function(list(lengths), size))
        if np.isclose(got, 1 - sum(lengths) / (len(lengths) * max(lengths))) and got != expected:
            raise Hint("each batch is padded to its own longest text, not to the longest of all")
        if abs(got - expected) > 1e-6:
            raise Hint(f"lengths {lengths} in batches of {size}: {expected:.3f}, not {got:.3f}")
    return "This is why `training.fit` puts texts of similar length together."


CHECKS = {"1": numbers_in_a_block, "2": masked_weights, "3": padding_share}
