"""What a claim is, and a comparison behind it."""

from dataclasses import dataclass

from helpers.history.evidence import Measure
from helpers.history.lines import ASKED

__all__ = ["ADAPTED", "BASE", "ELSEWHERE", "FULL", "LORA", "MARGINS", "Claim", "Test", "beside"]

LORA, FULL = "decoder + LoRA", "decoder, full fine-tuning"
BASE = ("decoder, untouched", ASKED)
"""Names under which the decoder stands before any tuning, for what it knows besides reviews."""
ADAPTED = "decoder, LoRA on the text of reviews"
"""The decoder after next-word prediction on film reviews; rows of task `"imdb_text"`."""
ELSEWHERE = "decoder, LoRA on the text of news"
"""The same after as much news: what any text would have brought."""
MARGINS = {"perplexity": 0.10, "pairs": -0.05}
"""Fixed before anything was measured: what "preserved" allows (C11)."""


@dataclass(frozen=True)
class Test:
    """One comparison behind a claim.

    Attributes:
        what: the comparison, in words.
        measure: gives the value with its interval, or None.
        above, below: the side on which the claim is; at least one.
        unit: `"points"`, or `"%"` for a relative change.
        decides: whether the verdict rests on it; else it stands beside.
    """

    what: str
    measure: Measure
    above: float | None = 0.0
    below: float | None = None
    unit: str = "points"
    decides: bool = True


@dataclass(frozen=True)
class Claim:
    """A statement, and all that speaks for or against it.

    Attributes:
        id: `"C1"` to `"C13"`.
        era: whose idea it is, as a time.
        says: the statement.
        where: numbers of the notebooks in which it is met.
        published: figures or statements of others, each with author and year.
        tests: none that decides makes a claim documented.
        limits: what our evidence leaves open.
    """

    id: str
    era: str
    says: str
    where: str
    published: str
    tests: tuple[Test, ...] = ()
    limits: str = ""

    @property
    def kind(self) -> str:
        """`"measured"`, or `"documented"`: a dated source in place of an interval."""
        return "measured" if any(test.decides for test in self.tests) else "documented"


def beside(what: str, measure: Measure, **options) -> Test:
    """A comparison that informs, and does not decide."""
    return Test(what, measure, decides=False, **options)
