"""Training in several processes: each takes its share of every batch, and results are added up.

`torchrun` and `accelerate launch` start the same program several times and tell each copy, in the
environment, which one it is. With one process nothing here does anything.
"""

import os
from collections.abc import Iterator

from helpers.networks import IGNORED

__all__ = ["Shards", "place", "summed", "wait_for_all"]


def place() -> tuple[int, int]:
    """Which process this is, counted from 0, and how many there are."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def summed(*numbers: float) -> list[float]:
    """Add each number up over all processes, which all have to ask."""
    import torch

    if place()[1] == 1:
        return list(numbers)
    on_cards = torch.distributed.get_backend() == "nccl"
    total = torch.tensor(numbers, dtype=torch.float64, device="cuda" if on_cards else "cpu")
    torch.distributed.all_reduce(total)
    return total.tolist()


def wait_for_all() -> None:
    """Go on when every process has come to this line."""
    summed(0.0)


class Shards:
    """The batches of one process: of each batch of the whole, every so-manieth row.

    The order and the borders of the whole batches are those of one process, so that the same rows
    are answered for by the same step, however many processes share it. A process for which the
    last batch of an epoch has no row takes one row too many, since all have to take part in a
    step; `has_share` tells that its loss does not count.

    Args:
        order: the sampler of one process; iterating it gives row numbers.
        batch_size: rows of a whole batch.
    """

    def __init__(self, order, batch_size: int):
        self.order, self.batch_size = order, batch_size
        self.rank, self.world = place()
        if batch_size < self.world:
            raise ValueError(
                f"A batch of {batch_size} cannot be shared by {self.world} processes; start fewer, "
                "or give a larger batch_size."
            )

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rows = list(self.order)
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            yield batch[self.rank :: self.world] or batch[:1]

    def has_share(self, step: int) -> bool:
        """Tell whether this process has rows of its own in a step, counted from 0 over epochs."""
        last = step % len(self) == len(self) - 1
        left = len(self.order) % self.batch_size or self.batch_size
        return not last or self.rank < left

    def weight(self, batch: dict, step: int) -> float:
        """What to multiply the loss of this process's share with.

        Gradients are averaged over processes. Weighted so, their average is the gradient of the
        whole batch's mean loss, however unequal the shares are.

        Args:
            batch: the share; its loss is a mean over labels that are not -100.
            step: counted from 0.
        """
        labels = batch["labels"]
        own = int((labels != IGNORED).sum()) if labels.ndim > 1 else len(labels)
        own *= self.has_share(step)
        return own * self.world / max(1.0, summed(own)[0])
