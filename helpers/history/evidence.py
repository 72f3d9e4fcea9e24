"""Ways to test a claim: comparisons that are computed from results.

All are paired (same seeds and test items on both sides) and give None where rows are missing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from helpers import evaluation
from helpers.evaluation import Interval
from helpers.history.results import REVIEWS, At, Results

__all__ = [
    "CONTROLS",
    "FEW",
    "Claim",
    "Measured",
    "Test",
    "best_of",
    "compare",
    "difference",
    "gain_with_fewer",
    "margin_over_best",
    "perplexity_change",
    "relative_change",
]

FEW = 320
"""Labels at which claims are tested, unless they name another number: the course's middle."""

CONTROLS = ("random", "from scratch", "zero-shot: ", "untouched")
"""Parts of names of rows that are no method of an era: controls, and single prompts."""

Names = str | tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """A value with its interval; `against` names the other side where code chose it."""

    interval: Interval
    against: str = ""


@dataclass(frozen=True)
class Test:
    """One comparison behind a claim.

    `measure` gives the value with its interval, or None. The claim says that the value is `above`
    or `below` a limit; at least one is set. `unit` is `"points"`, or `"%"` for a relative change.
    """

    what: str
    measure: Callable[[Results], Measured | None]
    above: float | None = 0.0
    below: float | None = None
    unit: str = "points"


@dataclass(frozen=True)
class Claim:
    """A statement with the evidence for and against it.

    Attributes:
        id: `"C1"` to `"C13"`.
        era: the time of the idea, in words.
        where: numbers of the notebooks that treat it.
        published: figures or statements of others, each with author and year.
        tests: decide the verdict; a claim without one is documented, not measured.
        context: comparisons that inform and do not decide.
        limits: what our evidence leaves open.
    """

    id: str
    era: str
    statement: str
    where: str
    published: str
    tests: tuple[Test, ...] = ()
    context: tuple[Test, ...] = ()
    limits: str = ""

    @property
    def kind(self) -> str:
        """`"measured"`, or `"documented"`: a dated source in place of an interval."""
        return "measured" if self.tests else "documented"


def compare(results: Results, first: At, second: At) -> evaluation.Difference | None:
    """First place minus second, as a fraction: accuracy, span F1 or right pairs."""
    if (first, second) not in results.compared:
        results.compared[first, second] = _compared(results, first, second)
    return results.compared[first, second]


def _compared(results: Results, first: At, second: At) -> evaluation.Difference | None:
    pair = results.pair(first, second)
    if pair is None:
        return None
    a, b = pair
    spans = a.ndim == 3  # counts of each sentence
    measure = evaluation.paired_f1_difference if spans else evaluation.paired_difference
    return measure(a, b, results.draws)


def difference(
    what: str,
    first: Names,
    second: Names,
    labels: int = FEW,
    *,
    second_labels: int | None = None,
    task: str = REVIEWS,
    above: float = 0.0,
) -> Test:
    """First method minus second; `second_labels` is 0 for a second one that saw no label."""
    others = labels if second_labels is None else second_labels

    def measure(results: Results) -> Measured | None:
        found = compare(results, At(first, labels, task), At(second, others, task))
        return Measured(found) if found else None

    return Test(what, measure, above)


def gain_with_fewer(what: str, first: str, second: str, few: int = FEW, many: int = 6_398) -> Test:
    """How much larger the gain of first over second is with few labels than with many."""

    def measure(results: Results) -> Measured | None:
        pairs = [results.pair(At(first, n), At(second, n)) for n in (few, many)]
        if None in pairs:
            return None
        with_few, with_many = (a.astype(float) - b for a, b in pairs)
        seeds = min(len(with_few), len(with_many))
        if seeds > 1:  # a single seed is compared with all of the other's
            with_few, with_many = with_few[:seeds], with_many[:seeds]
        return Measured(evaluation.paired_difference(with_few, with_many, draws=results.draws))

    return Test(what, measure)


def best_of(
    results: Results, eras: Iterable[str], task: str = REVIEWS, labels: int = FEW
) -> str | None:
    """The best method of some eras on test at a budget, with target labels alone.

    Choosing it on test favours it; that is intended, as it is the bar for later eras.
    """
    means = {}
    for row in results.all:
        if row["era"] in eras and row["task"] == task and row["source_labels"] == 0:
            name = row["method"]
            control = any(part in name for part in CONTROLS)
            mean = None if control else results.mean(At(name, labels, task), "value")
            if mean is not None:
                means[name] = mean
    return max(means, key=means.get) if means else None


def margin_over_best(what: str, method: str, eras: Iterable[str], task: str = REVIEWS) -> Test:
    """A method minus the best of some eras (`best_of`)."""

    def measure(results: Results) -> Measured | None:
        best = best_of(results, eras, task)
        if best is None:
            return None
        found = compare(results, At(method, FEW, task), At(best, FEW, task))
        return Measured(found, best) if found else None

    return Test(what, measure)


def perplexity_change(
    what: str,
    first: Names,
    second: Names,
    labels: int = FEW,
    task: str = "news",
    below: float = 0.0,
) -> Test:
    """Relative change in perplexity from second, which saw no label, to first."""

    def measure(results: Results) -> Measured | None:
        pair = results.pair(At(first, labels, task), At(second, 0, task))
        if pair is None:
            return None
        after, before = pair
        if (after[..., 1] != before[..., 1]).any():  # other tokens are other units
            return None
        return Measured(evaluation.paired_perplexity_change(after, before, results.draws))

    return Test(what, measure, above=None, below=below, unit="%")


def relative_change(
    what: str, first: str, second: Names, *, errors: bool = False, above: float = 0.0
) -> Test:
    """Relative gain in right answers of first over zero-shot second, or relative cut in errors."""

    def measure(results: Results) -> Measured | None:
        pair = results.pair(At(first, FEW), At(second, 0))
        if pair is None:
            return None
        a, b = (side != errors for side in pair)  # (seeds, items): what is counted
        if not b.any():
            return None
        found = evaluation.paired_relative_change(a, b, results.draws)
        fewer = Interval(-found.value, -found.high, -found.low)
        return Measured(fewer if errors else found)

    return Test(what, measure, above, unit="%")
