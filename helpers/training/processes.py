"""Training in several processes, under `torchrun` or `accelerate launch`.

Each process computes its share of every batch, so that the result does not depend on their number.
"""

from pathlib import Path

import torch
from accelerate import Accelerator

from helpers.networks import IGNORED
from helpers.training.step import Stepper, place

__all__ = ["SharedStepper"]


class SharedStepper(Stepper):
    """A `Stepper` whose model `accelerate` wraps, as its configuration says (DDP or FSDP2)."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.rank, self.world = place()
        # The training step sets the precision.
        self.accelerator = Accelerator(cpu=self.device == "cpu", mixed_precision="no")
        self.network, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        self.accelerator.register_for_checkpointing(self.schedule, self.scaler)

    def share(self, rows: list) -> list:
        """Every k-th row; one extra row where none is left, since every process must take part."""
        return rows[self.rank :: self.world] or rows[:1]

    def weighted(self, loss: torch.Tensor, batch: dict, rows: int) -> torch.Tensor:
        """Weight the mean loss of a share of a batch by its labels.

        Gradients are averaged over processes. Weighted so, their average is the gradient of the
        whole batch's mean loss, even if shares are unequal.
        """
        labels = batch["labels"]
        own = int((labels != IGNORED).sum()) if labels.ndim > 1 else len(labels)
        own *= self.rank < rows  # else the share is the row too many
        return loss * (own * self.world / max(1.0, self.total(own)[0]))

    def clip(self) -> None:
        """Scale the gradients down to the maximum norm."""
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)

    def total(self, *numbers: float) -> list[float]:
        """Add each number up over all processes."""
        own = torch.tensor(numbers, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(own, "sum").tolist()

    def mean(self, loss: torch.Tensor) -> torch.Tensor:
        """Average a loss over all processes."""
        return self.accelerator.reduce(loss, "mean")

    def wait(self) -> None:
        """Wait until every process has reached this line."""
        self.accelerator.wait_for_everyone()

    def save(self, folder: Path) -> None:
        """Write what resuming needs; every process takes part."""
        self.accelerator.save_state(str(folder))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        self.accelerator.load_state(str(folder))
