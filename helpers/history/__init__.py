"""The whole history from the ledger: its lines, the claims with their verdicts, and advice.

Nothing is trained here. `Results` holds the rows of one ledger, so that yours and the reference
stay apart.
"""

from helpers.history.advice import Advice, Option, advise, option_at
from helpers.history.claims import ADAPTED, CLAIMS, ELSEWHERE, FULL, LORA, judge_all
from helpers.history.results import (
    ERA_NAMES,
    FILM_NER,
    LINES,
    METRICS,
    NAMES,
    REVIEWS,
    SHORT,
    SOURCE_LINES,
    ZERO_SHOT,
    At,
    Curve,
    Results,
    curves,
    points_of,
)
from helpers.history.verdicts import VERDICTS, Verdict, compare, judge, overview, report, rule
from helpers.history.works import TITLES, Work, load_works, spans, works_table

__all__ = ["ADAPTED", "CLAIMS", "ELSEWHERE", "ERA_NAMES", "FILM_NER", "FULL", "LINES", "LORA"]
__all__ += ["METRICS", "NAMES", "REVIEWS", "SHORT", "SOURCE_LINES", "VERDICTS", "ZERO_SHOT"]
__all__ += ["Advice", "At", "Curve", "Option", "Results", "Verdict", "advise", "compare"]
__all__ += ["curves", "judge", "judge_all", "option_at", "overview", "points_of", "report"]
__all__ += ["rule", "TITLES", "Work", "load_works", "spans", "works_table"]
