"""Notebook files: finding, reading, writing, fingerprints, stamps.

A *stamp* in a notebook's metadata says how its stored outputs were made: profile, device,
fingerprints of the code cells and of `helpers`, and the cost of the run.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from helpers.files import write_text
from helpers.revision import revision
from helpers.runtime import ROOT

__all__ = [
    "ID",
    "STAMP_FIELDS",
    "STAMP_KEY",
    "clear",
    "code_hash",
    "code_of",
    "expected_cost",
    "find",
    "is_setup_cell",
    "made_with",
    "peek",
    "read",
    "read_stamp",
    "resolve",
    "revision_of",
    "stripped",
    "text_of",
    "uses_kit",
    "write",
]

FOLDERS = {"lesson": "", "bonus": "bonus", "solution": "solutions"}
SETUP_BEGINNINGS = ("# On Colab: fetch the course", "from helpers import setup")
ID = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9][a-z0-9-]*")
"""The form of the ids of guesses, answers and claims: a lesson's slug, a dot, a name."""

STAMP_KEY = "course_stamp"
STAMP_FIELDS = ("profile", "device", "code", "helpers", "seconds", "peak_memory_bytes")


def find(root: Path = ROOT, kinds: Iterable[str] = FOLDERS) -> list[Path]:
    """List the notebooks under `root/notebooks` of the given kinds, in reading order."""
    return [
        path
        for kind in kinds
        for path in sorted((root / "notebooks" / FOLDERS[kind]).glob("*.ipynb"))
    ]


def read(path: Path):
    """Read a notebook (nbformat 4); a damaged file is a ValueError that names it."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a readable notebook: {error}") from error


def peek(path: Path):
    """A notebook to look into, not to write: without nbformat, whose import takes a second."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))


def write(path: Path, notebook) -> None:
    """Write a notebook whole or not at all."""
    write_text(path, text_of(notebook))


def text_of(notebook) -> str:
    """A notebook as text for its file: one final newline, no widget state."""
    import nbformat

    # GitHub shows "Invalid Notebook" for widget state without the widget's own files.
    notebook.metadata.pop("widgets", None)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def stripped(path: Path) -> str:
    """A notebook's text without outputs, counts and stamp: what a learner starts from.

    As `text_of` writes it, without nbformat, whose import takes longer than all that is done here.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a readable notebook: {error}") from error
    clear(notebook)
    notebook["metadata"].pop("widgets", None)
    form = {"ensure_ascii": False, "indent": 1, "sort_keys": True, "separators": (",", ": ")}
    return json.dumps(notebook, **form) + "\n"


def clear(notebook: dict) -> None:
    """Remove outputs, execution counts and the stamp."""
    notebook["metadata"].pop(STAMP_KEY, None)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None


def resolve(names: list[str], root: Path = ROOT) -> list[Path]:
    """Find notebooks by the names people type: `3`, `03`, `03_word_embeddings`, `bonus/slug`.

    `bonus` and `solutions` alone mean all of them; `.ipynb` and a leading `notebooks/` are allowed.

    Raises:
        ValueError: if a name fits no notebook; the message lists those there are.
    """
    known = {p.relative_to(root / "notebooks").with_suffix("").as_posix(): p for p in find(root)}
    chosen = []
    for name in names:
        wanted = (
            name.replace("\\", "/").removesuffix(".ipynb").removeprefix("notebooks/").strip("/")
        )
        number = re.fullmatch(r"(.*/)?(\d+)", wanted)
        start = f"{number[1] or ''}{int(number[2]):02d}_" if number else None
        hits = [
            path
            for label, path in known.items()
            if (start and label.startswith(start))
            or (wanted and wanted in (label, label.rpartition("/")[0]))
        ]
        if not hits:
            raise ValueError(f"No notebook {name!r}; there are {', '.join(known) or 'none'}.")
        chosen += hits
    return list(dict.fromkeys(chosen))


def is_setup_cell(cell) -> bool:
    """Whether a cell is the Colab cell or the `setup(...)` cell, which all notebooks share."""
    return cell.cell_type == "code" and cell.source.startswith(SETUP_BEGINNINGS)


def uses_kit(notebook) -> bool:
    """Whether a lesson is written with guesses, answers and your-turn cells: `course.kit` is 2."""
    return notebook.metadata.get("course", {}).get("kit") == 2


def code_hash(notebook) -> str:
    """Fingerprint of what a notebook computes: its code cells without the setup cells."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    sources = [cell.source.strip() for cell in code if not is_setup_cell(cell)]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def code_of(notebook) -> str:
    """The code cells of a notebook as one Python module; `%` and `!` lines become calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    cells = ["".join(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(TransformerManager().transform_cell(source) for source in cells)


def revision_of(notebook) -> str:
    """Fingerprint of the modules of `helpers` behind the results of a notebook."""
    try:
        return revision(code_of(notebook))
    except SyntaxError:  # a learner's half-written cell
        return "unreadable"


def made_with(notebook) -> dict[str, str]:
    """The fields of a stamp that show whether outputs belong to the current code."""
    return {"code": code_hash(notebook), "helpers": revision_of(notebook)}


def read_stamp(path: Path) -> dict | None:
    """The stamp of a stored notebook, or None if the file or a complete stamp is missing."""
    if not path.exists():
        return None
    stamp = json.loads(path.read_text(encoding="utf-8")).get("metadata", {}).get(STAMP_KEY)
    return stamp if stamp and all(key in stamp for key in STAMP_FIELDS) else None


def expected_cost(path: Path) -> str:
    """Say in a sentence what the stored run of a notebook took."""
    stamp = read_stamp(path)
    if not stamp:
        return "No timed run of this notebook is stored yet."
    minutes, memory = stamp["seconds"] / 60, stamp["peak_memory_bytes"] / 1e9
    return (
        f"The stored outputs took {minutes:.1f} minutes and {memory:.1f} GB "
        f"(profile {stamp['profile']}, {stamp['device']})."
    )
