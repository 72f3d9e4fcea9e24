"""Pinned downloads: the course's texts, word vectors and models, each checked byte for byte.

`path(name)` gives the folder of an asset and fetches what the cache lacks. Which bytes are right
is decided by the sha256 values in data/assets.toml, wherever they came from. `folder(name)` gives
a model of this run as a folder that transformers' own `from_pretrained` reads.
"""

from helpers.assets.hub import Choice, ModelError
from helpers.assets.models import choose_model, folder, hub_id, model_folder
from helpers.assets.prefetching import prefetch
from helpers.assets.registry import Asset, AssetError, Member, cache_dir, describe
from helpers.assets.store import file, is_cached, path

__all__ = [
    "Asset",
    "AssetError",
    "Choice",
    "Member",
    "ModelError",
    "cache_dir",
    "choose_model",
    "describe",
    "file",
    "folder",
    "hub_id",
    "is_cached",
    "model_folder",
    "path",
    "prefetch",
]
