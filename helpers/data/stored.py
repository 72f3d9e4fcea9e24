"""Files of JSON lines that are part of the repository."""

import json

from helpers.runtime import ROOT

__all__ = ["stored_rows"]


def stored_rows(folder: str, name: str) -> list[dict]:
    """Read `data/{folder}/{name}.jsonl`; a FileNotFoundError says how to restore it if missing."""
    path = ROOT / "data" / folder / f"{name}.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}. It is part of the repository: `git checkout "
            f"data/{folder}` brings it back; in an unpacked zip, unpack it again."
        )
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
