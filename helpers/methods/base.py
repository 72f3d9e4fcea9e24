"""What a method is, what it is asked, and the texts that it is given.

A `Method` is declared in a few lines, in the module of its era; `helpers.grid` trains and answers
with it. Whatever differs between the two tasks of the comparison stands in a subclass of `Task`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from helpers import data, evaluation, ledger
from helpers.runtime import PROFILES, Cost, Profile

__all__ = [
    "EVERY",
    "FILM_NER",
    "HEAVY",
    "NO_LABELS",
    "REVIEWS",
    "SETTLED",
    "UP_TO_1_000",
    "Corpus",
    "Fitted",
    "Measurement",
    "Method",
    "Task",
]

MOST_CONFIGURATIONS = 6

EVERY = {32: 5, 100: 5, 320: 5, 1_000: 3, 3_200: 3, "all": 3}
"""A plan says how many seeds are run at each budget of labels; this is the plan of most methods."""
SETTLED = {**EVERY, "all": 1}
"""For a method without random numbers: trained on all labels, it is the same under every seed."""
HEAVY = {32: 3, 100: 3, 320: 3, 1_000: 3, 3_200: 1, "all": 1}
"""For a method that trains for minutes."""
UP_TO_1_000 = {32: 3, 100: 3, 320: 3, 1_000: 3}
NO_LABELS = {0: 1}
"""For a method that sees no label of the task."""


@dataclass
class Corpus:
    """The course's texts, and whatever several methods compute from them once."""

    profile: Profile = PROFILES["cpu"]
    _kept: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Give what `make` returned the first time this key was asked for."""
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
        """Sentences with their names tagged: train, validation, test."""
        return self.once("names", lambda: data.load_film_ner(self.profile))

    def labelled(self, budget: int | str, seed: int) -> Dataset:
        """The labelled snippets of a budget; an empty Dataset for 0."""
        return REVIEWS.labelled(self, budget, seed)


class Task:
    """What methods are asked, and how their answers are judged; each task is a subclass.

    A task has a `name` and a `metric`, as rows of the ledger have them; `given`, the column of a
    split that a method's `predict` is given; and `chosen_at`, the two budgets at which a
    configuration is chosen. It defines:

    - `splits(corpus)`: train, validation and test;
    - `draw(train, budget, seed)`: labelled examples, those of small budgets among those of larger;
    - `judge(items, predictions)`: an outcome per item, true or false (items,) or counts (items, 3);
    - `score(outcomes)`: the metric of one seed's outcomes;
    - `to_row(run, outcomes, **facts)`: a row of the ledger.
    """

    def labelled(self, corpus: Corpus, budget: int | str, seed: int) -> Dataset:
        """The labelled examples of a budget; an empty Dataset for 0."""
        train = self.splits(corpus)["train"]
        return train.select([]) if budget == 0 else self.draw(train, budget, seed)

    def labels(self, corpus: Corpus, budget: int | str) -> int:
        """How many labelled examples a budget means in this corpus."""
        return len(self.splits(corpus)["train"]) if budget == "all" else int(budget)


class _Reviews(Task):
    name, metric, given, chosen_at = "rotten_tomatoes", "accuracy", "text", (100, 1_000)

    def splits(self, corpus):
        return corpus.reviews

    def draw(self, train, budget, seed):
        return data.label_budget(train, budget, seed)

    def judge(self, items, predictions):
        return np.asarray(predictions) == np.asarray(items["label"][:])

    def score(self, outcomes):
        return float(np.mean(outcomes))

    def to_row(self, run, outcomes, **facts):
        return ledger.accuracy_row(run, outcomes, **facts)


class _FilmNames(Task):
    name, metric, given, chosen_at = "film_ner", "span_f1", "tokens", (100, "all")

    def splits(self, corpus):
        return corpus.names

    def draw(self, train, budget, seed):
        # Not balanced by type, unlike the budgets of reviews: who has a sentence annotated gets the
        # names that happen to be in it, and cannot buy twenty more organisations.
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

    def score(self, outcomes):
        return evaluation.span_f1(outcomes)

    def to_row(self, run, outcomes, **facts):
        return ledger.span_row(run, outcomes, **facts)


REVIEWS = _Reviews()
"""Is a snippet of a review positive? `predict` gives one label per text."""
FILM_NER = _FilmNames()
"""Which words are names, and of what? `predict` gives ids of `data.NER_TAGS`, one per token."""


@dataclass
class Fitted:
    """What training left behind: how to predict, and how large it is.

    `predict` maps a list of what the task gives to answers: texts to labels (texts,), or token
    lists to lists of tag ids. `model` is what was trained, where a method hands it out.
    """

    predict: Callable[[list], Any]
    trainable_parameters: int
    total_parameters: int
    artefact_bytes: int
    model: Any = None


@dataclass(frozen=True)
class Measurement:
    """Something else that was measured of a trained model, for a row of its own in the ledger.

    `to_row` is the function of `ledger` that makes this row from the outcomes.
    """

    task: str
    to_row: Callable[..., dict]
    outcomes: np.ndarray
    cost: Cost


@dataclass(frozen=True)
class Method:
    """A way of using labels: what it is called, what it tries, how it is fitted.

    Attributes:
        name: of its line in every figure and of its rows in the ledger; no two methods share one.
        era: to which its idea belongs.
        configurations: at most six, each the keyword arguments of `fit` beyond the first three.
        fit: `fit(corpus, labelled, seed, **configuration) -> Fitted`; `labelled` is a Dataset of
            target examples, with all columns of the task's split.
        plan: {budget: seeds}, in the order in which they are run. Budgets below a profile's
            smallest are examples in a prompt, or 0; every profile runs them.
        prepare: `prepare(corpus, **configuration)` computes what every cell shares (vectors of the
            corpora, source weights) before the clock starts.
        uses_source: whether IMDB's labels are used.
        chosen_at: budgets at which its configuration is chosen; those of the task without.
        afterwards: {budget: `measure(corpus, fitted) -> [Measurement, ...]`}, what else is measured
            of a model that was trained on so many labels.
        task: what it is asked.
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

    def __post_init__(self):
        """Hold the rule that no method is tuned harder than another."""
        if not 1 <= len(self.configurations) <= MOST_CONFIGURATIONS:
            raise ValueError(
                f"{self.name}: {len(self.configurations)} configurations; the comparison allows "
                f"1 to {MOST_CONFIGURATIONS}."
            )

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
        """Seeds to run at a budget: as many as planned, and no more than a profile has."""
        planned = self.plan.get(budget, max(self.plan.values()))
        return range(min(planned, profile.seeds))

    def choice_budgets(self, profile: Profile) -> tuple[int | str, ...]:
        """Budgets at which its configuration is chosen: its last one if it runs at no other."""
        budgets = self.budgets(profile)
        preferred = self.chosen_at or self.task.chosen_at
        return tuple(budget for budget in preferred if budget in budgets) or budgets[-1:]
