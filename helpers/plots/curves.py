"""Lines that carry their names at their ends, and bars that begin at zero."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from helpers.plots.showing import GREY, INK, show
from helpers.plots.styles import METHODS, SAME, style_of

__all__ = ["THREE_BARS", "Losses", "draw_curve", "label_ends", "learning_curve", "loss_curve"]
__all__ += ["stacked_bars", "three_bars"]

THREE_BARS = {
    "target only": "#f0a040",
    "source only": "#dbe7f2",
    "source, then target": "#1f4e79",
}
"""The bars' fills are those of the block diagrams: new, copied and frozen, copied and trained."""

CHANCE = {"color": GREY, "linewidth": 1.2, "linestyle": (0, (1, 2)), "marker": ""}
NAME = 11.5  # points, of a line's name
LEADER = {"color": "#999999", "linewidth": 0.7, "linestyle": "-", "marker": ""}


def label_ends(axes, ends: Sequence[tuple[float, float, str, dict]]) -> None:
    """Write names beside the axes, each at the height of its line's end and none on another.

    A sample of the line stands before its name, so that a line that ends early is found as well.
    Call it when the limits are set.

    Args:
        ends: x and y of the end, the name, and the style of the line.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = [(*to_axes.transform((x, y)), name, style) for x, y, name, style in ends]
    placed.sort(key=lambda end: end[1])
    height = axes.get_position().height * axes.figure.get_figheight() * 72
    rows = np.array([name.count("\n") + 1.35 for _, _, name, _ in placed])
    step = NAME * 1.2 / height * (rows[1:] + rows[:-1]) / 2  # between neighbours
    above = np.concatenate([[0], np.cumsum(step)])
    wanted = np.array([y for _, y, _, _ in placed]) - above
    heights = np.clip(isotonic_regression(wanted).x, 0, max(0, 1 - above[-1])) + above
    for (x, y, name, style), at in zip(placed, heights, strict=True):
        inside = {"transform": axes.transAxes, "clip_on": False}
        axes.add_line(Line2D((x, 1.02, 1.03), (y, at, at), zorder=1, **LEADER, **inside))
        axes.add_line(Line2D((1.03, 1.06, 1.09), (at, at, at), markevery=[1], **style, **inside))
        text = {"va": "center", "fontsize": NAME, "color": INK, "transform": axes.transAxes}
        axes.text(1.105, at, name, **text)


def draw_curve(
    axes, curve: Mapping[int, Sequence[float]], place: Mapping[int, float], *, spread=True, **style
) -> list[float]:
    """Draw means over seeds with their spread shaded; returns the means by number of labels.

    Args:
        curve: {labels: scores, one per seed}.
        place: {labels: position on the axis}.
    """
    labels = sorted(curve)
    x = [place[n] for n in labels]
    means = [float(np.mean(curve[n])) for n in labels]
    [line] = axes.plot(x, means, **style)
    if spread:
        low, high = ([edge(curve[n]) for n in labels] for edge in (np.min, np.max))
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    return means


def learning_curve(
    curves: Mapping[str, Mapping[int, Sequence[float]]],
    *,
    title: str,
    items: int,
    alt: str,
    reference: Sequence[str] = (),
    bounds: tuple[float, float] = (0.45, 0.85),
    names: tuple[str, str] = ("labelled target examples", "accuracy"),
    chance: float = 0.5,
    called: Mapping[str, str] | None = None,
) -> None:
    """Draw a score against the number of labels, one line per method, the spread over seeds shaded.

    Args:
        curves: method -> {labels: scores, one per seed}. 0 labels are drawn at the left edge.
            Methods of the ledger have the same colour, marker and dash in every notebook.
        items: test items behind each score.
        alt: description; the ends of each line are appended.
        reference: methods whose values come from the reference ledger, marked so in their names.
        bounds: of the vertical axis.
        names: of both axes.
        chance: drawn where it lies within the bounds and the score is an accuracy.
        called: method -> the name to write at its line.
    """
    figure, axes = plt.subplots(figsize=(6.6, 4.3))
    budgets = sorted({labels for curve in curves.values() for labels in curve})
    place = {labels: labels or min(b for b in budgets if b) / 3 for labels in budgets}
    ends, lines, mixed, unknown = [], [], set(reference) != set(curves), 0
    for method, curve in curves.items():
        name = (called or {}).get(method, method)
        name += " (reference)" if mixed and method in reference else ""
        style = style_of(method, number=unknown)
        unknown += SAME.get(method.split(" (")[0], method.split(" (")[0]) not in METHODS
        means = draw_curve(axes, curve, place, **style)
        lines.append((place[max(curve)], means[-1], name, style))
        ends.append(f"{name} from {means[0]:.3f} to {means[-1]:.3f}")
    axes.set_xscale("log")
    axes.set_xticks([place[n] for n in budgets], [f"{n:,}" for n in budgets])
    axes.minorticks_off()
    axes.set(xlabel=names[0], ylabel=names[1], title=title, ylim=bounds)
    if "accuracy" in names[1] and bounds[0] <= chance <= bounds[1]:
        axes.axhline(chance, **CHANCE)
        lines.append((max(place.values()), chance, "chance", CHANCE))
    label_ends(axes, lines)
    show(figure, f"{alt} Means: {'; '.join(ends)}.", _count(curves, items, mixed))


def _count(curves, items: int, mixed: bool) -> str:
    seeds = {len(scores) for curve in curves.values() for scores in curve.values()}
    count = " to ".join(map(str, sorted({min(seeds), max(seeds)})))
    said = f"n = {items:,} items; {count} seeds per point; shade: lowest to highest seed."
    return said if mixed else f"{said} All from the reference ledger."


def three_bars(
    accuracies: Mapping[str, Sequence[float]],
    *,
    title: str,
    labels: int,
    items: int,
    alt: str,
    intervals: Mapping[str, object] | None = None,
) -> None:
    """Draw the course's question: target only, source only, source then target.

    Args:
        accuracies: for each name in `THREE_BARS`, accuracy per seed (one value where seeds make no
            difference).
        labels: the label budget of the target task.
        items: test items behind each accuracy.
        alt: description; the heights are appended.
        intervals: for some of the names, what has `low` and `high`: drawn as a line on the bar.

    Raises:
        ValueError: if one of the three is missing: transfer cannot be judged from two bars.
    """
    missing = [name for name in THREE_BARS if name not in accuracies]
    if missing:
        raise ValueError(f"A transfer figure needs three bars; missing: {', '.join(missing)}.")
    figure, axes = plt.subplots(figsize=(7, 4))
    heights, intervals = [], intervals or {}
    for place, (name, fill) in enumerate(THREE_BARS.items()):
        values = np.asarray(accuracies[name], dtype=float)
        mean, top = values.mean(), values.max()
        heights.append(f"{name} {mean:.3f}")
        axes.bar(place, mean, 0.62, color=fill, edgecolor=INK, linewidth=1.2)
        if len(values) > 1:
            spread = np.linspace(-0.14, 0.14, len(values)) + place
            dots = {"markersize": 6, "markeredgecolor": INK, "color": "white"}
            axes.plot(spread, values, "o", linestyle="", **dots)
        if ends := intervals.get(name):
            axes.plot([place + 0.23] * 2, [ends.low, ends.high], "_-", color=INK, linewidth=2)
            top = max(top, ends.high)
        axes.text(place, top + 0.025, f"{mean:.3f}", ha="center", fontsize=13, fontweight="bold")
    axes.axhline(0.5, **CHANCE)
    axes.set(xlim=(-0.5, 2.5), xticks=range(3), ylim=(0, 1), ylabel="accuracy", title=title)
    axes.set_xticklabels(THREE_BARS, fontsize=12)
    axes.grid(axis="x", visible=False)
    axes.text(2.53, 0.5, "chance", va="center", fontsize=NAME, color=INK)
    seeds = max(len(values) for values in accuracies.values())
    count = f"{labels:,} target labels; n = {items:,} items; dots: {seeds} seeds "
    count += "(one model where no labels are drawn)"
    count += "; vertical line: 95 % interval." if intervals else "."
    show(figure, f"{alt} Means: {'; '.join(heights)}.", count)


class Losses(NamedTuple):
    """What a training left behind, as `training.fit` returns it: for other loops to fill in.

    `losses` has one value per step, `validation` rows of `{"epoch": 1, "loss": 0.61}`.
    """

    losses: Sequence[float]
    validation: Sequence[Mapping[str, float]] = ()


def loss_curve(runs, *, title: str, alt: str = "", chance: float | None = None) -> None:
    """Draw the loss of each step and of validation after each epoch.

    Args:
        runs: what has `losses` and `validation`, as the result of `training.fit` and `Losses`; or
            {name: such a result} to compare several.
        alt: description; first and last values are appended.
        chance: the loss of a guess, `math.log(2)` for two classes.
    """
    several = isinstance(runs, Mapping)
    figure, axes = plt.subplots(figsize=(6.6, 4))
    ends, told = [], []
    for number, (name, run) in enumerate((runs if several else {"": runs}).items()):
        style = style_of(name or "validation", number=number)
        train = {"color": style["color"] if several else GREY, "linewidth": 1.8}
        train |= {"marker": "", "linestyle": "-"}
        losses = np.asarray(run.losses, dtype=float)
        width = max(1, len(losses) // 20)
        smooth = np.convolve(losses, np.ones(width) / width, "valid")
        steps = np.arange(1, len(losses) + 1)
        axes.plot(steps, losses, **train | {"linewidth": 0.7, "alpha": 0.35})
        axes.plot(steps[width - 1 :], smooth, **train)
        ends.append((steps[-1], smooth[-1], f"{name}, training" if several else "training", train))
        told.append(f"{ends[-1][2]} from {losses[0]:.2f} to {smooth[-1]:.2f}")
        if run.validation:
            last = max(row["epoch"] for row in run.validation)
            x = [row["epoch"] / last * len(losses) for row in run.validation]
            y = [row["loss"] for row in run.validation]
            axes.plot(x, y, **style)
            ends[-1:] = [] if several else ends[-1:]  # one name per run
            ends.append((x[-1], y[-1], name or "validation", style))
            told.append(f"{name} validation from {y[0]:.2f} to {y[-1]:.2f}".strip())
    if chance is not None:
        axes.axhline(chance, **CHANCE)
        ends.append((axes.get_xlim()[1], chance, "chance", CHANCE))
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.set_ylim(bottom=0)
    label_ends(axes, ends)
    said = "Pale: each step; line: mean of a twentieth of the steps; markers: validation."
    show(figure, f"{alt} Loss against steps: {'; '.join(told)}.".strip(), said)


STATES = (("#dbe7f2", ""), ("#b9b9b9", ""), ("#6e6e6e", ""), ("white", "///"), ("#f0a040", ""))
"""Fills of what a bar is stacked from; the first is what was copied."""


def stacked_bars(
    bars: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    unit: str,
    alt: str = "",
    caption: str = "",
) -> None:
    """Draw amounts that add up, such as memory by what fills it.

    Args:
        bars: name of the bar -> {part: amount}; the parts stand in the order of the first bar.
        unit: of the amounts, "GB".
    """
    figure, axes = plt.subplots(figsize=(8, 1.3 + 0.62 * len(bars)))
    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    ends = np.zeros(len(bars))
    for part, (fill, hatch) in zip(parts, STATES, strict=False):
        widths = np.array([bar.get(part, 0) for bar in bars.values()])
        look = {"color": fill, "hatch": hatch, "edgecolor": INK, "linewidth": 0.8, "label": part}
        axes.barh(range(len(bars)), widths, 0.62, left=ends, **look)
        ends = ends + widths
    for row, end in enumerate(ends):
        amount = f"{end:.3g} {unit}" if end < 1_000 else f"{end:,.0f} {unit}"
        axes.text(end + 0.012 * max(ends), row, amount, va="center", fontsize=12, weight="bold")
    axes.set_yticks(range(len(bars)), bars, fontsize=12)
    axes.set(xlim=(0, 1.18 * max(ends)), xlabel=unit)
    axes.set_title(title, pad=28)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(ncols=len(parts), loc="lower left", bbox_to_anchor=(-0.01, 0.98), fontsize=11,
                handlelength=1.4, columnspacing=1.4)  # fmt: skip
    told = [
        f"{name}: " + ", ".join(f"{part} {amount:.3g}" for part, amount in bar.items())
        for name, bar in bars.items()
    ]
    show(figure, f"{alt} Stacked bars in {unit}. {'; '.join(told)}.".strip(), caption)
