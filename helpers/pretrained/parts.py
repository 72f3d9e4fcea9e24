"""The parts of a model by name, bottom to top, for `training.fit(freeze=...)`."""

import torch
from torch import nn

__all__ = [
    "blocks",
    "body_and_head",
    "body_and_output",
    "body_of",
    "check_body_and_output",
    "freeze_below",
    "learning_rate_for",
    "unwrapped",
]

REMEDY = 'Load a language model with load_decoder("lm"): GPT-2, Llama, Qwen.'
MINILM_SIZE = 384 * 6  # width times depth


def unwrapped(model):
    """Return the model inside peft's wrapper, or the model itself if it has no adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def body_of(model):
    """Return the pre-trained body as a module: the model itself if it has no head."""
    base = unwrapped(model)
    return getattr(base, getattr(base, "base_model_prefix", "") or "-", base)


def _prefix(model) -> str:
    """Prefix of the names of the body's parameters."""
    base = unwrapped(model)
    outer = "" if base is model else "base_model.model."  # as peft names what it wraps
    return outer if body_of(model) is base else f"{outer}{base.base_model_prefix}."


def blocks(model) -> list[str]:
    """Name the transformer blocks of BERT, GPT-2, Llama and similar models, bottom to top.

    Names are such as `"bert.encoder.layer.0"`, `"transformer.h.0"` or `"model.layers.0"`.

    Raises:
        ValueError: if the model is not a stack of blocks.
    """
    depth = getattr(getattr(body_of(model), "config", None), "num_hidden_layers", None)
    for name, module in body_of(model).named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return [f"{_prefix(model)}{name}.{i}" for i in range(depth)]
    raise ValueError(
        f"{type(model).__name__} has no list of {depth or 'transformer'} blocks of its own each; "
        "take an encoder such as BERT, or a decoder such as GPT-2 or Llama."
    )


def body_and_head(model) -> tuple[list[str], list[str]]:
    """Name the layers that came with pre-training, bottom to top, and those of the task.

    A pooler and what follows the last block (`"model.norm"`) belong to the body. The head is empty
    in a model without one and where words are predicted with the word vectors (GPT-2, SmolLM2):
    freezing those freezes the head.

    Returns:
        (body, head), such as `(["bert.embeddings", "bert.encoder.layer.0", ...], ["head"])`.
    """
    stack, prefix = blocks(model), _prefix(model)
    body, head = {}, {}  # as ordered sets
    for name, _ in model.named_parameters():
        block = next((block for block in stack if name.startswith(f"{block}.")), None)
        layers = body if name.startswith(prefix) else head
        layers[block or _branch(name, stack[0])] = True
    return list(body), list(head)


def _branch(name: str, block: str) -> str:
    """Cut a parameter's name where its path leaves the path to the blocks."""
    parts, path = name.split("."), block.split(".")
    shared = next(i for i, part in enumerate(parts) if i >= len(path) or part != path[i])
    return ".".join(parts[: shared + 1])


def freeze_below(model, trained_blocks: int | str | None) -> list[str]:
    """Name what to freeze so that only the top blocks and the head train.

    Args:
        trained_blocks: how many blocks train, counted from the top, with everything above them.
            0 is a linear probe: the whole body is frozen. The number of all blocks leaves the
            embeddings frozen; None or `"all"` freezes nothing.

    Raises:
        ValueError: if the model has fewer blocks, or is not a stack of blocks.
    """
    if trained_blocks is None or trained_blocks == "all":
        return []
    stack, (body, _) = blocks(model), body_and_head(model)
    whole = isinstance(trained_blocks, int) and not isinstance(trained_blocks, bool)
    if not (whole and 0 <= trained_blocks <= len(stack)):
        raise ValueError(
            f"trained_blocks is {trained_blocks!r}; this model has {len(stack)} blocks. Give a "
            f'number from 0 to {len(stack)}, or "all".'
        )
    if trained_blocks == 0:
        return body
    return body[: body.index(stack[-trained_blocks])]


def learning_rate_for(config, learning_rate: float) -> float:
    """Lower a learning rate chosen for MiniLM to suit a larger encoder.

    It falls with width x depth: 2e-4 becomes 5e-5 for BERT-base, the highest rate that its authors
    tried (Devlin et al. 2019). A rule of thumb, not measured here.
    """
    size = config.hidden_size * config.num_hidden_layers
    return learning_rate * min(1.0, MINILM_SIZE / size)


def body_and_output(model):
    """Return the body of a language model and the layer that predicts words, to apply them apart.

    Check with `check_body_and_output` that together they give the model's own logits.

    Raises:
        ValueError: if the model predicts no words.
    """
    body = getattr(model, "get_decoder", lambda: None)()
    output = getattr(model, "get_output_embeddings", lambda: None)()
    if body is None or output is None:
        raise ValueError(
            f"A {type(model).__name__} predicts no words, so a text has no loss. {REMEDY}"
        )
    return body, output


@torch.no_grad()
def check_body_and_output(model, ids=(1, 2, 3)) -> None:
    """Refuse a language model that does more than its body and its output layer.

    Some scale their logits (Gemma 2, Granite) or put tokens before the first (prompt tuning). A few
    tokens are read both ways to find out.

    Raises:
        ValueError: if the two ways differ, or the model predicts no words.
    """
    body, output = body_and_output(model)
    was_training, tokens = model.training, {"use_cache": False}
    tokens["input_ids"] = torch.tensor([list(ids)], device=output.weight.device)
    model.eval()
    whole = model(**tokens).logits[:, -1]
    apart = output(body(**tokens).last_hidden_state[:, -1])
    model.train(was_training)
    # A failed training gives NaN both ways; the sum of the losses reports that.
    if not torch.allclose(whole.float(), apart.float(), rtol=1e-2, atol=1e-2, equal_nan=True):
        kind = type(model).__name__
        raise ValueError(f"The logits of a {kind} are not its output layer's alone. {REMEDY}")
