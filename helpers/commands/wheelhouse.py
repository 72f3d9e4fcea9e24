"""`course prefetch --to DIR --wheels`: every package of the course, for a machine without network.

`pip download`, with the user's pip settings, fetches `requirements.lock` and what that depends on
beyond it, such as CUDA's libraries for a CUDA build of torch.
"""

import os
import sys
from pathlib import Path

from helpers.assets import AssetError
from helpers.assets.wheels import SourceError, download
from helpers.commands.colab import locked
from helpers.commands.venv import CPU_INDEX
from helpers.runtime import ROOT

__all__ = ["PLATFORMS", "commands", "fetch_packages"]

BATCH = 10  # packages per call of pip: earlier ones are kept when the network fails
PLATFORMS = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "os_name": "nt", "platform_machine": "AMD64"},
}
"""Systems to fetch for, and what the markers of `requirements.lock` may ask about them."""
TAGS = {
    "linux": [*(f"manylinux_2_{n}_x86_64" for n in range(35, 16, -1)), "manylinux2014_x86_64"],
    "macos": ["macosx_15_0_arm64"],  # pip adds the earlier ones by itself
    "windows": ["win_amd64"],
}


def fetch_packages(
    to: Path, python: str | None = None, platform: str | None = None, root: Path = ROOT
) -> None:
    """Fill `to/wheels` with every package that the course needs on a machine.

    `python` is the version there, such as `"3.12"`, and `platform` a key of `PLATFORMS`; by default
    those of this machine.

    Raises:
        AssetError: if the network, the disk or a wheel is missing; the message has the remedy.
    """
    folder = Path(to).expanduser().resolve() / "wheels"
    machine = dict(PLATFORMS.get(platform, {}))
    if python:
        short = ".".join(python.split(".")[:2])
        full = python if python != short else f"{short}.20"  # a late patch release
        machine |= {"python_version": short, "python_full_version": full}
    pins = [str(pin) for pin in locked(root, machine).values()]
    flags = [f"--python-version={python}"] if python else []
    flags += [f"--platform={tag}" for tag in TAGS.get(platform, ())]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(pins), BATCH):
            batch = pins[start : start + BATCH]
            print(f"packages {start + 1} to {start + len(batch)} of {len(pins)}", flush=True)
            download(["--no-deps", *flags, *batch], folder)
        # pip evaluates dependencies for the system it runs on.
        if machine.get("sys_platform", sys.platform) == sys.platform:
            download([*flags, *pins], folder)
        elif platform == "linux" and not list(folder.glob("torch-*+cpu-*")):
            raise SourceError("torch asks for CUDA's libraries, which pip finds on Linux only")
    except SourceError as error:
        raise AssetError(
            f"Not every package could be fetched: {error}.\nWhat is in {folder} stays. Connect to "
            "the network and run the same command again; or choose another --python (3.11 to "
            "3.14) or --platform, or add an index that has the package with "
            f"PIP_EXTRA_INDEX_URL (for the CPU build of torch: {CPU_INDEX})."
        ) from error
    except OSError as error:
        raise AssetError(
            f"The folder {folder} cannot be filled ({error}). It needs about 1 GB, with a CUDA "
            "build of torch 5 GB. Free some space, or give --to a folder that you can write to on "
            "another disk; what is there stays, and the same command goes on from it."
        ) from error
    sizes = [wheel.stat().st_size for wheel in folder.glob("*.whl")]
    print(f"All there: {len(sizes)} packages, {sum(sizes) / 1e6:.0f} MB, in {folder}")


def commands(to: Path, platform: str | None = None) -> str:
    """What to run in the course's folder on the other machine, where the carried folder is `to`."""
    place = Path(to).expanduser().resolve()
    if platform == "windows" or (platform is None and os.name == "nt"):
        again = f'$env:COURSE_CACHE="{place}"; python helpers/commands/venv.py lab'
        first = f'$env:PIP_NO_INDEX=1; $env:PIP_FIND_LINKS="{place / "wheels"}"; {again}'
    else:
        again = f'COURSE_CACHE="{place}" make lab'
        first = f'PIP_NO_INDEX=1 PIP_FIND_LINKS="{place / "wheels"}" {again}'
    text = [
        "On the machine without network, in the course's folder (put the new place for the old",
        f"one if the folder has moved). The first time:\n  {first}\nFrom then on:\n  {again}",
    ]
    if " " in str(place):
        text += ["pip reads a space in PIP_FIND_LINKS as the end of it: move the folder to a place"]
        text += ["whose name has none."]
    return "\n".join(text)
