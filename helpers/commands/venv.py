"""Make the course's own environment when it is missing or stale, then run a command in it.

Run as a script, by the system's Python and with nothing installed: `python helpers/commands/venv.py
lab` is what `make lab` does. It writes to `.venv/` and nowhere else.
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
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = SCRIPTS / ("python.exe" if os.name == "nt" else "python")
OLDEST, NEWEST = (3, 11), (3, 13)


def wanted_stamp() -> str:
    """Fingerprint of what the environment is made from: Python, this folder, lock, project."""
    # base_prefix, not prefix: the same Python counts as the same from inside the environment.
    digest = hashlib.sha256(f"{sys.version_info[:2]} {sys.base_prefix} {ROOT}".encode())
    for name in ("requirements.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def is_fresh() -> bool:
    """True if `.venv` was completed from exactly this lock and this project file."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted_stamp()


def create() -> None:
    """Install everything the lock pins, and the course itself in editable form.

    The stamp is written last: an interrupted installation is stale and is completed next time.
    """
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SystemExit(
            f"The course needs Python 3.11, 3.12 or 3.13; this is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 lab"
        )
    print(f"Setting up {VENV.name}/ from requirements.lock (once; a few minutes).", flush=True)
    STAMP.unlink(missing_ok=True)
    try:
        _make_empty()
        pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "-r", str(ROOT / "requirements.lock")], check=True)
        # The lock holds the build backend, so that this step needs no index.
        editable = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
        subprocess.run([*pip, *editable], check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"Setting up {VENV.name}/ stopped (the reason is above, exit {error.returncode}). "
            "Mend what it names and run the same command again: it goes on from here."
        ) from None
    except KeyboardInterrupt:
        raise SystemExit(f"\nSetting up {VENV.name}/ was interrupted; run it again.") from None
    STAMP.write_text(wanted_stamp())


def _make_empty() -> None:
    # A Python of another version would stay in place if the folder were not emptied.
    config = VENV / "pyvenv.cfg"
    version = ".".join(map(str, sys.version_info[:3]))
    same = config.exists() and f"version = {version}\n" in config.read_text(encoding="utf-8")
    clear = not (same and PYTHON.exists())
    # Not `import venv`: this file has that name, and its folder comes first when it is the script.
    command = [sys.executable, "-I", "-m", "venv", *(["--clear"] if clear else []), str(VENV)]
    subprocess.run(command, check=True)


def main(arguments: list[str]) -> int:
    """Set up if needed, then hand over to the `course` command with these arguments."""
    if not is_fresh():
        create()
    if not arguments:
        return 0
    # Ctrl-C reaches the command itself; this process only waits for its exit code.
    command = subprocess.Popen([str(PYTHON), "-m", "helpers.commands.cli", *arguments], cwd=ROOT)
    # An end asked for politely is passed on, so that no server stays behind.
    signal.signal(signal.SIGTERM, lambda *_: command.terminate())
    while True:
        try:
            return command.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
