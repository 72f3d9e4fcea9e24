"""The one place where a `transformers.Trainer` is built: `fit` trains every network of the course.

The loop that a notebook writes by hand once is imported from here ever after: with the same order
(`epoch_order`), the same batches (`pad_batch`) and the same seed, the losses are the same.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.runtime import Cost, measure
from helpers.training.batches import (
    Rows,
    batches_by_length,
    cut_windows,
    device_of,
    encode_texts,
    epoch_order,
    language_model_windows,
    pad_batch,
)
from helpers.training.loop import PROGRESS_FILE, Job, build_trainer, evaluated
from helpers.training.parameters import build_optimizer, plan_stages

__all__ = [
    "FitResult",
    "batches_by_length",
    "cut_windows",
    "device_of",
    "encode_texts",
    "epoch_order",
    "fit",
    "language_model_windows",
    "pad_batch",
    "predict",
]


@dataclass
class FitResult:
    """What training left behind.

    Attributes:
        model: the model that was passed in, trained, in evaluation mode.
        losses: mean loss of every step's batch, before the step.
        validation: one `{"epoch", "loss"}` an epoch, with `"accuracy"` where a row has one label.
        cost: seconds and memory of this call's training and validation.
        steps: steps this call took; fewer than `losses` after a resume.
        tokens: tokens this call trained on, padding not counted.
        seconds_before: of training up to the checkpoint that a resumed call went on from.
    """

    model: Any
    losses: list[float]
    validation: list[dict[str, float]]
    cost: Cost
    steps: int
    tokens: int
    seconds_before: float = 0.0


def fit(
    model, train, *, num_epochs: int, learning_rate: float, batch_size: int = 32, seed: int = 0,
    validation=None, freeze: Iterable[str] = (), unfreeze_schedule: Sequence[Iterable[str]] = (),
    learning_rate_groups: Mapping[str, float] | None = None, weight_decay: float = 0.0,
    warmup_steps: float = 0.0, schedule: str = "linear", max_grad_norm: float = 1.0,
    length_grouped: bool = True, optimizer: str = "adamw", collate: Callable | None = None,
    pad_id: int = 0, output_dir: Path | None = None, resume: bool = False,
    save_steps: int | None = None, precision: str = "float32", callbacks: Iterable = (),
    device: str | None = None, progress: bool | None = None,
) -> FitResult:  # fmt: skip
    """Train a model that returns its loss, and measure what it cost.

    Parameters are named by a layer's full name (`"encoder.layer.1"` means that layer, not layer
    11) or by a regular expression that matches the parameter's whole name.

    Args:
        model: a torch module whose `forward` takes the columns by name and gives `loss`. Weights
            are the caller's: seed before building it.
        train: a Dataset with `input_ids` or `pixel_values`, and `labels`; other columns are used
            if `forward` takes them.
        num_epochs: passes over `train`.
        learning_rate: of the first step after the warm-up.
        batch_size: examples a step.
        seed: of the order of examples and of dropout.
        validation: a Dataset like `train`, evaluated after each epoch; does not change training.
        freeze: parameters to leave as they are. They stay frozen afterwards;
            `model.requires_grad_(True)` frees them.
        unfreeze_schedule: gradual unfreezing (Howard & Ruder 2018): epoch i trains the parameters
            named in the first i + 1 entries, the last epochs those of all entries.
        learning_rate_groups: {name: factor on `learning_rate`}; the first name that fits counts.
        weight_decay: of AdamW, on matrices only.
        warmup_steps: steps, or below 1 the share of all steps, in which the rate rises from 0.
        schedule: `"linear"` (down to 0 at the last step) or `"constant"`.
        max_grad_norm: gradients are scaled down to this norm; 0 for no limit.
        length_grouped: whether texts of similar length share a batch, which saves padding.
        optimizer: `"adamw"` or `"sgd"`.
        collate: list of rows -> dict of tensors; `pad_batch` without it.
        pad_id: token id of padding.
        output_dir: where checkpoints are kept (the last two); without it none are written.
        resume: go on from the last whole checkpoint in `output_dir`, or start if there is none.
        save_steps: steps between checkpoints; an epoch without it.
        precision: `"float32"`, `"bfloat16"` or `"float16"` (autocast); see `Run.precision`.
        callbacks: further `transformers.TrainerCallback` objects.
        device: `"cpu"` or `"cuda"`; where the model is without it.
        progress: whether to draw a bar; without it, as `COURSE_PROGRESS` and the terminal say.

    Raises:
        ValueError: if the data, a name or a checkpoint does not fit; the message says what to do.
        FloatingPointError: if the loss stops being a number; the message names the step.
    """
    if resume and not output_dir:
        raise ValueError("resume=True needs the output_dir that holds the checkpoints.")
    if device is not None:
        model.to(device)
    rows = Rows(model, train, "train", labelled=collate is None)
    held_out = validation and Rows(model, validation, "validation", labelled=collate is None)
    stages = plan_stages(model, freeze, unfreeze_schedule, num_epochs)
    groups = (stages, learning_rate, weight_decay, learning_rate_groups)
    collate = collate or (lambda examples: pad_batch(examples, pad_id))
    settings = {"rows": len(rows), "num_epochs": num_epochs, "learning_rate": learning_rate,
                "batch_size": batch_size, "seed": seed}  # fmt: skip
    job = Job(model, rows, held_out, collate, settings, stages, length_grouped, progress)
    with _folder(output_dir) as folder:
        checkpoint = _checkpoint(folder, resume) if output_dir else None
        if checkpoint:
            job.restore(checkpoint)
        trainer = build_trainer(
            job, build_optimizer(optimizer, model, *groups), callbacks, folder, precision,
            num_train_epochs=num_epochs, learning_rate=learning_rate, seed=seed,
            lr_scheduler_type=schedule, warmup_steps=warmup_steps, max_grad_norm=max_grad_norm,
            save_strategy=("steps" if save_steps else "epoch") if output_dir else "no",
            save_steps=save_steps or 500,
        )  # fmt: skip
        with job, measure() as cost:
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    steps = trainer.state.global_step - job.first_step
    found = (job.losses, job.history, cost, steps, rows.tokens, job.seconds_before)
    return FitResult(model.eval(), *found)


def predict(model, dataset, batch_size: int = 256, collate=None, pad_id: int = 0) -> np.ndarray:
    """Answer every row of a dataset, dropout off, in the dataset's order.

    Args:
        model: a torch module that returns `logits`.
        dataset: a Dataset as for `fit`; labels are not looked at.
        batch_size: rows at once, of similar length.
        collate: as in `fit`.
        pad_id: token id of padding.

    Returns:
        Logits (rows, classes) float32; for one answer a token (rows, longest, classes), 0 where
        there is no token.
    """
    rows = Rows(model, dataset, "dataset", labelled=False, drop=("labels",))
    collate = collate or (lambda examples: pad_batch(examples, pad_id))
    parts = [
        (indices, output["logits"].float().cpu().numpy())
        for indices, _, output in evaluated(model, rows, collate, batch_size)
    ]
    shape = np.max([part.shape[1:] for _, part in parts], axis=0)  # (C,) or (longest, C)
    logits = np.zeros((len(rows), *shape), np.float32)
    for indices, part in parts:
        logits[(indices, *map(slice, part.shape[1:]))] = part
    return logits


@contextmanager
def _folder(output_dir: Path | None) -> Iterator[Path]:
    if output_dir:
        yield Path(output_dir)
        return
    with tempfile.TemporaryDirectory(prefix="fit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _checkpoint(folder: Path, resume: bool) -> Path | None:
    """Find the last whole checkpoint to go on from."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{PROGRESS_FILE}")]
    if found and not resume:
        raise ValueError(
            f"{folder} holds checkpoints of an earlier run. Pass resume=True to go on from them, "
            "or choose another output_dir."
        )
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
