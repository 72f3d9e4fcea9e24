"""The processes that train one model: usually one, several under `torchrun`, `accelerate launch`.

Batches are those of one process, and of each of them every process computes its share, so that the
result is that of one process, however many there are.
"""

import os
import random
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from helpers.networks import IGNORED

__all__ = ["ManyProcesses", "OneProcess", "check_processes", "place"]


def place() -> tuple[int, int]:
    """Which process this is, counted from 0, and how many there are."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def check_processes(batch_size: int, stages: list) -> None:
    """Refuse what several processes cannot share."""
    world = place()[1]
    if batch_size < world:
        raise ValueError(
            f"A batch of {batch_size} cannot be shared by {world} processes; start fewer, or give "
            "a larger batch_size."
        )
    if world > 1 and len(stages) > 1:
        raise ValueError("Gradual unfreezing works in one process only: do without torchrun.")


class OneProcess:
    """What an ordinary training does where several processes would have to agree.

    Args:
        model: to be trained.
        optimizer: of all parameters that will train.
        schedule: of the learning rate.
        scaler: of the loss.

    Attributes:
        network: what a training step calls: the model, or what wraps it.
    """

    rank, world = 0, 1

    def __init__(self, model, optimizer, schedule, scaler):
        self.model, self.network, self.optimizer = model, model, optimizer
        self.parts = {"optimizer": optimizer, "schedule": schedule, "scaler": scaler}

    def share(self, rows: list) -> list:
        """Choose what this process computes of a batch."""
        return rows

    def weight(self, share: dict, rows: int) -> float:
        """Tell what to multiply the mean loss of a share with, of a batch of so many rows."""
        return 1.0

    def mean(self, loss: torch.Tensor) -> torch.Tensor:
        """Average a loss over all processes."""
        return loss.detach()

    def total(self, *numbers: float) -> list[float]:
        """Add each number up over all processes."""
        return list(numbers)

    def clip(self, max_norm: float) -> None:
        """Scale the gradients down to a norm."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), max_norm)

    def wait(self) -> None:
        """Go on when every process has come to this line."""

    def save(self, folder: Path) -> None:
        """Write what a resumed run needs; frozen parameters are as the caller made them."""
        trained = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        kept = {
            name: value.detach()
            for name, value in self.model.state_dict(keep_vars=True).items()
            if not isinstance(value, torch.nn.Parameter) or id(value) in trained
        }
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        torch.save({"model": kept, "random": _random_state(), **parts}, folder / "state.pt")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"], strict=False)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        _set_random_state(state["random"])


class ManyProcesses(OneProcess):
    """Several processes, wrapped by `accelerate` as its configuration says (DDP or FSDP2).

    Gradients are averaged over processes. Weighted by `weight`, their average is the gradient of
    the whole batch's mean loss, however unequal the shares are.
    """

    def __init__(self, model, optimizer, schedule, scaler):
        super().__init__(model, optimizer, schedule, scaler)
        self.rank, self.world = place()
        on_cpu = next(model.parameters()).device.type == "cpu"
        # The loop casts and scales by itself.
        self.accelerator = Accelerator(cpu=on_cpu, mixed_precision="no")
        self.network, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.accelerator.register_for_checkpointing(schedule, scaler)

    def share(self, rows):
        """Every k-th row, or one too many where there is none left: all have to take part."""
        return rows[self.rank :: self.world] or rows[:1]

    def weight(self, share, rows):
        """Compare the labels of a share with those of the mean share; -100 is not counted."""
        labels = share["labels"]
        own = int((labels != IGNORED).sum()) if labels.ndim > 1 else len(labels)
        own *= self.rank < rows  # else the share is the row too many
        return own * self.world / max(1.0, self.total(own)[0])

    def mean(self, loss):
        """Average a loss over all processes."""
        return self.accelerator.reduce(loss.detach(), "mean")

    def total(self, *numbers):
        """Add each number up over all processes."""
        own = torch.tensor(numbers, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(own, "sum").tolist()

    def clip(self, max_norm):
        """Scale the gradients down to a norm."""
        self.accelerator.clip_grad_norm_(self.network.parameters(), max_norm)

    def wait(self):
        """Go on when every process has come to this line."""
        self.accelerator.wait_for_everyone()

    def save(self, folder):
        """Write what a resumed run needs; every process has to ask."""
        self.accelerator.save_state(str(folder))

    def load(self, folder):
        """Read what `save` wrote."""
        self.accelerator.load_state(str(folder))


def _random_state() -> dict:
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def _set_random_state(state: dict) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    torch.cuda.set_rng_state_all(state["cuda"])
