"""What a house rule is, and the parsed notebook or Markdown file that it reads."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from helpers import notebooks

__all__ = [
    "IMAGES",
    "LESSON",
    "LESSONS",
    "LINK",
    "NOTEBOOK",
    "Findings",
    "Page",
    "Rule",
    "Rules",
    "output_text",
    "syntax",
]

LESSON, LESSONS = ("lesson",), ("lesson", "bonus")
NOTEBOOK = (*LESSONS, "solution")
IMAGES = {"image/png", "image/jpeg", "image/svg+xml"}
HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.M)
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^][]*)\]\(\s*<?(?P<target>[^)\s>]*)[^)]*\)")
CODE = re.compile(
    r"^[ >]*```.*?(?:^[ >]*```|\Z)|(`+)(?!`).+?(?<!`)\1(?!`)|\$\$.*?\$\$|\$[^$\n]+\$",
    re.S | re.M,
)


@dataclass(frozen=True)
class Page:
    """A notebook, or a Markdown file as a single cell; `kind` is as in `notebooks`, or `page`."""

    path: Path
    root: Path
    kind: str
    notebook: Any

    @property
    def label(self) -> str:
        """The name used in commands: `03_words`, `bonus/slug`, `solutions/03_words`."""
        return f"{notebooks.FOLDERS.get(self.kind, '')}/{self.path.stem}".strip("/")

    @property
    def number(self) -> int | None:
        """The number of a lesson or of its solutions."""
        found = re.match(r"(\d\d)_\w", self.path.stem)
        return int(found[1]) if found else None

    @property
    def head(self) -> str:
        """Source of the first cell."""
        return self.notebook.cells[0].source if self.notebook.cells else ""

    @property
    def text(self) -> list[tuple[int, str]]:
        """Markdown cells without code and formulas."""
        cells = enumerate(self.notebook.cells)
        return [
            (i, CODE.sub(" ", cell.source)) for i, cell in cells if cell.cell_type == "markdown"
        ]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Headings, and bold text at the beginning of a line."""
        return [
            (index, line)
            for index, text in self.text
            for line in HEADING.findall(text) + re.findall(r"^\*\*(.+?)\*\*", text, re.M)
        ]

    def has_heading(self, target: str) -> bool:
        """Whether a link such as `#1.1-A-step` leads to a heading, or to an `id`."""

        def letters(name: str) -> str:  # GitHub and JupyterLab treat the rest differently
            return re.sub(r"[\W_]", "", LINK.sub(r"\g<text>", name)).lower()

        ids = [name for _, text in self.text for name in re.findall(r"\bid=[\"']([^\"']+)", text)]
        known = [*ids, *(line for _, line in self.headings)]
        return letters(target) in map(letters, known)

    @property
    def links(self) -> list[tuple[int, str]]:
        """Targets of links and images, in Markdown or HTML."""
        html = r"<(?:img|a)\b[^>]*?\b(?:src|href)=[\"']([^\"']+)"
        defined = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)", re.M)
        return [
            (index, target)
            for index, text in self.text
            for target in [
                *(match["target"] for match in LINK.finditer(text)),
                *re.findall(html, text),
                *defined.findall(text),
            ]
        ]

    @property
    def code(self) -> list[tuple[int, Any]]:
        """Code cells that are not empty."""
        cells = enumerate(self.notebook.cells)
        return [(i, c) for i, c in cells if c.cell_type == "code" and c.source.strip()]

    @property
    def outputs(self) -> list[tuple[int, Any]]:
        """Stored outputs with the index of their cell."""
        return [(index, output) for index, cell in self.code for output in cell.outputs]

    def calls(self, name: str) -> list[int]:
        """The cells that call `name(...)` or `module.name(...)`."""
        return [
            index
            for index, cell in self.code
            for node in syntax(cell.source)
            if isinstance(node, ast.Call)
            and name in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
        ]

    @property
    def rerun(self) -> str:
        """The remedy for wrong outputs."""
        return f"run `course run --store {self.label}`"


Findings = Iterator[tuple[int | None, str]]


@dataclass(frozen=True)
class Rule:
    """A rule, the kinds of pages it applies to, and whether breaking it is an error."""

    name: str
    check: Callable[[Page], Findings]
    kinds: tuple[str, ...]
    fails: bool


class Rules(list[Rule]):
    """The rules of a module; `@RULES.add(kinds)` adds the function below it."""

    def add(self, kinds: tuple[str, ...], fails: bool = True) -> Callable:
        """Make a function a rule for these kinds of pages; without `fails`, it only warns."""

        def added(check: Callable[[Page], Findings]) -> Callable:
            self.append(Rule(check.__name__.replace("_", "-"), check, kinds, fails))
            return check

        return added


def syntax(source: str) -> list[ast.AST]:
    """All syntax nodes of a cell; `!` and `%` lines are the calls that IPython makes of them."""
    try:
        return list(ast.walk(ast.parse(TransformerManager().transform_cell(source))))
    except SyntaxError:  # ruff's to report
        return []


def output_text(output) -> str:
    """The visible text of a stored output."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return "\n".join([output.evalue, *output.traceback])
    return "\n".join(str(value) for kind, value in output.data.items() if kind not in IMAGES)
