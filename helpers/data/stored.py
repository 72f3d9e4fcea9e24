"""Files of JSON lines that are part of the repository: read, or refused with a remedy."""

import json
from pathlib import Path

__all__ = ["json_object", "stored_lines"]


def stored_lines(path: Path, folder: str) -> list[tuple[int, str]]:
    """Give the lines of a file of the repository, numbered from 1.

    Args:
        path: the file.
        folder: where it belongs in `data/`, for the remedy.

    Raises:
        FileNotFoundError: if there is no such file; the message says how to bring it back.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}. It is part of the repository: `git checkout "
            f"data/{folder}` brings it back; in an unpacked zip, unpack it again."
        )
    return list(enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))


def json_object(line: str, place: str) -> dict:
    """Read one line as a JSON object.

    Args:
        line: the text.
        place: file and line, for the message.

    Raises:
        ValueError: if it is anything else.
    """
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON ({error}). Write one object a line.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{place}: no JSON object. Write one object a line.")
    return found
