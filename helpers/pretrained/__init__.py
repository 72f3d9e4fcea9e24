"""Pre-trained models: tokenizer and model together, and texts in the form they read.

`load_encoder` gives MiniLM on a laptop and BERT-base on a GPU, or any encoder that `COURSE_ENCODER`
names; `load_decoder` gives SmolLM2 or GPT-2, or what `COURSE_DECODER` names. Both say which
parameters are random. `encode_texts` and `encode_words` make the rows that `training.fit` takes;
`freeze_below` names what it should leave as it is, and `FrozenBelow` runs what is frozen only once.
"""

from helpers.assets import ModelError
from helpers.pretrained.base import Pretrained, quiet, seeded
from helpers.pretrained.frozen import FrozenBelow
from helpers.pretrained.heads import LastTokenClassifier, MeanPooledClassifier
from helpers.pretrained.load import load_decoder, load_encoder
from helpers.pretrained.parts import (
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
    "learning_rate_for",
    "load_decoder",
    "load_encoder",
    "quiet",
    "seeded",
    "unwrapped",
    "word_predictions",
]
