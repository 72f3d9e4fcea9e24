"""From texts to the batches of integers that a network reads.

Rows are Datasets with `input_ids` (or `pixel_values`) and `labels`.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from datasets import Dataset

from helpers.networks import IGNORED, UNKNOWN

__all__ = [
    "Rows",
    "batches_by_length",
    "cut_windows",
    "device_of",
    "encode_texts",
    "epoch_order",
    "language_model_windows",
    "pad_batch",
]

INPUTS = ("input_ids", "pixel_values")
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def encode_texts(
    texts, vocabulary, tokenize, labels=None, max_length: int | None = None
) -> Dataset:
    """Turn texts into the rows that `fit` and `predict` take, cut to `max_length` tokens.

    `tokenize` (text -> tokens) must be the one that built the `networks.Vocabulary`. A text without
    a token becomes one unknown word.
    """
    ids = [vocabulary.encode(tokenize(text))[:max_length] or [UNKNOWN] for text in texts]
    columns = {"input_ids": ids} | ({} if labels is None else {"labels": list(labels)})
    return Dataset.from_dict(columns)


def language_model_windows(texts, vocabulary, tokenize, window: int = 64) -> Dataset:
    """Join texts into one running text, and cut it into rows that predict `window` words each."""
    ids = np.concatenate([np.array(vocabulary.encode(tokenize(t)), np.int64) for t in texts])
    return cut_windows(ids, window)


def cut_windows(ids: np.ndarray, window: int) -> Dataset:
    """Cut the ids of a running text (tokens,) into rows that predict `window` tokens each.

    `input_ids` and `labels` are the same `window + 1` ids. Neighbours share one token, so that
    each is predicted once; an incomplete window at the end is dropped.

    Raises:
        ValueError: if the ids do not fill one window.
    """
    n = (len(ids) - 1) // window
    if n < 1:
        raise ValueError(f"{len(ids)} tokens do not fill a window of {window}; use a shorter one.")
    cut = np.lib.stride_tricks.sliding_window_view(ids, window + 1)[::window][:n]
    return Dataset.from_dict({"input_ids": cut, "labels": cut})


def epoch_order(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int, length_grouped: bool = True
) -> list[int]:
    """Return the order in which `fit` shows rows of given lengths, shuffled anew in each epoch.

    Epochs count from 0. With `length_grouped` rows of similar length share a batch, the whole set
    being one pool, and batches come in random order. A batch that is not full comes last.
    """
    rng, n = np.random.default_rng([seed, epoch]), len(lengths)
    order = rng.permutation(n)
    if length_grouped:
        # Ties are in random order. In a small set there are few of them, and without noise a row
        # would meet the same neighbours in every epoch. This much costs little padding.
        noise = rng.normal(scale=np.std(lengths) * batch_size / n, size=n)
        order = order[np.argsort((lengths + noise)[order], kind="stable")]
    full, rest = divmod(n, batch_size)
    start = batch_size * rng.integers(full + 1)  # else the longest rows were always the few
    few, others = order[start : start + rest], np.delete(order, slice(start, start + rest))
    batches = rng.permutation(others.reshape(full, batch_size))
    return [*batches.ravel().tolist(), *few.tolist()]


def pad_batch(rows: list[dict], pad_id: int = 0) -> dict:
    """Join rows into one batch of tensors, padded on the right to the longest row.

    `input_ids` are padded with `pad_id`, `labels` with -100 (left out of the loss), other columns
    with 0; `attention_mask` is made if the rows lack it.
    """
    batch = {}
    for name in rows[0]:
        values = [np.asarray(row[name]) for row in rows]
        if values[0].ndim == 1:
            fill = {"input_ids": pad_id, "labels": IGNORED}.get(name, 0)
            padded = np.full((len(rows), max(map(len, values))), fill, values[0].dtype)
            for i, value in enumerate(values):
                padded[i, : len(value)] = value
        else:
            padded = np.stack(values)
        batch[name] = torch.from_numpy(padded)
    if "input_ids" in batch and "attention_mask" not in batch:
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        positions = torch.arange(batch["input_ids"].shape[1])
        batch["attention_mask"] = (positions < lengths[:, None]).long()
    return batch


def device_of(model) -> str:
    """Return where a model's parameters are: `cpu`, `cuda`, `mps`."""
    return next(model.parameters()).device.type


def autocast(model, precision: str) -> torch.autocast:
    """Compute matrix products in this number format inside a `with` block; weights stay as is."""
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}; use {', '.join(PRECISIONS)}.")
    dtype = PRECISIONS[precision]
    return torch.autocast(device_of(model), dtype, enabled=dtype is not None)


@contextmanager
def batches_by_length(
    model, rows, batch_size: int, collate: Callable = pad_batch, precision: str = "float32"
) -> Iterator[Iterator[tuple[list[int], dict]]]:
    """Evaluate a model: `with` this `as batches`, each (row numbers, batch) of similar length.

    Inside the block the model is in evaluation mode and gradients are off; both are restored at
    its end, also after an error.

    Args:
        rows: a Dataset, of which the columns that `model.forward` takes are read; `Rows`; or a
            list of dicts with `input_ids`, the same keys in each.
        collate: list of rows -> dict of tensors.
        precision: as for `fit`.
    """
    if isinstance(rows, Dataset):
        rows = Rows(model, rows, "dataset", labelled=False)
    lengths = rows.lengths if isinstance(rows, Rows) else [len(row["input_ids"]) for row in rows]
    order = np.argsort(lengths, kind="stable").tolist()
    was_training, device = model.training, device_of(model)

    def batches():
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            batch = collate([rows[i] for i in indices])
            yield indices, {name: tensor.to(device) for name, tensor in batch.items()}

    model.eval()
    try:
        with torch.no_grad(), autocast(model, precision):
            yield batches()
    finally:
        model.train(was_training)


class Rows:
    """Hold a dataset's columns in memory, checked against a model.

    Decoding Arrow rows batch by batch takes a good part of a small network's training time. The
    model's `forward` decides which columns are kept, its `num_labels` which labels are possible;
    `name` is for error messages. `lengths` are the tokens of each row, 1 for an image.

    Raises:
        ValueError: if the dataset is empty, lacks a column, or has impossible labels.
    """

    def __init__(self, model, dataset: Dataset, name: str, labelled: bool = True, drop=()):
        if len(dataset) == 0:
            raise ValueError(f"The {name} dataset is empty; give it at least one row.")
        accepted = {*inspect.signature(model.forward).parameters, *INPUTS, "attention_mask"}
        wanted = [c for c in dataset.column_names if c in accepted | {"labels"} and c not in drop]
        main = next((column for column in INPUTS if column in wanted), None)
        if main is None or (labelled and "labels" not in wanted):
            lacks = "labels" if main else " or ".join(INPUTS)
            raise ValueError(
                f"The {name} dataset has no column {lacks}; it has "
                f"{', '.join(dataset.column_names)}. Rename or add it."
            )
        plain = dataset.with_format("numpy")
        self.columns = {column: plain[column][:] for column in wanted}
        text = main == "input_ids"
        self.lengths = [len(row) if text else 1 for row in self.columns[main]]
        if min(self.lengths) == 0:
            empty = self.lengths.index(0)
            raise ValueError(f"Row {empty} of the {name} dataset has no token; drop it.")
        if "labels" in self.columns:
            self._check_labels(getattr(model, "num_labels", None), name)

    def _check_labels(self, num_labels: int | None, name: str) -> None:
        flat = np.concatenate([np.atleast_1d(label) for label in self.columns["labels"]])
        if flat.dtype.kind not in "iub" or not num_labels:
            return  # regression, or a language model whose labels are its tokens
        flat = flat[flat != IGNORED]
        if len(flat) and not 0 <= flat.min() <= flat.max() < num_labels:
            raise ValueError(
                f"The {name} labels run from {flat.min()} to {flat.max()}; the model has "
                f"{num_labels} classes, 0 to {num_labels - 1}. Renumber them, or build the model "
                "with more classes."
            )

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict:
        return {column: values[index] for column, values in self.columns.items()}
