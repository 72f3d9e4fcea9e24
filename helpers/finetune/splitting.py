"""Look at data before training, and cut it in three by a rule that depends on the texts alone."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from helpers.data import normalise, ranked_by_hash
from helpers.finetune.baselines import Choice, cross_validate
from helpers.finetune.data import Data

__all__ = ["Parts", "doubtful_labels", "inspect", "near_copies", "split"]

NEAR = 0.9  # cosine of TF-IDF vectors at which two texts count as near copies
MOST_COMPARED = 30_000  # texts; with more, near copies are not searched for
SHOWN, WIDTH = 5, 88  # doubtful labels quoted in a report, and characters of each


@dataclass
class Parts:
    """A data set in three: train learns, validation chooses, test reports, once (see `open_test`).

    `notes` say what was left out and why; `opened` names the model that was tested.
    """

    train: Data
    validation: Data
    test_size: int
    test_share: float
    notes: list[str] = field(default_factory=list)
    opened: str | None = None
    _test: Data | None = field(default=None, repr=False)

    def open_test(self, model: str) -> Data:
        """Hand out the test, and remember for which model.

        Raises:
            ValueError: if another model was tested on it: choosing between two models on the test
                makes its score too good.
        """
        if self.opened not in (None, model):
            raise ValueError(
                f"The test was opened for {self.opened!r} already. Choose between models on "
                "validation; to report another one honestly, collect another test."
            )
        self.opened = model
        return self._test

    def report(self) -> str:
        """Sizes of the parts and what was left out, as text."""
        sizes = f"train {len(self.train):,}, validation {len(self.validation):,}, test "
        return "\n".join([f"{sizes}{self.test_size:,}", *(f"  - {note}" for note in self.notes)])


def split(data: Data, test_size: float = 0.2) -> Parts:
    """Cut a data set in three, the same on every machine and for every seed.

    Copies are dropped, and so are texts with conflicting labels. Within each class, in the order of
    the texts' hashes, the first `test_size` (a share below 0.45) are test, the next as many
    validation, the rest train. Near copies of held-out texts leave train.

    Raises:
        ValueError: if the share makes no sense, or leaves too little.
    """
    if not 0 < test_size < 0.45:
        raise ValueError(f"test_size is {test_size}; give a share between 0 and 0.45, such as 0.2.")
    distinct, copies, conflicting = _without_copies(data)
    train, validation, test = _cut(data, distinct, test_size)
    near = {j for _, j in near_copies(data, test + validation, train)}
    near |= {j for _, j in near_copies(data, test, validation)}
    left_out = {"copies": copies, "texts with two answers": conflicting}
    left_out["near copies of held-out texts"] = len(near)
    notes = [f"{what} left out: {count:,}" for what, count in left_out.items() if count]
    if len(data) > MOST_COMPARED:
        notes.append(f"more than {MOST_COMPARED:,} texts: not searched for near copies")
    groups = data.groups
    classes = sorted({groups[i] for i in train})
    train, validation = ([i for i in rows if i not in near] for rows in (train, validation))
    if not train or not validation:
        name = "validation" if train else "train"
        raise ValueError(f"All texts of {name} are near copies of others: collect more kinds.")
    left = Counter(groups[i] for i in train)
    few = [group for group in classes if left[group] < 2]
    if few and data.task == "classification":
        raise ValueError(
            f"Of {data.label_names[few[0]]!r} {left[few[0]]} texts would be left to train on: the "
            "others are near copies of held-out ones. Collect more kinds, or leave that class out."
        )
    return Parts(
        train=data.take(train),
        validation=data.take(validation),
        test_size=len(test),
        test_share=test_size,
        notes=notes,
        _test=data.take(test),
    )


def near_copies(data: Data, rows: list[int], others: list[int]) -> list[tuple[int, int]]:
    """Pairs (row, other) whose TF-IDF vectors have a cosine of `NEAR` or more."""
    if not rows or not others or len(rows) + len(others) > MOST_COMPARED:
        return []
    texts = data.texts()
    vectors = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b|[^\w\s]", dtype=np.float32)
    matrix = vectors.fit_transform([texts[i] for i in [*rows, *others]])
    left, right = matrix[: len(rows)], matrix[len(rows) :].T.tocsr()
    pairs = []
    for start in range(0, len(rows), 500):
        alike = (left[start : start + 500] @ right).tocoo()
        close = alike.data >= NEAR
        found = zip(alike.row[close] + start, alike.col[close], strict=True)
        pairs += [(rows[i], others[j]) for i, j in found]
    return pairs


def _without_copies(data: Data) -> tuple[list[int], int, int]:
    """Numbers of the examples that count, how many copies do not, and how many in conflict."""
    first: dict[str, int] = {}
    conflicting = set()
    for i, key in enumerate(data.hashes()):
        other = first.setdefault(key, i)
        if data.labels and data.labels[other] != data.labels[i]:
            conflicting.add(other)
    distinct = [i for i in first.values() if i not in conflicting]
    return distinct, len(data) - len(first), len(conflicting)


def _cut(data: Data, rows: list[int], test_size: float) -> tuple[list[int], ...]:
    """Numbers of the examples for train, validation and test, in the order of their hashes."""
    texts, every = data.texts(), data.groups
    groups = [every[i] for i in rows]
    sizes = Counter(groups)
    held_out = {group: max(1, round(test_size * size)) for group, size in sizes.items()}
    for group, n in held_out.items():
        if sizes[group] < 2 * n + 2:
            name = data.label_names[group] if data.task == "classification" else data.source
            raise ValueError(
                f"{name!r} has {sizes[group]} different texts; with {n} each for validation "
                "and test too few are left to train on. Add some, or leave that class out."
            )
    train, validation, test = [], [], []
    for i, rank in ranked_by_hash([normalise(texts[i]) for i in rows], groups):
        n = held_out[groups[i]]
        part = test if rank < n else validation if rank < 2 * n else train
        part.append(rows[i])
    return train, validation, test


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
        choice: the linear model that questions labels; None without classes.
        doubtful: labels it contradicts, in train alone, the surest first.
    """

    data: Data
    copies: int
    conflicting: int
    leaks: int
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
    _, copies, conflicting = _without_copies(data)
    hashes = data.hashes()
    order = np.random.default_rng(seed).permutation(len(data)).tolist()
    n = max(1, round(test_size * len(data)))
    test, train = order[:n], order[n:]
    seen = {hashes[i] for i in train}
    leaked = {i for i in test if hashes[i] in seen} | {i for i, _ in near_copies(data, test, train)}
    found = Inspection(data, copies, conflicting, leaks=len(leaked))
    if data.task == "classification":
        first = {hashes[i]: i for i in reversed(range(len(data)))}
        part = split(data, test_size).train
        found.choice = cross_validate(part.items, part.labels, seed)
        kept = part.hashes()
        rows = [first[kept[i]] for i in found.choice.rows]
        found.doubtful = doubtful_labels(data, rows, found.choice.probabilities)
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
