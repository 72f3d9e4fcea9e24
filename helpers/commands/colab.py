"""Install on Colab what is missing, and keep what Colab itself stands on.

Run as a script by the first cell of every notebook. Colab's torch fits its driver and its numpy
fits everything compiled against it; both stay as they are, whatever another package asks for. So
do the packages that draw Colab's page and run its kernel: with others in their place, a session
need not come back from a restart, and no notebook imports them. What is missing comes at the
version that the stored results were made with: a newer release may have renamed what we call.
"""

import importlib.metadata
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

__all__ = ["KEEP", "PAGE", "kept_versions", "main", "missing_extras", "missing_requirements"]

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
LOCK = PYPROJECT.with_name("requirements.lock")
KEEP = ("torch", "numpy")
PAGE = ("ipykernel", "ipython", "ipywidgets", "jupyterlab", "nbclient")
"""Colab's own page and kernel: never installed, never replaced."""
TESTS = "test"
"""The extra of pyproject.toml that no notebook needs."""


def missing_requirements() -> list[str]:
    """List the requirements that are absent or outside their range; `KEEP` is left alone.

    `PAGE` is not looked at.
    """
    return _missing(_project()["dependencies"])


def missing_extras() -> list[str]:
    """List what is missing of the optional packages, such as those for GPUs."""
    extras = _project().get("optional-dependencies", {})
    return _missing(line for name, lines in extras.items() if name != TESTS for line in lines)


def kept_versions() -> list[str]:
    """Pins that hold the packages of `KEEP` and `PAGE` at the version that is installed."""
    pins = []
    for name in (*KEEP, *PAGE):
        version = _installed(name)
        if version:  # if absent, the range in pyproject.toml decides
            pins.append(f"{name}=={version}")
    return pins


def main() -> int:
    """Install what is missing and say what was done.

    Returns:
        The exit code of pip; an optional package that cannot be had is told and is no failure.
    """
    needed, wanted = missing_requirements(), missing_extras()
    if not needed and not wanted:
        print("Everything the course needs is installed.")
        return 0
    old = [name for name in map(_name_of, [*needed, *wanted]) if _installed(name)]
    if needed and (code := _install(needed)):
        print(f"pip could not install {', '.join(needed)}; its message is above.")
        return code
    if wanted and _install(wanted):
        text = "pip could not install {} (optional, for GPUs); its message is above."
        print(text.format(", ".join(wanted)))
        wanted = []
    if needed or wanted:
        print(f"Installed: {', '.join([*needed, *wanted])}.")
    if old:
        print(
            f"Newer than Colab's own: {', '.join(old)}. If pip names another package above that "
            "wants the older one: the course does not use it. If this session has imported one of "
            "them before: Runtime > Restart session, then run this cell again."
        )
    return 0


def _install(requirements: list[str]) -> int:
    """Install at the locked versions; where one has no wheel for this Python, in its range."""
    locked = _locked(requirements)
    code = _pip(locked)
    return _pip(requirements) if code and locked != requirements else code


def _locked(requirements: list[str]) -> list[str]:
    from packaging.requirements import Requirement

    pins = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines() if LOCK.exists() else ():
        if line.strip() and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate():
                pins[pin.name] = f"{pin.name}{pin.specifier}"
    return [pins.get(_name_of(line), line) for line in requirements]


def _pip(requirements: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "keep.txt"
        constraints.write_text("\n".join(kept_versions()) + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(constraints)]
        return subprocess.run([*pip, *requirements]).returncode


def _project() -> dict:
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]


def _missing(lines) -> list[str]:
    from packaging.requirements import Requirement

    missing = []
    for line in lines:
        requirement = Requirement(line)
        elsewhere = requirement.marker is not None and not requirement.marker.evaluate()
        if requirement.name in PAGE or elsewhere:
            continue
        version = _installed(requirement.name)
        fits = version and requirement.specifier.contains(version, prereleases=True)
        if not version or not (fits or requirement.name in KEEP):
            missing.append(line)
    return missing


def _name_of(line: str) -> str:
    from packaging.requirements import Requirement

    return Requirement(line).name


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
