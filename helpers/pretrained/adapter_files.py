"""LoRA adapters as folders: small files that belong to one base, and are refused by another.

A folder has the form of peft, `adapter_config.json` and `adapter_model.safetensors`, which
`peft.PeftModel.from_pretrained` reads, too. Two files are added: `base.json` says which weights it
belongs to, and `head.safetensors` holds a classifier's head, if there is one.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from helpers.files import write_bytes, write_text
from helpers.pretrained.adapters import adapter_names, add_adapter, remove_adapter
from helpers.pretrained.loading import Pretrained
from helpers.pretrained.sources import ModelError

__all__ = ["adapter_bytes", "load_adapter", "save_adapter"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BASE, HEAD = "base.json", "head.safetensors"
SAMPLED = 64  # word vectors of which one number each tells two bases apart


def save_adapter(loaded: Pretrained, folder: Path | str, name: str = "default") -> int:
    """Write an adapter, and a classifier's head, to a folder; the base is not written.

    Returns:
        Bytes of the folder's weights: what has to be shipped to someone who has the base.

    Raises:
        ValueError: if there is no such adapter.
    """
    from safetensors.torch import save

    folder, model = Path(folder), loaded.model
    if name not in adapter_names(model):
        raise ValueError(
            f"No adapter {name!r} to save; there are {adapter_names(model) or 'none'}."
        )
    config = model.peft_config[name].to_dict()
    prefix = _outer(model).removeprefix("base_model.model.")
    # Full names: peft itself shortens the list to endings, which say less.
    layers = dict.fromkeys(key.partition(".lora_")[0] for key, _ in _state_parameters(model, name))
    config |= {"target_modules": [prefix + layer for layer in layers], "peft_type": "LORA"}
    config |= {"base_model_name_or_path": loaded.source, "task_type": None, "inference_mode": True}
    weights = {_outer(model) + key: value for key, value in _state(model, name).items()}
    write_bytes(folder / WEIGHTS, save(weights, metadata={"format": "pt"}))
    if hasattr(model, "head"):
        head = {key: value.detach().cpu().clone() for key, value in model.head.state_dict().items()}
        write_bytes(folder / HEAD, save(head, metadata={"format": "pt"}))
    write_text(folder / BASE, json.dumps(_identity(loaded), indent=1) + "\n")
    write_text(folder / CONFIG, json.dumps(config, indent=1, default=_plain, sort_keys=True) + "\n")
    return adapter_bytes(folder)


def adapter_bytes(folder: Path | str) -> int:
    """Bytes of the weights in an adapter's folder."""
    return sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))


def load_adapter(loaded: Pretrained, folder: Path | str, name: str = "default") -> None:
    """Put an adapter from a folder on a model; a head beside it replaces a classifier's own.

    Args:
        loaded: the base that the adapter was trained on, with other adapters or without.
        folder: what `save_adapter` wrote.
        name: to be known by. It speaks from now on (see `use_adapter`).

    Raises:
        ModelError: if a file is missing or damaged, or the adapter belongs to another base; the
            model is as it was.
        ValueError: if the name is taken.
    """
    import torch

    folder, model = Path(folder), loaded.model
    config, identity = (_read_json(folder / file) for file in (CONFIG, BASE))
    state = {
        key.removeprefix(_outer(model)): value
        for key, value in _read_weights(folder / WEIGHTS).items()
    }
    _check_base(identity, _identity(loaded), folder)
    outer = _outer(model).removeprefix("base_model.model.")
    targets = [_prefix(model) + layer.removeprefix(outer) for layer in config["target_modules"]]
    head = _read_head(model, folder)
    add_adapter(
        loaded, rank=config["r"], alpha=config["lora_alpha"], dropout=config["lora_dropout"],
        targets=targets, rank_stabilized=config["use_rslora"], dora=config["use_dora"], name=name,
    )  # fmt: skip
    own = dict(_state_parameters(model, name))
    odd = sorted(own.keys() ^ state.keys()) or [k for k in own if own[k].shape != state[k].shape]
    if odd:
        remove_adapter(loaded, name)
        raise ModelError(f"{folder} is damaged: {odd[0]} does not fit the rest. Save it again.")
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(state[key])
        for key, value in head.items():
            model.head.state_dict()[key].copy_(value)


def _prefix(model) -> str:
    """What stands before a name inside the body: nothing if the model is one."""
    prefix = getattr(model, "base_model_prefix", "")
    return f"{prefix}." if prefix and hasattr(model, prefix) else ""


def _body(model):
    return getattr(model, _prefix(model).rstrip(".") or "-", model)


def _outer(model) -> str:
    """What peft's files have before such a name, whatever head the model has here."""
    return f"base_model.model.{_body(model).base_model_prefix}."


def _state_parameters(model, name: str) -> Iterator[tuple[str, object]]:
    """An adapter's parameters by the names that peft's files give them, from the body on."""
    prefix = _prefix(model)
    for key, value in model.named_parameters():
        if ".lora_" in key and f".{name}" in key.partition(".lora_")[2]:
            layer, _, part = key.removeprefix(prefix).partition(".lora_")
            part = part.replace(f".{name}", "", 1)
            if part.startswith("magnitude_vector"):
                part = "magnitude_vector"
            yield f"{layer}.lora_{part}", value


def _state(model, name: str) -> dict:
    return {k: v.detach().cpu().contiguous() for k, v in _state_parameters(model, name)}


def _identity(loaded: Pretrained) -> dict:
    """What tells one base from another: its shape, and some numbers of its word vectors."""
    model = loaded.model
    vectors = _body(model).get_input_embeddings().weight.detach()
    sample = vectors[:: max(1, len(vectors) // SAMPLED), 0].float().cpu()
    shape = {key: getattr(model.config, key, None) for key in ("model_type", "hidden_size")}
    shape |= {"num_hidden_layers": getattr(model.config, "num_hidden_layers", None)}
    vectors = [round(float(value), 5) for value in sample[:SAMPLED]]
    return {"name": loaded.name, "source": loaded.source, **shape, "vectors": vectors}


def _check_base(wanted: dict, given: dict, folder: Path) -> None:
    differ = [key for key in given if key.endswith(("type", "size", "layers"))]
    differ = [key for key in differ if wanted.get(key) != given[key]]
    pairs = zip(wanted.get("vectors", ()), given["vectors"], strict=False)
    # A base in bfloat16 is the same base: its numbers differ by less than this share.
    if not differ and not all(math.isclose(a, b, rel_tol=0.01, abs_tol=1e-4) for a, b in pairs):
        differ = ["word vectors"]
    if differ:
        raise ModelError(
            f"The adapter in {folder} was trained on {wanted.get('name')} "
            f"({wanted.get('source')}), and this is {given['name']} ({given['source']}): they "
            f"differ in {differ[0]}. Load the base that it was trained on."
        )


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}. Give the folder of a saved adapter.") from None
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}). Save the adapter again.") from error


def _read_weights(path: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}. Give the folder of a saved adapter.") from None
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error}). Save the adapter again.") from error


def _read_head(model, folder: Path) -> dict:
    if not hasattr(model, "head") or not (folder / HEAD).is_file():
        return {}
    head, own = _read_weights(folder / HEAD), model.head.state_dict()
    shapes = {key: tuple(value.shape) for key, value in own.items()}
    if shapes != {key: tuple(value.shape) for key, value in head.items()}:
        labels = next((len(value) for value in head.values()), 0)
        raise ModelError(
            f"The head in {folder} is for {labels} labels, not for {model.num_labels}. Load the "
            f"base with num_labels={labels}."
        )
    return head


def _plain(value):
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
