"""What the doctor reads of the software: each check reads one thing and returns its findings.

No check contacts a network, and none leaves a file behind. What a check reads comes from a small
function of its own, so that a test can stand in for a machine that is not at hand.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from helpers import __version__, runtime
from helpers.runtime import PROFILES, ROOT

__all__ = [
    "Finding",
    "INSTALL",
    "cache",
    "folders",
    "packages",
    "pip_settings",
    "read_lock",
    "settings",
    "system",
]

OLDEST, NEWEST = (3, 11), (3, 13)
INSTALL = (
    "run `python -m pip install -r requirements.lock`"
    if os.name == "nt"
    else "run `make lab` (or `python -m pip install -r requirements.lock`)"
)
PIP_SETTINGS = ("index-url", "extra-index-url", "no-index", "find-links", "proxy", "cert")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    `level` is `ok`, `warn` (worth knowing), `fix` (a remedy is named) or `help` (needs a person).
    `remedy` completes the sentence "Fixable: ...".
    """

    text: str
    level: str = "ok"
    remedy: str = ""


def python_version() -> tuple[int, int, int]:
    """The running Python's version."""
    return sys.version_info[:3]


def system() -> list[Finding]:
    """Operating system and Python; another Python than 3.11 to 3.13 needs help."""
    found = python_version()
    text = f"Python {'.'.join(map(str, found))} ({sys.executable})"
    python = Finding(text)
    if not OLDEST <= found[:2] <= NEWEST:
        remedy = "install Python 3.11, 3.12 or 3.13, then set the course up again"
        python = Finding(f"{text}: the course needs 3.11 to 3.13; {remedy}", "help", remedy)
    return [Finding(f"{platform.platform()}, {platform.machine()}"), python]


def read_lock(path: Path) -> list:
    """Read the requirements that hold on this machine from a pinned requirements file.

    Comments, hashes and options of pip are left out, and so are lines whose marker names another
    system or Python.

    Args:
        path: a requirements file.

    Returns:
        `packaging` Requirements, in the order of the file.

    Raises:
        ValueError: if a line is no requirement; the message names file and line.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    wanted = []
    text = path.read_text(encoding="utf-8").replace("\\\n", "  ")
    for number, line in enumerate(text.splitlines(), start=1):
        line = re.split(r"(?:^|\s)#|\s--", line)[0].strip()
        if not line or line.startswith("-"):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from error
        if requirement.marker is None or requirement.marker.evaluate():
            wanted.append(requirement)
    return wanted


def installed(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def packages(root: Path = ROOT) -> list[Finding]:
    """Every package against `requirements.lock`: name, what there is, what is wanted.

    Another version than the locked one is worth knowing; a missing package, or a version outside
    the range in `pyproject.toml`, is to be mended.
    """
    import tomllib  # Python 3.10 lacks it, and has to get as far as being told so

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    with open(root / "pyproject.toml", "rb") as file:
        direct = map(Requirement, tomllib.load(file)["project"]["dependencies"])
    ranges = {canonicalize_name(item.name): item for item in direct}
    lock = root / "requirements.lock"
    if lock.exists():
        locked = {canonicalize_name(item.name): item for item in read_lock(lock)}
    else:
        locked = {}
    remedy = "fetch the course again: its requirements.lock is missing"
    findings = [] if locked else [Finding("requirements.lock is missing", "fix", remedy)]
    as_locked = 0
    for name in sorted(ranges | locked):
        finding = _package(name, locked.get(name), ranges.get(name))
        as_locked += finding.level == "ok"
        if finding.level != "ok" or name in ranges:
            findings.append(finding)
    count = len(ranges | locked)
    return [Finding(f"{as_locked} of {count} packages are as they should be"), *findings]


def _package(name: str, locked, allowed) -> Finding:
    have = installed(name)
    want = str((locked or allowed).specifier) or "any"
    if have is None:
        return Finding(f"{name}: missing, want {want}", "fix", INSTALL)
    if allowed is not None and not allowed.specifier.contains(have, prereleases=True):
        return Finding(f"{name}: have {have}, want {allowed.specifier}", "fix", INSTALL)
    if locked is not None and not locked.specifier.contains(have, prereleases=True):
        return Finding(f"{name}: have {have}, want {want}", "warn")
    return Finding(f"{name}: have {have}, want {want}")


def existing(path: Path) -> Path:
    """The nearest folder of a path that exists already."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def cache() -> list[Finding]:
    """Which data and models are on this machine already."""
    from helpers import assets

    findings = []
    for asset in assets.describe():
        if _being_written(Path(assets.cache_dir()) / f"{asset.name}.lock"):
            findings.append(Finding(f"{asset.name}: being written now by another process", "warn"))
        elif assets.is_cached(asset.name):
            findings.append(Finding(f"{asset.name}: cached"))
        else:
            text = f"{asset.name}: not cached, fetched when first used (`course prefetch`: now)"
            findings.append(Finding(text, "warn"))
    return findings


def _being_written(lock: Path) -> bool:
    from filelock import FileLock, Timeout

    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a cache that may only be read is not written by anyone
        return False


def pip_config() -> str:
    """What `pip config list` prints: files and environment together, one `key='value'` a line."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise OSError(done.stderr.strip().splitlines()[-1:] or "pip failed")
    return done.stdout


def pip_settings() -> list[Finding]:
    """Which index pip would use; whether it answers is not tried."""
    try:
        lines = pip_config().splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        remedy = "run `python -m ensurepip`, or copy a cache folder and set COURSE_CACHE"
        return [Finding(f"pip: cannot be run ({error}); to fetch data: {remedy}", "warn")]
    # pip writes `:env:.index-url='...'` or `global.no-index='true'`.
    named = [line for line in lines if line.partition("=")[0].rpartition(".")[2] in PIP_SETTINGS]
    return [Finding(f"pip: {line}") for line in named] or [Finding("pip: its own default index")]


def folders(root: Path = ROOT) -> list[Finding]:
    """Whether the course may write where it writes."""
    findings = []
    for path in (runtime.results_dir().resolve(), root / "work"):
        try:
            with tempfile.TemporaryFile(dir=existing(path)):
                findings.append(Finding(f"writable: {path}"))
        except OSError as error:
            remedy = f"make {path} writable, or copy the course to a folder of your own"
            findings.append(Finding(f"not writable: {path} ({error.strerror})", "fix", remedy))
    return findings


def settings(root: Path = ROOT) -> list[Finding]:
    """Environment variables of the course in force, and the revision at hand."""
    names = sorted(name for name in os.environ if name.startswith(("COURSE_", "HF_HUB_OFFLINE")))
    findings = [Finding(f"{name}={os.environ[name]}") for name in names]
    profile = os.environ.get("COURSE_PROFILE")
    if profile and profile not in PROFILES:
        remedy = f"set COURSE_PROFILE to one of {', '.join(PROFILES)}, or unset it"
        findings.append(Finding(f"COURSE_PROFILE is {profile!r}", "fix", remedy))
    return [*findings, Finding(f"course {__version__}, git {git_revision(root)}")]


def git_revision(root: Path = ROOT) -> str:
    """The commit of the checkout, `+changes` when files differ from it, or `none`."""
    if not (root / ".git").exists() or not shutil.which("git"):
        return "none"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+changes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or "none"
