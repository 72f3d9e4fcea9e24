"""Check the label column of a user's file: is it a set of classes, and the intended one?

Labels go wrong quietly: `1` beside `"1"`, `Pos` beside `pos`, a rating read as 400 classes.
Each of these would train without an error and score badly, so each stops here with the places.
"""

import math
import re
import unicodedata

from helpers.tables.text import Problems, Row, list_places, shorten

__all__ = ["clean_labels", "find_missing_labels", "sort_labels", "warn_mixed_words"]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MISSING = {"", "nan", "<na>", "#n/a"}  # how pandas and spreadsheets write "no value"
MANY_NUMBERS = 20  # more distinct decimal numbers than this are a scale, not classes


def find_missing_labels(rows: list[Row], column: str, problems: Problems) -> None:
    """Note every row whose label is absent or is not a single value."""
    for row in rows:
        value = row.values.get(column)
        empty = value is None or (isinstance(value, float) and math.isnan(value))
        if empty or (isinstance(value, str) and value.strip().casefold() in MISSING):
            remedy = "Give these rows a label, or delete them."
            problems.add(row.place, f"the label is missing ({column}: {value!r})", remedy)
        elif not isinstance(value, str | int | float):
            remedy = "Give one label a row: a string, a whole number, or true/false."
            what = f"the label is a {type(value).__name__}: {shorten(value)}"
            problems.add(row.place, what, remedy)


def clean_labels(rows: list[Row], column: str, min_per_class: int, problems: Problems) -> list[str]:
    """Turn the label column into class names, one per row, or say why it is not one.

    Spaces around labels are removed; true, false become "true", "false"; 0.0, 1.0 become "0", "1".
    Every row must have a label (see `find_missing_labels`).

    Raises:
        TableError: if the labels are of several types, are measurements rather than classes, are
            one class written in several ways, are all the same, or are too rare.
    """
    values = [row.values[column] for row in rows]
    _refuse_measurements(values, column, problems)
    _refuse_mixed_types(rows, values, problems)
    _refuse_variants(rows, values, problems)
    whole = all(isinstance(v, float) and v.is_integer() for v in values)
    names = [str(int(value)) if whole else str(value).strip() for value in values]
    if isinstance(values[0], bool):
        names = [name.lower() for name in names]
    _refuse_rare(rows, names, column, min_per_class, problems)
    return names


def sort_labels(names: list[str]) -> list[str]:
    """The distinct class names in order: numbers by value, words by alphabet."""

    def rank(name: str) -> tuple[bool, float, str, str]:
        number = _number(name)
        return (number is None, number or 0.0, name.casefold(), name)

    return sorted(set(names), key=rank)


def warn_mixed_words(rows: list[Row], names: list[str]) -> list[str]:
    """Warn of a column with numbers in some rows and words in others, often a shifted cell."""
    first = {}
    for row, name in zip(rows, names, strict=True):
        first.setdefault(_number(name) is None, f"{name!r} ({row.place})")
    if len(first) < 2:
        return []
    return [
        f"Some labels are numbers and some are words: {first[False]}, {first[True]}. "
        "Check that no cell has slipped into the label column."
    ]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not NUMBER.fullmatch(str(value).strip()):
        return None
    return float(value)


def _refuse_measurements(values: list, column: str, problems: Problems) -> None:
    numbers = {_number(value) for value in values}
    if None in numbers:
        return
    decimals = any(not number.is_integer() for number in numbers)
    scale = decimals and len(numbers) > MANY_NUMBERS
    if scale or len(numbers) >= max(5, len(values) / 2 + 1):
        examples = ", ".join(f"{number:g}" for number in sorted(numbers)[:4])
        problems.stop(
            "",
            f"Column {column!r} holds {len(numbers)} distinct numbers in {len(values)} rows "
            f"({examples}, ...): measurements, so this is regression and not classification.",
            "Choose the column that holds classes (label=...), or cut the numbers into named "
            'ranges first, for example below 5 -> "low".',
        )


KINDS = {str: "text", bool: "true/false", int: "whole number", float: "decimal number"}


def _refuse_mixed_types(rows: list[Row], values: list, problems: Problems) -> None:
    kinds = [KINDS[type(value)] for value in values]
    if set(kinds) == {"text"}:
        # In CSV all values are text, so the mixture to look for is 0, 1 and true.
        truth = [value.strip().casefold() in ("true", "false") for value in values]
        kinds = [
            "true/false" if true else "other" if _number(value) is None else "number"
            for value, true in zip(values, truth, strict=True)
        ]
        if not {"number", "true/false"} <= set(kinds):
            return
    first: dict[str, str] = {}
    for row, value, kind in zip(rows, values, kinds, strict=True):
        first.setdefault(kind, f"{row.place} is {value!r}")
    if len(first) > 1:
        shown = "; ".join(f"{kind}: {where}" for kind, where in first.items())
        remedy = 'Write every label the same way, for example as text: "1", never 1 beside "1".'
        problems.stop("", f"The labels are of several types. First of each: {shown}.", remedy)


def _refuse_variants(rows: list[Row], values: list, problems: Problems) -> None:
    written: dict[object, dict[str, list[str]]] = {}
    for row, value in zip(rows, values, strict=True):
        text, number = str(value), _number(value)
        plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        key = plain if number is None else number
        written.setdefault(key, {}).setdefault(text, []).append(row.place)
    for variants in written.values():
        if len(variants) > 1:
            shown = "; ".join(
                f"{text!r} in {len(places):,} ({list_places(places)})"
                for text, places in variants.items()
            )
            remedy = "Write one class in one way; else each spelling becomes a class of its own."
            problems.add("", f"One label is written in {len(variants)} ways: {shown}", remedy)
    problems.raise_if_any()


def _refuse_rare(
    rows: list[Row], names: list[str], column: str, min_per_class: int, problems: Problems
) -> None:
    places: dict[str, list[str]] = {}
    for row, name in zip(rows, names, strict=True):
        places.setdefault(name, []).append(row.place)
    if len(places) == 1:
        what = f"Every label is {names[0]!r} ({len(names):,} rows): there is nothing to tell apart."
        problems.stop("", what, "Add rows of another class, or choose another column (label=...).")
    remedy = "Add rows, join rare classes into one, or delete them."
    if len(places) > len(names) / 2:
        remedy = f"Is {column!r} the label column? Choose it with label=... Else: " + remedy
    for name, where in places.items():
        if len(where) < min_per_class:
            what = f"class {name!r} has {len(where)} of the {min_per_class} rows that it needs "
            problems.add("", f"{what}({list_places(where)})", remedy)
    problems.raise_if_any()
