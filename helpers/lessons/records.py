"""What a learner has tried and guessed, by id, in JSON files that several notebooks write."""

import json
import os
from pathlib import Path

from helpers import notebooks
from helpers.files import locked, read_entries, write_text
from helpers.runtime import results_dir

__all__ = ["change", "checked_id", "load"]


def checked_id(id: str) -> str:
    """The id itself, if it has the form `slug.name`, else a ValueError that shows one."""
    if not (isinstance(id, str) and notebooks.ID.fullmatch(id)):
        raise ValueError(f'{id!r} is no id; write a slug and a name, such as "bert.layer".')
    return id


def _path(name: str) -> Path:
    # Where `course run` executes a notebook, nobody's guess belongs on the stored page.
    unattended = os.environ.get("COURSE_VERDICTS")
    folder = Path(unattended).parent if unattended else results_dir()
    return folder / f"{name}.json"


def load(name: str) -> dict[str, dict]:
    """Entries of `results/NAME.json` by id; a damaged file is put aside, not lost."""
    return read_entries(_path(name))


def change(name: str, changes: dict[str, dict | None]) -> None:
    """Write entries by id, whole and beside those of other notebooks; None removes one."""
    with locked(_path(name)):
        entries = load(name) | changes
        kept = {id: entry for id, entry in entries.items() if entry is not None}
        write_text(_path(name), json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
