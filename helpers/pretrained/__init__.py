"""Pre-trained models: tokenizer and model together, and texts in the form they read.

`load_encoder` gives MiniLM on a laptop and BERT-base on a GPU, or any encoder that `COURSE_ENCODER`
names; `load_decoder` gives SmolLM2 or GPT-2, or what `COURSE_DECODER` names. Both say which
parameters are random. `encode_texts` and `encode_words` make the rows that `training.fit` takes;
`freeze_below` names what it should leave as it is, and `FrozenBelow` runs what is frozen only once.
"""

from helpers.pretrained.decoders import load_decoder
from helpers.pretrained.encoders import load_encoder
from helpers.pretrained.loading import Pretrained
from helpers.pretrained.parts import blocks, body_and_head, body_of, freeze_below, unwrapped
from helpers.pretrained.pieces import encode_texts, encode_words, word_predictions
from helpers.pretrained.sources import ModelError

__all__ = [
    "FrozenBelow",
    "LastTokenClassifier",
    "MeanPooledClassifier",
    "ModelError",
    "Pretrained",
    "blocks",
    "body_and_head",
    "body_of",
    "encode_texts",
    "encode_words",
    "freeze_below",
    "load_decoder",
    "load_encoder",
    "unwrapped",
    "word_predictions",
]


def __getattr__(name: str):
    """Load the classes that need torch only when they are asked for."""
    if name in ("LastTokenClassifier", "MeanPooledClassifier"):
        from helpers.pretrained import pooling

        return getattr(pooling, name)
    if name == "FrozenBelow":
        from helpers.pretrained.frozen import FrozenBelow

        return FrozenBelow
    raise AttributeError(f"module 'helpers.pretrained' has no attribute {name!r}")
