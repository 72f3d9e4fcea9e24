"""Which parameters train, when, and how fast: freezing, unfreezing, rates by name."""

import re

__all__ = ["build_optimizer", "matching", "plan_stages"]


def matching(model, entry: str) -> list[str]:
    """Names of the parameters meant by a layer's full name or by a regular expression.

    Raises:
        ValueError: if there are none; the message lists all names.
    """
    names = [name for name, _ in model.named_parameters()]
    prefix = entry.rstrip(".") + "."
    found = [n for n in names if n == entry or n.startswith(prefix) or re.fullmatch(entry, n)]
    if not found:
        raise ValueError(f"No parameter is named {entry!r}; there are {', '.join(names)}.")
    return found


def plan_stages(model, freeze, schedule, num_epochs) -> list[set[str]]:
    """Freeze, and list the names that begin to train at epoch 0, 1, ..."""
    if isinstance(freeze, str):
        raise ValueError(f"freeze={freeze!r} is one text; give a list, such as [{freeze!r}].")
    frozen = {name for entry in freeze for name in matching(model, entry)}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name not in frozen)
    free = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    stages = [{n for entry in stage for n in matching(model, entry)} & free for stage in schedule]
    if len(stages) > num_epochs:
        raise ValueError(
            f"{len(stages)} stages of unfreezing need as many epochs; num_epochs is {num_epochs}."
        )
    if not (stages or [free])[0]:
        raise ValueError(
            "Nothing to train: every parameter is frozen. Freeze less, or call "
            "model.requires_grad_(True) if an earlier fit froze them."
        )
    return stages or [free]


def build_optimizer(kind: str, model, stages, learning_rate, weight_decay, factors):
    """Group parameters by rate and by whether they decay; those that wait their turn included."""
    import torch

    if kind not in ("adamw", "sgd"):
        raise ValueError(f"Unknown optimizer {kind!r}; use 'adamw' or 'sgd'.")
    factors = {entry: (set(matching(model, entry)), f) for entry, f in (factors or {}).items()}
    groups: dict[tuple, dict] = {}
    for name, parameter in model.named_parameters():
        if not any(name in stage for stage in stages):
            continue
        entry = next((entry for entry, (names, _) in factors.items() if name in names), "")
        rate = learning_rate * (factors[entry][1] if entry else 1.0)
        decay = weight_decay if parameter.ndim > 1 else 0.0
        group = {"name": entry, "lr": rate, "weight_decay": decay, "params": []}
        groups.setdefault((entry, decay), group)["params"].append(parameter)
    if kind == "sgd":
        return torch.optim.SGD(list(groups.values()), lr=learning_rate)
    return torch.optim.AdamW(list(groups.values()), lr=learning_rate, fused=True)
