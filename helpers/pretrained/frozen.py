"""Run what is frozen once: the states below the trained blocks of an encoder, remembered."""

import copy

import torch
from torch import nn

from helpers.networks.layers import outputs
from helpers.pretrained.parts import blocks, freeze_below

__all__ = ["FrozenBelow"]


class FrozenBelow(nn.Module):
    """Train the top blocks of a classifier on remembered states of the blocks below.

    A frozen block gives the same states in every epoch, so they are computed once and kept, in
    float32. The top blocks and the head are those of the classifier itself, not copies: training
    this model trains that one. Dropout is off below, since the states are those of evaluation.

    Args:
        model: a `MeanPooledClassifier`.
        trained_blocks: how many blocks train, from the top, as for `freeze_below`; with 0 the
            head alone is trained, on the last states.

    Raises:
        ValueError: if the model has fewer blocks.
    """

    def __init__(self, model, trained_blocks: int):
        super().__init__()
        freeze_below(model, trained_blocks)  # refuses a number that cannot be
        self.num_labels, self.model, self.states = model.num_labels, model, []
        path = blocks(model)[0].split(".")[1:-1]  # from the body to its list of blocks
        stack = list(model.bert.get_submodule(".".join(path)))
        cut = len(stack) - trained_blocks
        # Plain tuples keep these views of one network out of the list of parameters.
        self._lower = (_with_blocks(model.bert, path, stack[:cut]),)
        upper = _with_blocks(model.bert, path, stack[cut:])
        upper.embeddings = _Through()
        self._upper = (upper,)
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
            attention_mask = (input_ids != self.model.config.pad_token_id).long()
        if state is None:
            states = self._below(input_ids, attention_mask)
        else:
            kept = [self.states[i] for i in state.tolist()]
            states = nn.utils.rnn.pad_sequence(kept, batch_first=True)  # (B, T, H)
            attention_mask = attention_mask[:, : states.shape[1]]
        upper = self._upper[0].train(self.training)
        states = upper(inputs_embeds=states, attention_mask=attention_mask).last_hidden_state
        pooled = self.model.dropout(self.model.pool(states, attention_mask))
        return outputs(self.model.head(pooled), labels)

    @torch.no_grad()
    def _below(self, input_ids, attention_mask):
        lower = self._lower[0].eval()
        return lower(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

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


def _with_blocks(body, path: list[str], stack):
    """Give a view of an encoder that shares every weight and runs only these blocks."""
    if not path:
        return nn.ModuleList(stack)
    view = copy.copy(body)
    view._modules = dict(body._modules)
    setattr(view, path[0], _with_blocks(getattr(body, path[0]), path[1:], stack))
    return view
