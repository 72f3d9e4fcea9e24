"""Methods of 2018: one pre-trained encoder, from frozen to fine-tuned, and its random twin.

The encoder is MiniLM in `cpu` and BERT-base in `gpu`; the profile of a ledger's row says which.
"""

from functools import partial

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from helpers import evaluation, pretrained, training
from helpers.methods.base import HEAVY, SETTLED, UP_TO_1_000, Corpus, Fitted, Method
from helpers.methods.blocks import as_fitted, tune_blocks

__all__ = ["MAX_LENGTH", "METHODS", "embed", "encoder", "rate_for", "rows_of", "tune"]

MAX_LENGTH = 128  # word pieces; no snippet comes near it
MINILM_SIZE = 384 * 6  # width times blocks


def encoder(corpus: Corpus, seed: int = 0, weights: bool = True) -> pretrained.Pretrained:
    """The encoder of this profile with a fresh head; `weights=False` for its random twin."""
    return pretrained.load_encoder(profile=corpus.profile, pretrained=weights, seed=seed, echo=None)


def rows_of(loaded: pretrained.Pretrained, split, labels: bool = True):
    """A split as rows of word pieces, for `training.fit` and `predict`."""
    known = split["label"][:] if labels else None
    return pretrained.encode_texts(loaded.tokenizer, split["text"][:], known, MAX_LENGTH)


def embed(corpus: Corpus, texts: list[str]) -> np.ndarray:
    """Mean vectors of texts from the untouched encoder: (texts, H)."""
    loaded = corpus.once("encoder", lambda: _headless(corpus))
    rows = pretrained.encode_texts(loaded.tokenizer, texts, None, MAX_LENGTH)
    return training.predict(loaded.model, rows, 64, pad_id=loaded.pad_id)


def _headless(corpus: Corpus) -> pretrained.Pretrained:
    """The encoder, answering with the vector that a head would have read."""
    loaded = encoder(corpus)
    loaded.model.head = torch.nn.Identity()
    return loaded


def linear_probe(corpus, labelled, seed, C):
    """Logistic regression on the mean vectors of the untouched encoder."""
    model = LogisticRegression(C=C, max_iter=5_000)
    model.fit(embed(corpus, labelled["text"][:]), np.array(labelled["label"][:]))
    trained = model.coef_.size + model.intercept_.size
    _, body = evaluation.count_parameters(corpus.once("encoder", lambda: _headless(corpus)).model)

    def predict(texts):
        return model.predict(embed(corpus, texts))

    return Fitted(predict, trained, trained + body, 4 * trained, model)


def rate_for(config, learning_rate: float) -> float:
    """The rate for an encoder's size: rates here are MiniLM's, and larger encoders take less.

    It falls with width and depth, so that 2e-4 becomes 5e-5 for BERT-base, the highest rate that
    its authors tried (Devlin et al. 2019). A rule of thumb, not measured here.
    """
    size = config.hidden_size * config.num_hidden_layers
    return learning_rate * min(1.0, MINILM_SIZE / size)


def tune(corpus, labelled, seed, blocks: int | str, *, weights: bool = True, min_steps: int = 0,
         **settings):  # fmt: skip
    """Tune the top blocks of the encoder; returns the `Pretrained` and what `fit` returns.

    Args:
        corpus, labelled, seed: as for every method.
        blocks: trained from the top; all of them leave the piece embeddings as they are, and
            `"all"` trains these as well.
        weights: False for the random twin.
        min_steps: trained at least, in further epochs where `num_epochs` gives fewer.
        settings: further arguments of `training.fit`.
    """
    loaded = encoder(corpus, seed, weights)
    settings["learning_rate"] = rate_for(loaded.model.config, settings["learning_rate"])
    rows = rows_of(loaded, labelled)
    return loaded, tune_blocks(loaded, rows, blocks, min_steps=min_steps, seed=seed, **settings)


def _tuned(corpus, labelled, seed, blocks, weights=True, **settings) -> Fitted:
    loaded, _ = tune(corpus, labelled, seed, blocks, weights=weights, **settings)
    read = partial(pretrained.encode_texts, loaded.tokenizer, labels=None, max_length=MAX_LENGTH)
    return as_fitted(loaded, read)


def top_block(corpus, labelled, seed, **settings):
    """The top block and the head."""
    return _tuned(corpus, labelled, seed, 1, **settings)


def top_three(corpus, labelled, seed, **settings):
    """The top three blocks and the head."""
    return _tuned(corpus, labelled, seed, 3, **settings)


def fine_tuned(corpus, labelled, seed, **settings):
    """All blocks and the head; piece embeddings stay."""
    depth = corpus.once("encoder", lambda: _headless(corpus)).model.config.num_hidden_layers
    return _tuned(corpus, labelled, seed, depth, **settings)


def random_weights(corpus, labelled, seed, **settings):
    """The same network from random weights, embeddings trained too: the control."""
    return _tuned(corpus, labelled, seed, "all", weights=False, **settings)


def _load(corpus, **configuration) -> None:
    corpus.once("encoder", lambda: _headless(corpus))


def _settings(rates, steps=(0, 60)) -> tuple[dict, ...]:
    return tuple(
        {"num_epochs": 4, "min_steps": n, "learning_rate": rate} for n in steps for rate in rates
    )


def _declare(name, fit, configurations, plan=HEAVY) -> Method:
    return Method(name, "bert", configurations, fit, plan, _load)


PROBE = tuple({"C": C} for C in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0))

METHODS = (
    _declare("encoder, linear probe", linear_probe, PROBE, SETTLED),
    _declare("encoder, top block", top_block, _settings((2e-4, 5e-4, 1e-3))),
    _declare("encoder, top three", top_three, _settings((1e-4, 2e-4, 5e-4))),
    _declare("encoder, fine-tuned", fine_tuned, _settings((1e-4, 2e-4, 4e-4))),
    _declare(
        "encoder, random weights",
        random_weights,
        _settings((2e-4, 5e-4, 1e-3), (60,)),
        UP_TO_1_000,
    ),
)
