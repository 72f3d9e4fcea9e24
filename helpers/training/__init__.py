"""One loop that trains every network of the course.

A loop written by hand with `epoch_order`, `pad_batch` and the same seed has the same losses as
`fit`.
"""

from helpers.training.batches import (
    batches_by_length,
    cut_windows,
    device_of,
    encode_texts,
    epoch_order,
    language_model_windows,
    pad_batch,
)
from helpers.training.fit import FitResult, fit, predict
from helpers.training.step import count_parameters, place

__all__ = [
    "FitResult",
    "batches_by_length",
    "count_parameters",
    "cut_windows",
    "device_of",
    "encode_texts",
    "epoch_order",
    "fit",
    "language_model_windows",
    "pad_batch",
    "place",
    "predict",
]
