"""`course doctor`: is this machine ready? A report to read, or to paste when asking for help.

It changes nothing and contacts no network. The checks themselves are in `doctor_checks`
and `doctor_machine`, the measurement in `speed`.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from helpers import notebooks, speed
from helpers.commands import doctor_checks, doctor_machine
from helpers.commands.doctor_checks import INSTALL, Finding
from helpers.runtime import ROOT

__all__ = ["doctor", "expected_minutes", "mask"]

LEVELS = {"ok": 0, "warn": 0, "fix": 1, "help": 2}
MARKS = {"ok": "ok  ", "warn": "note", "fix": "FIX ", "help": "HELP"}

BUSY = 30  # per cent of all cores, beyond which the speed measured says little


def doctor(
    echo: Callable[[str], object] = print, *, as_json: bool = False, root: Path = ROOT
) -> int:
    """Check this machine and say what to do.

    Args:
        echo: receives the report line by line.
        as_json: one JSON object instead of lines for people.
        root: the folder of the repository.

    Returns:
        0 ready, 1 fixable with what the last line says, 2 needs a person's help.
    """
    report: dict[str, list[Finding]] = {}
    for title, check in _checks(root).items():
        report[title] = _guarded(title, check)
        if not as_json:
            echo(title)
            for item in report[title]:
                echo(mask(f"  {MARKS[item.level]} {item.text}"))
    findings = [item for items in report.values() for item in items]
    code = max(LEVELS[item.level] for item in findings)
    last = _last_line(code, findings)
    if as_json:
        sections = {title: [vars(item) for item in items] for title, items in report.items()}
        everything = {"code": code, "summary": last, "sections": sections}
        echo(json.dumps(_masked(everything), indent=2, ensure_ascii=False))
    else:
        echo(mask(last))
    return code


def _checks(root: Path) -> dict[str, Callable[[], list[Finding]]]:
    checks, machine = doctor_checks, doctor_machine
    return {
        "System": checks.system,
        "Packages": lambda: checks.packages(root),
        "Memory": machine.memory,
        "Disk": lambda: machine.disk(root),
        "Device": machine.device,
        "Data and models": checks.cache,
        "Package index (not contacted)": checks.pip_settings,
        "Folders": lambda: checks.folders(root),
        "Settings": lambda: checks.settings(root),
        "Speed and expected minutes": lambda: _speed_and_minutes(root),
    }


def _guarded(title: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check so that what breaks it becomes a line of the report, and the others go on."""
    try:
        return check()
    except ImportError as error:
        return [Finding(f"cannot be checked: {error}", "fix", INSTALL)]
    except Exception as error:
        text = f"{title.lower()} could not be checked: {type(error).__name__}: {error}"
        return [Finding(text, "warn")]


def _last_line(code: int, findings: list[Finding]) -> str:
    if code == 0:
        return "Ready."
    if code == 2:
        return "Ask for help: paste this report."
    remedies = dict.fromkeys(item.remedy for item in findings if item.level == "fix")
    return f"Fixable: {'; then '.join(remedies)}."


def _speed_and_minutes(root: Path) -> list[Finding]:
    found, busy = [], doctor_machine.cpu_in_use()
    if busy > BUSY:
        text = f"other programs use {busy:.0f} % of the CPU: the minutes below are too high. "
        found.append(Finding(text + "Close them and run `course doctor` again.", "warn"))
    here = speed.training_speed(seconds=5.0)
    arithmetic = f"matrices: {speed.matmul_gflops():.0f} GFLOP/s"
    found.append(Finding(f"training: {here:.1f} steps/s; {arithmetic}"))
    for path in notebooks.find(root, kinds=("lesson", "bonus")):
        label = path.relative_to(root / "notebooks").with_suffix("").as_posix()
        stamp = notebooks.read_stamp(path)
        found.append(Finding(f"{label}: {expected_minutes(stamp, here)}"))
    return found


def expected_minutes(stamp: dict | None, speed_here: float) -> str:
    """Say how long a notebook will take here, from its stored run on another machine.

    Args:
        stamp: of the stored notebook; None if it has none.
        speed_here: training steps a second on this machine's CPU.

    Returns:
        Minutes in words; unscaled, and said so, when the stored run recorded no CPU speed.
    """
    if stamp is None:
        return "no timed run is stored yet"
    minutes = stamp["seconds"] / 60
    where = f"{stamp['profile']}, {stamp['device']}"
    if stamp.get("speed") and stamp["device"].startswith("cpu"):
        return f"about {minutes * stamp['speed'] / speed_here:.1f} minutes here (profile {where})"
    return f"{minutes:.1f} minutes where it was stored, not scaled to here (profile {where})"


def mask(text: str) -> str:
    """Make a line fit to be pasted: the home folder as `~`, no passwords in addresses."""
    home = os.path.expanduser("~")
    for folder in sorted({home, os.path.realpath(home)}, key=len, reverse=True):
        if len(folder) > 1:  # in some containers the home folder is `/`
            text = re.sub(re.escape(folder) + r"(?![\w.-])", "~", text)
    return re.sub(r"//[^/@\s'\"]+@", "//***@", text)


def _masked(value):
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return mask(value) if isinstance(value, str) else value
