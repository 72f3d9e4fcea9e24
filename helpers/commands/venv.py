"""Make the course's own environment if it is missing or stale, then run a command in it.

The system's Python runs it as a script, with nothing installed: `make lab` is `python
helpers/commands/venv.py lab`. It writes to `.venv/` and nowhere else.
"""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
STAMP = VENV / "course-stamp"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST, NEWEST = (3, 11), (3, 13)


def wanted_stamp() -> str:
    """Fingerprint of all that the environment depends on: Python, this folder, lock, project."""
    # base_prefix, not prefix: it is the same from inside the environment.
    digest = hashlib.sha256(f"{sys.version_info[:2]} {sys.base_prefix} {ROOT}".encode())
    for name in ("requirements.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def create() -> None:
    """Install the lock and the course (editable); an interrupted installation leaves no stamp."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SystemExit(
            f"The course needs Python 3.11, 3.12 or 3.13; this is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 lab"
        )
    print(f"Setting up {VENV.name}/ from requirements.lock (once; a few minutes).", flush=True)
    STAMP.unlink(missing_ok=True)
    # Unless the folder is emptied, a Python of another version stays in place.
    config, version = VENV / "pyvenv.cfg", ".".join(map(str, sys.version_info[:3]))
    same = config.exists() and f"version = {version}\n" in config.read_text(encoding="utf-8")
    # Not `import venv`: as a script, this file has that name and comes first on the path.
    make = [sys.executable, "-I", "-m", "venv", *([] if same and PYTHON.exists() else ["--clear"])]
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    # The lock holds the build backend, so that the course itself needs no index.
    course = [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    try:
        for command in ([*make, str(VENV)], [*pip, "-r", str(ROOT / "requirements.lock")], course):
            subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"Setting up {VENV.name}/ stopped (the reason is above, exit {error.returncode}). "
            "Mend what it names and run the same command again: it goes on from here."
        ) from None
    except KeyboardInterrupt:
        raise SystemExit(f"\nSetting up {VENV.name}/ was interrupted; run it again.") from None
    STAMP.write_text(wanted_stamp())


def become(command: list) -> int:
    """Replace this process by another program (Windows: run it and return its exit code)."""
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program itself
    return subprocess.run(command).returncode


if __name__ == "__main__":
    if not (PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted_stamp()):
        create()
    if sys.argv[1:]:
        os.chdir(str(ROOT))
        sys.exit(become([str(PYTHON), "-m", "helpers.commands.cli", *sys.argv[1:]]))
