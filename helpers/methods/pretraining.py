"""Methods of 2006 to 2015: networks that start from a language model, or from IMDB's labels.

Each stands beside the same network from random weights.
"""

from dataclasses import replace

import torch
from datasets import Dataset

from helpers import evaluation, networks, training
from helpers.embeddings import tokenize
from helpers.methods.base import NO_LABELS, Corpus, Method
from helpers.methods.checkpoints import Pretraining, find
from helpers.methods.neural import as_fitted, seeded, settings, train_on, vocabulary

__all__ = [
    "CNN",
    "IMDB_TEXTCNN",
    "LANGUAGE_MODEL",
    "METHODS",
    "ONE_EPOCH",
    "PIECE",
    "WINDOW",
    "cnn_from_scratch",
    "imdb_textcnn",
    "language_model",
    "new_language_model",
    "new_textcnn",
    "perplexity",
]

WINDOW = 64  # words that the language model predicts in a row
DROPOUT = 0.2
PIECE = 20  # words, about as many as the median snippet has


def new_language_model(corpus: Corpus, seed: int = 0):
    """An untrained LSTM language model over the shared vocabulary."""
    size = len(vocabulary(corpus))
    return seeded(seed, lambda: networks.LSTMLanguageModel(size, dropout=DROPOUT))


def _running_text(corpus: Corpus):
    """IMDB's reviews in windows, labels unread: training text, and 500 reviews held out."""
    words = vocabulary(corpus)

    def windows(split, count=None):
        texts = split["text"][:count]
        return training.language_model_windows(texts, words, tokenize, WINDOW)

    return windows(corpus.imdb["train"]), windows(corpus.imdb["validation"], 500)


LANGUAGE_MODEL = Pretraining(
    "lstm-lm",
    new_language_model,
    _running_text,
    {"num_epochs": 15, "learning_rate": 3e-3, "batch_size": 32, "warmup_steps": 0.05},
    {"window": WINDOW, "dropout": DROPOUT},
    "the text of IMDB's training reviews (Maas et al. 2011), labels unread",
)
ONE_EPOCH = replace(
    LANGUAGE_MODEL, name="lstm-lm-one-epoch", settings={**LANGUAGE_MODEL.settings, "num_epochs": 1}
)


def language_model(corpus: Corpus, of: Pretraining = LANGUAGE_MODEL):
    """An LSTM that predicts the next word of IMDB's reviews, no label read (Dai & Le 2015)."""
    return find(of, corpus)


def perplexity(model, windows) -> float:
    """How many words a language model hesitates between, over windows of equal length."""
    nll, tokens, device = [], [], next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        for start in range(0, len(windows), 64):
            ids = torch.tensor(windows[start : start + 64]["input_ids"], device=device)  # (B, T)
            tokens.append(ids[:, 1:].numel())
            nll.append(model(ids, labels=ids)["loss"].item() * tokens[-1])
    return evaluation.perplexity(nll, tokens)


def new_textcnn(corpus: Corpus, seed: int = 0):
    """An untrained TextCNN over the shared vocabulary."""
    size = len(vocabulary(corpus))
    return seeded(seed, lambda: networks.TextCNN(size))


def _pieces(corpus: Corpus):
    """IMDB's training reviews in pieces as long as a snippet, each with its review's label.

    A whole review teaches filters to wait for their best window among hundreds; a snippet has
    twenty. What is left at a review's end is dropped, unless it is all there is.
    """
    split = corpus.imdb["train"]
    whole = training.encode_texts(split["text"][:], vocabulary(corpus), tokenize)["input_ids"][:]
    ids, labels = [], []
    for review, label in zip(whole, split["label"][:], strict=True):
        starts = range(0, max(len(review) - PIECE, 0) + 1, PIECE)
        ids += [review[start : start + PIECE] for start in starts]
        labels += [label] * len(starts)
    return Dataset.from_dict({"input_ids": ids, "labels": labels}), None


IMDB_TEXTCNN = Pretraining(
    "textcnn-imdb",
    new_textcnn,
    _pieces,
    {"num_epochs": 3, "learning_rate": 1e-3, "batch_size": 64},
    {"piece": PIECE},
    "pieces of IMDB's labelled training reviews (Maas et al. 2011)",
)


def imdb_textcnn(corpus: Corpus):
    """A TextCNN trained on IMDB's labels: the source model."""
    return find(IMDB_TEXTCNN, corpus)


def lstm_from_lm(corpus, labelled, seed, num_epochs, learning_rate):
    """The language model's embedding and LSTM, a new head, everything tuned."""
    body = language_model(corpus)
    model = seeded(seed, lambda: networks.LSTMClassifier.from_language_model(body))
    train_on(corpus, model, labelled, seed, num_epochs=num_epochs, learning_rate=learning_rate)
    return as_fitted(corpus, model)


def lstm_from_scratch(corpus, labelled, seed, num_epochs, learning_rate):
    """The same network from random weights."""
    size = len(vocabulary(corpus))
    model = seeded(seed, lambda: networks.LSTMClassifier(size))
    train_on(corpus, model, labelled, seed, num_epochs=num_epochs, learning_rate=learning_rate)
    return as_fitted(corpus, model)


def cnn_source_only(corpus, labelled, seed):
    """IMDB's TextCNN as it is."""
    return as_fitted(corpus, imdb_textcnn(corpus), trainable=0)


def cnn_frozen(corpus, labelled, seed, num_epochs, learning_rate):
    """IMDB's TextCNN with its body frozen: a linear probe that starts from the source's head."""
    model = imdb_textcnn(corpus)
    body = ("embedding", "convolutions")
    train_on(
        corpus, model, labelled, seed,
        freeze=body, num_epochs=num_epochs, learning_rate=learning_rate,
    )  # fmt: skip
    return as_fitted(corpus, model)


def cnn_tuned(corpus, labelled, seed, num_epochs, learning_rate):
    """IMDB's TextCNN, everything tuned."""
    model = imdb_textcnn(corpus)
    train_on(corpus, model, labelled, seed, num_epochs=num_epochs, learning_rate=learning_rate)
    return as_fitted(corpus, model)


def cnn_from_scratch(corpus, labelled, seed, num_epochs, learning_rate):
    """The same network from random weights."""
    model = new_textcnn(corpus, seed)
    train_on(corpus, model, labelled, seed, num_epochs=num_epochs, learning_rate=learning_rate)
    return as_fitted(corpus, model)


def _share_lm(corpus, **configuration) -> None:
    language_model(corpus)


def _share_cnn(corpus, **configuration) -> None:
    imdb_textcnn(corpus)


def _share_words(corpus, **configuration) -> None:
    vocabulary(corpus)


def _declare(name, fit, configurations, prepare, **options) -> Method:
    return Method(name, "pretraining", configurations, fit, prepare=prepare, **options)


LSTM = settings((5, 10, 20), (3e-3, 1e-2))
CNN = settings((5, 15), (3e-4, 1e-3, 3e-3))
TUNED = settings((3, 10), (3e-4, 1e-3, 3e-3))

METHODS = (
    _declare("LSTM from scratch", lstm_from_scratch, LSTM, _share_words),
    _declare("LM-pre-trained LSTM", lstm_from_lm, LSTM, _share_lm),
    _declare("TextCNN from scratch", cnn_from_scratch, CNN, _share_words),
    _declare(
        "TextCNN, source only",
        cnn_source_only,
        ({},),
        _share_cnn,
        plan=NO_LABELS,
        uses_source=True,
    ),
    _declare("TextCNN, frozen body", cnn_frozen, TUNED, _share_cnn, uses_source=True),
    _declare("TextCNN, source then target", cnn_tuned, TUNED, _share_cnn, uses_source=True),
)
