"""Checks of the exercises in `06_gpt`."""

import math

import numpy as np
import torch

from helpers.lessons.hint import Hint, compare, numbers

__all__ = ["CHECKS"]


def even_guess(answer) -> str:
    """Exercise 1: perplexity and bits of a uniform guess over 4,096 sub-words."""
    perplexity, bits = numbers(answer, 2, "give two numbers: (perplexity, bits)")
    otherwise = "perplexity is one over the probability of each piece, if all are the same"
    compare(perplexity, 4_096, otherwise, rtol=1e-6)
    nats = "that is the loss in nats, with the natural logarithm; bits take base two"
    otherwise = "bits are the logarithm, base two, of the perplexity"
    compare(bits, 12, otherwise, {nats: math.log(4_096)}, rtol=1e-3)
    return f"In nats, as a loss is printed, it is {math.log(4_096):.2f}."


def continuation(function) -> str:
    """Exercise 2: the answer's tokens, each predicted one place earlier."""
    table = torch.tensor([[0.5, 0.2, 0.2, 0.1], [0.1, 0.6, 0.2, 0.1], [0.3, 0.3, 0.3, 0.1],
                          [0.05, 0.15, 0.2, 0.6], [0.25, 0.25, 0.25, 0.25]])  # fmt: skip
    ids = torch.tensor([3, 0, 2, 1, 3])
    logs = table.log()
    got = float(function(logs.clone(), ids.clone(), 3))
    expected = math.log(0.3) + math.log(0.6)  # token 1 after place 2, token 3 after place 3
    unshifted = math.log(0.15) + math.log(0.25)
    slips = {
        "row i is what comes after place i: the token at place 3 is judged by row 2": unshifted,
        "the answer's first token counts, too: it is judged by the row before `start`": math.log(
            0.6
        ),
        "without per_token, the logarithms are added up": expected / 2,
    }
    compare(got, expected, f"for the test case it should be {expected:.4f}, not {got:.4f}", slips)
    mean = float(function(logs.clone(), ids.clone(), 3, per_token=True))
    compare(mean, expected / 2, f"with per_token it should be {expected / 2:.4f}, not {mean:.4f}")
    single = float(function(logs.clone(), ids.clone(), 4, per_token=True))
    compare(single, math.log(0.6), "an answer of one token has the likelihood of that token")
    return "`label_scores` does the same, with the prompt read once for all labels."


def pays_after(function) -> str:
    """Exercise 3: training seconds against seconds per answer, strictly less, or never."""
    cases = [(0.5, 0.1, 100.0, 251), (0.5, 0.1, 99.9, 250), (0.2, 0.1, 0.0, 1)]
    cases += [(0.1, 0.1, 5.0, None), (0.1, 0.3, 5.0, None)]
    for shown, tuned, training, expected in cases:
        got = function(shown, tuned, training)
        if expected is None and got is not None:
            raise Hint("if an answer is not faster, training is never won back: give None")
        if expected is not None and (got is None or got != expected):
            if got is not None and np.isclose(got, training / (shown - tuned), atol=0.51):
                raise Hint("a whole number of answers, at which the total is strictly less")
            raise Hint(f"{shown}, {tuned} and {training} should give {expected}, not {got}")
    return "With your own seconds from the table above: where does it stand?"


CHECKS = {"1": even_guess, "2": continuation, "3": pays_after}
