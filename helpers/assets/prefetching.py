"""Fetch assets ahead of time: for a day without network, or for another machine."""

from pathlib import Path

from helpers.assets.registry import Asset, AssetError, cache_dir, describe, named
from helpers.assets.store import installed_at, lacking, obtain

__all__ = ["prefetch"]


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
    states = {asset.name: _state(asset, target, other) for asset in assets}
    _show_table(assets, states)
    download = sum(a.download_bytes for a in assets if states[a.name] == "to fetch")
    print(f"To download: {_megabytes(download)}. Kept in {target}")
    failures: dict[str, str] = {}
    for asset in assets:
        try:
            obtain(asset, target, other)
        except AssetError as error:
            failures[asset.name] = str(error)
            print(f"{asset.name}: not fetched")
    if failures:
        raise AssetError("\n\n".join([f"Not fetched: {', '.join(failures)}.", *failures.values()]))
    print(f"All there: {target}")


def _show_table(assets: list[Asset], states: dict[str, str]) -> None:
    rows = [("asset", "download", "on disk", "wrapper licence", "content licence", "state")]
    for asset in assets:
        sizes = (_megabytes(asset.download_bytes), _megabytes(asset.size))
        licences = (asset.wrapper_licence, asset.content_licence)
        rows.append((asset.name, *sizes, *licences, states[asset.name]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _state(asset: Asset, target: Path, other: Path | None) -> str:
    if not lacking(asset, target / asset.name):
        return "cached"
    if other and not lacking(asset, other / asset.name):
        return "to copy"
    root = installed_at(asset.installed)
    if root and all((root / member.archive).is_file() for member in asset.members):
        return "to copy"
    return "to fetch"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
