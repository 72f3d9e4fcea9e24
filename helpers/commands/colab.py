"""Install on Colab what is missing, and keep what Colab depends on.

The first cell of every notebook runs this as a script. Colab's torch fits its driver, and numpy
fits all that is compiled against it, so both stay, whatever other packages ask for. So do the
packages of Colab's page and kernel: a session may not survive a restart with others. The rest
gets the locked versions, which made the stored results: later ones may have renamed what we call.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

# A script has its own folder on the path; the course itself cannot be imported yet.
from requirements import direct, installed, is_met, locked

KEEP = ("torch", "numpy")
PAGE = ("ipykernel", "ipython", "ipywidgets", "jupyterlab", "nbclient")
"""Colab's own page and kernel: never installed, never replaced."""


def main() -> int:
    """Install what is missing and say what was done; returns the exit code of pip."""
    missing = {
        name: requirement
        for name, requirement in direct().items()
        if name not in PAGE and not (name in KEEP and installed(name)) and not is_met(requirement)
    }
    if not missing:
        print("Everything the course needs is installed.")
        return 0
    older = [name for name in missing if installed(name)]
    ranges = [str(requirement) for requirement in missing.values()]
    pins = locked()
    code = install([str(pins.get(name, requirement)) for name, requirement in missing.items()])
    if code:  # a locked version may have no wheel for this Python
        code = install(ranges)
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


def install(requirements: list[str]) -> int:
    """Run pip with `KEEP` and `PAGE` held at their installed versions; returns its exit code."""
    held = [f"{name}=={installed(name)}\n" for name in (*KEEP, *PAGE) if installed(name)]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "keep.txt"
        constraints.write_text("".join(held), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(constraints)]
        return subprocess.run([*pip, *requirements]).returncode


if __name__ == "__main__":
    sys.exit(main())
