"""Text classifiers of one linear layer over the states of a pre-trained body."""

import torch
from torch import nn

from helpers.networks.layers import outputs
from helpers.pretrained.saving import SavedWithHead

__all__ = ["LastTokenClassifier", "MeanPooledClassifier"]


class MeanPooledClassifier(SavedWithHead):
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

    base_model_prefix, kind = "bert", "encoder"

    def __init__(self, bert, num_labels: int = 2, dropout: float = 0.1):
        super().__init__()
        if getattr(bert, "pooler", None) is not None:
            bert.pooler = None
        self.num_labels, self.config = num_labels, bert.config
        self.bert = bert
        self.dropout = nn.Dropout(dropout)
        self.head = _fresh_head(bert.config, num_labels)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Classify texts: logits (B, C)."""
        return outputs(self.head(self.dropout(self.pooled(input_ids, attention_mask))), labels)

    def pooled(self, input_ids, attention_mask=None) -> torch.Tensor:
        """Give what the head reads of each text: (B, H)."""
        if attention_mask is None:
            attention_mask = self.default_mask(input_ids)
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.pool(states, attention_mask)

    def default_mask(self, input_ids) -> torch.Tensor:
        """Mark the tokens that are not padding: (B, T)."""
        return (input_ids != self.config.pad_token_id).long()

    @staticmethod
    def pool(states, attention_mask) -> torch.Tensor:
        """Average the vectors of real tokens: (B, T, H) -> (B, H)."""
        real = attention_mask[:, :, None].to(states.dtype)
        return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


class LastTokenClassifier(SavedWithHead):
    """Judge a text by the last vector of its last token, with one linear layer.

    In a decoder a token sees only what stands before it, so the last one alone has read the whole
    text (Radford et al. 2018 classify there too). Which token is the last is read from the
    attention mask, never from the padding id: many decoders pad with their end token, and a text
    may truly end in one.

    Args:
        decoder: a body that gives `last_hidden_state`, such as `transformers.LlamaModel`.
        num_labels: classes (C).
        dropout: share of the last vector hidden in training.

    Parameter names: `decoder.layers.0` (as the decoder names them), `head`.
    """

    base_model_prefix, kind = "decoder", "decoder"

    def __init__(self, decoder, num_labels: int = 2, dropout: float = 0.1):
        super().__init__()
        self.num_labels, self.config = num_labels, decoder.config
        self.decoder = decoder
        self.dropout = nn.Dropout(dropout)
        self.head = _fresh_head(decoder.config, num_labels)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Classify texts that are padded on the right: logits (B, C)."""
        return outputs(self.head(self.dropout(self.pooled(input_ids, attention_mask))), labels)

    def pooled(self, input_ids, attention_mask=None) -> torch.Tensor:
        """Give what the head reads of each text: (B, H)."""
        if attention_mask is None:
            attention_mask = self.default_mask(input_ids)
        states = self.decoder(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        return self.pool(states, attention_mask)

    def default_mask(self, input_ids) -> torch.Tensor:
        """Take every token for real, as in texts of one length: padding has no id of its own."""
        return torch.ones_like(input_ids)

    @staticmethod
    def pool(states, attention_mask) -> torch.Tensor:
        """Take the vector of the last real token: (B, T, H) -> (B, H)."""
        last = attention_mask.sum(dim=1).clamp(min=1) - 1
        return states[torch.arange(len(states), device=states.device), last]


def _fresh_head(config, num_labels: int) -> nn.Linear:
    head = nn.Linear(config.hidden_size, num_labels)
    nn.init.normal_(head.weight, std=getattr(config, "initializer_range", 0.02))
    nn.init.zeros_(head.bias)
    return head
