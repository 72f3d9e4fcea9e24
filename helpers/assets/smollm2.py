"""SmolLM2 for transformers: unpacked once from its GGUF file and kept in the cache."""

import contextlib
import io
import shutil
import sys
from pathlib import Path

from helpers.assets.derived import made_once
from helpers.assets.registry import named
from helpers.assets.store import file
from helpers.runtime import shows_progress

__all__ = ["model_folder", "tokenizer_folder"]

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FORM = "float32, digits one by one"  # what was done to the file
FILES = ("config.json", "tokenizer.json", "model.safetensors")


def tokenizer_folder() -> Path:
    """Return a folder with tokenizer, chat template and config, a few MB."""
    return made_once("smollm2-tokenizer", _facts("tokenizer"), FILES[:2], _write_tokenizer)


def model_folder() -> Path:
    """Return a folder with all of that and the weights, exactly as the GGUF file has them.

    A 4-bit weight is a scale times a number from 0 to 15 plus an offset. That needs more digits
    than half precision has, so the weights are kept in float32, 538 MB.
    """
    return made_once("smollm2-model", _facts("model"), FILES, _write_model)


def _facts(part: str) -> list:
    hashes = {member.name: member.sha256 for member in named("smollm2").members}
    return [part, FORM, hashes.get(FILE)]


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import pre_tokenizers
    from transformers import AutoConfig, AutoTokenizer

    gguf = file("smollm2", FILE)
    source = {"gguf_file": gguf.name, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(gguf.parent, **source)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    # GGUF names this rule ("smollm") and does not spell it out: each digit is a token of its own.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.model_max_length = config.max_position_embeddings
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_model(folder: Path) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    shutil.copytree(tokenizer_folder(), folder, dirs_exist_ok=True)
    gguf = file("smollm2", FILE)
    said = f"smollm2: unpacked once, from 4 bits a weight to 32, into {folder.parent}"
    print(said, file=sys.stderr, flush=True)
    unpacked = {}
    if hasattr(transformers, "GgufConfig"):  # else some machines keep the weights packed
        unpacked["quantization_config"] = transformers.GgufConfig(dequantize=True)
    hidden = contextlib.nullcontext()
    if not shows_progress():
        hidden = contextlib.redirect_stderr(io.StringIO())  # transformers draws a bar of its own
    with hidden:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            trust_remote_code=False,
            **unpacked,
        )
    # named_parameters leaves out the output layer, which is the word vectors once more.
    state = {name: value.detach().contiguous() for name, value in model.named_parameters()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
