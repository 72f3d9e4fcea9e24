"""Methods of 2006 to 2015: networks that start from a language model or from IMDB's labels.

Each stands beside the same network from random weights.
"""

from dataclasses import replace
from functools import partial

from datasets import Dataset

from helpers import networks, pretrained, training
from helpers.methods import Corpus, Fitted, Method, common, seeds
from helpers.methods.checkpoints import Pretraining, find
from helpers.word_tokenizer import tokenize

__all__ = ["IMDB_TEXTCNN", "LANGUAGE_MODEL", "METHODS", "ONE_EPOCH", "PIECE", "WINDOW"]
__all__ += ["imdb_textcnn", "language_model", "new_language_model"]

WINDOW = 64  # words that the language model predicts in a row
DROPOUT = 0.2
PIECE = 20  # words, about as many as the median snippet has


def new_language_model(corpus: Corpus, seed: int = 0) -> networks.LSTMLanguageModel:
    """An untrained LSTM language model over the shared vocabulary."""
    size = len(common.vocabulary(corpus))
    with pretrained.seeded(seed):
        return networks.LSTMLanguageModel(size, dropout=DROPOUT)


def _running_text(corpus: Corpus) -> tuple[Dataset, Dataset]:
    """IMDB's reviews in windows, labels unread: training text, and 500 held-out reviews."""
    texts = corpus.imdb["train"]["text"][:], corpus.imdb["validation"]["text"][:500]
    words = common.vocabulary(corpus)
    return tuple(training.language_model_windows(t, words, tokenize, WINDOW) for t in texts)


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
    with pretrained.seeded(seed):
        model = networks.LSTMClassifier.from_language_model(body)
    return common.fit_words(corpus, model, labelled, seed, **settings)


def lstm_from_scratch(corpus, labelled, seed, **settings) -> Fitted:
    """The same network from random weights."""
    size = len(common.vocabulary(corpus))
    with pretrained.seeded(seed):
        model = networks.LSTMClassifier(size)
    return common.fit_words(corpus, model, labelled, seed, **settings)


def cnn_source_only(corpus, labelled, seed) -> Fitted:
    """IMDB's TextCNN as it is."""
    return common.reads_words(corpus, imdb_textcnn(corpus).requires_grad_(False))


def cnn_tuned(corpus, labelled, seed, **settings) -> Fitted:
    """IMDB's TextCNN, everything tuned that is not named in `freeze`."""
    return common.fit_words(corpus, imdb_textcnn(corpus), labelled, seed, **settings)


cnn_frozen = partial(cnn_tuned, freeze=("embedding", "convolutions"))
"""With its body frozen: a linear probe that starts from the source's head."""


def _declare(name, fit, configurations, needs=imdb_textcnn, plan=seeds.EVERY) -> Method:
    """A method that shares what `needs` loads; those that need the source use its labels."""
    source, prepare = needs is imdb_textcnn, common.loads(needs)
    return Method(name, "pretraining", configurations, fit, plan, prepare, uses_source=source)


LSTM = common.combinations(num_epochs=(5, 10, 20), learning_rate=(3e-3, 1e-2))
TUNED = common.combinations(num_epochs=(3, 10), learning_rate=(3e-4, 1e-3, 3e-3))

METHODS = (
    _declare("LSTM from scratch", lstm_from_scratch, LSTM, common.vocabulary),
    _declare("LM-pre-trained LSTM", lstm_from_lm, LSTM, language_model),
    _declare("TextCNN from scratch", common.cnn_from_scratch, common.CNN, common.vocabulary),
    _declare("TextCNN, source only", cnn_source_only, ({},), plan=seeds.NO_LABELS),
    _declare("TextCNN, frozen body", cnn_frozen, TUNED),
    _declare("TextCNN, source then target", cnn_tuned, TUNED),
)
