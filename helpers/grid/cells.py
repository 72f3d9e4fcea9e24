"""One cell of the grid (a method, a budget of labels, a seed), and what is made of cells."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from helpers import ledger
from helpers.methods import REVIEWS, Corpus, Fitted, Measurement, Method, Task
from helpers.runtime import ROOT, Cost, Run, measure

__all__ = ["CHOICES", "answer", "choose", "learning_curve", "reference_choices"]
__all__ += ["reference_curve", "run_cell", "to_row", "to_rows"]

CHOICES = ROOT / "data" / "reference_choices.json"


def reference_choices(path: Path = CHOICES) -> dict[str, dict]:
    """The frozen choices behind the reference ledger, by method name, as `choose` returns them."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def reference_curve(
    name: str, path: Path = ledger.REFERENCE, profile: str = "cpu", task: Task = REVIEWS
) -> dict[int, np.ndarray]:
    """A method's test outcomes in the reference ledger, in the form of `learning_curve`.

    Raises:
        ValueError: if the ledger has no row of that method; the message lists those it has.
    """
    rows = ledger.comparable(ledger.latest(ledger.read(path)), profile)
    rows = [row for row in rows if (row["task"], row["metric"]) == (task.name, task.metric)]
    mine = [row for row in rows if row["method"] == name]
    if not mine:
        known = ", ".join(dict.fromkeys(row["method"] for row in rows)) or "none"
        raise ValueError(f"The reference has no rows of {name!r} for {task.name}; it has {known}.")
    budgets = sorted({row["labels"] for row in mine})
    return {n: ledger.outcomes([row for row in mine if row["labels"] == n]) for n in budgets}


@dataclass(frozen=True)
class Cell:
    """One training and its answers, with the cost of both.

    `correct` is true or false (items,), or counts (items, 3) where names are found.
    """

    correct: np.ndarray
    labels: int
    seed: int
    fitted: Fitted
    train: Cost
    evaluate: Cost


def run_cell(
    method: Method,
    corpus: Corpus,
    budget: int | str,
    seed: int,
    configuration: Mapping[str, Any],
    split: str = "validation",
) -> Cell:
    """Train a method on a budget of labels and let it answer a split.

    Args:
        budget: number of labelled target examples, or `"all"`, or 0.
        seed: of the draw and of training.
        configuration: one of the method's.
        split: `"validation"` for sweeps and choices; `"test"` for ledger rows alone.
    """
    labelled = method.task.labelled(corpus, budget, seed)
    if method.prepare:
        method.prepare(corpus, **configuration)
    with measure() as train:
        fitted = method.fit(corpus, labelled, seed, **configuration)
    correct, evaluate = _judged(method, corpus, fitted, split)
    return Cell(correct, len(labelled), seed, fitted, train, evaluate)


def answer(method: Method, corpus: Corpus, cell: Cell, split: str) -> Cell:
    """Let a trained model answer another split: the same `Cell`, other outcomes and cost."""
    correct, evaluate = _judged(method, corpus, cell.fitted, split)
    return replace(cell, correct=correct, evaluate=evaluate)


def _judged(method: Method, corpus: Corpus, fitted: Fitted, split: str) -> tuple[np.ndarray, Cost]:
    items = method.task.splits(corpus)[split]
    with measure() as cost:
        predictions = fitted.predict(items[method.task.given][:])
    return method.task.judge(items, predictions), cost


def choose(method: Method, corpus: Corpus) -> dict:
    """Freeze a method's configuration by the one rule of the course.

    Every configuration is trained with seed 0 at the task's two budgets (100 and 1,000 reviews, or
    100 and all tagged sentences; a method that runs at neither uses its last one). The best mean on
    validation wins, the earlier one in a tie. This uses up the validation labels. A single
    configuration is taken without training.

    Returns:
        `{"method", "configuration", "tried": [{"configuration", METRIC: {budget: ...}}]}`.
    """
    task, budgets = method.task, method.choice_budgets(corpus.profile)
    if len(method.configurations) == 1:
        only = dict(method.configurations[0])
        return {"method": method.name, "configuration": only, "tried": [{"configuration": only}]}
    tried = []
    for configuration in method.configurations:
        cells = {str(n): run_cell(method, corpus, n, 0, configuration) for n in budgets}
        scores = {n: task.score(cell.correct) for n, cell in cells.items()}
        tried.append({"configuration": dict(configuration), task.metric: scores})
    means = [np.mean(list(entry[task.metric].values())) for entry in tried]
    best = tried[int(np.argmax(means))]["configuration"]
    return {"method": method.name, "configuration": best, "tried": tried}


def learning_curve(
    method: Method,
    corpus: Corpus,
    budgets: tuple[int | str, ...],
    configuration: Mapping[str, Any],
    split: str = "validation",
) -> dict[int, np.ndarray]:
    """Outcomes at several budgets: {labels: (seeds, items), or (seeds, items, 3) for span F1}."""
    curve = {}
    for budget in budgets:
        cells = [
            run_cell(method, corpus, budget, seed, configuration, split)
            for seed in method.seeds(corpus.profile, budget)
        ]
        curve[cells[0].labels] = np.stack([cell.correct for cell in cells])
    return curve


def to_row(
    run: Run, method: Method, corpus: Corpus, cell: Cell, found: Measurement | None = None
) -> dict:
    """Make a ledger row from a cell that answered the test split, or from what was found later."""
    task, fitted = method.task, cell.fitted
    found = found or Measurement(task.name, task.to_row, cell.correct, cell.evaluate)
    return found.to_row(
        run,
        found.outcomes,
        era=method.era,
        task=found.task,
        method=method.name,
        labels=cell.labels,
        source_labels=len(corpus.imdb["train"]) if method.uses_source else 0,
        seed=cell.seed,
        size=ledger.Size(
            fitted.trainable_parameters, fitted.total_parameters, fitted.artefact_bytes
        ),
        train=cell.train,
        evaluate=found.cost,
    )


def to_rows(run: Run, method: Method, corpus: Corpus, budget: int | str, cell: Cell) -> list[dict]:
    """All ledger rows of a cell: its own, and one for each later measurement at this budget."""
    measure_later = method.afterwards.get(budget, lambda corpus, fitted: [])
    later = measure_later(corpus, cell.fitted)
    return [to_row(run, method, corpus, cell, found) for found in (None, *later)]
