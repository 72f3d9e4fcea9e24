"""The one place where results are kept: a line of JSON for every method, budget and seed.

A run appends to `results/ledger.jsonl`; `data/reference_ledger.jsonl` holds the full grid that came
with the course. Lines are only ever added. What counts is the latest line of each result.
"""

import json
import math
import os
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

from helpers import evaluation
from helpers.runtime import ROOT, Cost, Run, results_dir, revision

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
    "read",
    "row",
]

ERAS = ("classical", "pretraining", "embeddings", "bert", "gpt", "lora")
KEYS = tuple(
    "era notebook task method labels source_labels seed metric value low high correct "
    "trainable_parameters total_parameters train_seconds eval_seconds peak_memory_bytes "
    "artefact_bytes profile device versions revision time".split()
)
IDENTITY = ("method", "task", "metric", "labels", "source_labels", "seed", "profile")
"""What makes two lines the same result; the later one replaces the earlier when loading."""

REFERENCE = ROOT / "data" / "reference_ledger.jsonl"


def ledger_path() -> Path:
    """The ledger of your own runs."""
    return results_dir() / "ledger.jsonl"


def row(
    run: Run,
    *,
    era: str,
    task: str,
    method: str,
    labels: int,
    seed: int,
    metric: str,
    interval: evaluation.Interval,
    correct: object = None,
    source_labels: int = 0,
    trainable_parameters: int,
    total_parameters: int,
    train: Cost,
    evaluate: Cost,
    artefact_bytes: int,
) -> dict:
    """Sign a result: put the run's profile, device, versions and time beside the figures.

    Args:
        run: the run that made it.
        era: one of `ERAS`.
        task: for example `"rotten_tomatoes"`.
        method: the name its line has in every figure.
        labels: labelled target examples used; 0 for zero-shot, the true count for "all".
        seed: of the budget's draw and of training.
        metric: `"accuracy"`, `"span_f1"`, `"perplexity"` or `"minimal_pairs"`.
        interval: the value with its 95 % interval over test items.
        correct: what pairs it with other methods: hex outcomes (accuracy, minimal pairs),
            `[tp, fp, fn]` a sentence (span F1), `[nll, tokens]` a document (perplexity), or None.
        source_labels: labelled examples of another corpus that were used.
        trainable_parameters: numbers that training may change.
        total_parameters: numbers the method needs to predict.
        train: seconds and peak memory of training.
        evaluate: seconds of prediction over the test set.
        artefact_bytes: what would have to be shipped to predict elsewhere, given the base model.

    Returns:
        A dict with exactly the keys `KEYS`, ready for `append`.
    """
    return {
        "era": era,
        "notebook": run.notebook,
        "task": task,
        "method": method,
        "labels": int(labels),
        "source_labels": int(source_labels),
        "seed": int(seed),
        "metric": metric,
        "value": float(interval.value),
        "low": float(interval.low),
        "high": float(interval.high),
        "correct": correct,
        "trainable_parameters": int(trainable_parameters),
        "total_parameters": int(total_parameters),
        "train_seconds": round(train.seconds, 4),
        "eval_seconds": round(evaluate.seconds, 4),
        "peak_memory_bytes": int(train.peak_memory_bytes),
        "artefact_bytes": int(artefact_bytes),
        **_signature(run),
    }


def accuracy_row(run: Run, correct: Iterable[bool], **facts) -> dict:
    """`row` for accuracy: value, interval and the outcome of each test item from `correct`.

    Args:
        run: the run that made it.
        correct: right or wrong for each test item, in the test set's order.
        **facts: the other arguments of `row`.
    """
    outcome = list(correct)
    interval = evaluation.bootstrap_interval(outcome, draws=run.profile.bootstrap_draws)
    bits = evaluation.bits_to_hex(outcome)
    return row(run, metric="accuracy", interval=interval, correct=bits, **facts)


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
        _check(entry)
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
            _check(entry)
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

    records = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
    records = sorted(records, key=lambda entry: entry["seed"])
    return np.stack([evaluation.hex_to_bits(entry["correct"], items) for entry in records])


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


def _signature(run: Run) -> dict:
    return {
        "profile": run.profile.name,
        "device": run.device_name,
        "versions": dict(run.versions),
        "revision": revision(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _check(entry: dict) -> None:
    if not isinstance(entry, dict):
        raise ValueError("a ledger line must be a JSON object")
    missing, extra = set(KEYS) - set(entry), set(entry) - set(KEYS)
    if missing or extra:
        raise ValueError(f"missing keys {sorted(missing)}, unknown keys {sorted(extra)}")
    if entry["era"] not in ERAS:
        raise ValueError(f"era {entry['era']!r} is none of {', '.join(ERAS)}")
    for key in ("value", "low", "high", "train_seconds", "eval_seconds"):
        number = entry[key]
        if type(number) not in (int, float) or not math.isfinite(number):
            raise ValueError(f"{key} is {number!r}, not a finite number")
    if not entry["low"] <= entry["value"] <= entry["high"]:
        raise ValueError(f"value {entry['value']} is outside {entry['low']} to {entry['high']}")
    for key in IDENTITY:
        kind = int if key in ("labels", "source_labels", "seed") else str
        if type(entry[key]) is not kind:
            raise ValueError(f"{key} is {entry[key]!r}, not {kind.__name__}")
