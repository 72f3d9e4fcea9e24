"""The one place where results are kept: a line of JSON for every method, budget and seed.

A run appends to `results/ledger.jsonl`; `data/reference_ledger.jsonl` holds the full grid that came
with the course. Lines are only ever added. What counts is the latest line of each result.
"""

import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from helpers import evaluation
from helpers.ledger.rows import (
    IDENTITY,
    KEYS,
    accuracy_row,
    check,
    pairs_row,
    perplexity_row,
    row,
    span_row,
)
from helpers.runtime import ROOT, results_dir

__all__ = [
    "IDENTITY",
    "KEYS",
    "REFERENCE",
    "accuracy_row",
    "append",
    "expect",
    "latest",
    "ledger_path",
    "load",
    "outcomes",
    "pairs_row",
    "perplexity_row",
    "read",
    "row",
    "span_outcomes",
    "span_row",
]

REFERENCE = ROOT / "data" / "reference_ledger.jsonl"


def ledger_path() -> Path:
    """The ledger of your own runs."""
    return results_dir() / "ledger.jsonl"


def append(rows: Iterable[dict] | dict, path: Path | None = None) -> None:
    """Add results to the ledger, whole lines only, safe beside other processes.

    Args:
        rows: one row or several, as `row` makes them.
        path: another ledger; the default is `ledger_path()`.

    Raises:
        ValueError: if a row is not complete and finite; no row of the call is written then.
    """
    from filelock import FileLock

    rows = [rows] if isinstance(rows, dict) else list(rows)
    for entry in rows:
        check(entry)
    if not rows:
        return
    path = path or ledger_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps({k: entry[k] for k in KEYS}) + "\n" for entry in rows)
    with FileLock(f"{path}.lock"), open(path, "ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            # A run killed while writing leaves half a line; it must not swallow the next one.
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path | None = None) -> list[dict]:
    """Read every whole line of a ledger, oldest first; a missing file is an empty ledger.

    A line that is not a row (half written, edited by hand) is left out with a warning that gives
    its number, and the rest is read.
    """
    path = path or ledger_path()
    rows = []
    if not path.exists():
        return rows
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            check(entry)
        except ValueError as error:
            warnings.warn(f"{path.name}, line {number} left out: {error}", stacklevel=2)
        else:
            rows.append(entry)
    return rows


def latest(rows: Iterable[dict]) -> list[dict]:
    """Keep the last row of each result (see `IDENTITY`), in the order in which they were made."""
    kept = {}
    for entry in rows:
        key = tuple(entry[name] for name in IDENTITY)
        kept.pop(key, None)
        kept[key] = entry
    return list(kept.values())


def load(reference: bool = True):
    """Load results as a table, the latest of each, yours and the reference told apart.

    Args:
        reference: include the grid that came with the course.

    Returns:
        A pandas DataFrame with the columns `KEYS` and `origin` (`"yours"` or `"reference"`).
    """
    import pandas as pd

    parts = {"yours": ledger_path()} | ({"reference": REFERENCE} if reference else {})
    rows = [
        entry | {"origin": origin} for origin, path in parts.items() for entry in latest(read(path))
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "origin"])


def outcomes(rows, items: int):
    """Stack stored outcomes into an array for `evaluation.paired_difference`.

    Args:
        rows: rows of one method at one budget, one a seed (a DataFrame or dicts).
        items: test items each row answered.

    Returns:
        Booleans of shape (seeds, items), ordered by seed.
    """
    import numpy as np

    stored = [entry["correct"] for entry in _by_seed(rows)]
    return np.stack([evaluation.hex_to_bits(bits, items) for bits in stored])


def span_outcomes(rows):
    """Stack stored span counts into an array for `evaluation.paired_f1_difference`.

    Args:
        rows: span F1 rows of one method at one budget, one a seed (a DataFrame or dicts).

    Returns:
        `[tp, fp, fn]` of each sentence: integers of shape (seeds, sentences, 3), ordered by seed.
    """
    import numpy as np

    return np.array([entry["correct"] for entry in _by_seed(rows)], dtype=int)


def _by_seed(rows) -> list[dict]:
    records = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
    return sorted(records, key=lambda entry: entry["seed"])


def expect(
    claim: str,
    measured: evaluation.Interval,
    *,
    above: float | None = None,
    below: float | None = None,
    recorded: str,
) -> bool:
    """Put a claim to the test, and say whether it held here; a learner is never stopped.

    A claim holds when the whole 95 % interval lies on its side. A verdict that differs from the
    recorded one is said, and `make course` collects it.

    Args:
        claim: the statement, in words.
        measured: the value with its interval, usually a paired difference.
        above: the interval must lie above this.
        below: the interval must lie below this.
        recorded: `"held"` or `"not held"`: what the stored run found. Both are results.

    Returns:
        True if the claim held.

    Raises:
        ValueError: if neither side is given or `recorded` is another word.
    """
    if above is None and below is None:
        raise ValueError("expect() needs `above`, `below` or both: the side the claim is on.")
    if recorded not in ("held", "not held"):
        raise ValueError(f"recorded={recorded!r}: write 'held' or 'not held'.")
    held = (above is None or measured.low > above) and (below is None or measured.high < below)
    verdict = "held" if held else "not held"
    print(f"{verdict:>8} · {claim}: {measured}")
    if verdict != recorded:
        print(f"{'':8}   the stored run recorded: {recorded}")
    verdicts = os.environ.get("COURSE_VERDICTS")
    if verdicts:
        entry = {"claim": claim, "verdict": verdict, "recorded": recorded}
        entry |= {"value": measured.value, "low": measured.low, "high": measured.high}
        with open(verdicts, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    return held
