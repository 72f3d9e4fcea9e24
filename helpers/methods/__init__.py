"""A method, a budget, a seed: one cell of the comparison, computed the same way for every era.

A `Method` is declared once, in a few lines (see `classical`), for one `Task` (see `tasks`).
`choose` freezes its configuration by the course's rule, `run_cell` trains and answers a split,
`to_row` signs the result for the ledger, and `benchmark` runs the whole grid.
"""

import importlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from helpers import ledger
from helpers.methods.tasks import CHOICE_BUDGETS, FILM_NER, REVIEWS, Corpus, Task
from helpers.runtime import ROOT, Cost, Profile, Run, measure

__all__ = [
    "CHOICE_BUDGETS",
    "ERAS",
    "FILM_NER",
    "PARTS",
    "REVIEWS",
    "Cell",
    "Corpus",
    "Fitted",
    "Method",
    "Task",
    "answer",
    "choose",
    "learning_curve",
    "methods_of",
    "reference_choices",
    "reference_curve",
    "run_cell",
    "to_row",
]

ERAS = ("classical", "pretraining", "embeddings", "bert", "gpt", "lora")
"""Eras whose methods for reviews are declared, each in the module of its name beside this one."""

PARTS = (*ERAS, "named_entities")
"""All modules that declare methods. One for another task holds the methods of every era for it."""

MOST_CONFIGURATIONS = 6
CHOICES = ROOT / "data" / "reference_choices.json"


@dataclass
class Fitted:
    """What training left behind: how to predict, and what it weighs.

    `predict` maps what its task gives to answers: texts to an array of labels, shape (texts,), or
    lists of tokens to lists of tag ids. `model` is what was trained, to look inside, where a method
    hands it out.
    """

    predict: Callable[[list], Any]
    trainable_parameters: int
    total_parameters: int
    artefact_bytes: int
    model: Any = None


@dataclass(frozen=True)
class Method:
    """A way of using labels, declared: what it is called, what it tries, how it is fitted.

    Attributes:
        era: to which its idea belongs, one of `ERAS`.
        name: of its line in every figure and of its rows in the ledger; no two methods share one.
        configurations: at most six, each the keyword arguments of `fit` beyond the first three.
        fit: `fit(corpus, labelled, seed, **configuration) -> Fitted`; `labelled` is a Dataset of
            target examples, with all columns of the task's split.
        prepare: `prepare(corpus, **configuration)` computes what every cell shares (vectors of the
            corpora, source weights) before the clock starts; None if there is nothing.
        uses_source: whether IMDB's labels are used.
        uses_target: False for a method that sees no target label; its one row stands at 0.
        random: whether the seed matters once the labels are given. Where it does not, "all" labels
            are run with one seed, since every seed would give the same model.
        heavy: whether a run takes minutes: three seeds up to 1,000 labels, then one.
        smallest, largest: budgets, for what would take too long at all of them; None for all.
        only: budgets of its own, in the order in which they are run: for examples in a prompt,
            which are fewer than any of the task's, or to leave out some that take too long.
        once: budgets with one seed, where more would take too long.
        chosen_at: budgets of its own for choosing, where those of the task take too long.
        afterwards: `afterwards(run, method, corpus, cell) -> rows` looks at what a cell trained
            before it is let go; the rows join the cell's own in the ledger.
        afterwards_at: budgets at which it does.
        notebook: where it is taught.
        task: what it is asked.
    """

    era: str
    name: str
    configurations: tuple[Mapping[str, Any], ...]
    fit: Callable[..., Fitted]
    prepare: Callable[..., None] | None = None
    uses_source: bool = False
    uses_target: bool = True
    random: bool = True
    heavy: bool = False
    smallest: int | None = None
    largest: int | None = None
    only: tuple[int | str, ...] | None = None
    once: tuple[int | str, ...] = ()
    chosen_at: tuple[int | str, ...] | None = None
    afterwards: Callable[..., list[dict]] | None = None
    afterwards_at: tuple[int | str, ...] = ()
    notebook: str = ""
    task: Task = REVIEWS

    def __post_init__(self):
        """Hold the rule that no method is tuned harder than another."""
        if not 1 <= len(self.configurations) <= MOST_CONFIGURATIONS:
            raise ValueError(
                f"{self.name}: {len(self.configurations)} configurations; the comparison allows "
                f"1 to {MOST_CONFIGURATIONS}."
            )

    def seeds(self, profile: Profile, budget: int | str) -> range:
        """Seeds to run at a budget: one where nothing is random any more."""
        settled = not self.uses_target or (budget == "all" and not self.random)
        if settled or budget in self.once:
            return range(1)
        seeds = profile.seeds_for(budget)
        if self.heavy:
            return seeds[: 3 if self.task.size(budget) <= 1_000 else 1]
        return seeds

    def budgets(self, profile: Profile) -> tuple[int | str, ...]:
        """Budgets to run: those of the task in this profile, or 0 alone without target labels."""
        if not self.uses_target:
            return (0,)
        lowest, highest = self.smallest or 0, self.largest or math.inf
        budgets = self.task.budgets_in(profile)
        if self.only:
            least = self.task.size(budgets[0])  # examples in a prompt are fewer than any budget
            own = tuple(b for b in self.only if b in budgets or self.task.size(b) < least)
            budgets = own or budgets[-1:]  # a small profile runs none of them
        return tuple(b for b in budgets if lowest <= self.task.size(b) <= highest)

    def choice_budgets(self, profile: Profile) -> tuple[int | str, ...]:
        """Budgets at which its configuration is chosen: its largest if it runs at no other."""
        budgets = self.budgets(profile)
        task = self.chosen_at or self.task.choice_budgets_in(profile)
        return tuple(b for b in task if b in budgets) or budgets[-1:]


class Cell(NamedTuple):
    """One training and its answers."""

    correct: np.ndarray  # (items,) right or wrong; (items, 3) counts where names are found
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
        method: what to train.
        corpus: the texts; what its methods share is computed once.
        budget: labelled target examples, or `"all"`, or 0.
        seed: of the draw and of training.
        configuration: one of the method's.
        split: `"validation"` for sweeps and choices; `"test"` for ledger rows alone.

    Returns:
        Outcomes in the split's order, and both costs.
    """
    labelled = method.task.labelled(corpus, budget, seed)
    if method.prepare:
        method.prepare(corpus, **configuration)
    with measure() as train:
        fitted = method.fit(corpus, labelled, seed, **configuration)
    untested = Cell(np.empty(0), len(labelled), seed, fitted, train, train)
    return answer(method, corpus, untested, split)


def answer(method: Method, corpus: Corpus, cell: Cell, split: str) -> Cell:
    """Let what was trained answer another split: the same `Cell`, its outcomes and their cost."""
    items = method.task.splits(corpus)[split]
    with measure() as evaluate:
        predictions = cell.fitted.predict(items[method.task.given][:])
    return cell._replace(correct=method.task.judge(items, predictions), evaluate=evaluate)


def choose(method: Method, corpus: Corpus) -> dict:
    """Freeze a method's configuration by the one rule of the course.

    Every configuration is trained at the task's two budgets (100 and 1,000 labelled reviews, or 100
    and all tagged sentences; its largest for a method that runs at neither), seed 0; the best mean
    on validation wins, the earlier one in a tie.
    The validation labels are spent by this. A lone configuration is taken as it is and spends none.

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
        figures = {n: task.figure(cell.correct) for n, cell in cells.items()}
        tried.append({"configuration": dict(configuration), task.metric: figures})
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


def to_row(run: Run, method: Method, corpus: Corpus, cell: Cell) -> dict:
    """Sign a cell answered on test, as a row of the ledger."""
    return method.task.sign(
        run,
        cell.correct,
        era=method.era,
        task=method.task.name,
        method=method.name,
        labels=cell.labels,
        source_labels=len(corpus.imdb["train"]) if method.uses_source else 0,
        seed=cell.seed,
        trainable_parameters=cell.fitted.trainable_parameters,
        total_parameters=cell.fitted.total_parameters,
        train=cell.train,
        evaluate=cell.evaluate,
        artefact_bytes=cell.fitted.artefact_bytes,
    )


def methods_of(part: str) -> dict[str, Method]:
    """The methods that a part of the grid declares, by name, in the order of its module.

    Args:
        part: one of `PARTS`: an era, or `"named_entities"`.

    Raises:
        ValueError: if there is no such part; the message lists those there are.
    """
    if part not in PARTS:
        raise ValueError(f"No methods are declared for {part!r}; there are {', '.join(PARTS)}.")
    module = importlib.import_module(f"helpers.methods.{part}")
    return {method.name: method for method in module.METHODS}


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
    return {n: task.restore([row for row in mine if row["labels"] == n]) for n in budgets}
