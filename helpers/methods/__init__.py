"""The methods of the comparison: what a method is, what it is asked, and which texts it is given.

Each era declares its own in a module of this package; `helpers.grid` runs them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from helpers import data, evaluation, ledger
from helpers.methods.seeds import EVERY
from helpers.runtime import PROFILES, Cost, Profile

__all__ = ["FILM_NER", "REVIEWS", "Corpus", "Fitted", "Measurement", "Method", "Task"]


@dataclass
class Corpus:
    """The course's texts, and whatever several methods compute from them once."""

    profile: Profile = PROFILES["cpu"]
    _kept: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Return what `make` returned the first time this key was asked for."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @property
    def reviews(self) -> DatasetDict:
        """Rotten Tomatoes: train, validation, test."""
        return self.once("reviews", lambda: data.load_reviews(self.profile))

    @property
    def imdb(self) -> DatasetDict:
        """IMDB: train, validation, test."""
        return self.once("imdb", lambda: data.load_imdb(self.profile))

    @property
    def names(self) -> DatasetDict:
        """Sentences with tagged names: train, validation, test."""
        return self.once("names", lambda: data.load_film_ner(self.profile))

    def labelled(self, budget: int | str, seed: int) -> Dataset:
        """The labelled snippets of a budget; an empty Dataset for 0."""
        return REVIEWS.labelled(self, budget, seed)


class Task:
    """What methods are asked and how their answers are scored.

    A subclass has `name` and `metric`, as in the rows of the ledger; `texts`, the property of a
    corpus that holds its splits; `given`, the column that `predict` receives; and `chosen_at`, the
    two budgets at which a configuration is chosen. It defines:

    - `draw(train, budget, seed)`: labelled examples; larger budgets contain the smaller ones;
    - `judge(items, predictions)`: an outcome per item, true or false (items,) or counts (items, 3);
    - `score(outcomes)`: the metric of one seed's outcomes;
    - `to_row(run, outcomes, **facts)`: a row of the ledger.
    """

    def splits(self, corpus: Corpus) -> DatasetDict:
        """Train, validation and test."""
        return getattr(corpus, self.texts)

    def labelled(self, corpus: Corpus, budget: int | str, seed: int) -> Dataset:
        """The labelled examples of a budget; an empty Dataset for 0."""
        train = self.splits(corpus)["train"]
        return train.select([]) if budget == 0 else self.draw(train, budget, seed)

    def labels(self, corpus: Corpus, budget: int | str) -> int:
        """How many labelled examples a budget means in this corpus."""
        return len(self.splits(corpus)["train"]) if budget == "all" else int(budget)


class _Reviews(Task):
    name, metric, texts, given = "rotten_tomatoes", "accuracy", "reviews", "text"
    chosen_at = (100, 1_000)
    draw = staticmethod(data.label_budget)
    to_row = staticmethod(ledger.accuracy_row)

    def judge(self, items, predictions):
        return np.asarray(predictions) == np.asarray(items["label"][:])

    def score(self, outcomes):
        return float(np.mean(outcomes))


class _FilmNames(Task):
    name, metric, texts, given = "film_ner", "span_f1", "names", "tokens"
    chosen_at = (100, "all")
    score = staticmethod(evaluation.span_f1)
    to_row = staticmethod(ledger.span_row)

    def draw(self, train, budget, seed):
        # Not balanced by type, unlike the budgets of reviews: annotating a sentence gives whatever
        # names happen to be in it; twenty more organisations cannot be ordered.
        wanted = len(train) if budget == "all" else int(budget)
        if wanted > len(train):
            raise ValueError(
                f"A budget of {budget} sentences is more than the {len(train)} there are. Choose a "
                "smaller one."
            )
        ranked = data.ranked_by_hash(train["review"][:], seed=seed)
        return train.select([i for i, rank in ranked if rank < wanted])

    def judge(self, items, predictions):
        guess, truth = (
            [[data.NER_TAGS[tag] for tag in tags] for tags in rows]
            for rows in (predictions, items["tags"][:])
        )
        return np.array(evaluation.span_counts(guess, truth)[0], dtype=int)


REVIEWS = _Reviews()
"""Is a snippet of a review positive? `predict` gives one label per text."""
FILM_NER = _FilmNames()
"""Which words are names, and of what? `predict` gives ids of `data.NER_TAGS`, one per token."""


@dataclass
class Fitted:
    """What training left behind: how to predict, and how large it is.

    `predict` maps texts to labels (texts,), or token lists to lists of tag ids. `model` is the
    trained model, where a method exposes it.
    """

    predict: Callable[[list], Any]
    trainable_parameters: int
    total_parameters: int
    artefact_bytes: int
    model: Any = None


@dataclass(frozen=True)
class Measurement:
    """Another measurement of a trained model, which becomes a ledger row through `to_row`."""

    task: str
    to_row: Callable[..., dict]
    outcomes: np.ndarray
    cost: Cost


@dataclass(frozen=True)
class Method:
    """A way of using labels; its name is unique in figures and in the ledger.

    Attributes:
        configurations: each the keyword arguments of `fit` after the first three; at most six, so
            that no method is tuned harder than another.
        fit: `fit(corpus, labelled, seed, **configuration) -> Fitted`; `labelled` has all columns of
            the task's split.
        plan: {budget: seeds} in running order. Every profile runs the budgets below its smallest
            one: 0, or examples in a prompt.
        prepare: `prepare(corpus, **configuration)` computes what all cells share (vectors of the
            corpora, source weights) before the clock starts.
        uses_source: whether IMDB's labels are used.
        chosen_at: budgets at which its configuration is chosen; by default those of the task.
        afterwards: {budget: `measure(corpus, fitted) -> [Measurement, ...]`}, further measurements
            of a model trained at that budget.
    """

    name: str
    era: str
    configurations: tuple[Mapping[str, Any], ...]
    fit: Callable[..., Fitted]
    plan: Mapping[int | str, int] = field(default_factory=lambda: EVERY)
    prepare: Callable[..., None] | None = None
    uses_source: bool = False
    chosen_at: tuple[int | str, ...] | None = None
    afterwards: Mapping[int | str, Callable[..., list[Measurement]]] = field(default_factory=dict)
    task: Task = REVIEWS

    @property
    def uses_target(self) -> bool:
        """Whether it sees labels of its task."""
        return 0 not in self.plan

    def budgets(self, profile: Profile) -> tuple[int | str, ...]:
        """Budgets of the plan that a profile runs; its own largest one if it runs none of them."""
        few = [budget for budget in self.plan if budget != "all" and budget < profile.budgets[0]]
        own = tuple(budget for budget in self.plan if budget in (*few, *profile.budgets))
        return own or profile.budgets[-1:]

    def seeds(self, profile: Profile, budget: int | str) -> range:
        """Seeds to run at a budget: as many as planned, at most as many as the profile has."""
        planned = self.plan.get(budget, max(self.plan.values()))
        return range(min(planned, profile.seeds))

    def choice_budgets(self, profile: Profile) -> tuple[int | str, ...]:
        """Budgets at which its configuration is chosen; its last one if it runs at no other."""
        budgets = self.budgets(profile)
        preferred = self.chosen_at or self.task.chosen_at
        return tuple(budget for budget in preferred if budget in budgets) or budgets[-1:]
