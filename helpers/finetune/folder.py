"""A model's folder: resumable, marked complete last, and checked before anything in it is used."""

import hashlib
import json
import shutil
from pathlib import Path

from helpers.files import write_text
from helpers.finetune.card import figures, model_card
from helpers.finetune.data import Data
from helpers.finetune.fitting import Tested, Trained
from helpers.finetune.models import MODELS
from helpers.finetune.splitting import Parts
from helpers.pretrained import quiet

__all__ = ["CARD", "CHECKPOINTS", "FolderError", "check_output", "is_complete", "load"]
__all__ += ["load_model", "may_resume", "open_folder", "save", "start_run"]

CARD, METRICS, README = "course.json", "metrics.json", "README.md"
CHECKPOINTS = "checkpoints"
RUN = "run.json"  # in CHECKPOINTS: the options of the run
FORMAT = 1
KEYS = {"format", "task", "method", "label_names", "base", "settings", "files"}
UNPACKING = (".pkl", ".pickle", ".joblib", ".bin", ".pt", ".pth", ".ckpt")  # could run code


class FolderError(ValueError):
    """A folder without a finished model of this tool; the message names the remedy."""


def is_complete(folder: Path | str) -> bool:
    """Whether a folder holds a finished model of this tool."""
    return (Path(folder) / CARD).is_file()


def may_resume(record: Path, run: dict) -> bool:
    """Whether an unfinished run left a record; a ValueError names what differs in it from `run`."""
    if not record.is_file():
        return False
    try:
        was = json.loads(record.read_text(encoding="utf-8").partition("\n")[0])
        differ = [key for key in run if was.get(key) != run[key]]
    except (ValueError, AttributeError):
        differ = ["form"]
    if differ:
        raise ValueError(
            f"The unfinished run in {record.parent} differs in {', '.join(differ)}. Give the same, "
            f"choose another --output, or delete {record.name} there."
        )
    return True


def check_output(folder: Path, run: dict, resume: bool) -> None:
    """Refuse to overwrite a folder, or to resume a run with other options."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder as --output.")
    if is_complete(folder):
        raise ValueError(f"{folder} holds a finished model ({CARD}). Choose another --output.")
    record = folder / CHECKPOINTS / RUN
    if not record.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty. Choose another --output.")
    elif resume:
        may_resume(record, run)
    elif any(record.parent.glob("checkpoint-*")):
        raise ValueError(
            f"{folder} holds an unfinished run. Go on with --resume, or choose another --output."
        )


def start_run(folder: Path, run: dict) -> None:
    """Record the run's options, for `check_output` of a later call."""
    write_text(folder / CHECKPOINTS / RUN, json.dumps(run) + "\n")


def save(
    trained: Trained,
    parts: Parts,
    tested: Tested,
    folder: Path | str,
    data: Data,
    name: str | None = None,
) -> Path:
    """Write a model, its figures and its card; `course.json` comes last and marks it complete.

    Args:
        folder: made if needed; an earlier model in it is replaced, other files are refused.
        data: the whole data set, before the split.
        name: of the model on its card; by default the folder's.

    Raises:
        ValueError: if the model is a baseline, which is not kept, or the folder holds other files.
    """
    folder = Path(folder)
    if not hasattr(trained.model, "save"):
        raise ValueError(f"{trained.method!r} is a baseline and not kept; save a trained method.")
    folder.mkdir(parents=True, exist_ok=True)
    begun = (folder / CHECKPOINTS / RUN).is_file()
    strange = [path.name for path in folder.iterdir() if path.name != CHECKPOINTS]
    if strange and not begun and not is_complete(folder):
        raise ValueError(
            f"{folder} holds other files, such as {strange[0]}. Choose another folder."
        )
    (folder / CARD).unlink(missing_ok=True)  # incomplete until everything is written
    with quiet():
        trained.model.save(folder)
    numbers = figures(trained, parts, tested, data)
    write_text(folder / METRICS, json.dumps(numbers, indent=1) + "\n")
    write_text(folder / README, model_card(numbers, name or folder.resolve().name))
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and p.name != CARD]
    same = ("task", "method", "label_names", "base", "settings")
    card = {"format": FORMAT} | {key: getattr(trained, key) for key in same}
    card["files"] = {path.name: _sha256(path) for path in files if path.name != README}
    write_text(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    if begun:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return folder


def open_folder(folder: Path | str) -> dict:
    """Check every file in a folder and return its `course.json`.

    Raises:
        FolderError: if it is no folder of ours, not complete, damaged, or of another version; also
            if it holds a file that could run code when unpacked.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FolderError(f"There is no folder {folder}. Give the --output of `course finetune`.")
    if not is_complete(folder):
        if (folder / CHECKPOINTS).is_dir():
            raise FolderError(
                f"{folder} holds an unfinished run. Finish it with `course finetune ... --resume`."
            )
        raise FolderError(
            f"{folder} has no {CARD}, so `course finetune` did not write it, or not to its end."
        )
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        lacking = KEYS - card.keys()
    except (ValueError, AttributeError) as error:
        raise FolderError(f"{folder / CARD} is damaged ({error}). Train again.") from error
    if lacking or card["format"] != FORMAT:
        what = f"lacks {', '.join(sorted(lacking))}" if lacking else "is of another version"
        raise FolderError(f"{folder / CARD} {what}. Use the version of the course that wrote it.")
    files = card["files"]
    if not isinstance(files, dict) or not any(name.endswith(".safetensors") for name in files):
        raise FolderError(f"{folder / CARD} names no weights. Train again.")
    for path in folder.iterdir():
        if path.suffix in UNPACKING:
            raise FolderError(
                f"{folder} holds {path.name}, which this tool never writes: unpacking it could run "
                "code. Take it out."
            )
    for name, wanted in files.items():
        path = folder / name
        if Path(name).name != name or path.suffix in UNPACKING:
            raise FolderError(f"{folder / CARD} names {name!r}, which this tool never writes.")
        if not path.is_file() or _sha256(path) != wanted:
            what = "not what was saved" if path.is_file() else "missing"
            raise FolderError(f"{folder} is damaged: {name} is {what}. Copy the folder again.")
    return card


def load(folder: Path | str, base: str | None = None):
    """Load a finished model, which answers with `probabilities`, `tags` or `write`.

    `base` is the place of an adapter's base if that has moved; a different base is refused.

    Raises:
        FolderError: as `open_folder`.
        pretrained.ModelError: if an adapter's base cannot be loaded, or is a different one.
    """
    return load_model(folder, open_folder(folder), base)


def load_model(folder: Path | str, card: dict, base: str | None = None):
    """Load as `load` does, from a folder already checked by `open_folder`."""
    return MODELS[card["task"], card["method"]].load(Path(folder), card, base)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
