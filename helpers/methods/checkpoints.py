"""Networks that are trained once and then loaded: from the repository, or from the cache.

Those too slow for a laptop lie in `data/checkpoints/`, written by `course pretrain`. A file is used
only if it records the settings, words and shapes that are asked for.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from helpers import assets, training
from helpers.files import write_bytes, write_text
from helpers.methods import Corpus, common
from helpers.revision import revision
from helpers.runtime import PROFILES, ROOT, results_dir, versions

__all__ = ["CHECKPOINTS", "Pretraining", "find", "pretrain", "read_weights", "write_weights"]

CHECKPOINTS = ROOT / "data" / "checkpoints"
CURVE_POINTS = 200  # of the loss, in the record of a run


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
    words: Callable[[Corpus], list[str]] = lambda corpus: common.vocabulary(corpus).words
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
    with _trained(what, corpus, model, digest, what.rows(corpus)) as result:
        write_weights(cached, result.model, digest, torch.float32)
    return result.model


def pretrain(
    what: Pretraining,
    profile: str = "cpu",
    folder: Path | None = None,
    echo: Callable[[str], None] = print,
) -> Path:
    """Train a network for the repository and record how; an interrupted run resumes.

    `folder` is where both files go; by default `data/checkpoints`, for `smoke` under `results/`.

    Returns:
        The path of the weights, float16; the record lies beside it as JSON.
    """
    corpus = Corpus(PROFILES[profile])
    if folder is None:
        folder = results_dir() / "checkpoints" if profile == "smoke" else CHECKPOINTS
    model, rows = what.build(corpus), what.rows(corpus)
    digest = what.digest(corpus, model)
    echo(f"{what.name}: {json.dumps(what.settings_in(corpus))}, profile {profile}")
    path = folder / f"{what.name}.safetensors"
    look, notes = _note_taker(what, corpus, len(rows[0]), _scratch(what, digest) / "notes.json")
    look(0, model)
    with _trained(what, corpus, model, digest, rows, look) as result:
        write_weights(path, result.model, digest, torch.float16)
        record = _record(what, corpus, result, digest)
        record |= {"notes": sorted(notes.values(), key=lambda note: note["step"])} if notes else {}
        write_text(path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    echo(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB after {result.cost.seconds:,.0f} s")
    return path


@contextmanager
def _trained(
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
    folder = _scratch(what, digest)
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


def _scratch(what: Pretraining, digest: str) -> Path:
    """The folder of a training's checkpoints, one per digest."""
    return results_dir() / "pretrain" / f"{what.name}-{digest}"


def _note_taker(
    what: Pretraining, corpus: Corpus, num_rows: int, path: Path
) -> tuple[Callable[[int, torch.nn.Module], None], dict[str, dict]]:
    """An `on_step` that takes notes at fixed points of a training, and {step: note} as they come.

    They are kept in a file for a run that resumes, and replaced where that repeats a step.
    """
    settings = what.settings_in(corpus)
    total = settings["num_epochs"] * math.ceil(num_rows / settings.get("batch_size", 32))
    steps = {round(share * total) for share in what.note_at} if what.notes else set()
    notes = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def look(step: int, model: torch.nn.Module) -> None:
        if step in steps:
            was_training = model.training
            notes[str(step)] = {"step": step} | what.notes(corpus, model.eval())
            model.train(was_training)
            write_text(path, json.dumps(notes))

    return look, notes


def _record(what: Pretraining, corpus: Corpus, result: training.FitResult, digest: str) -> dict:
    """Describe how weights were trained, with the loss curve in a few hundred points."""
    each = max(1, len(result.losses) // CURVE_POINTS)
    chunks = [result.losses[i : i + each] for i in range(0, len(result.losses), each)]
    return {
        "name": what.name,
        "trained_on": what.describe,
        "settings": what.settings_in(corpus),
        "details": dict(what.details),
        "digest": digest,
        "vocabulary": len(what.words(corpus)),
        "parameters": sum(p.numel() for p in result.model.parameters()),
        "steps": len(result.losses),
        "steps_a_point": each,
        "loss": [round(sum(chunk) / len(chunk), 4) for chunk in chunks],
        "held_out": result.validation,
        "tokens_per_second": round(result.tokens / result.cost.seconds),
        "profile": corpus.profile.name,
        "device": training.device_of(result.model),
        "versions": versions(),
        "revision": revision(f"from {what.build.__module__} import {what.build.__name__}"),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


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
