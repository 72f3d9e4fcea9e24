"""`course doctor`: is this machine ready? Changes nothing and contacts no network."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from helpers import assets, notebooks, runtime, speed
from helpers.commands import colab
from helpers.commands.venv import NEWEST, OLDEST
from helpers.runtime import ROOT

__all__ = ["CHECKS", "Finding", "doctor", "expected_minutes", "judge_memory", "mask"]

LEVELS = {"ok": 0, "warn": 0, "fix": 1, "help": 2}
MARKS = {"ok": "ok  ", "warn": "note", "fix": "FIX ", "help": "HELP"}
INSTALL = "run `make lab`, or `python -m pip install -r requirements.lock`"
NEEDED_MEMORY, NEEDED_AVAILABLE, NEEDED_DISK = 8e9, 4e9, 4e9
BUSY = 30  # per cent of all cores; above it, a measured speed says little
PIP_SETTINGS = re.compile(r"\.(extra-)?(index-url|no-index|find-links|proxy|cert)=")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    `level` is `ok`, `warn` (worth knowing), `fix` (a remedy is named) or `help` (needs a person).
    `remedy` completes the sentence "Fixable: ...".
    """

    text: str
    level: str = "ok"
    remedy: str = ""


def doctor(root: Path = ROOT) -> int:
    """Print what this machine has and what to do; exit code 0 ready, 1 fixable, 2 needs help."""
    findings: list[Finding] = []
    for title, check in CHECKS.items():
        try:
            found = check(root)
        except ImportError as error:
            found = [Finding(f"cannot be checked: {error}", "fix", INSTALL)]
        except Exception as error:  # a line of the report, so that the others are there
            text = f"{title.lower()} could not be checked: {type(error).__name__}: {error}"
            found = [Finding(text, "warn")]
        print(mask("\n".join([title, *(f"  {MARKS[item.level]} {item.text}" for item in found)])))
        findings += found
    code = max(LEVELS[item.level] for item in findings)
    remedies = dict.fromkeys(item.remedy for item in findings if item.level == "fix")
    last = ["Ready.", f"Fixable: {'; then '.join(remedies)}.", "Ask for help: paste this report."]
    print(mask(last[code]))
    return code


def _system(_: Path) -> list[Finding]:
    text, level, remedy = f"Python {platform.python_version()} ({sys.executable})", "ok", ""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        needed = f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]}"
        level, remedy = "help", f"install {needed}, then set the course up again"
        text += f": the course needs {needed}; {remedy}"
    machine = Finding(f"{platform.platform()}, {platform.machine()}")
    return [machine, Finding(text, level, remedy)]


def _packages(root: Path) -> list[Finding]:
    """What is missing, outside its range, or not as locked."""
    ranges, pins = colab.direct(root), colab.locked(root)
    wanted = pins | ranges
    findings = []
    for name, requirement in wanted.items():
        have = colab.installed(name)
        if have is None or (name in ranges and not colab.is_met(requirement)):
            text = f"{name}: have {have or 'none'}, want {requirement.specifier}"
            findings.append(Finding(text, "fix", INSTALL))
        elif name in pins and not colab.is_met(pins[name]):
            text = f"{name}: have {have}, locked {pins[name].specifier}"
            findings.append(Finding(text, "warn"))
    as_locked = len(wanted) - len(findings)
    return [Finding(f"{as_locked} of {len(wanted)} packages are as locked"), *findings]


def _pip_check(_: Path) -> list[Finding]:
    """Conflicts between installed packages, needed by the course or not."""
    done = _pip("check")
    said = (done.stdout or done.stderr).splitlines()
    return [Finding(line, "warn" if done.returncode else "ok") for line in said]


def _memory(_: Path) -> list[Finding]:
    """Memory of the machine, or a container's lower limit."""
    import psutil

    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    limit, used = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit.exists() and used.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
        available = min(available, max(0, total - int(used.read_text())))
    return [judge_memory(total, available)]


def judge_memory(total: float, available: float) -> Finding:
    """Say whether this much memory will do, in bytes: in all, and left by other programs."""
    text = f"memory: {total / 1e9:.1f} GB, {available / 1e9:.1f} GB of it available"
    if total < NEEDED_AVAILABLE:
        remedy = "use a machine with 8 GB of memory, or Colab"
        return Finding(f"{text}: too little for the notebooks; {remedy}", "help", remedy)
    if available < NEEDED_AVAILABLE:
        remedy = "close other programs and notebooks, then run `course doctor` again"
        return Finding(f"{text}: the notebooks need about 4 GB", "fix", remedy)
    if total < NEEDED_MEMORY:
        return Finding(f"{text}: 8 GB are better; keep one notebook open at a time", "warn")
    return Finding(text)


def _disk(root: Path) -> list[Finding]:
    """Free space, and permission to write, for models, results and the learner's notebooks."""
    findings = []
    for path, otherwise in (
        (assets.cache_dir(), "set COURSE_CACHE to another place"),
        (runtime.results_dir().resolve(), "set COURSE_RESULTS to another place"),
        (root / "work", "copy the course to another place"),
    ):
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        text, remedy = f"{path}: {free / 1e9:.1f} GB free", ""
        if free < NEEDED_DISK:
            text += f", {NEEDED_DISK / 1e9:.0f} GB needed"
            remedy = f"free some disk for {path}, or {otherwise}"
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            text += f", not writable ({error.strerror})"
            remedy = f"make {path} writable, or {otherwise}"
        findings.append(Finding(text, "fix" if remedy else "ok", remedy))
    return findings


def _device(_: Path) -> list[Finding]:
    import psutil
    import torch

    units = torch.backends.cpu.get_cpu_capability()
    text = f"cpu: {psutil.cpu_count(logical=False)} cores, {torch.get_num_threads()} threads in "
    text += f"torch, vector units: {units}, trains in {runtime.usable_precision('cpu')}"
    cuda = "cuda: none; the notebooks use the cpu profile"
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        profile = "gpu" if card.total_memory >= runtime.GPU_MEMORY_NEEDED else "cpu"
        cuda = f"cuda: {card.name}, {card.total_memory / 1e9:.1f} GB, capability {card.major}."
        cuda += f"{card.minor}, trains in {runtime.usable_precision('cuda')}; profile {profile}"
    findings = [Finding(text), Finding(cuda)]
    if torch.backends.mps.is_available():
        findings.append(Finding("mps: there, and not used: it can give wrong numbers silently"))
    return findings


def _assets(_: Path) -> list[Finding]:
    cached = {asset.name: assets.is_cached(asset.name) for asset in assets.describe()}
    absent = "not cached, fetched when first used (`course prefetch`: now)"
    return [
        Finding(f"{name}: {'cached' if there else absent}", "ok" if there else "warn")
        for name, there in cached.items()
    ]


def _pip_settings(_: Path) -> list[Finding]:
    """Which index pip would use; it is not contacted."""
    done = _pip("config", "list")
    if done.returncode:
        remedy = "run `python -m ensurepip`, or copy a cache folder and set COURSE_CACHE"
        said = done.stderr.strip()
        return [Finding(f"pip: cannot be run ({said}); to fetch data: {remedy}", "warn")]
    named = [line for line in done.stdout.splitlines() if PIP_SETTINGS.search(line)]
    return [Finding(f"pip: {line}") for line in named] or [Finding("pip: its own default index")]


def _pip(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def _settings(root: Path) -> list[Finding]:
    names = sorted(name for name in os.environ if name.startswith(("COURSE_", "HF_HUB_OFFLINE")))
    findings = [Finding(f"{name}={os.environ[name]}") for name in names]
    profile = os.environ.get("COURSE_PROFILE")
    if profile and profile not in runtime.PROFILES:
        remedy = f"set COURSE_PROFILE to one of {', '.join(runtime.PROFILES)}, or unset it"
        findings.append(Finding(f"COURSE_PROFILE is {profile!r}", "fix", remedy))
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+changes"]
    commit = "none"
    if (root / ".git").exists() and shutil.which("git"):
        commit = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
    version = colab.installed("finetuning-history")
    return [*findings, Finding(f"course {version}, git {commit or 'none'}")]


def _minutes(root: Path) -> list[Finding]:
    import psutil

    found, busy = [], psutil.cpu_percent(interval=0.5)
    if busy > BUSY:
        text = f"other programs use {busy:.0f} % of the CPU: the minutes below are too high. "
        found.append(Finding(text + "Close them and run `course doctor` again.", "warn"))
    here = speed.training_speed(seconds=5.0)
    text = f"training: {here:.1f} steps/s; matrices: {speed.matmul_gflops():.0f} GFLOP/s"
    found.append(Finding(text))
    for path in notebooks.find(root, kinds=("lesson", "bonus")):
        label = path.relative_to(root / "notebooks").with_suffix("").as_posix()
        found.append(Finding(f"{label}: {expected_minutes(notebooks.read_stamp(path), here)}"))
    return found


def expected_minutes(stamp: dict | None, speed_here: float) -> str:
    """Say how long a notebook takes here, from its stored run's stamp and our steps per second.

    Without a CPU speed in the stamp, the minutes are those of the stored run, and the text says so.
    """
    if stamp is None:
        return "no timed run is stored yet"
    minutes = stamp["seconds"] / 60
    where = f"{stamp['profile']}, {stamp['device']}"
    if stamp.get("speed") and stamp["device"].startswith("cpu"):
        return f"about {minutes * stamp['speed'] / speed_here:.1f} minutes here (profile {where})"
    return f"{minutes:.1f} minutes where it was stored, not scaled to here (profile {where})"


def mask(text: str) -> str:
    """Make a text safe to paste: the home folder as `~`, no passwords in addresses."""
    home = os.path.expanduser("~")
    for folder in sorted({home, os.path.realpath(home)}, key=len, reverse=True):
        if len(folder) > 1:  # in some containers the home folder is `/`
            text = re.sub(re.escape(folder) + r"(?![\w.-])", "~", text)
    return re.sub(r"//[^/@\s'\"]+@", "//***@", text)


CHECKS = {
    "System": _system,
    "Packages": _packages,
    "Packages among themselves (pip check)": _pip_check,
    "Memory": _memory,
    "Disk and folders": _disk,
    "Device": _device,
    "Data and models": _assets,
    "Package index (not contacted)": _pip_settings,
    "Settings": _settings,
    "Speed and expected minutes": _minutes,
}
