"""What is required, locked and installed, by the standard library and `packaging` alone.

`colab.py` imports it before anything is installed.
"""

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["direct", "installed", "is_met", "locked"]

ROOT = Path(__file__).resolve().parents[2]


def direct(root: Path = ROOT) -> dict[str, Requirement]:
    """The requirements of `pyproject.toml` that apply to this machine, by name."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return _holding(project["dependencies"])


def locked(root: Path = ROOT, environment: dict[str, str] | None = None) -> dict[str, Requirement]:
    """Pins of `requirements.lock` for this machine, by name; `environment` overrides markers."""
    lines = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return _holding([line for line in lines if line.strip() and line[0] != "#"], environment)


def installed(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_met(requirement: Requirement) -> bool:
    """Whether a package is installed in a version that fits."""
    version = installed(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _holding(lines: list[str], environment: dict[str, str] | None = None) -> dict[str, Requirement]:
    found = {}
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            found[canonicalize_name(requirement.name)] = requirement
    return found
