"""The parts that all notebooks share: the badge, the Colab cell, the setup cell."""

import tomllib
from pathlib import Path

from helpers.runtime import ROOT

__all__ = ["address", "badge", "colab_source", "setup_source"]

COLAB_CELL = """\
# On Colab: fetch the course and install what is missing. Elsewhere this cell does nothing.
import subprocess
import sys
from pathlib import Path

if "google.colab" in sys.modules:
    course = Path("finetuning-history")
    clone = ["git", "clone", "--depth=1", "{address}"]
    if not course.exists():
        subprocess.run([*clone, str(course)], check=True)
    subprocess.run([sys.executable, str(course / "helpers/commands/colab.py")], check=True)
    sys.path.insert(0, str(course.resolve()))"""

SETUP_CELL = """\
from helpers import setup

run = setup(notebook={notebook})"""


def address(root: Path = ROOT) -> str:
    """The repository's address, from `pyproject.toml`."""
    with open(root / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]["urls"]["Repository"].rstrip("/")


def badge(notebook_path: str, root: Path = ROOT) -> str:
    """The Colab badge, in Markdown, for a notebook's path from the top of the repository."""
    place = address(root).removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{place}/blob/main/{notebook_path}"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"


def colab_source(root: Path = ROOT) -> str:
    """Source of the Colab cell."""
    return COLAB_CELL.format(address=address(root))


def setup_source(notebook: int | str) -> str:
    """Source of the setup cell of notebook 3 (`3`), a bonus (`"bonus/slug"`) or a solution."""
    return SETUP_CELL.format(notebook=f'"{notebook}"' if isinstance(notebook, str) else notebook)
