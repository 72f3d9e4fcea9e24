"""LoRA adapters by peft: put on, kept in folders, found again, refused by another base.

What else an adapter can do is peft's own call on `loaded.model`: `set_adapter(name)`,
`with loaded.model.disable_adapter():`, `delete_adapter(name)`, `merge_and_unload()`, and
`list(loaded.model.peft_config)` for the names. A classifier's head goes with its adapter.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from torch import nn
from transformers.pytorch_utils import Conv1D

from helpers.assets import ModelError, hub_id
from helpers.files import write_bytes
from helpers.pretrained import Pretrained, blocks, body_of, seeded, unwrapped

__all__ = ["add_adapter", "linear_layers", "load_adapter", "save_adapter", "target_layers"]

CONFIG, WEIGHTS, BASE = "adapter_config.json", "adapter_model.safetensors", "base.json"
ATTENTION = {"llama": ("q_proj", "k_proj", "v_proj", "o_proj"), "gpt2": ("c_attn", "attn.c_proj")}
ATTENTION |= dict.fromkeys(("qwen2", "qwen3", "mistral", "gemma", "smollm3"), ATTENTION["llama"])
EVERY = 997  # of a weight matrix, one number in so many tells two bases apart


def add_adapter(
    loaded: Pretrained, *, rank: int = 8, alpha: float = 16.0, targets: Iterable[str] | None = None,
    dropout: float = 0.0, rank_stabilized: bool = False, dora: bool = False, seed: int = 0,
    name: str = "default",
) -> Pretrained:  # fmt: skip
    """Freeze a model and put a LoRA adapter on it that trains (Hu et al. 2021).

    B starts at zero, so nothing changes before training. A classifier's head goes on training.
    The layers are replaced in place; a model that carries adapters gets one more, which is then the
    active one, with a head that starts as the first one did.

    Args:
        loaded: of `load_decoder` or `load_encoder`, or of an earlier call.
        targets: ends of layer names, such as `"q_proj"`; without it the four matrices of attention
            where the kind of model is known, else every linear layer of the blocks.
        rank_stabilized: scale by alpha / sqrt(rank) (Kalajdzievski 2023), not by alpha / rank.
        dora: learn the length of each row apart from its direction (DoRA, Liu et al. 2024).
        seed: of A.

    Returns:
        The same tokenizer with a `peft.PeftModel`.

    Raises:
        ValueError: if a target fits no layer of the blocks, the rank is below 1, or the name is
            taken; the model is as it was.
    """
    model = loaded.model
    head = hasattr(model, "head")
    where, _, revision = hub_id(loaded.source).partition("@")
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, bias="none",
        target_modules=target_layers(unwrapped(model), targets), use_rslora=rank_stabilized,
        use_dora=dora, modules_to_save=["head"] if head else None,
        # Without a task, only a loader that is told of our classifiers can read the folder.
        task_type="CAUSAL_LM" if not head and model.can_generate() else None,
    )  # fmt: skip
    with seeded(seed), warnings.catch_warnings(action="ignore"):
        if isinstance(model, PeftModel):
            model.add_adapter(name, config)
            model.set_adapter(name)
        else:
            model = get_peft_model(model, config, adapter_name=name)
    config.base_model_name_or_path, config.revision = where, revision or None
    return replace(loaded, model=model)


def save_adapter(loaded: Pretrained, folder: Path | str, name: str = "default") -> int:
    """Write an adapter, and a classifier's head, for `load_adapter` or peft's own loaders.

    Returns:
        Bytes of the weights: what has to be shipped to someone who has the base.
    """
    folder, base = Path(folder), unwrapped(loaded.model)
    layers = {n: base.get_submodule(n) for n in linear_layers(base)}
    carriers = {n for n, layer in layers.items() if name in getattr(layer, "lora_A", ())}
    if carriers:  # peft shortens a long list to endings, which may fit layers of another model
        loaded.model.peft_config[name].target_modules = carriers
    with tempfile.TemporaryDirectory() as scratch:
        # Elsewhere first: peft adds a card, and a folder of its own for any other name.
        loaded.model.save_pretrained(scratch, selected_adapters=[name], save_embedding_layers=False)
        written = Path(scratch) if name == "default" else Path(scratch, name)
        files = {file: (written / file).read_bytes() for file in (CONFIG, WEIGHTS)}
    identity = _identity(loaded) | {"files": _sha256(*files.values())}
    files[BASE] = (json.dumps(identity, indent=1) + "\n").encode()
    for file, content in files.items():  # the last one names the others: runs are not mixed
        write_bytes(folder / file, content)
    return len(files[WEIGHTS])


def load_adapter(loaded: Pretrained, folder: Path | str, name: str = "default") -> Pretrained:
    """Put a saved adapter on its base, and its head on a classifier; it is active and trains.

    Args:
        loaded: the base that it was trained on, with other adapters or without.
        folder: what `save_adapter` wrote.
        name: to be known by.

    Raises:
        ModelError: if a file is missing or damaged, or the adapter belongs to another base; the
            model is as it was.
        ValueError: if the name is taken.
    """
    folder, model = Path(folder), loaded.model
    if name in getattr(model, "peft_config", {}):
        raise ValueError(f"There is an adapter {name!r} already; give another name.")
    _check(loaded, folder)
    # What is drawn for the new matrices is overwritten.
    with seeded(0), warnings.catch_warnings(action="ignore"):
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), name, is_trainable=True)
            model.set_adapter(name)
        else:
            model = PeftModel.from_pretrained(model, str(folder), name, is_trainable=True)
    return replace(loaded, model=model.eval())


def linear_layers(model) -> list[str]:
    """Full names of all linear layers inside the blocks, adapted or not, bottom to top."""
    stack = tuple(f"{block}." for block in blocks(model))
    found = {}
    for name, module in model.named_modules():
        linear = isinstance(module, nn.Linear | Conv1D) and "lora_" not in name
        if linear and name.startswith(stack):
            found[name.removesuffix(".base_layer")] = True
    return list(found)


def target_layers(model, targets: Iterable[str] | None = None) -> list[str]:
    """Full names of the layers that an adapter with these targets, as for `add_adapter`, sits on.

    Raises:
        ValueError: if the targets are one text, or one of them fits no layer of the blocks.
    """
    if isinstance(targets, str):
        raise ValueError(f"targets={targets!r} is one text; give a list, such as [{targets!r}].")
    layers = linear_layers(model)
    ends = list(dict.fromkeys(layer.rpartition(".")[2] for layer in layers))
    chosen = {}
    for target in targets or ATTENTION.get(body_of(model).config.model_type, ends):
        found = [layer for layer in layers if f".{layer}".endswith(f".{target}")]
        if not found:
            raise ValueError(
                f"No linear layer in the blocks is called {target!r}, so it would be left without "
                f"an adapter. This model has {', '.join(ends)}."
            )
        chosen |= dict.fromkeys(found)
    return [layer for layer in layers if layer in chosen]


def _identity(loaded: Pretrained) -> dict:
    """What tells one base from another: two digests, of what NF4 packs and of what it leaves.

    Numbers are compared as bfloat16, so that a base kept in fewer bits is still the same base.
    """
    body = body_of(unwrapped(loaded.model))
    linear = {f"{layer}.weight" for layer in linear_layers(body)}
    digests = {"matrices": hashlib.sha256(), "vectors": hashlib.sha256()}
    packed = False
    for name, value in body.named_parameters():
        name = name.replace(".base_layer.", ".")
        if "lora_" in name:
            continue
        packed = packed or not value.is_floating_point()
        sample = value.detach().flatten()[::EVERY].to("cpu", torch.bfloat16)
        part = "matrices" if name in linear else "vectors"
        digests[part].update(sample.view(torch.int16).numpy().tobytes())
    found = {part: digest.hexdigest() for part, digest in digests.items()}
    if packed:
        found["matrices"] = None
    return {"base": loaded.name, "source": loaded.source, **found}


def _check(loaded: Pretrained, folder: Path) -> None:
    """Refuse a folder that is not whole, or whose adapter belongs to another base or task."""
    wanted, config = _whole(folder)
    given, model = _identity(loaded), unwrapped(loaded.model)
    for part in ("vectors", "matrices"):  # of four bits a weight the latter cannot be told
        if wanted[part] != given[part] and None not in (wanted[part], given[part]):
            raise ModelError(
                f"The adapter in {folder} was trained on {wanted['base']} ({wanted['source']}), "
                f"and this is {given['base']} ({given['source']}), with other weights. Load the "
                "base that it was trained on."
            )
    strange = set(config["target_modules"]) - set(linear_layers(model))
    if strange or bool(config["modules_to_save"]) != hasattr(model, "head"):
        raise ModelError(
            f"The adapter in {folder} was trained for another task than this "
            f"{type(model).__name__}'s. Load its base for that task."
        )
    if hasattr(model, "head"):
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            labels = file.get_slice("base_model.model.head.weight").get_shape()[0]
        if labels != model.num_labels:
            raise ModelError(
                f"The head in {folder} is for {labels} labels, not for {model.num_labels}. Load "
                f"the base with num_labels={labels}."
            )


def _whole(folder: Path) -> tuple[dict, dict]:
    """Read what a folder says of its base and of its adapter, whose files must belong together."""
    content = {}
    for name in (BASE, CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"There is no file {folder / name}. Give a saved adapter's folder.")
        content[name] = (folder / name).read_bytes()
    try:
        wanted = json.loads(content[BASE])
        if "numbers" in wanted:
            raise ModelError(
                f"The adapter in {folder} was saved by an earlier version of the course, and is "
                "not read any more. Train it again."
            )
        if wanted["files"] == _sha256(content[CONFIG], content[WEIGHTS]):
            return wanted, json.loads(content[CONFIG])
    except (KeyError, TypeError, json.JSONDecodeError):
        pass
    raise ModelError(
        f"{folder} is damaged: {BASE}, {CONFIG} and {WEIGHTS} are not those of one adapter. Save "
        "it again."
    )


def _sha256(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(contents)).hexdigest()
