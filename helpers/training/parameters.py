"""Which parameters train, when, and at which learning rate."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

__all__ = ["build_optimizer", "build_schedule", "plan_stages", "unfreeze"]


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
    kind: str, model, stages: list[set[str]], learning_rate: float, weight_decay: float,
    factors: Mapping[str, float],
):  # fmt: skip
    """Group parameters by learning rate and weight decay, including those not yet unfrozen."""
    if kind not in ("adamw", "sgd"):
        raise ValueError(f"Unknown optimizer {kind!r}; use 'adamw' or 'sgd'.")
    named = {entry: set(_matching(model, entry)) for entry in factors}
    trained, groups = set().union(*stages), {}
    for name, parameter in model.named_parameters():
        if name not in trained:
            continue
        entry = next((entry for entry, names in named.items() if name in names), "")
        rate = learning_rate * factors.get(entry, 1.0)
        decay = weight_decay if parameter.ndim > 1 else 0.0
        group = {"name": entry, "lr": rate, "weight_decay": decay, "params": []}
        groups.setdefault((entry, decay), group)["params"].append(parameter)
    if kind == "sgd":
        return torch.optim.SGD(list(groups.values()), lr=learning_rate)
    return torch.optim.AdamW(list(groups.values()), lr=learning_rate, fused=True)


def build_schedule(kind: str, optimizer, warmup_steps: float, total_steps: int):
    """Change learning rates step by step; a warm-up below 1 is a share of all steps."""
    if kind not in ("linear", "constant"):
        raise ValueError(f"Unknown schedule {kind!r}; use 'linear' or 'constant'.")
    warm = int(warmup_steps) if warmup_steps >= 1 else math.ceil(total_steps * warmup_steps)
    if kind == "constant":
        return get_constant_schedule_with_warmup(optimizer, warm)
    return get_linear_schedule_with_warmup(optimizer, warm, total_steps)


def _matching(model, entry: str) -> list[str]:
    """Names of the parameters meant by a layer's full name or by a regular expression."""
    names = [name for name, _ in model.named_parameters()]
    prefix = entry.rstrip(".") + "."
    found = [n for n in names if n == entry or n.startswith(prefix) or re.fullmatch(entry, n)]
    if not found:
        raise ValueError(f"No parameter is named {entry!r}; there are {', '.join(names)}.")
    return found
