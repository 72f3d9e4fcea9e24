"""`course run`: what it writes, when it refuses to, what it measures and what it tells."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from helpers import notebooks
from helpers.commands.execute import run
from helpers.runtime import ROOT

RUN_CELL = """\
class run:
    device_name = "cpu test, 2 threads"
    versions = {"python": "3.x", "torch": "2.y"}"""


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch):
    monkeypatch.setattr("helpers.commands.execute.training_speed", lambda seconds: 40.0)
    for name in ("COURSE_PROFILE", "COURSE_STRICT", "COURSE_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSE_PRECISION", "float32")


class Course:
    """A tree with notebooks of its own, and the lines a run printed."""

    def __init__(self, root: Path):
        self.root, self.lines = root, []

    def add(self, label: str, *sources: str) -> Path:
        path = self.root / "notebooks" / f"{label}.ipynb"
        # Without fixed ids two writings of the same notebook would differ.
        cells = [nbformat.v4.new_code_cell(s, id=f"cell-{i}") for i, s in enumerate(sources)]
        title = nbformat.v4.new_markdown_cell("# A title", id="title")
        notebooks.write(path, nbformat.v4.new_notebook(cells=[title, *cells]))
        return path

    def copy(self, label: str) -> Path:
        return self.root / "out" / f"{label}.ipynb"

    def run(self, *names: str, **choices) -> int:
        self.lines = []
        choices = {"root": self.root, "out": self.root / "out", "echo": self.lines.append} | choices
        return run(names, **choices)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path)


def outputs(path: Path) -> list[str]:
    cells = [cell for cell in notebooks.read(path).cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def test_a_copy_gets_outputs_and_a_complete_stamp_and_the_original_stays(course):
    original = course.add("00_start", RUN_CELL, "import os\nprint(os.environ['COURSE_PROFILE'])")
    before = original.read_bytes()
    assert course.run() == 0
    assert outputs(course.copy("00_start")) == ["", "cpu\n"]
    assert original.read_bytes() == before
    stamp = notebooks.read_stamp(course.copy("00_start"))
    assert (stamp["profile"], stamp["device"], stamp["speed"]) == ("cpu", "cpu test, 2 threads", 40)
    assert stamp["versions"] == {"python": "3.x", "torch": "2.y"}
    assert stamp.items() >= notebooks.made_with(notebooks.read(original)).items()
    assert stamp["seconds"] > 0 and stamp["peak_memory_bytes"] > 20e6
    progress = [line for line in course.lines if line.startswith("[00_start] cell ")]
    assert progress[0].startswith("[00_start] cell 1/2  ") and "class run:" in progress[0]
    assert "import os" in progress[1] and "print" not in progress[1]


def test_store_writes_into_notebooks_and_nothing_else(course):
    slider = "import ipywidgets\nipywidgets.IntSlider()"
    path = course.add("00_start", "import os\nprint(os.environ['COURSE_PROGRESS'])", slider)
    notebook = notebooks.read(path)
    notebook.cells[1].metadata["execution"] = {"iopub.status.idle": "2026-01-01"}
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    assert course.run("0", store=True) == 0
    assert outputs(path) == ["0\n", ""]
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert set(stored["metadata"]) == {"kernelspec", "language_info", notebooks.STAMP_KEY}
    assert stored["metadata"]["language_info"] == {"name": "python"}
    assert stored["cells"][1]["metadata"] == {} and stored["cells"][1]["execution_count"] == 1
    assert "differs" not in notebooks.read_stamp(path)
    assert [item for item in course.root.rglob("*") if item.is_file()] == [path]


def test_a_failing_cell_is_named_and_neither_the_notebook_nor_a_stamp_is_written(course):
    path = course.add("00_start", "print('one')", "{}['lost']", "print('three')")
    notebook = notebooks.read(path)
    stamp = dict.fromkeys(notebooks.STAMP_FIELDS, 1) | notebooks.made_with(notebook)
    notebook.metadata[notebooks.STAMP_KEY] = stamp | {"profile": "cpu"}
    notebooks.write(path, notebook)
    before = path.read_bytes()
    assert course.run("00_start", store=True) == 1
    assert path.read_bytes() == before
    assert "failed at cell 2: KeyError" in course.text
    assert "cell 2 raised KeyError: 'lost'" in course.text and "Traceback" in course.text
    copy = course.copy("00_start")
    assert outputs(copy)[0] == "one\n"
    assert notebooks.read(copy).cells[2].outputs[0]["ename"] == "KeyError"
    assert course.run() == 1  # a failed copy does not pass for a finished one
    assert "skipped" not in course.text and notebooks.read_stamp(copy) is None


def test_unchanged_notebooks_are_skipped_until_code_profile_or_helpers_change(course, monkeypatch):
    course.add("00_start", "print('a')")
    skipped = []
    for choices in ({}, {}, {"profile": "smoke"}, {"profile": "smoke", "resume": False}):
        assert course.run(**choices) == 0
        skipped.append("skipped: unchanged" in course.text)
    assert skipped == [False, True, False, False]
    course.add("00_start", "print('b')")
    assert course.run(profile="smoke") == 0
    assert outputs(course.copy("00_start")) == ["b\n"]
    monkeypatch.setattr("helpers.notebooks.revision_of", lambda notebook: "another")
    assert course.run(profile="smoke") == 0
    assert "skipped" not in course.text


def test_a_copy_of_another_precision_is_not_this_runs(course, monkeypatch):
    course.add("00_start", "import os\nprint(os.environ['COURSE_PRECISION'])")
    told = []
    for precision in ("float32", "bfloat16", "bfloat16"):
        monkeypatch.setenv("COURSE_PRECISION", precision)
        assert course.run() == 0
        told.append((*outputs(course.copy("00_start")), "skipped" in course.text))
    assert told == [("float32\n", False), ("bfloat16\n", False), ("bfloat16\n", True)]


def test_what_is_stored_is_computed_in_float32(course, monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "bfloat16")
    path = course.add("00_start", "import os\nprint(os.environ['COURSE_PRECISION'])")
    assert course.run("0", store=True) == 0
    assert outputs(path) == ["float32\n"]
    assert notebooks.read_stamp(path)["precision"] == "float32"


def test_in_bfloat16_no_verdict_is_compared_and_strict_says_so(course, monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "bfloat16")
    course.add("01_other", verdict_cell("held", "not held"))
    assert course.run(strict=True) == 0
    assert "COURSE_PRECISION=float32" in course.text and "BERT beats" not in course.text


def verdict_cell(verdict: str, recorded: str | None) -> str:
    line = {"claim": "BERT beats counts", "verdict": verdict, "recorded": recorded}
    line |= {"value": 0.03, "low": 0.01, "high": 0.05}
    return (
        "import os\n"
        "with open(os.environ['COURSE_VERDICTS'], 'a', encoding='utf-8') as file:\n"
        f"    print({json.dumps(line)!r}, file=file)"
    )


def test_a_verdict_that_differs_is_a_note_and_under_strict_a_failure(course, monkeypatch):
    course.add("00_same", verdict_cell("held", "held"))
    course.add("01_other", verdict_cell("held", "not held"))
    assert course.run() == 0
    [line] = [line for line in course.lines if "BERT beats counts" in line]
    assert " ".join(line.split()) == "01_other BERT beats counts not held held 0.03 0.01 0.05"
    monkeypatch.setenv("COURSE_STRICT", "1")
    # The second run skips both notebooks, and must not forget what the first one saw.
    assert course.run() == 1
    assert course.text.count("skipped: unchanged") == 2
    assert course.run("00") == 0


@pytest.mark.slow
def test_what_a_run_of_several_says_when_one_is_slow_one_dies_and_one_is_fine(course):
    course.add("00_slow", "import time\ntime.sleep(60)")
    course.add("01_dead", "import os", "os._exit(1)", "print('never')")
    path = course.root / "notebooks" / "02_damaged.ipynb"
    path.write_text("{", encoding="utf-8")
    this = f"import sys\nassert sys.executable == {sys.executable!r}"
    course.add("03_fine", "import time", "time.sleep(0.4)", this)
    assert course.run(timeout=3) == 1
    slow, dead, damaged, fine = (line.split("  ") for line in course.lines[-4:])
    assert slow[-1] == "failed at cell 1: CellTimeoutError"
    assert dead[-1].strip() == "failed at cell 2: DeadKernelError"
    assert damaged[-1] == "failed: not a readable notebook"
    assert fine[-1].strip() == "ran" and any(cell.startswith("cell 2: 0.") for cell in fine)
    assert "longer than the 3 s" in course.text and "out of memory; peak 0." in course.text


@pytest.mark.slow
def test_peak_memory_is_what_the_kernel_and_its_children_hold(course):
    hold = "import time\nheld = bytearray(200_000_000)\nheld[::4096] = b'x' * len(held[::4096])\n"
    child = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', "
    child += f"{hold + 'time.sleep(2)'!r}])"
    course.add("00_small", "import time\ntime.sleep(0.3)")
    course.add("01_large", hold + "time.sleep(0.3)", "del held\ntime.sleep(0.2)")
    course.add("02_child", child)
    assert course.run() == 0
    small, large, in_child = (
        notebooks.read_stamp(course.copy(label))["peak_memory_bytes"]
        for label in ("00_small", "01_large", "02_child")
    )
    assert 20e6 < small < 1e9
    assert 150e6 < large - small < 300e6
    assert in_child - small > 150e6


def test_relative_folders_mean_the_same_place_in_the_kernel(course, monkeypatch):
    monkeypatch.chdir(course.root)
    wanted = {"COURSE_RESULTS": str(course.root / "mine"), "COURSE_CACHE": str(course.root / "its")}
    for name, place in {"COURSE_RESULTS": "mine", "COURSE_CACHE": "its"}.items():
        monkeypatch.setenv(name, place)
    monkeypatch.setenv("COURSE_DECODER", "openai-community/gpt2")
    wanted["COURSE_DECODER"] = "openai-community/gpt2"
    course.add("00_start", f"import os\nprint([os.environ[name] for name in {list(wanted)}])")
    assert course.run() == 0
    assert outputs(course.copy("00_start")) == [f"{list(wanted.values())}\n"]


KILLED_RUN = """\
import signal, sys
# As in a terminal: a test run in the background would pass an ignored SIGINT on.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
import helpers.commands.execute
helpers.commands.execute.training_speed = lambda seconds: 40.0
root = Path(sys.argv[1])
echo = lambda line: print(line, flush=True)
sys.exit(helpers.commands.execute.run(root=root, out=root / "out", echo=echo))
"""


def start_run(course) -> subprocess.Popen:
    """A run in a process of its own, whose second notebook waits until a file appears."""
    course.add("00_start", "print('first')")
    gate = course.root / "gate"
    wait = f"import os, time\nprint(os.getpid())\nopen({str(course.root / 'pid')!r}, 'w')"
    wait += f".write(str(os.getpid()))\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)"
    course.add("01_next", wait)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, str(course.root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    until(lambda: (course.root / "pid").exists() and (course.root / "pid").read_text())
    return process


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_notebook_it_was_in(course):
    process = start_run(course)
    kernel_pid = int((course.root / "pid").read_text())
    process.kill()
    process.communicate()
    assert notebooks.read_stamp(course.copy("00_start"))
    assert not course.copy("01_next").exists()
    until(lambda: not psutil.pid_exists(kernel_pid))
    (course.root / "gate").touch()
    assert course.run() == 0
    assert any("00_start" in line and "skipped" in line for line in course.lines)
    assert notebooks.read_stamp(course.copy("01_next"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_the_kernel_and_keeps_what_is_finished(course):
    process = start_run(course)
    kernel_pid = int((course.root / "pid").read_text())
    process.send_signal(signal.SIGINT)
    text, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "Stopped." in text and "00_start" in text.partition("Stopped.")[2]
    until(lambda: not psutil.pid_exists(kernel_pid), seconds=10)
    assert notebooks.read_stamp(course.copy("00_start"))
    assert not course.copy("01_next").exists()


def test_a_notebook_edited_while_it_ran_is_not_overwritten(course):
    path = course.root / "notebooks" / "00_start.ipynb"
    edit = f"from pathlib import Path\nwith open({str(path)!r}, 'a') as file:\n    file.write(' ')"
    course.add("00_start", edit)
    assert course.run(store=True) == 1
    assert path.read_bytes().endswith(b"\n ")
    assert "changed while it ran" in course.text
    assert course.copy("00_start").exists()


def test_names_on_the_command_line(course):
    for label in ("00_start", "03_words", "bonus/crf", "bonus/tiny", "solutions/03_words"):
        course.add(label)

    def labels(*names):
        found = notebooks.resolve(list(names), course.root)
        return [path.relative_to(course.root / "notebooks").as_posix()[:-6] for path in found]

    assert labels("3") == labels("03") == labels("03_words") == ["03_words"]
    assert labels("notebooks/03_words.ipynb") == ["03_words"]
    assert labels("solutions/3") == labels("solutions") == ["solutions/03_words"]
    assert labels("bonus") == ["bonus/crf", "bonus/tiny"]
    assert labels("bonus/tiny", "0", "bonus/tiny") == ["bonus/tiny", "00_start"]
    for unknown in ("7", "", "notebooks/"):
        with pytest.raises(ValueError, match="there are 00_start, 03_words, bonus/crf"):
            labels(unknown)


def test_a_profile_that_is_unknown_or_for_tests_only_is_refused_before_anything_runs(course):
    course.add("00_start", "print('a')")
    with pytest.raises(ValueError, match="'cup'; there are smoke, cpu, gpu"):
        course.run(profile="cup")
    with pytest.raises(ValueError, match="smoke"):
        course.run(profile="smoke", store=True)
    assert course.lines == []
