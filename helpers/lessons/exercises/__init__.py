"""The exercises of each lesson, one file per slug, each with a tuple `EXERCISES`."""

import pkgutil
from functools import cache
from importlib import import_module

from helpers.lessons.exercise import Exercise

__all__ = ["every", "find"]


@cache
def every() -> dict[str, Exercise]:
    """All exercises by their id, in the order of files and declarations."""
    modules = (
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    listed = [exercise for module in modules for exercise in module.EXERCISES]
    found = {exercise.id: exercise for exercise in listed}
    if len(found) < len(listed):
        twice = {each.id for each in listed if each is not found[each.id]}
        raise ValueError(f"Two exercises share an id: {', '.join(twice)}")
    return found


def find(id: str) -> Exercise:
    """The exercise with this id; a KeyError lists those of the same slug, or all."""
    if id not in every():
        slug = str(id).partition(".")[0] + "."
        there = [known for known in every() if known.startswith(slug)] or list(every())
        raise KeyError(f"No exercise {id!r}; there are {', '.join(there)}.")
    return every()[id]
