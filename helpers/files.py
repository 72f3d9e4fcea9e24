"""Files that are written whole or not at all, by one process at a time."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["locked", "read_entries", "write_bytes", "write_text"]

PATIENCE = 2.0  # seconds before a wait for another process is reported


def read_entries(path: Path) -> dict:
    """The entries of a JSON object; none if there is no file.

    A damaged file is put aside as `.damaged`, so that nothing in it is lost.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).items())
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        os.replace(path, path.with_suffix(".damaged"))
        return {}


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file as `write_bytes` does, with the line ends of `text`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, even if killed; its folder is made if needed.

    A temporary file beside it is written first and then renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp gives no one else access
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out while `path` is made, with a lock file `path` + `.lock`.

    Waits for a process that has the lock, and says so once on stderr.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        said = f"Another process is writing {path.name}: waiting for it."
        print(said, file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
