"""`course test`: house rules, unit tests, and every notebook executed in the `smoke` profile."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from helpers import assets, notebooks
from helpers.commands.lint import lint
from helpers.runtime import ROOT

__all__ = ["run_tests"]

NOT_UNDER_TEST = ("COURSE_STRICT", "COURSE_VERDICTS", "COURSE_ENCODER", "COURSE_DECODER")
NEEDED = ("reviews", "glove", "minilm")  # the assets that tests and notebooks read in `smoke`
CELL_TIMEOUT = 120  # seconds; a whole notebook takes less than this in `smoke`
QUICK = ("00_start_here", "04_bert")
# One thread per worker: two processes of two threads are slower on two cores.
SETTINGS = {
    "COURSE_PROFILE": "smoke",
    "COURSE_PRECISION": "float32",
    "COURSE_PROGRESS": "0",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def run_tests(
    paths: Iterable[str] = (), workers: int = 2, quick: bool = False, root: Path = ROOT
) -> int:
    """Run all tests, or those in the given files or notebooks; return 0 only if every one passed.

    `workers` is the number of parallel processes. `quick` leaves out tests marked `slow`, and
    without paths most notebooks.
    """
    chosen = [os.path.abspath(path) for path in paths]  # pytest starts in `root`
    checked = [Path(path) for path in chosen if path.endswith(".ipynb")]
    lint_failed = lint(checked, root) if checked or not chosen else 0
    if not chosen:
        executed = notebooks.find(root, ["lesson"] if quick else notebooks.FOLDERS)
        executed = [path for path in executed if path.stem in QUICK or not quick]
        chosen = [str(path) for path in (root / "tests", *executed)]
    for name in NEEDED:
        assets.path(name)  # once here, so that no test waits for a download
    # The lax mode compares outputs only where a cell asks for it; it runs every cell.
    options = ["-q", "--durations=8", "--nbval-lax", "--nbval-current-env"]
    options += [f"--nbval-cell-timeout={CELL_TIMEOUT}"]
    options += [f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"]
    if quick:
        options += ["-m", "not slow"]
    if workers > 1:
        options += [f"--numprocesses={workers}", "--dist=loadscope"]  # a notebook stays whole
    own = {name: value for name, value in os.environ.items() if name not in NOT_UNDER_TEST}
    with tempfile.TemporaryDirectory(prefix="course-test-") as results:
        command = [sys.executable, "-m", "pytest", *options, *chosen]
        env = own | SETTINGS | {"COURSE_RESULTS": results}
        code = subprocess.run(command, env=env, cwd=root).returncode
    return int(bool(lint_failed) or code != 0)
