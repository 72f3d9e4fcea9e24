"""What methods of several eras share: words, training, probes, and wrapping trained models."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sklearn.pipeline import Pipeline

from helpers import evaluation, networks, pretrained, training
from helpers.methods import Corpus, Fitted
from helpers.word_tokenizer import tokenize

__all__ = ["CNN", "MAX_PIECES", "as_fitted", "cnn_from_scratch", "combinations", "device"]
__all__ += ["encode", "epochs_for", "fine_tune", "fit_words", "fitted_classifier", "loads"]
__all__ += ["new_textcnn", "perplexity", "pooled_states", "probe", "reads_words", "train_on"]
__all__ += ["training_texts", "vocabulary"]

MAX_WORDS = 256  # of an IMDB review; no snippet comes near it
MAX_PIECES = 128  # sub-words of a snippet; none comes near it


def combinations(**axes) -> tuple[dict, ...]:
    """Every combination of some settings, as configurations; a tuple holds alternatives."""
    values = [axis if isinstance(axis, tuple) else (axis,) for axis in axes.values()]
    return tuple(dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*values))


def loads(make: Callable[[Corpus], Any]) -> Callable[..., None]:
    """Make a `prepare` that calls `make(corpus)`, whatever the configuration."""
    return lambda corpus, **configuration: make(corpus)


def training_texts(corpus: Corpus) -> list[str]:
    """The training texts of both corpora, labels unread."""
    return corpus.imdb["train"]["text"][:] + corpus.reviews["train"]["text"][:]


def vocabulary(corpus: Corpus) -> networks.Vocabulary:
    """Words that occur at least five times in the training texts of both corpora."""

    def make():
        words = map(tokenize, training_texts(corpus))
        return networks.Vocabulary.build(words, min_count=5, max_size=15_000)

    return corpus.once("vocabulary", make)


def encode(corpus: Corpus, split: Dataset) -> Dataset:
    """Encode a labelled split as rows of word ids, for `training.fit`."""
    return _encode_words(corpus, split["text"][:], split["label"][:])


def _encode_words(corpus: Corpus, texts: list[str], labels=None) -> Dataset:
    return training.encode_texts(texts, vocabulary(corpus), tokenize, labels, MAX_WORDS)


def device(corpus: Corpus) -> str:
    """Where networks train: the GPU in profile `gpu` if there is one, else the CPU."""
    gpu = corpus.profile.name == "gpu" and torch.cuda.is_available()
    return "cuda" if gpu else "cpu"


def epochs_for(rows: int, num_epochs: int, min_steps: int, batch_size: int = 32) -> int:
    """Passes over the rows: `num_epochs`, or more until there are `min_steps` steps.

    A few passes over a hundred examples are a dozen steps, in which a network hardly moves. Mosbach
    et al. (2021) recommend many more steps at a small learning rate for small sets.
    """
    return max(num_epochs, math.ceil(min_steps / math.ceil(rows / batch_size)))


def train_on(corpus: Corpus, model, labelled: Dataset, seed: int, **settings) -> training.FitResult:
    """Fit a network of words on labelled texts."""
    return training.fit(model.to(device(corpus)), encode(corpus, labelled), seed=seed, **settings)


def fit_words(corpus: Corpus, model, labelled: Dataset, seed: int, **settings) -> Fitted:
    """Fit a network of words on labelled texts, for the grid."""
    train_on(corpus, model, labelled, seed, **settings)
    return reads_words(corpus, model)


def reads_words(corpus: Corpus, model) -> Fitted:
    """Wrap a network of words for the grid."""
    return fitted_classifier(model, partial(_encode_words, corpus))


def fitted_classifier(
    model, read: Callable, batch_size: int = 256, pad_id: int = 0, hands_out=None,
    precision: str = "float32",
) -> Fitted:  # fmt: skip
    """Wrap a text classifier for the grid; `read` turns texts into rows."""

    def predict(texts) -> np.ndarray:
        options = {"pad_id": pad_id, "precision": precision}
        return training.predict(model, read(texts), batch_size, **options).argmax(axis=1)

    return as_fitted(model, predict, hands_out)


def as_fitted(model, predict: Callable, hands_out=None) -> Fitted:
    """Wrap a network for the grid: trained parameters count as shipped, the others as given."""
    trained, total = training.count_parameters(model)
    return Fitted(predict, trained, total, 4 * trained, hands_out)


def new_textcnn(corpus: Corpus, seed: int = 0) -> networks.TextCNN:
    """An untrained TextCNN over the shared vocabulary (Kim 2014)."""
    size = len(vocabulary(corpus))
    with pretrained.seeded(seed):
        return networks.TextCNN(size)


CNN = combinations(num_epochs=(5, 15), learning_rate=(3e-4, 1e-3, 3e-3))


def cnn_from_scratch(corpus, labelled, seed, **settings) -> Fitted:
    """A TextCNN from random weights, word vectors included."""
    return fit_words(corpus, new_textcnn(corpus, seed), labelled, seed, **settings)


def perplexity(model, windows: Dataset) -> float:
    """Perplexity of a language model per token, over windows of equal length."""
    nll, tokens = [], []
    with training.batches_by_length(model, windows, 64) as batches:
        for _, batch in batches:
            ids = batch["input_ids"]  # (B, T)
            tokens.append(ids[:, 1:].numel())
            nll.append(model(ids, labels=ids)["loss"].item() * tokens[-1])
    return evaluation.perplexity(nll, tokens)


def probe(vectors_of: Callable, labelled: Dataset, model, given: int) -> Fitted:
    """Fit a linear model on frozen vectors of texts.

    Args:
        vectors_of: texts -> (texts, dimensions).
        labelled: rows with `text` and `label`.
        model: an unfitted classifier of scikit-learn, or a pipeline that ends in one.
        given: number of parameters behind the vectors.
    """
    model.fit(vectors_of(labelled["text"][:]), np.array(labelled["label"][:]))
    linear = model[-1] if isinstance(model, Pipeline) else model
    trained = linear.coef_.size + linear.intercept_.size

    def predict(texts) -> np.ndarray:
        return model.predict(vectors_of(texts))

    return Fitted(predict, trained, trained + given, 4 * trained, model)


def pooled_states(loaded: pretrained.Pretrained, rows: Dataset) -> np.ndarray:
    """The input of a classifier's head for each row: (rows, hidden size)."""
    states = np.empty((len(rows), loaded.model.config.hidden_size), np.float32)
    collate = partial(training.pad_batch, pad_id=loaded.pad_id)
    reading = training.batches_by_length(loaded.model, rows, 64, collate, loaded.precision)
    with reading as batches:
        for indices, batch in batches:
            states[indices] = loaded.model.pooled(**batch).float().cpu().numpy()
    return states


def fine_tune(
    loaded: pretrained.Pretrained,
    rows: Dataset,
    blocks: int | str | None,
    *,
    num_epochs: int,
    min_steps: int = 0,
    batch_size: int = 32,
    **settings,
) -> training.FitResult:
    """Tune a pre-trained text classifier in place; `settings` are arguments of `training.fit`.

    Args:
        rows: with labels, tokenized by `loaded.tokenizer`.
        blocks: how many to train from the top, with the head (at most all). `"blocks"` trains all
            of them, `"all"` the embeddings as well; None trains whatever requires gradients
            already, such as an adapter. Frozen blocks below are run once and their outputs kept.
        min_steps: minimum number of steps; adds epochs where `num_epochs` gives fewer.
    """
    model = trained = loaded.model
    settings = {"warmup_steps": 0.1, "pad_id": loaded.pad_id, **settings}
    precision = settings.setdefault("precision", loaded.precision)
    if blocks is not None:
        depth = len(pretrained.blocks(model))
        if blocks != "all":
            blocks = depth if blocks == "blocks" else min(blocks, depth)
        if blocks == "all" or blocks == depth:
            settings["freeze"] = pretrained.freeze_below(model, blocks)
        else:
            trained = pretrained.FrozenBelow(model, blocks)
            rows, settings["freeze"] = trained.remember(rows, precision=precision), trained.freeze
    epochs = epochs_for(len(rows), num_epochs, min_steps, batch_size)
    result = training.fit(trained, rows, num_epochs=epochs, batch_size=batch_size, **settings)
    model.eval()
    return result
