"""The rule that turns intervals into a verdict, and the verdicts as text."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from helpers.evaluation import Interval
from helpers.history.claims import CLAIMS
from helpers.history.evidence import Claim, Measured, Test
from helpers.history.results import Results

__all__ = [
    "VERDICTS",
    "Evidence",
    "Verdict",
    "judge",
    "judge_all",
    "overview",
    "report",
    "rule",
    "side_of",
]

VERDICTS = ("supported", "partly", "not supported here", "not measured yet", "documented")
WIDTH = 73  # of a printed page
MARKS = {"whole": "+", "mean": "~", "no": "-", None: "?"}


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

    Raises:
        ValueError: without any comparison: such a claim is documented, not measured.
    """
    if not sides:
        raise ValueError("A measured claim needs a comparison that decides.")
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


def judge_all(results: Results, claims: Iterable[Claim] = CLAIMS) -> list[Verdict]:
    """Verdicts on all claims, in their order; the bootstraps take some seconds."""
    return [judge(claim, results) for claim in claims]


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
