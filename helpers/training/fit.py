"""The training loop, its checkpoints, and prediction."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from datasets import Dataset
from tqdm.auto import tqdm

from helpers.files import write_text
from helpers.runtime import Cost, measure, shows_progress
from helpers.training.batches import Rows, batches_by_length, epoch_order, pad_batch
from helpers.training.processes import SharedStepper
from helpers.training.step import (
    Stepper,
    build_optimizer,
    build_schedule,
    place,
    plan_stages,
    unfreeze,
)

__all__ = ["FitResult", "fit", "predict"]

RECORD = "fit.json"  # a checkpoint without it was cut off


@dataclass
class FitResult:
    """What training returns.

    Attributes:
        model: the model that was passed in, now in evaluation mode.
        losses: mean loss of each step's batch, before the step.
        validation: `{"epoch", "loss"}` per epoch, with `"accuracy"` where a row has one label.
        cost: seconds and memory of this call's training and validation.
        steps: steps of this call; fewer than `losses` after a resume.
        tokens: tokens of this call, without padding.
        seconds_before: training time up to the checkpoint that this call resumed from.
    """

    model: Any
    losses: list[float]
    validation: list[dict[str, float]]
    cost: Cost
    steps: int
    tokens: int
    seconds_before: float = 0.0


def fit(
    model, train: Dataset, *, num_epochs: int, learning_rate: float, batch_size: int = 32,
    seed: int = 0, validation: Dataset | None = None, freeze: Iterable[str] = (),
    unfreeze_schedule: Sequence[Iterable[str]] = (),
    learning_rate_groups: Mapping[str, float] | None = None, weight_decay: float = 0.0,
    warmup_steps: float = 0.0, schedule: str = "linear", max_grad_norm: float = 1.0,
    length_grouped: bool = True, collate: Callable | None = None,
    pad_id: int = 0, output_dir: Path | None = None, resume: bool = False,
    save_steps: int | None = None, precision: str = "float32",
    on_step: Callable[[int, Any], object] | None = None, progress: bool | None = None,
) -> FitResult:  # fmt: skip
    """Train a model that returns its loss, and measure what it cost.

    Parameters are named by a layer's full name (`"encoder.layer.1"` means that layer, not layer
    11) or by a regular expression that matches the parameter's whole name.

    Args:
        model: a torch module whose `forward` takes the columns by name and returns `loss`. Seed
            before building it, and move it to the device first.
        train: rows with `input_ids` or `pixel_values`, and `labels`; other columns are used if
            `forward` takes them.
        learning_rate: of the first step after the warm-up.
        batch_size: examples per step, in all processes together.
        seed: for the order of examples and dropout.
        validation: rows like `train`, evaluated after each epoch; does not change training.
        freeze: parameters to leave unchanged. They stay frozen afterwards;
            `model.requires_grad_(True)` frees them.
        unfreeze_schedule: gradual unfreezing (Howard & Ruder 2018): epoch i trains the parameters
            named in the first i + 1 entries, later epochs those of all entries.
        learning_rate_groups: {name: factor on `learning_rate`}; the first name that fits counts.
        weight_decay: on matrices only.
        warmup_steps: steps, or below 1 the share of all steps, in which the rate rises from 0.
        schedule: after the warm-up, `"linear"` (down to 0 at the last step) or `"constant"`.
        max_grad_norm: gradients are scaled down to this norm; 0 for no limit.
        length_grouped: whether texts of similar length share a batch, which saves padding.
        collate: list of rows -> dict of tensors; `pad_batch` without it.
        output_dir: for checkpoints (the last two are kept); without it none are written.
        resume: continue from the last complete checkpoint in `output_dir`, or start if there is
            none. Parameters that do not train must be unchanged.
        save_steps: steps between checkpoints; by default one epoch.
        precision: `"float32"`, `"bfloat16"` or `"float16"`, of matrix products (autocast); see
            `Run.precision`. What trains is kept in float32.
        on_step: called after each step with the number of steps so far and the model.
        progress: whether to draw a bar; by default as `COURSE_PROGRESS` and the terminal say.

    Raises:
        ValueError: if the data, a name or a checkpoint does not fit; the message says what to do.
        FloatingPointError: if the loss is not finite; the message names the step.
    """
    rank, world = place()
    settings = {
        "rows": len(train), "num_epochs": num_epochs, "learning_rate": learning_rate,
        "batch_size": batch_size, "seed": seed, "weight_decay": weight_decay,
        "schedule": schedule, "warmup_steps": warmup_steps,
        "precision": precision, "processes": world,
    }  # fmt: skip
    checkpoints = _Checkpoints(output_dir, resume)
    labelled = collate is None  # a collate function may make the labels
    rows = Rows(model, train, "train", labelled)
    held_out = None if validation is None else Rows(model, validation, "validation", labelled)
    plan = _Plan(rows.lengths, num_epochs, batch_size, seed, length_grouped, save_steps)
    stages = plan_stages(model, freeze, unfreeze_schedule, num_epochs)
    factors = learning_rate_groups or {}
    optimizer = build_optimizer(model, stages, learning_rate, weight_decay, factors)
    schedule = build_schedule(schedule, optimizer, warmup_steps, plan.total_steps)
    collate = collate or partial(pad_batch, pad_id=pad_id)
    stepping = Stepper if world == 1 else SharedStepper
    stepper = stepping(model, optimizer, schedule, collate, precision, max_grad_norm)
    set_seed(seed + rank)  # each process draws its own dropout
    record = checkpoints.restore(stepper, settings)
    first, seconds_before = len(record.losses), record.seconds
    with measure() as cost, _bar(plan.total_steps, first, progress) as bar:
        tokens = _train(rows, held_out, plan, stages, stepper, checkpoints, record, on_step, bar)
    return FitResult(
        model=model.eval(), losses=record.losses, validation=record.validation, cost=cost,
        steps=len(record.losses) - first, tokens=tokens, seconds_before=seconds_before,
    )  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    """Which rows each step trains on, and after which steps a checkpoint is written."""

    lengths: list[int]
    num_epochs: int
    batch_size: int
    seed: int
    length_grouped: bool
    save_steps: int | None

    @property
    def epoch_steps(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)

    @property
    def total_steps(self) -> int:
        return self.num_epochs * self.epoch_steps

    def saves_after(self, step: int) -> bool:
        return step % (self.save_steps or self.epoch_steps) == 0 or step == self.total_steps

    def batches(self, epoch: int) -> list[list[int]]:
        """Row numbers of each batch of an epoch."""
        order = epoch_order(self.lengths, self.batch_size, self.seed, epoch, self.length_grouped)
        return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]


def _bar(total: int, done: int, progress: bool | None) -> tqdm:
    """Draw one bar, even with several processes."""
    shown = (shows_progress() if progress is None else progress) and place()[0] == 0
    return tqdm(
        total=total, initial=done, disable=not shown, desc="training", unit="step", leave=False
    )


def _train(rows, held_out, plan, stages, stepper, checkpoints, record, on_step, bar) -> int:
    """Take the steps that a record lacks and add them to it; returns the tokens trained on."""
    pending: list[torch.Tensor] = []
    at_once = 1 if stepper.device == "cpu" else 50  # each read makes a GPU wait
    step, tokens, began = len(record.losses), 0, time.perf_counter() - record.seconds
    for epoch in range(step // plan.epoch_steps, plan.num_epochs):
        unfreeze(stepper.model, stages, epoch)
        stepper.model.train()
        for chosen in plan.batches(epoch)[step % plan.epoch_steps :]:
            pending.append(stepper.step([rows[i] for i in chosen]))
            tokens += sum(rows.lengths[i] for i in chosen)
            step += 1
            evaluates = held_out is not None and step % plan.epoch_steps == 0
            saves = checkpoints.folder and plan.saves_after(step)
            if len(pending) >= at_once or evaluates or saves or step == plan.total_steps:
                _read(pending, record, plan.total_steps)
            bar.update()
            if on_step is not None:
                on_step(step, stepper.model)
            if evaluates:
                found = stepper.evaluate(held_out, plan.batch_size)
                record.validation.append({"epoch": epoch + 1} | found)
            if saves:
                record.seconds = time.perf_counter() - began
                checkpoints.save(stepper, record)
    return tokens


@dataclass
class _Record:
    """Settings of a training, and what it has measured so far."""

    settings: dict
    losses: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def _read(losses: list[torch.Tensor], record: _Record, total_steps: int) -> None:
    """Move the losses of steps from the device into the record."""
    for loss in map(float, losses):
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss} at step {len(record.losses) + 1} of {total_steps}, with a "
                f"learning rate of {record.settings['learning_rate']:g}. Lower the rate, warm it "
                "up, or look for broken inputs."
            )
        record.losses.append(loss)
    losses.clear()


class _Checkpoints:
    """The last two checkpoints of one training; a ValueError if there are some but no `resume`."""

    def __init__(self, folder: Path | None, resume: bool):
        if resume and not folder:
            raise ValueError("resume=True needs the output_dir that holds the checkpoints.")
        self.folder = Path(folder) if folder else None
        found = self.folder.glob(f"checkpoint-*/{RECORD}") if folder else []
        self.last = max((path.parent for path in found), key=_steps, default=None)
        if self.last and not resume:
            raise ValueError(
                f"{folder} holds checkpoints of an earlier run. Pass resume=True to go on from "
                "them, or choose another output_dir."
            )

    def restore(self, stepper: Stepper, settings: dict) -> _Record:
        """Load the last checkpoint, if there is one; a ValueError if its run had other settings."""
        if self.last is None:
            return _Record(settings)
        record = _Record(**json.loads((self.last / RECORD).read_text(encoding="utf-8")))
        differ = [key for key, value in settings.items() if record.settings.get(key) != value]
        if differ:
            was = ", ".join(f"{key}={record.settings.get(key)}" for key in differ)
            raise ValueError(
                f"{self.last} comes from a run with {was}. Resume with the same settings, or "
                "choose another output_dir."
            )
        stepper.load(self.last)
        return record

    def save(self, stepper: Stepper, record: _Record) -> None:
        """Write a checkpoint, complete or not at all (atomic)."""
        whole = self.folder / f"checkpoint-{len(record.losses)}"
        part = whole.with_name(whole.name + ".part")
        if stepper.rank == 0:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        stepper.wait()
        stepper.save(part)
        stepper.wait()
        if stepper.rank == 0:
            write_text(part / RECORD, json.dumps(asdict(record)))
            shutil.rmtree(whole, ignore_errors=True)
            os.replace(part, whole)
            for old in sorted(self.folder.glob("checkpoint-*[0-9]"), key=_steps)[:-2]:
                shutil.rmtree(old)


def _steps(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def predict(
    model, dataset: Dataset, batch_size: int = 256, collate: Callable | None = None,
    pad_id: int = 0, precision: str = "float32",
) -> np.ndarray:  # fmt: skip
    """Compute a model's logits for every row, without dropout, in the dataset's order.

    Rows and `precision` are as for `fit`; labels are ignored.

    Returns:
        float32 (rows, classes); for one answer per token (rows, longest, classes), 0 where there is
        no token.
    """
    rows = Rows(model, dataset, "dataset", labelled=False, drop=("labels",))
    collate = collate or partial(pad_batch, pad_id=pad_id)
    parts = {}
    with batches_by_length(model, rows, batch_size, collate, precision) as batches:
        for indices, batch in batches:
            answers = model(**batch)["logits"].float().cpu().numpy()
            parts.update(zip(indices, answers, strict=True))
    shape = np.max([part.shape for part in parts.values()], axis=0)  # (C,) or (longest, C)
    logits = np.zeros((len(rows), *shape), np.float32)
    for i, part in parts.items():
        logits[(i, *map(slice, part.shape))] = part
    return logits
