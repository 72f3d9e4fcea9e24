"""From a file to a folder with model and card: `finetune` takes all the steps in order."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch

from helpers import training
from helpers.finetune.data import Data, guess_task, read
from helpers.finetune.fitting import baseline, test_once, train
from helpers.finetune.folder import CHECKPOINTS, check_output, is_complete, save, start_run
from helpers.finetune.settings import LANGUAGE_TASKS, METHODS, estimate, settings_for
from helpers.finetune.splitting import Parts, split
from helpers.pretrained import quiet
from helpers.runtime import PROFILES, Profile

__all__ = ["Order", "finetune"]


@dataclass
class Order:
    """The options of `course finetune`; `settings` are those that differ from the defaults."""

    data: Path
    output: Path
    method: str | None = None  # as in `settings.METHODS`; the cheapest of the task without it
    task: str | None = None  # guessed without it
    text: str = "text"
    label: str = "label"
    encoding: str = "utf-8"
    seed: int = 0
    test_size: float = 0.2
    resume: bool = False
    dry_run: bool = False
    base: str | None = None
    profile: Profile = field(default_factory=lambda: PROFILES["cpu"])
    settings: dict = field(default_factory=dict)

    def fingerprint(self) -> dict:
        """What must be equal for a run to be resumed."""
        same = "method task text label encoding seed test_size base settings".split()
        content = hashlib.sha256(Path(self.data).read_bytes()).hexdigest()
        values = {key: getattr(self, key) for key in same}
        return values | {"data": content, "profile": self.profile.name}


def finetune(order: Order) -> int:
    """Do everything that an order asks for, printing each step; returns an exit code.

    Under `torchrun` every process calls it; only the first prints and writes.

    Raises:
        ValueError: if the file, the folder or a setting does not fit; also TableError, ModelError
            and AssetError.
    """
    writes = training.place()[0] == 0
    say = print if writes else (lambda line: None)
    order.task = order.task or guess_task(order.data, order.text, order.label, order.encoding)
    order.method = order.method or METHODS.get(order.task, ("",))[0]
    data = read(order.data, order.task, text=order.text, label=order.label, encoding=order.encoding)
    if order.base and order.method == "linear":
        raise ValueError(
            "A linear model has no base. Leave out --base, or choose another --method."
        )
    if order.resume and is_complete(order.output):
        say(f"{order.output} is finished already; nothing to do.")
        return 0
    if writes and not order.dry_run:
        check_output(order.output, order.fingerprint(), order.resume)
    say(data.summary)
    parts = split(data, order.test_size)
    say(parts.report())
    settings = settings_for(order.method, parts.train, order.profile, order.settings)
    if order.dry_run:
        say(estimate(parts, order.method, order.profile, order.base, settings).report())
    elif order.method != "linear" or writes:  # a linear model takes one process
        if training.place()[1] > 1 and torch.cuda.is_available():  # a GPU for each process
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        try:
            with quiet():
                _train_and_save(order, data, parts, settings, say)
        finally:
            if torch.distributed.is_initialized():  # no process waits for one that is gone
                torch.distributed.destroy_process_group()
    return 0


def _train_and_save(order: Order, data: Data, parts: Parts, settings: dict, say) -> None:
    writes, folder, checkpoints, against = training.place()[0] == 0, order.output, None, None
    if order.method != "linear":
        checkpoints = folder / CHECKPOINTS
        if writes:
            start_run(folder, order.fingerprint())
        if order.task not in LANGUAGE_TASKS:
            against = baseline(parts, order.seed, order.profile)
            say(f"baseline, validation: {against.validation}")
    say(f"training: {order.method} ...")
    options = {"seed": order.seed, "profile": order.profile, "base": order.base}
    options |= {"checkpoints": checkpoints, "resume": order.resume, "settings": settings}
    trained = train(parts, order.method, **options)
    for note in trained.notes:
        say(f"note: {note}")
    say(f"validation: {trained.validation}, {trained.seconds / 60:.1f} minutes")
    tested = test_once(trained, parts, against, order.profile)
    say(f"test, opened once: {tested.score}")
    if order.method != "linear":
        say(f"baseline on the same test: {tested.baseline}")
    if writes:
        save(trained, parts, tested, folder, data)
        say(f"Written to {folder}: the card is README.md. Try it:")
        say(f'  course predict {folder} "a text"')
