"""Checks of the exercises in `08_domain_llm`."""

import math

import numpy as np

from helpers.lessons.hint import Hint, compare, number

__all__ = ["CHECKS"]


def fall(answer) -> str:
    """Exercise 1: the change of a perplexity, from the change of a loss."""
    value, expected = number(answer, "give one number, such as -0.1"), math.exp(-0.25) - 1
    slips = {
        "the size is right; a fall is a negative change": -expected,
        "that is a rise: the loss falls, so the exponent is negative": math.exp(0.25) - 1,
        "that is what is left of the perplexity; by what share did it fall?": math.exp(-0.25),
        "near: for small changes nats and shares agree, here not quite": -0.25,
    }
    otherwise = "the new perplexity over the old one is e to the difference of the losses"
    compare(value, expected, otherwise, slips, rtol=0.02)
    return "The level does not matter: only the difference of the two losses does."


def answer_labels(function) -> str:
    """Exercise 2: question and padding without a label, the one true end with its own."""
    end = 2
    ids = [5, 6, 7, 8, 9, end, end, end]
    got = list(function(list(ids), 3, end))
    if len(got) != len(ids):
        raise Hint(f"give one label a token: {len(ids)}, not {len(got)}")
    if got[:3] != [-100] * 3:
        raise Hint("the question has no label: -100 for the first prompt_length tokens")
    if got[3:5] != [8, 9]:
        raise Hint("the tokens of the answer are their own labels; the loss does the shift")
    if got[5] == -100:
        raise Hint("the first end token after the question ends the answer, and is to be learned")
    if got != [-100, -100, -100, 8, 9, end, -100, -100]:
        raise Hint("what follows the end token is padding: -100")
    got = list(function([end, 6, end, 8, end], 3, end))
    if got != [-100, -100, -100, 8, end]:
        raise Hint("a question may hold end tokens, too; look for the answer's behind the question")
    if list(function([5, 6, 7, 8], 2, end)) != [-100, -100, 7, 8]:
        raise Hint("a row that was cut has no end token; its answer counts all the same")
    return "`chat_rows` never pads, and `pad_batch` pads labels with -100: the same, by order."


def pull(function) -> str:
    """Exercise 3: beta times the sigmoid of minus beta times the margin."""
    margins, beta = np.array([0.0, 20.0, -20.0, 500.0]), 0.1
    got = np.asarray(function(margins.copy(), beta), dtype=float)
    expected, turned = (beta / (1 + np.exp(sign * beta * margins)) for sign in (1, -1))
    if got.shape != margins.shape:
        raise Hint(f"give one weight a pair, shape {margins.shape}")
    slips = {
        "the chain rule brings one more beta in front": expected / beta,
        "without its sign: weights are positive": -expected,
        "turned round: a pair with a large margin is settled, and pulls least": turned,
    }
    otherwise = f"for a margin of 0 and beta 0.1 it is 0.05, not {got[0]:.4f}"
    compare(got, expected, otherwise, slips, rtol=1e-3, atol=1e-9)
    return "A pair on the wrong side pulls with almost all of beta, a settled one with nothing."


CHECKS = {"1": fall, "2": answer_labels, "3": pull}
