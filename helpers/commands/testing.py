"""`course test`: house rules, unit tests, and every notebook executed in the `smoke` profile."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers import notebooks
from helpers.runtime import ROOT

__all__ = ["run_tests"]

NOT_UNDER_TEST = ("COURSE_STRICT", "COURSE_VERDICTS", "COURSE_ENCODER", "COURSE_DECODER")
NEEDED = ("reviews", "glove", "minilm")  # the assets that tests and notebooks read in `smoke`
CELL_TIMEOUT = 120  # seconds; a whole notebook takes less than this in `smoke`


def run_tests(paths: list[str] | None = None, workers: int = 2, root: Path = ROOT) -> int:
    """Run all tests, or those in the given files, and return 0 only if every one passed.

    Args:
        paths: test files or notebooks; without them everything.
        workers: processes side by side.
        root: the repository, whose address the notebooks must show.
    """
    from helpers import assets
    from helpers.commands.lint import lint

    if paths:
        chosen = [path for path in map(Path, paths) if path.suffix == ".ipynb"]
        lint_failed = lint(chosen, root) if chosen else 0
        # pytest starts in `root`, wherever the caller is.
        paths = [os.path.abspath(path) for path in paths]
    else:
        lint_failed = lint(root=root)
        paths = [str(root / "tests"), *map(str, notebooks.find(root))]
    for name in NEEDED:
        assets.path(name)  # once here, so that no test waits for a download
    with tempfile.TemporaryDirectory(prefix="course-test-") as results:
        code = subprocess.run(_pytest(paths, workers), env=_environment(results), cwd=root)
    return int(bool(lint_failed) or code.returncode != 0)


def _pytest(paths: list[str], workers: int) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--durations=8"]
    # The lax mode compares outputs only where a cell asks for it; that a cell runs and that its
    # own assertions hold is tested everywhere.
    command += ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}"]
    command += [f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"]
    if workers > 1:
        command += [f"--numprocesses={workers}", "--dist=loadscope"]  # a notebook stays whole
    return command + list(paths)


def _environment(results: str) -> dict[str, str]:
    # One thread a worker: two processes of two threads each are slower on two cores.
    own = {name: value for name, value in os.environ.items() if name not in NOT_UNDER_TEST}
    return own | {
        "COURSE_PROFILE": "smoke",
        "COURSE_RESULTS": results,
        "COURSE_PROGRESS": "0",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
