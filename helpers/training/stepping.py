"""One step of training, one evaluation, and the losses of all steps."""

import math
from collections.abc import Callable
from functools import partial

import torch

from helpers.networks import IGNORED
from helpers.training.batches import Rows, batches_by_length, device_of
from helpers.training.checkpoints import Record
from helpers.training.processes import Processes

__all__ = ["Losses", "Stepper"]

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Stepper:
    """Train a model batch by batch; arguments as for `fit`."""

    def __init__(
        self, model, optimizer, schedule, collate: Callable, precision: str, max_grad_norm: float
    ):
        if precision not in PRECISIONS:
            raise ValueError(f"Unknown precision {precision!r}; use {', '.join(PRECISIONS)}.")
        self.model, self.schedule, self.collate = model, schedule, collate
        self.max_grad_norm, self.device = max_grad_norm, device_of(model)
        dtype = PRECISIONS[precision]
        self.autocast = partial(torch.autocast, self.device, dtype, enabled=dtype is not None)
        # Small gradients would be 0 in float16, so the loss is scaled up.
        self.scaler = torch.amp.GradScaler(self.device, enabled=precision == "float16")
        self.processes = Processes(model, optimizer, schedule, self.scaler)
        model.zero_grad()

    def step(self, rows: list[dict]) -> torch.Tensor:
        """Update the weights with one batch, and return its loss before the step."""
        processes, optimizer = self.processes, self.processes.optimizer
        batch = self.collate(processes.share(rows))
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with self.autocast():
            loss = processes.network(**batch)["loss"]
        loss = loss * processes.weight(batch, len(rows))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizer)
        if self.max_grad_norm:
            processes.clip(self.max_grad_norm)
        scale = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= scale:  # else gradients overflowed: the step was left out
            self.schedule.step()
        optimizer.zero_grad()
        return processes.mean(loss)

    def evaluate(self, rows: Rows, batch_size: int) -> dict[str, float]:
        """Mean loss over the labels, and accuracy where a row has one class label."""
        processes = self.processes
        total, counted, correct, judged = 0.0, 0, 0, 0

        def collate(examples):
            return self.collate(processes.share(examples))

        # A collate function may draw random numbers; those of training must not depend on it.
        devices = [torch.cuda.current_device()] if self.device == "cuda" else []
        reading = batches_by_length(self.model, rows, batch_size, collate)
        with torch.random.fork_rng(devices), reading as batches:
            for indices, batch in batches:
                with self.autocast():
                    output = self.model(**batch)
                if processes.rank >= len(indices):  # no row of its own
                    continue
                labels = batch["labels"]
                n = int((labels != IGNORED).sum())
                total, counted = total + float(output["loss"]) * n, counted + n
                if labels.ndim == 1 and not labels.is_floating_point():
                    correct += int((output["logits"].argmax(dim=1) == labels).sum())
                    judged += n
        total, counted, correct, judged = processes.total(total, counted, correct, judged)
        measured = {"loss": total / counted}
        return measured | {"accuracy": correct / judged} if judged else measured


class Losses:
    """Collect the losses of steps, `at_once` read together: each read makes a GPU wait."""

    def __init__(self, record: Record, total_steps: int, at_once: int):
        self.record, self.total_steps, self.at_once = record, total_steps, at_once
        self.pending: list[torch.Tensor] = []

    def add(self, loss: torch.Tensor) -> None:
        """Add the loss of a step."""
        self.pending.append(loss)
        if len(self.pending) >= self.at_once:
            self.drain()

    def drain(self) -> None:
        """Read the losses that are still on the device."""
        for loss in map(float, self.pending):
            if not math.isfinite(loss):
                rate = self.record.settings["learning_rate"]
                raise FloatingPointError(
                    f"The loss is {loss} at step {len(self.record.losses) + 1} of "
                    f"{self.total_steps}, with a learning rate of {rate:g}. Lower the rate, warm "
                    "it up, or look for broken inputs."
                )
            self.record.losses.append(loss)
        self.pending.clear()
