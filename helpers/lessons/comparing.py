"""How an answer differs from the course's, in a sentence that names the slip."""

from collections.abc import Mapping

import numpy as np

__all__ = ["difference", "shown"]

ROOM = 300  # characters of a shown value


def difference(got, expected, rtol: float = 1e-4, atol: float = 1e-6) -> str:
    """Say what is wrong with an answer; empty if it is right.

    Numbers, arrays and tensors are compared with tolerances, lists and dictionaries part by part,
    texts without their case. A tensor must be a tensor, an array an array: later cells use them.
    """
    if expected is None or got is None:
        missing = "nothing came back: is the `return` missing?"
        return "" if got is expected else missing if got is None else "it should be None here"
    if isinstance(expected, str):
        return _of_text(got, expected)
    if isinstance(expected, Mapping):
        return _of_mapping(got, expected, rtol, atol)
    if isinstance(expected, list | tuple):
        return _of_list(got, expected, rtol, atol)
    if isinstance(expected, set | frozenset):
        return "" if got == expected else "it should be another set"
    return _of_numbers(got, expected, rtol, atol)


def _of_text(got, expected: str) -> str:
    if not isinstance(got, str):
        return f"give a text in quotes, not {_kind(got)}"
    return "" if got.strip().casefold() == expected.strip().casefold() else "another text is right"


def _of_mapping(got, expected: Mapping, rtol: float, atol: float) -> str:
    if not isinstance(got, Mapping):
        return f"give a dictionary, not {_kind(got)}"
    for word, names in (
        ("missing", expected.keys() - got.keys()),
        ("too many", got.keys() - expected),
    ):
        if names:
            return f"{word} in the dictionary: {', '.join(sorted(map(repr, names)))}"
    found = {key: difference(got[key], expected[key], rtol, atol) for key in expected}
    return next((f"under {key!r}: {text}" for key, text in found.items() if text), "")


def _of_list(got, expected: list | tuple, rtol: float, atol: float) -> str:
    if isinstance(got, str | Mapping) or not hasattr(got, "__len__"):
        return f"give {len(expected)} values in a {type(expected).__name__}, not {_kind(got)}"
    if len(got) != len(expected):
        return f"{len(got)} values came back, not {len(expected)}"
    found = (difference(*pair, rtol, atol) for pair in zip(got, expected, strict=True))
    return next((f"value {i}: {text}" for i, text in enumerate(found, 1) if text), "")


def _of_numbers(got, expected, rtol: float, atol: float) -> str:
    if isinstance(got, str):
        return f"{got!r} is text: write the number without quotes"
    for owner, article in (("detach", "a tensor"), ("dtype", "an array")):
        if hasattr(expected, owner) and np.ndim(expected) and not hasattr(got, owner):
            return f"give {article}, not {_kind(got)}"
    try:
        mine, right = _array(got), _array(expected)
        close = (
            np.isclose(mine, right, rtol, atol, equal_nan=True) if mine.shape == right.shape else 0
        )
    except (TypeError, ValueError):
        return f"give a number, not {_kind(got)}" if not np.ndim(expected) else "give numbers"
    if mine.shape != right.shape:
        swapped = mine.T.shape == right.shape and np.allclose(mine.T, right, rtol, atol)
        wanted = f"shape {right.shape}" if right.ndim else "one number"
        return "rows and columns are swapped" if swapped else f"shape {mine.shape}, not {wanted}"
    if np.all(close):
        return ""
    return (
        _rule(mine, right, lambda other: np.allclose(other, right, rtol, atol))
        if right.ndim
        else "not this number"
    )


def _rule(mine: np.ndarray, right: np.ndarray, fits) -> str:
    """The slip that explains all values of an array at once."""
    if right.dtype == bool:
        return "True and False are swapped" if fits(mine == 0) else "not yet the right places"
    if fits(-mine):
        return "the sign is the wrong way round"
    if mine.ndim == 2 and mine.T.shape == mine.shape and fits(mine.T):
        return "rows and columns are swapped"
    hidden = right == 0
    if hidden.any() and not hidden.all() and np.array_equal(mine != 0, hidden):
        return "the mask is inverted: what should count is hidden, and the rest is not"
    ours, yours = _softmaxed(right), _softmaxed(mine)
    if ours and yours and not set(ours) & set(yours):
        return f"the weights sum to one over dimension {yours[0]}: take the softmax over {ours[0]}"
    used = np.isfinite(right) & (right != 0)
    ratios = mine[used] / right[used]
    if (
        ratios.size > 1
        and ratios[0]
        and np.allclose(ratios, ratios[0], 1e-3)
        and fits(mine / ratios[0])
    ):
        return f"every value is {ratios[0]:.3g} times the right one"
    return "not the right values yet"


def _softmaxed(weights: np.ndarray) -> list[int]:
    """Dimensions over which weights, two-dimensional or more, sum to one."""
    if weights.ndim < 2 or (weights < 0).any():
        return []
    return [axis for axis in range(weights.ndim) if np.allclose(weights.sum(axis), 1, atol=1e-4)]


def _array(value) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor of any device; NumPy has no bfloat16
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    found = np.asarray(value)
    return found if found.dtype == bool else found.astype(float)


def _kind(value) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if callable(value) and not hasattr(value, "dtype"):
        return "a function"
    return f"a {type(value).__name__}"


def shown(value) -> str:
    """A value in few characters, for a learner to look at."""
    if isinstance(value, tuple | list) and any(np.ndim(part) for part in value):
        text = "(" + ", ".join(map(shown, value)) + ")"
    elif np.ndim(value) and hasattr(value, "dtype"):
        text = np.array2string(
            _array(value), precision=3, threshold=24, edgeitems=2, separator=", "
        )
    elif isinstance(value, float | np.floating):
        text = f"{value:.6g}"
    else:
        text = repr(value)
    return text if len(text) <= ROOM else f"{text[:ROOM]} ..."
