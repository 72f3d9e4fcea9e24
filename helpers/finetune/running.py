"""`course finetune` from a file to a folder: one run, which may be killed and gone on with."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from helpers.files import write_text
from helpers.finetune import parallel
from helpers.finetune.data import Data, guess_task, read
from helpers.finetune.folder import CARD, RUN, is_complete, save
from helpers.finetune.planning import estimate
from helpers.finetune.settings import METHODS, check_method, settings_for
from helpers.finetune.splitting import Parts, split
from helpers.finetune.trained import baseline, test_once, train
from helpers.pretrained.loading import quiet
from helpers.runtime import PROFILES, Profile

__all__ = ["Order", "finetune"]


@dataclass
class Order:
    """What was asked for on the command line.

    Attributes:
        data: the file.
        output: the folder to fill.
        method, task: as in `settings.METHODS`; None to be chosen, the cheapest of the task.
        text, label, encoding: of the file.
        seed, test_size: of the run.
        resume, dry_run: go on with an unfinished run; say what it would cost, and stop.
        base: another pre-trained model.
        profile: which sizes.
        settings: that differ from the defaults.
    """

    data: Path
    output: Path
    method: str | None = None
    task: str | None = None
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
        """What has to be the same for a run to be gone on with."""
        kept = ("method", "task", "text", "label", "encoding", "seed", "test_size", "base",
                "settings")  # fmt: skip
        content = hashlib.sha256(Path(self.data).read_bytes()).hexdigest()
        return {key: getattr(self, key) for key in kept} | {
            "data": content, "profile": self.profile.name,
        }  # fmt: skip


def finetune(order: Order) -> int:
    """Read, cut, train, test once, save; says on the way what it does.

    Returns:
        An exit code: 0, also for a folder that is finished already and `resume`.

    Raises:
        ValueError: if the file, the folder or a setting does not fit; TableError, ModelError and
            AssetError are told by the command line in the same way.
    """
    say = print if parallel.is_writer() else lambda line: None
    order.task = order.task or guess_task(order.data, order.text, order.label, order.encoding)
    order.method = order.method or METHODS.get(order.task, ("",))[0]
    data = read(order.data, order.task, text=order.text, label=order.label, encoding=order.encoding)
    check_method(order.task, order.method)
    if order.base and order.method == "linear":
        raise ValueError(
            "A linear model has no base. Leave out --base, or choose another --method."
        )
    if order.resume and is_complete(order.output):
        say(f"{order.output} is finished already; nothing to do.")
        return 0
    if not order.dry_run and parallel.is_writer():
        _check_output(order)
    say(data.summary)
    parts = split(data, order.test_size)
    say(parts.report())
    settings_for(order.task, order.method, parts.train, order.profile, order.settings)  # or refuse
    if order.dry_run:
        say(estimate(parts, order.method, order.profile, order.base, order.settings).report())
        return 0
    if order.method == "linear":
        # A linear model takes one process; the others have nothing to do.
        return _finish(order, data, parts, say) if parallel.is_writer() else 0
    parallel.choose_card()
    try:
        with quiet():
            return _finish(order, data, parts, say)
    finally:
        parallel.end()


def _finish(order: Order, data: Data, parts: Parts, say) -> int:
    checkpoints = None
    if order.method != "linear":
        checkpoints = order.output / "checkpoints"
        if parallel.is_writer():
            write_text(checkpoints / RUN, json.dumps(order.fingerprint()) + "\n")
    against = None
    if order.method != "linear" and order.task not in ("text", "chat"):
        against = baseline(parts, order.seed, order.profile)
        say(f"baseline, validation: {against.validation}")
    say(f"training: {order.method} ...")
    trained = train(
        parts, order.method, seed=order.seed, profile=order.profile, base=order.base,
        checkpoints=checkpoints, resume=order.resume, **order.settings,
    )  # fmt: skip
    for note in trained.notes:
        say(f"note: {note}")
    say(f"validation: {trained.validation}, {trained.seconds / 60:.1f} minutes")
    tested = test_once(trained, parts, against, order.profile)
    say(f"test, opened once: {tested.score}")
    if against or order.method == "lora":
        say(f"baseline on the same test: {tested.baseline}")
    if parallel.is_writer():
        save(trained, parts, tested, order.output, data)
        say(f"Written to {order.output}: the card is README.md. Try it:")
        say(f'  course predict {order.output} "a text"')
    return 0


def _check_output(order: Order) -> None:
    """Refuse to write over something, or to go on with a run of other settings."""
    folder = order.output
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder as --output.")
    if is_complete(folder):
        raise ValueError(f"{folder} holds a finished model ({CARD}). Choose another --output.")
    unfinished = folder / "checkpoints" / RUN
    if not unfinished.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty. Choose another --output.")
        return
    if not order.resume and any(folder.glob("checkpoints/checkpoint-*")):
        raise ValueError(
            f"{folder} holds an unfinished run. Go on with --resume, or choose another --output."
        )
    was, now = json.loads(unfinished.read_text(encoding="utf-8")), order.fingerprint()
    differ = [key for key in now if was.get(key) != now[key]]
    if order.resume and differ:
        raise ValueError(
            f"The unfinished run in {folder} had another {', '.join(differ)}. Give the same, or "
            "choose another --output."
        )
