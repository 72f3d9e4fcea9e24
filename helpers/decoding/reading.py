"""How a decoder goes through many rows: by length, with a bar, each answer in its row's place."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from tqdm.auto import tqdm

from helpers.runtime import shows_progress
from helpers.training import batches_by_length, pad_batch

__all__ = ["answer_rows", "pad_left"]


def answer_rows(
    model, rows, batch_size: int, answer: Callable[..., Sequence], doing: str, collate=pad_batch
) -> list[Any]:
    """Ask for an answer to each row, dropout and gradients off.

    Args:
        model: as for `batches_by_length`.
        rows: as for `batches_by_length`.
        batch_size: rows at once, of similar length.
        answer: takes a batch's tensors by name, and gives one answer for each of its rows.
        doing: what the bar says.
        collate: list of rows -> dict of tensors.
    """
    found: list[Any] = [None] * len(rows)
    bar = tqdm(total=len(rows), disable=not shows_progress(), desc=doing, leave=False)
    # An error must not leave the loop half-way: it has the model's mode and gradients to give back.
    with bar, closing(batches_by_length(model, rows, batch_size, collate)) as batches:
        for indices, batch in batches:
            for i, value in zip(indices, answer(**batch), strict=True):
                found[i] = value
            bar.update(len(indices))
    return found


def pad_left(tokenizer) -> Callable:
    """Give a `collate` for rows that go on: their last places are those where the answers begin."""
    return lambda rows: tokenizer.pad(rows, padding_side="left", return_tensors="pt", verbose=False)
