"""Pinned downloads: texts, word vectors and models, each checked against data/assets.toml's sha256.

`path(name)` gives an asset's files, `folder(name)` a model's folder for `from_pretrained`.
"""

from helpers.assets.hub import ModelError
from helpers.assets.models import Choice, choose_model, folder, hub_id, model_folder
from helpers.assets.store import AssetError, cache_dir, describe, file, is_cached, path, prefetch

__all__ = [
    "AssetError",
    "Choice",
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
