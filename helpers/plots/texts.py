"""Answers as coloured texts, and tables of one format."""

import html
from collections.abc import Sequence
from numbers import Integral, Real

import pandas as pd
from IPython import display

__all__ = ["changed_answers", "table"]

LOOKS = {"became right": ("#e3f1e3", "#2f7d32", "✓"), "became wrong": ("#fbe6e2", "#a3262f", "✗")}
CELL = "padding:4px 10px;text-align:left;vertical-align:top;color:#1a1a1a"


def changed_answers(
    texts: Sequence[str],
    truth: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    *,
    names: Sequence[str] = ("negative", "positive"),
    models: tuple[str, str] = ("before", "after"),
    shown: int = 4,
) -> None:
    """Show texts whose answer changed: those that became right and those that became wrong.

    Args:
        truth, before, after: labels as numbers, which `names` puts into words.
        models: what gave the two answers.
        shown: at most so many texts of each kind, the first ones.
    """
    rows = list(zip(texts, truth, before, after, strict=True))
    changed = {
        "became right": [row for row in rows if row[2] != row[1] == row[3]],
        "became wrong": [row for row in rows if row[2] == row[1] != row[3]],
    }
    same = len(rows) - sum(map(len, changed.values()))
    counts = [f"{len(found)} {kind}" for kind, found in changed.items()]
    head = f"{len(rows)} texts: {', '.join(counts)}, {same} neither."
    plain, marked = [head], [f"<p><b>{head}</b></p>"]
    titles = ("", "text", *models, "truth")
    cells = "".join(f"<th style='{CELL}'>{html.escape(title)}</th>" for title in titles)
    marked.append(f"<table style='border-collapse:collapse'><tr>{cells}</tr>")
    for kind, found in changed.items():
        face, edge, sign = LOOKS[kind]
        for text, *labels in found[:shown]:
            right, *answers = (names[label] for label in labels)
            plain.append(f"{sign} {kind}: {answers[0]} -> {answers[1]} (truth: {right})  {text}")
            words = (f"{sign} {kind}", text, *answers, right)
            cells = "".join(f"<td style='{CELL}'>{html.escape(word)}</td>" for word in words)
            marked.append(
                f"<tr style='background:{face};border-left:6px solid {edge}'>{cells}</tr>"
            )
    marked.append("</table>")
    data = {"text/html": "\n".join(marked), "text/plain": "\n".join(plain)}
    display.display(data, raw=True)


def table(rows, digits: int = 2, index: str | None = None) -> pd.DataFrame:
    """Lay out numbers in the course's format: 1,000 labels, 0.82, intervals in words, no NaN.

    Args:
        rows: dicts, one per line, or a DataFrame.
        digits: of what is not whole.
        index: the column that names the lines.
    """
    frame = pd.DataFrame(rows)
    frame = frame.astype(object).map(lambda value: _written(value, digits))
    return frame.set_index(index) if index else frame


def _written(value, digits: int) -> str:
    if isinstance(value, bool) or not isinstance(value, Real):
        return "" if value is None else str(value)
    if value != value:
        return ""
    return f"{value:,}" if isinstance(value, Integral) else f"{value:,.{digits}f}"
