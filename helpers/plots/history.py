"""The figures of the whole history: its lines and what they cost.

Lines carry their names at their ends, so that no legend has to be matched; marker, dash and shade
differ, so that they can be told apart in grey and at half the width.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from helpers.history import Curve, Option
from helpers.plots import draw_curve, show, style_of
from helpers.plots.styles import ERA_METHODS

__all__ = ["costs_figure", "history_figure", "line_style", "name_ends", "names_figure", "settle"]

PALE = {"color": "#c4c4c4", "markerfacecolor": "#c4c4c4", "linewidth": 1.2, "markersize": 4}
LETTERS = 12.5  # points; half the width still leaves six
BOLD = {"fontsize": LETTERS, "fontweight": "bold"}
REMARK = {"textcoords": "offset points", "fontsize": LETTERS - 2, "color": "#333333"}
RING = {"markersize": 13, "color": "none", "markeredgewidth": 2, "zorder": 6}


def settle(figure) -> None:
    """Fix the layout of a figure, so that its caption finds its place."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def history_figure(
    target: Sequence[Curve],
    source: Sequence[Curve],
    *,
    items: int,
    source_labels: int,
    own: Sequence[tuple[int, int, float]] = (),
    own_name: str = "your own runs",
) -> None:
    """Draw the figure of the course: what a label is worth to each era.

    Args:
        target: lines of the first panel, which use target labels alone, one per era.
        source: lines of the second, which use another corpus's labels too; the other eras of the
            first panel repeat there in grey.
        items: test items behind each score.
        source_labels: number of labels of the other corpus.
        own: your results on the lines of the first panel: (line number, labels, value).
        own_name: what the caption calls them.
    """
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(8, 8.6), sharex=True, height_ratios=(5, 3.4), layout="constrained"
    )
    spread = [*target, *source]
    place = _places(spread)
    top = max([0.85, *(mean for curve in spread for mean in curve.means.values())]) + 0.03
    upper.set_ylim(0.48, top)
    lower.set_ylim(0.56, top)
    description = _draw_lines(upper, target, place)
    _mark_points(upper, target, own, place)
    eras = {curve.line.era for curve in source}
    _draw_lines(lower, [c for c in target if c.line.era not in eras], place, grey=True)
    with_source = _draw_lines(lower, source, place)
    upper.set_title("Film reviews: what a label is worth to each era", fontsize=LETTERS + 2)
    lower.set_title(
        f"The same with {source_labels:,} labelled reviews of another site", fontsize=LETTERS + 1
    )
    for axes in (upper, lower):
        _label_axis(axes, place)
        axes.set_ylabel("accuracy on test", fontsize=LETTERS)
    upper.axhline(0.5, color="#444444", linewidth=1, linestyle=":", marker="")
    lower.set_xlabel("labelled reviews of the task", fontsize=LETTERS)
    settle(figure)
    show(
        figure,
        "Two panels of test accuracy against labelled reviews, from none to all. "
        f"First: {description}. Second, with labels of another site as well: {with_source}; "
        "the other eras in grey.",
        _history_caption(target, source, items, own_name if own else ""),
    )


def _mark_points(axes, curves: Sequence[Curve], own, place: Mapping[int, float]) -> None:
    """Say how each point at 0 labels was obtained, and draw a ring around your results."""
    for curve in curves:
        if 0 in curve.values:
            point = place[0], curve.means[0]
            axes.annotate("asked,\nno label", point, xytext=(0, 12), ha="center", **REMARK)
    for number, labels, value in own:
        line = curves[number].line
        shade = style_of(line.method, line.era)["color"]
        x = place.get(labels) or labels or min(place.values())
        axes.plot(x, value, "o", markeredgecolor=shade, **RING)


def _history_caption(target, source, items: int, own: str) -> str:
    represented = [_represented(curve) for curve in (*target, *source) if curve.values]
    lines = [f"n = {items:,} test reviews; shade: lowest to highest of {_seeds(target)} seeds."]
    if own:
        lines[0] += f" Rings: {own}."
    lines[0] += " Lower panel, grey: the other eras, without those labels."
    lines += ["Each era is represented by what runs on a laptop:"]
    lines += [" · ".join(represented[i : i + 2]) for i in range(0, len(represented), 2)]
    return "\n".join(lines)


def _represented(curve: Curve) -> str:
    return f"{curve.line.label.split(': ')[-1]}: {curve.line.represented_by}"


def _seeds(curves: Sequence[Curve]) -> str:
    counts = {len(values) for curve in curves for n, values in curve.values.items() if n}
    ends = sorted({min(counts), max(counts)}) if counts else [0]
    return " to ".join(map(str, ends))


def line_style(era: str) -> dict:
    """The looks of the method that stands for an era."""
    return style_of(ERA_METHODS[era])


def _places(curves: Sequence[Curve]) -> dict[int, float]:
    """Positions of budgets on the logarithmic axis, with 0 labels apart at the left."""
    budgets = sorted({n for curve in curves for n in curve.values} | {32, 100, 320, 1_000})
    least = min(n for n in budgets if n)
    return {n: n or least / 3 for n in budgets}


def _label_axis(axes, place: Mapping[int, float]) -> None:
    axes.set_xscale("log")
    most = max(place)
    names = {n: "all" if n == most and n > 5_000 else f"{n:,}" for n in place}
    axes.set_xticks(list(place.values()), list(names.values()))
    axes.minorticks_off()
    axes.tick_params(labelsize=LETTERS - 1)
    axes.set_xlim(min(place.values()) * 0.65, max(place.values()) * 1.15)


def _draw_lines(axes, curves: Sequence[Curve], place, grey: bool = False) -> str:
    """Draw lines; returns a description in words."""
    ends, words = [], []
    for curve in curves:
        if not curve.values:
            continue
        style = style_of(curve.line.method, curve.line.era)
        style |= PALE if grey else {}
        labels = sorted(curve.values)
        style["zorder"] = 2 if grey else 4
        means = draw_curve(axes, curve.values, place, spread=not grey, **style)
        ends.append((place[labels[-1]], means[-1], curve.line.label, style["color"]))
        words.append(
            f"{curve.line.label} from {means[0]:.3f} with {labels[0]:,} labels to {means[-1]:.3f} "
            f"with {labels[-1]:,}"
        )
    if not grey:
        name_ends(axes, ends, max(place.values()))
    return "; ".join(words)


def name_ends(axes, ends: list[tuple[float, float, str, str]], right: float) -> None:
    """Write names at the right edge without overlap, with a thin line to each end."""
    bottom, top = axes.get_ylim()
    inches = axes.get_position().height * axes.figure.get_figheight()
    gap = (top - bottom) * 1.5 * LETTERS / 72 / inches
    ends = sorted(ends, key=lambda end: end[1])
    heights = []
    for _, y, _, _ in ends:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    sink = max(0.0, (sum(heights) - sum(end[1] for end in ends)) / max(len(ends), 1))
    for (x, y, name, shade), height in zip(ends, heights, strict=True):
        text = height - sink
        arrow = {"arrowstyle": "-", "color": shade, "shrinkB": 4, "relpos": (0, 0.5)}
        arrow["linewidth"] = 0.8
        place = {"xytext": (right * 1.4, text), "va": "center", "annotation_clip": False}
        axes.annotate(name, (x, y), color=shade, arrowprops=arrow, **BOLD, **place)


def names_figure(curves: Sequence[Curve], *, items: int) -> None:
    """Draw span F1 against tagged sentences, one line per era."""
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    place = {32: 32, 100: 100, 320: 320, 600: 600}
    place |= {n: n for curve in curves for n in curve.values}
    axes.set_ylim(0.25, 0.65)
    description = _draw_lines(axes, curves, place)
    _label_axis(axes, place)
    axes.set_xlabel("tagged sentences", fontsize=LETTERS)
    axes.set_ylabel("span F1 on test", fontsize=LETTERS)
    axes.set_title("Names in film reviews", fontsize=LETTERS + 2)
    settle(figure)
    represented = " · ".join(_represented(curve) for curve in curves[1:])
    show(
        figure,
        f"Span F1 against tagged sentences: {description}.",
        f"n = {items:,} test sentences; shade: lowest to highest of {_seeds(curves)} seeds; the "
        f"axis starts at 0.25.\n{represented}.",
    )


PRICES = (
    ("trained", "numbers trained", 100.0),
    ("train_seconds", "seconds of training", 0.1),
    ("memory_mb", "peak memory of training, MB", 1.0),
    ("ship_mb", "megabytes to ship", 0.01),
)


def costs_figure(options: Sequence[tuple[str, Option]], *, labels: int, items: int) -> None:
    """Draw accuracy against four prices, one named point per method.

    Args:
        options: pairs of a short name and its option.
        labels: the budget; methods that saw no label are drawn at the left edge.
        items: test items behind each accuracy.
    """
    figure, grid = plt.subplots(2, 2, figsize=(9, 7), sharey=True, layout="constrained")
    for axes, (key, title, least) in zip(grid.flat, PRICES, strict=True):
        prices = [max(getattr(option, key), least) for _, option in options]
        for (name, option), price in zip(options, prices, strict=True):
            point = price, option.accuracy
            axes.plot(
                *point, **style_of(option.method, option.era) | {"linestyle": "", "markersize": 9}
            )
            place = {"xytext": (8, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(name, point, fontsize=10, **place)
        axes.set(xscale="log", title=title)
        axes.set_xlim(least / 2, max([*prices, least]) * 30)
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy on test")
    settle(figure)
    description = "; ".join(
        f"{name} {option.accuracy:.3f} for {option.trained:,.0f} numbers trained, "
        f"{option.train_seconds:.1f} s, {option.memory_mb:,.0f} MB and {option.ship_mb:.2f} MB"
        for name, option in options
    )
    show(
        figure,
        f"Four panels of accuracy against a price, logarithmic: {description}.",
        f"{labels:,} labels, or none where it says asked; n = {items:,}. Accuracy: mean over "
        "seeds; prices: median; what is zero stands at the left edge.\n"
        "Memory: what training added to the process; small models fit into what was there, and "
        "stand at the left edge.\nTo ship: what was trained; the pre-trained model is shared.",
    )
