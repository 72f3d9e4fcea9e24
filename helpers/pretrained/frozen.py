"""Run what is frozen once: the states below the trained blocks of a model, remembered."""

import copy

import torch
from torch import nn

from helpers.networks.layers import outputs
from helpers.pretrained.parts import blocks, body_and_head, freeze_below, unwrapped

__all__ = ["FrozenBelow"]


class FrozenBelow(nn.Module):
    """Train the top blocks of a classifier on remembered states of the blocks below.

    A frozen block gives the same states in every epoch, so they are computed once and kept, in
    float32. The top blocks and the head are those of the classifier itself, not copies: training
    this model trains that one. Dropout is off below, since the states are those of evaluation.

    Args:
        model: a `MeanPooledClassifier` or a `LastTokenClassifier`.
        trained_blocks: how many blocks train, from the top, as for `freeze_below`; with 0 the
            head alone is trained, on the last states.

    Raises:
        ValueError: if the model has fewer blocks, or is of a kind that cannot be cut in two.
    """

    def __init__(self, model, trained_blocks: int):
        super().__init__()
        model = unwrapped(model)  # adapters sit on its layers
        freeze_below(model, trained_blocks)  # refuses a number that cannot be
        self.num_labels, self.model, self.states = model.num_labels, model, []
        body, names = getattr(model, model.base_model_prefix), blocks(model)
        path = names[0].split(".")[1:-1]  # from the body to its list of blocks
        stack = list(body.get_submodule(".".join(path)))
        cut = len(stack) - trained_blocks
        # A decoder cannot leave its cache of past tokens out by itself.
        self._plain = {"use_cache": False} if model.base_model_prefix == "decoder" else {}
        # Plain tuples keep these views of one network out of the list of parameters.
        lower, upper = (_with_blocks(body, path, part) for part in (stack[:cut], stack[cut:]))
        layers = body_and_head(model)[0]
        for name in layers[layers.index(names[-1]) + 1 :]:
            setattr(lower, name.rpartition(".")[2], nn.Identity())  # the norm after the last block
        self._lower, self._upper = (lower,), (_without_embeddings(upper),)
        self._check(body)
        self.freeze = [f"model.{name}" for name in freeze_below(model, trained_blocks)]

    def remember(self, dataset, batch_size: int = 64):
        """Run the frozen blocks over a dataset.

        Args:
            dataset: with `input_ids`, as `encode_texts` makes it.
            batch_size: rows at once, of similar length.

        Returns:
            The dataset with a column `state`, for `training.fit(freeze=self.freeze)`.
        """
        rows, first = dataset["input_ids"][:], len(self.states)
        self.states += [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            ids, mask = self._padded([torch.tensor(rows[i]) for i in chosen])
            for i, states, real in zip(chosen, self._below(ids, mask), mask, strict=True):
                self.states[first + i] = states[real.bool()].clone()
        return dataset.add_column("state", list(range(first, first + len(rows))))

    def forward(self, input_ids, attention_mask=None, labels=None, state=None) -> dict:
        """Classify texts: logits (B, C); without `state` (B,) the frozen blocks run as well."""
        if attention_mask is None:
            attention_mask = self.model.default_mask(input_ids)
        if state is None:
            states = self._below(input_ids, attention_mask)
        else:
            kept = [self.states[i] for i in state.tolist()]
            states = nn.utils.rnn.pad_sequence(kept, batch_first=True)  # (B, T, H)
            attention_mask = attention_mask[:, : states.shape[1]]
        upper = self._upper[0].train(self.training)
        states = self._above(upper, states, attention_mask)
        pooled = self.model.dropout(self.model.pool(states, attention_mask))
        return outputs(self.model.head(pooled), labels)

    @torch.no_grad()
    def _below(self, input_ids, attention_mask):
        lower = self._lower[0].eval()
        return lower(
            input_ids=input_ids, attention_mask=attention_mask, **self._plain
        ).last_hidden_state

    def _above(self, upper, states, attention_mask):
        return upper(
            inputs_embeds=states, attention_mask=attention_mask, **self._plain
        ).last_hidden_state

    @torch.no_grad()
    def _check(self, body) -> None:
        """Refuse a body whose halves give other states than the whole on three tokens."""
        training, device = body.training, next(body.parameters()).device
        ids = torch.tensor([[1, 2, 3]], device=device)
        mask = torch.ones_like(ids)
        whole = body.eval()(input_ids=ids, attention_mask=mask, **self._plain).last_hidden_state
        halves = self._above(self._upper[0].eval(), self._below(ids, mask), mask)
        body.train(training)
        if not torch.allclose(whole, halves, rtol=1e-3, atol=1e-4):
            raise ValueError(
                f"A {type(body).__name__} does more between its embeddings and its blocks than can "
                "be remembered. Train it as a whole, with training.fit(freeze=freeze_below(...))."
            )

    def _padded(self, rows):
        device = next(self.model.parameters()).device
        ids = nn.utils.rnn.pad_sequence(
            rows, batch_first=True, padding_value=self.model.config.pad_token_id
        )
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        return ids.to(device), mask.to(device)


class _Through(nn.Module):
    """In the place of the embeddings: what comes in is what the blocks below gave."""

    def forward(self, input_ids=None, inputs_embeds=None, *_, **__):
        return inputs_embeds


class _Nothing(nn.Module):
    """In the place of learned positions, which the remembered states hold already."""

    def forward(self, position_ids):
        return torch.zeros(1, device=position_ids.device)


def _without_embeddings(view):
    """Let a body take remembered states as they are; `view` is changed, its weights are not."""
    if hasattr(view, "embeddings"):  # BERT's kind; a decoder takes `inputs_embeds` by itself
        view.embeddings = _Through()
    if hasattr(view, "wpe"):  # GPT-2 adds positions and drops out before the first block
        view.wpe, view.drop = _Nothing(), nn.Identity()
    return view


def _with_blocks(body, path: list[str], stack):
    """Give a view of a body that shares every weight and runs only these blocks."""
    if not path:
        return nn.ModuleList(stack)
    view = copy.copy(body)
    view._modules = dict(body._modules)
    setattr(view, path[0], _with_blocks(getattr(body, path[0]), path[1:], stack))
    return view
