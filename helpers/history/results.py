"""Look up measured results: a ledger's rows, by method and budget, paired for comparison."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from helpers import evaluation, ledger

__all__ = ["FILM_NER", "METRICS", "REVIEWS", "At", "Results"]

REVIEWS, FILM_NER = "rotten_tomatoes", "film_ner"
METRICS = {
    REVIEWS: "accuracy",
    FILM_NER: "span_f1",
    "news": "perplexity",
    "imdb_text": "perplexity",
    "news_text": "perplexity",
    "minimal_pairs": "minimal_pairs",
    "film_ner_types": "accuracy",
}
"""The tasks that this history draws on, and the metric of their rows."""


class At(NamedTuple):
    """A place in the grid: a method at a budget of labels, asked a task.

    `method` may be several names, of which the first that has rows counts: the same model may have
    been signed by two notebooks.
    """

    method: str | tuple[str, ...]
    labels: int
    task: str = REVIEWS


class Results:
    """The rows of one ledger in one profile.

    A row that is not there is `None` everywhere, never an error: the page can be drawn before
    everything was measured.

    Args:
        rows: of `ledger.load`, or dicts; of several profiles or tasks, as they come.
        profile: those of other profiles answered other test sets, and are left out.
        draws: of every bootstrap taken from these rows.
    """

    def __init__(self, rows, profile: str = "cpu", draws: int = evaluation.DRAWS):
        records = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
        self.profile, self.draws = profile, draws
        self.all = [row for row in records if row["profile"] == profile]
        self.compared = {}  # what `compare` found before: a bootstrap takes a while
        self._rows = defaultdict(list)
        for row in self.all:
            if METRICS.get(row["task"]) == row["metric"]:
                self._rows[row["task"], row["method"], row["labels"]].append(row)

    def __len__(self) -> int:
        return len(self.all)

    def rows(self, at: At) -> list[dict]:
        """Rows of a place, ordered by seed; none where nothing was measured."""
        names = (at.method,) if isinstance(at.method, str) else at.method
        for name in names:
            found = self._rows.get((at.task, name, at.labels))
            if found:
                return sorted(found, key=lambda row: row["seed"])
        return []

    def values(self, at: At) -> np.ndarray:
        """The metric's value, one a seed: (seeds,)."""
        return np.array([row["value"] for row in self.rows(at)])

    def budgets(self, method: str, task: str = REVIEWS) -> list[int]:
        """Budgets of labels at which a method was measured, smallest first."""
        return sorted(n for asked, name, n in self._rows if (asked, name) == (task, method))

    def methods(self, task: str = REVIEWS) -> list[str]:
        """Names of the methods that were asked a task, in the order of their rows."""
        return list(dict.fromkeys(name for asked, name, _ in self._rows if asked == task))

    def mean(self, at: At, key: str) -> float | None:
        """Mean over seeds of any number of a row, such as `"train_seconds"`."""
        rows = self.rows(at)
        return float(np.mean([row[key] for row in rows])) if rows else None

    def median(self, at: At, key: str) -> float | None:
        """Median over seeds, for seconds and memory: one disturbed run must not set the price."""
        rows = self.rows(at)
        return float(np.median([row[key] for row in rows])) if rows else None

    def pair(self, first: At, second: At) -> tuple[np.ndarray, np.ndarray] | None:
        """Outcomes of two places on the seeds that both have: (seeds, items, ...) each.

        Seed k draws the same labels for every method. A place with one row (asking, which has no
        seeds, or a run too long to repeat) is repeated for every seed of the other.

        Returns:
            None if one of the two was not measured, or they did not answer the same items.
        """
        one, other = self.rows(first), self.rows(second)
        shared = {row["seed"] for row in one} & {row["seed"] for row in other}
        if min(len(one), len(other)) > 1:
            one, other = ([r for r in rows if r["seed"] in shared] for rows in (one, other))
        a, b = outcomes(one), outcomes(other)
        if a is None or b is None or a.shape[1] != b.shape[1]:
            return None
        size = max(len(a), len(b))
        return _repeated(a, size), _repeated(b, size)


def outcomes(rows: list[dict]) -> np.ndarray | None:
    """Stack the stored outcomes of rows that answered the same items; None if they did not."""
    if not rows or any(not row["correct"] for row in rows):
        return None
    if rows[0]["metric"] in ("span_f1", "perplexity"):
        sizes = {len(row["correct"]) for row in rows}
        return np.array([row["correct"] for row in rows], float) if len(sizes) == 1 else None
    sizes = {_items(row) for row in rows}
    return ledger.outcomes(rows, sizes.pop()) if len(sizes) == 1 else None


def _items(row: dict) -> int:
    """How many items a row's hex digits stand for: the last digit may be filled up with zeros."""
    digits = len(row["correct"])
    right = int(row["correct"], 16).bit_count()
    return min(round(right / row["value"]), 4 * digits) if row["value"] else 4 * digits


def _repeated(outcomes: np.ndarray, size: int) -> np.ndarray:
    return np.repeat(outcomes, size, axis=0) if len(outcomes) == 1 else outcomes
