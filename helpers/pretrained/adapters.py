"""LoRA adapters with peft: put on, switched, taken off, merged.

`adapter_files` keeps them in folders.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from helpers.pretrained.loading import Pretrained, seeded
from helpers.pretrained.parts import blocks

__all__ = [
    "adapter_names",
    "adapter_off",
    "add_adapter",
    "check_rank",
    "linear_layers",
    "merge_adapter",
    "remove_adapter",
    "target_layers",
    "use_adapter",
]

ATTENTION = {"llama": ("q_proj", "k_proj", "v_proj", "o_proj"), "gpt2": ("c_attn", "attn.c_proj")}
ATTENTION |= dict.fromkeys(("qwen2", "qwen3", "mistral", "gemma", "smollm3"), ATTENTION["llama"])


def add_adapter(
    loaded: Pretrained, *, rank: int = 8, alpha: float = 16.0, targets: Iterable[str] | None = None,
    dropout: float = 0.0, rank_stabilized: bool = False, dora: bool = False, seed: int = 0,
    name: str = "default",
) -> list[str]:  # fmt: skip
    """Freeze a model's body and put a LoRA adapter on it, in place (Hu et al. 2021).

    B starts at zero, so nothing changes before training. A classifier's head goes on training.
    `training.fit` then trains what is left free; it needs no `freeze`.

    Args:
        loaded: of `load_decoder` or `load_encoder`.
        rank, alpha, dropout, rank_stabilized: as for `helpers.lora.LoRALinear`.
        targets: ends of layer names, such as `"q_proj"`; without it the four matrices of attention
            where the kind of model is known, else every linear layer of the blocks.
        dora: learn the length of each row apart from its direction (DoRA, Liu et al. 2024).
        seed: of A.
        name: of the adapter, to have several on one base.

    Returns:
        Full names of the adapted layers.

    Raises:
        ValueError: if a target fits no layer of the blocks, the rank is below 1, or the name is
            taken; the model is as it was.
    """
    from peft import LoraConfig, inject_adapter_in_model

    model = loaded.model
    check_rank(rank)
    if name in adapter_names(model):
        raise ValueError(f"There is an adapter {name!r} already; give another name.")
    layers = target_layers(model, targets)
    heads = {n for n, p in model.named_parameters() if p.requires_grad and n.startswith("head.")}
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers,
        use_rslora=rank_stabilized, use_dora=dora, bias="none",
    )  # fmt: skip
    with seeded(seed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        model.requires_grad_(False)
        inject_adapter_in_model(config, model, adapter_name=name)
    for parameter, value in model.named_parameters():
        if parameter in heads:
            value.requires_grad_(True)
    use_adapter(loaded, name)
    return layers


def adapter_names(model) -> list[str]:
    """Names of the adapters on a model, whichever of its layers they sit on."""
    return list(dict.fromkeys(name for layer in _adapted(model) for name in layer.lora_A))


def check_rank(rank: int) -> None:
    """Refuse a rank that is none, with a `ValueError`."""
    if rank < 1 or int(rank) != rank:
        raise ValueError(f"The rank is {rank}; give a whole number of at least 1.")


def linear_layers(model) -> list[str]:
    """Full names of all linear layers inside the blocks, adapted or not, bottom to top."""
    from torch import nn

    stack = tuple(f"{block}." for block in blocks(model))
    found = []
    for name, module in model.named_modules():
        linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if name.startswith(stack) and ("lora_" not in name) and (linear or _is_adapted(module)):
            found.append(name.removesuffix(".base_layer"))
    return list(dict.fromkeys(found))


def use_adapter(loaded: Pretrained, name: str) -> None:
    """Let one of the adapters on a model speak, and only that one train.

    A classifier's head goes with its adapter: each has its own, from the first switch on.

    Raises:
        ValueError: if there is none of that name.
    """
    _check_known(loaded.model, name)
    for layer in _adapted(loaded.model):
        layer.set_adapter(name)
    _switch_head(loaded.model, name)


@contextmanager
def adapter_off(loaded: Pretrained) -> Iterator[None]:
    """Let the base speak, as if there were no adapter; a classifier keeps its trained head."""
    layers = _adapted(loaded.model)
    trained = {id(p): p.requires_grad for p in loaded.model.parameters()}
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for parameter in loaded.model.parameters():
            parameter.requires_grad_(trained[id(parameter)])


def merge_adapter(loaded: Pretrained) -> None:
    """Add the adapter that speaks to the weights and take the adapted layers away, in place.

    Every other adapter is lost. Measure again afterwards: where weights are kept in few bits, the
    sum is rounded to them.
    """
    for name, module in list(loaded.model.named_modules()):
        if _is_adapted(module):
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(loaded.model.get_submodule(parent), last, module.get_base_layer())
    if hasattr(loaded.model, "peft_config"):
        del loaded.model.peft_config


def remove_adapter(loaded: Pretrained, name: str) -> None:
    """Take one adapter off, its head with it; layers that have no other become plain again.

    If it spoke, the first of the others speaks from now on. The body stays frozen.

    Raises:
        ValueError: if there is none of that name.
    """
    model = loaded.model
    _check_known(model, name)
    spoke = _adapted(model)[0].active_adapters == [name]
    for key, module in list(model.named_modules()):
        if _is_adapted(module):
            module.delete_adapter(name)
            if not module.lora_A:
                parent, _, last = key.rpartition(".")
                setattr(model.get_submodule(parent), last, module.get_base_layer())
    getattr(model, "peft_config", {}).pop(name, None)
    others = adapter_names(model)
    if hasattr(model, "adapter_heads"):
        owner, heads = model.adapter_heads
        heads.pop(name, None)
        model.adapter_heads = (None if owner == name else owner, heads)
        if not others:
            del model.adapter_heads
    if spoke and others:
        use_adapter(loaded, others[0])


def _switch_head(model, name: str) -> None:
    """Put the head of the last adapter aside, and take out that of another, if there is one."""
    if not hasattr(model, "head"):
        return
    before, heads = getattr(model, "adapter_heads", (None, {}))
    if before is not None:
        heads[before] = {k: v.detach().clone() for k, v in model.head.state_dict().items()}
    if name in heads:
        model.head.load_state_dict(heads[name])
    model.adapter_heads = (name, heads)


def _check_known(model, name: str) -> None:
    known = adapter_names(model)
    if name not in known:
        raise ValueError(f"No adapter {name!r}; there are {', '.join(known) or 'none'}.")


def target_layers(model, targets: Iterable[str] | None = None) -> list[str]:
    """Full names of the layers that an adapter with these targets sits on.

    Args:
        model: of `load_decoder` or `load_encoder`.
        targets: as for `add_adapter`.

    Raises:
        ValueError: if the targets are one text, or one of them fits no layer of the blocks.
    """
    if isinstance(targets, str):
        raise ValueError(f"targets={targets!r} is one text; give a list, such as [{targets!r}].")
    layers = linear_layers(model)
    if targets is None:
        kind = getattr(model.config, "model_type", "")
        targets = ATTENTION.get(kind, sorted({layer.rpartition(".")[2] for layer in layers}))
    chosen = {}
    for target in targets:
        found = [layer for layer in layers if layer == target or layer.endswith(f".{target}")]
        if not found:
            ends = ", ".join(dict.fromkeys(layer.rpartition(".")[2] for layer in layers))
            raise ValueError(
                f"No linear layer in the blocks is called {target!r}, so it would be left without "
                f"an adapter. This model has {ends}."
            )
        chosen |= dict.fromkeys(found)
    return list(chosen)


def _is_adapted(module) -> bool:
    return hasattr(module, "lora_A") and hasattr(module, "get_base_layer")


def _adapted(model) -> list:
    return [module for module in model.modules() if _is_adapted(module)]
