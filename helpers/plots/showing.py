"""Show a figure with its description, as a vector picture where that is the smaller one."""

import base64
import io
import re
import textwrap
from collections.abc import Iterable
from html import escape
from itertools import combinations

import matplotlib.pyplot as plt
from IPython import display
from matplotlib.collections import Collection
from matplotlib.lines import Line2D
from matplotlib.path import Path as Line

__all__ = ["GREY", "INK", "POINTS", "collisions", "picture", "show"]

INK, GREY = "#1a1a1a", "#555555"
POINTS = 2_000
"""A figure with more points than these is a PNG: as a drawing it would be larger and slow."""

CAPTION = 10
SVG = {"svg.hashsalt": "course", "svg.fonttype": "path"}  # the same bytes on every machine
PLACES = re.compile(r' (?:d|x|y)="[^"]+"|translate\([^)]+\)')
LONG = re.compile(r"(\.\d\d)\d+")  # a hundredth of a point is enough


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
        used, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        letters = int(used.width * 72 / (0.55 * CAPTION))
        lines = [textwrap.fill(line, letters) for line in caption.split("\n")]
        style = {"va": "top", "fontsize": CAPTION, "color": GREY, "linespacing": 1.3}
        figure.text(used.x0 / width, used.y0 / height - 0.02, "\n".join(lines), **style)
    mime, data = picture(figure, alt)
    plt.close(figure)
    display.display(
        {mime: data, "text/plain": f"Figure: {alt}"}, metadata={mime: {"alt": alt}}, raw=True
    )


def picture(figure, alt: str) -> tuple[str, str]:
    """MIME type and data of a figure, as a notebook stores them; equal figures, equal bytes."""
    buffer = io.BytesIO()
    if _points(figure) > POINTS:
        figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
        return "image/png", base64.b64encode(buffer.getvalue()).decode("ascii")
    with plt.rc_context(SVG):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata=nothing)
    svg = buffer.getvalue().decode("utf-8")
    about = f'role="img" aria-label="{escape(alt)}" style="max-width: 100%; height: auto"'
    svg = svg[svg.index("<svg") :].replace("<svg", f"<svg {about}", 1)
    return "image/svg+xml", PLACES.sub(lambda place: LONG.sub(r"\1", place[0]), svg)


def _points(figure) -> int:
    """How many points a figure has: of its lines, its clouds and its areas."""
    lines = sum(len(line.get_xdata()) for line in figure.findobj(Line2D))
    return lines + sum(
        max(len(cloud.get_offsets()), sum(len(path.vertices) for path in cloud.get_paths()))
        for cloud in figure.findobj(Collection)
    )


def collisions(figure, lines: Iterable[Line] = (), room: float = 3) -> list[str]:
    """Every text of a figure that touches another one, one of the lines, or the figure's edge.

    Args:
        lines: in pixels of the figure.
        room: pixels that a text needs around it.
    """
    figure.canvas.draw()
    texts = [text for axes in figure.axes for text in axes.texts if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent().padded(room)) for text in texts]
    pairs = combinations(boxes, 2)
    found = [f"{one!r} touches {two!r}" for (one, a), (two, b) in pairs if a.overlaps(b)]
    for text, box in boxes:
        if not all(figure.bbox.contains(*corner) for corner in (box.p0, box.p1)):
            found.append(f"{text!r} leaves the page")
        if any(line.intersects_bbox(box, filled=False) for line in lines):
            found.append(f"{text!r} touches a line")
    return found
