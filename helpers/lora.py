"""LoRA on one page: a small, trainable correction beside frozen weights.

Hu et al. 2021: fine-tuning changes a weight matrix W by some matrix of the same shape. LoRA lets
that change be a product of two thin ones, `scale * B @ A` of rank r, and trains nothing else.
The course trains with `peft`, which does the same and more (compared in `tests/test_lora.py`).
"""

import math
import re
from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["LoRALinear", "add_lora", "lora_layers", "merge", "unmerge"]


class LoRALinear(nn.Module):
    """A linear layer and its low-rank correction: y = x W^T + b + scale * (x A^T) B^T.

    Args:
        base: `nn.Linear`, or the `Conv1D` of GPT-2, whose W is transposed. It is frozen.
        rank: r, columns of B and rows of A.
        alpha: scale is alpha / r, so that learning rates need not change with the rank.
        dropout: on the input of A, in training.
        rank_stabilized: scale is alpha / sqrt(r) instead (rsLoRA, Kalajdzievski 2023).
    """

    def __init__(
        self, base: nn.Module, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0,
        rank_stabilized: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.base = base.requires_grad_(False)
        self.transposed = not isinstance(base, nn.Linear)  # Conv1D: weight (in, out)
        out_size, in_size = base.weight.T.shape if self.transposed else base.weight.shape
        self.A = nn.Parameter(torch.empty(rank, in_size, device=base.weight.device))
        # B = 0: before the first step the adapted model equals its base.
        self.B = nn.Parameter(torch.zeros(out_size, rank, device=base.weight.device))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.scale = alpha / (math.sqrt(rank) if rank_stabilized else rank)
        self.dropout = nn.Dropout(dropout)
        self.merged = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Corrected output of the layer: (..., in) -> (..., out)."""
        y = self.base(x)
        if self.merged:
            return y
        return y + self.scale * (self.dropout(x) @ self.A.T @ self.B.T)

    def delta(self) -> torch.Tensor:
        """The change as one matrix, in the shape of the layer's weight."""
        change = self.scale * (self.B @ self.A)  # (out, r) @ (r, in)
        return change.T if self.transposed else change


def add_lora(
    model: nn.Module, targets: Iterable[str], rank: int = 8, alpha: float = 16.0,
    dropout: float = 0.0, rank_stabilized: bool = False,
) -> list[str]:  # fmt: skip
    """Freeze a model, replace its target layers by `LoRALinear` in place, and return their names.

    A is random, so seed torch before.

    Args:
        targets: last parts of layer names, such as `"q_proj"`, or regular expressions for them.
        rank, alpha, dropout, rank_stabilized: as for `LoRALinear`.

    Raises:
        ValueError: if a target fits no linear layer, or the rank is below 1.
    """
    if rank < 1:
        raise ValueError(f"The rank is {rank}; give a whole number of at least 1.")
    if isinstance(targets, str):
        raise ValueError(f"targets={targets!r} is one text; give a list, such as [{targets!r}].")
    linear = {name: layer for name, layer in model.named_modules() if _is_linear(layer)}
    ends = {name: name.rpartition(".")[2] for name in linear}
    chosen = {}
    for target in targets:
        found = [name for name, end in ends.items() if re.fullmatch(target, end)]
        if not found:
            listed = ", ".join(dict.fromkeys(ends.values()))
            raise ValueError(
                f"No linear layer is called {target!r}, so it would be left without an adapter. "
                f"This model has {listed}."
            )
        chosen |= dict.fromkeys(found)
    model.requires_grad_(False)
    for name in chosen:
        parent, _, last = name.rpartition(".")
        adapted = LoRALinear(linear[name], rank, alpha, dropout, rank_stabilized)
        setattr(model.get_submodule(parent), last, adapted)
    return list(chosen)


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The adapted layers of a model, by full name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add each change to its weight, so that inference costs nothing extra; safe to repeat."""
    for layer in lora_layers(model).values():
        if not layer.merged:
            layer.base.weight += layer.delta().to(layer.base.weight.dtype)
            layer.merged = True


@torch.no_grad()
def unmerge(model: nn.Module) -> None:
    """Subtract the changes from the weights again, exact up to rounding."""
    for layer in lora_layers(model).values():
        if layer.merged:
            layer.base.weight -= layer.delta().to(layer.base.weight.dtype)
            layer.merged = False


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D"
