"""The run of this notebook, for what is called without it: `setup` leaves it here."""

from helpers.runtime import Run

__all__ = ["begin", "is_strict", "name"]

_begun: list[Run] = []


def begin(run: Run) -> None:
    """Make this the run of the process; a notebook that is set up again replaces it."""
    _begun[:] = [run]


def is_strict() -> bool:
    """Whether open and wrong answers are errors: in the notebooks of solutions."""
    return any(run.strict_exercises for run in _begun)


def name() -> str:
    """The notebook's path under `notebooks/`, without suffix; empty before `setup`."""
    return _begun[0].notebook if _begun else ""
