"""Colab: what is missing is installed, what must stay stays, and the cell can run twice."""

import importlib.metadata
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from helpers.course import colab, template
from helpers.runtime import ROOT

PYPROJECT = """\
[project]
name = "some-course"
dependencies = ["datasets>=5.0,<6", "gensim>=4.4,<5", "numpy>=2.0,<3", "torch>=2.9,<3"]
"""
ALL = {"datasets": "5.2.0", "gensim": "4.4.0", "numpy": "2.1.0", "torch": "2.10.0+cu128"}


@pytest.fixture
def installed(tmp_path, monkeypatch) -> dict[str, str]:
    """The packages a machine has; tests change the dictionary."""
    packages = dict(ALL)

    def version(name: str) -> str:
        if name not in packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return packages[name]

    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(PYPROJECT, encoding="utf-8")
    monkeypatch.setattr(colab, "PYPROJECT", pyproject)
    monkeypatch.setattr(importlib.metadata, "version", version)
    return packages


class Commands:
    """Stands for `subprocess.run`: notes what is asked for and has it succeed, or fail."""

    def __init__(self, code: int = 0, effect=lambda command: None):
        self.code, self.effect, self.asked, self.constraints = code, effect, [], []

    def __call__(self, command, check=False, **options):
        self.asked.append(list(command))
        if "-c" in command:
            constraint = Path(command[command.index("-c") + 1])
            self.constraints.append(constraint.read_text(encoding="utf-8").split())
        self.effect(command)
        if check and self.code:
            raise subprocess.CalledProcessError(self.code, command)
        return subprocess.CompletedProcess(command, self.code)


def test_nothing_is_missing_where_all_is_in_range(installed):
    assert colab.missing_requirements() == []


def test_an_absent_package_is_listed_with_its_range(installed):
    del installed["gensim"]
    assert colab.missing_requirements() == ["gensim>=4.4,<5"]


@pytest.mark.parametrize("version", ["4.9.1", "6.0.0"])
def test_a_package_outside_its_range_is_listed(installed, version):
    installed["datasets"] = version
    assert colab.missing_requirements() == ["datasets>=5.0,<6"]


def test_torch_and_numpy_stay_even_outside_their_ranges(installed):
    installed |= {"torch": "2.6.0+cu124", "numpy": "1.26.4"}
    assert colab.missing_requirements() == []
    assert colab.kept_versions() == ["torch==2.6.0+cu124", "numpy==1.26.4"]


def test_an_absent_torch_is_installed_and_not_pinned(installed):
    del installed["torch"]
    assert colab.missing_requirements() == ["torch>=2.9,<3"]
    assert colab.kept_versions() == ["numpy==2.1.0"]


def test_the_course_s_own_requirements_can_be_read(monkeypatch):
    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    monkeypatch.setattr(importlib.metadata, "version", nothing)
    assert colab.missing_requirements() == project["dependencies"]
    assert set(colab.KEEP) <= {Requirement(line).name for line in project["dependencies"]}


def test_pip_gets_what_is_missing_and_holds_what_must_stay(installed, monkeypatch, capsys):
    del installed["gensim"]
    installed["datasets"] = "2.14.4"
    commands = Commands()
    monkeypatch.setattr(subprocess, "run", commands)
    assert colab.main() == 0
    [command] = commands.asked
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-2:] == ["datasets>=5.0,<6", "gensim>=4.4,<5"]
    assert commands.constraints == [["torch==2.10.0+cu128", "numpy==2.1.0"]]
    assert capsys.readouterr().out == "Installed: datasets>=5.0,<6, gensim>=4.4,<5.\n"


def test_nothing_is_done_where_nothing_is_missing(installed, monkeypatch, capsys):
    commands = Commands()
    monkeypatch.setattr(subprocess, "run", commands)
    assert colab.main() == 0
    assert commands.asked == []
    assert capsys.readouterr().out == "Everything the course needs is installed.\n"


def test_after_a_restart_the_second_run_finds_all_and_a_fresh_machine_starts_again(
    installed, monkeypatch
):
    del installed["gensim"]
    commands = Commands(effect=lambda command: installed.update(gensim="4.4.0"))
    monkeypatch.setattr(subprocess, "run", commands)
    assert [colab.main(), colab.main()] == [0, 0]
    assert len(commands.asked) == 1
    del installed["gensim"]  # the machine was recycled
    assert colab.main() == 0
    assert len(commands.asked) == 2


def test_a_failing_pip_is_told_and_its_code_handed_on(installed, monkeypatch, capsys):
    del installed["gensim"]
    monkeypatch.setattr(subprocess, "run", Commands(code=1))
    assert colab.main() == 1
    assert "pip could not install gensim>=4.4,<5" in capsys.readouterr().out


@pytest.fixture
def cell(tmp_path, monkeypatch):
    """Runs the Colab cell in an empty folder; `git clone` makes the folder it is given."""

    def clone(command):
        if command[0] == "git":
            Path(command[-1]).mkdir()

    commands = Commands(effect=clone)
    monkeypatch.setattr(subprocess, "run", commands)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    source = template.colab_source()

    def run() -> list[list[str]]:
        commands.asked.clear()
        exec(compile(source, "<colab cell>", "exec"), {})
        return list(commands.asked)

    return run


def on_colab(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))


def test_elsewhere_the_cell_does_nothing_at_all(cell, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    before = list(sys.path)
    assert cell() == []
    assert sys.path == before
    assert list(tmp_path.iterdir()) == []


def test_on_colab_the_cell_fetches_the_course_once_and_works_a_second_time(
    cell, tmp_path, monkeypatch
):
    on_colab(monkeypatch)
    clone, install = cell()
    assert clone == ["git", "clone", "--depth=1", template.address(), "finetuning-history"]
    assert install[0] == sys.executable
    assert Path(install[1]) == Path("finetuning-history", "helpers", "course", "colab.py")
    assert Path(sys.path[0]) == (tmp_path / "finetuning-history").resolve()
    assert cell() == [install]


def test_the_script_the_cell_names_is_in_the_repository_and_reads_its_project_file():
    assert (ROOT / "helpers" / "course" / "colab.py").exists()
    assert colab.PYPROJECT == ROOT / "pyproject.toml"


def test_a_clone_that_fails_stops_the_cell(cell, monkeypatch):
    on_colab(monkeypatch)
    monkeypatch.setattr(subprocess, "run", Commands(code=128))
    with pytest.raises(subprocess.CalledProcessError):
        cell()
