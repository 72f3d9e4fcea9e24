"""Checkpoints, from which a killed training resumes to the same result."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from helpers.files import write_text
from helpers.training.processes import Processes

__all__ = ["Checkpoints", "Record"]

RECORD = "fit.json"  # a checkpoint without it was cut off


@dataclass
class Record:
    """Settings of a training, and what it has measured so far."""

    settings: dict
    losses: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


class Checkpoints:
    """The last two checkpoints of one training; a ValueError if there are some but no `resume`."""

    def __init__(self, folder: Path | None, resume: bool):
        if resume and not folder:
            raise ValueError("resume=True needs the output_dir that holds the checkpoints.")
        self.folder = Path(folder) if folder else None
        found = self.folder.glob(f"checkpoint-*/{RECORD}") if folder else []
        self.last = max((path.parent for path in found), key=_steps, default=None)
        if self.last and not resume:
            raise ValueError(
                f"{folder} holds checkpoints of an earlier run. Pass resume=True to go on from "
                "them, or choose another output_dir."
            )

    def restore(self, processes: Processes, settings: dict) -> Record:
        """Load the last checkpoint, if there is one; a ValueError if its run had other settings."""
        if self.last is None:
            return Record(settings)
        record = Record(**json.loads((self.last / RECORD).read_text(encoding="utf-8")))
        differ = [key for key, value in settings.items() if record.settings.get(key) != value]
        if differ:
            was = ", ".join(f"{key}={record.settings.get(key)}" for key in differ)
            raise ValueError(
                f"{self.last} comes from a run with {was}. Resume with the same settings, or "
                "choose another output_dir."
            )
        processes.load(self.last)
        return record

    def save(self, processes: Processes, record: Record) -> None:
        """Write a checkpoint, complete or not at all (atomic)."""
        whole = self.folder / f"checkpoint-{len(record.losses)}"
        part = whole.with_name(whole.name + ".part")
        if processes.rank == 0:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        processes.wait()
        processes.save(part)
        processes.wait()
        if processes.rank == 0:
            write_text(part / RECORD, json.dumps(asdict(record)))
            shutil.rmtree(whole, ignore_errors=True)
            os.replace(part, whole)
            for old in sorted(self.folder.glob("checkpoint-*[0-9]"), key=_steps)[:-2]:
                shutil.rmtree(old)


def _steps(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
