"""Two networks of the same shapes, made to compute the same: to compare classes of layers."""

import zlib
from collections import Counter

import torch
from torch import nn

__all__ = ["with_known_weights"]


def with_known_weights(network: nn.Module) -> nn.Module:
    """Fill the parameters with numbers that depend on their shape alone, and switch dropout off.

    What parameters are called does not count; of several with one shape, their order does. In an
    exercise on a class: `apply=lambda layer, size, x: with_known_weights(layer(size))(x)`.
    """
    seen: Counter = Counter()
    for parameter in network.parameters():
        shape = tuple(parameter.shape)
        seen[shape] += 1
        seed = zlib.crc32(repr((shape, seen[shape])).encode())
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        parameter.data = drawn.to(parameter.dtype)
    return network.eval()
