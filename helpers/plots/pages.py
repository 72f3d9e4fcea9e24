"""Figures that sum up: when the ideas came, what was claimed and what came out, what to use."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt

from helpers.history import SHORT, TITLES, Advice, Verdict, Work, load_works, spans
from helpers.plots import SHADES, show
from helpers.plots.history import settle

__all__ = ["decisions_figure", "timeline_figure", "verdicts_figure"]

YEARS = (1992.5, 2026)
TURN = 2011  # names of later works stand left of their dots, where there is room
SIDES = {"whole": ("o", "-", "black"), "mean": ("D", "--", "#555555"), "no": ("s", ":", "#888888")}


def timeline_figure() -> None:
    """Draw the eras over the years, with the works that made them, each named beside its dot."""
    works = [work for work in load_works() if work.shown]
    figure, axes = plt.subplots(figsize=(9, 11))
    line, described = 0.0, []
    for era, (first, last) in spans(works).items():
        own = [work for work in works if work.era == era]
        end = line + len(own)
        axes.fill_between((first - 0.4, last + 0.4), line, end, color="#e8eff6", zorder=0)
        edge, side = (YEARS[0], "left") if first > 2000 else (YEARS[1], "right")
        heading = f"{textwrap.fill(TITLES[era], 18)}\n{first} to {last}"
        style = {"ha": side, "va": "top", "fontsize": 11, "fontweight": "bold"}
        axes.text(edge, line + 0.1, heading, **style)
        for work in own:
            _name_work(axes, work, line + 0.5)
            line += 1
        named = "; ".join(f"{work.first} {work.who}, {work.what}" for work in own)
        described.append(f"{TITLES[era]}, {first} to {last}: {named}.")
        line += 0.7
        axes.axhline(line - 0.35, color="#bbbbbb", linewidth=0.8, linestyle="-", marker="")
    axes.set(xlim=YEARS, ylim=(line - 0.35, -0.4), yticks=[])
    axes.set_title("Thirty years of starting from what is already known")
    axes.tick_params(axis="x", top=True, labeltop=True)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    show(
        figure,
        f"A timeline in {len(described)} rows, each work at its year. {' '.join(described)}",
        "Each dot is a work, at the year in which it could first be read; lessons cite it by the "
        "year of publication.\nShaded: from the first to the last work named.",
    )


def _name_work(axes, work: Work, place: float) -> None:
    side, shift = ("right", -7) if work.first > TURN else ("left", 7)
    name = f"{work.who}: {work.what}"
    spot = {"xy": (work.first, place), "xytext": (shift, 0), "textcoords": "offset points"}
    axes.annotate(name, **spot, ha=side, va="center_baseline", fontsize=9.5)
    axes.plot(work.first, place, "o", color=SHADES[0])


def verdicts_figure(verdicts: Sequence[Verdict]) -> None:
    """Draw the interval of every deciding comparison, against the limit that the claim sets."""
    found = [
        (v.claim.id, each) for v in verdicts for each in v.deciding if each.measured is not None
    ]
    rows = max(len(found), 1)
    figure, axes = plt.subplots(figsize=(8.6, 1.2 + 0.46 * rows), layout="constrained")
    described = []
    for row, (name, each) in enumerate(found):
        interval, border = each.measured.interval, each.test.above
        border = each.test.below if border is None else border
        marker, line, shade = SIDES[each.side]
        ends = [100 * interval.low, 100 * interval.high]
        axes.plot(ends, [-row, -row], color=shade, linestyle=line, marker="|", linewidth=2.5)
        axes.plot(100 * interval.value, -row, marker=marker, color=shade, markersize=7)
        axes.plot(100 * border, -row, marker="|", color=SHADES[2], markersize=22, markeredgewidth=3)
        side = "right of" if each.test.below is None else "left of"
        described.append(f"{name} {each}, claimed {side} {100 * border:+.0f}: {each.side}")
    names = [textwrap.fill(f"{name}  {each.test.what}", 46) for name, each in found]
    axes.set_yticks([-row for row in range(len(found))], names, fontsize=9.5)
    axes.set_ylim(0.4 - rows, 0.6)
    axes.axvline(0, color="#444444", linewidth=0.8)
    axes.set_xlabel("points; for perplexity, percent")
    axes.set_title("What decided the claims")
    settle(figure)
    show(
        figure,
        f"Intervals of {len(found)} comparisons, and the border of each claim: "
        f"{'; '.join(described)}.",
        "95 % paired intervals; the tall bar is the border. Disc: all of the interval on the "
        "claim's side; diamond: its mean only; square: not.\nC1 and C11, perplexity: the claim is "
        "left of the bar; all others: right of it.",
    )


def decisions_figure(
    rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[Advice]], *, items: int
) -> None:
    """Draw a chart of advice: budgets of labels down, conditions across, both in words.

    `items` is the number of test items behind each accuracy.
    """
    figure, axes = plt.subplots(figsize=(2.0 * len(columns), 0.72 * len(rows)))
    best = [[cell.best.accuracy if cell.best else float("nan") for cell in row] for row in cells]
    axes.pcolormesh(best, cmap="Greys", vmin=0.55, vmax=1.2, edgecolor="white", linewidth=3)
    described = []
    for i, row in enumerate(cells):
        for j, advice in enumerate(row):
            text = _advice(advice)
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=10)
            described.append(f"{rows[i]}, {columns[j]}: {text}".replace("\n", ", "))
    axes.set_xticks([j + 0.5 for j in range(len(columns))], columns, fontsize=10.5)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], rows, fontsize=10.5)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    show(
        figure,
        f"A chart of advice. {'; '.join(described)}.",
        "First line: best mean accuracy on test of what fits the column (darker is better), each "
        "method at the largest budget\nit was measured at, up to the row's.\n"
        "Second: where that takes more than seconds to train, the fastest that is not clearly "
        f"worse (paired, n = {items:,}).\nReference ledger, on its machine; what was learned from "
        "another task's labels before is not counted as training.",
    )


def _advice(advice: Advice) -> str:
    if advice.best is None:
        return "nothing fits"
    lines = [
        f"{SHORT.get(option.method, option.method)} {option.accuracy:.2f}"
        for option in dict.fromkeys((advice.best, advice.enough))
    ]
    return "\nor ".join(lines)
