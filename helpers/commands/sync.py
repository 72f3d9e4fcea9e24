"""`course sync`: copy what is known in one place to wherever it is shown.

Sources: `pyproject.toml` (address), stamps of stored runs (minutes, memory), notebook metadata
(minutes to read), a stored figure. Shown in notebooks, the README and INSTRUCTORS.md.
"""

import base64
import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers import notebooks
from helpers.files import write_bytes
from helpers.runtime import ROOT

__all__ = ["DAYS", "Stop", "badge", "colab_cell", "setup_cell", "sync", "synced_page", "timetable"]

PLAN_KEY = "course_plan"
"""Notebook metadata: `reading` and `exercises` in minutes, `t4_factor` (T4 over CPU compute)."""
COLAB_CELL = """\
# On Colab: fetch the course and install what is missing. Elsewhere this cell does nothing.
import subprocess
import sys
from pathlib import Path

if "google.colab" in sys.modules:
    course = Path("finetuning-history")
    clone = ["git", "clone", "--depth=1", "{address}"]
    if not course.exists():
        subprocess.run([*clone, str(course)], check=True)
    subprocess.run([sys.executable, str(course / "helpers/commands/colab.py")], check=True)
    sys.path.insert(0, str(course.resolve()))"""
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}
"""Metadata of the Colab cell: Colab and JupyterLab show a line in its place."""
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)")
MINUTES = re.compile(r"(<!-- minutes -->).*?(<!-- /minutes -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- notebooks -->\n)(?!<!--).*?(<!-- /notebooks -->)", re.DOTALL)
CLONE = re.compile(r"(git clone (?:--?\S+ )*)[^\s`<>)\"']+()")
CITE = re.compile(r"(url\s*=\s*\{)[^}]*(\})")
PICTURE = re.compile(r"(!\[)[^\]]*\]\(notebooks/front\.\w+(\))")
FRONT = ("09_whole_history", "history_figure(")
"""The README's picture: the notebook, and a piece of the cell that draws it."""


@dataclass(frozen=True)
class Stop:
    """A lesson, in full or without its exercises; with `minutes`, a pause."""

    what: str
    exercises: bool = True
    minutes: int = 0


DAYS = {
    "half-day": (
        Stop("00_start_here"),
        Stop("04_bert", exercises=False),
        Stop("pause", minutes=15),
        Stop("07_lora", exercises=False),
        Stop("09_whole_history", exercises=False),
    ),
    "one-day": (
        Stop("00_start_here"),
        Stop("pause", minutes=15),
        Stop("04_bert"),
        Stop("06_gpt", exercises=False),
        Stop("lunch", minutes=60),
        Stop("07_lora"),
        Stop("pause", minutes=15),
        Stop("09_whole_history", exercises=False),
        Stop("10_your_own_data", exercises=False),
    ),
}


def address(root: Path = ROOT) -> str:
    """The repository's address, from `pyproject.toml`."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].rstrip("/")


def badge(notebook_path: str, root: Path = ROOT) -> str:
    """The Colab badge, in Markdown, for a notebook's path from the top of the repository."""
    place = address(root).removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{place}/blob/main/{notebook_path}"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"


def colab_cell(root: Path = ROOT) -> str:
    """Source of the first code cell of every notebook."""
    return COLAB_CELL.format(address=address(root))


def setup_cell(notebook: int | str) -> str:
    """Source of the setup cell of notebook 3 (`3`), a bonus (`"bonus/slug"`) or a solution."""
    name = f'"{notebook}"' if isinstance(notebook, str) else notebook
    return f"from helpers import setup\n\nrun = setup(notebook={name})"


def sync(check: bool = False, root: Path = ROOT, echo: Callable[[str], None] = print) -> int:
    """Bring every shown copy up to date; with `check`, only list what differs, and return 1."""
    fresh = {path: _synced_notebook(path, root).encode() for path in notebooks.find(root)}
    _, name, picture = _front_picture(root)
    if picture:
        fresh[root / "notebooks" / name] = picture
    for page in (root / "README.md", root / "INSTRUCTORS.md"):
        if page.exists():
            fresh[page] = synced_page(page.read_text(encoding="utf-8"), root).encode()
    stale = [p for p, new in fresh.items() if not p.exists() or p.read_bytes() != new]
    for path in stale:
        if not check:
            write_bytes(path, fresh[path])
        echo(f"{'differs' if check else 'written'}: {path.relative_to(root).as_posix()}")
    if check and stale:
        echo("Run `course sync`.")
    return int(check and bool(stale))


def _synced_notebook(path: Path, root: Path) -> str:
    """The text of a notebook with current address, badge and minutes."""
    notebook = notebooks.read(path)
    mark = badge(path.relative_to(root).as_posix(), root)
    reading, exercises, cpu, t4, _ = _figures(notebook)
    minutes = f"{reading} minutes to read, {exercises} for the exercises; {cpu} of compute on two "
    minutes += f"cores, {t4} on a T4 (estimated)"
    for cell in notebook.cells:
        if notebooks.is_setup_cell(cell) and cell.source.startswith("#"):
            cell.source = colab_cell(root)
            if notebooks.uses_kit(notebook):
                cell.metadata |= FOLDED
        elif cell.cell_type == "markdown":
            cell.source = _filled(MINUTES, minutes, BADGE.sub(lambda _: mark, cell.source))
    return notebooks.text_of(notebook)


def synced_page(text: str, root: Path = ROOT) -> str:
    """The README or INSTRUCTORS.md with current tables, timetables, address and picture."""
    alt, name, _ = _front_picture(root)
    if alt:
        text = _filled(PICTURE, f"{alt}](notebooks/{name}", text)
    for name in DAYS:
        mark = f"<!-- minutes -->\n<!-- {name} -->\n"
        day = re.compile(f"({mark}).*?(<!-- /minutes -->)", re.DOTALL)
        text = _filled(day, timetable(name, root), text)
    text = _filled(TABLE, _table(root), text)
    return _filled(CITE, address(root), _filled(CLONE, address(root), text))


def _filled(pattern: re.Pattern, new: str, text: str) -> str:
    """Replace what is between the two groups of a pattern."""
    return pattern.sub(lambda match: match[1] + new + match[2], text)


def _front_picture(root: Path) -> tuple[str, str, bytes]:
    """Alt text, file name and bytes of the README's picture; empty if none is stored."""
    name, piece = FRONT
    path = root / "notebooks" / f"{name}.ipynb"
    for cell in notebooks.read(path).cells if path.exists() else []:
        for output in cell.outputs if cell.cell_type == "code" and piece in cell.source else []:
            data, about = output.get("data", {}), output.get("metadata", {})
            if "image/svg+xml" in data:
                drawn = data["image/svg+xml"].encode("utf-8")
                return about["image/svg+xml"]["alt"], "front.svg", drawn
            if "image/png" in data:
                picture = base64.b64decode(data["image/png"])
                return about["image/png"]["alt"], "front.png", picture
    return "", "", b""


def timetable(name: str, root: Path = ROOT) -> str:
    """The Markdown table of one of `DAYS`.

    Reading, exercises and compute (rounded up) are added up, though people read while cells run:
    that is the slack. A lesson without a stored run has question marks, and adds no minutes.
    """
    rows = [("start", "notebook", "read and talk", "exercises", "compute", "in all")]
    clock, least = 0, ""
    for stop in DAYS[name]:
        path, total = root / "notebooks" / f"{stop.what}.ipynb", stop.minutes
        if stop.minutes:
            cells = [f"*{stop.what}*", "", "", ""]
        elif stamp := notebooks.read_stamp(path):
            plan, compute = (
                notebooks.read(path).metadata[PLAN_KEY],
                math.ceil(stamp["seconds"] / 60),
            )
            exercises = plan["exercises"] if stop.exercises else 0
            total = plan["reading"] + exercises + compute
            link = f"[{stop.what}](notebooks/{stop.what}.ipynb)"
            cells = [link, plan["reading"], exercises or "none", compute]
        else:
            cells, least = [f"{stop.what} (no stored run yet)", "?", "?", "?"], "at least "
        rows.append((_clock(clock), *cells, total or "?"))
        clock += total
    rows.append((_clock(clock), "*end*", "", "", "", f"{least}{clock}"))
    lines = [f"| {' | '.join(map(str, row))} |".replace("  ", " ") for row in rows]
    return "\n".join([lines[0], "|---:|---|---:|---:|---:|---:|", *lines[1:]]) + "\n"


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02d}"


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
    """A row for each lesson and bonus: title, minutes, memory, badge."""
    lines = [
        "| notebook | reading | exercises | compute, two cores | compute, T4 (estimated) "
        "| memory | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for path in notebooks.find(root, kinds=("lesson", "bonus")):
        notebook, place = notebooks.read(path), path.relative_to(root).as_posix()
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        *minutes, memory = _figures(notebook)
        cells = [f"[{title}]({place})", *(f"{number} min" for number in minutes)]
        lines.append(f"| {' | '.join(cells)} | {memory} GB | {badge(place, root)} |")
    return "\n".join(lines) + "\n"
