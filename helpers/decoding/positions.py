"""A language model that computes its logits only where there is a label.

With 49,152 words the last layer costs as much as a good part of the body. Where nine tokens of ten
are question, most of that is thrown away.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from helpers.networks import IGNORED
from helpers.pretrained import Pretrained
from helpers.pretrained.parts import body_and_output, check_body_and_output
from helpers.training import device_of, pad_batch

__all__ = ["LossAtLabels", "answer_losses", "token_losses"]


class LossAtLabels(nn.Module):
    """Wrap a decoder for `training.fit`: the loss of transformers, computed where it counts.

    Args:
        model: a causal language model of transformers, with an adapter or without. It is shared,
            not copied: what is trained here is trained there.

    Raises:
        ValueError: if the model predicts no words, or bends its logits after the last layer.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        check_body_and_output(model)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Give the mean loss over all labels; tokens (B, T), labels (B, T) with -100 elsewhere."""
        losses = token_losses(self.model, input_ids, attention_mask, labels)
        # A batch without a label has the loss 0, not 0 / 0.
        return {"loss": losses.sum() / max(1, len(losses))}


def answer_losses(loaded: Pretrained, rows, batch_size: int = 8) -> np.ndarray:
    """Sum the loss over the labels of each row: minus the log-likelihood of its answer.

    Args:
        loaded: what `load_decoder()` gave, tuned or not.
        rows: of `chat_rows` or `text_rows`.
        batch_size: rows read at once, of similar length.

    Returns:
        [summed loss in nats, labels] of each row, in the order given: floats (rows, 2).
    """
    check_body_and_output(loaded.model)
    model, device = loaded.model, device_of(loaded.model)
    columns = {name: rows[name][:] for name in ("input_ids", "labels")}
    order = np.argsort([len(ids) for ids in columns["input_ids"]], kind="stable").tolist()
    sums, was_training = np.zeros((len(order), 2)), model.training
    model.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                picked = [{name: values[i] for name, values in columns.items()} for i in chosen]
                batch = {k: v.to(device) for k, v in pad_batch(picked, loaded.pad_id).items()}
                losses = token_losses(model, **batch).double().cpu().numpy()
                owner = (batch["labels"][:, 1:] != IGNORED).nonzero()[:, 0].cpu().numpy()
                sums[chosen, 0] = np.bincount(owner, losses, minlength=len(chosen))
                sums[chosen, 1] = np.bincount(owner, minlength=len(chosen))
    finally:
        model.train(was_training)
    return sums


def token_losses(model, input_ids, attention_mask, labels):
    """Give the loss of each label, row by row: (N,); the arguments are those of `LossAtLabels`."""
    body, head = body_and_output(model)
    states = body(
        input_ids=input_ids, attention_mask=attention_mask, use_cache=False
    ).last_hidden_state  # (B, T, H)
    targets = labels[:, 1:]  # a label is judged by the state one place before
    counts = targets != IGNORED  # (B, T - 1)
    logits = head(states[:, :-1][counts]).float()  # (N, V)
    return F.cross_entropy(logits, targets[counts], reduction="none")
