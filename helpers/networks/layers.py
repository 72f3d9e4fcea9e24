"""What several networks share: word vectors, masks, pooling and outputs."""

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["IGNORED", "PAD", "concat_pool", "outputs", "real_tokens", "word_embedding"]

PAD = 0
IGNORED = -100  # the label that torch's cross entropy leaves out, as everywhere in transformers


def word_embedding(size: int, dimensions: int, matrix=None) -> nn.Embedding:
    """Make an embedding, random or copied from a matrix; padding is the zero vector."""
    if matrix is not None and (matrix.ndim != 2 or len(matrix) != size):
        raise ValueError(
            f"The word vectors have shape {tuple(matrix.shape)}; the vocabulary needs "
            f"({size}, dimensions). Build the matrix from this vocabulary."
        )
    embedding = nn.Embedding(size, dimensions if matrix is None else matrix.shape[1], PAD)
    with torch.no_grad():
        if matrix is None:
            embedding.weight.normal_(std=0.1)
        else:
            embedding.weight.copy_(torch.as_tensor(matrix))
        embedding.weight[PAD] = 0
    return embedding


def real_tokens(input_ids, attention_mask=None):
    """Mark the tokens that are not padding: booleans (B, T)."""
    return input_ids != PAD if attention_mask is None else attention_mask.bool()


def concat_pool(states, real):
    """Last state, mean and maximum over real tokens, side by side: (B, T, H) -> (B, 3H)."""
    real = real | (torch.arange(real.shape[1], device=real.device) == 0)  # no text is empty
    mask = real[:, :, None]
    last = states[torch.arange(len(states), device=real.device), real.sum(dim=1) - 1]
    mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
    largest = states.masked_fill(~mask, -torch.inf).amax(dim=1)
    return torch.cat([last, mean, largest], dim=1)


def outputs(logits, labels=None) -> dict:
    """Return logits (..., C) and, with labels (...), the mean cross entropy over all but -100."""
    if labels is None:
        return {"logits": logits}
    loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)
    return {"loss": loss, "logits": logits}
