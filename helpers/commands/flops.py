"""How much arithmetic a training step asks for, so that a speed can be held against the peak.

Only matrix products are counted: two operations, a multiplication and an addition, for each weight
and each position of a batch, and for attention the products of queries with keys and of weights
with values. Positions of padding are counted, since the machine multiplies them like all others:
the share of the peak says how busy the machine is, tokens a second how much of that is of use.

A product of the forward pass is met twice in the backward pass: once for the gradient of its
weights, once for the gradient of its inputs, which the layer below needs. What is frozen stands
below what is trained, so no gradient passes through it: it costs its forward pass alone. In the
lowest trained block, queries, keys and values are then spared the gradient of their inputs. What a
fused kernel computes a second time to save memory is not counted.
"""

from dataclasses import dataclass

__all__ = ["Shape", "forward_flops", "shape_of", "step_flops"]


@dataclass(frozen=True)
class Shape:
    """The matrices of an encoder and its head.

    Attributes:
        blocks: weights in the matrices of each block, from the bottom.
        hidden: width of a token's vector (H).
        num_labels: outputs of the head.
    """

    blocks: tuple[int, ...]
    hidden: int
    num_labels: int


def shape_of(model) -> Shape:
    """Read the sizes of a `MeanPooledClassifier`."""
    from helpers import pretrained

    blocks = [
        sum(p.numel() for p in model.get_submodule(name).parameters() if p.ndim == 2)
        for name in pretrained.blocks(model)
    ]
    return Shape(tuple(blocks), model.config.hidden_size, model.num_labels)


def forward_flops(shape: Shape, texts: int, length: int, blocks: slice = slice(None)) -> int:
    """Operations of some blocks in a forward pass.

    Args:
        shape: of the model.
        texts: rows of the batch (B).
        length: positions a row, padding included (T).
        blocks: which of them; all without.
    """
    attention = 2 * 2 * texts * length**2 * shape.hidden
    return sum(2 * weights * texts * length + attention for weights in shape.blocks[blocks])


def step_flops(
    shape: Shape, texts: int, length: int, trained: int, *, embeddings: bool, remembered: bool
) -> int:
    """Operations of a training step, forward and backward.

    Args:
        shape, texts, length: as for `forward_flops`.
        trained: blocks that train, from the top; at least one.
        embeddings: whether the embeddings train too.
        remembered: whether the states below are kept, so that no frozen block runs.
    """
    cut = len(shape.blocks) - trained
    top = 3 * forward_flops(shape, texts, length, slice(cut, None))
    below = 0 if remembered else forward_flops(shape, texts, length, slice(cut))
    spared = 0 if embeddings else 2 * 3 * shape.hidden**2 * texts * length
    head = 3 * 2 * texts * shape.hidden * shape.num_labels
    return below + top - spared + head
