"""Judge the film assistant's answers by program, exactly as they were written.

Nothing is repaired first: an answer meant for a program must be readable by one.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers import evaluation
from helpers.data import FIELDS
from helpers.decoding import parse_label

__all__ = ["FIELDS", "Report", "judge", "read_names", "refuses", "report"]

POLARITIES = ("Positive", "Negative")
# "does not say", "isn't mentioned", "no information", "cannot tell": the usual ways to decline.
REFUSAL = re.compile(
    r"\b(do|does|did)(n['’]t| not) (\w+ )?(say|tell|mention|state|specif|describe|reveal)"
    r"|\b(review|text|passage) (does|did)(n['’]t| not) (\w+ )?(provide|give|name|include|contain)"
    r"|\b(is|are|was|were)(n['’]t| not) (\w+ )?(said|told|mention|state|specif|provided|named)"
    r"|\b(no|not enough) (information|mention)\b|\b(cannot|can['’]t|unable to) (say|tell|answer)",
    re.IGNORECASE,
)


def read_names(answer: str) -> dict[str, list[str]] | None:
    """Read an answer as the JSON that was asked for: {"people": names, "titles": names}.

    None if it is anything else: no JSON, text around it, other keys, or values that are not lists
    of strings.
    """
    try:
        names = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(names, dict) or set(names) != set(FIELDS):
        return None
    lists = all(isinstance(names[field], list) for field in FIELDS)
    if not lists or not all(isinstance(name, str) for field in FIELDS for name in names[field]):
        return None
    return {field: names[field] for field in FIELDS}


def refuses(answer: str) -> bool:
    """Tell whether an answer says, in one of the usual wordings, that it cannot be given."""
    return bool(REFUSAL.search(answer))


def judge(kind: str, answer: str, wanted: str) -> dict:
    """Judge one answer against the wanted one from the data.

    Returns:
        For `json`: `valid`, `exact` (share of the two fields with exactly the names wanted, each
        once, in any order) and `counts` ([found, invented, missed] names, each with its field; all
        are missed if the answer is invalid). For `refuse`: `right`, whether it refuses. For
        `question`: `answered`, whether it does not refuse; a reader judges the content. For
        `sentiment`: `right`, the same verdict.

    Raises:
        ValueError: for a kind that no program can judge.
    """
    if kind == "json":
        names, truth = read_names(answer), read_names(wanted)
        pairs, expected = (
            {(field, name) for field in FIELDS for name in (each or {}).get(field, ())}
            for each in (names, truth)
        )
        exact = [names is not None and sorted(names[f]) == sorted(truth[f]) for f in FIELDS]
        groups = (pairs & expected, pairs - expected, expected - pairs)
        counts = [len(group) for group in groups]
        return {"valid": names is not None, "exact": float(np.mean(exact)), "counts": counts}
    if kind == "refuse":
        return {"right": refuses(answer)}
    if kind == "question":
        return {"answered": not refuses(answer)}
    if kind == "sentiment":
        return {"right": parse_label(answer, POLARITIES) == parse_label(wanted, POLARITIES)}
    raise ValueError(f"No program can judge an answer of kind {kind!r}; read it.")


@dataclass(frozen=True)
class Report:
    """Results for one kind of instruction.

    `judged` has the result of `judge` per row, `measures` name -> value with its 95 % interval.
    """

    kind: str
    judged: list[dict]
    measures: dict[str, evaluation.Interval]


def report(
    kind: str, answers: Sequence[str], wanted: Sequence[str], draws: int = evaluation.DRAWS
) -> Report:
    """Judge the answers to instructions of one kind, such as `"json"`, in the order of `wanted`.

    Shares have Wilson's interval: with two dozen rows, all or none of them right, a bootstrap
    interval would have no width. Names are counted over all rows; rows are drawn for their
    bootstrap.

    Raises:
        ValueError: if the numbers of answers differ or are 0, or the kind is not one of `judge`.
    """
    if len(answers) != len(wanted) or not len(answers):
        raise ValueError(f"{len(answers)} answers for {len(wanted)} wanted ones; give as many.")
    judged = [judge(kind, said, truth) for said, truth in zip(answers, wanted, strict=True)]

    def share(key: str) -> evaluation.Interval:
        return evaluation.wilson_interval(sum(each[key] for each in judged), len(judged))

    if kind != "json":
        [name] = judged[0]
        return Report(kind, judged, {name: share(name)})
    exact = [each["exact"] for each in judged]
    counts = [each["counts"] for each in judged]
    measures = {
        "valid": share("valid"),
        "exact": evaluation.bootstrap_interval(exact, draws),
        "span F1": evaluation.bootstrap_f1(counts, draws),
    }
    return Report(kind, judged, measures)
