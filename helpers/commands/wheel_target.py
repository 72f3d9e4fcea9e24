"""For which machine wheels are wanted: this one, or another Python or system."""

import sys
from dataclasses import dataclass
from functools import cached_property

__all__ = ["PLATFORMS", "Target"]

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
