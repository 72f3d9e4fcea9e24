"""The processes that train one model: usually one, several under `torchrun`, `accelerate launch`.

Each process computes its share of every batch, so that the result does not depend on their number.
"""

import os
import random
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from helpers.networks import IGNORED

__all__ = ["Processes", "place"]


def place() -> tuple[int, int]:
    """Return this process's rank, from 0, and the number of processes."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


class Processes:
    """What training needs to know of its processes; a single one is plain PyTorch.

    Several are wrapped by `accelerate`, as its configuration says (DDP or FSDP2). A training step
    uses `network` and `optimizer`; `others` also have a state that a checkpoint needs.
    """

    def __init__(self, model, optimizer, *others):
        self.rank, self.world = place()
        self.model, self.network, self.optimizer, self.others = model, model, optimizer, others
        if self.world > 1:
            on_cpu = next(model.parameters()).device.type == "cpu"
            # The training step sets the precision.
            self.accelerator = Accelerator(cpu=on_cpu, mixed_precision="no")
            self.network, self.optimizer = self.accelerator.prepare(model, optimizer)
            self.accelerator.register_for_checkpointing(*others)

    def share(self, rows: list) -> list:
        """Every k-th row; one extra row where none is left, since every process must take part."""
        return rows[self.rank :: self.world] or rows[:1]

    def weight(self, share: dict, rows: int) -> float:
        """Return the factor for the mean loss of a share of a batch of so many rows.

        Gradients are averaged over processes. Weighted by the labels in each share, their average
        is the gradient of the whole batch's mean loss, even if shares are unequal.
        """
        if self.world == 1:
            return 1.0
        labels = share["labels"]
        own = int((labels != IGNORED).sum()) if labels.ndim > 1 else len(labels)
        own *= self.rank < rows  # else the share is the row too many
        return own * self.world / max(1.0, self.total(own)[0])

    def total(self, *numbers: float) -> list[float]:
        """Add each number up over all processes."""
        if self.world == 1:
            return list(numbers)
        own = torch.tensor(numbers, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(own, "sum").tolist()

    def mean(self, loss: torch.Tensor) -> torch.Tensor:
        """Average a loss over all processes."""
        loss = loss.detach()
        return loss if self.world == 1 else self.accelerator.reduce(loss, "mean")

    def clip(self, max_norm: float) -> None:
        """Scale the gradients down to a maximum norm."""
        by = torch.nn.utils if self.world == 1 else self.accelerator
        by.clip_grad_norm_(self.network.parameters(), max_norm)

    def wait(self) -> None:
        """Wait until every process has reached this line."""
        if self.world > 1:
            self.accelerator.wait_for_everyone()

    def save(self, folder: Path) -> None:
        """Write what resuming needs; a single process leaves out what is frozen."""
        if self.world > 1:
            self.accelerator.save_state(str(folder))
            return
        trained = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        weights = {
            name: value.detach()
            for name, value in self.model.state_dict(keep_vars=True).items()
            if not isinstance(value, torch.nn.Parameter) or id(value) in trained
        }
        states = [part.state_dict() for part in (self.optimizer, *self.others)]
        state = {"weights": weights, "states": states, "random": _random_state()}
        torch.save(state, folder / "state.pt")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        if self.world > 1:
            self.accelerator.load_state(str(folder))
            return
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["weights"], strict=False)
        for part, its in zip((self.optimizer, *self.others), state["states"], strict=True):
            part.load_state_dict(its)
        _set_random_state(state["random"])


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
