"""`course lint`: check notebooks and pages without running them; one line per broken rule.

A rule is a generator of (index of a cell, or None for the file; message with the remedy) under
`@rule(...)`. Syntax, star imports and long lines are left to ruff.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from helpers import notebooks
from helpers.commands.lint_lessons import LESSON_RULES
from helpers.commands.lint_parsing import IMAGES, LINK, Page, output_text, syntax
from helpers.commands.sync import badge, colab_cell, setup_cell
from helpers.runtime import ROOT

__all__ = ["Problem", "lint", "problems_of"]

LESSONS = ("lesson", "bonus")
NOTEBOOK = (*LESSONS, "solution")
ALL = (*NOTEBOOK, "page")
CELL_LINES, OUTPUT_LINES, STDERR_LINES, ALT_LENGTH = 25, 60, 12, 20
OBJECTIVES, EXERCISES, PREDICTIONS = range(3, 6), range(2, 5), 3
STORED_PROFILE = "cpu"
HEAD = {
    "?": "the question",
    "<!-- minutes -->": "the minutes, between their two comments",
    "before": "what a learner needs before",
    "live": "what is computed live",
    "reference": "what comes from the reference ledger",
}
SECTIONS = ("What it changed, and what it cost", "Exercises", "What we learned", "References")
SHELL = re.compile(r"^\s*(?:!|%%?(?:sx|bash|sh|script|cmd|pip|conda|system)\b)|=\s*!\w", re.M)
GENERATED = re.compile(r"<!-- (minutes|notebooks) -->.*?<!-- /\1 -->|<!--.*?-->", re.S)
BLOCK = re.compile(r"\n\s*\n|\n(?=[\s>]*(?:[-*+]|\d+[.)])\s)|\n(?=\s*\|)|\n(?=#)")
RESULT = re.compile(r"(?<![\w.,])(?:\d*\.\d+(?![\w.]*\d)|(?!95\b)\d+\s?(?:%|per cent))")
NAMED = re.compile(r"(?:Python|CC BY|Apache|CUDA|sections?|notebooks?|#+)[\s-]*[\d., ort]+\d")
YEAR = re.compile(r"\b(?:19|20)\d\d[a-z]?\b")
MACHINE = re.compile(
    r"(?<![\w.~$}/-])/(?:home|root|Users|tmp|work|var/folders)/\w[^\s\"'<>]*"
    r"|\b[A-Za-z]:\\+Users\b[^\s\"'<>]*|[^\s\"'<>]*[/\\]site-packages[^\s\"'<>]*"
)


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


def lint(paths: Iterable[Path] = (), root: Path = ROOT, echo: Callable[[str], None] = print) -> int:
    """Check files (without any: all notebooks, README, INSTRUCTORS) and print what to mend.

    Returns 1 if there are errors, else 0: warnings do not count. `root` has the `pyproject.toml`
    with the address for badge and setup.
    """
    pages = [root / "README.md", root / "INSTRUCTORS.md"]
    files = list(paths) or [*notebooks.find(root), *(page for page in pages if page.exists())]
    problems = [problem for file in files for problem in problems_of(file, root)]
    for problem in problems:
        echo(str(problem))
    errors = sum(problem.fails for problem in problems)
    echo(f"{len(files)} files: {errors} errors, {len(problems) - errors} warnings.")
    return int(errors > 0 or not files)  # a course without notebooks is not a green one


def problems_of(path: Path, root: Path = ROOT) -> list[Problem]:
    """Check one notebook or Markdown file against the rules of its kind, in the order of cells."""
    try:
        page = Page(path, root)
    except (ValueError, OSError) as error:
        return [Problem(path, None, "unreadable", str(error))]
    found = [
        Problem(path, None if page.kind == "page" else cell, name, message, fails)
        for name, check, kinds, fails in RULES
        if page.kind in kinds
        for cell, message in check(page)
    ]
    return sorted(found, key=lambda problem: -1 if problem.cell is None else problem.cell)


Findings = Iterator[tuple[int | None, str]]
RULES: list[tuple[str, Callable[[Page], Findings], tuple[str, ...], bool]] = []


def rule(kinds: tuple[str, ...], fails: bool = True) -> Callable:
    """Make a function a rule for these kinds of pages; without `fails`, it only warns."""

    def added(check: Callable[[Page], Findings]) -> Callable:
        RULES.append((check.__name__.replace("_", "-"), check, kinds, fails))
        return check

    return added


def rerun(page: Page) -> str:
    """The remedy for wrong outputs."""
    return f"run `course run --store {page.label}`"


@rule(NOTEBOOK)
def title(page: Page) -> Findings:
    """The first line names number and topic."""
    number, place = page.number, page.root / "notebooks" / "bonus" / page.path.name
    of_bonus = page.kind == "bonus" or (page.kind == "solution" and place.exists())
    if number is None and not of_bonus:
        yield None, "the file's name does not start with a number; call it NN_slug.ipynb"
        return
    start = "# Bonus · " if of_bonus else f"# {number} · "
    end = ": solutions" if page.kind == "solution" else ""
    first = page.head.partition("\n")[0].rstrip()
    if not (first.startswith(start) and first.endswith(end) and first != start + end):
        yield 0, f"the first line is {first!r}; write `{start}Title{end}`"


@rule(LESSONS)
def head(page: Page) -> Findings:
    """The head has a question, objectives, prerequisites, time, and a badge that leads here."""
    text = page.head.partition("\n")[2]
    for mark, meaning in HEAD.items():
        if mark not in text.lower():
            yield 0, f"the head does not say {meaning}; add it"
    objectives = len(re.findall(r"^[-*+] \S", text, re.M))
    if objectives not in OBJECTIVES:
        yield 0, f"{objectives} objectives; list three to five, each beginning with a verb"
    if badge(f"notebooks/{page.label}.ipynb", page.root) not in page.head:
        yield 0, "the Colab badge is missing or leads elsewhere; `course sync` writes it"


@rule(NOTEBOOK)
def setup(page: Page) -> Findings:
    """The first two code cells are those that all notebooks share, and no other is like them."""
    solved = page.path.stem if page.number is None else page.number
    names = {"lesson": page.number or 0, "solution": f"solutions/{solved}"}
    wanted = [colab_cell(page.root), setup_cell(names.get(page.kind, page.label))]
    found = [(index, cell.source) for index, cell in page.code[:2]] + [(None, "")] * 2
    for source, (index, there) in zip(wanted, found, strict=False):
        if there != source:
            yield index, f"not the cell that all notebooks share, which ends {source[-40:]!r}"
    for index, cell in page.code[2:]:
        if notebooks.is_setup_cell(cell):
            yield index, "a second setup cell; its code would be left out of the stamp"


@rule(LESSONS)
def section(page: Page) -> Findings:
    """There are the closing sections, two to four exercises, and in a lesson a claim."""
    for name in SECTIONS:
        if not any(name.lower() in line.lower() for _, line in page.headings):
            yield None, f"no heading {name!r}; every notebook has that section"
    starts = [index for index, line in page.headings if "Exercises" in line]
    checked = sum(index > starts[0] for index in page.calls("check")) if starts else 0
    if starts and checked not in EXERCISES:
        yield starts[0], f"{checked} cells with check(...) follow; have two to four"
    if page.kind == "lesson" and not page.calls("expect"):
        yield None, "no cell states a claim with expect(...); add one to the results"


@rule(("lesson",), fails=False)
def predict(page: Page) -> Findings:
    """A learner predicts before a run and interprets after it."""
    for mark in ("**Predict.**", "**Interpret.**"):
        found = sum(text.count(mark) for _, text in page.text)
        if found < PREDICTIONS:
            yield None, f"{found} of {mark}; have {PREDICTIONS} or more"


@rule(NOTEBOOK)
def cell_limit(page: Page) -> Findings:
    """A cell fits a screen."""
    for index, cell in page.code:
        lines = cell.source.strip().count("\n") + 1
        if lines > CELL_LINES and not notebooks.is_setup_cell(cell):
            yield index, f"{lines} lines, the limit is {CELL_LINES}; split the cell"


@rule(("solution",))
def stub(page: Page) -> Findings:
    """A solution has no gaps."""
    for index, cell in page.code:
        nodes = syntax(cell.source)
        # In `x[..., 0]` and `tuple[int, ...]` the dots are syntax, not a gap.
        slices = [n for s in nodes if isinstance(s, ast.Subscript) for n in ast.walk(s.slice)]
        gaps = [n for n in nodes if getattr(n, "value", None) is Ellipsis and n not in slices]
        if gaps or any(getattr(node, "id", "") == "NotImplementedError" for node in nodes):
            yield index, "a solution still holds `...` or NotImplementedError; write the answer"


@rule(NOTEBOOK)
def untested(page: Page) -> Findings:
    """No cell starts a shell, which tests would not see fail, or has nbval's mark for no test."""
    for index, cell in page.code:
        if SHELL.search(cell.source):
            yield index, "a failing shell line passes unseen; use subprocess.run([...], check=True)"
        tags = " ".join(cell.metadata.get("tags", [])).upper().replace("-", "_")
        comments = re.findall(r"^\s*#.*", cell.source, re.M)
        marks = set(re.findall(r"NBVAL_\w+|RAISES_EXCEPTION", " ".join([*comments, tags])))
        # Beside an image the text is only the name of its class; stderr is not compared.
        compared = [o for o in cell.outputs if o.get("name") == "stdout" and o.text.strip()]
        compared += [o for o in cell.outputs if o.get("data") and not IMAGES & set(o.data)]
        if marks - {"NBVAL_CHECK_OUTPUT"}:
            yield index, f"{', '.join(sorted(marks))}: such a cell is not tested; take the mark off"
        elif marks and not re.search(r"^\s*# NBVAL_CHECK_OUTPUT$", cell.source, re.M):
            yield index, "NBVAL_CHECK_OUTPUT counts only when alone on its line"
        elif marks and not compared:
            yield index, "NBVAL_CHECK_OUTPUT without a stored text passes always; print what counts"


@rule(NOTEBOOK)
def stamp(page: Page) -> Findings:
    """Stored outputs belong to the current code, to the profile of the course, and to Python 3."""
    made, kernel = notebooks.read_stamp(page.path), page.notebook.metadata.get("kernelspec", {})
    if not made:
        yield None, f"no complete stamp says where the outputs come from; {rerun(page)}"
    elif made["code"] != notebooks.code_hash(page.notebook):
        yield None, f"the outputs are stale, the code changed after they were made; {rerun(page)}"
    elif made["profile"] != STORED_PROFILE:
        yield None, f"outputs of profile {made['profile']}, not {STORED_PROFILE}; {rerun(page)}"
    if kernel.get("name") != "python3" or "widgets" in page.notebook.metadata:
        yield None, f"another kernel than python3 or widget state is stored; {rerun(page)}"


@rule(NOTEBOOK, fails=False)
def stale_helpers(page: Page) -> Findings:
    """No module behind the stored outputs has changed since."""
    made = notebooks.read_stamp(page.path)
    if made and made["helpers"] != notebooks.made_with(page.notebook)["helpers"]:
        yield None, f"helpers changed after the outputs were made; {rerun(page)}"


@rule(NOTEBOOK)
def order(page: Page) -> Findings:
    """All cells were executed, from top to bottom."""
    last = 0
    for index, cell in page.code:
        count = cell.execution_count
        if count is None:
            yield index, f"no stored run; {rerun(page)}"
        elif count <= last:
            yield index, f"executed as [{count}] after [{last}]; run from top to bottom"
        last = count or last


@rule(NOTEBOOK)
def stored_noise(page: Page) -> Findings:
    """Outputs are short, without errors, progress bars and warnings."""
    for index, output in page.outputs:
        text, stderr = output_text(output), output.get("name") == "stderr"
        lines, limit = text.strip().count("\n") + 1, STDERR_LINES if stderr else OUTPUT_LINES
        if output.output_type == "error":
            yield index, f"stored error {output.ename}: {output.evalue[:80]}; mend, then run again"
        if lines > limit:
            yield index, f"{lines} lines of output, at most {limit}; show a few, or a sum"
        if re.search(r"\r(?!\n)|\d+%\|", text):
            yield index, "a progress bar is stored; switch it off while outputs are stored"
        if stderr and "Warning" in text:
            yield index, "a warning is stored; mend its cause, or explain it in the text"


@rule(ALL)
def alt_text(page: Page) -> Findings:
    """Every figure and image has a description in words."""
    for index, output in page.outputs:
        for mime in IMAGES & set(output.get("data", {})):
            alt = str(output.get("metadata", {}).get(mime, {}).get("alt") or "").strip()
            if len(alt) < ALT_LENGTH or re.match(r"<?figure(\s+size\b|\W*\d*$)", alt, re.I):
                yield index, f"alt text of the {mime} is {alt!r}; say what the figure shows"
    for index, text in page.text:
        bare = [m[0] for m in LINK.finditer(text) if m["image"] and not m["text"].strip()]
        tags = re.findall(r"<img\b[^>]*>", text)
        bare += [tag for tag in tags if not re.search(r"\balt=[\"']\s*[^\"'\s]", tag)]
        for image in bare:
            yield index, f"{image} has no alt text; say what it shows"


@rule(ALL)
def link(page: Page) -> Findings:
    """Links inside the repository lead somewhere; external links are not checked."""

    def letters(name: str) -> str:  # GitHub and JupyterLab treat the rest differently
        return re.sub(r"[\W_]", "", LINK.sub(r"\g<text>", name)).lower()

    ids = [name for _, text in page.text for name in re.findall(r"\bid=[\"']([^\"']+)", text)]
    known = {letters(name) for name in [*ids, *(line for _, line in page.headings)]}
    for index, target in page.links:
        if target.startswith("#") and letters(unquote(target)) not in known:
            yield index, f"{target} is no heading of this file; use one that exists"
        elif not re.match(r"[a-zA-Z][\w+.-]+:|//|#", target):
            file = page.path.parent / unquote(re.split(r"[#?]", target)[0])
            if not file.exists():
                yield index, f"{target} does not exist beside this file; correct the path"


@rule(ALL)
def uncited_result(page: Page) -> Findings:
    """A decimal or percentage in prose has its source beside it: results are printed, not typed."""
    for index, text in page.text:
        words = LINK.sub(r"\g<text>", re.sub(r"https?://\S+", "", GENERATED.sub("", text)))
        for block in BLOCK.split(words):
            found = RESULT.findall(NAMED.sub("", block))
            if found and not YEAR.search(block):
                source = "put (Author, year) beside it, or write a setting as `code`"
                yield index, f"{', '.join(found)}: print a result in a cell, {source}"


@rule(ALL)
def machine_path(page: Page) -> Findings:
    """Nothing names a folder of the machine it was made on."""
    texts = [(index, cell.source) for index, cell in enumerate(page.notebook.cells)]
    texts += [(index, output_text(output)) for index, output in page.outputs]
    for index, text in texts:
        if found := MACHINE.search(text):
            yield index, f"{found[0]} exists on one machine only; use a relative path"


@rule(("page",), fails=False)
def placeholder(page: Page) -> Findings:
    """The repository has an address."""
    if page.path.name == "README.md" and "github.com/OWNER/" in page.head:  # said once
        yield None, "OWNER is no address; set Repository in pyproject.toml, then `course sync`"


for lesson_rule in LESSON_RULES:
    rule(LESSONS)(lesson_rule)
