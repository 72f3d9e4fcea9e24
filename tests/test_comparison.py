"""Curves are compared on the seeds and budgets that both have."""

import numpy as np
import pytest

from helpers import evaluation
from helpers.evaluation.comparison import gain


def test_a_method_of_three_seeds_is_paired_with_the_first_three_of_five():
    rng = np.random.default_rng(0)
    five, three = rng.random((5, 40)) < 0.7, rng.random((3, 40)) < 0.6
    measured = gain({100: five}, {100: three}, 100, draws=200)
    assert measured == evaluation.paired_difference(five[:3], three, draws=200)
    assert measured.value == pytest.approx(five[:3].mean() - three.mean())


def test_a_run_without_chance_stands_for_every_seed_of_the_other():
    rng = np.random.default_rng(1)
    three, once = rng.random((3, 40)) < 0.7, rng.random((1, 40)) < 0.6
    assert gain({9: three}, {9: once}, 9, draws=100).seeds == 1
    measured = gain({9: three}, {9: once}, 9, draws=100, settled=True)
    assert measured == evaluation.paired_difference(three, once, draws=100)
    five = rng.random((5, 40)) < 0.5  # where both have seeds, both are cut to those they share
    assert gain({9: three}, {9: five}, 9, draws=100, settled=True).seeds == 3


def test_curves_of_spans_are_compared_by_f1():
    perfect, empty = np.tile([1, 0, 0], (2, 5, 1)), np.tile([0, 0, 1], (2, 5, 1))
    assert gain({32: perfect}, {32: empty}, 32, draws=50).value == 1.0


def test_a_budget_that_one_of_them_lacks_is_refused_with_those_both_have():
    ones = np.ones((1, 4), bool)
    with pytest.raises(ValueError, match="1,000 labels are not in both curves; these are: 32"):
        gain({32: ones, 1_000: ones}, {32: ones}, 1_000)
