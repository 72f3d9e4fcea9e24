"""Install on Colab what is missing, and keep the torch and numpy that are there.

Run as a script by the first cell of every notebook. Colab's torch fits its driver and its numpy
fits everything compiled against it; both stay as they are, whatever another package asks for.
"""

import importlib.metadata
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
KEEP = ("torch", "numpy")


def missing_requirements() -> list[str]:
    """List the requirements that are absent or outside their range; `KEEP` is left alone."""
    from packaging.requirements import Requirement

    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    missing = []
    for line in project["dependencies"]:
        requirement = Requirement(line)
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(line)
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        if not fits and requirement.name not in KEEP:
            missing.append(line)
    return missing


def kept_versions() -> list[str]:
    """Pins that hold the packages of `KEEP` at the version that is installed."""
    pins = []
    for name in KEEP:
        try:
            pins.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue  # absent: then the range in pyproject.toml decides
    return pins


def main() -> int:
    """Install what is missing; say what was done in one line."""
    missing = missing_requirements()
    if not missing:
        print("Everything the course needs is installed.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "keep.txt"
        constraints.write_text("\n".join(kept_versions()) + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(constraints)]
        code = subprocess.run([*pip, *missing]).returncode
    if code:
        print(f"pip could not install {', '.join(missing)}; its message is above.")
    else:
        print(f"Installed: {', '.join(missing)}.")
    return code


if __name__ == "__main__":
    sys.exit(main())
