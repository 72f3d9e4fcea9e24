"""Checks of the exercises in `10_your_own_data`."""

import hashlib

import numpy as np

from helpers.lessons.hint import Hint

__all__ = ["CHECKS"]


def leaks(function) -> str:
    """Exercise 1: copies up to capitals and white space, counted by test text."""
    train = ["A fine film .", "so  dull", "Never again"]
    test = ["a fine FILM .", "so dull", "so dull", "quite new", "a fine film"]
    got = function(train, test)
    if got == 0:
        raise Hint("bring both sides to one form first: lower case, single spaces")
    if got in (1, 2):
        raise Hint("capitals and white space may both differ; a test text may be there twice")
    if got == 4:
        raise Hint("a full stop more or less is another text here")
    if got != 3:
        raise Hint(f"for the test case it should be 3, not {got}")
    if function(train, []) != 0:
        raise Hint("an empty test has no leak")
    return "Nearly equal texts need more than a set: `finetune.near_copies` compares their words."


def held_out_rows(function) -> str:
    """Exercise 2: stratified by class, ordered by hash, whatever the order of the rows."""
    texts = [f"text number {i}" for i in range(30)]
    labels = ["rare" if i % 3 == 0 else "common" for i in range(30)]
    got = set(function(list(texts), list(labels), 0.2))
    if len(got) != 6 or sum(labels[i] == "rare" for i in got) != 2:
        raise Hint("take the share within each class: here 2 of the 10 rare and 4 of the 20 common")
    order = np.random.default_rng(0).permutation(30)
    again = set(function([texts[i] for i in order], [labels[i] for i in order], 0.2))
    if {texts[order[i]] for i in again} != {texts[i] for i in got}:
        raise Hint("the same texts must be test when the rows come in another order")
    expected = set()
    for label in ("rare", "common"):
        rows = [i for i in range(30) if labels[i] == label]
        rows.sort(key=lambda i: hashlib.sha256(texts[i].encode("utf-8")).hexdigest())
        expected |= set(rows[: len(rows) // 5])
    if got != expected:
        raise Hint("order by hashlib.sha256(text.encode('utf-8')).hexdigest(), smallest first")
    return "No generator, no seed: the text itself decides."


def doubted_labels(function) -> str:
    """Exercise 3: confident learning with one threshold per class."""
    p = np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.2, 0.8, 0.0], [0.65, 0.35, 0.0],
                  [0.3, 0.1, 0.6], [0.1, 0.5, 0.4], [0.7, 0.0, 0.3]])  # fmt: skip
    given = np.array([0, 0, 1, 1, 2, 2, 0])
    # Thresholds: (0.9 + 0.5 + 0.7) / 3 = 0.7; (0.8 + 0.35) / 2 = 0.575; (0.6 + 0.4) / 2 = 0.5.
    got = [int(i) for i in np.ravel(function(p.copy(), given.copy()))]
    if got == [3, 5]:
        raise Hint("being the likeliest class is not enough: it has to reach its own threshold")
    if got:
        raise Hint(f"in the first test case every other class is below its threshold, not {got}")
    p[3], p[6] = [0.8, 0.2, 0.0], [0.1, 0.1, 0.8]
    # Thresholds now: (0.9 + 0.5 + 0.1) / 3 = 0.5; (0.8 + 0.2) / 2 = 0.5; 0.5 as before.
    got = [int(i) for i in np.ravel(function(p.copy(), given.copy()))]
    if got != [3, 5, 6]:
        raise Hint(f"in the second test case 3, 5 and 6 are to be doubted, not {got}")
    return "Northcutt et al. (2021a) go on from here: they count which class is taken for which."


CHECKS = {"1": leaks, "2": held_out_rows, "3": doubted_labels}
