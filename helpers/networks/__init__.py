"""The small networks of the 2010s, each readable in one screen.

Every `forward(input_ids, attention_mask=None, labels=None)` returns a dict with `logits` and, given
labels, `loss`, as `transformers` models do, so that one trainer fits all. Padding is id 0, on the
right. Parameter names begin with the layer's name, which `training.fit` takes.

Shared arguments: `vocabulary_size` (V), `num_labels` (C), `dimensions` of a word vector (D),
`hidden` units of an LSTM (H); `embeddings`, vectors (V, D) to start from, copied, which then decide
D. B texts of at most T tokens.
"""

from helpers.networks.gpt import TinyGPT, TinyGPTClassifier, sample
from helpers.networks.small import (
    IGNORED,
    PAD,
    BiLSTMTagger,
    DigitsCNN,
    LSTMClassifier,
    LSTMLanguageModel,
    TextCNN,
)
from helpers.networks.vocabulary import (
    END,
    UNKNOWN,
    Vocabulary,
    read_byte_pairs,
    save_byte_pairs,
    train_byte_pairs,
)

__all__ = ["END", "IGNORED", "PAD", "UNKNOWN", "BiLSTMTagger", "DigitsCNN", "LSTMClassifier"]
__all__ += ["LSTMLanguageModel", "TextCNN", "TinyGPT", "TinyGPTClassifier", "Vocabulary"]
__all__ += ["read_byte_pairs", "sample", "save_byte_pairs", "train_byte_pairs"]
