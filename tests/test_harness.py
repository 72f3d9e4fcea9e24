"""`course test`: what must turn it red does, a good course is green, whatever surrounds it."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from fake_wheels import Shop
from nbformat.v4 import new_code_cell, new_output
from notebook_factory import good_notebook, place_of, stamp, write_course

from helpers.assets import AssetError
from helpers.commands import testing
from helpers.commands.testing import NEEDED, run_tests
from helpers.runtime import ROOT

FIRST, CLAIM, CORE = 5, 36, -5
ANSWERS = """\
class plots:
    learning_curve = print

def expect(claim, held): assert held, claim
def check(name, answer): assert answer, name

curve = sorted([3, 1, 2])"""
SURROUNDINGS = """\
import os
from helpers.runtime import results_dir
assert run.profile.name == "smoke" and run.notebook == "00_start_here"
assert "outer" not in str(results_dir()) and results_dir().is_dir()
(results_dir() / "ledger.jsonl").write_text("{}")
assert os.environ["HF_HUB_OFFLINE"] == "1" and os.environ["COURSE_PROGRESS"] == "0\""""
RUNNER = """\
import sys
from pathlib import Path
from helpers.commands.testing import run_tests
sys.exit(run_tests([sys.argv[1]], workers=int(sys.argv[2]), root=Path(sys.argv[3])))
"""
HERE = "00_start_here"


def runnable(broken: str = ""):
    """A lesson that keeps the rules and runs; `broken` is the source of one cell that may not."""
    notebook = good_notebook(0)
    cells = notebook.cells
    sources = {FIRST: ANSWERS, 9: SURROUNDINGS, CORE: 'check("core", curve)'}
    for index, source in {**sources, **({13: broken} if broken else {})}.items():
        cells[index].source, cells[index].outputs = source, []
    cells[CLAIM].source = 'expect("the curve rises", curve[0] < curve[-1])'
    cells[0].source = cells[0].source.replace(f"{place_of(0)}.ipynb", f"{HERE}.ipynb")
    return stamp(notebook)


@pytest.fixture
def stocked(tmp_path, monkeypatch):
    """An index that has all that tests need."""
    shop = Shop(tmp_path, monkeypatch)
    for name in NEEDED:
        shop.add(name)


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "code"), [("", 0), ("{}['lost']", 1)])
def test_a_notebook_is_red_if_a_cell_raises_and_else_green(tmp_path, stocked, broken, code):
    root = write_course(tmp_path / "course", **{HERE: runnable(broken)})
    path, outer = root / "notebooks" / f"{HERE}.ipynb", tmp_path / "outer"
    outer.mkdir()
    before = path.read_bytes()
    # These tests may themselves run under pytest and xdist, whose settings are not the learner's.
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    env |= {"PYTHONPATH": str(ROOT), "COURSE_PROFILE": "cpu", "COURSE_PROGRESS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", RUNNER, str(path), str(2 - code), str(root)],
        cwd=tmp_path,
        env=env | {"COURSE_RESULTS": str(outer)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=200,
    )
    said = ended.stdout
    assert ended.returncode == code, said
    assert " 0 errors" in said and ("KeyError" in said) == bool(broken)
    assert path.read_bytes() == before
    assert list(outer.iterdir()) == []  # the learner's own results stay as they are


@pytest.fixture
def pytest_process(stocked, monkeypatch):
    """Stands for the pytest process: it notes what it is given, and passes or fails."""
    fake = types.SimpleNamespace(code=0, command=[], env={})

    def run(command, *, env, cwd):
        fake.command, fake.env = command, env
        return subprocess.CompletedProcess(command, fake.code)

    monkeypatch.setattr(testing, "subprocess", types.SimpleNamespace(run=run))
    monkeypatch.setattr(testing, "NEEDED", ("reviews",))  # each takes a second of pip
    return fake


def verdict(tmp_path, notebook, kind: str = "lesson") -> int:
    """What `course test` says of a notebook whose cells all ran."""
    root = write_course(tmp_path / "course", **{place_of(3, kind): notebook})
    return run_tests([str(root / "notebooks" / f"{place_of(3, kind)}.ipynb")], root=root)


def broken(source: str, *outputs):
    notebook = good_notebook(3)
    count = notebook.cells[FIRST].execution_count
    notebook.cells[FIRST] = new_code_cell(source, outputs=list(outputs), execution_count=count)
    return stamp(notebook)


@pytest.mark.parametrize(
    ("notebook", "rule"),
    [
        (stamp(good_notebook(3), code="0" * 16), "stamp"),
        # nbval calls each of these green.
        (broken("!false"), "untested"),
        (broken("# NBVAL_CHECK_OUTPUT\nprint(1)"), "untested"),
        (broken("# NBVAL_RAISES_EXCEPTION\nx = 1"), "untested"),
        (broken("# NBVAL_SKIP\n1 / 0"), "untested"),
        (broken("1 / 0", new_output("error", ename="Z", evalue="", traceback=[])), "stored-noise"),
    ],
)
def test_a_notebook_that_runs_and_breaks_a_rule_is_red(
    tmp_path, pytest_process, capsys, notebook, rule
):
    assert verdict(tmp_path, notebook) == 1
    assert f"error: [{rule}]" in capsys.readouterr().out


@pytest.mark.parametrize("code", [1, 5])
def test_every_failure_of_pytest_is_red_even_when_it_collected_nothing(
    tmp_path, pytest_process, code
):
    assert verdict(tmp_path, good_notebook(3)) == 0
    pytest_process.code = code
    assert verdict(tmp_path, good_notebook(3)) == 1


def test_without_names_rules_unit_tests_and_notebooks_count(tmp_path, pytest_process, capsys):
    kinds = ("lesson", "bonus", "solution")
    places = {HERE: stamp(good_notebook(0))} | {place_of(3, k): good_notebook(3, k) for k in kinds}
    root = write_course(tmp_path / "course", **places)
    run_tests(root=root)
    assert "5 files: " in capsys.readouterr().out  # four notebooks, and the README
    files = [str(root / "notebooks" / f"{place}.ipynb") for place in places]
    assert pytest_process.command[-5:] == [str(root / "tests"), *files]
    run_tests(root=root, quick=True)
    assert pytest_process.command[-2:] == [str(root / "tests"), files[0]]
    assert "not slow" in pytest_process.command


def test_names_mean_files_of_the_folder_the_learner_is_in(tmp_path, pytest_process, monkeypatch):
    root = write_course(tmp_path / "course", **{place_of(3): good_notebook(3)})
    monkeypatch.chdir(root / "notebooks")
    assert run_tests([f"{place_of(3)}.ipynb"], root=root) == 0
    assert Path(pytest_process.command[-1]) == root / "notebooks" / f"{place_of(3)}.ipynb"


def test_test_files_alone_are_not_held_against_the_notebooks_rules(
    tmp_path, pytest_process, capsys
):
    root = write_course(tmp_path / "course", **{place_of(3): broken("!false")})
    assert run_tests([str(ROOT / "tests" / "test_lab.py")], root=root) == 0
    assert capsys.readouterr().out == ""


def test_missing_reviews_are_one_error_before_any_test_waits_for_them(tmp_path, pytest_process):
    next(Path(os.environ["PIP_FIND_LINKS"]).glob("reviews_pkg-*.whl")).unlink()
    with pytest.raises(AssetError, match="course prefetch"):
        verdict(tmp_path, good_notebook(3))
    assert pytest_process.command == []
