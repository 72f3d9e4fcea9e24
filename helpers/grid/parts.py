"""The parts of the grid and the methods that each declares."""

from helpers.ledger import ERAS
from helpers.methods import bert, classical, embeddings, gpt, lora, named_entities, pretraining
from helpers.methods.base import Method

__all__ = ["ERAS", "PARTS", "methods_of"]

_DECLARED = {
    "classical": classical.METHODS,
    "pretraining": pretraining.METHODS,
    "embeddings": embeddings.METHODS,
    "bert": bert.METHODS,
    "gpt": gpt.METHODS,
    "lora": lora.METHODS,
    "named_entities": named_entities.METHODS,
}
PARTS = tuple(_DECLARED)
"""The parts of the grid: the eras, whose methods read reviews, and the taggers of all eras."""


def methods_of(part: str) -> dict[str, Method]:
    """The methods of a part of the grid, by name; a ValueError lists the parts if it is unknown."""
    if part not in PARTS:
        raise ValueError(f"No methods are declared for {part!r}; there are {', '.join(PARTS)}.")
    return {method.name: method for method in _DECLARED[part]}
