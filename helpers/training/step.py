"""What trains and at which learning rate, and one step of training in one process."""

import math
import os
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.lr_scheduler import LambdaLR

from helpers.networks import IGNORED
from helpers.training.batches import Rows, autocast, batches_by_length, device_of

__all__ = ["Stepper", "build_optimizer", "build_schedule", "count_parameters", "place"]
__all__ += ["plan_stages", "unfreeze"]

SHORT = 200  # tokens; measured with 9 heads of 64 numbers


def count_parameters(model) -> tuple[int, int]:
    """(trainable, total) parameters; tied weights and the copies of a head by peft count once."""
    named = model.named_parameters()
    parameters = [p for name, p in named if ".original_module." not in name]
    return sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)


def place() -> tuple[int, int]:
    """Return this process's rank, from 0, and the number of processes."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def plan_stages(
    model, freeze: Iterable[str], schedule: Sequence[Iterable[str]], num_epochs: int
) -> list[set[str]]:
    """Freeze, and list the names of parameters that begin to train at epoch 0, 1, ..."""
    if isinstance(freeze, str):
        raise ValueError(f"freeze={freeze!r} is one text; give a list, such as [{freeze!r}].")
    frozen = {name for entry in freeze for name in _matching(model, entry)}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name not in frozen)
    free = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    stages = [{n for entry in stage for n in _matching(model, entry)} & free for stage in schedule]
    if len(stages) > num_epochs:
        raise ValueError(
            f"{len(stages)} stages of unfreezing need as many epochs; num_epochs is {num_epochs}."
        )
    if stages and place()[1] > 1:
        raise ValueError("Gradual unfreezing works in one process only: do without torchrun.")
    stages = stages or [free]
    if not stages[0]:
        raise ValueError(
            "Nothing to train: every parameter is frozen. Freeze less, or call "
            "model.requires_grad_(True) if an earlier fit froze them."
        )
    return stages


def unfreeze(model, stages: list[set[str]], epoch: int) -> None:
    """Let the parameters train whose stage has come; `epoch` counts from 0."""
    trained = set().union(*stages[: epoch + 1])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)


def build_optimizer(
    model, stages: list[set[str]], learning_rate: float, weight_decay: float, factors: Mapping
) -> torch.optim.AdamW:
    """AdamW, grouped by learning rate and weight decay; knows those not yet unfrozen as well."""
    named = {entry: set(_matching(model, entry)) for entry in factors}
    trained, groups = set().union(*stages), {}
    for name, parameter in model.named_parameters():
        if name not in trained:
            continue
        if parameter.dtype in (torch.bfloat16, torch.float16):
            held = str(parameter.dtype).removeprefix("torch.")
            raise ValueError(
                f"{name} is held in {held}, in which small updates round to nothing. Call "
                "model.float() before training, or train an adapter."
            )
        entry = next((entry for entry, names in named.items() if name in names), "")
        rate = learning_rate * factors.get(entry, 1.0)
        decay = weight_decay if parameter.ndim > 1 else 0.0
        group = {"name": entry, "lr": rate, "weight_decay": decay, "params": []}
        groups.setdefault((entry, decay), group)["params"].append(parameter)
    return torch.optim.AdamW(list(groups.values()), lr=learning_rate, fused=True)


def build_schedule(kind: str, optimizer, warmup_steps: float, total_steps: int):
    """Change learning rates step by step; a warm-up below 1 is a share of all steps."""
    if kind not in ("linear", "constant"):
        raise ValueError(f"Unknown schedule {kind!r}; use 'linear' or 'constant'.")
    warm = int(warmup_steps) if warmup_steps >= 1 else math.ceil(total_steps * warmup_steps)

    def factor(step: int) -> float:
        if step < warm:
            return step / warm
        if kind == "constant":
            return 1.0
        return max(0.0, (total_steps - step) / max(1, total_steps - warm))

    return LambdaLR(optimizer, factor)


def _matching(model, entry: str) -> list[str]:
    """Names of the parameters meant by a layer's full name or by a regular expression."""
    names = [name for name, _ in model.named_parameters()]
    prefix = entry.rstrip(".") + "."
    found = [n for n in names if n == entry or n.startswith(prefix) or re.fullmatch(entry, n)]
    if not found:
        raise ValueError(f"No parameter is named {entry!r}; there are {', '.join(names)}.")
    return found


class Stepper:
    """Train a model batch by batch, in plain PyTorch; arguments as for `fit`.

    The methods from `share` on do less than they could: `processes.SharedStepper` has those for
    several processes.
    """

    rank = 0

    def __init__(
        self, model, optimizer, schedule, collate: Callable, precision: str, max_grad_norm: float
    ):
        self.model, self.network, self.optimizer = model, model, optimizer
        self.schedule, self.collate = schedule, collate
        self.max_grad_norm, self.device = max_grad_norm, device_of(model)
        self.precision = precision
        # Small gradients would be 0 in float16, so the loss is scaled up.
        self.scaler = torch.amp.GradScaler(self.device, enabled=precision == "float16")
        model.zero_grad()

    def step(self, rows: list[dict]) -> torch.Tensor:
        """Update the weights with one batch, and return its loss before the step."""
        batch = self.collate(self.share(rows))
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with autocast(self.model, self.precision), self._attention(batch):
            loss = self.network(**batch)["loss"]
        loss = self.weighted(loss, batch, len(rows))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        if self.max_grad_norm:
            self.clip()
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= scale:  # else gradients overflowed: the step was left out
            self.schedule.step()
        self.optimizer.zero_grad()
        return self.mean(loss.detach())

    def _attention(self, batch: dict) -> AbstractContextManager:
        """Compute attention as plain matrix products where the fused kernel is slower.

        Its backward pass in bfloat16 on a processor takes four times as long as in float32, until
        long texts make up for it. An adapter on a decoder trains a sixth faster without it.
        """
        fused = self.device != "cpu" or self.precision != "bfloat16"
        if fused or "input_ids" not in batch or batch["input_ids"].shape[1] > SHORT:
            return nullcontext()
        return sdpa_kernel(SDPBackend.MATH)

    def evaluate(self, rows: Rows, batch_size: int) -> dict[str, float]:
        """Mean loss over the labels, and accuracy where a row has one class label."""
        total, counted, correct, judged = 0.0, 0, 0, 0

        def collate(examples):
            return self.collate(self.share(examples))

        # A collate function may draw random numbers; those of training must not depend on it.
        devices = [torch.cuda.current_device()] if self.device == "cuda" else []
        reading = batches_by_length(self.model, rows, batch_size, collate, self.precision)
        with torch.random.fork_rng(devices), reading as batches:
            for indices, batch in batches:
                output = self.model(**batch)
                if self.rank >= len(indices):  # no row of its own
                    continue
                labels = batch["labels"]
                n = int((labels != IGNORED).sum())
                total, counted = total + float(output["loss"]) * n, counted + n
                if labels.ndim == 1 and not labels.is_floating_point():
                    correct += int((output["logits"].argmax(dim=1) == labels).sum())
                    judged += n
        total, counted, correct, judged = self.total(total, counted, correct, judged)
        measured = {"loss": total / counted}
        return measured | {"accuracy": correct / judged} if judged else measured

    def share(self, rows: list) -> list:
        """Return the rows of a batch that this process computes."""
        return rows

    def weighted(self, loss: torch.Tensor, batch: dict, rows: int) -> torch.Tensor:
        """Weight the loss of this process's share of a batch of so many rows."""
        return loss

    def clip(self) -> None:
        """Scale the gradients down to the maximum norm."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)

    def total(self, *numbers: float) -> Sequence[float]:
        """Add each number up over all processes."""
        return numbers

    def mean(self, loss: torch.Tensor) -> torch.Tensor:
        """Average a loss over all processes."""
        return loss

    def wait(self) -> None:
        """Wait until every process has reached this line."""

    def save(self, folder: Path) -> None:
        """Write what resuming needs, without what is frozen."""
        trained = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        weights = {
            name: value.detach()
            for name, value in self.model.state_dict(keep_vars=True).items()
            if not isinstance(value, torch.nn.Parameter) or id(value) in trained
        }
        states = [part.state_dict() for part in (self.optimizer, self.schedule, self.scaler)]
        name, keys, *rest = np.random.get_state()
        numbers = {
            "python": random.getstate(),
            "numpy": (name, keys.tolist(), *rest),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        }
        state = {"weights": weights, "states": states, "random": numbers}
        torch.save(state, folder / "state.pt")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["weights"], strict=False)
        parts = (self.optimizer, self.schedule, self.scaler)
        for part, its in zip(parts, state["states"], strict=True):
            part.load_state_dict(its)
        random.setstate(state["random"]["python"])
        np.random.set_state(state["random"]["numpy"])
        torch.set_rng_state(state["random"]["torch"])
        torch.cuda.set_rng_state_all(state["random"]["cuda"])
