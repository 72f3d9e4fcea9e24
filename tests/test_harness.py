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

from helpers.commands import testing
from helpers.commands.testing import run_tests
from helpers.runtime import ROOT

FIRST, FIGURE, CLAIM, CORE = 5, 35, 36, -5
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
    cells[FIRST].source = ANSWERS
    cells[FIRST].outputs = []
    cells[9].source, cells[9].outputs = SURROUNDINGS, []
    cells[CLAIM].source = 'expect("the curve rises", curve[0] < curve[-1])'
    cells[CORE].source = 'check("core", curve)'
    if broken:
        cells[13].source, cells[13].outputs = broken, []
    cells[0].source = cells[0].source.replace(f"{place_of(0)}.ipynb", f"{HERE}.ipynb")
    return stamp(notebook)


def execute(tmp_path, monkeypatch, notebook, workers: int) -> tuple[int, str]:
    """A real `course test` of one notebook, in a process with settings of its own."""
    shop = Shop(tmp_path, monkeypatch)
    shop.add("reviews")
    shop.add("glove")
    shop.add("minilm")
    root = write_course(tmp_path / "course", **{HERE: notebook})
    outer = tmp_path / "outer"
    outer.mkdir()
    surroundings = {
        "PYTHONPATH": str(ROOT),
        "COURSE_PROFILE": "cpu",
        "COURSE_RESULTS": str(outer),
        "COURSE_PROGRESS": "1",
    }
    # These tests may themselves run under pytest and xdist, whose settings are not the learner's.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    path = root / "notebooks" / f"{HERE}.ipynb"
    before = path.read_bytes()
    ended = subprocess.run(
        [sys.executable, "-c", RUNNER, str(path), str(workers), str(root)],
        cwd=tmp_path,
        env=kept | surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=200,
    )
    assert path.read_bytes() == before
    assert list(outer.iterdir()) == []  # the learner's own results stay as they are
    return ended.returncode, ended.stdout


def test_a_good_notebook_is_green(tmp_path, monkeypatch):
    code, said = execute(tmp_path, monkeypatch, runnable(), workers=2)
    assert code == 0, said
    assert "0 errors" in said and " passed" in said and "failed" not in said


def test_a_raising_cell_is_red(tmp_path, monkeypatch):
    code, said = execute(tmp_path, monkeypatch, runnable("{}['lost']"), workers=1)
    assert code == 1
    assert "0 errors" in said  # by its execution alone
    assert "KeyError" in said and "lost" in said


class Pytest:
    """Stands for the pytest process: every notebook it is given passes, or fails."""

    def __init__(self, code: int = 0):
        self.code, self.command, self.options = code, [], {}

    def __call__(self, command, **options):
        self.command, self.options = command, options
        return subprocess.CompletedProcess(command, self.code)


@pytest.fixture
def passes(tmp_path, monkeypatch) -> Pytest:
    shop = Shop(tmp_path, monkeypatch)
    shop.add("reviews")
    shop.add("glove")
    shop.add("minilm")
    fake = Pytest()
    monkeypatch.setattr(testing, "subprocess", types.SimpleNamespace(run=fake))
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


def test_notebooks_that_run_and_keep_the_rules_are_green(tmp_path, passes):
    assert verdict(tmp_path, good_notebook(3)) == 0
    assert verdict(tmp_path, good_notebook(3, "solution"), "solution") == 0


def test_a_stub_in_a_solution_is_red(tmp_path, passes, capsys):
    notebook = good_notebook(3, "solution")
    notebook.cells[4].source = notebook.cells[4].source.replace("answer = 2", "answer = ...")
    assert verdict(tmp_path, stamp(notebook), "solution") == 1
    assert "[stub]" in capsys.readouterr().out


def test_a_stale_stamp_is_red(tmp_path, passes, capsys):
    notebook = good_notebook(3)
    notebook.cells[FIRST].source += "\nprint(curve[0])"
    assert verdict(tmp_path, notebook) == 1
    assert "[stamp] the outputs are stale" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("notebook", "rule"),
    [
        # nbval calls each of these green.
        (broken("!false"), "shell"),
        (broken("# NBVAL_CHECK_OUTPUT\nprint(1)"), "vacuous-check"),
        (broken("# NBVAL_RAISES_EXCEPTION\nx = 1"), "nbval"),
        (broken("# NBVAL_SKIP\n1 / 0"), "nbval"),
        (broken("1 / 0", new_output("error", ename="Z", evalue="", traceback=[])), "stored-error"),
    ],
)
def test_what_nbval_lets_pass_is_red(tmp_path, passes, capsys, notebook, rule):
    assert verdict(tmp_path, notebook) == 1
    assert f"error: [{rule}]" in capsys.readouterr().out


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
def test_every_failure_of_pytest_is_red_even_when_it_collected_nothing(tmp_path, passes, code):
    passes.code = code
    assert verdict(tmp_path, good_notebook(3)) == 1


def test_without_names_the_rules_the_unit_tests_and_every_notebook_count(tmp_path, passes, capsys):
    kinds = ("lesson", "bonus", "solution")
    root = write_course(tmp_path / "course", **{place_of(3, k): good_notebook(3, k) for k in kinds})
    assert run_tests(root=root) == 0
    assert capsys.readouterr().out.startswith("4 files: 0 errors")  # three, and the README
    asked = passes.command[-4:]
    notebooks = [root / "notebooks" / f"{place_of(3, kind)}.ipynb" for kind in kinds]
    assert asked == [str(path) for path in (root / "tests", *notebooks)]
    assert "--nbval-lax" in passes.command and "--nbval-current-env" in passes.command
    (root / "README.md").write_text("[gone](none.md)\n", encoding="utf-8")
    assert run_tests(root=root) == 1


def test_names_mean_files_of_the_folder_the_learner_is_in(tmp_path, passes, monkeypatch):
    root = write_course(tmp_path / "course", **{place_of(3): good_notebook(3)})
    monkeypatch.chdir(root / "notebooks")
    assert run_tests([f"{place_of(3)}.ipynb"], root=root) == 0
    assert Path(passes.command[-1]) == root / "notebooks" / f"{place_of(3)}.ipynb"


def test_test_files_alone_are_not_held_against_the_notebooks_rules(tmp_path, passes, capsys):
    root = write_course(tmp_path / "course", **{place_of(3): broken("!false")})
    assert run_tests([str(ROOT / "tests" / "test_lab.py")], root=root) == 0
    assert capsys.readouterr().out == ""


def test_the_ledger_of_a_test_is_a_temporary_one_that_is_gone_afterwards(
    tmp_path, passes, monkeypatch
):
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path / "mine"))
    monkeypatch.setenv("COURSE_PROFILE", "gpu")
    verdict(tmp_path, good_notebook(3))
    environment = passes.options["env"]
    assert environment["COURSE_PROFILE"] == "smoke"
    assert environment["COURSE_RESULTS"] != str(tmp_path / "mine")
    assert not Path(environment["COURSE_RESULTS"]).exists()


def test_missing_reviews_are_one_error_before_any_test_waits_for_them(
    tmp_path, passes, monkeypatch
):
    from helpers.assets import AssetError

    shop_wheels = Path(os.environ["PIP_FIND_LINKS"])
    next(shop_wheels.glob("reviews_pkg-*.whl")).unlink()
    with pytest.raises(AssetError, match="course prefetch"):
        verdict(tmp_path, good_notebook(3))
    assert passes.command == []
