"""House rules of the notebooks, checked without running them.

`course lint` prints one line for each broken rule with its remedy. What text must keep to is in
`lint_prose`, what code cells and stored outputs must keep to is in `lint_code`; this module holds
the anatomy of a notebook and puts the rules together.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers import notebooks
from helpers.commands import template
from helpers.commands.lint_code import Finding, code_findings, count_calls, machine_findings
from helpers.commands.lint_prose import headings, prose_findings, strip_code
from helpers.runtime import ROOT

__all__ = ["WARNINGS", "Problem", "lint", "lint_markdown", "lint_notebook"]

# Rules that ask for a second look; every other rule fails the check.
WARNINGS = frozenset(
    {"cell-count", "cell-length", "imports", "predict", "stale-helpers", "stored-warning", "words"}
)
CELLS_HABIT = range(40, 71)
OBJECTIVES = range(3, 6)
EXERCISES = range(2, 5)
PREDICTIONS = 3
STORED_PROFILE = "cpu"

TITLES = {
    "lesson": (r"# {number} · \S.*", "# {number} · Title (years)"),
    "solution": (r"# {number} · \S.*", "# {number} · Title: solutions"),
    "bonus": (r"# Bonus · \S.*", "# Bonus · Title"),
    "bonus solution": (r"# Bonus · \S.*: solutions", "# Bonus · Title: solutions"),
}
LIST_ITEM = re.compile(r"^(?:[-*+]|\d+[.)])\s+\S")
HEAD_PARTS = (
    (
        r"^\*\*[^*]+\*\*\s*$|\?[*_]*\s*$",
        "the question, a line in bold or ending with a question mark",
    ),
    (r"(?i)\b(?:before|needs?)\b", "what the learner needs before"),
    (r"<!-- minutes -->\s*\S[\s\S]*?<!-- /minutes -->", "the minutes, between their two comments"),
    (r"(?i)\blive\b", "what is computed live"),
    (r"(?i)\breference\b", "what is drawn from the reference ledger"),
)
SECTIONS = ("What it changed, and what it cost", "Exercises", "What we learned", "References")


@dataclass(frozen=True)
class Problem:
    """One broken house rule: where it is, and what to do about it."""

    path: Path
    cell: int | None
    rule: str
    message: str
    level: str

    def __str__(self) -> str:
        """One line, however long the quoted source was."""
        place = f"{self.path}" if self.cell is None else f"{self.path}, cell {self.cell}"
        return f"{place}: {self.level}: [{self.rule}] {' '.join(self.message.split())}"


def lint_notebook(path: Path, root: Path = ROOT) -> list[Problem]:
    """Check one notebook against every house rule of its kind.

    Args:
        path: a file in `notebooks/`, `notebooks/bonus/` or `notebooks/solutions/`.
        root: the top of the tree, whose `pyproject.toml` gives the address in badge and setup.

    Returns:
        The problems in the order of the cells, those of the file as a whole first.
    """
    path = Path(path)
    kind = notebooks.kind_of(path.resolve())
    try:
        notebook = notebooks.read(path)
    except (ValueError, OSError) as error:
        return _problems(path, [(None, "unreadable", str(error))])
    rules = [
        _head(notebook, path, kind, root),
        _setup(notebook, path, kind, root),
        _metadata(notebook, path),
        _text(notebook, path),
        code_findings(notebook, kind),
    ]
    if kind != "solution":
        rules.append(_sections(notebook))
    if kind == "lesson":
        rules.append(_lesson(notebook))
    return _problems(path, [finding for rule in rules for finding in rule])


def lint_markdown(path: Path) -> list[Problem]:
    """Check a Markdown file, such as the README, against the house rules for text."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (ValueError, OSError) as error:
        return _problems(path, [(None, "unreadable", f"not readable as UTF-8 text: {error}")])
    found = [*prose_findings(text, path.parent, text), *machine_findings(text)]
    return _problems(path, [(None, rule, message) for rule, message in found])


def lint(
    paths: Iterable[Path] | None = None, root: Path = ROOT, echo: Callable[[str], None] = print
) -> int:
    """Check notebooks and Markdown files and print what to mend.

    Args:
        paths: files to check; without it every notebook of the course, and the README.
        root: the top of the tree.
        echo: called with each line of the report.

    Returns:
        An exit code: 0 if no rule that fails is broken, else 1. Warnings do not fail.
    """
    if paths is None:
        pages = (root / name for name in ("README.md", "INSTRUCTORS.md"))
        paths = [*notebooks.find(root), *(page for page in pages if page.exists())]
    files = [Path(path) for path in paths]
    if not files:
        echo(f"Nothing to check: there is no notebook under {root / 'notebooks'}.")
        return 1
    problems = []
    for file in files:
        check = lint_markdown(file) if file.suffix == ".md" else lint_notebook(file, root)
        problems += check
        for problem in check:
            echo(str(problem))
    errors = sum(problem.level == "error" for problem in problems)
    echo(f"{len(files)} files: {errors} errors, {len(problems) - errors} warnings.")
    return 1 if errors else 0


def _problems(path: Path, findings: Iterable[Finding]) -> list[Problem]:
    ordered = sorted(findings, key=lambda finding: -1 if finding[0] is None else finding[0])
    return [
        Problem(path, cell, rule, message, "warning" if rule in WARNINGS else "error")
        for cell, rule, message in ordered
    ]


def _number(path: Path) -> int | None:
    match = re.match(r"(\d\d)_\w", path.stem)
    return int(match[1]) if match else None


def _head(notebook, path: Path, kind: str, root: Path) -> Iterator[Finding]:
    number = _number(path)
    of_bonus = kind == "solution" and (root / "notebooks" / "bonus" / path.name).exists()
    if kind != "bonus" and number is None and not of_bonus:
        yield None, "title", "the file's name does not start with a number; call it NN_slug.ipynb"
        return
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown":
        yield 0, "title", "the first cell is not Markdown; begin with the title"
        return
    titles = TITLES["bonus solution" if of_bonus else kind]
    pattern, shape = (part.format(number=number) for part in titles)
    title, _, rest = first.source.partition("\n")
    if not re.fullmatch(pattern, title.rstrip()):
        yield 0, "title", f"the first line is {title!r}; write `{shape}`"
    if kind == "solution":
        return
    for wanted, meaning in HEAD_PARTS:
        if not re.search(wanted, rest, re.M):
            yield 0, "head", f"the head does not say {meaning}; add it"
    objectives = _first_list(rest)
    if objectives not in OBJECTIVES:
        yield 0, "head", f"{objectives} objectives; list three to five, each beginning with a verb"
    place = f"notebooks/bonus/{path.name}" if kind == "bonus" else f"notebooks/{path.name}"
    if template.badge(place, root) not in rest:
        yield 0, "badge", "the Colab badge is missing or leads elsewhere; `course sync` writes it"


def _first_list(text: str) -> int:
    """Number of items in the first list of a text; wrapped lines and blank ones belong to it."""
    items = 0
    for line in text.splitlines():
        if LIST_ITEM.match(line):
            items += 1
        elif items and line.strip() and not line.startswith(" "):
            break
    return items


def _setup(notebook, path: Path, kind: str, root: Path) -> Iterator[Finding]:
    number = _number(path)
    solved = path.stem if number is None else number
    name = {"bonus": f"bonus/{path.stem}", "solution": f"solutions/{solved}"}
    wanted = (
        template.colab_source(root),
        template.setup_source(name.get(kind, number or 0)),
    )
    code = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for place, source in enumerate(wanted):
        index, found = (code[place][0], code[place][1].source) if code[place:] else (None, "")
        if found != source:
            which = ("Colab cell, the first code cell,", "setup cell, the second,")[place]
            yield index, "setup", f"the {which} is not the template's; it ends {source[-70:]!r}"
    for index, cell in code[2:]:
        if notebooks.is_setup_cell(cell):
            yield (
                index,
                "setup",
                "looks like a second setup cell, so its code would be left out of the stamp; only "
                "the Colab cell and the setup cell stand once, at the top",
            )


def _metadata(notebook, path: Path) -> Iterator[Finding]:
    if "widgets" in notebook.metadata:
        yield None, "widgets", "widget state is stored; GitHub cannot show it, so remove it"
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield (
            None,
            "kernelspec",
            f"the kernel is {kernel!r}; name it python3, as every machine does",
        )
    folder = {"bonus": "bonus/", "solution": "solutions/"}.get(notebooks.kind_of(path), "")
    rerun = f"run `course run --store {folder}{path.stem}`"
    stamp = notebooks.read_stamp(path)
    if not stamp:
        yield None, "stamp", f"no complete stamp says where the outputs come from; {rerun}"
        return
    if stamp["code"] != notebooks.code_hash(notebook):
        yield (
            None,
            "stamp",
            f"the outputs are stale, the code changed after they were made; {rerun}",
        )
    if stamp["profile"] != STORED_PROFILE:
        yield None, "stamp", f"outputs of profile {stamp['profile']}, not {STORED_PROFILE}; {rerun}"
    if stamp["helpers"] != notebooks.revision_of(notebook):
        yield None, "stale-helpers", f"helpers changed after the outputs were made; {rerun}"


def _text(notebook, path: Path) -> Iterator[Finding]:
    markdown = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    anchors = "\n\n".join(markdown)
    for index, cell in enumerate(notebook.cells):
        found = list(machine_findings(cell.source))
        if cell.cell_type == "markdown":
            found += prose_findings(cell.source, path.parent, anchors)
        for rule, message in found:
            yield index, rule, message


def _sections(notebook) -> Iterator[Finding]:
    where: dict[str, int] = {}
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            bold = re.findall(r"^\*\*(.+?)\*\*", strip_code(cell.source), re.M)
            for name in SECTIONS:
                if any(name.lower() in line.lower() for line in headings(cell.source) + bold):
                    where.setdefault(name, index)
    for name in SECTIONS:
        if name not in where:
            yield None, "section", f"no heading {name!r}; every notebook has that section"
    if "Exercises" in where:
        start = where["Exercises"]
        checked = sum(_has_call(cell, "check") for cell in notebook.cells[start:])
        if checked not in EXERCISES:
            yield start, "exercises", f"{checked} cells with check(...) follow; have two to four"


def _lesson(notebook) -> Iterator[Finding]:
    if not any(_has_call(cell, "expect") for cell in notebook.cells):
        yield None, "expect", "no cell states a claim with expect(...); add one to the results"
    if len(notebook.cells) not in CELLS_HABIT:
        low, high = CELLS_HABIT[0], CELLS_HABIT[-1]
        yield None, "cell-count", f"{len(notebook.cells)} cells, the habit is {low} to {high}"
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for mark in ("**Predict.**", "**Interpret.**"):
        if text.count(mark) < PREDICTIONS:
            yield None, "predict", f"{text.count(mark)} of {mark}; have {PREDICTIONS} or more"


def _has_call(cell, name: str) -> bool:
    return cell.cell_type == "code" and count_calls(cell.source, name) > 0
