"""Pinned downloads: the course's texts, word vectors and models, each checked byte for byte.

`path(name)` gives the folder of an asset and fetches what the cache lacks. Which bytes are right
is decided by the sha256 values in data/assets.toml, wherever they came from.
"""

from helpers.assets.prefetching import prefetch
from helpers.assets.registry import Asset, AssetError, Member, cache_dir, describe
from helpers.assets.store import file, is_cached, path

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
