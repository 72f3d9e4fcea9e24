"""`course lab`: the learner's own copies of the notebooks, opened in JupyterLab.

Learners work in `work/`, never in `notebooks/`: an update of the course cannot meet their edits.
"""

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from helpers.course import notebooks
from helpers.runtime import ROOT

__all__ = ["copy_notebooks", "lab", "needs_address", "reset"]

MANIFEST = ".copies.json"


def copy_notebooks(root: Path = ROOT) -> list[str]:
    """Bring `work/` up to date without ever touching a notebook the learner has changed.

    A copy that is byte for byte as it was made is replaced when the course's notebook has changed;
    any other file stays.

    Returns:
        A line for each notebook that was left alone though the course has a later one.
    """
    work = root / "work"
    work.mkdir(exist_ok=True)
    made = _read_manifest(work)
    kept = []
    for source in notebooks.find(root):
        name = source.relative_to(root / "notebooks").as_posix()
        target, fresh = work / name, notebooks.stripped(source)
        if target.exists():
            now = _digest(target.read_text(encoding="utf-8"))
            if now != made.get(name, {}).get("copy"):
                if made.get(name, {}).get("course") != _digest(fresh):
                    kept.append(f"work/{name} is yours and stays; fresh copy: course reset {name}")
                continue
        notebooks.write_text(target, fresh)
        made[name] = {"copy": _digest(fresh), "course": _digest(fresh)}
    notebooks.write_text(work / MANIFEST, json.dumps(made, indent=1) + "\n")
    return kept


def reset(names: list[str], root: Path = ROOT) -> int:
    """Give back fresh copies of some notebooks; the learner's versions are renamed, not deleted."""
    work = root / "work"
    made = _read_manifest(work)
    for source in notebooks.resolve(names, root):
        name = source.relative_to(root / "notebooks").as_posix()
        target = work / name
        if target.exists():
            mine = next(
                path
                for n in range(1, 10_000)
                if not (path := target.with_name(f"{target.stem}.mine-{n}.ipynb")).exists()
            )
            os.replace(target, mine)
            print(f"Your version is now work/{mine.relative_to(work).as_posix()}")
        fresh = notebooks.stripped(source)
        notebooks.write_text(target, fresh)
        made[name] = {"copy": _digest(fresh), "course": _digest(fresh)}
        print(f"work/{name} is fresh.")
    notebooks.write_text(work / MANIFEST, json.dumps(made, indent=1) + "\n")
    return 0


def lab(open_browser: bool = True, port: int = 8888) -> int:
    """Fetch the reviews, make the copies, and serve them until Ctrl-C.

    As root or without a display no browser is started: one address to open is printed.
    """
    from helpers import assets

    try:
        assets.path("reviews")
    except assets.AssetError as error:
        print(f"The reviews are not here yet; notebook 00 will need them.\n{error}\n")
    for line in copy_notebooks():
        print(line)
    port, token = _free_port(port), secrets.token_hex(16)
    page = f"http://127.0.0.1:{port}/lab/tree/00_start_here.ipynb?token={token}"
    command = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", f"--port={port}"]
    command += [
        "--ServerApp.port_retries=0",
        "--log-level=ERROR",
        f"--notebook-dir={ROOT / 'work'}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    if not open_browser or needs_address():
        command.append("--no-browser")
    else:
        command.append("--LabApp.default_url=/lab/tree/00_start_here.ipynb")
    server = subprocess.Popen(command, env=os.environ | {"JUPYTER_TOKEN": token})
    try:
        if _wait_until_ready(server, port):
            print(f"\nThe course is open at\n  {page}\nStop it with Ctrl-C.", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()
        return 0


def needs_address() -> bool:
    """True where a browser cannot or should not be started: as root, or without a display."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return True
    on_x11 = sys.platform.startswith(("linux", "freebsd"))
    return on_x11 and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _free_port(first: int) -> int:
    for port in range(first, first + 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise ValueError(f"Ports {first} to {first + 99} are all in use; choose another with --port.")


def _wait_until_ready(server: subprocess.Popen, port: int, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    return server.poll() is None


def _read_manifest(work: Path) -> dict:
    path = work / MANIFEST
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        # Without the record every copy counts as edited: nothing of the learner's can be lost.
        shutil.move(path, path.with_suffix(".damaged"))
        return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
