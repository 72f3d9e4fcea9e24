"""A base model in four bits, to train an adapter on (QLoRA, Dettmers et al. 2023)."""

import importlib.util
import logging

import torch
from transformers import BitsAndBytesConfig

from helpers.assets import ModelError

__all__ = ["nf4_settings"]

BFLOAT16_FROM = (8, 0)  # compute capability; a T4 has 7.5 and only imitates bfloat16


def nf4_settings(device: str):
    """Configure transformers to keep a model's linear layers in NF4.

    Four bits per weight, in blocks of 64 with one scale each, and the scales in eight bits. Weights
    are unpacked when used: computation is in bfloat16 on a GPU that has it, else in float16 there,
    and in float32 on a CPU.

    Raises:
        ModelError: if the package bitsandbytes is missing.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "Four bits a weight need the package bitsandbytes, which the course installs on Linux "
            "alone. Install it, or load the model without nf4=True."
        )
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it asks for faster kernels
    compute = torch.float32
    if device.startswith("cuda"):
        able = torch.cuda.get_device_capability() >= BFLOAT16_FROM
        compute = torch.bfloat16 if able else torch.float16
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
