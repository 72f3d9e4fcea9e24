"""Notebooks that keep every house rule, and a small course to put them in."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import notebooks
from helpers.commands import sync

__all__ = ["ADDRESS", "good_notebook", "place_of", "stamp", "write_course"]

ADDRESS = "https://github.com/someone/some-course"
PYPROJECT = f'[project]\nname = "some-course"\n[project.urls]\nRepository = "{ADDRESS}"\n'

HEAD = """\
{title}

**What does a model know before it sees a label?**

- read a corpus
- train a baseline
- compare it with
  a stronger one

**Before:** you need Python, and one lesson on probability.
**Minutes:** <!-- minutes -->40 minutes to read, 4.5 of compute on two cores<!-- /minutes -->
**Live** is the small run; from the **reference** ledger come the large ones.

[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]\
(https://colab.research.google.com/github/someone/some-course/blob/main/notebooks/{place}.ipynb)"""

ALT = "Accuracy over label budgets; the counts stay below the vectors everywhere."
KINDS = {
    "lesson": ("# {number} · A topic (2013-2015)", "{number:02d}_topic"),
    "bonus": ("# Bonus · A topic", "bonus/topic"),
    "solution": ("# {number} · A topic: solutions", "solutions/{number:02d}_topic"),
}


def place_of(number: int = 0, kind: str = "lesson") -> str:
    """Where `write_course` expects such a notebook: its path under `notebooks/`, without suffix."""
    return KINDS[kind][1].format(number=number)


def good_notebook(number: int = 0, kind: str = "lesson"):
    """A notebook of the given kind that breaks no rule: executed, stamped, 46 cells in a lesson."""
    title = KINDS[kind][0].format(number=number)
    setup_name = {"lesson": number, "bonus": "bonus/topic", "solution": f"solutions/{number}"}[kind]
    head = title if kind == "solution" else HEAD.format(title=title, place=place_of(number, kind))
    cells = [
        new_markdown_cell(head),
        new_code_cell(sync.COLAB_CELL.format(address=ADDRESS)),
        new_code_cell(sync.setup_cell(setup_name)),
    ]
    cells += _exercises() if kind == "solution" else _sections() + _closing(kind)
    notebook = new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    code = [cell for cell in cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    return stamp(notebook)


def stamp(notebook, **changes):
    """Stamp a notebook as run in profile `cpu` with its present code; `changes` override."""
    notebook.metadata.course_stamp = {
        "profile": "cpu",
        "device": "cpu x86_64, 2 threads",
        **notebooks.made_with(notebook),
        "seconds": 61.0,
        "peak_memory_bytes": 2**30,
        **changes,
    }
    return notebook


def write_course(tmp_path: Path, **course) -> Path:
    """Write a course: `write_course(tmp_path, **{place_of(3): good_notebook(3)})`.

    Returns:
        The root, with `pyproject.toml`, `README.md` and the notebooks under `notebooks/`.
    """
    for folder in ("bonus", "solutions"):
        (tmp_path / "notebooks" / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (tmp_path / "README.md").write_text("# A course\n\nBegin anywhere.\n", encoding="utf-8")
    for place, notebook in course.items():
        nbformat.write(notebook, tmp_path / "notebooks" / f"{place}.ipynb")
    return tmp_path


def _sections() -> list:
    cells = []
    for section in range(1, 9):
        cells += [
            new_markdown_cell(f"## {section}.1 A step"),
            new_markdown_cell("> **Predict.** Will the curves cross?"),
            new_code_cell("curve = sorted([3, 1, 2])\nprint(curve)", outputs=[_print("[1, 2, 3]")]),
            new_markdown_cell("> **Interpret.** Where do they cross, and why there?"),
        ]
    figure = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    show = new_output("display_data", data=figure, metadata={"image/png": {"alt": ALT}})
    return cells + [
        new_code_cell("plots.learning_curve([curve])", outputs=[show]),
        new_code_cell('expect("the curve rises", curve[0] < curve[-1])'),
    ]


def _exercises() -> list:
    return [
        new_markdown_cell("## Exercises"),
        new_code_cell('answer = 2\ncheck("warm_up", answer)'),
        new_code_cell("check('core', [1, 2][...:])"),
    ]


def _closing(kind: str) -> list:
    top = "../.." if kind == "bonus" else ".."
    return [
        new_markdown_cell("## What it changed, and what it cost\n\nCells print what it cost."),
        *_exercises(),
        new_markdown_cell("## What we learned\n\nKim (2014) reported 81.5 on this corpus."),
        new_markdown_cell("## References\n\n- Kim (2014), [paper](https://example.org/kim)"),
        new_markdown_cell("The next era began with whole sentences."),
        new_markdown_cell(f"[Back to the step](#1.1-A-step) or [the README]({top}/README.md)."),
    ]


def _print(text: str):
    return new_output("stream", name="stdout", text=text + "\n")
