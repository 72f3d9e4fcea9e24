"""Which methods there are in each part of the grid, and which networks the repository carries.

A new era's module is entered here.
"""

from helpers.embeddings import STORED as VECTORS
from helpers.methods import (
    Method,
    bert,
    checkpoints,
    classical,
    decoders,
    embeddings,
    lora,
    named_entities,
    pretraining,
    tiny_gpt,
)

__all__ = ["MODULES", "NETWORKS", "PARTS", "methods_of", "pretrain"]

MODULES = {
    "classical": (classical,),
    "pretraining": (pretraining,),
    "embeddings": (embeddings,),
    "bert": (bert,),
    "gpt": (tiny_gpt, decoders),
    "lora": (lora,),
    "named_entities": (named_entities,),
}
PARTS = tuple(MODULES)
"""The parts of the grid: the eras, whose methods read reviews, and the taggers of all eras."""

STORED = (pretraining.LANGUAGE_MODEL, pretraining.ONE_EPOCH, tiny_gpt.TINY_GPT)
NETWORKS = {what.name: what for what in STORED}
"""The networks that the repository carries."""


def methods_of(part: str) -> dict[str, Method]:
    """The methods of a part of the grid, by name; a ValueError lists the parts if it is unknown."""
    if part not in PARTS:
        raise ValueError(f"No methods are declared for {part!r}; there are {', '.join(PARTS)}.")
    return {method.name: method for module in MODULES[part] for method in module.METHODS}


def pretrain(name: str, profile: str = "cpu") -> int:
    """Make anew what lies in `data/checkpoints`, and return 0.

    Raises:
        ValueError: if there is nothing of this name; the message lists what there is.
    """
    if name == VECTORS.stem:
        embeddings.store_skipgram(profile)
    elif name in NETWORKS:
        checkpoints.pretrain(NETWORKS[name], profile)
    else:
        there = ", ".join([*NETWORKS, VECTORS.stem])
        raise ValueError(f"No network is called {name!r}; there are {there}.")
    return 0
