"""`course doctor`: its exit codes, its remedies, and a report that is fit to be pasted."""

import json
import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from helpers import notebooks
from helpers.commands import doctor_checks, doctor_machine
from helpers.commands.doctor import doctor, expected_minutes, mask
from helpers.speed import matmul_gflops, training_speed

PYPROJECT = '[project]\ndependencies = ["alpha>=1.2,<2", "beta>=3"]\n'
LOCK = """\
# made for all systems
alpha==1.5.0  # a comment
beta==3.1 \\
    --hash=sha256:00aa
gamma==0.1 ; python_version >= "3.11"
delta==9.9 ; python_version < "3.0"
--extra-index-url https://example.org/simple
"""


@pytest.fixture
def versions(monkeypatch):
    """Packages as installed; a test changes them."""
    found = {"alpha": "1.5.0+cpu", "beta": "3.1", "gamma": "0.1"}
    monkeypatch.setattr(doctor_checks, "installed", found.get)
    return found


@pytest.fixture
def root(tmp_path, monkeypatch, versions):
    """A course in a folder of its own, on a machine where all is well."""
    root = tmp_path / "course"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (root / "requirements.lock").write_text(LOCK, encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("COURSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COURSE_RESULTS", str(root / "results"))
    monkeypatch.setattr(doctor_checks, "python_version", lambda: (3, 12, 4))
    monkeypatch.setattr(doctor_checks, "pip_config", lambda: "")
    monkeypatch.setattr(doctor_machine, "memory_bytes", lambda: (int(16e9), int(9e9)))
    monkeypatch.setattr(doctor_machine, "free_bytes", lambda path: int(50e9))
    monkeypatch.setattr("helpers.speed.training_speed", lambda seconds: 20.0)
    monkeypatch.setattr("helpers.speed.matmul_gflops", lambda: 100.0)
    return root


def examine(root) -> tuple[int, list[str]]:
    lines = []
    return doctor(lines.append, root=root), lines


def test_a_good_machine_is_ready_and_nothing_is_written(root):
    before = sorted(root.rglob("*"))
    code, lines = examine(root)
    assert (code, lines[-1]) == (0, "Ready.")
    assert "  ok   3 of 3 packages are as they should be" in lines
    assert sorted(root.rglob("*")) == before
    assert not (root.parent / "cache").exists()


@pytest.mark.parametrize("found", [(3, 10, 9), (3, 14, 0)])
def test_another_python_needs_help_and_names_the_remedy(root, monkeypatch, found):
    monkeypatch.setattr(doctor_checks, "python_version", lambda: found)
    code, lines = examine(root)
    assert code == 2
    assert lines[-1] == "Ask for help: paste this report."
    assert any("install Python 3.11, 3.12 or 3.13" in line for line in lines)


def test_a_missing_package_is_fixable_with_a_command(root, versions):
    del versions["gamma"]
    code, lines = examine(root)
    assert code == 1
    assert "  FIX  gamma: missing, want ==0.1" in lines
    assert lines[-1].startswith("Fixable: run `") and "requirements.lock" in lines[-1]


def test_another_version_is_a_note_unless_the_course_does_not_allow_it(root, versions):
    versions["alpha"] = "1.6"
    code, lines = examine(root)
    assert code == 0
    assert "  note alpha: have 1.6, want ==1.5.0" in lines
    versions["alpha"] = "2.0"
    code, lines = examine(root)
    assert code == 1
    assert any(line.startswith("  FIX  alpha: have 2.0, want ") for line in lines)


def test_a_lock_is_read_with_comments_hashes_options_and_markers(root):
    wanted = doctor_checks.read_lock(root / "requirements.lock")
    assert [(item.name, str(item.specifier)) for item in wanted] == [
        ("alpha", "==1.5.0"),
        ("beta", "==3.1"),
        ("gamma", "==0.1"),
    ]
    (root / "requirements.lock").write_text("alpha==1\nwhat is this\n", encoding="utf-8")
    with pytest.raises(ValueError, match="requirements.lock, line 2"):
        doctor_checks.read_lock(root / "requirements.lock")


def test_a_missing_lock_is_said(root):
    (root / "requirements.lock").unlink()
    code, lines = examine(root)
    assert code == 1
    assert "  FIX  requirements.lock is missing" in lines


def test_a_full_disk_is_fixable_by_moving_the_cache(root, monkeypatch):
    free = {"cache": int(1e9)}
    monkeypatch.setattr(doctor_machine, "free_bytes", lambda path: free.get(path.name, int(50e9)))
    code, lines = examine(root)
    assert code == 1
    assert "set COURSE_CACHE to another disk" in lines[-1] and "COURSE_RESULTS" not in lines[-1]


@pytest.mark.parametrize(
    ("total", "available", "code", "word"),
    [
        (16e9, 9e9, 0, "ok"),
        (7e9, 5e9, 0, "note"),
        (16e9, 3e9, 1, "FIX"),
        (3e9, 2e9, 2, "HELP"),
    ],
)
def test_memory(root, monkeypatch, total, available, code, word):
    monkeypatch.setattr(doctor_machine, "memory_bytes", lambda: (int(total), int(available)))
    found, lines = examine(root)
    [line] = [line for line in lines if " memory: " in line]
    assert (found, line.split()[0]) == (code, word)


def test_the_worst_finding_decides_and_every_remedy_is_named_once(root, versions, monkeypatch):
    versions.clear()
    monkeypatch.setattr(doctor_machine, "free_bytes", lambda path: 0)
    code, lines = examine(root)
    assert code == 1
    assert lines[-1].count("-r requirements.lock") == 1
    assert "COURSE_CACHE" in lines[-1] and "COURSE_RESULTS" in lines[-1]
    monkeypatch.setattr(doctor_checks, "python_version", lambda: (3, 9, 0))
    assert examine(root)[0] == 2


def test_a_check_that_breaks_is_a_line_of_the_report(root, monkeypatch):
    def broken():
        raise RuntimeError("the probe fell off")

    def without_torch(seconds):
        raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(doctor_machine, "memory_bytes", broken)
    code, lines = examine(root)
    assert code == 0
    assert any("note memory could not be checked" in line and "fell off" in line for line in lines)
    monkeypatch.setattr("helpers.speed.training_speed", without_torch)
    code, lines = examine(root)
    assert code == 1
    assert any("FIX  cannot be checked: No module named 'torch'" in line for line in lines)


def test_a_folder_that_cannot_be_written_is_fixable(root, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor_checks.tempfile, "TemporaryFile", refuse)
    code, lines = examine(root)
    assert code == 1
    assert sum("FIX  not writable" in line for line in lines) == 2


def test_an_unknown_profile_in_the_environment_is_fixable(root, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    code, lines = examine(root)
    assert code == 1
    assert "  ok   COURSE_PROFILE=fast" in lines
    assert "set COURSE_PROFILE to one of smoke, cpu, gpu" in lines[-1]


def test_the_report_shows_neither_the_home_folder_nor_passwords(root, monkeypatch):
    home = root.parent
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    settings = "global.index-url='https://me:secret@example.org/simple'\nglobal.timeout='9'\n"
    monkeypatch.setattr(doctor_checks, "pip_config", lambda: settings)
    lines = []
    doctor(lines.append, root=root)
    report = "\n".join(lines)
    assert str(home) not in report and "secret" not in report
    assert str(Path("~") / "course" / "results") in report
    assert "pip: global.index-url='https://***@example.org/simple'" in report
    assert "timeout" not in report
    assert mask(f"{home}-of-another/x") == f"{home}-of-another/x"


def test_json_is_one_object_with_code_summary_and_masked_findings(root, monkeypatch, versions):
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("USERPROFILE", str(root.parent))
    del versions["gamma"]
    lines = []
    assert doctor(lines.append, as_json=True, root=root) == 1
    report = json.loads("\n".join(lines))
    assert report["code"] == 1
    assert report["summary"].startswith("Fixable: ")
    gamma = [item for item in report["sections"]["Packages"] if item["text"].startswith("gamma")]
    assert gamma[0]["level"] == "fix"
    assert str(root.parent) not in lines[0]


def test_the_cache_says_what_is_there_and_what_is_being_written(root, monkeypatch):
    from helpers import assets

    monkeypatch.setattr(assets, "is_cached", lambda name: name == "reviews")
    cache = root.parent / "cache"
    cache.mkdir()
    with FileLock(cache / "glove.lock"):
        texts = [item.text for item in doctor_checks.cache()]
    assert "reviews: cached" in texts
    assert "glove: being written now by another process" in texts
    assert any(text.startswith("minilm: not cached") for text in texts)


def test_expected_minutes_scale_with_the_speed():
    stamp = {"seconds": 180, "profile": "cpu", "device": "cpu x86_64, 2 threads", "speed": 40.0}
    assert expected_minutes(stamp, 40.0).startswith("about 3.0 minutes here")
    assert expected_minutes(stamp, 20.0).startswith("about 6.0 minutes here")
    assert expected_minutes(stamp, 80.0).startswith("about 1.5 minutes here")
    assert "3.0 minutes where it was stored, not scaled" in expected_minutes(
        stamp | {"speed": 0.0}, 20.0
    )
    assert "not scaled" in expected_minutes(stamp | {"device": "cuda T4"}, 20.0)
    assert expected_minutes(None, 20.0) == "no timed run is stored yet"


def test_the_report_lists_the_minutes_of_each_notebook(root):
    import nbformat

    stamp = dict.fromkeys(notebooks.STAMP_FIELDS, "x")
    stamp |= {"seconds": 60, "speed": 40.0, "device": "cpu", "profile": "cpu"}
    timed = nbformat.v4.new_notebook(metadata={notebooks.STAMP_KEY: stamp})
    notebooks.write(root / "notebooks" / "00_start.ipynb", timed)
    notebooks.write(root / "notebooks" / "01_next.ipynb", nbformat.v4.new_notebook())
    _, lines = examine(root)
    assert "  ok   00_start: about 2.0 minutes here (profile cpu, cpu)" in lines
    assert "  ok   01_next: no timed run is stored yet" in lines


def test_a_busy_machine_is_told_that_its_minutes_are_too_high(root, monkeypatch):
    for use, warned in ((80.0, True), (3.0, False)):
        monkeypatch.setattr(doctor_machine, "cpu_in_use", lambda seconds=0.5, use=use: use)
        _, lines = examine(root)
        assert any("other programs use 80 % of the CPU" in line for line in lines) is warned


def test_the_training_step_ends_within_its_time_and_counts_steps():
    training_speed(seconds=0.01)  # importing torch is not part of the measurement
    start = time.perf_counter()
    speed = training_speed(seconds=0.5)
    elapsed = time.perf_counter() - start
    assert 0.3 < elapsed < 60  # the upper end allows for a busy machine
    assert speed > 0
    assert speed * elapsed > 1
    assert matmul_gflops(size=64, seconds=0.01) > 0
