"""What a check says of an answer that is not right yet, and how it compares answers."""

import numpy as np

__all__ = ["Hint", "compare", "number", "numbers", "slope"]


class Hint(Exception):
    """Raised by a check when an answer is not right yet; its message helps without telling."""


def number(answer, hint: str = "give one number") -> float:
    """The answer as a number, or a hint."""
    return numbers([answer], 1, hint)[0]


def numbers(answer, count: int, hint: str) -> list[float]:
    """The answer as so many numbers, or a hint."""
    try:
        found = [float(value) for value in answer]
    except (TypeError, ValueError):
        raise Hint(hint) from None
    if len(found) != count:
        raise Hint(hint)
    return found


def compare(got, expected, otherwise: str, slips=None, rtol: float = 1e-4, atol: float = 0) -> None:
    """Raise the hint of the first of `slips`, {hint: value}, that fits, or `otherwise` if wrong."""
    for hint, value in (slips or {}).items():
        if np.allclose(got, value, rtol, atol):
            raise Hint(hint)
    if not np.allclose(got, expected, rtol, atol):
        raise Hint(otherwise)


def slope(function, place, step: float = 1e-6) -> np.ndarray:
    """The gradient of a function of an array (n,) at a place, by central differences: (n,)."""
    steps = np.eye(len(place)) * step
    return np.array([(function(place + h) - function(place - h)) / (2 * step) for h in steps])
