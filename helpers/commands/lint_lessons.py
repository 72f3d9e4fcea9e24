"""House rules of lessons that are written with guesses, folded answers and your-turn cells.

They hold for notebooks whose metadata has `{"course": {"kit": 2}}`.
"""

import ast
import re
from collections.abc import Iterator

from helpers import notebooks
from helpers.commands.lint_parsing import Page, syntax
from helpers.commands.sync import FOLDED

__all__ = ["LESSON_RULES"]

INTERPRET = "> **Interpret.**"
HIDDEN = "hide-output"
DETAILS = re.compile(r"<details\b.*?(?:</details>|\Z)", re.S)
Findings = Iterator[tuple[int | None, str]]


def folded_answer(page: Page) -> Findings:
    """Under each Interpret a folded answer stands, readable on every page."""
    cells = page.notebook.cells
    for index, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue
        after = cells[index + 1] if index + 1 < len(cells) else None
        below = after.source if after and after.cell_type == "markdown" else ""
        pieces = cell.source.split(INTERPRET)[1:]
        for piece in pieces[:-1] + [f"{piece}\n{below}" for piece in pieces[-1:]]:
            if "<details" not in piece:
                yield index, "Interpret has no answer; write <details> under it or in the next cell"
        for answer in DETAILS.findall(cell.source):
            if "</details>" not in answer or "<summary>" not in answer:
                yield index, "<details> needs <summary>...</summary> and its end, </details>"
            if "<p>" not in answer:
                yield index, "write the text of <details> in <p>...</p>; Markdown is not read there"
            if re.search(r"\n\s*\n", answer):
                yield index, "a blank line inside <details> closes it early on exported pages"


def guess_and_result(page: Page) -> Findings:
    """Each guess is followed by its result, which stays folded until the learner has guessed."""
    guesses, reveals = _ids(page, "guess"), _ids(page, "reveal")
    for id, places in guesses.items():
        results = [index for index in reveals.get(id, []) if index > places[0]]
        if not results:
            yield places[0], f'guess("{id}") has no reveal("{id}", ...) in a later cell'
            continue
        for index, cell in page.code:
            between = places[0] < index <= results[0] and (cell.outputs or index == results[0])
            if between and HIDDEN not in cell.metadata.get("tags", []):
                yield index, f'tag this cell {HIDDEN}: it shows the result of guess("{id}")'
    for id in reveals.keys() - guesses.keys():
        yield reveals[id][0], f'reveal("{id}") has no guess("{id}", ...) before it'


def ids(page: Page) -> Findings:
    """Ids of guesses and checks are written out, have a slug and a name, and occur once."""
    for name in ("guess", "check"):
        for id, places in _ids(page, name).items():
            if not notebooks.ID.fullmatch(id):
                yield places[0], f"{name}({id!r}): write the id out, as `slug.name`"
            if len(places) > 1:
                yield places[1], f"{name}({id!r}) stands in two cells; give each its own id"


def colab_folded(page: Page) -> Findings:
    """The Colab cell, which a learner need not read, is folded."""
    for index, cell in page.code:
        if cell.source.startswith("# On Colab") and not FOLDED.items() <= cell.metadata.items():
            yield index, "the Colab cell is not folded; `course sync` does it"


def _ids(page: Page, name: str) -> dict[str, list[int]]:
    """Ids given to the calls of a function, with their cells; another expression is its source."""
    found: dict[str, list[int]] = {}
    for index, cell in page.code:
        for node in syntax(cell.source):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name and node.args:
                first = node.args[0]
                id = first.value if isinstance(first, ast.Constant) else ast.unparse(first)
                found.setdefault(str(id), []).append(index)
    return found


def _of_kit(check):
    """A rule for the notebooks that use the kit."""

    def rule(page: Page) -> Findings:
        if notebooks.uses_kit(page.notebook):
            yield from check(page)

    rule.__name__, rule.__doc__ = check.__name__, check.__doc__
    return rule


LESSON_RULES = tuple(map(_of_kit, (folded_answer, guess_and_result, ids, colab_folded)))
