"""The course's block diagrams, one function each: calling it shows the drawing.

Sizes in them are computed from the shapes of the models that the course uses.
"""

from helpers.plots.drawings.adaptation import (
    beside_lora,
    chat_template,
    eras,
    lora,
    memory,
    own_data,
    rewards,
    stages,
)
from helpers.plots.drawings.transformers import attention, bert, gpt, masks, token_head
from helpers.plots.drawings.words import counts, language_model, skipgram, textcnn, three_bars

__all__ = ["attention", "bert", "beside_lora", "chat_template", "counts", "eras", "gpt"]
__all__ += [
    "language_model",
    "lora",
    "masks",
    "memory",
    "own_data",
    "rewards",
    "skipgram",
    "stages",
]
__all__ += ["textcnn", "three_bars", "token_head"]
