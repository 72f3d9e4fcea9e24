"""Train, validation and test by a rule that depends on the texts alone; the test is opened once."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from helpers.data import normalise, ranked_by_hash
from helpers.finetune.data import Data

__all__ = ["NEAR", "Parts", "near_copies", "split", "without_copies"]

NEAR = 0.9  # cosine of TF-IDF vectors at which two texts count as near copies
MOST_COMPARED = 30_000  # texts; with more, near copies are not searched for


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
    distinct, notes = without_copies(data)
    parts = _cut(data, distinct, test_size)
    near = _near_held_out(data, parts)
    if near:
        notes.append(f"near copies of held-out texts left out: {len(near):,}")
    if len(data) > MOST_COMPARED:
        notes.append(f"more than {MOST_COMPARED:,} texts: not searched for near copies")
    _check_left(data, parts, near)
    cut = {name: data.take([i for i in rows if i not in near]) for name, rows in parts.items()}
    test = cut["test"]
    return Parts(cut["train"], cut["validation"], len(test), test_size, notes, _test=test)


def without_copies(data: Data) -> tuple[list[int], list[str]]:
    """Numbers of the examples without copies and conflicts, and notes on what was left out."""
    first: dict[str, int] = {}
    conflicting = set()
    for i in range(len(data)):
        other = first.setdefault(data.key(i), i)
        if data.labels and data.labels[other] != data.labels[i]:
            conflicting.add(other)
    notes = []
    if len(first) < len(data):
        notes.append(f"copies left out: {len(data) - len(first):,}")
    if conflicting:
        notes.append(f"texts with two answers left out: {len(conflicting):,}")
    return [i for i in first.values() if i not in conflicting], notes


def near_copies(data: Data, rows: list[int], others: list[int]) -> list[tuple[int, int]]:
    """Pairs (row, other) whose TF-IDF vectors have a cosine of `NEAR` or more."""
    texts = [data.text_of(i) for i in [*rows, *others]]
    if not rows or not others or len(texts) > MOST_COMPARED:
        return []
    vectors = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b|[^\w\s]", dtype=np.float32)
    matrix = vectors.fit_transform(texts)
    left, right = matrix[: len(rows)], matrix[len(rows) :].T.tocsr()
    pairs = []
    for start in range(0, len(rows), 500):
        alike = (left[start : start + 500] @ right).tocoo()
        close = alike.data >= NEAR
        found = zip(alike.row[close] + start, alike.col[close], strict=True)
        pairs += [(rows[i], others[j]) for i, j in found]
    return pairs


def _cut(data: Data, rows: list[int], test_size: float) -> dict[str, list[int]]:
    """Numbers of the examples of each part, in the order of their hashes."""
    groups = [data.groups[i] for i in rows]
    held_out = {g: max(1, round(test_size * size)) for g, size in Counter(groups).items()}
    for group, n in held_out.items():
        if groups.count(group) < 2 * n + 2:
            name = data.label_names[group] if data.task == "classification" else data.source
            raise ValueError(
                f"{name!r} has {groups.count(group)} different texts; with {n} each for validation "
                "and test too few are left to train on. Add some, or leave that class out."
            )
    parts: dict[str, list[int]] = {"test": [], "validation": [], "train": []}
    for i, rank in ranked_by_hash([normalise(data.text_of(i)) for i in rows], groups):
        n = held_out[groups[i]]
        name = "test" if rank < n else "validation" if rank < 2 * n else "train"
        parts[name].append(rows[i])
    return parts


def _near_held_out(data: Data, parts: dict[str, list[int]]) -> set[int]:
    """Examples of train and validation that are near copies of examples held out from them."""
    held_out = parts["test"] + parts["validation"]
    from_train = {j for _, j in near_copies(data, held_out, parts["train"])}
    return from_train | {j for _, j in near_copies(data, parts["test"], parts["validation"])}


def _check_left(data: Data, parts: dict[str, list[int]], near: set[int]) -> None:
    for name in ("train", "validation"):
        if not set(parts[name]) - near:
            raise ValueError(f"All texts of {name} are near copies of others: collect more kinds.")
    if data.task != "classification":
        return
    left = Counter(data.labels[i] for i in parts["train"] if i not in near)
    for label in sorted({data.labels[i] for i in parts["train"]}):
        if left[label] < 2:
            raise ValueError(
                f"Of {data.label_names[label]!r} {left[label]} texts would be left to train on: "
                "the others are near copies of held-out ones. Collect more kinds, or leave that "
                "class out."
            )
