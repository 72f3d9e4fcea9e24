"""A small GPT: the decoder-only transformer, as a language model and as a classifier."""

import torch
from torch import nn
from torch.nn import functional as F

from helpers.networks.small import IGNORED, PAD, outputs, real_tokens

__all__ = ["TinyGPT", "TinyGPTClassifier", "sample"]


class Block(nn.Module):
    """A transformer block: causal self-attention, then a feed-forward layer (B, T, D)."""

    def __init__(self, dimensions: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dimensions), nn.LayerNorm(dimensions)
        self.attention = nn.Linear(dimensions, 3 * dimensions)  # queries, keys, values
        self.project = nn.Linear(dimensions, dimensions)
        self.widen = nn.Linear(dimensions, 4 * dimensions)
        self.narrow = nn.Linear(4 * dimensions, dimensions)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        """Add the output of both parts to their input; each reads a normalised copy (pre-norm)."""
        x = x + self.dropout(self.project(self.look_back(self.norm1(x))))
        hidden = F.gelu(self.widen(self.norm2(x)), approximate="tanh")
        return x + self.dropout(self.narrow(hidden))

    def look_back(self, x):
        """Mix the values of earlier tokens, weighted by how well their keys match the queries."""
        B, T, D = x.shape
        split = self.attention(x).view(B, T, 3, self.heads, D // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D / heads)
        rate = self.dropout.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        return mixed.transpose(1, 2).reshape(B, T, D)


class TinyGPT(nn.Module):
    """Predict each next token from those before it, all positions at once (Radford et al. 2019).

    As in GPT-2: learned positions, pre-norm blocks, and the same vectors as input and output
    (tied). No token sees a later one, so padding on the right needs no mask; padding on the left is
    not supported. `labels` are the input ids; the shift by one happens here. Parameter names:
    `embedding`, `positions`, `blocks.0`, ..., `norm`.

    Raises:
        ValueError: if the heads do not divide the dimensions.
    """

    def __init__(
        self, vocabulary_size: int, dimensions: int = 192, layers: int = 4, heads: int = 6,
        context: int = 128, dropout: float = 0.1
    ):  # fmt: skip
        super().__init__()
        if dimensions % heads:
            raise ValueError(f"{heads} heads do not divide {dimensions} dimensions; choose others.")
        self.shape = {"vocabulary_size": vocabulary_size, "dimensions": dimensions}
        self.shape |= {"layers": layers, "heads": heads, "context": context}
        self.embedding = nn.Embedding(vocabulary_size, dimensions)
        self.positions = nn.Embedding(context, dimensions)
        self.blocks = nn.ModuleList(Block(dimensions, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dimensions)
        self.dropout = nn.Dropout(dropout)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                # Each block adds to the stream twice; smaller steps keep its size (GPT-2).
                adds = name.endswith(("project.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if adds else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def states(self, input_ids):
        """Return the normalised output of the last block for ids (B, T): (B, T, D)."""
        length, context = input_ids.shape[1], self.shape["context"]
        if length > context:
            raise ValueError(f"{length} tokens do not fit a context of {context}; cut the text.")
        x = self.embedding(input_ids) + self.positions.weight[:length]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Return logits (B, T, V); with labels also the mean loss per token."""
        logits = F.linear(self.states(input_ids), self.embedding.weight)
        if labels is None:
            return {"logits": logits}
        real = real_tokens(input_ids, attention_mask)
        following = labels.masked_fill(~real, IGNORED)[:, 1:]  # (B, T - 1): the token after each
        # The token after the last one is unknown.
        return outputs(logits, F.pad(following, (0, 1), value=IGNORED))


class TinyGPTClassifier(nn.Module):
    """Classify a text by the state of its last token, the only one that saw everything (GPT-1).

    The text stands between a start and an end token (Radford et al. 2018). In training, `lm_weight`
    times the loss of predicting the text is added to that of the labels; in evaluation it is not.
    `shape` has further arguments of `TinyGPT`.
    Parameter names: `body.embedding`, ..., `body.blocks.0`, ..., `head`.
    """

    def __init__(
        self, vocabulary_size: int, num_labels: int = 2, *, lm_weight: float = 0.5,
        dropout: float = 0.1, **shape
    ):  # fmt: skip
        super().__init__()
        self.num_labels, self.lm_weight = num_labels, lm_weight
        self.body = TinyGPT(vocabulary_size, dropout=dropout, **shape)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.body.shape["dimensions"], num_labels)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def from_language_model(
        cls, model: TinyGPT, num_labels: int = 2, *, lm_weight: float = 0.5, dropout: float = 0.1
    ) -> "TinyGPTClassifier":
        """Start from a copy of a language model; the head is random."""
        classifier = cls(num_labels=num_labels, lm_weight=lm_weight, dropout=dropout, **model.shape)
        classifier.body.load_state_dict(model.state_dict())
        return classifier.to(model.embedding.weight.device)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Classify texts: logits (B, C)."""
        real = real_tokens(input_ids, attention_mask)  # (B, T)
        states = self.body.states(input_ids)  # (B, T, D)
        rows = torch.arange(len(states), device=states.device)
        last = states[rows, real.sum(dim=1).clamp(min=1) - 1]  # (B, D)
        out = outputs(self.head(self.dropout(last)), labels)
        if self.training and labels is not None and self.lm_weight:
            counted = real[:, 1:]
            logits = F.linear(states[:, :-1][counted], self.body.embedding.weight)  # (N, V)
            following = F.cross_entropy(logits, input_ids[:, 1:][counted])
            out["loss"] = out["loss"] + self.lm_weight * following
        return out


def sample(
    model: TinyGPT, ids: list[int], max_new_tokens: int = 40, temperature: float = 0.8,
    top_k: int | None = 50, seed: int = 0, stop: int | None = None
) -> list[int]:  # fmt: skip
    """Let a language model continue a text, token by token; returns the new ids alone.

    The whole text is read again for each token, which is simpler than a cache of keys and values,
    and slower. The model sees the last `context` tokens.

    Args:
        ids: the text so far, at least one token.
        temperature: below 1 likely tokens become likelier; 0 always takes the most probable.
        top_k: sample from this many of the most probable tokens; None from all.
        stop: a token that ends the text; it is not returned.
    """
    if not ids:
        raise ValueError("There is nothing to go on from; begin with the end-of-text token.")
    device, was_training = model.embedding.weight.device, model.training
    generator = torch.Generator().manual_seed(seed)  # leaves the random numbers of training alone
    text, start = list(ids), len(ids)
    model.eval()
    with torch.no_grad():
        while len(text) < start + max_new_tokens:
            window = torch.tensor([text[-model.shape["context"] :]], device=device)
            scores = model(window)["logits"][0, -1].float().cpu()
            scores[PAD] = -torch.inf
            if top_k is not None and top_k < len(scores):
                scores[scores < scores.topk(top_k).values[-1]] = -torch.inf
            if temperature == 0:
                following = int(scores.argmax())
            else:
                chances = (scores / temperature).softmax(dim=0)
                following = int(torch.multinomial(chances, 1, generator=generator))
            if following == stop:
                break
            text.append(following)
    model.train(was_training)
    return text[start:]
