"""`course lab`: the learner's own copies of the notebooks, opened in JupyterLab.

Learners work in `work/`, never in `notebooks/`: an update of the course cannot touch their edits.
JupyterLab's defaults for the course, and its layout, stand there too; the user's own settings are
read and win, and are never written.
"""

import hashlib
import json
import os
import sys
from itertools import count
from pathlib import Path

from jupyterlab_server.workspaces_handler import WorkspacesManager

from helpers import assets, notebooks
from helpers.commands.venv import become
from helpers.files import read_entries, write_text
from helpers.runtime import ROOT

__all__ = ["copy_notebooks", "lab", "reset"]

MANIFEST = ".copies.json"  # name -> sha256 of the copy as it was made
FIRST_PAGE = "START_HERE.md"
CORE = ("start_here", "classical_ml", "word_embeddings", "bert", "gpt", "lora", "whole_history")
"""Slugs of the shorter path through the course."""

DEFAULTS = {
    # Cells that come and go while one scrolls make a page with many figures jump.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
}
CONTENTS = "@jupyterlab/toc:plugin"
LAYOUT = {
    "left": {
        "collapsed": False,
        "visible": True,
        "current": CONTENTS,
        "widgets": ["filebrowser", "running-sessions", CONTENTS],
    },
    "relativeSizes": [0.22, 0.78, 0],
}
"""Of the window as it first opens: the contents of the page beside it."""
PAGE = """\
# A History of Fine-Tuning

Begin with [{first}]({link}). Run a cell with Shift+Enter. Where you find `...`, the cell \
is yours: write a guess or an answer there and run it again. Nothing breaks if you leave it.

| | lesson | |
|---|---|---|
{rows}

The lessons marked *core* are the shorter path, about five hours. The others go *further*.

- These are your own copies. An update of the course never overwrites what you wrote.
- A fresh copy of a lesson: `course reset 04` in a terminal. Yours stays beside it.
- The contents of a lesson stand on the left.
- Answers to all exercises are in `solutions/`.
"""


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
    write_text(root / "work" / FIRST_PAGE, _first_page(root))
    return kept


def _first_page(root: Path) -> str:
    """The page that JupyterLab opens: every lesson with its title, and how to begin."""
    rows, links = [], {}
    for path in notebooks.find(root, ["lesson", "bonus"]):
        name = path.relative_to(root / "notebooks").as_posix()
        head = "".join(notebooks.peek(path).cells[0].source).partition("\n")[0]
        number, _, title = head.removeprefix("# ").partition(" · ")
        links[name] = title
        path_of = "core" if path.stem.partition("_")[2] in CORE else "further"
        rows.append(f"| {number} | [{title}]({name}) | *{path_of}* |")
    link = next(iter(links), "")
    return PAGE.format(first=links.get(link, ""), link=link, rows="\n".join(rows))


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
    command += [f"--LabApp.default_url=/lab/tree/{FIRST_PAGE}"]
    command += [f"--LabApp.workspaces_dir={_manners(root)}"]
    command += ["--ServerApp.answer_yes=True"]  # Ctrl-C ends it, without a question to answer
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if as_root:
        command.append("--allow-root")
    on_x11 = sys.platform.startswith(("linux", "freebsd"))
    no_display = on_x11 and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if as_root or no_display or not open_browser:
        command.append("--no-browser")
    return become(command)


def _manners(root: Path) -> Path:
    """Give JupyterLab the course's defaults and its first layout; the folder of its layouts."""
    folder = root / "work" / ".jupyter"
    defaults = folder / "labconfig" / "default_setting_overrides.json"
    write_text(defaults, json.dumps(DEFAULTS, indent=1) + "\n")
    given = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, [str(folder), given]))
    layouts = WorkspacesManager(str(folder / "layouts"))
    if not layouts.list_workspaces():  # later ones are the learner's
        layout = {"data": {"layout-restorer:data": LAYOUT}, "metadata": {"id": "default"}}
        layouts.save("default", json.dumps(layout))
    return folder / "layouts"


def _read_manifest(root: Path) -> dict[str, str]:
    # Without the record, a copy that differs counts as edited, so that no work is lost.
    return read_entries(root / "work" / MANIFEST)


def _write_manifest(root: Path, made: dict[str, str]) -> None:
    write_text(root / "work" / MANIFEST, json.dumps(made, indent=1) + "\n")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
