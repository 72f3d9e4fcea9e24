"""Methods of 2021 and after: one decoder, fine-tuned with LoRA and in full, on an equal budget.

Both start from the head that answers as zero-shot does (notebook 6), take the same steps in the
same batches, and choose a rate of their own among three.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import evaluation, pretrained, training
from helpers.adapters import add_adapter
from helpers.methods import decoders
from helpers.methods.base import NO_LABELS, Corpus, Fitted, Method
from helpers.methods.blocks import as_fitted
from helpers.methods.kept import general_knowledge
from helpers.methods.neural import epochs_for

__all__ = ["ALPHA", "METHODS", "RANK", "STEPS", "states", "tune", "tune_adapter", "tune_in_full"]

RANK, ALPHA = 8, 16.0
# Small batches are of one length, so little of them is padding: half the time of batches of 32.
STEPS = {"num_epochs": 2, "min_steps": 80, "batch_size": 8}


def tune(
    loaded: pretrained.Pretrained, labelled, seed: int, *, num_epochs: int, min_steps: int = 0,
    **settings,
) -> training.FitResult:  # fmt: skip
    """Train what is free of a classifier on labelled reviews in their prompt; it is changed.

    Args:
        loaded: of `decoders.classifier`, with an adapter or without.
        labelled: rows with `text` and `label`.
        seed: of the order.
        num_epochs, min_steps: as for `blocks.tune_blocks`.
        settings: further arguments of `training.fit`.
    """
    rows = decoders.rows_of(loaded, labelled["text"][:], labelled["label"][:])
    batch_size = settings.get("batch_size", 32)
    epochs = epochs_for(len(rows), num_epochs, min_steps, batch_size)
    settings = {"warmup_steps": 0.1, "pad_id": loaded.pad_id, "seed": seed, **settings}
    return training.fit(loaded.model, rows, num_epochs=epochs, **settings)


def tune_adapter(
    corpus: Corpus, labelled, seed: int, *, rank: int = RANK, alpha: float = ALPHA, targets=None,
    rank_stabilized: bool = False, dora: bool = False, **settings,
):  # fmt: skip
    """Tune a LoRA adapter on the decoder; returns the `Pretrained` and what `fit` returns.

    Args:
        corpus, labelled, seed: as for every method.
        rank, alpha, targets, rank_stabilized, dora: as for `add_adapter`.
        settings: further arguments of `tune`.
    """
    loaded = add_adapter(
        decoders.classifier(corpus, seed), rank=rank, alpha=alpha, targets=targets,
        rank_stabilized=rank_stabilized, dora=dora, seed=seed,
    )  # fmt: skip
    return loaded, tune(loaded, labelled, seed, **settings)


def tune_in_full(corpus: Corpus, labelled, seed: int, **settings):
    """Tune every block and the head, word vectors left as they are; returns as `tune_adapter`."""
    loaded = decoders.classifier(corpus, seed)
    depth = len(pretrained.blocks(loaded.model))
    freeze = pretrained.freeze_below(loaded.model, depth)
    return loaded, tune(loaded, labelled, seed, freeze=freeze, **settings)


def _fitted(loaded) -> Fitted:
    return as_fitted(loaded, lambda texts: decoders.rows_of(loaded, texts))


def states(corpus: Corpus, texts) -> np.ndarray:
    """The untouched decoder's last state of each review in its prompt, (texts, hidden size).

    Nothing is remembered from call to call, so that the clock counts all that was read.
    """
    loaded = corpus.once("headless decoder", lambda: _headless(corpus))
    rows = decoders.rows_of(loaded, texts)
    return training.predict(loaded.model, rows, 64, pad_id=loaded.pad_id)


def _headless(corpus: Corpus) -> pretrained.Pretrained:
    loaded = decoders.classifier(corpus)
    loaded.model.head = torch.nn.Identity()
    return loaded


def linear_probe(corpus, labelled, seed, C) -> Fitted:
    """Logistic regression on the last state, the decoder as it came."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=5_000))
    model.fit(states(corpus, labelled["text"][:]), labelled["label"][:])
    trained = model[-1].coef_.size + model[-1].intercept_.size
    total = evaluation.count_parameters(decoders.decoder(corpus).model)[1]

    def predict(texts):
        return model.predict(states(corpus, texts))

    return Fitted(predict, trained, trained + total, 4 * trained, model)


def adapter(corpus, labelled, seed, **settings) -> Fitted:
    """LoRA on the four matrices of attention in every block."""
    return _fitted(tune_adapter(corpus, labelled, seed, **settings)[0])


def in_full(corpus, labelled, seed, **settings) -> Fitted:
    """Every weight of every block."""
    return _fitted(tune_in_full(corpus, labelled, seed, **settings)[0])


def _untouched(corpus, labelled, seed) -> Fitted:
    loaded = decoders.classifier(corpus, seed)
    loaded.model.requires_grad_(False)
    fitted = _fitted(loaded)
    total = evaluation.count_parameters(loaded.model)[1]
    return Fitted(fitted.predict, 0, total, 0, loaded)


def _load(corpus, **configuration) -> None:
    decoders.decoder(corpus)


def _rates(*rates) -> tuple[dict, ...]:
    return tuple({**STEPS, "learning_rate": rate} for rate in rates)


def _declare(name, fit, configurations, plan, measured_at=()) -> Method:
    afterwards = dict.fromkeys(measured_at, general_knowledge)
    return Method(
        name, "lora", configurations, fit, plan, _load, chosen_at=(320,), afterwards=afterwards
    )


METHODS = (
    _declare("decoder, untouched", _untouched, ({},), NO_LABELS, measured_at=(0,)),
    _declare(
        "decoder, linear probe",
        linear_probe,
        tuple({"C": C} for C in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
        {320: 3, 100: 3, 32: 3, 1_000: 3},
    ),
    _declare(
        "decoder + LoRA",
        adapter,
        _rates(3e-4, 1e-3, 3e-3),
        {320: 3, 100: 3, 32: 3, 1_000: 3, "all": 1},
        measured_at=(320,),
    ),
    _declare(
        "decoder, full fine-tuning",
        in_full,
        _rates(3e-5, 1e-4, 3e-4),
        {320: 3, 1_000: 1},
        measured_at=(320,),
    ),
)
