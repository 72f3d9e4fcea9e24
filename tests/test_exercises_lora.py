"""The checks of notebook 7 and of its bonus: right answers pass, usual slips get their hint."""

import importlib
import math

import pytest

from helpers.lessons import Hint


def checks_of(module):
    return importlib.import_module(f"helpers.lessons.{module}").CHECKS


def refused(check, slips):
    for slip, hint in slips:
        with pytest.raises(Hint, match=hint):
            check(slip)


def test_counting_loras_numbers():
    check = checks_of("nb07")["1"]
    assert check(lambda shapes, r: sum(r * (a + b) for a, b in shapes))
    slips = (
        (lambda shapes, r: sum(a * b for a, b in shapes), "numbers in W"),
        (lambda shapes, r: sum(r * a for a, _ in shapes), "one of the two"),
        (lambda shapes, r: sum(r * r * (a + b) for a, b in shapes), "it should be"),
        (lambda shapes, r: sum(r * (a + b) for a, b in shapes) or None, "give 0"),
    )
    refused(check, slips)


def test_merging_by_hand():
    def right(W, A, B, alpha, rank_stabilized=False):
        return W + alpha / (math.sqrt(len(A)) if rank_stabilized else len(A)) * B @ A

    def in_place(W, A, B, alpha, rank_stabilized=False):
        W += alpha / len(A) * B @ A
        return W

    check = checks_of("nb07")["2"]
    assert check(right)
    slips = (
        (in_place, "W itself was changed"),
        (lambda W, A, B, alpha, rank_stabilized=False: W + B @ A, "is scaled"),
        (lambda W, A, B, alpha, rank_stabilized=False: W + alpha * B @ A, "divided by the rank"),
        (lambda W, A, B, alpha, rank_stabilized=False: W - B @ A, "in this order"),
        (lambda W, A, B, alpha, rank_stabilized=False: right(W, A, B, alpha), "root of the rank"),
    )
    refused(check, slips)


def test_what_fits():
    def right(parameters, trained, gigabytes, order=("full", "lora", "qlora")):
        needs = {"full": 16 * parameters, "lora": 2 * parameters + 14 * trained}
        needs["qlora"] = 0.52 * parameters + 14 * trained
        return next((m for m in order if needs[m] <= gigabytes * 1e9), None)

    check = checks_of("nb07")["3"]
    assert check(right)
    slips = (
        (lambda p, t, g: right(p, t, g, ("qlora", "lora", "full")), "it should be 'full'"),
        (lambda p, t, g: right(p, 0, g) or "qlora", "it should be"),
        (lambda p, t, g: right(p, p, g), "it should be 'lora'"),
    )
    refused(check, slips)


def test_the_scale_of_rslora():
    check = checks_of("nb_lora_choices")["1"]
    assert check(16)
    refused(check, ((128, "root of the rank"), (2, "should be 2"), ("much", "a number")))


def test_the_rank_within_a_budget():
    check = checks_of("nb_lora_choices")["2"]
    assert check(lambda shapes, budget: budget // sum(a + b for a, b in shapes))
    slips = (
        (lambda shapes, budget: budget / sum(a + b for a, b in shapes), "should give"),
        (lambda shapes, budget: max(1, budget // sum(a + b for a, b in shapes)), "should give 0"),
    )
    refused(check, slips)
