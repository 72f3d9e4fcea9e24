"""LoRA adapters by peft: add, save and load them, and refuse the wrong base.

For the rest call peft on `loaded.model`: `set_adapter(name)`, `disable_adapter()` in a `with`,
`delete_adapter(name)`, `merge_and_unload()`; the names are `list(loaded.model.peft_config)`.
A classifier's head goes with its adapter.
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
from helpers.pretrained import Pretrained, blocks, body_of, hold, seeded, unwrapped

__all__ = ["add_adapter", "hold_base", "linear_layers", "load_adapter", "save_adapter"]
__all__ += ["target_layers"]

CONFIG, WEIGHTS, BASE = "adapter_config.json", "adapter_model.safetensors", "base.json"
ATTENTION = {"llama": ("q_proj", "k_proj", "v_proj", "o_proj"), "gpt2": ("c_attn", "attn.c_proj")}
ATTENTION |= dict.fromkeys(("qwen2", "qwen3", "mistral", "gemma", "smollm3"), ATTENTION["llama"])
EVERY = 997  # every 997th value of a matrix is enough to tell two bases apart


def add_adapter(
    loaded: Pretrained, *, rank: int = 8, alpha: float = 16.0, targets: Iterable[str] | None = None,
    dropout: float = 0.0, rank_stabilized: bool = False, dora: bool = False, seed: int = 0,
    name: str = "default",
) -> Pretrained:  # fmt: skip
    """Freeze a model and add a trainable LoRA adapter, as a `peft.PeftModel` (Hu et al. 2021).

    B starts at zero, so nothing changes before training. A classifier's head still trains. Layers
    are replaced in place. A model that already has adapters gets one more, which becomes the active
    one, with a head that starts as the first one did.

    Args:
        targets: ends of layer names, such as `"q_proj"`; without it the four matrices of attention
            where the kind of model is known, else every linear layer of the blocks.
        rank_stabilized: scale by alpha / sqrt(rank) (Kalajdzievski 2023), not by alpha / rank.
        dora: learn the length of each row apart from its direction (DoRA, Liu et al. 2024).
        seed: for A.

    Raises:
        ValueError: if a target fits no layer of the blocks, the rank is below 1, or the name is
            taken; the model stays unchanged.
    """
    model = loaded.model
    head = hasattr(model, "head")
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, bias="none",
        target_modules=target_layers(unwrapped(model), targets), use_rslora=rank_stabilized,
        use_dora=dora, modules_to_save=["head"] if head else None,
        # A classifier has none: only a loader that knows our classes can read the folder.
        task_type="CAUSAL_LM" if not head and model.can_generate() else None,
    )  # fmt: skip
    with seeded(seed), warnings.catch_warnings(action="ignore"):
        if isinstance(model, PeftModel):
            model.add_adapter(name, config)
            model.set_adapter(name)
        else:
            model = get_peft_model(model, config, adapter_name=name)
    return replace(loaded, model=model)


def hold_base(loaded: Pretrained) -> Pretrained:
    """Keep the frozen base of an adapter in bfloat16 if that is its profile's precision, in place.

    Adapter and head stay in float32. The answers change by what bfloat16 rounds.
    """
    body = body_of(unwrapped(loaded.model))
    hold((p for p in body.parameters() if not p.requires_grad), loaded.precision)
    return loaded


def save_adapter(loaded: Pretrained, folder: Path | str, name: str = "default") -> int:
    """Write an adapter, and a classifier's head, for `load_adapter` or peft's own loaders.

    Returns the size of the weights in bytes: what someone who has the base needs to receive.
    """
    folder, base = Path(folder), unwrapped(loaded.model)
    layers = {n: base.get_submodule(n) for n in linear_layers(base)}
    carriers = {n for n, layer in layers.items() if name in getattr(layer, "lora_A", ())}
    if carriers:  # peft shortens a long list to endings, which may fit layers of another model
        loaded.model.peft_config[name].target_modules = carriers
    with tempfile.TemporaryDirectory() as scratch:
        # In a scratch folder: peft adds a card, and a subfolder for any other name.
        loaded.model.save_pretrained(scratch, selected_adapters=[name], save_embedding_layers=False)
        written = Path(scratch) if name == "default" else Path(scratch, name)
        files = {file: (written / file).read_bytes() for file in (CONFIG, WEIGHTS)}
    # Only in the folder: peft's own savers, which TRL calls, would ask the Hub for the base.
    where, _, revision = hub_id(loaded.source).partition("@")
    base_of = {"base_model_name_or_path": where, "revision": revision or None}
    config = json.dumps(json.loads(files[CONFIG]) | base_of, indent=2, sort_keys=True)
    files[CONFIG] = config.encode()
    identity = _identity(loaded) | {"files": _sha256(*files.values())}
    files[BASE] = (json.dumps(identity, indent=1) + "\n").encode()
    for file, content in files.items():  # the last one names the others: runs are not mixed
        write_bytes(folder / file, content)
    return len(files[WEIGHTS])


def load_adapter(loaded: Pretrained, folder: Path | str, name: str = "default") -> Pretrained:
    """Add what `save_adapter` wrote to the base it was trained on; it is active and trains.

    The base may carry other adapters. A classifier gets the saved head.

    Raises:
        ModelError: if a file is missing or damaged, or the adapter belongs to another base; the
            model stays unchanged.
        ValueError: if the name is taken.
    """
    folder, model = Path(folder), loaded.model
    if name in getattr(model, "peft_config", {}):
        raise ValueError(f"There is an adapter {name!r} already; give another name.")
    _check(loaded, folder)
    # The random new matrices are overwritten.
    with seeded(0), warnings.catch_warnings(action="ignore"):
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), name, is_trainable=True)
            model.set_adapter(name)
        else:
            model = PeftModel.from_pretrained(model, str(folder), name, is_trainable=True)
    model.peft_config[name].base_model_name_or_path = unwrapped(model).name_or_path
    return replace(loaded, model=model.eval())


def linear_layers(model) -> list[str]:
    """Full names of all linear layers inside the blocks, with adapters or not, bottom to top."""
    stack = tuple(f"{block}." for block in blocks(model))
    found = {}
    for name, module in model.named_modules():
        linear = isinstance(module, nn.Linear | Conv1D) and "lora_" not in name
        if linear and name.startswith(stack):
            found[name.removesuffix(".base_layer")] = True
    return list(found)


def target_layers(model, targets: Iterable[str] | None = None) -> list[str]:
    """Full names of the layers that `add_adapter` would adapt with these targets.

    Raises:
        ValueError: if the targets are one string, or one of them fits no layer of the blocks.
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
    """Fingerprint a base, in bfloat16 so that precision does not matter."""
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
    """Refuse an incomplete folder, or an adapter for another base or task."""
    wanted, config = _whole(folder)
    given, model = _identity(loaded), unwrapped(loaded.model)
    for part in ("vectors", "matrices"):  # unknown for matrices in four bits
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
    """Read the base's fingerprint and the adapter's config from a folder whose files match."""
    content = {}
    for name in (BASE, CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"There is no file {folder / name}. Give a saved adapter's folder.")
        content[name] = (folder / name).read_bytes()
    try:
        wanted = json.loads(content[BASE])
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
