"""Look at the data before anything is trained: copies, leaks, classes, lengths, doubtful labels."""

from dataclasses import dataclass, field
from statistics import median

import numpy as np

from helpers.finetune.data import Data
from helpers.finetune.linear import CrossValidated, cross_validate
from helpers.finetune.splitting import near_copies, split, without_copies

__all__ = ["Look", "doubtful_rows", "inspect"]

SHOWN = 5
WIDTH = 88


@dataclass
class Look:
    """What was seen.

    Attributes:
        rows: examples in the file.
        copies: examples that repeat an earlier one.
        two_answers: texts that stand there with two different labels.
        leaks: test examples of a random cut by rows that have a copy, or nearly one, in train.
        counts: examples of each class.
        most_common_share: what answering the largest class always would score; None without.
        words: (median, longest) words of an example.
        doubtful: (row, given label, other label, probability of the other) that cross-validation
            contradicts, the surest first; rows of train alone, counted from 0 in the file.
        checked: how many rows cross-validation has judged.
        cross_validated: what judged them; None without classes.
        data: the data set.
    """

    rows: int
    copies: int
    two_answers: int
    leaks: int
    counts: dict[str, int]
    most_common_share: float | None
    words: tuple[float, int]
    doubtful: list[tuple[int, str, str, float]] = field(default_factory=list)
    checked: int = 0
    cross_validated: CrossValidated | None = None
    data: Data | None = field(default=None, repr=False)

    def report(self) -> str:
        """Everything in words, with the surest contradictions in full."""
        lines = [self.data.summary, "What may mislead:"]
        lines.append(f"  copies of earlier examples: {self.copies:,}")
        if self.data.labels:
            lines.append(f"  texts that have two different answers: {self.two_answers:,}")
        lines.append(
            f"  leaks: cut at random by rows, {self.leaks:,} test examples would have a copy, or "
            "nearly one, in train"
        )
        if self.most_common_share is not None:
            lines.append(f"  always the commonest class: {self.most_common_share:.1%} right")
        if self.cross_validated:
            lines.append(
                f"  labels that cross-validation contradicts: {len(self.doubtful):,} of "
                f"{self.checked:,} (by a model of counted words that is itself right on "
                f"{self.cross_validated.accuracy:.0%}: the fewer, the less its doubts are worth)"
            )
        for row, given, other, sure in self.doubtful[:SHOWN]:
            text = " ".join(self.data.items[row].split())
            text = text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
            lines.append(f"    example {row}: given {given!r}, read as {other!r} ({sure:.0%})")
            lines.append(f"      {text}")
        return "\n".join(lines)


def inspect(data: Data, test_size: float = 0.2, seed: int = 0) -> Look:
    """Look at a data set for what would make a score wrong or a model worse.

    Labels are doubted only in train: who mends labels of the test with a model's help makes the
    test agree with that model.

    Args:
        data: what `read` gave.
        test_size: as for `split`.
        seed: of the random cut that is held against ours, and of the folds.
    """
    kept, _ = without_copies(data)
    keys = {data.key(i) for i in range(len(data))}
    lengths = [len(data.text_of(i).split()) for i in range(len(data))]
    look = Look(
        len(data), len(data) - len(keys), len(keys) - len(kept), _leaks(data, test_size, seed),
        data.counts(), data.most_common_share if data.task == "classification" else None,
        (median(lengths), max(lengths)), data=data,
    )  # fmt: skip
    if data.task == "classification":
        parts = split(data, test_size)
        place = {data.key(i): i for i in reversed(range(len(data)))}
        rows = [place[parts.train.key(i)] for i in range(len(parts.train))]
        look.cross_validated = cross_validate(parts.train.items, parts.train.labels, seed)
        look.doubtful = doubtful_rows(data, look.cross_validated, rows)
        look.checked = len(look.cross_validated.rows)
    return look


def doubtful_rows(
    data: Data, validated: CrossValidated, rows: list[int]
) -> list[tuple[int, str, str, float]]:
    """Labels that a model which had not seen them is sure against (Northcutt et al. 2021).

    A class's threshold is the mean probability that its own examples give it. A label is doubted
    when another class passes its threshold, and is the likeliest of those that do.

    Args:
        data: the data set.
        validated: probabilities of the training texts.
        rows: where these texts stand in the data set.

    Returns:
        (row, given label, other label, probability of the other), the surest first.
    """
    given = np.array([data.labels[rows[i]] for i in validated.rows])
    p = validated.probabilities
    own = p[np.arange(len(given)), given]
    thresholds = np.array(
        [own[given == c].mean() if (given == c).any() else 1.0 for c in range(p.shape[1])]
    )
    passing = np.where(p >= thresholds, p, 0.0)
    other = passing.argmax(axis=1)
    found = np.flatnonzero((other != given) & (passing.max(axis=1) > 0))
    found = found[np.argsort(own[found] - p[found, other[found]], kind="stable")]
    names = data.label_names
    return [
        (rows[validated.rows[i]], names[given[i]], names[other[i]], float(p[i, other[i]]))
        for i in found
    ]


def _leaks(data: Data, test_size: float, seed: int) -> int:
    """Test examples of a cut at random, copies left in, that train has seen or nearly seen."""
    order = np.random.default_rng(seed).permutation(len(data)).tolist()
    n = max(1, round(test_size * len(data)))
    test, train = order[:n], order[n:]
    seen = {data.key(i) for i in train}
    leaked = {i for i in test if data.key(i) in seen}
    return len(leaked | {i for i, _ in near_copies(data, test, train)})
