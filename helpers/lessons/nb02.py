"""Checks of the exercises in `02_pretraining`."""

import math

import numpy as np

from helpers.lessons.hint import Hint, compare, number

__all__ = ["CHECKS"]


def trained_numbers(answer) -> str:
    """Exercise 1: the head of the small TextCNN, weights and biases."""
    body = {"embedding": 1_000 * 50, "filters": sum(w * 50 * 10 + 10 for w in (3, 4, 5))}
    head = 3 * 10 * 2 + 2
    slips = {
        "the head has a bias for each class as well": head - 2,
        "the head reads the best window of every filter, of all three widths": 10 * 2 + 2,
        "embedding and filters are frozen; only the head is trained": sum(body.values()) + head,
        "the filters are frozen as well; only the head is trained": body["filters"] + head,
    }
    otherwise = "the head has one weight for each filter and class, and a bias for each class"
    compare(number(answer), head, otherwise, slips, rtol=0)
    share = head / (sum(body.values()) + head)
    return f"{head} of {sum(body.values()) + head:,} numbers, {share:.1%}."


def perplexity(function) -> str:
    """Exercise 2: a coin, a die, certainty, and words of unequal probability."""
    for sides in (2, 6):
        got = float(function(np.full(5, math.log(1 / sides))))
        slips = {
            "surprise is minus the log-probability; mind the sign": 1 / sides,
            "that is the average surprise; take its exponential": math.log(sides),
        }
        otherwise = f"a model that always gives 1/{sides} has {sides} faces, not {got:.3f}"
        compare(got, sides, otherwise, slips, rtol=1e-6)
    got = float(function(np.zeros(3)))
    compare(got, 1, f"a model that was certain and right has one face, not {got:.3f}", rtol=1e-9)
    got = float(function(np.log([1 / 2, 1 / 8])))
    slips = {"average the surprises first, then take the exponential once": 5}
    compare(got, 4, f"for 1/2 and 1/8 it is 4, not {got:.3f}", slips, rtol=1e-6)
    return "One word given 1/2 and one given 1/8 cost as much as two given 1/4."


def unfreezing_plan(function) -> str:
    """Exercise 3: three layers over four epochs, and one layer."""
    layers = ["embedding", "convolutions", "head"]
    got = function(list(layers), 4, 0.1, 10)
    every = {"embedding": 1e-3, "convolutions": 1e-2, "head": 0.1}
    expected = [{"head": 0.1}, {"convolutions": 1e-2, "head": 0.1}, every, every]
    if not isinstance(got, list) or len(got) != 4:
        raise Hint("return a list with one dictionary for each of the 4 epochs")
    for epoch, (plan, right) in enumerate(zip(got, expected, strict=True)):
        if set(plan) != set(right):
            names = ", ".join(sorted(right))
            raise Hint(f"in epoch {epoch} these layers train: {names}; not {sorted(plan)}")
        for layer, rate in right.items():
            if not math.isclose(plan[layer], rate, rel_tol=1e-6):
                raise Hint(f"in epoch {epoch}, {layer} should have {rate:g}, not {plan[layer]:g}")
    if function(["head"], 1, 0.5, 2) != [{"head": 0.5}]:
        raise Hint("one layer and one epoch: it trains at the top rate")
    return "The same plan as `unfreeze_schedule` and `learning_rate_groups` of `training.fit`."


CHECKS = {"1": trained_numbers, "2": perplexity, "3": unfreezing_plan}
