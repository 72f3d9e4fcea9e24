"""Look at the data before anything is trained: copies, leaks, classes, lengths, doubtful labels."""

from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np

from helpers.finetune.baselines import Choice, cross_validate, held_out_probabilities
from helpers.finetune.data import Data
from helpers.finetune.splitting import near_copies, split, without_copies

__all__ = ["Doubt", "Inspection", "doubtful_labels", "inspect"]

SHOWN = 5
WIDTH = 88


class Doubt(NamedTuple):
    """A label that cross-validation contradicts."""

    row: int  # of the file, counted from 0
    given: str
    other: str
    probability: float  # of the other


@dataclass
class Inspection:
    """What is in a data set.

    Attributes:
        data: the data set.
        copies: examples that repeat an earlier one.
        conflicting: texts that stand there with two different labels.
        leaks: test examples of a random cut by rows that have a copy, or nearly one, in train.
        words: (median, longest) words of an example.
        choice: of the linear model whose cross-validation doubts labels; None without classes.
        doubtful: what it contradicts, the surest first; rows of train alone.
    """

    data: Data
    copies: int
    conflicting: int
    leaks: int
    words: tuple[float, int]
    choice: Choice | None = None
    doubtful: list[Doubt] = field(default_factory=list)

    def report(self) -> str:
        """Everything in words, with the surest contradictions in full."""
        lines = [self.data.summary, "What may mislead:"]
        lines.append(f"  copies of earlier examples: {self.copies:,}")
        if self.data.labels:
            lines.append(f"  texts that have two different answers: {self.conflicting:,}")
        lines.append(
            f"  leaks: cut at random by rows, {self.leaks:,} test examples would have a copy, or "
            "nearly one, in train"
        )
        if self.choice is None:
            return "\n".join(lines)
        lines.append(f"  always the commonest class: {self.data.most_common_share:.1%} right")
        lines.append(
            f"  labels that cross-validation contradicts: {len(self.doubtful):,} of "
            f"{len(self.choice.rows):,} (by a model of counted words that is itself right on "
            f"{self.choice.accuracy:.0%}: the fewer, the less its doubts are worth)"
        )
        for row, given, other, probability in self.doubtful[:SHOWN]:
            text = " ".join(self.data.items[row].split())
            text = text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
            shown = f"given {given!r}, read as {other!r} ({probability:.0%})"
            lines += [f"    example {row}: {shown}", f"      {text}"]
        return "\n".join(lines)


def inspect(data: Data, test_size: float = 0.2, seed: int = 0) -> Inspection:
    """Look at a data set for what would make a score wrong or a model worse.

    Labels are doubted only in train: to mend labels of the test with a model's help makes the test
    agree with that model.

    Args:
        data: what `read` gave.
        test_size: as for `split`.
        seed: of the random cut that is held against ours, and of the folds.
    """
    distinct, _ = without_copies(data)
    keys = {data.key(i) for i in range(len(data))}
    lengths = [len(data.text_of(i).split()) for i in range(len(data))]
    found = Inspection(
        data=data,
        copies=len(data) - len(keys),
        conflicting=len(keys) - len(distinct),
        leaks=_leaks(data, test_size, seed),
        words=(median(lengths), max(lengths)),
    )
    if data.task == "classification":
        train = split(data, test_size).train
        first = {data.key(i): i for i in reversed(range(len(data)))}
        found.choice = cross_validate(train.items, train.labels, seed)
        p = held_out_probabilities(train.items, train.labels, found.choice, seed)
        rows = [first[train.key(i)] for i in found.choice.rows]
        found.doubtful = doubtful_labels(data, rows, p)
    return found


def doubtful_labels(data: Data, rows: list[int], probabilities: np.ndarray) -> list[Doubt]:
    """Labels that a model which had not seen them is sure against (Northcutt et al. 2021).

    A class's threshold is the mean probability that its own examples give it. A label is doubted
    when another class passes its threshold, and is the likeliest of those that do.

    Args:
        data: the data set.
        rows: numbers of the examples that were judged.
        probabilities: of each class for these, (rows, classes).

    Returns:
        Doubts, the surest first.
    """
    given, p = np.array([data.labels[i] for i in rows]), probabilities
    own = p[np.arange(len(given)), given]
    thresholds = np.array(
        [own[given == c].mean() if (given == c).any() else 1.0 for c in range(p.shape[1])]
    )
    passing = np.where(p >= thresholds, p, 0.0)
    other = passing.argmax(axis=1)
    found = np.flatnonzero((other != given) & (passing.max(axis=1) > 0))
    found = found[np.argsort(own[found] - p[found, other[found]], kind="stable")]
    names = data.label_names
    return [Doubt(rows[i], names[given[i]], names[other[i]], float(p[i, other[i]])) for i in found]


def _leaks(data: Data, test_size: float, seed: int) -> int:
    """Test examples of a cut at random, copies left in, that train has seen or nearly seen."""
    order = np.random.default_rng(seed).permutation(len(data)).tolist()
    n = max(1, round(test_size * len(data)))
    test, train = order[:n], order[n:]
    seen = {data.key(i) for i in train}
    leaked = {i for i in test if data.key(i) in seen}
    return len(leaked | {i for i, _ in near_copies(data, test, train)})
