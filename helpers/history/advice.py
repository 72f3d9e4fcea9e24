"""What to use: every method of the ledger, compared with what you have and what you can pay."""

from dataclasses import dataclass
from functools import cached_property

from helpers import data
from helpers.history.results import ERA_NAMES, At, Results, is_control
from helpers.history.verdicts import compare

__all__ = ["Advice", "Option", "advise", "option_at"]

WAIT = 5.0  # seconds of training that nobody would choose a worse method for
TEST_REVIEWS = 2 * data.HELD_OUT_PER_LABEL["rotten_tomatoes"]


@dataclass(frozen=True)
class Option:
    """A method at the largest measured budget that your labels allow, and its price.

    Attributes:
        accuracy: on test, mean over seeds.
        train_seconds: on the machine of the ledger, without earlier training on a source or on
            unlabelled text.
        trained: trainable parameters.
        memory_mb: megabytes that training added to the process.
        answer_ms: milliseconds per review, over the whole test set.
        ship_mb: megabytes of what was trained, without the pre-trained model.
        model_mb: megabytes of the whole model, at four bytes per parameter.
        uses_source: whether it needs labels of another corpus.
    """

    era: str
    method: str
    labels: int
    accuracy: float
    seeds: int
    train_seconds: float
    trained: float
    memory_mb: float
    answer_ms: float
    ship_mb: float
    model_mb: float
    uses_source: bool

    @property
    def at(self) -> At:
        """Its place in the grid."""
        return At(self.method, self.labels)


@dataclass(frozen=True)
class Advice:
    """The best option by mean test accuracy (None if none fits), and all that fit, best first."""

    best: Option | None
    fitting: tuple[Option, ...]
    results: Results

    @cached_property
    def enough(self) -> Option | None:
        """The fastest to train of those that are not clearly worse than the best.

        Not clearly worse: the paired interval includes zero. Few seeds give wide intervals, so more
        options count as enough. If the best trains in seconds, it is enough itself.
        """
        if self.best is None or self.best.train_seconds < WAIT:
            return self.best
        near = [self.best]
        for option in self.fitting[1:]:
            gap = compare(self.results, self.best.at, option.at)
            if gap is not None and gap.low <= 0:
                near.append(option)
        return min(near, key=lambda option: option.train_seconds)


def option_at(results: Results, at: At) -> Option | None:
    """Summarise the rows of one place in the grid; None without rows."""
    rows = results.rows(at)
    if not rows:
        return None
    first = rows[0]
    return Option(
        era=first["era"],
        method=first["method"],
        labels=at.labels,
        accuracy=results.mean(at, "value"),
        seeds=len(rows),
        train_seconds=results.median(at, "train_seconds"),
        trained=results.mean(at, "trainable_parameters"),
        memory_mb=results.median(at, "peak_memory_bytes") / 1e6,
        answer_ms=1_000 * results.median(at, "eval_seconds") / TEST_REVIEWS,
        ship_mb=results.mean(at, "artefact_bytes") / 1e6,
        model_mb=4 * results.mean(at, "total_parameters") / 1e6,
        uses_source=bool(first["source_labels"]),
    )


def advise(
    results: Results,
    labels: int,
    *,
    train_seconds: float = float("inf"),
    answer_ms: float = float("inf"),
    ship_mb: float = float("inf"),
    model_mb: float = float("inf"),
    source: bool = False,
) -> Advice:
    """Choose among the measured methods, each at its largest budget within `labels`.

    Choices rest on test accuracies of *our* reviews: a short list to try on yours, not a promise.

    Args:
        train_seconds, answer_ms, ship_mb, model_mb: the most you would pay; see `Option`.
        source: whether a labelled corpus of a similar task is available.
    """
    fitting = []
    for method in results.methods():
        usable = [n for n in results.budgets(method) if n <= labels]
        if not usable or is_control(method):
            continue
        option = option_at(results, At(method, usable[-1]))
        if (
            option.era in ERA_NAMES
            and (source or not option.uses_source)
            and option.train_seconds <= train_seconds
            and option.answer_ms <= answer_ms
            and option.ship_mb <= ship_mb
            and option.model_mb <= model_mb
        ):
            fitting.append(option)
    fitting.sort(key=lambda option: -option.accuracy)
    return Advice(fitting[0] if fitting else None, tuple(fitting), results)
