"""Checks of the exercises in `07_lora`."""

import math

import torch

from helpers.lessons.hint import Hint, compare

__all__ = ["CHECKS"]


def lora_parameters(function) -> str:
    """Exercise 1: r parameters for each row and each column."""
    shapes = [(576, 576), (192, 576), (576, 1_536)]
    got = function(list(shapes), 4)
    expected = 4 * sum(a + b for a, b in shapes)
    if got == sum(a * b for a, b in shapes):
        raise Hint("those are the numbers in W; A is (r, in) and B is (out, r)")
    if got in (4 * sum(a for a, _ in shapes), 4 * sum(b for _, b in shapes)):
        raise Hint("that is one of the two matrices; count both")
    if got != expected:
        raise Hint(f"for {shapes} and rank 4 it should be {expected:,}, not {got}")
    if function([], 4) != 0:
        raise Hint("without a layer nothing is trained: give 0")
    return "Doubling the rank doubles the file, and changes the speed hardly at all."


def merged(function) -> str:
    """Exercise 2: the scale, the order of the product, and W left as it was."""
    torch.manual_seed(0)
    W, A, B = torch.randn(3, 5), torch.randn(4, 5), torch.randn(3, 4)
    before = W.clone()
    got = function(W, A, B, 8.0)
    if not torch.equal(W, before):
        raise Hint("W itself was changed: add with +, not with +=")
    slips = {
        "the change is scaled, by alpha over the rank": W + B @ A,
        "alpha is divided by the rank, which A's first dimension gives": W + 8.0 * (B @ A),
    }
    otherwise = "it should be W + (alpha / r) B A, in this order"
    compare(got, W + 2.0 * (B @ A), otherwise, slips, atol=1e-5)
    stabilized = function(W, A, B, 8.0, rank_stabilized=True)
    otherwise = "with rank_stabilized the scale is alpha over the root of the rank"
    compare(stabilized, W + 8.0 / math.sqrt(4) * (B @ A), otherwise, atol=1e-5)
    return "What `helpers.lora.merge` does to every adapted layer."


def best_fit(function) -> str:
    """Exercise 3: bytes of weights and of what trains, method by method."""
    cases = [(0.135e9, 1e6, 14, "full"), (1.7e9, 12e6, 14, "lora"), (7e9, 50e6, 14, "qlora")]
    cases += [(7e9, 50e6, 15, "lora"), (65e9, 500e6, 14, None), (1e9, 0, 16, "full")]
    cases += [(65e9, 0, 34, "qlora")]
    for parameters, trained, limit, expected in cases:
        got = function(parameters, trained, limit)
        if got != expected:
            raise Hint(
                f"{parameters / 1e9:g} billion parameters, {trained / 1e6:g} million trained, "
                f"{limit} GB: it should be {expected!r}, not {got!r}"
            )
    return "Activations come on top: leave a few gigabytes for them."


CHECKS = {"1": lora_parameters, "2": merged, "3": best_fit}
