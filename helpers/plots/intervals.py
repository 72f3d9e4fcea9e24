"""A forest plot: one line per comparison, with the side that a claim is on shaded."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import matplotlib.pyplot as plt

from helpers.plots.showing import GREY, INK, show

__all__ = ["Row", "forest"]

MARKS = {"supported": ("o", INK), "undecided": ("D", "#a5a5a5"), "contradicted": ("s", "white")}
MARKS[""] = ("|", INK)
CLAIMED = "#fbe3c4"
EDGE = "#8a4b00"
LETTERS = 12


class Ends(Protocol):
    """A value with the ends of its interval, such as `evaluation.Interval`."""

    value: float
    low: float
    high: float


class Row(NamedTuple):
    """An interval and what is claimed of it: more than `above`, or less than `below`, or nothing.

    With both, the claim is that it lies between them.
    """

    label: str
    interval: Ends
    above: float | None = None
    below: float | None = None

    @property
    def verdict(self) -> str:
        """Where the whole interval lies; empty if nothing is claimed."""
        if self.above is None and self.below is None:
            return ""
        low, high = self.interval.low, self.interval.high
        above = float("-inf") if self.above is None else self.above
        below = float("inf") if self.below is None else self.below
        if above < low and high < below:
            return "supported"
        return "contradicted" if high < above or below < low else "undecided"


def forest(
    rows: Sequence[Row],
    *,
    title: str,
    caption: str = "",
    unit: str = "points of accuracy",
    scale: float = 100,
    alt: str = "",
) -> None:
    """Draw intervals from top to bottom, in the picture and beside it in figures.

    Args:
        rows: also plain tuples (label, interval, above, below).
        caption: n and the number of seeds; what the marks mean is appended.
        scale: what the values are multiplied with; 100 makes points of shares.
        alt: description; the rows are appended.
    """
    rows = [Row(*row) for row in rows]
    names = [textwrap.fill(row.label, 40) for row in rows]
    heights = [0.42 + 0.2 * name.count("\n") for name in names]
    figure, axes = plt.subplots(figsize=(5.6, 1.1 + sum(heights)))
    left, right = _limits(rows, scale)
    places, told, top = [], [], 0.0
    for row, height in zip(rows, heights, strict=True):
        places.append(top + height / 2)
        told.append(_draw(axes, row, places[-1], 0.44 * height, scale, (left, right)))
        top += height
    axes.axvline(0, color=GREY, lw=1, linestyle=":", marker="")
    axes.set(xlim=(left, right), ylim=(top, 0), xlabel=unit)
    axes.set_yticks(places, names, fontsize=LETTERS)
    axes.tick_params(axis="y", left=False)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_title(title, x=0, fontsize=13)
    marks = "Line: 95 % interval."
    if any(row.verdict for row in rows):
        marks += " Shaded: the side of the claim. Disc: supported; grey diamond: undecided, the "
        marks += "threshold is inside; open square: contradicted."
    marks += f" {len(rows)} comparisons are read together." if len(rows) > 1 else ""
    described = f"{alt} Forest plot in {unit}. {title}: {'; '.join(told)}.".strip()
    show(figure, described, f"{caption} {marks}".strip())


def _limits(rows: Sequence[Row], scale: float) -> tuple[float, float]:
    """Ends of the axis: all intervals, all thresholds and zero, with room for the shading."""
    ends = [0.0]
    for row in rows:
        ends += [row.interval.low, row.interval.high]
        ends += [edge for edge in (row.above, row.below) if edge is not None]
    room = 0.08 * (max(ends) - min(ends)) or 0.01
    return scale * (min(ends) - room), scale * (max(ends) + room)


def _draw(axes, row: Row, y: float, half: float, scale: float, limits) -> str:
    """Draw one row around the height y; returns it in words."""
    verdict, claim = row.verdict, []
    value, low, high = (
        scale * x for x in (row.interval.value, row.interval.low, row.interval.high)
    )
    if verdict:
        above, below = (None if x is None else scale * x for x in (row.above, row.below))
        sides = limits[0] if above is None else above, limits[1] if below is None else below
        axes.fill_betweenx((y - half, y + half), *sides, color=CLAIMED, lw=0, zorder=0.5)
        for word, edge in (("above", above), ("below", below)):
            if edge is not None:
                look = {"color": EDGE, "lw": 1.8, "linestyle": "-", "marker": ""}
                axes.plot((edge, edge), (y - half, y + half), **look)
                claim.append(f"{word} {edge:+.1f}")
    axes.plot((low, high), (y, y), color=INK, lw=2.6, marker="", linestyle="-")
    marker, face = MARKS[verdict]
    axes.plot(value, y, marker, color=face, ms=9, mec=INK, mew=2, zorder=4)
    figures = f"{value:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")
    beside = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": LETTERS}
    axes.annotate(figures, (1.03, y), **beside)
    axes.annotate(verdict, (1.5, y), weight="bold", **beside)
    said = f", claimed {' and '.join(claim)}: {verdict}" if verdict else ""
    return f"{row.label} {figures}{said}"
