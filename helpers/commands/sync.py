"""`course sync`: write what is known in one place wherever it is shown.

The repository's address comes from `pyproject.toml`; minutes and memory from the stamps of the
stored runs; reading and exercise minutes from each notebook's metadata; the README's picture from a
notebook's stored output. They are shown in Colab cells, badges, notebook heads, the README and
INSTRUCTORS.md, and a test finds none that differs.
"""

import base64
import re
from pathlib import Path

from helpers import notebooks
from helpers.commands import t4, template
from helpers.commands.timetable import DAYS, PLAN_KEY, timetable
from helpers.files import write_text
from helpers.runtime import ROOT

__all__ = [
    "front_picture",
    "minutes_line",
    "sync",
    "synced_instructors",
    "synced_notebook",
    "synced_readme",
]

BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)")
MINUTES = re.compile(r"(<!-- minutes -->).*?(<!-- /minutes -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- notebooks -->\n).*?(<!-- /notebooks -->)", re.DOTALL)
CLONE = re.compile(r"(git clone (?:--?\S+ )*)[^\s`<>)\"']+")
CITE = re.compile(r"(url\s*=\s*\{)[^}]*(\})")
PICTURE = re.compile(r"!\[[^\]]*\]\(notebooks/front\.png\)")
FRONT = ("09_whole_history", "history_figure(")
"""The README's picture: the notebook, and a piece of the cell that draws it."""
BLOCK = re.compile(
    r"(<!-- (minutes|notebooks) -->\n<!-- ([\w-]+) -->\n).*?(<!-- /\2 -->)", re.DOTALL
)
"""A table of INSTRUCTORS.md; its second comment names it."""


def sync(check: bool = False, root: Path = ROOT, echo=print) -> int:
    """Bring every shown copy up to date.

    Args:
        check: change nothing, list what differs.
        root: the repository.
        echo: where the list goes.

    Returns:
        0; with `check`, 1 if something differs.
    """
    stale = []
    for path in notebooks.find(root):
        notebook = notebooks.read(path)
        before = notebook.copy()
        before.cells = [cell.copy() for cell in notebook.cells]
        if synced_notebook(notebook, path, root) != before:
            stale.append(path)
            if not check:
                notebooks.write(path, notebook)
    alt, picture = front_picture(root)
    front = root / "notebooks" / "front.png"
    if picture and (not front.exists() or front.read_bytes() != picture):
        stale.append(front)
        if not check:
            front.write_bytes(picture)
    for name, refresh in PAGES.items():
        page = root / name
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        if (fresh := refresh(text, alt, root)) != text:
            stale.append(page)
            if not check:
                write_text(page, fresh)
    for path in stale:
        echo(f"{'differs' if check else 'written'}: {path.relative_to(root).as_posix()}")
    if check and stale:
        echo("Run `course sync`.")
    return int(check and bool(stale))


def synced_notebook(notebook, path: Path, root: Path = ROOT):
    """Put address, badge and minutes into a notebook (changed in place and returned)."""
    relative = path.relative_to(root).as_posix()
    for cell in notebook.cells:
        if notebooks.is_setup_cell(cell) and cell.source.startswith("#"):
            cell.source = template.colab_source(root)
        elif cell.cell_type == "markdown":
            cell.source = BADGE.sub(lambda _: template.badge(relative, root), cell.source)
            line = minutes_line(notebook)
            cell.source = MINUTES.sub(lambda m, line=line: m[1] + line + m[2], cell.source)
    return notebook


def minutes_line(notebook) -> str:
    """What a notebook asks of a learner's time: reading, exercises, compute here and on a T4."""
    plan = notebook.metadata.get(PLAN_KEY, {})
    cpu, t4 = _compute_minutes(notebook)
    return (
        f"{plan.get('reading', '?')} minutes to read, {plan.get('exercises', '?')} for the "
        f"exercises; {cpu} of compute on two cores, {t4} on a T4 (estimated)"
    )


def front_picture(root: Path = ROOT) -> tuple[str, bytes]:
    """Description and PNG bytes of the figure that fronts the README; empty if none is stored."""
    name, piece = FRONT
    path = root / "notebooks" / f"{name}.ipynb"
    for cell in notebooks.read(path).cells if path.exists() else []:
        if cell.cell_type == "code" and piece in cell.source:
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    alt = output.metadata["image/png"]["alt"]
                    return alt, base64.b64decode(output.data["image/png"])
    return "", b""


def synced_readme(text: str, alt: str, root: Path = ROOT) -> str:
    """Put the table of notebooks, the address and the picture's description into the README."""
    if alt:
        text = PICTURE.sub(lambda _: f"![{alt}](notebooks/front.png)", text)
    text = TABLE.sub(lambda m: m[1] + _table(root) + m[2], text)
    text = CLONE.sub(lambda m: m[1] + template.address(root), text)
    return CITE.sub(lambda m: m[1] + template.address(root) + m[2], text)


def synced_instructors(text: str, alt: str = "", root: Path = ROOT) -> str:
    """Put timetables, the memory of a T4 and the address into INSTRUCTORS.md.

    Raises:
        ValueError: if a table there has a name that nothing is known about.
    """

    def fill(block: re.Match) -> str:
        name = block[3]
        if name != "t4" and name not in DAYS:
            raise ValueError(f"INSTRUCTORS.md has a table {name!r}; known: t4, {', '.join(DAYS)}.")
        return block[1] + (t4.tables(root) if name == "t4" else timetable(name, root)) + block[4]

    return CLONE.sub(lambda m: m[1] + template.address(root), BLOCK.sub(fill, text))


PAGES = {"README.md": synced_readme, "INSTRUCTORS.md": synced_instructors}


def _compute_minutes(notebook) -> tuple[str, str]:
    stamp = notebook.metadata.get(notebooks.STAMP_KEY)
    if not stamp or "seconds" not in stamp:
        return "?", "?"
    cpu = stamp["seconds"] / 60
    factor = notebook.metadata.get(PLAN_KEY, {}).get("t4_factor", 1.0)
    return f"{cpu:.1f}", f"{cpu * factor:.1f}"


def _table(root: Path) -> str:
    lines = [
        "| notebook | reading | exercises | compute, two cores | compute, T4 (estimated) "
        "| memory | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for path in notebooks.find(root, kinds=("lesson", "bonus")):
        notebook = notebooks.read(path)
        relative = path.relative_to(root).as_posix()
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        plan, stamp = notebook.metadata.get(PLAN_KEY, {}), notebooks.read_stamp(path)
        cpu, t4 = _compute_minutes(notebook)
        memory = f"{stamp['peak_memory_bytes'] / 1e9:.1f} GB" if stamp else "?"
        lines.append(
            f"| [{title}]({relative}) | {plan.get('reading', '?')} min | "
            f"{plan.get('exercises', '?')} min | {cpu} min | {t4} min | {memory} | "
            f"{template.badge(relative, root)} |"
        )
    return "\n".join(lines) + "\n"
