"""Pre-trained models with their tokenizers, and texts as the rows they read.

`freeze_below` names layers for `training.fit(freeze=...)`; `FrozenBelow` runs frozen blocks once.
"""

from helpers.assets import ModelError
from helpers.pretrained.build import hold, seeded
from helpers.pretrained.heads import CaseAwareTagger, LastTokenClassifier, MeanPooledClassifier
from helpers.pretrained.load import Pretrained, load_decoder, load_encoder, quiet
from helpers.pretrained.parts import (
    FrozenBelow,
    blocks,
    body_and_head,
    body_and_output,
    body_of,
    check_body_and_output,
    freeze_below,
    learning_rate_for,
    unwrapped,
)
from helpers.pretrained.rows import encode_texts, encode_words, word_predictions

__all__ = [
    "CaseAwareTagger",
    "FrozenBelow",
    "LastTokenClassifier",
    "MeanPooledClassifier",
    "ModelError",
    "Pretrained",
    "blocks",
    "body_and_head",
    "body_and_output",
    "body_of",
    "check_body_and_output",
    "encode_texts",
    "encode_words",
    "freeze_below",
    "hold",
    "learning_rate_for",
    "load_decoder",
    "load_encoder",
    "quiet",
    "seeded",
    "unwrapped",
    "word_predictions",
]
