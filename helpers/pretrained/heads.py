"""What the course adds to a pre-trained body: heads that classify texts, and the casing of words.

`AutoModelForSequenceClassification` reads the heads once this package is imported. Without it their
`model_type` is unknown and loading fails, rather than returning an untrained head.
"""

import copy
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

__all__ = [
    "CaseAwareTagger",
    "HeadConfig",
    "LastTokenClassifier",
    "MeanPooledClassifier",
    "drop_pooler",
]


def drop_pooler(body) -> None:
    """Remove a body's pooler: no unused parameter is counted."""
    if getattr(body, "pooler", None) is not None:
        body.pooler = None


class HeadConfig(PreTrainedConfig):
    """Config of a body and of the head over it."""

    sub_configs: ClassVar[dict] = {"body": AutoConfig}
    body: Any = None
    dropout: float = 0.1
    head_bias: bool = True
    initializer_range: float = 0.02  # of the head
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs):
        if isinstance(self.body, dict):  # read from a file
            self.body = AutoConfig.for_model(**self.body)
        super().__post_init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Width of the vectors that the head reads."""
        return self.body.hidden_size

    @property
    def num_hidden_layers(self) -> int:
        """Number of blocks in the body."""
        return self.body.num_hidden_layers

    @property
    def vocab_size(self) -> int:
        """Number of sub-word tokens that the body knows."""
        return self.body.vocab_size


class MeanPooledConfig(HeadConfig):
    """Config of a `MeanPooledClassifier`."""

    model_type = "mean_pooled_classifier"


class LastTokenConfig(HeadConfig):
    """Config of a `LastTokenClassifier`."""

    model_type = "last_token_classifier"


class _Classifier(PreTrainedModel):
    """Common part: a body under the name `base_model_prefix`, and a head."""

    _supports_sdpa = True

    def __init__(self, config: HeadConfig, body: nn.Module | None = None):
        super().__init__(config)
        if body is None:
            body = AutoModel.from_config(config.body, trust_remote_code=False)
        drop_pooler(body)
        setattr(self, self.base_model_prefix, body)
        self.num_labels = config.num_labels
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, config.num_labels, bias=config.head_bias)
        self.post_init()

    @classmethod
    def from_body(cls, body: nn.Module, num_labels: int = 2, dropout: float = 0.1, bias=True):
        """Put a new random head over a loaded body, with its label names and without its pooler."""
        names = body.config.id2label
        if len(names) != num_labels:
            names = {i: f"LABEL_{i}" for i in range(num_labels)}
        body_config = copy.deepcopy(body.config)  # the copy forgets which attention is computed
        body_config.name_or_path = ""  # a path on this machine would be saved
        config = cls.config_class(
            body=body_config,
            dropout=dropout,
            head_bias=bias,
            id2label=names,
            label2id={name: i for i, name in names.items()},
            initializer_range=getattr(body.config, "initializer_range", 0.02),
            pad_token_id=body.config.pad_token_id,
        )
        return cls(config, body)

    @property
    def is_loaded_in_4bit(self) -> bool:
        """Whether the weights are packed; peft asks for it."""
        return getattr(self.base_model, "is_loaded_in_4bit", False)

    def forward(self, input_ids, attention_mask=None, labels=None, **_) -> SequenceClassifierOutput:
        """Classify texts that are padded on the right: logits (B, C)."""
        return self.judge(self.pooled(input_ids, attention_mask), labels)

    def pooled(self, input_ids, attention_mask=None) -> torch.Tensor:
        """Return what the head reads of each text: (B, H)."""
        if attention_mask is None:
            attention_mask = self.default_mask(input_ids)
        states = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **self.reading)
        return self.pool(states.last_hidden_state, attention_mask)

    def judge(self, pooled, labels=None) -> SequenceClassifierOutput:
        """Score the classes from the output of `pooled`, with the loss if there are labels."""
        pooled = pooled.to(self.head.weight.dtype)  # a frozen body may be held in bfloat16
        logits = self.head(self.dropout(pooled))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class MeanPooledClassifier(_Classifier):
    """Classify a text from the mean of its tokens' last vectors, with one linear layer.

    BERT's own classifier reads the first token through a "pooler", which BERT trained on pairs of
    sentences (Devlin et al. 2018). MiniLM was tuned on means (Reimers & Gurevych 2019) and its
    pooler is untrained, so a frozen MiniLM says little through it. A mean works with every encoder.
    Parameter names: `bert.embeddings`, `bert.encoder.layer.0` (as the encoder names them), `head`.
    """

    config_class = MeanPooledConfig
    base_model_prefix = "bert"
    reading: ClassVar[dict] = {}

    def default_mask(self, input_ids) -> torch.Tensor:
        """Mark the tokens that are not padding: (B, T)."""
        return (input_ids != self.config.pad_token_id).long()

    @staticmethod
    def pool(states, attention_mask) -> torch.Tensor:
        """Average the vectors of real tokens: (B, T, H) -> (B, H)."""
        real = attention_mask[:, :, None].to(states.dtype)
        return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


class LastTokenClassifier(_Classifier):
    """Classify a text from the last vector of its last token, with one linear layer.

    In a decoder only the last token has read the whole text (as in Radford et al. 2018). Which
    token is last comes from the attention mask, not from the padding id: many decoders pad with
    their end token, and a text may end in a real one.
    Parameter names: `decoder.layers.0` (as the decoder names them), `head`.
    """

    config_class = LastTokenConfig
    base_model_prefix = "decoder"
    reading: ClassVar[dict] = {"use_cache": False}

    def __init__(self, config: LastTokenConfig, body: nn.Module | None = None):
        # A body that knew its padding id would keep that token's vector from training.
        config.body.pad_token_id = None
        super().__init__(config, body)

    def default_mask(self, input_ids) -> torch.Tensor:
        """Count every token as real: padding has no id of its own."""
        return torch.ones_like(input_ids)

    @staticmethod
    def pool(states, attention_mask) -> torch.Tensor:
        """Take the vector of the last real token: (B, T, H) -> (B, H)."""
        last = attention_mask.sum(dim=1).clamp(min=1) - 1
        return states[torch.arange(len(states), device=states.device), last]


class CaseAwareTagger(nn.Module):
    """Add an embedding of each word's casing to its sub-word embeddings, below all blocks.

    The new embeddings start at zero, so the tagger is at first unchanged. Because they enter at the
    bottom, a word is also judged by its neighbours' capitals. `num_shapes` kinds of casing are
    numbered from 1; 0 is padding and special tokens. `model` is a token classifier of transformers.
    Parameter names: `model.bert.encoder.layer.0` (as the classifier names them), `casing`.
    """

    def __init__(self, model, num_shapes: int):
        super().__init__()
        self.model, self.num_labels = model, model.num_labels
        self.casing = nn.Embedding(num_shapes, model.config.hidden_size, padding_idx=0)
        nn.init.zeros_(self.casing.weight)

    def forward(self, input_ids, shape_ids, attention_mask=None, labels=None):
        """Score the tags of every sub-word: logits (B, T, C); `shape_ids` is (B, T)."""
        if attention_mask is None:
            attention_mask = (input_ids != self.model.config.pad_token_id).long()
        sub_words = self.model.get_input_embeddings()(input_ids)  # (B, T, H)
        return self.model(
            inputs_embeds=sub_words + self.casing(shape_ids),
            attention_mask=attention_mask,
            labels=labels,
        )


for _kind in (MeanPooledClassifier, LastTokenClassifier):
    AutoConfig.register(_kind.config_class.model_type, _kind.config_class)
    AutoModelForSequenceClassification.register(_kind.config_class, _kind)
