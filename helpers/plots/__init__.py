"""The house style, and every figure that recurs from notebook to notebook.

Figures must read in greyscale and for people who cannot see them: series differ by marker, line
and hatch as well as by colour, and `show` requires a description.
"""

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython import display

__all__ = ["SHADES", "draw_curve", "learning_curve", "show", "three_bars"]

SHADES = ("#1b3a5c", "#e59b3a", "#8c2f39", "#9fc1dc", "#4f7a4e", "#c8c8c8")
"""Dark and light in turn, so that neighbours differ in greyscale too."""

MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "//", "..", "xx", "\\\\", "oo")
THREE_BARS = ("target only", "source only", "source, then target")


def show(figure, alt: str, caption: str = "") -> None:
    """Display a figure with its description, and close it.

    Args:
        alt: what it shows, for someone who cannot see it: axes, series, shape. Stored where
            nbconvert and screen readers look for it.
        caption: printed under the figure: what n is, how many seeds, what the bars are.

    Raises:
        ValueError: if the description is missing or too short.
    """
    if len(alt.strip()) < 20:
        raise ValueError(f"Describe the figure in a sentence or two; alt={alt!r} says too little.")
    if caption:
        below = figure.get_tightbbox().y0 / figure.get_figheight()  # under the axis labels
        figure.text(0.01, below - 0.01, caption, va="top", fontsize=9, color="#444444")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    image = base64.b64encode(buffer.getvalue()).decode("ascii")
    display.display(
        {"image/png": image, "text/plain": f"Figure: {alt}"},
        metadata={"image/png": {"alt": alt}},
        raw=True,
    )


def three_bars(
    accuracies: Mapping[str, Sequence[float]], *, title: str, labels: int, items: int, alt: str
) -> None:
    """Draw the course's question: target only, source only, source then target.

    Args:
        accuracies: for each name in `THREE_BARS`, accuracy per seed (one value where seeds make no
            difference).
        labels: the label budget of the target task.
        items: test items behind each accuracy.
        alt: description; the heights are appended.

    Raises:
        ValueError: if one of the three is missing: transfer cannot be judged from two bars.
    """
    missing = [name for name in THREE_BARS if name not in accuracies]
    if missing:
        raise ValueError(f"A transfer figure needs three bars; missing: {', '.join(missing)}.")
    figure, axes = plt.subplots(figsize=(7, 3.6))
    heights = []
    for place, name in enumerate(THREE_BARS):
        values = np.asarray(accuracies[name], dtype=float)
        heights.append(f"{name} {values.mean():.3f}")
        axes.bar(place, values.mean(), 0.6, color=SHADES[3], edgecolor=SHADES[0])
        axes.patches[-1].set_hatch(HATCHES[place])
        if len(values) > 1:
            spread = np.linspace(-0.12, 0.12, len(values)) + place
            axes.plot(spread, values, "o", color=SHADES[0], markersize=4)
        axes.text(place, values.max() + 0.02, f"{values.mean():.3f}", ha="center")
    axes.axhline(0.5, color="#444444", linestyle=":", linewidth=1)
    axes.text(-0.65, 0.505, "chance", va="bottom", fontsize=9)
    axes.set_xlim(-0.7, 2.5)
    axes.set(xticks=range(3), xticklabels=THREE_BARS, ylabel="accuracy", title=title)
    axes.set_ylim(0.4, 0.9)
    axes.grid(axis="x", visible=False)
    seeds = max(len(values) for values in accuracies.values())
    show(
        figure,
        f"{alt} Means: {'; '.join(heights)}.",
        f"{labels:,} target labels; n = {items:,} items; dots: {seeds} seeds "
        "(one model where no labels are drawn); the axis starts at 0.4.",
    )


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
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
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
) -> None:
    """Draw a score against the number of labels, one line per method, the spread over seeds shaded.

    Args:
        curves: method -> {labels: scores, one per seed}. 0 labels are drawn at the left edge.
        items: test items behind each score.
        alt: description; the ends of each line are appended.
        reference: methods whose values come from the reference ledger, marked so in the legend.
        bounds: of the vertical axis.
        names: of both axes.
    """
    figure, axes = plt.subplots()
    budgets = sorted({labels for curve in curves.values() for labels in curve})
    place = {labels: labels or min(b for b in budgets if b) / 3 for labels in budgets}
    ends, seeds, mixed = [], set(), set(reference) != set(curves)
    for method, curve in curves.items():
        seeds |= {len(scores) for scores in curve.values()}
        name = f"{method} (reference)" if mixed and method in reference else method
        means = draw_curve(axes, curve, place, label=name)
        ends.append(f"{name} from {means[0]:.3f} to {means[-1]:.3f}")
    axes.set_xscale("log")
    axes.set_xticks([place[n] for n in budgets], [f"{n:,}" for n in budgets])
    axes.minorticks_off()
    axes.set(xlabel=names[0], ylabel=names[1], title=title, ylim=bounds)
    crowded = len(curves) > 4
    outside = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
    axes.legend(**outside if crowded else {"loc": "lower right"})
    count = " to ".join(str(n) for n in sorted({min(seeds), max(seeds)}))
    show(
        figure,
        f"{alt} Means: {'; '.join(ends)}.",
        f"n = {items:,} items; {count} seeds a point; shade: lowest to highest seed."
        + ("" if mixed else " All from the reference ledger."),
    )
