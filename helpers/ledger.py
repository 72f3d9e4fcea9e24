"""The one place where results are kept: a line of JSON for every method, budget and seed.

A run appends to `results/ledger.jsonl`; `data/reference_ledger.jsonl` holds the full grid that came
with the course. Lines are only added; the latest line of each result counts.
"""

import json
import math
import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import evaluation
from helpers.files import locked
from helpers.runtime import ROOT, Cost, Run, results_dir

__all__ = ["ERAS", "IDENTITY", "KEYS", "REFERENCE", "Result", "Size", "append", "check", "expect"]
__all__ += ["accuracy_row", "pairs_row", "perplexity_row", "row", "span_row", "latest", "load"]
__all__ += ["comparable", "items_of", "ledger_path", "outcomes", "read"]

REFERENCE = ROOT / "data" / "reference_ledger.jsonl"
ERAS = ("classical", "pretraining", "embeddings", "bert", "gpt", "lora")
KEYS = tuple(
    "era notebook task method labels source_labels seed metric value low high correct "
    "trainable_parameters total_parameters train_seconds eval_seconds peak_memory_bytes "
    "artefact_bytes profile device precision versions revision time".split()
)
COUNTED = ("span_f1", "perplexity")  # stored as counts, all others as hex digits of right and wrong
IDENTITY = ("method", "task", "metric", "labels", "source_labels", "seed", "profile", "precision")
"""What makes two lines the same result; the later one replaces the earlier when loading."""


@dataclass(frozen=True)
class Result:
    """What was measured, with its 95 % interval over test items.

    Attributes:
        metric: `"accuracy"`, `"span_f1"`, `"perplexity"` or `"minimal_pairs"`.
        correct: outcomes, for pairing with other methods: hex digits (accuracy, minimal pairs),
            `[tp, fp, fn]` per sentence (span F1), `[nll, tokens]` per document (perplexity).
    """

    metric: str
    interval: evaluation.Interval
    correct: object = None


@dataclass(frozen=True)
class Size:
    """How large a method is.

    `total_parameters` are those needed to predict; `artefact_bytes` must be shipped to predict
    elsewhere, given the base model.
    """

    trainable_parameters: int
    total_parameters: int
    artefact_bytes: int


def row(
    run: Run, result: Result, *, era: str, task: str, method: str, labels: int, seed: int,
    source_labels: int = 0, size: Size, train: Cost, evaluate: Cost,
) -> dict:  # fmt: skip
    """Sign a result, for `append`, with the run's profile, device, precision, versions and time.

    Args:
        era: one of `ERAS`.
        task: for example `"rotten_tomatoes"`.
        method: the name of its line in every figure.
        labels: labelled target examples used; 0 for zero-shot, the true count for "all".
        seed: of the budget's draw and of training.
        source_labels: labelled examples of another corpus that were used.
        train, evaluate: cost of training, and of prediction over the test set.
    """
    return {
        "era": era,
        "notebook": run.notebook,
        "task": task,
        "method": method,
        "labels": int(labels),
        "source_labels": int(source_labels),
        "seed": int(seed),
        "metric": result.metric,
        "value": float(result.interval.value),
        "low": float(result.interval.low),
        "high": float(result.interval.high),
        "correct": result.correct,
        "trainable_parameters": int(size.trainable_parameters),
        "total_parameters": int(size.total_parameters),
        "train_seconds": round(train.seconds, 4),
        "eval_seconds": round(evaluate.seconds, 4),
        "peak_memory_bytes": int(train.peak_memory_bytes),
        "artefact_bytes": int(size.artefact_bytes),
        "profile": run.profile.name,
        "device": run.device_name,
        "precision": run.precision,
        "versions": dict(run.versions),
        "revision": run.revision,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def accuracy_row(run: Run, correct: Iterable[bool], **facts) -> dict:
    """`row` for accuracy, from right or wrong per test item; `facts` are the keywords of `row`."""
    return row(run, _share("accuracy", correct, run), **facts)


def pairs_row(run: Run, correct: Iterable[bool], **facts) -> dict:
    """`row` for minimal pairs, from the outcomes of `decoding.prefers_good`."""
    return row(run, _share("minimal_pairs", correct, run), **facts)


def span_row(run: Run, counts: Iterable[Iterable[int]], **facts) -> dict:
    """`row` for span F1, from `[tp, fp, fn]` of each test sentence, in the test set's order."""
    table = [[int(number) for number in sentence] for sentence in counts]
    interval = evaluation.bootstrap_f1(table, draws=run.profile.bootstrap_draws)
    return row(run, Result("span_f1", interval, table), **facts)


def perplexity_row(run: Run, counts: Iterable[Iterable[float]], **facts) -> dict:
    """`row` for perplexity, from `[nll, tokens]` of each document (`decoding.document_losses`).

    Losses are rounded to four decimals before the value is computed.
    """
    table = [[round(float(nll), 4), int(tokens)] for nll, tokens in counts]
    interval = evaluation.perplexity_interval(table, draws=run.profile.bootstrap_draws)
    return row(run, Result("perplexity", interval, table), **facts)


def _share(metric: str, correct: Iterable[bool], run: Run) -> Result:
    outcome = list(correct)
    interval = evaluation.bootstrap_interval(outcome, draws=run.profile.bootstrap_draws)
    return Result(metric, interval, evaluation.bits_to_hex(outcome))


def ledger_path() -> Path:
    """The ledger of your own runs."""
    return results_dir() / "ledger.jsonl"


def append(rows: Iterable[dict] | dict, path: Path | None = None) -> None:
    """Add results, made by `row`, to a ledger: whole lines only, safe beside other processes.

    Raises:
        ValueError: if a row is not complete and finite; no row of the call is written then.
    """
    rows = [rows] if isinstance(rows, dict) else list(rows)
    for entry in rows:
        check(entry)
    if not rows:
        return
    path = path or ledger_path()
    text = "".join(json.dumps({key: entry[key] for key in KEYS}) + "\n" for entry in rows)
    with locked(path), open(path, "ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            # A run killed while writing leaves half a line; the next one must not be lost with it.
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path | None = None) -> list[dict]:
    """Read every whole line of a ledger, oldest first; a missing file is an empty ledger.

    A line that is not a row (half written, edited by hand) is skipped with a warning that gives its
    number. A row without a precision is float32.
    """
    path, rows = path or ledger_path(), []
    if not path.exists():
        return rows
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if isinstance(entry, dict):
                entry.setdefault("precision", "float32")
            check(entry)
        except ValueError as error:
            warnings.warn(f"{path.name}, line {number} left out: {error}", stacklevel=2)
        else:
            rows.append(entry)
    return rows


def check(entry: dict) -> None:
    """Refuse a row with missing, infinite or mistyped values: a ValueError names the key."""
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


def latest(rows: Iterable[dict]) -> list[dict]:
    """Keep the last row of each result (see `IDENTITY`), in the order in which they were made."""
    kept = {}
    for entry in rows:
        key = tuple(entry[name] for name in IDENTITY)
        kept.pop(key, None)
        kept[key] = entry
    return list(kept.values())


def comparable(rows: Iterable[dict], profile: str, precision: str = "float32") -> list[dict]:
    """Keep the rows that may stand in one figure: of one profile and in one precision.

    Profiles have other test sets. In bfloat16 a method may do better or worse by chance, which an
    interval over seeds must not take for a difference between methods.
    """
    return [row for row in rows if (row["profile"], row["precision"]) == (profile, precision)]


def load(reference: bool = True) -> pd.DataFrame:
    """Load results, the latest of each: columns `KEYS`, and `origin`, "yours" or "reference"."""
    parts = {"yours": ledger_path()} | ({"reference": REFERENCE} if reference else {})
    rows = [
        entry | {"origin": origin} for origin, path in parts.items() for entry in latest(read(path))
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "origin"])


def outcomes(rows, items: int | None = None) -> np.ndarray:
    """Stack stored outcomes by seed: booleans (seeds, items), or counts (seeds, items, ...).

    `rows` are of one method at one budget, one per seed (a DataFrame or dicts).

    Raises:
        ValueError: if they were computed in different precisions.
    """
    records = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else list(rows)
    precisions = sorted({entry["precision"] for entry in records})
    if len(precisions) > 1:
        raise ValueError(
            f"Rows in {' and '.join(precisions)} are not comparable; choose by their column "
            "precision, for example with ledger.comparable."
        )
    records.sort(key=lambda entry: entry["seed"])
    if records[0]["metric"] in COUNTED:
        return np.array([entry["correct"] for entry in records])
    return np.stack([evaluation.hex_to_bits(e["correct"], items or items_of(e)) for e in records])


def items_of(entry: dict) -> int:
    """How many test items a row rests on; a hex digit holds four, the last may be padded."""
    stored = entry["correct"]
    if entry["metric"] in COUNTED:
        return len(stored)
    most, right = 4 * len(stored), int(stored, 16).bit_count()
    return min(round(right / entry["value"]), most) if entry["value"] else most


def expect(
    claim: str,
    measured: evaluation.Interval,
    *,
    above: float | None = None,
    below: float | None = None,
    recorded: str,
) -> bool:
    """Test a claim and say whether it held here; the learner is never stopped.

    A claim holds when the whole 95 % interval lies above `above` and below `below`. A verdict other
    than the recorded one is printed, and `make course` collects it.

    Args:
        measured: the value with its interval, usually a paired difference.
        above, below: the side of the claim; at least one of them.
        recorded: `"held"` or `"not held"`: what the stored run found. Both are results.

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
