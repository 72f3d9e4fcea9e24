"""The parsed notebook or Markdown file that the house rules read."""

import ast
import re
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_markdown_cell, new_notebook

from helpers import notebooks

__all__ = ["IMAGES", "LINK", "Page", "output_text", "syntax"]

IMAGES = {"image/png", "image/jpeg", "image/svg+xml"}
HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.M)
BOLD = re.compile(r"^\*\*(.+?)\*\*", re.M)
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^][]*)\]\(\s*<?(?P<target>[^)\s>]*)[^)]*\)")
TARGET = re.compile(  # of a link in Markdown, of one in HTML, of a reference
    r"\]\(\s*<?([^)\s>]*)|<(?:img|a)\b[^>]*?\b(?:src|href)=[\"']([^\"']+)"
    r"|^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)",
    re.M,
)
CODE = re.compile(
    r"^[ >]*```.*?(?:^[ >]*```|\Z)|(`+)(?!`).+?(?<!`)\1(?!`)|\$\$.*?\$\$|\$[^$\n]+\$",
    re.S | re.M,
)


class Page:
    """A notebook, or a Markdown file as a single cell; the lists hold (index of a cell, item).

    Attributes:
        kind: `lesson`, `bonus`, `solution` or `page`.
        label: the name used in commands: `03_words`, `bonus/slug`, `solutions/03_words`.
        number: of a lesson or of its solutions; else None.
        text: Markdown cells without code and formulas.
        headings: of these, and bold text at the beginning of a line.
        links: targets of links and images, in Markdown or HTML.
        code: code cells that are not empty.
        outputs: what is stored of them.
    """

    def __init__(self, path: Path, root: Path):
        self.path, self.root, folder = path, root, path.resolve().parent.name
        if path.suffix == ".md":
            only = new_markdown_cell(path.read_text(encoding="utf-8"))
            self.kind, self.notebook = "page", new_notebook(cells=[only])
        else:
            kinds = {"bonus": "bonus", "solutions": "solution"}
            self.kind, self.notebook = kinds.get(folder, "lesson"), notebooks.read(path)
        self.label = path.stem if self.kind == "lesson" else f"{folder}/{path.stem}"
        number = re.match(r"(\d\d)_\w", path.stem)
        self.number = int(number[1]) if number else None
        cells = list(enumerate(self.notebook.cells))
        self.head = cells[0][1].source if cells else ""
        self.text = [(i, CODE.sub(" ", c.source)) for i, c in cells if c.cell_type == "markdown"]
        self.headings = [
            (i, line)
            for i, text in self.text
            for line in HEADING.findall(text) + BOLD.findall(text)
        ]
        self.links = [
            (i, "".join(groups)) for i, text in self.text for groups in TARGET.findall(text)
        ]
        self.code = [(i, c) for i, c in cells if c.cell_type == "code" and c.source.strip()]
        self.outputs = [(i, output) for i, cell in self.code for output in cell.outputs]

    def calls(self, name: str) -> set[int]:
        """The cells that call `name(...)` or `module.name(...)`."""
        return {
            index
            for index, cell in self.code
            for node in syntax(cell.source)
            if isinstance(node, ast.Call)
            and name in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
        }


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
