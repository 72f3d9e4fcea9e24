"""Methods of the GPT series: a small one that we pre-train ourselves, and one of GPT-2's size."""

from helpers.methods import decoders, tiny_gpt

__all__ = ["METHODS"]

METHODS = (*tiny_gpt.METHODS, *decoders.METHODS)
