"""Methods of 2006 to 2015: networks that start from a language model or from IMDB's labels.

Each stands beside the same network from random weights.
"""

from dataclasses import replace

from datasets import Dataset

from helpers import networks, training
from helpers.methods import common
from helpers.methods.base import EVERY, NO_LABELS, Corpus, Fitted, Method
from helpers.methods.checkpoints import Pretraining, find
from helpers.words import tokenize

__all__ = [
    "IMDB_TEXTCNN",
    "LANGUAGE_MODEL",
    "METHODS",
    "ONE_EPOCH",
    "PIECE",
    "WINDOW",
    "imdb_textcnn",
    "language_model",
    "new_language_model",
]

WINDOW = 64  # words that the language model predicts in a row
DROPOUT = 0.2
PIECE = 20  # words, about as many as the median snippet has


def new_language_model(corpus: Corpus, seed: int = 0) -> networks.LSTMLanguageModel:
    """An untrained LSTM language model over the shared vocabulary."""
    size = len(common.vocabulary(corpus))
    return common.seeded(seed, lambda: networks.LSTMLanguageModel(size, dropout=DROPOUT))


def _running_text(corpus: Corpus) -> tuple[Dataset, Dataset]:
    """IMDB's reviews in windows, labels unread: training text, and 500 held-out reviews."""
    words = common.vocabulary(corpus)

    def windows(texts):
        return training.language_model_windows(texts, words, tokenize, WINDOW)

    imdb = corpus.imdb
    return windows(imdb["train"]["text"][:]), windows(imdb["validation"]["text"][:500])


LANGUAGE_MODEL = Pretraining(
    name="lstm-lm",
    build=new_language_model,
    rows=_running_text,
    settings={"num_epochs": 15, "learning_rate": 3e-3, "batch_size": 32, "warmup_steps": 0.05},
    details={"window": WINDOW, "dropout": DROPOUT},
    describe="the text of IMDB's training reviews (Maas et al. 2011), labels unread",
)
ONE_EPOCH = replace(
    LANGUAGE_MODEL, name="lstm-lm-one-epoch", settings={**LANGUAGE_MODEL.settings, "num_epochs": 1}
)


def language_model(corpus: Corpus, of: Pretraining = LANGUAGE_MODEL) -> networks.LSTMLanguageModel:
    """An LSTM trained to predict the next word of IMDB's reviews, labels unread (Dai & Le 2015)."""
    return find(of, corpus)


def _pieces(corpus: Corpus) -> tuple[Dataset, None]:
    """IMDB's training reviews in pieces as long as a snippet, each with its review's label.

    In a whole review a filter takes its best window among hundreds, in a snippet among twenty. What
    is left at a review's end is dropped, unless it is all there is.
    """
    split = corpus.imdb["train"]
    words, texts = common.vocabulary(corpus), split["text"][:]
    whole = training.encode_texts(texts, words, tokenize)["input_ids"][:]
    ids, labels = [], []
    for review, label in zip(whole, split["label"][:], strict=True):
        starts = range(0, max(len(review) - PIECE, 0) + 1, PIECE)
        ids += [review[start : start + PIECE] for start in starts]
        labels += [label] * len(starts)
    return Dataset.from_dict({"input_ids": ids, "labels": labels}), None


IMDB_TEXTCNN = Pretraining(
    name="textcnn-imdb",
    build=common.new_textcnn,
    rows=_pieces,
    settings={"num_epochs": 3, "learning_rate": 1e-3, "batch_size": 64},
    details={"piece": PIECE},
    describe="pieces of IMDB's labelled training reviews (Maas et al. 2011)",
)


def imdb_textcnn(corpus: Corpus) -> networks.TextCNN:
    """A TextCNN trained on IMDB's labels: the source model."""
    return find(IMDB_TEXTCNN, corpus)


def lstm_from_lm(corpus, labelled, seed, **settings) -> Fitted:
    """The language model's embedding and LSTM with a new head, everything tuned."""
    body = language_model(corpus)
    model = common.seeded(seed, lambda: networks.LSTMClassifier.from_language_model(body))
    return common.fit_words(corpus, model, labelled, seed, **settings)


def lstm_from_scratch(corpus, labelled, seed, **settings) -> Fitted:
    """The same network from random weights."""
    size = len(common.vocabulary(corpus))
    model = common.seeded(seed, lambda: networks.LSTMClassifier(size))
    return common.fit_words(corpus, model, labelled, seed, **settings)


def cnn_source_only(corpus, labelled, seed) -> Fitted:
    """IMDB's TextCNN as it is."""
    return common.reads_words(corpus, imdb_textcnn(corpus).requires_grad_(False))


def cnn_frozen(corpus, labelled, seed, **settings) -> Fitted:
    """IMDB's TextCNN with its body frozen: a linear probe that starts from the source's head."""
    body = ("embedding", "convolutions")
    return common.fit_words(corpus, imdb_textcnn(corpus), labelled, seed, freeze=body, **settings)


def cnn_tuned(corpus, labelled, seed, **settings) -> Fitted:
    """IMDB's TextCNN, everything tuned."""
    return common.fit_words(corpus, imdb_textcnn(corpus), labelled, seed, **settings)


def _own(name, fit, configurations, needs) -> Method:
    """A method of target labels alone."""
    return Method(name, "pretraining", configurations, fit, EVERY, common.loads(needs))


def _with_source(name, fit, configurations, plan=EVERY) -> Method:
    return Method(
        name, "pretraining", configurations, fit, plan, common.loads(imdb_textcnn), uses_source=True
    )


LSTM = common.combinations(num_epochs=(5, 10, 20), learning_rate=(3e-3, 1e-2))
TUNED = common.combinations(num_epochs=(3, 10), learning_rate=(3e-4, 1e-3, 3e-3))

METHODS = (
    _own("LSTM from scratch", lstm_from_scratch, LSTM, common.vocabulary),
    _own("LM-pre-trained LSTM", lstm_from_lm, LSTM, language_model),
    _own("TextCNN from scratch", common.cnn_from_scratch, common.CNN, common.vocabulary),
    _with_source("TextCNN, source only", cnn_source_only, ({},), NO_LABELS),
    _with_source("TextCNN, frozen body", cnn_frozen, TUNED),
    _with_source("TextCNN, source then target", cnn_tuned, TUNED),
)
