"""A method, a budget, a seed: one cell of the comparison, computed the same way for every era.

A `Method` is declared once, in a few lines (see `classical`). `choose` freezes its configuration by
the course's rule, `run_cell` trains and answers a split, `to_row` signs the result for the ledger,
and `benchmark` runs the whole grid.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from helpers import data, ledger
from helpers.runtime import PROFILES, ROOT, Cost, Profile, Run, measure

__all__ = [
    "CHOICE_BUDGETS",
    "ERAS",
    "Cell",
    "Corpus",
    "Fitted",
    "Method",
    "choose",
    "learning_curve",
    "methods_of",
    "reference_choices",
    "reference_curve",
    "run_cell",
    "to_row",
]

ERAS = ("classical", "pretraining", "embeddings", "bert")
"""Eras whose methods are declared, each in the module of its name beside this one."""

CHOICE_BUDGETS = (100, 1_000)
MOST_CONFIGURATIONS = 6
CHOICES = ROOT / "data" / "reference_choices.json"
TASK = "rotten_tomatoes"


@dataclass
class Fitted:
    """What training left behind: how to predict, and what it weighs.

    `predict` maps a list of texts to an array of labels, shape (texts,).
    """

    predict: Callable[[list[str]], np.ndarray]
    trainable_parameters: int
    total_parameters: int
    artefact_bytes: int


@dataclass(frozen=True)
class Method:
    """A way of using labels, declared: what it is called, what it tries, how it is fitted.

    Attributes:
        era: one of `ERAS`.
        name: of its line in every figure and of its rows in the ledger.
        configurations: at most six, each the keyword arguments of `fit` beyond the first three.
        fit: `fit(corpus, labelled, seed, **configuration) -> Fitted`; `labelled` is a Dataset of
            target examples.
        prepare: `prepare(corpus, **configuration)` computes what every cell shares (vectors of the
            corpora, source weights) before the clock starts; None if there is nothing.
        uses_source: whether IMDB's labels are used.
        uses_target: False for a method that sees no target label; its one row stands at 0.
        random: whether the seed matters once the labels are given. Where it does not, "all" labels
            are run with one seed, since every seed would give the same model.
        heavy: whether a run takes minutes: three seeds up to 1,000 labels, then one.
        notebook: where it is taught.
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
    notebook: str = ""

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
        if settled:
            return range(1)
        seeds = profile.seeds_for(budget)
        if self.heavy:
            few = isinstance(budget, int) and budget <= 1_000
            return seeds[: 3 if few else 1]
        return seeds

    def budgets(self, profile: Profile) -> tuple[int | str, ...]:
        """Budgets to run: those of the profile, or 0 alone without target labels."""
        return profile.budgets if self.uses_target else (0,)


@dataclass
class Corpus:
    """The reviews, and whatever several methods compute from them once."""

    profile: Profile = PROFILES["cpu"]
    _kept: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Give what `make` returned the first time this key was asked for."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @property
    def reviews(self):
        """Rotten Tomatoes: train, validation, test."""
        return self.once("reviews", lambda: data.load_reviews(self.profile))

    @property
    def imdb(self):
        """IMDB: train, validation, test."""
        return self.once("imdb", lambda: data.load_imdb(self.profile))

    def labelled(self, budget: int | str, seed: int):
        """The target examples of a budget; an empty Dataset for 0."""
        train = self.reviews["train"]
        return train.select([]) if budget == 0 else data.label_budget(train, budget, seed)


class Cell(NamedTuple):
    """One training and its answers."""

    correct: np.ndarray  # (items,) right or wrong
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
        corpus: the reviews; what its methods share is computed once.
        budget: labelled target examples, or `"all"`, or 0.
        seed: of the draw and of training.
        configuration: one of the method's.
        split: `"validation"` for sweeps and choices; `"test"` for ledger rows alone.

    Returns:
        The `Cell`: outcomes in the split's order, and both costs.
    """
    labelled, items = corpus.labelled(budget, seed), corpus.reviews[split]
    if method.prepare:
        method.prepare(corpus, **configuration)
    with measure() as train:
        fitted = method.fit(corpus, labelled, seed, **configuration)
    with measure() as evaluate:
        predictions = np.asarray(fitted.predict(items["text"][:]))
    correct = predictions == np.asarray(items["label"][:])
    return Cell(correct, len(labelled), seed, fitted, train, evaluate)


def choose(method: Method, corpus: Corpus) -> dict:
    """Freeze a method's configuration by the one rule of the course.

    Every configuration is trained with 100 and with 1,000 labels, seed 0; the best mean validation
    accuracy wins, the earlier one in a tie. The validation labels are spent by this.

    Returns:
        `{"method", "configuration", "tried": [{"configuration", "accuracy": {budget: ...}}]}`.
    """
    known = [n for n in CHOICE_BUDGETS if n in corpus.profile.budgets] or corpus.profile.budgets[
        -1:
    ]
    budgets = known if method.uses_target else (0,)
    tried = []
    for configuration in method.configurations:
        cells = {str(n): run_cell(method, corpus, n, 0, configuration) for n in budgets}
        accuracy = {n: float(cell.correct.mean()) for n, cell in cells.items()}
        tried.append({"configuration": dict(configuration), "accuracy": accuracy})
    means = [np.mean(list(entry["accuracy"].values())) for entry in tried]
    best = tried[int(np.argmax(means))]["configuration"]
    return {"method": method.name, "configuration": best, "tried": tried}


def learning_curve(
    method: Method,
    corpus: Corpus,
    budgets: tuple[int | str, ...],
    configuration: Mapping[str, Any],
    split: str = "validation",
) -> dict[int, np.ndarray]:
    """Outcomes at several budgets: {labels: booleans (seeds, items)}."""
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
    return ledger.accuracy_row(
        run,
        cell.correct,
        era=method.era,
        task=TASK,
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


def methods_of(era: str) -> dict[str, Method]:
    """The methods an era declares, by name, in the order of its module.

    Raises:
        ValueError: if the era declares none; the message lists those that do.
    """
    if era not in ERAS:
        raise ValueError(f"No methods are declared for {era!r}; there are {', '.join(ERAS)}.")
    module = importlib.import_module(f"helpers.experiments.{era}")
    return {method.name: method for method in module.METHODS}


def reference_choices(path: Path = CHOICES) -> dict[str, dict]:
    """The frozen choices behind the reference ledger, by method name, as `choose` returns them."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def reference_curve(
    name: str, path: Path = ledger.REFERENCE, profile: str = "cpu"
) -> dict[int, np.ndarray]:
    """A method's line in the reference ledger: {labels: test outcomes, booleans (seeds, items)}.

    Raises:
        ValueError: if the ledger has no row of that method; the message lists those it has.
    """
    rows = [row for row in ledger.latest(ledger.read(path)) if row["task"] == TASK]
    rows = [row for row in rows if row["profile"] == profile]
    mine = [row for row in rows if row["method"] == name]
    if not mine:
        known = ", ".join(dict.fromkeys(row["method"] for row in rows)) or "none"
        raise ValueError(f"The reference has no rows of {name!r}; it has {known}.")
    items = 2 * data.HELD_OUT_PER_LABEL[TASK]
    budgets = sorted({row["labels"] for row in mine})
    return {n: ledger.outcomes([r for r in mine if r["labels"] == n], items) for n in budgets}
