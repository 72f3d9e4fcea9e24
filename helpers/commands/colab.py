"""What is required, locked and installed; as a script, what the first cell runs on Colab.

It installs what is missing, and keeps what Colab depends on. Colab's torch fits its driver, and
numpy fits all that is compiled against it, so both stay, whatever other packages ask for. So do the
packages of Colab's page and kernel: a session may not survive a restart with others. The rest
gets the locked versions, which made the stored results: later ones may have renamed what we call.
"""

import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["direct", "installed", "is_met", "locked"]

ROOT = Path(__file__).resolve().parents[2]
KEEP = ("torch", "numpy")
PAGE = ("ipykernel", "ipython", "ipywidgets", "jupyterlab", "nbclient")
"""Colab's own page and kernel: never installed, never replaced."""


def direct(root: Path = ROOT) -> dict[str, Requirement]:
    """The requirements of `pyproject.toml` that apply to this machine, by name."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return _holding(project["dependencies"])


def locked(root: Path = ROOT, environment: dict[str, str] | None = None) -> dict[str, Requirement]:
    """Pins of `requirements.lock` for this machine, by name; `environment` overrides markers."""
    lines = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return _holding([line for line in lines if line.strip() and line[0] != "#"], environment)


def _holding(lines: list[str], environment: dict[str, str] | None = None) -> dict[str, Requirement]:
    found = {}
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            found[canonicalize_name(requirement.name)] = requirement
    return found


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


def main() -> int:
    """Install what is missing and say what was done; returns the exit code of pip."""
    kept = {name for name in KEEP if installed(name)} | set(PAGE)
    wanted = {name: requirement for name, requirement in direct().items() if name not in kept}
    missing = {name: wanted[name] for name in wanted if not is_met(wanted[name])}
    if not missing:
        print("Everything the course needs is installed.")
        return 0
    older = [name for name in missing if installed(name)]
    ranges, pins = list(map(str, missing.values())), locked()
    code = _install([str(pins.get(name, requirement)) for name, requirement in missing.items()])
    if code:  # a locked version may have no wheel for this Python
        code = _install(ranges)
    if code:
        print(f"pip could not install {', '.join(ranges)}; its message is above.")
        return code
    print(f"Installed: {', '.join(ranges)}.")
    if older:
        print(
            f"Newer than Colab's own: {', '.join(older)}. If pip names another package above that "
            "wants the older one: the course does not use it. If this session has imported one of "
            "them before: Runtime > Restart session, then run this cell again."
        )
    return 0


def _install(requirements: list[str]) -> int:
    """Run pip with `KEEP` and `PAGE` held at their installed versions; returns its exit code."""
    held = [f"{name}=={installed(name)}\n" for name in (*KEEP, *PAGE) if installed(name)]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "keep.txt"
        constraints.write_text("".join(held), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(constraints)]
        return subprocess.run([*pip, *requirements]).returncode


if __name__ == "__main__":
    sys.exit(main())
