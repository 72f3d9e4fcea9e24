"""Guesses before a result: noted, shown beside it, and kept over all notebooks."""

import sys
from collections.abc import Sequence
from numbers import Number

import pandas as pd

from helpers.lessons import records

__all__ = ["forget_guesses", "guess", "my_guesses", "reveal"]

GUESSES = "guesses"  # of `records`
COLUMNS = ("slug", "id", "guess", "result", "unit", "off", "right")


def guess(id: str, value, choices: Sequence[str] = (), order: Sequence[str] = ()) -> None:
    """Note a guess in `results/guesses.json`; a bare `...` is none.

    A guess counts until its result has been shown: changed later, the first one stays.

    Args:
        id: of the guess, `slug.name`.
        value: a number, one of `choices`, or the names in `order` from first to last.

    Raises:
        ValueError: if it is a guess of another kind; the message says what to give.
    """
    records.checked_id(id)
    if value is ...:
        print("No guess yet. Put yours in the place of the three dots, or read on.")
        return
    entry = _entry(id, value, list(choices), list(order))
    before = records.load(GUESSES).get(id, {})
    if "result" in before and before["guess"] != entry["guess"]:
        kept = _text(before["guess"])
        print(f"You have seen the result: your first guess, {kept}, stays in your record.")
        return
    records.change(GUESSES, {id: before | entry})
    print(f"Your guess is noted: {_text(entry['guess'])}.")
    if not before and "google.colab" in sys.modules:
        print("On Colab it is kept until this session ends.")


def _entry(id: str, value, choices: list[str], order: list[str]) -> dict:
    """A guess as it is stored, or the ValueError that says what to give."""
    if choices:
        if value not in choices:
            wanted = " or ".join(map(repr, choices))
            raise ValueError(f'guess("{id}", ...) takes {wanted}; you gave {value!r}.')
        return {"kind": "choice", "guess": value}
    if order:
        given = list(value) if isinstance(value, list | tuple) else value
        if not isinstance(given, list) or sorted(map(str, given)) != sorted(order):
            wanted = f"a list of {', '.join(map(repr, order))}, each once, in your order"
            raise ValueError(f'guess("{id}", ...) takes {wanted}; you gave {value!r}.')
        return {"kind": "order", "guess": given}
    if isinstance(value, bool) or not isinstance(value, Number):
        help = "a number, without quotes or unit" if isinstance(value, str) else "one number"
        raise ValueError(f'guess("{id}", ...) takes {help}; you gave {value!r}.')
    return {"kind": "number", "guess": float(value)}


def reveal(id: str, value, unit: str = "") -> None:
    """Print a result beside the guess, if there is one, and note it.

    Args:
        value: the result, of the kind that was guessed: a number, a choice, or a list in order.
        unit: of a number, such as `"%"` or `"points"`.
    """
    entry = records.load(GUESSES).get(records.checked_id(id))
    value = list(value) if isinstance(value, list | tuple) else value
    value = value.item() if hasattr(value, "item") else value  # of NumPy or torch
    value = float(value) if isinstance(value, Number) else value
    unit = unit.strip()
    told = f"measured: {_text(value, unit)}"
    if entry is None:
        print(f"you: no guess · {told}")
        return
    said = f"you: {_text(entry['guess'], unit)} · {told}"
    if entry["kind"] == "number":
        off = entry["guess"] - value
        near = abs(off) <= 0.005 * abs(value)
        word = "too high" if off > 0 else "too low"
        print(f"{said} · {'that is it' if near else f'{_text(abs(off), unit)} {word}'}")
        entry |= {"off": off}
    else:
        right = entry["guess"] == value
        print(f"{said} · {'right' if right else _wrong(entry['guess'], value)}")
        entry |= {"right": right}
    records.change(GUESSES, {id: entry | {"result": value, "unit": unit}})


def _wrong(guessed, value) -> str:
    if not isinstance(value, list):
        return "not right"
    places = sum(mine == theirs for mine, theirs in zip(guessed, value, strict=False))
    return f"{places} of {len(value)} in their place"


def _text(value, unit: str = "") -> str:
    if isinstance(value, list):
        return " > ".join(map(str, value))
    if isinstance(value, str):
        return value
    number = f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return f"{number} {unit}".rstrip()


def my_guesses() -> pd.DataFrame:
    """Every guess of yours with its result, over all notebooks, in the order of guessing.

    `off` is guess minus result for a number, `right` says it for a choice or an order.
    """
    rows = [
        {"slug": id.partition(".")[0], "id": id, **entry}
        for id, entry in records.load(GUESSES).items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def forget_guesses(slug: str = "") -> None:
    """Remove the guesses of one lesson, or without a slug all of them, to begin again."""
    gone = [id for id in records.load(GUESSES) if not slug or id.startswith(f"{slug}.")]
    records.change(GUESSES, dict.fromkeys(gone))
    print(f"{len(gone)} guesses forgotten.")
