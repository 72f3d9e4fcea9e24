"""Files that are written whole or not at all, by one process at a time."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["locked", "write_bytes", "write_text"]

PATIENCE = 2.0  # seconds of waiting for another process before we say so


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file as `write_bytes` does. Lines end as in `text`, on every system."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, making its folder if needed.

    The content goes to a file beside it first, which then takes its name: a reader, or a run that
    is killed half-way, never sees a part of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp lets nobody else read it
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out while a file or a folder is made; the lock is `path` + `.lock`.

    Waits for a process that holds the lock, and says so once on stderr.
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
