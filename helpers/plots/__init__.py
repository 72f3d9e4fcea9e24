"""The house style, and every figure that recurs from notebook to notebook.

Figures must read in greyscale and for people who cannot see them: methods differ by marker and dash
as well as by colour, and `show` requires a description.
"""

from helpers.plots.curves import (
    THREE_BARS,
    Losses,
    draw_curve,
    label_ends,
    learning_curve,
    loss_curve,
    stacked_bars,
    three_bars,
)
from helpers.plots.intervals import Row, forest
from helpers.plots.showing import collisions, show
from helpers.plots.styles import style_of
from helpers.plots.texts import changed_answers, table

__all__ = ["MARKERS", "SHADES", "THREE_BARS", "Losses", "Row", "changed_answers", "collisions"]
__all__ += ["draw_curve", "forest", "label_ends", "learning_curve", "loss_curve", "show"]
__all__ += ["stacked_bars", "style_of", "table", "three_bars"]

SHADES = ("#1b3a5c", "#e59b3a", "#8c2f39", "#9fc1dc", "#4f7a4e", "#c8c8c8")
"""For what is no method: dark and light in turn, so that neighbours differ in greyscale too."""

MARKERS = ("o", "s", "^", "D", "v", "P")
