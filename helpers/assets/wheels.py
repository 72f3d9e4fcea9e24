"""`pip download`, with the user's own pip settings: index, mirror, folders, proxy, certificates."""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers.runtime import shows_progress

__all__ = ["SourceError", "download"]

NO_SPACE = re.compile(r"No space left on device|Errno 28|Errno 122|WinError 112|Disk quota", re.I)
NO_CONNECTION = re.compile(r"connection|timed out|timeout|SSL|proxy|resolve|Could not fetch", re.I)


class SourceError(RuntimeError):
    """What pip, or another source of files, could not do, in its own words."""


def download(arguments: list[str], to: Path) -> None:
    """Download wheels into an existing folder, without installing them or running their code.

    `arguments` are requirements and flags of `pip download`; its temporary files stay in the
    folder. Errors are SourceError, or OSError with errno ENOSPC when pip ran out of disk.
    """
    for stale in to.glob(".pip-*"):  # of a run that was killed
        shutil.rmtree(stale, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--only-binary=:all:", "--no-input"]
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=to, ignore_cleanup_errors=True) as scratch:
        done = subprocess.run(
            [*command, "--dest", str(to), *arguments],
            env=os.environ
            | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), scratch)
            | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            stdout=2 if shows_progress() else subprocess.DEVNULL,  # pip's bar goes to our stderr
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
    if done.returncode == 0:
        return
    if NO_SPACE.search(done.stderr):
        raise OSError(errno.ENOSPC, "pip ran out of disk space", str(to))
    if "No module named pip" in done.stderr:
        raise SourceError(
            f"this Python ({sys.executable}) has no pip. Run `python -m ensurepip` with it, or "
            "copy a cache folder made with `course prefetch --to DIR` and set COURSE_CACHE"
        )
    # Keep pip's last error and, if there is one, the connection problem that led to it.
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    trouble = [line for line in lines if line not in errors and NO_CONNECTION.search(line)]
    said = [*trouble[-1:], *errors[-1:]] or lines[-4:]
    if os.environ.get("PIP_NO_INDEX", "0").lower() not in ("", "0", "false", "no", "off"):
        said.append("PIP_NO_INDEX is set: only folders were searched")
    raise SourceError(" | ".join(said))
