"""`course sync`: copy what is known in one place to wherever it is shown.

Sources: `pyproject.toml` (address), stamps of stored runs (minutes, memory), notebook metadata
(minutes to read), a stored figure. Shown in notebooks, the README and INSTRUCTORS.md.
"""

import base64
import math
import re
from dataclasses import dataclass
from pathlib import Path

from helpers import notebooks
from helpers.commands import template
from helpers.files import write_bytes
from helpers.runtime import ROOT

__all__ = [
    "DAYS",
    "Day",
    "PLAN_KEY",
    "Pause",
    "Stop",
    "minutes_line",
    "minutes_of",
    "sync",
    "synced_instructors",
    "synced_notebook",
    "synced_readme",
    "timetable",
]

PLAN_KEY = "course_plan"
"""Notebook metadata: `reading` and `exercises` in minutes, `t4_factor` (T4 over CPU compute)."""


@dataclass(frozen=True)
class Stop:
    """A lesson, in full or without its exercises."""

    notebook: str
    exercises: bool = True


@dataclass(frozen=True)
class Pause:
    """A pause, in minutes."""

    minutes: int
    what: str = "pause"


@dataclass(frozen=True)
class Day:
    """Stops in order, and the minutes that they should not exceed."""

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
    """Minutes of a lesson: `reading`, `exercises`, `compute` (rounded up); None if unknown."""
    path = root / "notebooks" / f"{notebook}.ipynb"
    stamp = notebooks.read_stamp(path)
    plan = notebooks.read(path).metadata.get(PLAN_KEY, {}) if stamp else {}
    if not {"reading", "exercises"} <= set(plan):
        return None
    compute = math.ceil(stamp["seconds"] / 60)
    return {"reading": plan["reading"], "exercises": plan["exercises"], "compute": compute}


def timetable(name: str, root: Path = ROOT) -> str:
    """The Markdown table of one of `DAYS`.

    Reading, exercises and compute are added up, though people read while cells run: that is the
    slack. A lesson without a stored run has question marks, and adds no minutes.
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


BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)")
MINUTES = re.compile(r"(<!-- minutes -->).*?(<!-- /minutes -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- notebooks -->\n).*?(<!-- /notebooks -->)", re.DOTALL)
DAY = re.compile(r"(<!-- minutes -->\n<!-- ([\w-]+) -->\n).*?(<!-- /minutes -->)", re.DOTALL)
CLONE = re.compile(r"(git clone (?:--?\S+ )*)[^\s`<>)\"']+()")
CITE = re.compile(r"(url\s*=\s*\{)[^}]*(\})")
PICTURE = re.compile(r"(!\[)[^\]]*(\]\(notebooks/front\.png\))")
FRONT = ("09_whole_history", "history_figure(")
"""The README's picture: the notebook, and a piece of the cell that draws it."""


def sync(check: bool = False, root: Path = ROOT, echo=print) -> int:
    """Bring every shown copy up to date; with `check`, only list what differs, and return 1."""
    fresh = {path: synced_notebook(path, root).encode() for path in notebooks.find(root)}
    _, picture = _front_picture(root)
    if picture:
        fresh[root / "notebooks" / "front.png"] = picture
    for name, refresh in PAGES.items():
        if (page := root / name).exists():
            fresh[page] = refresh(page.read_text(encoding="utf-8"), root).encode()
    stale = [p for p, new in fresh.items() if not p.exists() or p.read_bytes() != new]
    for path in stale:
        if not check:
            write_bytes(path, fresh[path])
        echo(f"{'differs' if check else 'written'}: {path.relative_to(root).as_posix()}")
    if check and stale:
        echo("Run `course sync`.")
    return int(check and bool(stale))


def synced_notebook(path: Path, root: Path = ROOT) -> str:
    """The text of a notebook with current address, badge and minutes."""
    notebook = notebooks.read(path)
    badge, line = template.badge(path.relative_to(root).as_posix(), root), minutes_line(notebook)
    for cell in notebook.cells:
        if notebooks.is_setup_cell(cell) and cell.source.startswith("#"):
            cell.source = template.colab_source(root)
        elif cell.cell_type == "markdown":
            cell.source = _filled(MINUTES, line, BADGE.sub(lambda _: badge, cell.source))
    return notebooks.text_of(notebook)


def minutes_line(notebook) -> str:
    """The time that a notebook takes: reading, exercises, compute here and on a T4."""
    reading, exercises, cpu, t4, _ = _figures(notebook)
    return (
        f"{reading} minutes to read, {exercises} for the exercises; {cpu} of compute on two cores, "
        f"{t4} on a T4 (estimated)"
    )


def synced_readme(text: str, root: Path = ROOT) -> str:
    """Put the table of notebooks, the address and the picture's description into the README."""
    alt, picture = _front_picture(root)
    if picture:
        text = _filled(PICTURE, alt, text)
    text = _filled(TABLE, _table(root), text)
    return _filled(CITE, template.address(root), _filled(CLONE, template.address(root), text))


def synced_instructors(text: str, root: Path = ROOT) -> str:
    """Put timetables and the address into INSTRUCTORS.md; an unknown timetable is a ValueError."""
    for _, name, _ in DAY.findall(text):
        if name not in DAYS:
            raise ValueError(f"INSTRUCTORS.md has a table {name!r}; known: {', '.join(DAYS)}.")
    text = DAY.sub(lambda match: match[1] + timetable(match[2], root) + match[3], text)
    return _filled(CLONE, template.address(root), text)


PAGES = {"README.md": synced_readme, "INSTRUCTORS.md": synced_instructors}


def _filled(pattern: re.Pattern, new: str, text: str) -> str:
    """Replace what is between the two groups of a pattern."""
    return pattern.sub(lambda match: match[1] + new + match[2], text)


def _front_picture(root: Path) -> tuple[str, bytes]:
    """Alt text and PNG bytes of the README's picture; empty if none is stored."""
    name, piece = FRONT
    path = root / "notebooks" / f"{name}.ipynb"
    for cell in notebooks.read(path).cells if path.exists() else []:
        if cell.cell_type == "code" and piece in cell.source:
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    alt = output.metadata["image/png"]["alt"]
                    return alt, base64.b64decode(output.data["image/png"])
    return "", b""


def _figures(notebook) -> list[str]:
    """Minutes of reading, exercises, compute on two cores and on a T4; then peak GB."""
    plan = notebook.metadata.get(PLAN_KEY, {})
    stamp = notebook.metadata.get(notebooks.STAMP_KEY)
    found = [str(plan.get("reading", "?")), str(plan.get("exercises", "?"))]
    if not stamp:
        return [*found, "?", "?", "?"]
    cpu = stamp["seconds"] / 60
    t4 = cpu * plan.get("t4_factor", 1.0)
    return [*found, f"{cpu:.1f}", f"{t4:.1f}", f"{stamp['peak_memory_bytes'] / 1e9:.1f}"]


def _table(root: Path) -> str:
    lines = [
        "| notebook | reading | exercises | compute, two cores | compute, T4 (estimated) "
        "| memory | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for path in notebooks.find(root, kinds=("lesson", "bonus")):
        notebook, place = notebooks.read(path), path.relative_to(root).as_posix()
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        *minutes, memory = _figures(notebook)
        cells = [f"{number} min" for number in minutes] + [f"{memory} GB"]
        lines.append(
            f"| [{title}]({place}) | {' | '.join(cells)} | {template.badge(place, root)} |"
        )
    return "\n".join(lines) + "\n"
