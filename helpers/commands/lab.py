"""`course lab`: the learner's own copies of the notebooks, opened in JupyterLab.

Learners work in `work/`, never in `notebooks/`: an update of the course cannot touch their edits.
"""

import hashlib
import json
import os
import shutil
import sys
from itertools import count
from pathlib import Path

from helpers import assets, notebooks
from helpers.commands.venv import become
from helpers.files import write_text
from helpers.runtime import ROOT

__all__ = ["copy_notebooks", "lab", "reset"]

MANIFEST = ".copies.json"  # name -> sha256 of the copy as it was made


def copy_notebooks(root: Path = ROOT) -> list[str]:
    """Update `work/` without touching what the learner changed; a line per copy left outdated."""
    made, kept = _read_manifest(root), []
    for source in notebooks.find(root):
        name = source.relative_to(root / "notebooks").as_posix()
        target, fresh = root / "work" / name, notebooks.stripped(source)
        latest = _digest(fresh.encode("utf-8"))
        now = _digest(target.read_bytes()) if target.exists() else None
        if now in (None, latest, made.get(name)):
            if now != latest:  # else leave it: it may be open in a browser
                write_text(target, fresh)
            made[name] = latest
        elif made.get(name) != latest:
            kept.append(f"work/{name} is yours and stays; fresh copy: course reset {name}")
    _write_manifest(root, made)
    return kept


def reset(names: list[str], root: Path = ROOT) -> int:
    """Put fresh copies of notebooks into `work/`; the learner's are renamed, not deleted."""
    sources, made = notebooks.resolve(names, root), _read_manifest(root)
    for source in sources:
        name = source.relative_to(root / "notebooks").as_posix()
        target, fresh = root / "work" / name, notebooks.stripped(source)
        if target.exists():
            names_for_mine = (target.with_name(f"{target.stem}.mine-{n}.ipynb") for n in count(1))
            mine = next(path for path in names_for_mine if not path.exists())
            os.replace(target, mine)
            print(f"Your version is now {mine.relative_to(root).as_posix()}")
        write_text(target, fresh)
        made[name] = _digest(fresh.encode("utf-8"))
        print(f"work/{name} is fresh.")
    _write_manifest(root, made)
    return 0


def lab(open_browser: bool = True, port: int = 8888, root: Path = ROOT) -> int:
    """Fetch the reviews, copy the notebooks, become JupyterLab; `port` is the first one to try."""
    try:
        assets.path("reviews")
    except assets.AssetError as error:
        print(f"The reviews are not here yet; notebook 00 will need them.\n{error}\n")
    for line in copy_notebooks(root):
        print(line)
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}"]
    command += [f"--ServerApp.root_dir={root / 'work'}"]
    command += ["--LabApp.default_url=/lab/tree/00_start_here.ipynb"]
    command += ["--ServerApp.answer_yes=True"]  # Ctrl-C ends it, without a question to answer
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if as_root:
        command.append("--allow-root")
    on_x11 = sys.platform.startswith(("linux", "freebsd"))
    no_display = on_x11 and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if as_root or no_display or not open_browser:
        command.append("--no-browser")
    return become(command)


def _read_manifest(root: Path) -> dict[str, str]:
    path = root / "work" / MANIFEST
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).items())
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        # Without the record, a copy that differs counts as edited, so that no work is lost.
        shutil.move(path, path.with_suffix(".damaged"))
        return {}


def _write_manifest(root: Path, made: dict[str, str]) -> None:
    write_text(root / "work" / MANIFEST, json.dumps(made, indent=1) + "\n")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
