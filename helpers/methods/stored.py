"""`course pretrain`: train a network that the repository carries, with a record of how."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from helpers import training
from helpers.files import write_text
from helpers.methods import pretraining, tiny_gpt
from helpers.methods.base import Corpus
from helpers.methods.checkpoints import (
    CHECKPOINTS,
    Pretraining,
    scratch_folder,
    trained,
    write_weights,
)
from helpers.revision import revision
from helpers.runtime import PROFILES, results_dir, versions

__all__ = ["NETWORKS", "pretrain"]

NETWORKS = {
    what.name: what
    for what in (pretraining.LANGUAGE_MODEL, pretraining.ONE_EPOCH, tiny_gpt.TINY_GPT)
}
CURVE_POINTS = 200  # of the loss, in the record of a run


def pretrain(
    what: Pretraining | str,
    profile: str = "cpu",
    folder: Path | None = None,
    echo: Callable[[str], None] = print,
) -> Path:
    """Train a network for the repository and record how; an interrupted run resumes.

    Args:
        what: one of `NETWORKS`, or its name.
        folder: where both files go; by default `data/checkpoints`, for `smoke` under `results/`.

    Returns:
        The path of the weights, float16; the record lies beside it as JSON.

    Raises:
        ValueError: if there is no such network; the message lists the networks.
    """
    what = _named(what) if isinstance(what, str) else what
    corpus = Corpus(PROFILES[profile])
    if folder is None:
        folder = results_dir() / "checkpoints" if profile == "smoke" else CHECKPOINTS
    model = what.build(corpus)
    digest = what.digest(corpus, model)
    echo(f"{what.name}: {json.dumps(what.settings_in(corpus))}, profile {profile}")
    path = folder / f"{what.name}.safetensors"
    rows = what.rows(corpus)
    notes = _Notes(what, corpus, len(rows[0]), scratch_folder(what, digest) / "notes.json")
    notes.look(0, model)
    with trained(what, corpus, model, digest, rows, notes.look) as result:
        write_weights(path, result.model, digest, torch.float16)
        record = _record(what, corpus, result, digest) | notes.record()
        write_text(path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    echo(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB after {result.cost.seconds:,.0f} s")
    return path


def _named(name: str) -> Pretraining:
    if name not in NETWORKS:
        raise ValueError(f"No network is called {name!r}; there are {', '.join(NETWORKS)}.")
    return NETWORKS[name]


class _Notes:
    """Measures a network at fixed points of its training; a resumed run replaces repeated notes."""

    def __init__(self, what: Pretraining, corpus: Corpus, num_rows: int, path: Path):
        self.what, self.corpus, self.path = what, corpus, path
        settings = what.settings_in(corpus)
        total = settings["num_epochs"] * math.ceil(num_rows / settings.get("batch_size", 32))
        self.steps = {round(share * total) for share in what.note_at} if what.notes else set()

    def look(self, step: int, model: torch.nn.Module) -> None:
        """Take a note, if this step is one of the points."""
        if step not in self.steps:
            return
        was_training = model.training
        model.eval()
        note = {"step": step} | self.what.notes(self.corpus, model)
        model.train(was_training)
        others = [other for other in self._taken() if other["step"] != step]
        write_text(self.path, json.dumps([*others, note]))

    def record(self) -> dict:
        """All notes in order, each with the `step` after which it was taken."""
        notes = sorted(self._taken(), key=lambda note: note["step"])
        return {"notes": notes} if self.what.notes else {}

    def _taken(self) -> list[dict]:
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else []


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
