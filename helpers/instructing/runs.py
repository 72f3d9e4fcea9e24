"""A run of one of TRL's trainers: its silence, its bar, its checkpoints."""

import contextlib
import hashlib
import json
from pathlib import Path

from helpers.files import write_text
from helpers.pretrained.loading import quiet
from helpers.runtime import shows_progress

__all__ = ["STATE", "bar", "check_run", "last_checkpoint", "silence"]

STATE = "trainer_state.json"  # written last: a checkpoint without it was cut off
RUN = "run.json"  # what the checkpoints of a folder were begun with
DECISIVE = (
    "num_train_epochs", "learning_rate", "per_device_train_batch_size", "seed", "beta", "bf16",
    "fp16", "warmup_steps",
)  # fmt: skip


@contextlib.contextmanager
def silence():
    """Switch off the bars and remarks of three libraries for a while."""
    import warnings

    from datasets.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def bar(trainer, first: int):
    """Draw a bar of steps while a trainer runs."""
    from tqdm.auto import tqdm
    from transformers import TrainerCallback

    steps = tqdm(disable=not shows_progress(), initial=first, desc="training", leave=False)

    class Steps(TrainerCallback):
        def on_train_begin(self, args, state, control, **_):
            steps.total = state.max_steps

        def on_step_end(self, args, state, control, **_):
            steps.update()

    callback = Steps()
    trainer.add_callback(callback)
    try:
        with steps:
            yield
    finally:
        trainer.remove_callback(callback)


def check_run(trainer, resume: bool) -> None:
    """Keep two runs apart: what a folder was begun with is written beside its checkpoints."""
    folder = Path(trainer.args.output_dir)
    begun, saved = folder / RUN, any(folder.glob(f"checkpoint-*/{STATE}"))
    if saved and not resume:
        raise ValueError(
            f"{folder} holds checkpoints of an earlier run. Pass resume=True to go on with it, or "
            "choose another output_dir."
        )
    args = trainer.args.to_dict()
    settings = {name: args[name] for name in DECISIVE if name in args}
    settings["rows"] = hashlib.sha256(repr(trainer.train_dataset[:]).encode()).hexdigest()
    same = begun.is_file() and json.loads(begun.read_text(encoding="utf-8")) == settings
    if saved and not same:
        raise ValueError(
            f"The checkpoints in {folder} are of a run with other settings or rows. Use those "
            "again, or choose another output_dir."
        )
    write_text(begun, json.dumps(settings, indent=1) + "\n")


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{STATE}")]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
