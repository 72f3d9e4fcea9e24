"""Exercises of `start_here`: three bars, a leash for the weights, the bootstrap by hand."""

import numpy as np

from helpers.lessons.exercise import Exercise, Slip

__all__ = ["EXERCISES"]

# --- a pull towards the start


def leashed_gradient(X, y, weights, start, pull):
    """The mean gradient of the logistic loss, plus the pull back towards the start."""
    error = 1 / (1 + np.exp(-(X @ weights))) - y
    return X.T @ error / len(y) + pull * (weights - start)


def _pulled(by):
    """The gradient with another pull: `by(pull, number of rows)` times weights minus start."""

    def wrong(X, y, weights, start, pull):
        return leashed_gradient(X, y, weights, start, by(pull, len(y)))

    return wrong


def _summed(X, y, weights, start, pull):
    error = 1 / (1 + np.exp(-(X @ weights))) - y
    return X.T @ error + pull * (weights - start)


def _to_zero(X, y, weights, start, pull):
    return leashed_gradient(X, y, weights, 0 * start, pull)


def _drawn(rows, pull):
    rng = np.random.default_rng(rows)
    X, y = rng.normal(size=(rows, 5)), rng.integers(0, 2, rows)
    return X, y, rng.normal(size=5), rng.normal(size=5), pull


LEASH = Exercise(
    id="start.leash",
    solution=leashed_gradient,
    cases=(_drawn(12, 0.0), _drawn(7, 0.5), _drawn(9, 2.0)),
    slips=(
        Slip("look at the pull: it is missing", _pulled(lambda pull, n: 0)),
        Slip("look at the pull: it pushes away from the start", _pulled(lambda pull, n: -pull)),
        Slip("look at the pull: it is twice too strong", _pulled(lambda pull, n: 2 * pull)),
        Slip("look at the pull: it is not divided by the texts", _pulled(lambda pull, n: pull / n)),
        Slip("look at the pull: it leads to zero, not to the start", _to_zero),
        Slip("average the loss over the texts, do not add it up", _summed),
    ),
    refused=(lambda X, y, weights, start, pull: np.zeros(5),),
    help="Add `pull * (weights - start)` to the gradient of the loss: the step then goes back.",
    praise="A small change to the gradient, and the start becomes a prior.",
)

# --- the paired bootstrap


def paired_interval(first, second, draws, rng):
    """The middle 95 % of the mean differences of items drawn with replacement."""
    difference = first - second
    items = rng.integers(0, len(difference), size=(draws, len(difference)))
    return tuple(np.percentile(difference[items].mean(axis=1), [2.5, 97.5]))


def _drawn_apart(first, second, draws, rng):
    i, j = (rng.integers(0, len(first), size=(draws, len(first))) for _ in range(2))
    return tuple(np.percentile(first[i].mean(axis=1) - second[j].mean(axis=1), [2.5, 97.5]))


def _ninety(first, second, draws, rng):
    items = rng.integers(0, len(first), size=(draws, len(first)))
    return tuple(np.percentile((first - second)[items].mean(axis=1), [5, 95]))


def _as_shares(first, second, draws, rng):
    items = rng.integers(0, len(first), size=(draws, len(first)))
    return tuple(np.percentile((first - second)[items].mean(axis=1), [0.025, 0.975]))


def _permuted(first, second, draws, rng):
    signs = rng.choice([-1, 1], size=(draws, len(first)))
    return tuple(np.percentile((signs * (first - second)).mean(axis=1), [2.5, 97.5]))


def _items_spread(first, second, draws, rng):
    return tuple(np.percentile(first - second, [2.5, 97.5]))


def _pair(seed, gain):
    rng = np.random.default_rng(seed)
    first = rng.random(60)
    return first, 0.6 * first + 0.4 * rng.random(60) - gain, 10_000, np.random.default_rng(2)


INTERVAL = Exercise(
    id="start.interval",
    solution=paired_interval,
    cases=(_pair(0, 0.1), _pair(1, -0.3)),
    slips=(
        Slip("the lower end comes first", lambda *case: paired_interval(*case)[::-1]),
        Slip("subtract the second from the first", lambda a, b, *how: paired_interval(b, a, *how)),
        Slip("draw item numbers once and use them for both methods", _drawn_apart),
        Slip("take the percentiles 2.5 and 97.5: what you cut is ten percent", _ninety),
        Slip("percentiles go from 0 to 100, quantiles from 0 to 1", _as_shares),
        Slip("draw items with replacement; changing signs tests whether there is none", _permuted),
        Slip("that is how far items differ; take the percentiles of the means", _items_spread),
    ),
    help="One table of item numbers, (draws, items), indexes first - second; then a mean per row.",
    praise="This is how every claim of the course is decided.",
    rtol=0,
    atol=0.006,
)

# --- reading three bars

BARS = Exercise(
    id="start.bars",
    solution="b",
    slips=(
        Slip("compare the first and the third bar: same labels, which start did better?", "a"),
        Slip("the source alone is the lowest of the three bars", "c"),
        Slip('answer with one letter: "a", "b" or "c"', "the source", lambda a: a not in "abc"),
    ),
    help="Target only and source then target have the same labels. The first is higher.",
    praise="The same labels do better from zero: negative transfer.",
)

EXERCISES = (BARS, LEASH, INTERVAL)
