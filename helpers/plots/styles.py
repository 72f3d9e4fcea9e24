"""How each method looks in the whole course: one colour, marker and dash for life.

Marker and dash (and whether the marker is hollow) tell all methods apart without colour. Controls
are grey and hollow. Names are those of the ledger.
"""

import zlib
from typing import NamedTuple

__all__ = ["ERA_METHODS", "METHODS", "Style", "style_of"]


class Style(NamedTuple):
    """A method's looks; `dash` is one of `DASHES`, controls have hollow markers."""

    color: str
    marker: str
    dash: str
    hollow: bool = False


DASHES = {
    "solid": "-",
    "dash": "--",
    "dashdot": "-.",
    "dots": (0, (1, 1)),
    "long": (0, (6, 1.5)),
    "dotted dash": (0, (3, 1, 1, 1, 1, 1)),
}
CONTROL = "#767676"

# All of these are dark enough for thin lines on a projector: contrast with white is at least 3.
METHODS = {
    "naive Bayes": Style("#5c4517", "v", "dash"),
    "TF-IDF + LR": Style("#c46a00", "s", "solid"),
    "NB-SVM": Style("#8a6510", "o", "dots"),
    "source only": Style("#5b8fc7", "X", "dots"),
    "pooled": Style("#3877b8", "D", "dash"),
    "weighted": Style("#5577a8", "^", "dots"),
    "augmented": Style("#2b6cb0", "v", "dashdot"),
    "source, then target": Style("#174a85", "X", "solid"),
    "LSTM from scratch": Style(CONTROL, "s", "dots", True),
    "LM-pre-trained LSTM": Style("#a8286f", "s", "dash"),
    "TextCNN from scratch": Style(CONTROL, "^", "solid", True),
    "TextCNN, source only": Style("#cc5c98", "*", "dots"),
    "TextCNN, frozen body": Style("#b8478a", "P", "dashdot"),
    "TextCNN, source then target": Style("#7d1f57", "*", "solid"),
    "averaged GloVe": Style("#5d6b12", "D", "dots"),
    "averaged skip-gram": Style("#83912a", "P", "dash"),
    "TextCNN, random vectors": Style(CONTROL, "^", "dash", True),
    "TextCNN, static skip-gram": Style("#2b958f", "^", "long"),
    "TextCNN, tuned skip-gram": Style("#076b67", "^", "dashdot"),
    "encoder, linear probe": Style("#d9604f", "o", "dash"),
    "encoder, top block": Style("#cc4433", "v", "dots"),
    "encoder, top three": Style("#b8302f", "s", "dashdot"),
    "encoder, fine-tuned": Style("#9c1727", "D", "long"),
    "encoder, random weights": Style(CONTROL, "D", "dots", True),
    "tiny GPT from scratch": Style(CONTROL, "v", "dash", True),
    "tiny GPT, fine-tuned": Style("#55904a", "v", "solid"),
    "decoder, zero-shot: review": Style("#1c5c33", "*", "dash"),
    "decoder, zero-shot: question": Style("#1c5c33", "X", "dash"),
    "decoder, zero-shot: the movie was": Style("#1c5c33", "o", "dotted dash"),
    "decoder, zero-shot: yes or no": Style("#1c5c33", "s", "dotted dash"),
    "decoder, zero-shot: chat": Style("#1c5c33", "^", "dotted dash"),
    "decoder, zero-shot": Style("#1c5c33", "D", "dotted dash"),
    "decoder, zero-shot, calibrated": Style("#1c5c33", "X", "dotted dash"),
    "decoder, zero-shot, random weights": Style(CONTROL, "X", "dots", True),
    "decoder, in context": Style("#3f9268", "s", "long"),
    "decoder, in context, calibrated": Style("#267a54", "o", "long"),
    "decoder, top four": Style("#4c9a45", "P", "dots"),
    "decoder, fine-tuned": Style("#2f7d32", "v", "dotted dash"),
    "decoder, random weights": Style(CONTROL, "P", "dots", True),
    "decoder, linear probe": Style("#8d6cc7", "D", "solid"),
    "decoder + LoRA": Style("#4b2496", "P", "solid"),
    "decoder, LoRA on the text of reviews": Style("#6a3fb5", "*", "long"),
    "decoder, LoRA on the text of news": Style("#6a3fb5", "*", "dashdot"),
    "CRF on features": Style("#8a6510", "o", "dashdot"),
    "BiLSTM, random vectors": Style(CONTROL, "s", "dash", True),
    "BiLSTM, GloVe": Style("#076b67", "^", "dash"),
    "encoder, token head": Style("#9c1727", "D", "dashdot"),
    "encoder, token head + capitals": Style("#cc4433", "s", "dots"),
}
SAME = {
    "target only": "TF-IDF + LR",
    "decoder, full fine-tuning": "decoder, fine-tuned",
    "decoder, untouched": "decoder, zero-shot: review",
}
"""The same model under the name that another notebook gives it."""

ERA_METHODS = {
    "classical": "NB-SVM",
    "pretraining": "LM-pre-trained LSTM",
    "embeddings": "TextCNN, tuned skip-gram",
    "bert": "encoder, fine-tuned",
    "gpt": "decoder, fine-tuned",
    "lora": "decoder + LoRA",
}
"""The method whose colour stands for its era."""

OTHERS = (
    Style("#1b3a5c", "h", "solid"),
    Style("#b86e00", "p", "dash"),
    Style("#8c2f39", "<", "dashdot"),
    Style("#3b7fa8", ">", "long"),
    Style("#4f7a4e", "d", "dots"),
    Style("#7a5195", "8", "dotted dash"),
)
"""For what is no method of the ledger; none of these markers is used above."""


def style_of(method: str, era: str = "", number: int | None = None) -> dict:
    """Keyword arguments of `Axes.plot` for a method.

    Args:
        method: a name of the ledger; what follows in brackets, as in "NB-SVM (notebook 1)", does
            not count.
        era: lends its colour to a method that is not in `METHODS`.
        number: which of six looks such a method has; without it, its name decides.
    """
    name = method.split(" (")[0]
    look = METHODS.get(SAME.get(name, name))
    if look is None:
        number = zlib.crc32(name.encode()) if number is None else number
        look = OTHERS[number % len(OTHERS)]
        if era in ERA_METHODS:
            look = look._replace(color=METHODS[ERA_METHODS[era]].color)
    return {
        "color": look.color,
        "marker": look.marker,
        "linestyle": DASHES[look.dash],
        "markerfacecolor": "white" if look.hollow else look.color,
        "linewidth": 2,
        "markersize": 9 if look.marker == "*" else 7,
    }
