"""Something to type into or to move; where nothing can be moved, a few settings side by side."""

import os
from collections.abc import Callable, Mapping, Sequence

from IPython import get_ipython
from IPython.display import display
from IPython.utils.capture import capture_output
from ipywidgets import interactive

__all__ = ["explore"]


def explore(function: Callable, shown: Sequence[Mapping] = (), **controls) -> None:
    """Call a function anew whenever the learner types or moves something.

    Stored pages, tests and exports have nobody to move it: they show `shown` instead.

    Args:
        function: prints, draws or returns what is to be seen for its arguments.
        shown: settings for a page that does not move, each a dictionary of arguments; by default
            the value from which every control starts.
        controls: an argument's control, as `ipywidgets.interactive` abbreviates it: a text for a
            box to type into, (low, high, step) for a slider, a list for a menu, a bool for a tick,
            or a widget.
    """
    if _is_live():
        _show_live(function, controls)
        return
    first = {name: interactive.widget_from_abbrev(each).value for name, each in controls.items()}
    _show_still(function, shown or [first])


def _is_live() -> bool:
    """Whether somebody may sit in front: not in tests, in stored runs, or outside a notebook."""
    still = os.environ.get("COURSE_PROFILE") == "smoke" or "COURSE_VERDICTS" in os.environ
    return hasattr(get_ipython(), "kernel") and not still


def _show_live(function: Callable, controls: Mapping) -> None:
    box = interactive(function, **controls)
    for control in box.children:
        if hasattr(control, "continuous_update"):
            control.continuous_update = False  # one call when the mouse is let go
    display(box)


def _show_still(function: Callable, settings: Sequence[Mapping]) -> None:
    """Settings side by side: a line each for short texts, else a column each."""
    seen = []
    for chosen in settings:
        with capture_output() as captured:
            result = function(**chosen)
        title = ", ".join(f"{name} = {value!r}" for name, value in chosen.items())
        text = captured.stdout + ("" if result is None else str(result))
        seen.append((title, text.rstrip(), captured.outputs))
    if not any(outputs or "\n" in text for _, text, outputs in seen):
        width = max(len(title) for title, _, _ in seen)
        print("\n".join(f"{title:<{width}}   {text}" for title, text, _ in seen))
        return
    for title, text, outputs in seen:
        print("\n".join(filter(None, [f"--- {title}", text])))
        for output in outputs:
            output.display()
