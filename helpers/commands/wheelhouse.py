"""`course prefetch --to DIR --wheels`: every package of the course, for a machine without network.

The packages are those of `requirements.lock`, and what these ask for beyond it, such as CUDA's
libraries for a CUDA build of torch. pip downloads them a few at a time, checking each against the
hash that the index gives, so that whatever is there stays there when the network or the disk ends.
"""

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from email.parser import HeaderParser
from pathlib import Path

from helpers.assets import AssetError
from helpers.assets.sources import NO_SPACE
from helpers.assets.wheels import PipError, download
from helpers.commands.wheel_target import PLATFORMS, Target
from helpers.runtime import ROOT

__all__ = ["PLATFORMS", "Target", "commands", "fetch_packages"]

BATCH = 10  # packages asked of pip at once: a start of pip costs a second, a lost batch its bytes
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


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
            "python helpers/commands/venv.py lab",
            f'$env:COURSE_CACHE="{place}"; python helpers/commands/venv.py lab',
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


def _applies(requirement, target: Target, extra: str = "") -> bool:
    environment = target.environment | {"extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(environment)


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
    from packaging.utils import canonicalize_name

    wheels = [(name, _requirements(wheel)) for name, _, wheel in _usable(folder, target)]
    asked: dict[str, None] = {}
    # A wheel may ask for another with extras (torch does, for CUDA's libraries), and those ask for
    # more: round after round, until no new extra is asked for.
    extras, before = {}, None
    while extras != before:
        before = {name: set(found) for name, found in extras.items()}
        for name, requirements in wheels:
            for requirement in requirements:
                if any(_applies(requirement, target, e) for e in ("", *before.get(name, ()))):
                    asked[_plain(requirement)] = None
                    key = canonicalize_name(requirement.name)
                    extras.setdefault(key, set()).update(requirement.extras)
    return _missing(asked, folder, target)


def _requirements(wheel: Path) -> list:
    """What a wheel says that it needs, whatever the markers."""
    from packaging.requirements import Requirement

    with zipfile.ZipFile(wheel) as package:
        inside = [n for n in package.namelist() if n.endswith(".dist-info/METADATA")]
        text = package.read(min(inside, key=len)).decode("utf-8")
    return [
        Requirement(line) for line in HeaderParser().parsestr(text).get_all("Requires-Dist", [])
    ]


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
