"""Tune a pre-trained text classifier in part or as a whole: what encoders and decoders share."""

from helpers import evaluation, pretrained, training
from helpers.methods.base import Fitted
from helpers.methods.neural import epochs_for
from helpers.pretrained.frozen import FrozenBelow

__all__ = ["as_fitted", "tune_blocks"]


def tune_blocks(
    loaded: pretrained.Pretrained, rows, blocks: int | str, *, num_epochs: int, min_steps: int = 0,
    **settings,
) -> training.FitResult:  # fmt: skip
    """Tune the head and the top blocks of a classifier, which is changed in place.

    Args:
        loaded: of `load_encoder` or `load_decoder("classification")`.
        rows: of its tokenizer, with labels, as `encode_texts` makes them.
        blocks: trained from the top; all of them leave the embeddings as they are, and `"all"`
            trains these as well. What lies below is run once and remembered.
        num_epochs: passes over the rows.
        min_steps: trained at least, in further epochs where `num_epochs` gives fewer.
        settings: further arguments of `training.fit`.

    Returns:
        What `training.fit` returns.
    """
    model = loaded.model
    settings = {"warmup_steps": 0.1, "pad_id": loaded.pad_id, **settings}
    settings["num_epochs"] = epochs_for(len(rows), num_epochs, min_steps)
    if blocks != "all" and blocks < len(pretrained.blocks(model)):
        remembering = FrozenBelow(model, blocks)
        rows = remembering.remember(rows)
        result = training.fit(remembering, rows, freeze=remembering.freeze, **settings)
    else:
        freeze = pretrained.freeze_below(model, blocks)
        result = training.fit(model, rows, freeze=freeze, **settings)
    model.eval()
    return result


def as_fitted(loaded: pretrained.Pretrained, read) -> Fitted:
    """Wrap a tuned classifier for the grid; to ship is what was trained, the rest is given.

    `read` turns texts into rows.
    """
    trained, total = evaluation.count_parameters(loaded.model)

    def predict(texts):
        logits = training.predict(loaded.model, read(texts), 64, pad_id=loaded.pad_id)
        return logits.argmax(axis=1)

    return Fitted(predict, trained, total, 4 * trained, loaded)
