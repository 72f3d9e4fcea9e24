"""A tiny BERT in a folder, behind MiniLM's tokenizer, for tests of the `gpu` profile's code."""

import shutil
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM

from helpers import assets

__all__ = ["write_tiny_bert"]


def write_tiny_bert(folder: Path) -> Path:
    """Save a random BERT of three blocks and its tokenizer; gives the folder."""
    config = BertConfig(
        vocab_size=30_522, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    torch.manual_seed(1)
    BertForMaskedLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(assets.path("minilm") / name, folder)
    return folder
