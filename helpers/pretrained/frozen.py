"""Run frozen blocks once and keep their states."""

import copy
from functools import partial

import torch
from torch import nn

from helpers.pretrained.parts import blocks, body_and_head, body_of, freeze_below, unwrapped
from helpers.training import batches_by_length, pad_batch

__all__ = ["FrozenBelow"]


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

    def remember(self, dataset, batch_size: int = 64):
        """Add a column `state` to rows of `encode_texts`: what the frozen blocks make of each.

        Train on the result with `training.fit(freeze=self.freeze)`.
        """
        rows = [{"input_ids": ids} for ids in dataset["input_ids"][:]]
        first = len(self.states)
        self.states += [None] * len(rows)
        collate = partial(pad_batch, pad_id=self.model.config.pad_token_id or 0)
        with batches_by_length(self, rows, batch_size, collate) as batches:
            for indices, batch in batches:
                mask = batch["attention_mask"]
                for i, states, real in zip(indices, self._below(**batch), mask, strict=True):
                    self.states[first + i] = states[real.bool()].clone()
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
