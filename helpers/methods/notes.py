"""What is written down of a network while it trains, kept across a kill."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from helpers.files import write_text

__all__ = ["NoteTaker"]


class NoteTaker:
    """Look at a network at fixed points of its training, without disturbing it.

    A run that was killed repeats some steps; what it notes again replaces the first note, so the
    file reads as if nothing had happened.

    Args:
        path: JSON file of the notes so far.
        look: (model in evaluation mode) -> what to note. It may draw no random numbers but its own.
        at: shares of all steps after which to look; 0 is before the first step.
    """

    def __init__(self, path: Path, look: Callable[..., dict], at: Sequence[float]):
        self.path, self.look, self.at = path, look, at

    def taken(self) -> list[dict]:
        """All notes in order, each with the `step` after which it was taken."""
        if not self.path.exists():
            return []
        notes = json.loads(self.path.read_text(encoding="utf-8"))
        return sorted(notes, key=lambda note: note["step"])

    def note(self, step: int, model, total: int) -> None:
        """Look, if this step of so many in total is one of the points."""
        if step not in {round(share * total) for share in self.at}:
            return
        was_training = model.training
        model.eval()
        note = {"step": step} | self.look(model)
        model.train(was_training)
        kept = [note for note in self.taken() if note["step"] != step]
        write_text(self.path, json.dumps([*kept, note]))
