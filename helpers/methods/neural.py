"""What the small networks of several eras share: one vocabulary, one way to train and to answer."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from helpers import evaluation, networks, training
from helpers.embeddings import tokenize
from helpers.methods.base import Corpus, Fitted

__all__ = [
    "as_fitted",
    "device",
    "encode",
    "epochs_for",
    "seeded",
    "settings",
    "train_on",
    "vocabulary",
]

MAX_TOKENS = 256  # of an IMDB review; no snippet comes near it


def vocabulary(corpus: Corpus) -> networks.Vocabulary:
    """Words that occur five times in the training texts of both corpora, labels unread."""

    def make():
        texts = corpus.imdb["train"]["text"][:] + corpus.reviews["train"]["text"][:]
        return networks.Vocabulary.build(map(tokenize, texts), min_count=5, max_size=15_000)

    return corpus.once("vocabulary", make)


def encode(corpus: Corpus, split):
    """A labelled split as rows of token ids, for `training.fit`."""
    words = vocabulary(corpus)
    labels = split["label"][:]
    return training.encode_texts(split["text"][:], words, tokenize, labels, MAX_TOKENS)


def train_on(corpus: Corpus, model, labelled, seed: int, **settings):
    """Fit a network on a budget of labels; returns what `training.fit` returns."""
    model.to(device(corpus))
    return training.fit(model, encode(corpus, labelled), seed=seed, **settings)


def device(corpus: Corpus) -> str:
    """Where networks train: on the graphics card in `gpu` if there is one, else on the CPU."""
    gpu = corpus.profile.name == "gpu" and torch.cuda.is_available()
    return "cuda" if gpu else "cpu"


def as_fitted(
    corpus: Corpus, model, trainable: int | None = None, read: Callable | None = None
) -> Fitted:
    """Wrap a trained network for the grid; to ship is what was trained, the rest is given.

    `read` turns texts into rows; without it they are cut with the shared vocabulary.
    """
    if read is None:
        words = {"vocabulary": vocabulary(corpus), "tokenize": tokenize, "max_length": MAX_TOKENS}
        read = partial(training.encode_texts, **words)

    def predict(texts) -> np.ndarray:
        return training.predict(model, read(texts)).argmax(axis=1)

    trained, total = evaluation.count_parameters(model)
    if trainable is None:
        trainable = trained
    return Fitted(predict, trainable, total, 4 * trainable)


def seeded(seed: int, build: Callable):
    """Build a network whose random weights depend on the seed alone."""
    torch.manual_seed(seed)
    return build()


def epochs_for(rows: int, num_epochs: int, min_steps: int, batch_size: int = 32) -> int:
    """Passes over the rows: `num_epochs`, or as many as `min_steps` steps take.

    A few passes over a hundred examples are a dozen steps, in which a network hardly leaves its
    start. Many more steps at a small rate are what Mosbach et al. (2021) recommend for small sets.
    """
    return max(num_epochs, math.ceil(min_steps / math.ceil(rows / batch_size)))


def settings(epochs, rates) -> tuple[dict, ...]:
    """Every pair of a number of epochs and a learning rate, as configurations of a method."""
    return tuple({"num_epochs": e, "learning_rate": r} for e in epochs for r in rates)
