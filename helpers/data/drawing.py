"""Choices that the texts themselves decide: splits and budgets by the order of their hashes.

A hash cannot change with a version of a library, unlike a generator's shuffle, and it does not
depend on the order in which texts were read.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

__all__ = ["normalise", "ranked_by_hash", "text_hash"]


def normalise(text: str) -> str:
    """Bring a text to the form in which two copies are equal: lower case, single spaces."""
    return " ".join(text.lower().split())


def text_hash(text: str) -> str:
    """Sha256 of a text, by which splits are made and reviews are named without being copied."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def ranked_by_hash(
    texts: Sequence[str], groups: Sequence[Hashable] | None = None, seed: int | None = None
) -> Iterator[tuple[int, int]]:
    """Go through texts in the order of their hashes, each with its rank within its group.

    To draw `n` texts of each class, take those of a rank below `n`: with one seed, a smaller draw
    is part of a larger one.

    Args:
        texts: what is hashed; equal texts keep their order.
        groups: the class of each text; without it all are one group.
        seed: another seed is another order; without one there is a single order for everyone.

    Yields:
        (position in `texts`, rank from 0).
    """
    salt = "" if seed is None else f"{seed}:"
    hashes = [text_hash(salt + text) for text in texts]
    seen: Counter = Counter()
    for i in sorted(range(len(texts)), key=hashes.__getitem__):
        group = groups[i] if groups is not None else None
        yield i, seen[group]
        seen[group] += 1
