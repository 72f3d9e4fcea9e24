"""`course lab`: the learner's own copies of the notebooks, opened in JupyterLab.

Learners work in `work/`, never in `notebooks/`: an update of the course cannot meet their edits.
"""

import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from helpers import notebooks
from helpers.files import write_text
from helpers.runtime import ROOT

__all__ = ["copy_notebooks", "lab", "needs_address", "reset"]

MANIFEST = ".copies.json"
FIRST_PAGE = "00_start_here.ipynb"
LAST_PORT = 65535
SHUTDOWN_SECONDS = 8  # what JupyterLab gets to end its kernels before it is killed


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
        made_from, latest = made.get(name, {}), _digest(fresh.encode("utf-8"))
        if target.exists():
            now = _digest(target.read_bytes())
            if now not in (made_from.get("copy"), latest):
                if made_from.get("course") != latest:
                    kept.append(f"work/{name} is yours and stays; fresh copy: course reset {name}")
                continue
            if now == latest:  # left as it is: it may be open in a browser
                made[name] = {"copy": latest, "course": latest}
                continue
        write_text(target, fresh)
        made[name] = {"copy": latest, "course": latest}
    write_text(work / MANIFEST, json.dumps(made, indent=1) + "\n")
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
        write_text(target, fresh)
        latest = _digest(fresh.encode("utf-8"))
        made[name] = {"copy": latest, "course": latest}
        print(f"work/{name} is fresh.")
    write_text(work / MANIFEST, json.dumps(made, indent=1) + "\n")
    return 0


def lab(open_browser: bool = True, port: int = 8888, root: Path = ROOT) -> int:
    """Fetch the reviews, make the copies, and serve them until Ctrl-C.

    As root or without a display no browser is started: one address to open is printed.

    Args:
        open_browser: start the browser where there is one.
        port: the first port to try.
        root: the repository, whose `work/` is served.

    Returns:
        0 after Ctrl-C; else the exit code with which JupyterLab ended by itself.

    Raises:
        ValueError: if no port from `port` on is free.
    """
    from helpers import assets

    try:
        assets.path("reviews")
    except assets.AssetError as error:
        print(f"The reviews are not here yet; notebook 00 will need them.\n{error}\n")
    for line in copy_notebooks(root):
        print(line)
    port, token = _free_port(port), secrets.token_hex(16)
    command = _server_command(open_browser, port, root)
    # A closed terminal or a stopped container must not leave a server behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen(command, env=os.environ | {"JUPYTER_TOKEN": token})
    try:
        if _wait_until_ready(server, port):
            page = f"http://127.0.0.1:{port}/lab/tree/{FIRST_PAGE}?token={token}"
            print(f"\nThe course is open at\n  {page}\nStop it with Ctrl-C.", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(server)


def _server_command(open_browser: bool, port: int, root: Path) -> list[str]:
    command = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", f"--port={port}"]
    command += [
        "--ServerApp.port_retries=0",
        "--ServerApp.answer_yes=True",  # Ctrl-C ends it, without a question to answer
        "--log-level=ERROR",
        f"--ServerApp.root_dir={root / 'work'}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    if not open_browser or needs_address():
        command.append("--no-browser")
    else:
        command.append(f"--LabApp.default_url=/lab/tree/{FIRST_PAGE}")
    return command


def _stop(server: subprocess.Popen) -> None:
    if server.poll() is None:
        server.terminate()
    try:
        server.wait(timeout=SHUTDOWN_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: at once
        server.kill()
        server.wait()


def needs_address() -> bool:
    """True where a browser cannot or should not be started: as root, or without a display."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return True
    on_x11 = sys.platform.startswith(("linux", "freebsd"))
    return on_x11 and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _free_port(first: int) -> int:
    if not 1 <= first <= LAST_PORT:
        raise ValueError(f"There is no port {first}; choose one from 1024 to {LAST_PORT}.")
    last = min(first + 99, LAST_PORT)
    for port in range(first, last + 1):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise ValueError(f"Ports {first} to {last} are all in use; choose another with --port.")


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
        made = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        made = None
    if isinstance(made, dict) and all(isinstance(entry, dict) for entry in made.values()):
        return made
    # Without the record a copy that differs counts as edited: nothing of the learner's can be lost.
    shutil.move(path, path.with_suffix(".damaged"))
    return {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
