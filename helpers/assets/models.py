"""Which model a run uses, and the local folder that transformers' `from_pretrained` reads."""

import json
import os
import re
import shutil
from functools import partial
from pathlib import Path

from helpers.assets import smollm2
from helpers.assets.derived import made_once
from helpers.assets.hub import Choice, found, is_hub_id
from helpers.assets.registry import AssetError
from helpers.assets.store import path
from helpers.runtime import Profile, choose_profile

__all__ = ["choose_model", "folder", "hub_id", "model_folder"]

KINDS = {"minilm": "encoder", "smollm2": "decoder"}
USUAL = {
    "encoder": Choice("MiniLM-L6", "minilm", "encoder"),
    "decoder": Choice("SmolLM2-135M-Instruct", "smollm2", "decoder"),
}
TINY = {
    "encoder": Choice("tiny random BERT", "tiny", "encoder"),
    "decoder": Choice("tiny random Llama", "tiny", "decoder"),
}
LARGE = {  # by kind and variant; commits, so that a run next year starts from the same weights
    ("encoder", False): Choice(
        "BERT-base",
        "google-bert/bert-base-uncased@86b5e0934494bd15c9632b12f734a8a67f723594",
        "encoder",
    ),
    ("encoder", True): Choice(
        "BERT-base, cased",
        "google-bert/bert-base-cased@cd5ef92a9fb2f889e972770a36d4ed042daf221e",
        "encoder",
    ),
    ("decoder", False): Choice(
        "GPT-2", "openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e", "decoder"
    ),
    ("decoder", True): Choice(
        "SmolLM2-1.7B-Instruct",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct@31b70e2e869a7173562077fd711b654946d38674",
        "decoder",
    ),
}
HUB = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct",
}
NARROW = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


def folder(name: str, profile: Profile | None = None) -> Path:
    """Return a folder for `AutoModel.from_pretrained` and `AutoTokenizer.from_pretrained`.

    `"minilm"` is an encoder, `"smollm2"` a decoder. `smoke` uses a tiny random model with the same
    tokenizer, `gpu` a larger one (BERT-base, GPT-2); `COURSE_ENCODER` or `COURSE_DECODER` names
    another. Without a profile it is the one of this run.

    Raises:
        AssetError: if the name is unknown, or the asset cannot be fetched.
        ModelError: if a folder or a model of the Hub cannot be used.
    """
    if name not in KINDS:
        raise AssetError(f"{name!r} is no model; the models are: {', '.join(KINDS)}.")
    return model_folder(choose_model(KINDS[name], profile or choose_profile()))


def choose_model(
    kind: str, profile: Profile | None, source: str | Path | None = None, variant: bool = False
) -> Choice:
    """Decide which model is meant: the argument, then the environment, then the profile.

    `source` is a folder or Hub id, else `COURSE_ENCODER` or `COURSE_DECODER`; no profile means
    `cpu`. `variant` asks in `gpu` for the cased encoder or the larger decoder.
    """
    source = str(source or os.environ.get(f"COURSE_{kind.upper()}") or "").strip()
    if source:
        return Choice(_shown(source), source, kind)
    size = profile.name if profile else "cpu"
    if size == "gpu":
        return LARGE[kind, variant]
    return TINY[kind] if size == "smoke" else USUAL[kind]


def _shown(source: str) -> str:
    """Last part of a path or Hub id, without its revision."""
    shown = source.partition("@")[0] if is_hub_id(source) else source
    return re.split(r"[\\/]", shown.rstrip("\\/"))[-1]


def hub_id(source: str) -> str:
    """Return the Hub's name of a source, with its revision if given; else the source itself."""
    return HUB.get(source, source)


def model_folder(choice: Choice, weights: bool = True) -> Path:
    """Return a folder with config, tokenizer and, if asked for, the weights of a model.

    Raises:
        ModelError: if something is missing or cannot be downloaded.
        AssetError: if MiniLM or SmolLM2 cannot be fetched.
    """
    if choice.source == "minilm":
        return path("minilm")
    if choice.source == "smollm2":
        return smollm2.model_folder() if weights else smollm2.tokenizer_folder()
    if choice.source == "tiny":
        return _tiny(choice.kind)
    return found(choice, weights)


def _tiny(kind: str) -> Path:
    """Make a narrow random BERT or Llama, as deep as the real one so that block names fit."""
    real = path("minilm") if kind == "encoder" else smollm2.tokenizer_folder()
    facts = json.loads((real / "config.json").read_text(encoding="utf-8"))
    kept = ("vocab_size", "num_hidden_layers", "max_position_embeddings", "tie_word_embeddings")
    sizes = NARROW | {key: facts[key] for key in kept if key in facts}
    if kind == "decoder":
        sizes |= {key: facts.get(key) for key in ("bos_token_id", "eos_token_id")}
    files = ("config.json", "model.safetensors", "tokenizer.json")
    write = partial(_write_tiny, real, kind, sizes)
    return made_once(f"tiny-{kind}", [kind, sizes, real.name], files, write)


def _write_tiny(real: Path, kind: str, sizes: dict, target: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    for file in real.iterdir():
        if file.is_file() and not file.name.startswith((".", "config.", "model.")):
            shutil.copy(file, target)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        if kind == "encoder":
            model = BertModel(BertConfig(**sizes), add_pooling_layer=False)
        else:
            model = LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=1))
        model.save_pretrained(target)
