"""`course lint`: check notebooks and pages without running them; one line per broken rule."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from nbformat.v4 import new_markdown_cell, new_notebook

from helpers import notebooks
from helpers.commands import lint_content, lint_structure
from helpers.commands.lint_page import Page
from helpers.runtime import ROOT

__all__ = ["RULES", "Problem", "lint", "problems_of"]

RULES = [*lint_structure.RULES, *lint_content.RULES]


@dataclass(frozen=True)
class Problem:
    """One broken house rule: where it is, and what to do about it."""

    path: Path
    cell: int | None
    rule: str
    message: str
    fails: bool = True

    def __str__(self) -> str:
        """One line, however long the quoted source."""
        place = f"{self.path}" if self.cell is None else f"{self.path}, cell {self.cell}"
        level = "error" if self.fails else "warning"
        return f"{place}: {level}: [{self.rule}] {' '.join(self.message.split())}"


def lint(
    paths: Iterable[Path] | None = None, root: Path = ROOT, echo: Callable[[str], None] = print
) -> int:
    """Check files (by default all notebooks, README and INSTRUCTORS) and print what to mend.

    Returns 1 if there are errors, else 0: warnings do not count. `root` has the `pyproject.toml`
    with the address for badge and setup.
    """
    if paths is None:
        pages = (root / name for name in ("README.md", "INSTRUCTORS.md"))
        paths = [*notebooks.find(root), *(page for page in pages if page.exists())]
    files = [Path(path) for path in paths]
    problems = [problem for file in files for problem in problems_of(file, root)]
    for problem in problems:
        echo(str(problem))
    errors = sum(problem.fails for problem in problems)
    echo(f"{len(files)} files: {errors} errors, {len(problems) - errors} warnings.")
    return int(errors > 0 or not files)  # a course without notebooks is not a green one


def problems_of(path: Path, root: Path = ROOT) -> list[Problem]:
    """Check one notebook or Markdown file against the rules of its kind, in the order of cells."""
    try:
        page = _read(Path(path), root)
    except (ValueError, OSError) as error:
        return [Problem(path, None, "unreadable", str(error))]
    found = [
        Problem(path, None if page.kind == "page" else cell, rule.name, message, rule.fails)
        for rule in RULES
        if page.kind in rule.kinds
        for cell, message in rule.check(page)
    ]
    return sorted(found, key=lambda problem: -1 if problem.cell is None else problem.cell)


def _read(path: Path, root: Path) -> Page:
    if path.suffix == ".md":
        text = new_markdown_cell(path.read_text(encoding="utf-8"))
        return Page(path, root, "page", new_notebook(cells=[text]))
    return Page(path, root, notebooks.kind_of(path.resolve()), notebooks.read(path))
