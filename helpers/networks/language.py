"""Language models: networks that learn from text alone."""

import torch
from torch import nn
from torch.nn import functional as F

from helpers.networks.layers import IGNORED, PAD, real_tokens, word_embedding

__all__ = ["LSTMLanguageModel"]


class LSTMLanguageModel(nn.Module):
    """Predict each next word from the words before it; no labels but the text itself are needed.

    Word vectors serve as input and as output (tied weights; Press & Wolf 2017). Scoring every word
    at every position is slow on a CPU, so training compares the right word with `samples` words
    drawn by rank (sampled softmax, Jean et al. 2015); evaluation compares it with all. Ids must be
    ordered by frequency, as by `Vocabulary.build`. `labels` are the input ids; the shift by one
    happens here. Parameter names: `embedding`, `lstm`, `project`, `bias`.
    """

    def __init__(
        self, vocabulary_size: int, dimensions: int = 128, hidden: int = 256, embeddings=None,
        samples: int = 1_000, dropout: float = 0.1
    ):  # fmt: skip
        super().__init__()
        self.samples = samples
        self.embedding = word_embedding(vocabulary_size, dimensions, embeddings)
        self.lstm = nn.LSTM(self.embedding.embedding_dim, hidden, batch_first=True)
        self.project = nn.Linear(hidden, self.embedding.embedding_dim)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.dropout = nn.Dropout(dropout)
        rank = torch.arange(vocabulary_size).float()
        drawn = torch.log1p(1 / rank.clamp(min=1))  # Zipf's law: about 1 / rank
        drawn[PAD] = 0  # padding is never a negative
        self.register_buffer("drawn", drawn / drawn.sum(), persistent=False)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Return only the mean loss per word if there are labels, else logits (B, T, V)."""
        states, _ = self.lstm(self.dropout(self.embedding(input_ids)))  # (B, T, H)
        states = self.dropout(self.project(self.dropout(states)))  # (B, T, D)
        if labels is None:
            return {"logits": self.scores(states)}
        real = real_tokens(input_ids, attention_mask)
        counted = real[:, 1:] & (labels[:, 1:] != IGNORED)  # (B, T - 1): the word after each state
        states, words = states[:, :-1][counted], labels[:, 1:][counted]  # (N, D), (N,)
        return {"loss": self.sampled(states, words) if self.training else self.exact(states, words)}

    def scores(self, states):
        """Compare states (..., D) with every word: (..., V); padding is never the next word."""
        scores = F.linear(states, self.embedding.weight, self.bias)
        return scores.index_fill(-1, torch.tensor(PAD, device=scores.device), -torch.inf)

    def exact(self, states, words):
        """Mean loss over all words, computed for some states at a time to save memory."""
        parts = [
            F.cross_entropy(self.scores(some), right, reduction="sum")
            for some, right in zip(states.split(512), words.split(512), strict=True)
        ]
        return torch.stack(parts).sum() / len(words)

    def sampled(self, states, words):
        """Estimate the loss from sampled words, corrected for their probability of being drawn."""
        wrong = torch.multinomial(self.drawn, self.samples, replacement=True)  # (S,)
        stands_for = -torch.log(self.drawn[wrong] * self.samples)
        right = (states * self.embedding.weight[words]).sum(dim=1) + self.bias[words]  # (N,)
        others = F.linear(states, self.embedding.weight[wrong], self.bias[wrong] + stands_for)
        others = others.masked_fill(words[:, None] == wrong, -torch.inf)  # (N, S)
        return (torch.cat([right[:, None], others], dim=1).logsumexp(dim=1) - right).mean()
