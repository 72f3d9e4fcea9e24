"""`course doctor`: its exit codes, its remedies, and a report that is fit to be pasted."""

import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import nbformat
import pytest
from fake_wheels import Shop

from helpers import notebooks, speed
from helpers.commands import doctor as doctor_module
from helpers.commands.doctor import CHECKS, doctor, expected_minutes, judge_memory, mask
from helpers.runtime import ROOT

HAVE = pytest.__version__
PYPROJECT = '[project]\ndependencies = ["pytest>={low}"]\n'


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A course in a folder of its own, which needs pytest alone and two assets."""
    root = tmp_path / "course"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT.format(low="1"), encoding="utf-8")
    (root / "requirements.lock").write_text(f"# pins\npytest=={HAVE}\n", encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("COURSE_")]:
        monkeypatch.delenv(name)
    shop = Shop(tmp_path, monkeypatch)
    shop.add("tiny")
    shop.add("other")
    shop.fill("tiny")
    monkeypatch.setenv("COURSE_RESULTS", str(root / "results"))
    monkeypatch.setattr(speed, "training_speed", lambda seconds: 20.0)
    monkeypatch.setattr(doctor_module, "NEEDED_AVAILABLE", 0)  # others may use this machine
    return root


@pytest.fixture
def examine(root, capsys, monkeypatch):
    """Run some checks, or all: the exit code, and the lines of the report."""

    def run(*titles: str) -> tuple[int, list[str]]:
        chosen = {title: CHECKS[title] for title in titles or CHECKS}
        monkeypatch.setattr(doctor_module, "CHECKS", chosen)
        code = doctor(root=root)
        return code, capsys.readouterr().out.splitlines()

    return run


@pytest.mark.slow
def test_the_command_reports_on_this_machine_and_ends_with_a_verdict():
    command = [sys.executable, "-m", "helpers.commands.cli", "doctor"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(("Ready.", "Fixable: ", "Ask for help")[done.returncode])
    for seen in ("Python 3.", "packages are as locked", "memory: ", "GB free", "cpu: ", "cuda: ",
                 "glove: ", "pip: ", "git ", "steps/s", "00_start_here: "):  # fmt: skip
        assert any(seen in line for line in lines), seen
    assert not any("could not be checked" in line for line in lines)


def test_a_good_machine_is_ready_and_nothing_is_written(root, examine):
    before = sorted(root.rglob("*"))
    code, lines = examine()
    assert (code, lines[-1]) == (0, "Ready.")
    assert "  ok   1 of 1 packages are as locked" in lines
    assert "  ok   tiny: cached" in lines
    assert any(line.startswith("  note other: not cached") for line in lines)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 15, 0)])
def test_another_python_needs_help_and_names_the_remedy(examine, monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    code, lines = examine("System")
    assert (code, lines[-1]) == (2, "Ask for help: paste this report.")
    assert any("install Python 3.11 to 3.14" in line for line in lines)


@pytest.mark.parametrize(
    ("low", "locked", "code", "said"),
    [
        ("1", "pytest==0.1", 0, f"note pytest: have {HAVE}, locked ==0.1"),
        ("99", f"pytest=={HAVE}", 1, f"FIX  pytest: have {HAVE}, want >=99"),
        ("1", f"pytest=={HAVE}\nno-such-thing==1", 1, "FIX  no-such-thing: have none, want ==1"),
        ("1", f"pytest=={HAVE}\nno-such-thing==1 ; python_version < '3'", 0, "1 of 1 packages"),
    ],
)
def test_packages_are_held_against_lock_and_ranges(root, examine, low, locked, code, said):
    (root / "pyproject.toml").write_text(PYPROJECT.format(low=low), encoding="utf-8")
    (root / "requirements.lock").write_text(locked + "\n", encoding="utf-8")
    found, lines = examine("Packages")
    assert found == code and any(said in line for line in lines)
    assert ("-r requirements.lock" in lines[-1]) == (code == 1)


def test_a_full_disk_and_a_folder_that_cannot_be_written_are_fixable(examine, monkeypatch):
    cache, usage = Path(os.environ["COURSE_CACHE"]), namedtuple("usage", "free")
    free = lambda path: usage(1e9 if path == cache else 50e9)  # noqa: E731
    monkeypatch.setattr(doctor_module.shutil, "disk_usage", free)
    code, lines = examine("Disk and folders")
    assert code == 1
    assert "set COURSE_CACHE to another" in lines[-1] and "COURSE_RESULTS" not in lines[-1]

    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor_module.tempfile, "TemporaryFile", refuse)
    code, lines = examine("Disk and folders")
    assert code == 1
    assert sum("FIX" in line and "not writable" in line for line in lines) == 3


@pytest.mark.parametrize(
    ("total", "available", "level"),
    [(16e9, 9e9, "ok"), (7e9, 5e9, "warn"), (16e9, 3e9, "fix"), (3e9, 2e9, "help")],
)
def test_memory(total, available, level):
    assert judge_memory(total, available).level == level


def test_the_worst_finding_decides_and_every_remedy_is_named_once(root, examine, monkeypatch):
    (root / "requirements.lock").write_text("no-such-thing==1\nnor-this==1\n", encoding="utf-8")
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    code, lines = examine("System", "Packages", "Settings")
    assert code == 1
    assert lines[-1].count("-r requirements.lock") == 1
    assert "set COURSE_PROFILE to one of smoke, cpu, gpu" in lines[-1]
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    assert examine("System", "Packages", "Settings")[0] == 2


def test_a_check_that_breaks_is_a_line_of_the_report(root, examine, monkeypatch):
    def without_torch(seconds):
        raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(speed, "training_speed", without_torch)
    code, lines = examine("Packages", "Speed and expected minutes")
    assert code == 1
    assert any("FIX  cannot be checked: No module named 'torch'" in line for line in lines)
    (root / "requirements.lock").unlink()
    _, lines = examine("Packages", "Speed and expected minutes")
    assert any("packages could not be checked" in line for line in lines)


def test_the_report_shows_neither_the_home_folder_nor_passwords(root, examine, monkeypatch):
    home = root.parent
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@example.org/simple")
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    _, lines = examine("Disk and folders", "Package index (not contacted)")
    report = "\n".join(lines)
    assert str(home) not in report and "secret" not in report
    assert str(Path("~") / "course" / "results") in report
    assert "index-url='https://***@example.org/simple'" in report
    assert "timeout" not in report
    assert mask(f"{home}-of-another/x") == f"{home}-of-another/x"


@pytest.mark.parametrize(
    ("change", "speed_here", "said"),
    [
        ({}, 20.0, "about 6.0 minutes here"),
        ({"speed": 0.0}, 20.0, "3.0 minutes where it was stored, not scaled"),
        ({"device": "cuda T4"}, 20.0, "not scaled"),
    ],
)
def test_expected_minutes_scale_with_the_speed(change, speed_here, said):
    stamp = {"seconds": 180, "profile": "cpu", "device": "cpu x86_64, 2 threads", "speed": 40.0}
    assert said in expected_minutes(stamp | change, speed_here)


@pytest.mark.parametrize(("use", "warned"), [(80.0, True), (3.0, False)])
def test_minutes_of_each_notebook_and_a_note_if_others_use_the_machine(
    root, examine, monkeypatch, use, warned
):
    stamp = dict.fromkeys(notebooks.STAMP_FIELDS, "x")
    stamp |= {"seconds": 60, "speed": 40.0, "device": "cpu", "profile": "cpu"}
    timed = nbformat.v4.new_notebook(metadata={notebooks.STAMP_KEY: stamp})
    notebooks.write(root / "notebooks" / "00_start.ipynb", timed)
    notebooks.write(root / "notebooks" / "01_next.ipynb", nbformat.v4.new_notebook())
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: use)
    _, lines = examine("Speed and expected minutes")
    assert "  ok   00_start: about 2.0 minutes here (profile cpu, cpu)" in lines
    assert "  ok   01_next: no timed run is stored yet" in lines
    assert any("other programs use 80 % of the CPU" in line for line in lines) is warned


def test_the_training_step_ends_within_its_time_and_counts_steps():
    speed.training_speed(seconds=0.01)  # importing torch is not part of the measurement
    start = time.perf_counter()
    found = speed.training_speed(seconds=0.5)
    elapsed = time.perf_counter() - start
    assert 0.3 < elapsed < 60  # the upper end allows for a busy machine
    assert found > 0 and found * elapsed > 1
    assert speed.matmul_gflops(size=64, seconds=0.01) > 0
