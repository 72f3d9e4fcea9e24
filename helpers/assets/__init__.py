"""Pinned downloads: texts, word vectors and models, each checked against data/assets.toml's sha256.

`path(name)` gives an asset's folder, `folder(name)` a model's folder for `from_pretrained`.
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
