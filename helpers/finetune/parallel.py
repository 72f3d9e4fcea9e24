"""One program, several processes: who writes, and how an evaluation is shared.

`torchrun` and `accelerate launch` start as many processes as there are cards. Each trains on its
share of every batch (see `training`); each evaluates every so-manieth example, once.
"""

import os

import numpy as np

from helpers import training
from helpers.training import place

__all__ = [
    "choose_card",
    "end",
    "gathered",
    "is_spread",
    "is_writer",
    "meet",
    "my_share",
    "shared_logits",
    "whole_state",
]


def choose_card() -> None:
    """Give each process on a machine with several cards one of its own."""
    import torch

    if place()[1] > 1 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))


def meet(device: str) -> None:
    """Let the processes find each other; nothing to do for one.

    Models are loaded before: transformers writes and reads otherwise once there are several.

    Args:
        device: where the model is, `"cpu"` or `"cuda"`.
    """
    if place()[1] > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu")


def end() -> None:
    """Take leave of the other processes, so that none waits for one that is gone."""
    if place()[1] > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def is_spread(model) -> bool:
    """Whether FSDP has spread a model's parameters over the processes."""
    return any(hasattr(parameter, "full_tensor") for parameter in model.parameters())


def whole_state(model) -> dict:
    """The weights of a model in one piece; where they are spread, every process has to ask."""
    return {
        name: value.full_tensor() if hasattr(value, "full_tensor") else value
        for name, value in model.state_dict().items()
    }


def is_writer() -> bool:
    """Whether this process prints and writes files; the others compute along."""
    return place()[0] == 0


def my_share(count: int) -> range:
    """Numbers of the examples that this process evaluates."""
    rank, world = place()
    return range(rank, count, world)


def gathered(share: dict) -> dict:
    """Join what all processes have found: {number of the example: result}.

    Raises:
        RuntimeError: if an example was answered for twice.
    """
    world = place()[1]
    if world == 1:
        return share
    import torch

    parts = [None] * world
    torch.distributed.all_gather_object(parts, share)
    whole = {key: value for part in parts for key, value in part.items()}
    if len(whole) != sum(map(len, parts)):
        raise RuntimeError("Two processes have evaluated the same example.")
    return whole


def shared_logits(loaded, rows) -> np.ndarray:
    """Logits of all rows, each computed by one process: (rows, ...)."""
    share = list(my_share(len(rows)))
    if place()[1] == 1:
        return training.predict(loaded.model, rows, 64, pad_id=loaded.pad_id)
    found = {}
    if share:
        logits = training.predict(loaded.model, rows.select(share), 64, pad_id=loaded.pad_id)
        found = dict(zip(share, logits, strict=True))
    whole = gathered(found)
    parts = [whole[i] for i in range(len(rows))]
    shape = np.max([part.shape for part in parts], axis=0)  # the longest row differs by process
    joined = np.zeros((len(rows), *shape), np.float32)
    for i, part in enumerate(parts):
        joined[(i, *map(slice, part.shape))] = part
    return joined
