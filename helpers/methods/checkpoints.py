"""Networks that are trained once and then loaded: from the repository, or from the cache.

Those too slow for a laptop lie in `data/checkpoints/`, written by `stored`. A file is used only if
it records the settings, words and shapes that are asked for.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from helpers import assets, training
from helpers.files import write_bytes
from helpers.methods import common
from helpers.methods.base import Corpus
from helpers.runtime import ROOT, results_dir

__all__ = [
    "CHECKPOINTS",
    "Pretraining",
    "find",
    "read_weights",
    "scratch_folder",
    "trained",
    "write_weights",
]

CHECKPOINTS = ROOT / "data" / "checkpoints"


def _shared_words(corpus: Corpus) -> list[str]:
    return common.vocabulary(corpus).words


@dataclass(frozen=True)
class Pretraining:
    """A training that several runs start from; `name` is that of its files.

    Attributes:
        build: (corpus) -> the untrained network, its random weights seeded.
        rows: (corpus) -> (training rows, held-out rows or None), as `training.fit` takes them.
        settings: further arguments of `training.fit`; `smoke` always trains one epoch.
        details: what else decides the weights and is not in their shapes: how the text is cut,
            dropout.
        describe: what the text or the labels are, for the record.
        words: (corpus) -> what each token id stands for, in order.
        notes: (corpus, model) -> JSON values to record during training.
        note_at: after which shares of the training; 0 is before the first step.
    """

    name: str
    build: Callable[[Corpus], torch.nn.Module]
    rows: Callable[[Corpus], tuple[Any, Any]]
    settings: Mapping[str, Any]
    details: Mapping[str, Any] = field(default_factory=dict)
    describe: str = ""
    words: Callable[[Corpus], list[str]] = _shared_words
    notes: Callable[[Corpus, torch.nn.Module], dict] | None = None
    note_at: tuple[float, ...] = (1.0,)

    def settings_in(self, corpus: Corpus) -> dict:
        """The arguments of `training.fit` in a corpus' profile."""
        quick = {"num_epochs": 1} if corpus.profile.name == "smoke" else {}
        return {**self.settings, **quick}

    def digest(self, corpus: Corpus, model: torch.nn.Module) -> str:
        """Fingerprint what decides the weights: settings, shapes, words, and number of texts."""
        shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
        sizes = [len(corpus.imdb["train"]), len(corpus.reviews["train"])]
        facts = [self.name, self.settings_in(corpus), dict(self.details), shapes, sizes]
        facts.append(self.words(corpus))
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def find(what: Pretraining, corpus: Corpus, folder: Path = CHECKPOINTS) -> torch.nn.Module:
    """Give a new copy of the trained network in evaluation mode: stored, cached, or trained now."""
    model = what.build(corpus)
    digest = what.digest(corpus, model)
    stored = folder / f"{what.name}.safetensors"
    cached = assets.cache_dir() / "derived" / f"{what.name}-{digest}.safetensors"
    for path in (stored, cached):
        state = read_weights(path, digest)
        if state is not None:
            model.load_state_dict(state)
            return model.eval()
    if stored.exists() and corpus.profile.name != "smoke":
        print(f"The stored weights of {what.name} are of other settings; training it anew.")
    with trained(what, corpus, model, digest, what.rows(corpus)) as result:
        write_weights(cached, result.model, digest, torch.float32)
    return result.model


@contextmanager
def trained(
    what: Pretraining,
    corpus: Corpus,
    model: torch.nn.Module,
    digest: str,
    rows: tuple[Any, Any],
    on_step: Callable[[int, torch.nn.Module], None] | None = None,
) -> Iterator[training.FitResult]:
    """Train a network, resuming from its last checkpoint if this very training was interrupted.

    Checkpoints are deleted when the `with` block ends, so save the result inside it.
    """
    train, held_out = rows
    folder = scratch_folder(what, digest)
    yield training.fit(
        model.to(common.device(corpus)),
        train,
        validation=held_out,
        output_dir=folder,
        resume=True,
        on_step=on_step,
        **what.settings_in(corpus),
    )
    shutil.rmtree(folder)


def scratch_folder(what: Pretraining, digest: str) -> Path:
    """The folder of a training's checkpoints, one per digest."""
    return results_dir() / "pretrain" / f"{what.name}-{digest}"


def read_weights(path: Path, digest: str) -> dict[str, torch.Tensor] | None:
    """Read weights as float32; None if the file is missing or records another digest.

    Raises:
        ValueError: if the file is damaged; the message says what to do.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("digest") != digest:
                return None
            return {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged ({error}). Remove it; if it belongs to the repository, fetch it "
            "again with `git checkout`."
        ) from error


def write_weights(path: Path, model: torch.nn.Module, digest: str, dtype: torch.dtype) -> None:
    """Write the weights of a network atomically."""
    state = {
        key: value.detach().cpu().to(dtype).contiguous()
        for key, value in model.state_dict().items()
    }
    write_bytes(path, save(state, metadata={"digest": digest}))
