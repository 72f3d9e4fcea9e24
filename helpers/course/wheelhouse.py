"""`course prefetch --to DIR --wheels`: every package of the course, for a machine without network.

The packages are those of `requirements.lock`, and what these ask for beyond it, such as CUDA's
libraries for a CUDA build of torch. pip downloads them a few at a time, checking each against the
hash that the index gives, so that whatever is there stays there when the network or the disk ends.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cached_property
from pathlib import Path

from helpers.assets import AssetError
from helpers.assets.sources import NO_SPACE
from helpers.assets.wheels import PipError, download
from helpers.runtime import ROOT

__all__ = ["PLATFORMS", "Target", "commands", "fetch_packages"]

BATCH = 10  # packages asked of pip at once: a start of pip costs a second, a lost batch its bytes
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MANYLINUX = [f"manylinux_2_{minor}_x86_64" for minor in range(35, 4, -1)]
MANYLINUX += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
MACOS = [f"macosx_{n}_0_{cpu}" for n in range(15, 10, -1) for cpu in ("arm64", "universal2")]
PLATFORMS = {
    "linux": (
        MANYLINUX,
        {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux",
         "platform_machine": "x86_64"},
    ),
    "macos": (
        [*MACOS, "macosx_10_9_universal2"],
        {"os_name": "posix", "sys_platform": "darwin", "platform_system": "Darwin",
         "platform_machine": "arm64"},
    ),
    "windows": (
        ["win_amd64"],
        {"os_name": "nt", "sys_platform": "win32", "platform_system": "Windows",
         "platform_machine": "AMD64"},
    ),
}  # fmt: skip
"""Name -> the tags of wheels that run there, best first, and what requirements may ask about it.

Linux and Windows on x86-64, macOS on Apple's own processors.
"""


@dataclass(frozen=True)
class Target:
    """The machine that the packages are for; without arguments, this one.

    Attributes:
        python: such as `"3.12"`; of an exact version, such as `"3.11.4"`, the last number counts
            too. None for the Python that runs.
        platform: a key of `PLATFORMS`; None for this system.
    """

    python: str | None = None
    platform: str | None = None

    def __post_init__(self):
        if self.platform is not None and self.platform not in PLATFORMS:
            raise ValueError(f"No platform {self.platform!r}; choose of {', '.join(PLATFORMS)}.")
        numbers = (self.python or "3.11").split(".")
        if not all(part.isdecimal() for part in numbers) or len(numbers) not in (2, 3):
            raise ValueError(f"--python is {self.python!r}; give a version such as 3.12.")

    def __str__(self) -> str:
        python = self.python or ".".join(map(str, sys.version_info[:2]))
        return f"Python {python} on {self.platform or sys.platform}"

    @property
    def is_this_machine(self) -> bool:
        """Whether pip may be left to choose for itself."""
        return self.python is None and self.platform is None

    @cached_property
    def environment(self) -> dict[str, str]:
        """What the markers of requirements are evaluated against."""
        from packaging.markers import default_environment

        found = {**default_environment(), "extra": ""}
        if self.python:
            short = ".".join(self.python.split(".")[:2])
            full = self.python if self.python != short else f"{short}.20"  # a late patch release
            found |= {"python_version": short, "python_full_version": full}
        return found | (PLATFORMS[self.platform][1] if self.platform else {})

    @cached_property
    def tags(self) -> frozenset:
        """The tags of the wheels that run there."""
        from packaging import tags

        if self.is_this_machine:
            return frozenset(tags.sys_tags())
        here = sys.version_info[:2]
        version = tuple(map(int, self.python.split(".")[:2])) if self.python else here
        platforms = PLATFORMS[self.platform][0] if self.platform else list(tags.platform_tags())
        own = tags.cpython_tags(version, platforms=platforms)
        name = f"cp{version[0]}{version[1]}"
        return frozenset([*own, *tags.compatible_tags(version, name, platforms)])

    def flags(self) -> list[str]:
        """The same for `pip download`."""
        chosen = ["--python-version", self.python] if self.python else []
        for tag in PLATFORMS[self.platform][0] if self.platform else ():
            chosen += ["--platform", tag]
        return chosen


def fetch_packages(
    to: Path,
    target: Target | None = None,
    lock: Path = ROOT / "requirements.lock",
    echo: Callable[[str], object] = print,
) -> Path:
    """Fill `to/wheels` with every package that the course needs on the target.

    Args:
        to: the folder that is to be carried.
        target: the machine that will install them; this one without it.
        lock: the pinned requirements.
        echo: called with every line of text.

    Returns:
        The folder of the wheels.

    Raises:
        AssetError: if the network, the disk or a wheel is missing; the message has the remedy.
    """
    target = target or Target()
    folder = Path(to).expanduser().resolve() / "wheels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(".fetching-*"):
            shutil.rmtree(stale, ignore_errors=True)
        wanted = _locked(lock, target)
        while True:  # a wheel may ask for packages that the lock does not have: CUDA's
            _fetch(wanted, folder, target, echo)
            wanted = _unmet(folder, target)
            if not wanted:
                break
    except OSError as error:
        raise _disk_error(folder, error) from error
    there = [wheel for _, _, wheel in _usable(folder, target)]
    size = sum(wheel.stat().st_size for wheel in there)
    echo(f"All there: {len(there)} packages for {target}, {size / 1e6:.0f} MB, in {folder}")
    return folder


def commands(to: Path, platform: str | None = None) -> list[str]:
    """What to run on the machine without network, in the course's folder, once `to` is there.

    Args:
        to: the carried folder, as it is called there.
        platform: the system there; None for this one.

    Returns:
        Lines: how to set up and open the course, then how to open it from the second time on.
    """
    place = Path(to).expanduser().resolve()
    wheels = place / "wheels"
    if platform == "windows" or (platform is None and os.name == "nt"):
        lines = [
            f'$env:PIP_NO_INDEX=1; $env:PIP_FIND_LINKS="{wheels}"; $env:COURSE_CACHE="{place}"; '
            "python helpers/course/venv.py lab",
            f'$env:COURSE_CACHE="{place}"; python helpers/course/venv.py lab',
        ]
    else:
        lines = [
            f'PIP_NO_INDEX=1 PIP_FIND_LINKS="{wheels}" COURSE_CACHE="{place}" make lab',
            f'COURSE_CACHE="{place}" make lab',
        ]
    text = ["On the machine without network, in the course's folder (put the new place for the old"]
    text += ["one if the folder has moved). The first time:", f"  {lines[0]}"]
    text += ["From then on:", f"  {lines[1]}"]
    if " " in str(place):
        text += ["pip reads a space in PIP_FIND_LINKS as the end of it: move the folder to a place"]
        text += ["whose name has none."]
    return text


def _locked(lock: Path, target: Target) -> list[str]:
    from packaging.requirements import Requirement

    lines = lock.read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return [_plain(each) for each in found if _applies(each, target)]


def _applies(requirement, target: Target) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(target.environment)


def _plain(requirement) -> str:
    """A requirement without its marker: pip would judge that by the Python that runs pip."""
    return f"{requirement.name}{requirement.specifier}"


def _fetch(wanted: list[str], folder: Path, target: Target, echo) -> None:
    missing = _missing(wanted, folder, target)
    if len(missing) < len(wanted):
        echo(f"{len(wanted) - len(missing)} of {len(wanted)} packages are there already.")
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        echo(f"packages {start + 1} to {start + len(batch)} of {len(missing)}: {', '.join(batch)}")
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as staging:
            try:
                wheels = download([*target.flags(), *batch], Path(staging))
            except PipError as error:
                raise AssetError(_unobtainable(batch, folder, target, error)) from error
            for wheel in wheels:
                os.replace(wheel, folder / wheel.name)
    if left := _missing(missing, folder, target):
        raise AssetError(
            f"pip brought other wheels of {', '.join(left)} than {target} can install. Choose "
            "another --python or --platform."
        )


def _missing(wanted: Iterable[str], folder: Path, target: Target) -> list[str]:
    from packaging.requirements import Requirement

    there = list(_usable(folder, target))
    return [
        line
        for line in wanted
        if not any(_satisfies(name, version, Requirement(line)) for name, version, _ in there)
    ]


def _satisfies(name: str, version, requirement) -> bool:
    from packaging.utils import canonicalize_name

    same = canonicalize_name(requirement.name) == name
    return same and requirement.specifier.contains(version, prereleases=True)


def _usable(folder: Path, target: Target) -> Iterator[tuple]:
    """Name, version and path of every whole wheel in a folder that runs on the target."""
    from packaging.utils import parse_wheel_filename

    for wheel in sorted(folder.glob("*.whl")):
        name, version, _, tags = parse_wheel_filename(wheel.name)
        # A copy that was cut off lacks the list of contents, which stands at a zip file's end.
        if tags & target.tags and zipfile.is_zipfile(wheel):
            yield name, version, wheel


def _unmet(folder: Path, target: Target) -> list[str]:
    """Requirements of the wheels in a folder that no wheel in it satisfies."""
    from packaging.requirements import Requirement

    asked = {}
    for _, _, wheel in _usable(folder, target):
        with zipfile.ZipFile(wheel) as package:
            inside = [n for n in package.namelist() if n.endswith(".dist-info/METADATA")]
            text = package.read(min(inside, key=len)).decode("utf-8")
        for line in HeaderParser().parsestr(text).get_all("Requires-Dist", []):
            requirement = Requirement(line)
            if _applies(requirement, target):
                asked[_plain(requirement)] = None
    return _missing(asked, folder, target)


def _unobtainable(batch: list[str], folder: Path, target: Target, error: PipError) -> str:
    names, kept = ", ".join(batch), f"What is in {folder} stays."
    if error.connection:
        return (
            f"The package index cannot be reached: {error}.\n{kept} Connect to the network, or set "
            "PIP_INDEX_URL or PIP_PROXY as your network needs, and run the same command again."
        )
    return (
        f"One of {names} has no wheel for {target}: {error}.\n{kept} Choose another --python "
        "(3.11, 3.12 or 3.13) or --platform, or add an index that has it with "
        f"PIP_EXTRA_INDEX_URL (for the CPU build of torch: {CPU_INDEX})."
    )


def _disk_error(folder: Path, error: OSError) -> AssetError:
    free = None
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
    if error.errno in NO_SPACE:
        seen = "" if free is None else f" ({free / 1e6:.0f} MB are free)"
        return AssetError(
            f"The disk is too full for the packages in {folder}{seen}. They need about 1 GB, with "
            "a CUDA build of torch 5 GB. Free some space, or give --to a folder on another disk; "
            "what is there stays, and the same command goes on from it."
        )
    return AssetError(
        f"The folder {folder} cannot be used ({error}). Give --to a folder that you can write to."
    )
