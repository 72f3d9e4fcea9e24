"""What is asked of a method: a task's splits, its budgets of labels, and how answers are judged.

The grid compares methods on two tasks. Whatever differs between them stands in a `Task`; whatever a
cell of the grid does, it does the same way for both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers import data, evaluation, ledger
from helpers.runtime import PROFILES, Profile

__all__ = ["CHOICE_BUDGETS", "FILM_NER", "REVIEWS", "Corpus", "Task"]

CHOICE_BUDGETS = (100, 1_000)


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
    def reviews(self):
        """Rotten Tomatoes: train, validation, test."""
        return self.once("reviews", lambda: data.load_reviews(self.profile))

    @property
    def imdb(self):
        """IMDB: train, validation, test."""
        return self.once("imdb", lambda: data.load_imdb(self.profile))

    @property
    def names(self):
        """Sentences with their names tagged: train, validation, test."""
        return self.once("names", lambda: data.load_film_ner(self.profile))

    def labelled(self, budget: int | str, seed: int):
        """The labelled snippets of a budget; an empty Dataset for 0."""
        return REVIEWS.labelled(self, budget, seed)


@dataclass(frozen=True)
class Task:
    """A question that methods answer, with all that the grid must know of it.

    Attributes:
        name: as rows of the ledger have it.
        metric: of its rows.
        splits: `splits(corpus)` gives train, validation and test.
        draw: `draw(train, budget, seed)` gives the labelled examples of a budget.
        given: the column of a split that a method's `predict` is given, as a list.
        judge: `judge(split, predictions)` gives one outcome an item: booleans (items,), or counts
            (items, 3) of names found, invented and missed.
        figure: outcomes of one seed -> one number, the metric's value.
        sign: `sign(run, outcomes, **facts)` makes a row of the ledger.
        restore: rows of the ledger, one a seed -> outcomes (seeds, items, ...).
        train_items: labelled examples behind the budget `"all"`.
        choice_budgets: the two budgets at which a configuration is chosen.
        budgets: those of the learning curve; None for all of a profile's.
    """

    name: str
    metric: str
    splits: Callable[[Corpus], Any]
    draw: Callable[[Any, int | str, int], Any]
    given: str
    judge: Callable[[Any, Any], np.ndarray]
    figure: Callable[[np.ndarray], float]
    sign: Callable[..., dict]
    restore: Callable[[list[dict]], np.ndarray]
    train_items: int
    choice_budgets: tuple[int | str, ...]
    budgets: tuple[int | str, ...] | None = None

    def budgets_in(self, profile: Profile) -> tuple[int | str, ...]:
        """Budgets of the learning curve that a profile runs, smallest first."""
        if self.budgets is None:
            return profile.budgets
        return tuple(budget for budget in profile.budgets if budget in self.budgets)

    def choice_budgets_in(self, profile: Profile) -> tuple[int | str, ...]:
        """Budgets that choose a configuration; the largest there is where a profile has neither."""
        runs = self.budgets_in(profile)
        return tuple(budget for budget in self.choice_budgets if budget in runs) or runs[-1:]

    def size(self, budget: int | str) -> int:
        """How many labelled examples a budget means when nothing is cut."""
        return self.train_items if budget == "all" else int(budget)

    def labels(self, corpus: Corpus, budget: int | str) -> int:
        """How many labelled examples a budget means in this corpus."""
        return len(self.splits(corpus)["train"]) if budget == "all" else int(budget)

    def labelled(self, corpus: Corpus, budget: int | str, seed: int):
        """The labelled examples of a budget; an empty Dataset for 0."""
        train = self.splits(corpus)["train"]
        return train.select([]) if budget == 0 else self.draw(train, budget, seed)


def _right(split, predictions) -> np.ndarray:
    return np.asarray(predictions) == np.asarray(split["label"][:])


def _stored_bits(rows: list[dict]) -> np.ndarray:
    return ledger.outcomes(rows, 2 * data.HELD_OUT_PER_LABEL["rotten_tomatoes"])


REVIEWS = Task(
    name="rotten_tomatoes",
    metric="accuracy",
    splits=lambda corpus: corpus.reviews,
    draw=data.label_budget,
    given="text",
    judge=_right,
    figure=lambda correct: float(np.mean(correct)),
    sign=ledger.accuracy_row,
    restore=_stored_bits,
    train_items=6_398,
    choice_budgets=CHOICE_BUDGETS,
)
"""Is a snippet of a review positive? `predict` gives one label a text."""


def _draw_sentences(train, budget: int | str, seed: int):
    """The first sentences of a seeded shuffle, so that small budgets are part of larger ones.

    Not balanced by type, unlike the budgets of reviews: who has a sentence annotated gets the names
    that happen to be in it, and cannot buy twenty more organisations by the piece.
    """
    wanted = len(train) if budget == "all" else int(budget)
    if wanted > len(train):
        raise ValueError(
            f"A budget of {budget} sentences is more than the {len(train)} there are. Choose a "
            "smaller one."
        )
    # A keyed hash orders them: unlike a generator's shuffle it cannot change with a version.
    keys = [data.text_hash(f"{seed}:{review}") for review in train["review"][:]]
    return train.select(sorted(range(len(train)), key=keys.__getitem__)[:wanted])


def _spans(split, predictions) -> np.ndarray:
    guess, truth = (
        [[data.NER_TAGS[tag] for tag in tags] for tags in rows]
        for rows in (predictions, split["tags"][:])
    )
    return np.array(evaluation.span_counts(guess, truth)[0], dtype=int)


FILM_NER = Task(
    name="film_ner",
    metric="span_f1",
    splits=lambda corpus: corpus.names,
    draw=_draw_sentences,
    given="tokens",
    judge=_spans,
    figure=evaluation.span_f1,
    sign=ledger.span_row,
    restore=ledger.span_outcomes,
    train_items=600,
    choice_budgets=(100, "all"),
    budgets=(32, 100, 320, "all"),
)
"""Which words are names, and of what? `predict` gives ids of `data.NER_TAGS`, one a token."""
