"""Methods of 2018: one pre-trained encoder, from frozen to fine-tuned, and its random twin.

The encoder is MiniLM in `cpu` and BERT-base in `gpu`; the profile of a ledger row says which.
"""

from functools import partial

import numpy as np
from datasets import Dataset
from sklearn.linear_model import LogisticRegression

from helpers import pretrained, training
from helpers.methods import Corpus, Fitted, Method, common, seeds

__all__ = ["METHODS", "embed", "encoder", "rows_of", "tune"]


def encoder(corpus: Corpus, seed: int = 0, weights: bool = True) -> pretrained.Pretrained:
    """The encoder of this profile with a fresh head; random weights with `weights=False`."""
    return pretrained.load_encoder(profile=corpus.profile, pretrained=weights, seed=seed, echo=None)


def rows_of(loaded: pretrained.Pretrained, split: Dataset) -> Dataset:
    """Tokenize a labelled split into rows for `training.fit` and `predict`."""
    return _read(loaded, split["text"][:], split["label"][:])


def _read(loaded: pretrained.Pretrained, texts: list[str], labels=None) -> Dataset:
    return pretrained.encode_texts(loaded.tokenizer, texts, labels, common.MAX_PIECES)


def embed(corpus: Corpus, texts: list[str]) -> np.ndarray:
    """Mean vectors of texts from the untouched encoder: (texts, H)."""
    loaded = _untouched(corpus)
    return common.pooled_states(loaded, _read(loaded, texts))


def _untouched(corpus: Corpus) -> pretrained.Pretrained:
    return corpus.once("encoder", lambda: encoder(corpus))


def linear_probe(corpus, labelled, seed, C) -> Fitted:
    """Logistic regression on the mean vectors of the untouched encoder."""
    model = _untouched(corpus).model
    whole, head = (training.count_parameters(part)[1] for part in (model, model.head))
    regression = LogisticRegression(C=C, max_iter=5_000)
    return common.probe(partial(embed, corpus), labelled, regression, whole - head)


def tune(
    corpus: Corpus,
    labelled: Dataset,
    seed: int,
    blocks: int | str,
    weights: bool = True,
    **settings,
) -> tuple[pretrained.Pretrained, training.FitResult]:
    """Tune the encoder, or its random twin with `weights=False`.

    `blocks` and `settings` are those of `common.fine_tune`; give the learning rate for MiniLM, it
    is adapted to the encoder.
    """
    loaded = encoder(corpus, seed, weights)
    rate = settings["learning_rate"]
    settings["learning_rate"] = pretrained.learning_rate_for(loaded.model.config, rate)
    rows = rows_of(loaded, labelled)
    return loaded, common.fine_tune(loaded, rows, blocks, seed=seed, **settings)


def tuned(corpus, labelled, seed, blocks, **settings) -> Fitted:
    """Train the head and as many blocks as `blocks` says."""
    loaded, _ = tune(corpus, labelled, seed, blocks, **settings)
    read = partial(_read, loaded)
    return common.fitted_classifier(loaded.model, read, 64, loaded.pad_id, loaded, loaded.precision)


def _tried(*rates, min_steps=(0, 60)) -> tuple[dict, ...]:
    return common.combinations(num_epochs=4, min_steps=min_steps, learning_rate=rates)


def _declare(name, fit, configurations, plan=seeds.HEAVY) -> Method:
    return Method(name, "bert", configurations, fit, plan, common.loads(_untouched))


PROBE = common.combinations(C=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0))
RANDOM = partial(tuned, blocks="all", weights=False)  # with embeddings, which are random as well
RANDOM_TRIED = _tried(2e-4, 5e-4, 1e-3, min_steps=60)
METHODS = (
    _declare("encoder, linear probe", linear_probe, PROBE, seeds.SETTLED),
    _declare("encoder, top block", partial(tuned, blocks=1), _tried(2e-4, 5e-4, 1e-3)),
    _declare("encoder, top three", partial(tuned, blocks=3), _tried(1e-4, 2e-4, 5e-4)),
    _declare("encoder, fine-tuned", partial(tuned, blocks="blocks"), _tried(1e-4, 2e-4, 4e-4)),
    _declare("encoder, random weights", RANDOM, RANDOM_TRIED, seeds.UP_TO_1_000),
)
