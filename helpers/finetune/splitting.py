"""Train, validation and test by a rule that looks at the texts alone, and a test opened once."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from helpers.finetune.data import Data

__all__ = ["NEAR", "Parts", "near_copies", "split", "without_copies"]

NEAR = 0.9  # cosine of two texts' words, from which they are copies of each other
MOST_COMPARED = 30_000  # texts; more are not compared with each other


@dataclass
class Parts:
    """A data set in three: train learns, validation chooses, test reports, once.

    Attributes:
        train, validation: the first two parts.
        test_size: examples in the third, which `open_test` gives.
        test_share: of the examples, as it was asked for.
        notes: what was left out, and why, in words.
        opened: who has seen the test.
    """

    train: Data
    validation: Data
    test_size: int
    test_share: float
    notes: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    _test: Data | None = field(default=None, repr=False)

    def open_test(self, who: str) -> Data:
        """Hand out the test, and write down to whom.

        Raises:
            ValueError: if somebody else has seen it: a choice between two models on the test makes
                its figure too good.
        """
        if self.opened and self.opened != [who]:
            raise ValueError(
                f"The test was opened for {self.opened[0]!r} already. Choose between models on "
                "validation; to report another one honestly, collect another test."
            )
        self.opened = [who]
        return self._test

    def report(self) -> str:
        """Sizes of the parts and what was left out, as text."""
        sizes = f"train {len(self.train):,}, validation {len(self.validation):,}, test "
        return "\n".join([f"{sizes}{self.test_size:,}", *(f"  - {note}" for note in self.notes)])


def split(data: Data, test_size: float = 0.2) -> Parts:
    """Cut a data set in three: the same cut on every machine and for every seed.

    Of equal texts one stays; texts with two labels are left out, since nobody knows which is
    right. Within each class, examples stand in the order of their hashes: the first are test, the
    next as many validation, the rest train. What is nearly a copy of a held-out text leaves train.

    Args:
        data: what `read` gave.
        test_size: share of the examples for test, and again for validation; below 0.45.

    Raises:
        ValueError: if the share makes no sense, or leaves too little.
    """
    if not 0 < test_size < 0.45:
        raise ValueError(f"test_size is {test_size}; give a share between 0 and 0.45, such as 0.2.")
    kept, notes = without_copies(data)
    groups: dict = {}
    for i in sorted(kept, key=data.key):
        groups.setdefault(data.labels[i] if data.task == "classification" else 0, []).append(i)
    parts: dict[str, list[int]] = {"test": [], "validation": [], "train": []}
    for label, rows in groups.items():
        n = max(1, round(test_size * len(rows)))
        if len(rows) < 2 * n + 2:
            name = data.label_names[label] if data.task == "classification" else data.source
            raise ValueError(
                f"{name!r} has {len(rows)} different texts; with {n} each for validation and test "
                "too few are left to train on. Add some, or leave that class out."
            )
        parts["test"] += rows[:n]
        parts["validation"] += rows[n : 2 * n]
        parts["train"] += rows[2 * n :]
    near, note = _part_near(data, parts)
    ordered = {name: sorted(set(rows) - near, key=data.key) for name, rows in parts.items()}
    cut = {name: data.take(rows) for name, rows in ordered.items()}
    return Parts(
        cut["train"], cut["validation"], len(cut["test"]), test_size, notes + note, [], cut["test"]
    )


def without_copies(data: Data) -> tuple[list[int], list[str]]:
    """Numbers of the examples that are no copies of earlier ones, and what was left out."""
    first: dict[str, int] = {}
    torn = set()
    for i in range(len(data)):
        other = first.setdefault(data.key(i), i)
        if data.labels and data.labels[other] != data.labels[i]:
            torn.add(other)
    kept = [i for i in first.values() if i not in torn]
    notes = []
    if len(first) < len(data):
        notes.append(f"copies left out: {len(data) - len(first):,}")
    if torn:
        notes.append(f"texts with two answers left out: {len(torn):,}")
    return kept, notes


def near_copies(data: Data, rows: list[int], others: list[int]) -> list[tuple[int, int]]:
    """Pairs (row, other) whose words, weighted by rarity, have a cosine of `NEAR` or more."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [data.text_of(i) for i in [*rows, *others]]
    if not rows or not others or len(texts) > MOST_COMPARED:
        return []
    vectors = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b|[^\w\s]", dtype=np.float32)
    matrix = vectors.fit_transform(texts)
    left, right, pairs = matrix[: len(rows)], matrix[len(rows) :].T.tocsr(), []
    for start in range(0, len(rows), 500):
        alike = (left[start : start + 500] @ right).tocoo()
        close = alike.data >= NEAR
        found = zip(alike.row[close] + start, alike.col[close], strict=True)
        pairs += [(rows[i], others[j]) for i, j in found]
    return pairs


def _part_near(data: Data, parts: dict) -> tuple[set[int], list[str]]:
    """Examples that have to leave train (or validation), so that no held-out text was seen."""
    held = parts["test"] + parts["validation"]
    from_train = {j for _, j in near_copies(data, held, parts["train"])}
    from_validation = {j for _, j in near_copies(data, parts["test"], parts["validation"])}
    near = from_train | from_validation
    note = [f"near copies of held-out texts left out: {len(near):,}"] if near else []
    if len(data) > MOST_COMPARED:
        note.append(f"more than {MOST_COMPARED:,} texts: not searched for near copies")
    for name in ("train", "validation"):
        if not set(parts[name]) - near:
            raise ValueError(f"All texts of {name} are near copies of others: collect more kinds.")
    if data.task == "classification":
        left = Counter(data.labels[i] for i in set(parts["train"]) - near)
        for label in sorted({data.labels[i] for i in parts["train"]}):
            if left[label] < 2:
                raise ValueError(
                    f"Of {data.label_names[label]!r} {left[label]} texts would be left to train "
                    "on: the others are near copies of held-out ones. Collect more kinds, or leave "
                    "that class out."
                )
    return near, note
