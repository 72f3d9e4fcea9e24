"""Look at data before training: copies, leaks, classes, lengths, doubtful labels."""

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
        conflicting: texts that occur with two different labels.
        leaks: test examples of a random split that have a copy or near copy in train.
        words: (median, longest) words of an example.
        choice: the linear model that questions labels; None without classes.
        doubtful: labels it contradicts, in train alone, the surest first.
    """

    data: Data
    copies: int
    conflicting: int
    leaks: int
    words: tuple[float, int]
    choice: Choice | None = None
    doubtful: list[Doubt] = field(default_factory=list)

    def report(self) -> str:
        """Everything in words, with the surest contradictions quoted."""
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
    """Look for what would make a score wrong or a model worse.

    Only labels of train are questioned: mending test labels with a model's help would make the
    test agree with that model. `seed` is for the folds, and for the random split that shows leaks.
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
    """Labels contradicted by a model that had not seen them (Northcutt et al. 2021), surest first.

    A class's threshold is the mean probability that its own examples give it. A label is doubtful
    when the likeliest of the classes that pass their threshold is another one. `rows` are numbers
    of examples, and `probabilities`, (rows, classes), are theirs.
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
    """Test examples of a random split without deduplication that have a (near) copy in train."""
    order = np.random.default_rng(seed).permutation(len(data)).tolist()
    n = max(1, round(test_size * len(data)))
    test, train = order[:n], order[n:]
    seen = {data.key(i) for i in train}
    leaked = {i for i in test if data.key(i) in seen}
    return len(leaked | {i for i, _ in near_copies(data, test, train)})
