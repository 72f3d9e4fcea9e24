"""The whole history from the ledger: its lines, the claims with their verdicts, and advice.

Everything is looked up in rows that were measured before; nothing is trained here. `Results` holds
the rows of one ledger, so that yours and the reference stay apart.
"""

from helpers.history.advice import Advice, Option, advise, option_at, options
from helpers.history.claim import (
    ADAPTED,
    BASE,
    ELSEWHERE,
    FULL,
    LORA,
    MARGINS,
    Claim,
    Test,
)
from helpers.history.claims import CLAIMS
from helpers.history.evidence import CONTROLS, FEW, best_of, compare
from helpers.history.lines import (
    ASKED,
    ERA_NAMES,
    LINES,
    NAMES,
    SHORT,
    SOURCE_LINES,
    Curve,
    Line,
    curves,
    newest,
    points_of,
)
from helpers.history.results import FILM_NER, METRICS, REVIEWS, At, Results
from helpers.history.verdicts import (
    VERDICTS,
    Evidence,
    Verdict,
    judge,
    judge_all,
    overview,
    report,
    rule,
    side_of,
)
from helpers.history.works import SPANS, WORKS, Work

__all__ = [
    "ADAPTED",
    "ASKED",
    "BASE",
    "CLAIMS",
    "CONTROLS",
    "ELSEWHERE",
    "ERA_NAMES",
    "FEW",
    "FILM_NER",
    "FULL",
    "LINES",
    "LORA",
    "MARGINS",
    "METRICS",
    "NAMES",
    "REVIEWS",
    "SHORT",
    "SOURCE_LINES",
    "SPANS",
    "VERDICTS",
    "WORKS",
    "Advice",
    "At",
    "Claim",
    "Curve",
    "Evidence",
    "Line",
    "Option",
    "Results",
    "Test",
    "Verdict",
    "Work",
    "advise",
    "best_of",
    "compare",
    "curves",
    "judge",
    "judge_all",
    "newest",
    "option_at",
    "options",
    "overview",
    "points_of",
    "report",
    "rule",
    "side_of",
]
