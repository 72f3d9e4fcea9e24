"""The vocabulary of the course's block diagrams: what is copied, what is trained, what is new.

The four fills mean the same in every notebook. In greyscale they are light, dark, middle and empty.
A page is measured in inches; (0, 0) is its lower left corner.
"""

import functools
from collections.abc import Callable, Iterable, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path as Line

from helpers.plots.showing import GREY, INK, collisions, show

__all__ = ["ABSENT", "DRAWINGS", "FROZEN", "LEARNED", "NEW", "PLAIN", "READ", "SIZE", "SMALL"]
__all__ += ["TRAINED", "Diagram", "drawing"]

SIZE, SMALL, LARGE = 14, 12.5, 17  # points, on a page 11 inches wide
FROZEN, TRAINED, NEW, ABSENT = "copied and frozen", "copied and trained", "new", "absent"
PLAIN, READ, LEARNED = "plain", "may be read", "learned from"
FILLS = {  # face, edge, line, text
    FROZEN: ("#dbe7f2", "#1f4e79", "-", INK),
    TRAINED: ("#1f4e79", "#1f4e79", "-", "white"),
    NEW: ("#f0a040", "#8a4b00", "-", INK),
    ABSENT: ("white", "#808080", (0, (4, 3)), GREY),
    PLAIN: ("#f4f4f4", "#808080", "-", INK),  # words, data, programs: what has no parameters
    READ: ("#b4b4b4", "#5a5a5a", "-", INK),
    LEARNED: ("#c9e7d2", "#1d6b3c", "-", INK),
}
DRAWINGS: dict[str, Callable[..., "Diagram"]] = {}
"""Every drawing of the course by name: functions that return their diagram."""


class Diagram:
    """A page of boxes and arrows that knows what is on it.

    Attributes:
        told: sentences for someone who cannot see it, in the order of the drawing.
    """

    def __init__(self, title: str, height: float, width: float = 11):
        self.figure, self.title = Figure(figsize=(width, height)), title
        self._canvas, self.told = FigureCanvasAgg(self.figure), []
        self._lines: list[Line] = []
        self._fills: set[str] = set()
        self.axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
        self.axes.axis("off")
        self.text(0.25, height - 0.3, title, LARGE, ha="left", weight="bold")

    def text(self, x, y, text, size=SIZE, ha="center", **style):
        """Write text, the middle of its height at y."""
        style = {"color": INK, "linespacing": 1.25, "va": "center_baseline"} | style
        return self.axes.text(x, y + 0.02, text, size=size, ha=ha, **style)

    def box(self, x, y, width, height, text="", fill=PLAIN, beside="", size=SMALL, **style):
        """A part, its lower left corner at (x, y). What stands `beside` it is right of it."""
        face, edge, dash, ink = FILLS[fill]
        look = {"fc": face, "ec": edge, "ls": dash, "lw": 1.4}
        part = self.axes.add_patch(Rectangle((x, y), width, height, **look | style))
        self._lines.append(Line([*part.get_corners(), (x, y)]))
        self._fills.add(fill)
        self.text(x + width / 2, y + height / 2, text, size, color=ink)
        self.text(x + width + 0.1, y + height / 2, beside, SMALL, "left", color=GREY)

    def arrow(self, start, end, text="", up=0.17, color=INK, ends="-|>", dash="-"):
        """Data flow; its text stands over the middle (`up` inches)."""
        look = {"arrowstyle": ends, "mutation_scale": 15, "shrinkA": 0, "shrinkB": 0}
        look |= {"color": color, "linewidth": 1.6, "linestyle": dash, "zorder": 3}
        self.axes.add_patch(FancyArrowPatch(start, end, **look))
        self._lines.append(Line((start, end)))
        self.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + up, text, SMALL, color=GREY)

    def size(self, start, end, text, up=0.2):
        """A dimension line between two points on one height, with its length in words."""
        self.arrow(start, end, text, up, GREY, "|-|,widthA=0.25,widthB=0.25")

    def column(self, x, y, words, parts: Sequence[tuple], answer, name="", width=1.9, rise=0.26):
        """A model from bottom to top: words in, parts, answer out; returns the parts' middles.

        Args:
            parts: (text, fill) or (text, fill, beside), the lowest first.
            rise: length of the arrows.
        """
        middle, path, middles = x + width / 2, [words], []
        low = y + 0.26 * (words.count("\n") + 1)
        self.text(middle, (y + low) / 2, words, SMALL)
        for text, fill, *beside in parts:
            tall = 0.28 + 0.25 * (text.count("\n") + 1)
            self.arrow((middle, low + 0.02), (middle, low + rise))
            self.box(x, low + rise, width, tall, text, fill, *beside)
            path.append(" ".join([text, *beside]) + f" ({fill})")
            middles.append(low + rise + tall / 2)
            low += rise + tall
        self.arrow((middle, low), (middle, low + rise))
        top = low + rise + 0.26 * (answer.count("\n") + 1)
        self.text(middle, (low + rise + top) / 2 + 0.06, answer, SMALL)
        self.text(middle, top + 0.3, name, weight="bold")
        self.tell(f"{name}: " + ", then ".join([*path, answer]))
        return middles

    def columns(self, columns, lefts, width=2.2, y=0.7):
        """Columns (name, words, parts, answer) beside each other; returns the parts' middles."""
        for x, (name, words, parts, answer) in zip(lefts, columns, strict=True):
            middles = self.column(x, y, words, parts, answer, name, width)
        return middles

    def row(self, x, y, words: Iterable[str], fills: Sequence[str], width=None, height=0.42, gap=0):
        """Words in boxes from left to right, each as wide as its word; returns their middles."""
        middles, renderer = [], self._canvas.get_renderer()
        for word, fill in zip(words, fills, strict=True):
            text = self.text(0, 0, word, SMALL)
            wide = width or text.get_window_extent(renderer).width / self.figure.dpi + 0.26
            text.remove()
            self.box(x, y, wide, height, word, fill)
            middles.append(x + wide / 2)
            x += wide + gap
        return middles

    def grid(self, x, y, cells: Sequence[Sequence], width=0.62, height=0.42):
        """Boxes in lines, the first on top at y: pairs (text, fill)."""
        for i, line in enumerate(cells):
            for j, (text, fill) in enumerate(line):
                style = {"ec": "white"} if fill == TRAINED else {}
                self.box(x + width * j, y - height * (i + 1), width, height, text, fill, **style)

    def legend(self, *fills: str, x=0.3, y=0.22, note=""):
        """What the fills mean, of those in use if none is named, and a remark at the right."""
        for fill in fills or [fill for fill in FILLS if fill in self._fills - {PLAIN}]:
            self.box(x, y, 0.34, 0.22, fill=fill, beside=fill)
            x += 0.85 + 0.098 * len(fill)
        self.text(self.figure.get_figwidth() - 0.25, y + 0.11, note, SMALL, "right", color=GREY)

    def tell(self, sentence: str) -> None:
        """Add to the description."""
        self.told.append(" ".join(sentence.split()))

    @property
    def alt(self) -> str:
        """The description: the title, and what was told."""
        return ". ".join([self.title, *self.told]) + "."

    def problems(self) -> list[str]:
        """Every text that touches another one, a box, an arrow or the edge of the page."""
        lines = [line.transformed(self.axes.transData) for line in self._lines]
        return collisions(self.figure, lines)

    def show(self, caption: str = "") -> None:
        """Display it; a ValueError names the texts that cannot be read."""
        if found := self.problems():
            raise ValueError(f"{self.title}: {'; '.join(found)}.")
        show(self.figure, self.alt, caption)


def drawing(draw: Callable[..., Diagram]) -> Callable[..., None]:
    """Enter a function that returns a diagram in `DRAWINGS`, and make it show the diagram."""
    DRAWINGS[draw.__name__] = draw

    @functools.wraps(draw)
    def shown(*args, **options) -> None:
        draw(*args, **options).show()

    return shown
