"""One notebook in one kernel: what it costs, and what is said when it stops."""

import sys
from pathlib import Path

import nbformat
import pytest

from helpers.commands.kernel import Outcome, kernel_environment, run_cells


@pytest.fixture
def run(tmp_path):
    def run(*sources: str, timeout: int = 60) -> tuple[Outcome, list[str]]:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook, lines = nbformat.v4.new_notebook(cells=cells), []
        env = kernel_environment({})
        choices = {"label": "x", "cwd": tmp_path, "env": env, "echo": lines.append}
        return run_cells(notebook, timeout=timeout, **choices), lines

    return run


def test_peak_memory_is_what_the_kernel_and_its_children_hold(run):
    hold = "import time\nheld = bytearray(200_000_000)\nheld[::4096] = b'x' * len(held[::4096])\n"
    child = "import subprocess, sys\n"
    child += f"subprocess.run([sys.executable, '-c', {hold + 'time.sleep(2)'!r}])"
    small = run("import time\ntime.sleep(0.3)")[0].peak_memory_bytes
    large = run(hold + "time.sleep(0.3)", "del held\ntime.sleep(0.2)")[0].peak_memory_bytes
    in_child = run(child)[0].peak_memory_bytes
    assert 20e6 < small < 1e9
    assert 150e6 < large - small < 300e6
    assert in_child - small > 150e6


def test_the_slowest_cell_is_told(run):
    outcome, lines = run("import time", "time.sleep(0.4)", "1 + 1")
    assert outcome.slowest.startswith("cell 2: 0.")
    assert 0.4 < outcome.seconds < 10
    assert [line.split("  ")[0] for line in lines] == [f"[x] cell {n}/3" for n in (1, 2, 3)]
    assert outcome.device == "unknown"  # there is no `run` to ask


def test_a_dead_kernel_is_named_with_its_cell_and_peak(run):
    outcome, lines = run("import os", "os._exit(1)", "print('never')")
    assert outcome.failure == "failed at cell 2: DeadKernelError"
    assert outcome.message.startswith(
        "the kernel died in cell 2 (often: out of memory; peak was 0."
    )
    assert len(lines) == 2


def test_a_slow_cell_is_named_with_its_limit(run):
    outcome, _ = run("import time\ntime.sleep(60)", timeout=1)
    assert outcome.failure == "failed at cell 1: CellTimeoutError"
    assert outcome.message == "cell 1 took longer than the 1 s allowed to one cell"
    assert outcome.seconds < 30


def test_the_kernel_is_this_python(run):
    wanted = f"import sys\nassert sys.executable == {sys.executable!r}, sys.executable"
    assert run(wanted)[0].failure == ""


def test_relative_folders_mean_the_same_place_in_the_kernel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_RESULTS", "mine")
    monkeypatch.setenv("COURSE_CACHE", "models")
    monkeypatch.setenv("COURSE_DECODER", "openai-community/gpt2")
    env = kernel_environment({"COURSE_PROFILE": "smoke"})
    assert Path(env["COURSE_RESULTS"]) == (tmp_path / "mine").resolve()
    assert Path(env["COURSE_CACHE"]) == (tmp_path / "models").resolve()
    assert env["COURSE_DECODER"] == "openai-community/gpt2"
    assert env["COURSE_PROFILE"] == "smoke"
