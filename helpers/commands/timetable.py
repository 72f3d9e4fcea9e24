"""Half a day and a day with the course, in minutes that come from the notebooks themselves.

Minutes of reading and of exercises stand in each notebook's metadata; minutes of compute are those
of its stored run. `course sync` writes the tables into INSTRUCTORS.md.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from helpers import notebooks
from helpers.runtime import ROOT

__all__ = ["DAYS", "PLAN_KEY", "Day", "Pause", "Stop", "minutes_of", "timetable"]

PLAN_KEY = "course_plan"
"""Notebook metadata: `reading` and `exercises` in minutes, `t4_factor` (T4 over CPU compute)."""


@dataclass(frozen=True)
class Stop:
    """A lesson, in full or without its exercises."""

    notebook: str
    exercises: bool = True


@dataclass(frozen=True)
class Pause:
    """Minutes without the course."""

    minutes: int
    what: str = "pause"


@dataclass(frozen=True)
class Day:
    """Stops in their order, and the minutes that they should not exceed."""

    minutes: int
    stops: tuple[Stop | Pause, ...]


DAYS = {
    "half-day": Day(
        240,
        (
            Stop("00_start_here"),
            Stop("04_bert", exercises=False),
            Pause(15),
            Stop("07_lora", exercises=False),
            Stop("09_whole_history", exercises=False),
        ),
    ),
    "one-day": Day(
        480,
        (
            Stop("00_start_here"),
            Pause(15),
            Stop("04_bert"),
            Stop("06_gpt", exercises=False),
            Pause(60, "lunch"),
            Stop("07_lora"),
            Pause(15),
            Stop("09_whole_history", exercises=False),
            Stop("10_your_own_data", exercises=False),
        ),
    ),
}


def minutes_of(notebook: str, root: Path = ROOT) -> dict[str, int] | None:
    """Whole minutes of a lesson: `reading`, `exercises`, and `compute` rounded up.

    Returns:
        None if the notebook, its plan or its stored run is missing.
    """
    path = root / "notebooks" / f"{notebook}.ipynb"
    stamp = notebooks.read_stamp(path)
    plan = notebooks.read(path).metadata.get(PLAN_KEY, {}) if stamp else {}
    if not {"reading", "exercises"} <= set(plan):
        return None
    compute = math.ceil(stamp["seconds"] / 60)
    return {"reading": plan["reading"], "exercises": plan["exercises"], "compute": compute}


def timetable(name: str, root: Path = ROOT) -> str:
    """The table of one of `DAYS`, in Markdown.

    A stop takes its reading, its exercises and its compute one after the other, as if nobody read
    while cells run: what is saved there is the slack. A lesson whose run is not stored yet has
    question marks, and adds nothing to the clock.
    """
    lines = [
        "| start | notebook | read and talk | exercises | compute | in all |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    clock, least = 0, ""
    for stop in DAYS[name].stops:
        if isinstance(stop, Pause):
            cells, total = [f"*{stop.what}*", "", "", "", stop.minutes], stop.minutes
        elif found := minutes_of(stop.notebook, root):
            exercises = found["exercises"] if stop.exercises else 0
            total = found["reading"] + exercises + found["compute"]
            link = f"[{stop.notebook}](notebooks/{stop.notebook}.ipynb)"
            cells = [link, found["reading"], exercises or "none", found["compute"], total]
        else:
            cells, total = [f"{stop.notebook} (no stored run yet)", *"????"], 0
            least = "at least "
        lines.append(_row(clock, cells))
        clock += total
    lines.append(_row(clock, ["*end*", "", "", "", f"{least}{clock}"]))
    return "\n".join(lines) + "\n"


def _row(clock: int, cells: list) -> str:
    start = f"{clock // 60}:{clock % 60:02d}"
    return "".join(f"| {cell} " if cell != "" else "| " for cell in [start, *cells]) + "|"
