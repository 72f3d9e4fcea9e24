"""The tables of the data statements, read back."""

from pathlib import Path


def table(folder: Path, head: str) -> dict[str, list[str]]:
    """Read a table of a folder's data statement: first cell -> the others."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |"))
    found = {}
    for line in lines[start : lines.index("", start)]:
        first, *others = (cell.strip() for cell in line.strip("|").split("|"))
        found[first] = others
    return found
