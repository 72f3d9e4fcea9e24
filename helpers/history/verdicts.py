"""Ways to test a claim, and the rule that turns their intervals into a verdict.

All comparisons are paired (same seeds and test items on both sides) and give None where rows are
missing.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from helpers import evaluation
from helpers.evaluation import Interval
from helpers.history.results import REVIEWS, At, Results, is_control

__all__ = ["FEW", "VERDICTS", "Claim", "Test", "Verdict", "compare", "difference"]
__all__ += ["gain_with_fewer", "judge", "margin_over_best", "overview", "perplexity_change"]
__all__ += ["relative_change", "report", "rule", "side_of"]

FEW = 320
"""Labels at which claims are tested, unless they name another number: the course's middle."""

VERDICTS = ("supported", "partly", "not supported here", "not measured yet", "documented")
WIDTH = 73  # of a printed page
MARKS = {"whole": "+", "mean": "~", "no": "-", None: "?"}
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
        pair, found = results.pair(first, second), None
        if pair is not None:
            spans = pair[0].ndim == 3  # counts of each sentence
            measure = evaluation.paired_f1_difference if spans else evaluation.paired_difference
            found = measure(*pair, results.draws)
        results.compared[first, second] = found
    return results.compared[first, second]


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


def margin_over_best(what: str, method: str, eras: Iterable[str], task: str = REVIEWS) -> Test:
    """A method minus the best of some eras on test, with target labels alone.

    Choosing it on test favours it; that is intended, as it is the bar for later eras.
    """

    def measure(results: Results) -> Measured | None:
        means = {}
        for row in results.all:
            if row["era"] in eras and row["task"] == task and row["source_labels"] == 0:
                name = row["method"]
                mean = None if is_control(name) else results.mean(At(name, FEW, task), "value")
                if mean is not None:
                    means[name] = mean
        if not means:
            return None
        best = max(means, key=means.get)
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


def side_of(interval: Interval, above: float | None = None, below: float | None = None) -> str:
    """Where an interval lies: `"whole"` on the claim's side, only its `"mean"`, or `"no"`."""
    low = -math.inf if above is None else above
    high = math.inf if below is None else below
    if low < interval.low and interval.high < high:
        return "whole"
    return "mean" if low < interval.value < high else "no"


def rule(sides: Sequence[str | None]) -> str:
    """The verdict on a measured claim from the sides of its deciding comparisons.

    *Supported* if every interval lies wholly on the claim's side. *Partly* if at least one of
    several does, or all means do. Otherwise *not supported here*. With an unmeasured comparison
    (None) a claim is partly supported at best, and open while the others do not support it.
    """
    measured = [side for side in sides if side is not None]
    if all(side == "whole" for side in sides):
        return "supported"
    if "whole" in measured or (measured and "no" not in measured):
        return "partly"
    return "not supported here" if len(measured) == len(sides) else "not measured yet"


@dataclass(frozen=True)
class Evidence:
    """A comparison, its result (None where rows are missing), and whether it decides."""

    test: Test
    measured: Measured | None
    decides: bool

    @property
    def side(self) -> str | None:
        """Where its interval lies; None if it was not measured."""
        if self.measured is None:
            return None
        return side_of(self.measured.interval, self.test.above, self.test.below)

    def __str__(self) -> str:
        """`+11.9 points [+8.6, +15.0]`; a change of perplexity or errors in percent."""
        if self.measured is None:
            return "not measured yet"
        interval, against = self.measured.interval, self.measured.against
        ends = f"[{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
        text = f"{100 * interval.value:+.1f} {self.test.unit} {ends}"
        return f"{text}, over {against}" if against else text


@dataclass(frozen=True)
class Verdict:
    """A claim with its evidence and the ruling, one of `VERDICTS`."""

    claim: Claim
    evidence: tuple[Evidence, ...]
    ruling: str

    @property
    def deciding(self) -> list[Evidence]:
        """The comparisons on which it rests."""
        return [each for each in self.evidence if each.decides]


def judge(claim: Claim, results: Results) -> Verdict:
    """Measure the comparisons of a claim and apply the rule."""
    deciding = [Evidence(test, test.measure(results), True) for test in claim.tests]
    context = [Evidence(test, test.measure(results), False) for test in claim.context]
    ruling = rule([each.side for each in deciding]) if deciding else "documented"
    return Verdict(claim, (*deciding, *context), ruling)


def _filled(text: str, indent: str, hanging: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent) + hanging
    )


def report(verdict: Verdict) -> str:
    """A claim with verdict, evidence, limits and published figures, for printing.

    `+` marks a comparison whose whole interval is on the claim's side, `~` one whose mean alone is,
    `-` neither, `?` missing rows; brackets mark those that do not decide. Of these, the unmeasured
    are left out.
    """
    claim = verdict.claim
    head = f"{claim.id:4}{claim.era}"
    lines = [
        f"{head}{verdict.ruling.upper():>{WIDTH - len(head)}}",
        _filled(claim.statement, "    "),
    ]
    for each in verdict.evidence:
        if each.measured is None and not each.decides:
            continue
        mark = MARKS[each.side]
        mark = f" {mark} " if each.decides else f"({mark})"
        lines.append(_filled(f"{each.test.what}: {each}", f"  {mark} ", "  "))
    if claim.limits:
        lines.append(_filled(f"mind: {claim.limits}", "      ", "  "))
    lines.append(_filled(f"published: {claim.published}", "      ", "  "))
    return "\n".join(lines)


def overview(verdicts: Iterable[Verdict]) -> str:
    """One line per claim: kind, verdict, marks of its deciding comparisons, and its notebooks."""
    lines = [f"{'':5}{'':12}{'kind':11} {'verdict':19} {'':5} met in notebook"]
    for verdict in verdicts:
        claim = verdict.claim
        marks = " ".join(MARKS[each.side] for each in verdict.deciding)
        lines.append(
            f"{claim.id:5}{claim.era:12}{claim.kind:11} {verdict.ruling:19} {marks:5} {claim.where}"
        )
    return "\n".join(lines)
