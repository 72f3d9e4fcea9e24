"""Folders that are made from assets once and kept in the cache."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from helpers.assets.registry import AssetError, cache_dir
from helpers.files import locked

__all__ = ["made_once"]


def made_once(
    name: str, facts: list, files: tuple[str, ...], write: Callable[[Path], None]
) -> Path:
    """Find a folder in the cache, or make it with `write`; it is complete or absent (atomic).

    Other `facts` make another folder; `files` must be in it. AssetError if the cache is not
    writable.
    """
    digest = hashlib.sha256(json.dumps(facts).encode("utf-8")).hexdigest()[:16]
    home = cache_dir() / "derived"
    folder = home / f"{name}-{digest}"
    if _whole(folder, files):
        return folder
    try:
        with locked(home / name):
            if not _whole(folder, files):
                _make(folder, write)
    except OSError as error:
        raise AssetError(
            f"{folder} could not be made ({error}). Unpacked models need up to 0.6 GB there, once: "
            "free some space, or set COURSE_CACHE to a folder that you can write to."
        ) from error
    return folder


def _whole(folder: Path, files: tuple[str, ...]) -> bool:
    return all((folder / name).is_file() for name in files)


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f"{folder.name}.part-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        write(part)
        part.chmod(0o755)  # mkdtemp, like safetensors, lets nobody else read what it makes
        for path in part.iterdir():
            path.chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)  # a file is missing in it
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
