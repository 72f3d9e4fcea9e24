"""A text classifier over the mean of its tokens' vectors."""

import torch
from torch import nn

from helpers.networks.layers import outputs

__all__ = ["MeanPooledClassifier"]


class MeanPooledClassifier(nn.Module):
    """Judge a text by the mean of its tokens' last vectors, with one linear layer.

    BERT's own classifier reads the first token through a "pooler" layer. That serves where the
    pooler was trained (BERT's was, on pairs of sentences; Devlin et al. 2018). MiniLM was tuned on
    means (Reimers & Gurevych 2019) and its pooler was not trained at all, so a frozen MiniLM says
    little through it. The mean asks nothing of a checkpoint, and a linear probe is then linear.

    Args:
        bert: an encoder that gives `last_hidden_state`, such as `transformers.BertModel`; a pooler
            it may have is taken off, so that no unused parameter is counted.
        num_labels: classes (C).
        dropout: share of the mean vector hidden in training.

    Parameter names: `bert.embeddings`, `bert.encoder.layer.0` (as the encoder names them), `head`.
    """

    base_model_prefix = "bert"

    def __init__(self, bert, num_labels: int = 2, dropout: float = 0.1):
        super().__init__()
        if getattr(bert, "pooler", None) is not None:
            bert.pooler = None
        self.num_labels, self.config = num_labels, bert.config
        self.bert = bert
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(bert.config.hidden_size, num_labels)
        nn.init.normal_(self.head.weight, std=getattr(bert.config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Classify texts: logits (B, C)."""
        if attention_mask is None:
            attention_mask = (input_ids != self.config.pad_token_id).long()
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return outputs(self.head(self.dropout(self.pool(states, attention_mask))), labels)

    @staticmethod
    def pool(states, attention_mask) -> torch.Tensor:
        """Average the vectors of real tokens: (B, T, H) -> (B, H)."""
        real = attention_mask[:, :, None].to(states.dtype)
        return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
