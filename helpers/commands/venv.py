"""Make the course's own environment if it is missing or stale, then run a command in it.

The system's Python runs it as a script, with nothing installed: `make lab` is `python
helpers/commands/venv.py lab`. It writes to `.venv/` and nowhere else.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
STAMP = VENV / "course-stamp"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST, NEWEST = (3, 11), (3, 14)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of builds without CUDA: a tenth of the download."""
UNREACHABLE = f"""
The build of torch without CUDA comes from {CPU_INDEX}. Where that is out of reach, name an index
that has torch in PIP_INDEX_URL or PIP_EXTRA_INDEX_URL; or take the build with CUDA (several GB):
  {PYTHON} -m pip install %s
Then run the same command again."""
DRIVER = ("/proc/driver/nvidia", "/usr/lib/wsl/lib/nvidia-smi")


def wanted_stamp() -> str:
    """Fingerprint of all that the environment depends on: Python, this folder, lock, project."""
    # base_prefix, not prefix: it is the same from inside the environment.
    digest = hashlib.sha256(f"{sys.version_info[:2]} {sys.base_prefix} {ROOT}".encode())
    for name in ("requirements.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def takes_cpu_build(system, environment, settings: str, has_driver: bool) -> bool:
    """Whether torch should come from `CPU_INDEX`: pip's default index has CUDA's build for Linux.

    Args:
        system: as in `sys.platform`.
        environment: variables; Colab and conda bring a torch, or an index, of their own.
        settings: what `pip config list` prints; an index that the user has set is kept.
    """
    if system != "linux" or has_driver:
        return False
    if environment.get("CONDA_PREFIX") or environment.get("COLAB_RELEASE_TAG"):
        return False
    return not re.search(r"\.((extra-)?index-url|no-index|find-links)=['\"][^'\"]", settings)


def pip_commands(python: str, cpu_build: bool) -> list:
    """Install the lock and the course (editable), and before them torch alone for `cpu_build`."""
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    lock = ROOT / "requirements.lock"
    # The lock holds the build backend, so that the course itself needs no index.
    course = [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    commands = [[*pip, "-r", str(lock)], course]
    if cpu_build:
        [torch] = re.findall(r"^torch==\S+", lock.read_text(encoding="utf-8"), re.M)
        # Nothing else comes from there; the lock's pin then accepts what is installed.
        commands.insert(0, [*pip, "--no-deps", "--index-url", CPU_INDEX, torch])
    return commands


def create() -> None:
    """Install the lock and the course; an interrupted installation leaves no stamp."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SystemExit(
            f"The course needs Python 3.{OLDEST[1]} to 3.{NEWEST[1]}; this is "
            f"{sys.version.split()[0]}. Name another one: make PYTHON=python3.12 lab"
        )
    print(f"Setting up {VENV.name}/ from requirements.lock (once; a few minutes).", flush=True)
    whole = STAMP.exists()  # then pip is there, and making the folder again would take seconds
    STAMP.unlink(missing_ok=True)
    # Unless the folder is emptied, a Python of another version stays in place.
    config, version = VENV / "pyvenv.cfg", ".".join(map(str, sys.version_info[:3]))
    same = PYTHON.exists() and config.exists()
    same = same and f"version = {version}\n" in config.read_text(encoding="utf-8")
    # Not `import venv`: as a script, this file has that name and comes first on the path.
    make = [sys.executable, "-I", "-m", "venv", *([] if same else ["--clear"]), str(VENV)]
    try:
        if not (whole and same):
            subprocess.run(make, check=True)
        listed = [str(PYTHON), "-m", "pip", "config", "list"]
        settings = subprocess.run(listed, check=True, stdout=subprocess.PIPE).stdout.decode()
        has_driver = bool(shutil.which("nvidia-smi")) or any(map(os.path.exists, DRIVER))
        cpu_build = takes_cpu_build(sys.platform, os.environ, settings, has_driver)
        for command in pip_commands(str(PYTHON), cpu_build):
            subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"Setting up {VENV.name}/ stopped (the reason is above, exit {error.returncode}). "
            "Mend what it names and run the same command again: it goes on from here."
            + (UNREACHABLE % error.cmd[-1] if CPU_INDEX in error.cmd else "")
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
