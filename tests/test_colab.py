"""Colab: what is missing is installed, what must stay stays, and the cell can run twice."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from helpers.commands import colab, template
from helpers.runtime import ROOT

PYPROJECT = """\
[project]
name = "some-course"
dependencies = ["datasets>=5.0,<6", "gensim>=4.4,<5", "numpy>=2.0,<3", "torch>=2.9,<3"]
[project.optional-dependencies]
gpu = ["bits>=1,<2", "elsewhere; sys_platform == 'no-such'"]
test = ["pytest"]
"""
LOCK = "# pinned\ndatasets==5.1.0\nnumpy==2.4.0\ntorch==2.13.0\n"
ALL = {
    "bits": "1.0", "datasets": "5.2.0", "gensim": "4.4.0", "numpy": "2.1.0", "torch": "2.10.0+cu128"
}  # fmt: skip


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
    lock = tmp_path / "requirements.lock"
    lock.write_text(LOCK, encoding="utf-8")
    monkeypatch.setattr(colab, "PYPROJECT", pyproject)
    monkeypatch.setattr(colab, "LOCK", lock)
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
    here = {Requirement(line): line for line in project["dependencies"]}
    names = {r.name: line for r, line in here.items() if not r.marker or r.marker.evaluate()}
    assert set(colab.KEEP) | set(colab.PAGE) <= set(names)
    assert colab.missing_requirements() == [
        line for name, line in names.items() if name not in colab.PAGE
    ]
    tests = {Requirement(line).name for line in project["optional-dependencies"]["test"]}
    assert not tests & {Requirement(line).name for line in colab.missing_extras()}


def test_pip_gets_what_is_missing_and_holds_what_must_stay(installed, monkeypatch, capsys):
    del installed["gensim"]
    installed["datasets"] = "2.14.4"
    commands = Commands()
    monkeypatch.setattr(subprocess, "run", commands)
    assert colab.main() == 0
    [command] = commands.asked
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-2:] == ["datasets==5.1.0", "gensim>=4.4,<5"]  # pinned, where the lock pins it
    assert commands.constraints == [["torch==2.10.0+cu128", "numpy==2.1.0"]]
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Installed: datasets>=5.0,<6, gensim>=4.4,<5."
    assert second.startswith("Newer than Colab's own: datasets.") and "Restart session" in second


def test_where_the_locked_version_cannot_be_had_the_range_decides(installed, monkeypatch):
    del installed["datasets"]
    commands = Commands(code=1)
    monkeypatch.setattr(subprocess, "run", commands)
    colab.main()
    assert [command[-1] for command in commands.asked] == ["datasets==5.1.0", "datasets>=5.0,<6"]


def test_optional_packages_are_installed_too_those_for_tests_are_not(installed, monkeypatch):
    del installed["bits"]
    commands = Commands()
    monkeypatch.setattr(subprocess, "run", commands)
    assert colab.missing_requirements() == [] and colab.missing_extras() == ["bits>=1,<2"]
    assert colab.main() == 0
    assert [command[-1] for command in commands.asked] == ["bits>=1,<2"]


def test_an_optional_package_that_cannot_be_had_is_told_and_stops_nobody(
    installed, monkeypatch, capsys
):
    del installed["bits"]
    monkeypatch.setattr(subprocess, "run", Commands(code=1))
    assert colab.main() == 0
    assert "could not install bits>=1,<2 (optional" in capsys.readouterr().out


def test_colab_s_page_and_kernel_are_neither_looked_at_nor_replaced(installed, monkeypatch):
    page = 'dependencies = ["ipykernel>=6.29", "jupyterlab>=4", '
    text = PYPROJECT.replace("dependencies = [", page, 1)
    colab.PYPROJECT.write_text(text, encoding="utf-8")
    installed |= {"ipykernel": "6.17.1", "ipython": "7.34.0"}
    assert colab.missing_requirements() == []
    assert colab.kept_versions()[2:] == ["ipykernel==6.17.1", "ipython==7.34.0"]


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


COLAB = {"torch": "2.10.0+cu128", "numpy": "2.0.2", "old": "1.0", "ipython": "7.34.0"}
SHELF = {
    "torch": ("2.13.0", []),
    "numpy": ("2.4.0", []),
    "old": ("2.0", ["numpy>=1.20"]),
    "ipython": ("9.0.0", []),
    "trl": ("1.0", ["torch>=2.6", "numpy"]),
    "fresh": ("1.1", []),
    "bits": ("1.0", ["torch>=2.3"]),
}
COURSE = """\
[project]
name = "some-course"
dependencies = [
  "fresh>=1,<2", "ipython>=8.20", "numpy>=2.1", "old>=2", "torch>=2.9,<3", "trl>=1,<2"
]
[project.optional-dependencies]
gpu = ["bits>=1,<2"]
"""
SESSION = """\
import importlib.metadata as metadata, json, sys
import google.colab
exec(compile(open(sys.argv[1], encoding="utf-8").read(), "<the Colab cell>", "exec"))
import course_was_fetched
print(json.dumps({d.metadata["Name"]: d.version for d in metadata.distributions()}))
"""


def write_wheel(folder: Path, name: str, version: str, needs=()) -> Path:
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in needs)
    tags = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr(f"{name}/__init__.py", "")
        package.writestr(f"{info}/METADATA", metadata)
        package.writestr(f"{info}/WHEEL", tags)
        names = [*package.namelist(), f"{info}/RECORD"]  # pip removes what is listed here
        package.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in names))
    return wheel


@pytest.fixture
def session(tmp_path):
    """A machine like Colab's: a Python with packages of its own, and `google.colab`.

    Calling it runs the Colab cell in a process of its own, as a notebook's session would, against a
    clone of a small course and an index of tiny wheels.
    """
    machine, shelf, origin = tmp_path / "machine", tmp_path / "shelf", tmp_path / "origin"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", machine], check=True)
    python = machine / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    site = Path(found.stdout.strip())
    shelf.mkdir()
    for package in ("pip", "packaging"):  # what this Python has, to have it at once
        home = Path(__import__(package).__file__).parent
        (site / package).symlink_to(home, target_is_directory=True)
    for name, version in COLAB.items():
        with zipfile.ZipFile(write_wheel(tmp_path, name, version)) as wheel:
            wheel.extractall(site)
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    for name, (version, needs) in SHELF.items():
        write_wheel(shelf, name, version, needs)
    write_wheel(shelf, "fresh", "1.2")  # newer than what the lock pins
    script = origin / "helpers" / "course" / "colab.py"
    script.parent.mkdir(parents=True)
    script.write_bytes(Path(colab.__file__).read_bytes())
    (origin / "pyproject.toml").write_text(COURSE, encoding="utf-8")
    (origin / "requirements.lock").write_text("fresh==1.1\n", encoding="utf-8")
    (origin / "course_was_fetched.py").touch()
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a course"]):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *command], cwd=origin, check=True)
    source = template.colab_source().replace(template.address(), origin.as_uri())
    (tmp_path / "cell.py").write_text(source, encoding="utf-8")
    (tmp_path / "session.py").write_text(SESSION, encoding="utf-8")
    content = tmp_path / "content"
    content.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    kept |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf)}

    def run() -> tuple[list[str], dict[str, str]]:
        command = [python, tmp_path / "session.py", tmp_path / "cell.py"]
        done = subprocess.run(command, cwd=content, env=kept, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
        *said, packages = done.stdout.splitlines()
        return said, json.loads(packages)

    return run


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_a_session_on_a_machine_like_colab_s_and_a_second_one_after_a_restart(session):
    said, packages = session()
    assert {name: packages[name] for name in ("torch", "numpy", "ipython")} == {
        name: COLAB[name] for name in ("torch", "numpy", "ipython")
    }
    assert packages["old"] == "2.0" and packages["bits"] == "1.0"
    assert packages["fresh"] == "1.1", "the locked release, though there is a newer one"
    assert packages["trl"] == "1.0"
    assert any(line.startswith("Installed: fresh>=1,<2") for line in said)
    assert any("Newer than Colab's own: old." in line for line in said)
    assert session() == (["Everything the course needs is installed."], packages)
