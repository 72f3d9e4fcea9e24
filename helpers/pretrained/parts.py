"""The parts of a model by name, for `training.fit(freeze=...)`, and frozen parts that run once."""

import copy
from functools import partial

import torch
from torch import nn

from helpers.training import batches_by_length, pad_batch

__all__ = [
    "FrozenBelow",
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


class FrozenBelow(nn.Module):
    """Train the top blocks of a classifier on stored states of the frozen blocks below.

    A frozen block gives the same states in every epoch, so they are computed once, without dropout,
    and kept in float32. The top blocks and the head are shared with the classifier, not copied:
    training this model trains that one.

    Args:
        model: a `MeanPooledClassifier` or a `LastTokenClassifier`, with adapters or without.
        trained_blocks: how many blocks train, from the top; 0 trains the head alone.

    Raises:
        ValueError: if the model has fewer blocks, or is of a kind that cannot be cut in two.
    """

    def __init__(self, model, trained_blocks: int):
        super().__init__()
        model = unwrapped(model)
        self.freeze = [f"model.{name}" for name in freeze_below(model, trained_blocks)]
        self.num_labels, self.model, self.states = model.num_labels, model, []
        body, names = body_of(model), blocks(body_of(model))
        path = names[0].split(".")[:-1]  # from the body to its list of blocks
        stack = list(body.get_submodule(".".join(path)))
        cut = len(stack) - trained_blocks
        config = copy.deepcopy(body.config)
        lower, upper = (_half(body, config, path, part) for part in (stack[:cut], stack[cut:]))
        layers = body_and_head(body)[0]
        for name in layers[layers.index(names[-1]) + 1 :]:
            setattr(lower, name, nn.Identity())  # the norm after the last block
        _take_states(upper)
        # A tuple hides them from torch, which would count their parameters twice.
        self.halves = (lower, upper)
        self._check(body)

    def remember(self, dataset, batch_size: int = 64, precision: str = "float32"):
        """Add a column `state` to rows of `encode_texts`: what the frozen blocks make of each.

        Train on the result with `training.fit(freeze=self.freeze)`, in the same precision.
        """
        rows = [{"input_ids": ids} for ids in dataset["input_ids"][:]]
        first = len(self.states)
        self.states += [None] * len(rows)
        collate = partial(pad_batch, pad_id=self.model.config.pad_token_id or 0)
        with batches_by_length(self, rows, batch_size, collate, precision) as batches:
            for indices, batch in batches:
                mask = batch["attention_mask"]
                for i, states, real in zip(indices, self._below(**batch), mask, strict=True):
                    self.states[first + i] = states[real.bool()].to(torch.float32, copy=True)
        return dataset.add_column("state", list(range(first, first + len(rows))))

    def forward(self, input_ids, attention_mask=None, labels=None, state=None):
        """Classify texts: logits (B, C); without `state` (B,) the frozen blocks run as well."""
        if attention_mask is None:
            attention_mask = self.model.default_mask(input_ids)
        if state is None:
            states = self._below(input_ids, attention_mask)
        else:
            kept = [self.states[i] for i in state.tolist()]
            states = nn.utils.rnn.pad_sequence(kept, batch_first=True)  # (B, T, H)
            states = states.to(self.model.dtype)
            attention_mask = attention_mask[:, : states.shape[1]]
        states = self._above(states, attention_mask)
        return self.model.judge(self.model.pool(states, attention_mask), labels)

    @torch.no_grad()
    def _below(self, input_ids, attention_mask):
        lower, reading = self.halves[0].eval(), self.model.reading
        return lower(
            input_ids=input_ids, attention_mask=attention_mask, **reading
        ).last_hidden_state

    def _above(self, states, attention_mask):
        upper, reading = self.halves[1].train(self.training), self.model.reading
        return upper(
            inputs_embeds=states, attention_mask=attention_mask, **reading
        ).last_hidden_state

    @torch.no_grad()
    def _check(self, body) -> None:
        """Refuse a body whose two halves, run in turn, differ from the whole on three tokens."""
        was_training, device = body.training, next(body.parameters()).device
        ids = torch.tensor([[1, 2, 3]], device=device)
        mask = torch.ones_like(ids)
        self.eval()
        reading = self.model.reading
        whole = body(input_ids=ids, attention_mask=mask, **reading).last_hidden_state
        halves = self._above(self._below(ids, mask), mask)
        self.train(was_training)
        if not torch.allclose(whole, halves, rtol=1e-3, atol=1e-4):
            raise ValueError(
                f"A {type(body).__name__} does more between its embeddings and its blocks than can "
                "be remembered. Train it as a whole, with training.fit(freeze=freeze_below(...))."
            )


class _StatesAsTheyAre(nn.Module):
    """Replaces the embeddings: the input is already the states of the blocks below."""

    def forward(self, input_ids=None, inputs_embeds=None, *_, **__):
        return inputs_embeds


class _NoPositions(nn.Module):
    """Replaces learned positions, which the stored states already contain."""

    def forward(self, position_ids):
        return torch.zeros(1, device=position_ids.device)


def _take_states(upper) -> None:
    """Let the upper half read stored states in place of token ids."""
    if hasattr(upper, "embeddings"):  # BERT's kind; a decoder takes `inputs_embeds` by itself
        upper.embeddings = _StatesAsTheyAre()
    if hasattr(upper, "wpe"):  # GPT-2 adds positions and drops out before the first block
        upper.wpe, upper.drop = _NoPositions(), nn.Identity()


def _half(module, config, path: list[str], stack: list):
    """Build a second network of the same class, sharing its parts, with only these blocks."""
    with torch.device("meta"):  # its own weights are not wanted
        half = type(module)(config)
    for name, _ in list(half.named_children()):
        setattr(half, name, getattr(module, name))
    inner = nn.ModuleList(stack)
    if len(path) > 1:
        inner = _half(getattr(module, path[0]), config, path[1:], stack)
    setattr(half, path[0], inner)
    return half
