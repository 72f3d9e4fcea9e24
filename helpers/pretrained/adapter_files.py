"""LoRA adapters as folders: small files that belong to one base, and are refused by another.

A folder has the form of peft, `adapter_config.json` and `adapter_model.safetensors`, which
`peft.PeftModel.from_pretrained` reads, too. Two files are added: `base.json` says which weights it
belongs to and, by their sha256, which files belong together; `head.safetensors` holds a
classifier's head, if there is one.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

from helpers.files import write_bytes, write_text
from helpers.pretrained.adapters import (
    adapter_names,
    add_adapter,
    linear_layers,
    remove_adapter,
    use_adapter,
)
from helpers.pretrained.loading import Pretrained
from helpers.pretrained.sources import ModelError

__all__ = ["adapter_bytes", "load_adapter", "save_adapter"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BASE, HEAD = "base.json", "head.safetensors"
SHAPE = ("model_type", "hidden_size", "num_hidden_layers")
SAMPLED = 64  # rows of a matrix of which one number each tells two bases apart


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
    files = {WEIGHTS: save(weights, metadata={"format": "pt"})}
    if head := _head_of(model, name):
        files[HEAD] = save(head, metadata={"format": "pt"})
    else:
        (folder / HEAD).unlink(missing_ok=True)  # of what was kept here before
    for file, content in files.items():
        write_bytes(folder / file, content)
    write_text(folder / CONFIG, json.dumps(config, indent=1, default=_plain, sort_keys=True) + "\n")
    # Written last: files of two runs do not pass for one adapter.
    identity = _identity(loaded) | {"sha256": {file: _sha256(files[file]) for file in files}}
    write_text(folder / BASE, json.dumps(identity, indent=1) + "\n")
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
    given = _identity(loaded)
    whole = identity.keys() == given.keys() | {"sha256"}
    if not whole or not all(isinstance(identity[key], dict) for key in ("numbers", "sha256")):
        raise ModelError(f"{folder / BASE} is damaged. Save the adapter again.")
    wanted = identity["sha256"]
    state = {
        key.removeprefix(_outer(model)): value
        for key, value in _read_weights(folder / WEIGHTS, wanted).items()
    }
    _check_base(identity, given, folder)
    head = _read_head(model, folder, wanted)
    before = _standing(model)
    add_adapter(loaded, **_settings(model, config, folder), name=name)
    own = dict(_state_parameters(model, name))
    odd = sorted(own.keys() ^ state.keys()) or [k for k in own if own[k].shape != state[k].shape]
    if odd:
        remove_adapter(loaded, name)
        _put_back(loaded, before)
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
        layer, _, end = key.removeprefix(prefix).partition(".lora_")
        part, _, rest = end.partition(".")  # such as A, and default.weight
        owner, _, weight = rest.partition(".")
        if end and owner == name:
            short = not weight or part == "magnitude_vector"
            yield f"{layer}.lora_{part if short else f'{part}.{weight}'}", value


def _state(model, name: str) -> dict:
    return {k: v.detach().cpu().contiguous() for k, v in _state_parameters(model, name)}


def _head_of(model, name: str) -> dict:
    """A classifier's head that goes with an adapter, whichever of them speaks; {} without one."""
    if not hasattr(model, "head"):
        return {}
    speaking, heads = getattr(model, "adapter_heads", (name, {}))
    head = model.head.state_dict() if speaking == name or name not in heads else heads[name]
    return {key: value.detach().cpu().clone() for key, value in head.items()}


def _settings(model, config: dict, folder: Path) -> dict:
    """Arguments of `add_adapter`, from the config of a folder."""
    outer = _outer(model).removeprefix("base_model.model.")
    try:
        return {
            "targets": [_prefix(model) + t.removeprefix(outer) for t in config["target_modules"]],
            "rank": int(config["r"]), "alpha": float(config["lora_alpha"]),
            "dropout": float(config["lora_dropout"]), "dora": bool(config["use_dora"]),
            "rank_stabilized": bool(config["use_rslora"]),
        }  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{folder / CONFIG} is damaged ({type(error).__name__}: {error}). Save the adapter "
            "again."
        ) from error


def _standing(model) -> tuple:
    """What an adapter that is refused must not have changed: who speaks, what trains."""
    free = {key for key, value in model.named_parameters() if value.requires_grad}
    return next((m.active_adapters for m in model.modules() if hasattr(m, "lora_A")), []), free


def _put_back(loaded: Pretrained, before: tuple) -> None:
    speaking, free = before
    if speaking:
        use_adapter(loaded, speaking[0])
    for key, value in loaded.model.named_parameters():
        value.requires_grad_(key in free)


def _identity(loaded: Pretrained) -> dict:
    """What tells one base from another: its shape, and some numbers of three of its matrices."""
    model = loaded.model
    layers = linear_layers(model)
    matrices = {
        "word vectors": _body(model).get_input_embeddings(),
        "its first layer": model.get_submodule(layers[0]),
        "its last layer": model.get_submodule(layers[-1]),
    }
    shape = {key: getattr(model.config, key, None) for key in SHAPE}
    numbers = {name: _sample(layer) for name, layer in matrices.items()}
    return {"name": loaded.name, "source": loaded.source, **shape, "numbers": numbers}


def _sample(layer) -> list[float] | None:
    """Numbers of the first column of a layer's weight; None where four bits hide them."""
    weight = getattr(layer, "base_layer", layer).weight.detach()
    if not weight.is_floating_point():
        return None
    sample = weight[:: max(1, len(weight) // SAMPLED), 0].float().cpu()
    return [round(float(value), 5) for value in sample[:SAMPLED]]


def _check_base(wanted: dict, given: dict, folder: Path) -> None:
    differ = [key for key in SHAPE if wanted[key] != given[key]]
    differ += [
        name for name, b in given["numbers"].items() if not _alike(wanted["numbers"].get(name), b)
    ]
    if differ:
        raise ModelError(
            f"The adapter in {folder} was trained on {wanted.get('name')} "
            f"({wanted.get('source')}), and this is {given['name']} ({given['source']}): they "
            f"differ in {differ[0]}. Load the base that it was trained on."
        )


def _alike(wanted: list | None, given: list | None) -> bool:
    """Whether two samples are of one matrix; packed into four bits it cannot be told."""
    if wanted is None or given is None:
        return True
    # A base in bfloat16 is the same base: its numbers differ by less than this share.
    return len(wanted) == len(given) and all(
        math.isclose(a, b, rel_tol=0.01, abs_tol=1e-4) for a, b in zip(wanted, given, strict=True)
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
        return found
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}. Give the folder of a saved adapter.") from None
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}). Save the adapter again.") from error


def _read_weights(path: Path, wanted: dict) -> dict:
    """Read a file of weights whose sha256 is wanted by its name."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        if wanted.get(path.name) != _sha256(content):
            raise ValueError(f"its sha256 is not the one in {BASE}")
        return load(content)
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}. Give the folder of a saved adapter.") from None
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error}). Save the adapter again.") from error


def _read_head(model, folder: Path, wanted: dict) -> dict:
    if not hasattr(model, "head") or HEAD not in wanted:
        return {}
    head, own = _read_weights(folder / HEAD, wanted), model.head.state_dict()
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
