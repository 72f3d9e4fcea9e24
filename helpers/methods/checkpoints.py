"""Networks whose weights are trained once and found again: in the repository, or in the cache.

`find` looks in `data/checkpoints/`, where those lie that a laptop should not have to train, then in
the cache folder under `derived/`, and else trains the network and keeps it there. `course pretrain`
writes what lies in the repository. A file is only taken if it records the same settings, words and
shapes as are asked for.
"""

import hashlib
import importlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from helpers import assets, training
from helpers.files import write_bytes, write_text
from helpers.methods import neural
from helpers.methods.base import Corpus
from helpers.methods.notes import NoteTaker
from helpers.revision import revision
from helpers.runtime import PROFILES, ROOT, results_dir, versions

__all__ = ["CHECKPOINTS", "NAMES", "Pretraining", "find", "named", "pretrain"]

CHECKPOINTS = ROOT / "data" / "checkpoints"
NAMES = {
    "lstm-lm": ("pretraining", "LANGUAGE_MODEL"),
    "lstm-lm-one-epoch": ("pretraining", "ONE_EPOCH"),
    "tiny-gpt": ("tiny_gpt", "TINY_GPT"),
}
"""Networks that `course pretrain` trains: the module that declares each, and its name there."""
CURVE_POINTS = 200  # of the loss, in the record of a run


def _shared_words(corpus: Corpus) -> list[str]:
    return neural.vocabulary(corpus).words


@dataclass(frozen=True)
class Pretraining:
    """A training that several runs start from.

    Attributes:
        name: of its files.
        build: (corpus) -> the untrained network, its random weights seeded.
        rows: (corpus) -> (training rows, held-out rows or None), as `training.fit` takes them.
        settings: further arguments of `training.fit`; `smoke` trains one epoch whatever they say.
        details: whatever else decides the weights and is not in their shapes: how the text is cut,
            dropout.
        describe: what the text or the labels are, for the record.
        words: (corpus) -> what each token id stands for, in order.
        notes: (corpus, model) -> what else to record of the network on its way, as JSON takes it.
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


def named(name: str) -> Pretraining:
    """The declaration of a network that lies in the repository.

    Raises:
        ValueError: if there is none of that name; the message lists those there are.
    """
    if name not in NAMES:
        raise ValueError(f"No network is called {name!r}; there are {', '.join(NAMES)}.")
    module, attribute = NAMES[name]
    return getattr(importlib.import_module(f"helpers.methods.{module}"), attribute)


def find(what: Pretraining, corpus: Corpus, folder: Path = CHECKPOINTS) -> torch.nn.Module:
    """Give the trained network, in evaluation mode; each call builds another copy.

    Args:
        what: which network.
        corpus: decides the texts, their number and the vocabulary.
        folder: of checkpoints, looked at before the cache.
    """
    model = what.build(corpus)
    digest = _digest(what, corpus, model)
    kept = assets.cache_dir() / "derived" / f"{what.name}-{digest}.safetensors"
    for path in (folder / f"{what.name}.safetensors", kept):
        state = _read(path, digest)
        if state is not None:
            model.load_state_dict(state)
            return model.eval()
    if (folder / f"{what.name}.safetensors").exists() and corpus.profile.name != "smoke":
        print(f"The stored weights of {what.name} are of other settings; training it anew.")
    with _training(what, corpus, model, digest) as result:
        _write(kept, result.model, digest, torch.float32)
    return result.model


def pretrain(
    what: Pretraining,
    profile: str = "cpu",
    folder: Path | None = None,
    echo: Callable[[str], None] = print,
) -> Path:
    """Train a network for the repository, with a record of how; a killed run goes on.

    Args:
        what: which network.
        profile: sizes, as everywhere.
        folder: where both files go; `data/checkpoints` without, under `results/` for `smoke`.
        echo: receives a line before and after.

    Returns:
        The path of the weights, float16; the record lies beside it as JSON.
    """
    corpus = Corpus(PROFILES[profile])
    if folder is None:
        folder = results_dir() / "checkpoints" if profile == "smoke" else CHECKPOINTS
    model = what.build(corpus)
    digest = _digest(what, corpus, model)
    echo(f"{what.name}: {json.dumps(_settings(what, corpus))}, profile {profile}")
    path = folder / f"{what.name}.safetensors"
    taker = what.notes and NoteTaker(
        _scratch(what, digest) / "notes.json", partial(what.notes, corpus), what.note_at
    )
    with _training(what, corpus, model, digest, taker) as result:
        _write(path, result.model, digest, torch.float16)
        record = _record(what, corpus, result, digest)
        if taker:
            record["notes"] = taker.taken()
        write_text(path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    echo(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB after {result.cost.seconds:,.0f} s")
    return path


def _settings(what: Pretraining, corpus: Corpus) -> dict:
    quick = {"num_epochs": 1} if corpus.profile.name == "smoke" else {}
    return {**what.settings, **quick}


def _scratch(what: Pretraining, digest: str) -> Path:
    return results_dir() / "pretrain" / f"{what.name}-{digest}"


@contextmanager
def _training(
    what: Pretraining, corpus: Corpus, model, digest: str, taker: NoteTaker | None = None
):
    """Train, with checkpoints that go away once the result was put to safety."""
    rows, held_out = what.rows(corpus)
    scratch, settings = _scratch(what, digest), _settings(what, corpus)
    model, on_step = model.to(neural.device(corpus)), None
    if taker:
        epoch_steps = math.ceil(len(rows) / settings.get("batch_size", 32))
        on_step = partial(taker.note, total=settings["num_epochs"] * epoch_steps)
        on_step(0, model)
    yield training.fit(
        model,
        rows,
        validation=held_out,
        output_dir=scratch,
        resume=True,
        on_step=on_step,
        **settings,
    )
    shutil.rmtree(scratch)


def _digest(what: Pretraining, corpus: Corpus, model) -> str:
    """Name what decides the weights: settings, shapes, words, and how many texts."""
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    sizes = [len(corpus.imdb["train"]), len(corpus.reviews["train"])]
    facts = [what.name, _settings(what, corpus), dict(what.details), shapes, sizes]
    facts.append(what.words(corpus))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def _read(path: Path, digest: str) -> dict | None:
    """Read weights as float32, if the file is there and records the same facts."""
    if not path.exists():
        return None
    from safetensors import SafetensorError, safe_open

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


def _write(path: Path, model, digest: str, dtype: torch.dtype) -> None:
    from safetensors.torch import save

    state = {
        key: value.detach().cpu().to(dtype).contiguous()
        for key, value in model.state_dict().items()
    }
    write_bytes(path, save(state, metadata={"digest": digest}))


def _record(what: Pretraining, corpus: Corpus, result: training.FitResult, digest: str) -> dict:
    """Say how weights came about, with the curve of the loss in some hundred points."""
    each = max(1, len(result.losses) // CURVE_POINTS)
    chunks = [result.losses[i : i + each] for i in range(0, len(result.losses), each)]
    return {
        "name": what.name,
        "trained_on": what.describe,
        "settings": _settings(what, corpus),
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
        "device": "cuda" if next(result.model.parameters()).is_cuda else "cpu",
        "versions": versions(),
        "revision": revision(f"from {what.build.__module__} import {what.build.__name__}"),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
