"""House rules on a notebook's structure and code, written as in `lint_content`.

Syntax, star imports and long lines are left to ruff.
"""

import ast
import re

from helpers import notebooks
from helpers.commands import template
from helpers.commands.lint_page import (
    IMAGES,
    LESSON,
    LESSONS,
    NOTEBOOK,
    Findings,
    Page,
    Rules,
    syntax,
)

__all__ = ["RULES"]

RULES = Rules()
CELL_LINES = 25
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


@RULES.add(NOTEBOOK)
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


@RULES.add(LESSONS)
def head(page: Page) -> Findings:
    """The head asks a question, and names objectives, prerequisites and time."""
    text = page.head.partition("\n")[2]
    for mark, meaning in HEAD.items():
        if mark not in text.lower():
            yield 0, f"the head does not say {meaning}; add it"
    objectives = len(re.findall(r"^[-*+] \S", text, re.M))
    if objectives not in OBJECTIVES:
        yield 0, f"{objectives} objectives; list three to five, each beginning with a verb"


@RULES.add(LESSONS)
def badge(page: Page) -> Findings:
    """The badge opens this notebook on Colab."""
    wanted = template.badge(f"notebooks/{page.label}.ipynb", page.root)
    if wanted not in page.head:
        yield 0, "the Colab badge is missing or leads elsewhere; `course sync` writes it"


@RULES.add(NOTEBOOK)
def setup(page: Page) -> Findings:
    """The first two code cells are those of the template, and no other cell looks like them."""
    solved = page.path.stem if page.number is None else page.number
    names = {"lesson": page.number or 0, "solution": f"solutions/{solved}"}
    named = names.get(page.kind, page.label)
    wanted = [template.colab_source(page.root), template.setup_source(named)]
    found = [(index, cell.source) for index, cell in page.code[:2]] + [(None, "")] * 2
    for source, (index, there) in zip(wanted, found, strict=False):
        if there != source:
            yield index, f"not the template's cell, which ends {source[-40:]!r}"
    for index, cell in page.code[2:]:
        if notebooks.is_setup_cell(cell):
            yield index, "a second setup cell; its code would be left out of the stamp"


@RULES.add(NOTEBOOK)
def metadata(page: Page) -> Findings:
    """The kernel has its portable name, and no widget state is stored."""
    kernel = page.notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3" or "widgets" in page.notebook.metadata:
        yield None, f"kernel {kernel!r} or widget state is stored; {page.rerun}"


@RULES.add(NOTEBOOK)
def stamp(page: Page) -> Findings:
    """Stored outputs belong to the current code and to the profile of the course."""
    made = notebooks.read_stamp(page.path)
    if not made:
        yield None, f"no complete stamp says where the outputs come from; {page.rerun}"
    elif made["code"] != notebooks.code_hash(page.notebook):
        yield None, f"the outputs are stale, the code changed after they were made; {page.rerun}"
    elif made["profile"] != STORED_PROFILE:
        yield None, f"outputs of profile {made['profile']}, not {STORED_PROFILE}; {page.rerun}"


@RULES.add(NOTEBOOK, fails=False)
def stale_helpers(page: Page) -> Findings:
    """No module behind the stored outputs has changed since."""
    made = notebooks.read_stamp(page.path)
    if made and made["helpers"] != notebooks.made_with(page.notebook)["helpers"]:
        yield None, f"helpers changed after the outputs were made; {page.rerun}"


@RULES.add(LESSONS)
def section(page: Page) -> Findings:
    """Every notebook has the closing sections, as headings or bold lines."""
    for name in SECTIONS:
        if not any(name.lower() in line.lower() for _, line in page.headings):
            yield None, f"no heading {name!r}; every notebook has that section"


@RULES.add(LESSONS)
def exercises(page: Page) -> Findings:
    """There are two to four exercises, which check themselves."""
    starts = [index for index, line in page.headings if "Exercises" in line]
    checked = sum(index > starts[0] for index in set(page.calls("check"))) if starts else 0
    if starts and checked not in EXERCISES:
        yield starts[0], f"{checked} cells with check(...) follow; have two to four"


@RULES.add(LESSON)
def expect(page: Page) -> Findings:
    """A lesson states a claim that later runs are compared with."""
    if not page.calls("expect"):
        yield None, "no cell states a claim with expect(...); add one to the results"


@RULES.add(LESSON, fails=False)
def predict(page: Page) -> Findings:
    """A learner predicts before a run and interprets after it."""
    for mark in ("**Predict.**", "**Interpret.**"):
        found = sum(text.count(mark) for _, text in page.text)
        if found < PREDICTIONS:
            yield None, f"{found} of {mark}; have {PREDICTIONS} or more"


@RULES.add(NOTEBOOK)
def cell_limit(page: Page) -> Findings:
    """A cell fits a screen."""
    for index, cell in page.code:
        lines = cell.source.strip().count("\n") + 1
        if lines > CELL_LINES and not notebooks.is_setup_cell(cell):
            yield index, f"{lines} lines, the limit is {CELL_LINES}; split the cell"


@RULES.add(("solution",))
def stub(page: Page) -> Findings:
    """A solution has no gaps."""
    for index, cell in page.code:
        nodes = syntax(cell.source)
        # In `x[..., 0]` and `tuple[int, ...]` the dots are syntax, not a gap.
        slices = [n for s in nodes if isinstance(s, ast.Subscript) for n in ast.walk(s.slice)]
        gaps = [n for n in nodes if getattr(n, "value", None) is Ellipsis and n not in slices]
        if gaps or any(getattr(node, "id", "") == "NotImplementedError" for node in nodes):
            yield index, "a solution still holds `...` or NotImplementedError; write the answer"


@RULES.add(NOTEBOOK)
def shell(page: Page) -> Findings:
    """No cell starts a shell: tests would not see it fail."""
    for index, cell in page.code:
        if SHELL.search(cell.source):
            yield index, "a failing shell line passes unseen; use subprocess.run([...], check=True)"


@RULES.add(NOTEBOOK)
def nbval(page: Page) -> Findings:
    """An nbval mark must test something; in lax mode most pass whatever happens."""
    for index, cell in page.code:
        tags = " ".join(cell.metadata.get("tags", [])).upper().replace("-", "_")
        comments = re.findall(r"^\s*#.*", cell.source, re.M)
        marks = set(re.findall(r"NBVAL_\w+|RAISES_EXCEPTION", " ".join([*comments, tags])))
        if marks - {"NBVAL_CHECK_OUTPUT"}:
            yield index, f"{', '.join(sorted(marks))}: such a cell is not tested; take the mark off"
        elif marks and not re.search(r"^\s*# NBVAL_CHECK_OUTPUT$", cell.source, re.M):
            yield index, "NBVAL_CHECK_OUTPUT counts only when alone on its line"
        elif marks and not any(map(_is_compared, cell.outputs)):
            yield index, "NBVAL_CHECK_OUTPUT without a stored text passes always; print what counts"


@RULES.add(NOTEBOOK)
def order(page: Page) -> Findings:
    """All cells were executed, from top to bottom."""
    last = 0
    for index, cell in page.code:
        count = cell.execution_count
        if count is None:
            yield index, f"no stored run; {page.rerun}"
        elif count <= last:
            yield index, f"executed as [{count}] after [{last}]; run from top to bottom"
        last = count or last


def _is_compared(output) -> bool:
    if output.output_type == "stream":
        return output.name == "stdout" and bool(output.text.strip())
    # Beside an image the text is only the name of its class.
    return bool(output.get("data")) and not IMAGES & set(output.data)
