"""Checks of the exercises in `05_named_entities`."""

import itertools

import numpy as np

from helpers.lessons.hint import Hint

__all__ = ["CHECKS"]


def to_tags(function) -> str:
    """Exercise 1: one word, several words, neighbours, nothing."""
    cases = [
        ([(0, 1, "PER")], 2, ["B-PER", "O"]),
        ([(1, 4, "WORK")], 5, ["O", "B-WORK", "I-WORK", "I-WORK", "O"]),
        ([(0, 2, "PER"), (2, 3, "PER")], 3, ["B-PER", "I-PER", "B-PER"]),
        ([], 2, ["O", "O"]),
    ]
    for spans, size, expected in cases:
        got = list(function(list(spans), size))
        if len(got) != size:
            raise Hint(f"one tag a word: {size} for {spans}, not {len(got)}")
        if got != expected:
            raise Hint(f"{spans} in {size} words should be {expected}, not {got}")
    return "Two names side by side stay two, because each begins with B."


def word_tags(function) -> str:
    """Exercise 2: later sub-words and special tokens do not count, cut words are O."""
    pieces = ["O", "B-PER", "O", "O", "B-WORK", "I-WORK", "O"]
    words = [None, 0, 0, 1, 2, 3, None]
    got = list(function(list(pieces), list(words), 5))
    if len(got) != 5:
        raise Hint(f"there are 5 words, and you gave {len(got)} tags")
    if got[0] != "B-PER":
        raise Hint("the first piece of a word decides, not its last")
    if got[4] != "O":
        raise Hint("a word without a piece was not read: it is O")
    expected = ["B-PER", "O", "B-WORK", "I-WORK", "O"]
    if got != expected:
        raise Hint(f"expected {expected}, not {got}")
    return "What was not read was not found, and counts as missed."


def best_path(function) -> str:
    """Exercise 3: compared with all paths, also where the greedy path is wrong."""
    rng = np.random.default_rng(0)
    for length, size in ((1, 3), (2, 2), (5, 3), (6, 4)):
        scores, pairs = rng.normal(size=(length, size)), rng.normal(size=(size, size)) * 2
        got = [int(tag) for tag in function(scores.copy(), pairs.copy())]
        if len(got) != length:
            raise Hint(f"a sentence of {length} words needs {length} tags, not {len(got)}")
        best = max(
            itertools.product(range(size), repeat=length),
            key=lambda path, s=scores, p=pairs: total(path, s, p),
        )
        if got == list(scores.argmax(axis=1)) != list(best):
            raise Hint("that is the best tag at each word; add the score of each pair")
        if total(got, scores, pairs) < total(best, scores, pairs) - 1e-9:
            raise Hint(f"there is a better path than {got}: {list(best)}")
    return "As good as trying every path, in as many steps as there are words."


def total(path, scores, pairs) -> float:
    """Score of a path: its words and its neighbouring pairs."""
    words = sum(row[tag] for row, tag in zip(scores, path, strict=True))
    return float(words + sum(pairs[a][b] for a, b in itertools.pairwise(path)))


CHECKS = {"1": to_tags, "2": word_tags, "3": best_path}
