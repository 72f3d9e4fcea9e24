"""What came with the course: the frozen choices, and each method's line in the ledger."""

import json
from pathlib import Path

import numpy as np

from helpers import ledger
from helpers.methods.base import REVIEWS, Task
from helpers.runtime import ROOT

__all__ = ["CHOICES", "reference_choices", "reference_curve"]

CHOICES = ROOT / "data" / "reference_choices.json"


def reference_choices(path: Path = CHOICES) -> dict[str, dict]:
    """The frozen choices behind the reference ledger, by method name, as `choose` returns them."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def reference_curve(
    name: str, path: Path = ledger.REFERENCE, profile: str = "cpu", task: Task = REVIEWS
) -> dict[int, np.ndarray]:
    """A method's line in the reference ledger, as `learning_curve` gives it, answered on test.

    Raises:
        ValueError: if the ledger has no row of that method; the message lists those it has.
    """
    rows = [row for row in ledger.latest(ledger.read(path)) if row["task"] == task.name]
    rows = [row for row in rows if (row["profile"], row["metric"]) == (profile, task.metric)]
    mine = [row for row in rows if row["method"] == name]
    if not mine:
        known = ", ".join(dict.fromkeys(row["method"] for row in rows)) or "none"
        raise ValueError(f"The reference has no rows of {name!r} for {task.name}; it has {known}.")
    budgets = sorted({row["labels"] for row in mine})
    return {n: ledger.outcomes([row for row in mine if row["labels"] == n]) for n in budgets}
