"""Colab: what is missing is installed, what must stay stays, and the cell can run twice."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import packaging
import pip
import pytest
from fake_wheels import alone_with, write_wheel

from helpers.commands import sync
from helpers.runtime import ROOT

COLAB = {"torch": "2.10.0+cu128", "numpy": "2.0.2", "old": "1.0", "ipython": "7.34.0"}
SHELF = {
    "torch": ["2.13.0"],
    "numpy": ["2.4.0"],
    "old": ["2.0"],
    "ipython": ["9.0.0"],
    "trl": ["1.0"],
    "fresh": ["1.1", "1.2"],
}
NEEDS = {"old": ("numpy>=1.20",), "trl": ("torch>=2.6", "numpy")}
WANTED = ["fresh>=1,<2", "ipython>=8.20", "numpy>=2.1", "old>=2", "torch>=2.9,<3", "trl>=1,<2"]
LIST = """\
import importlib.metadata as metadata, json
print(json.dumps({d.metadata["Name"]: d.version for d in metadata.distributions()}))
"""


class Colab:
    """A machine like Colab's: a Python with packages of its own, an index, and a small course."""

    def __init__(self, root: Path, have: dict[str, str], wanted: list[str], lock: str):
        self.root, self.course = root, root / "course"
        machine, shelf = root / "machine", root / "shelf"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", machine], check=True)
        self.python = machine / "bin" / "python"
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site = Path(self.output(ask).strip())
        for package in (pip, packaging):  # what this Python has, to have it at once
            home = Path(package.__file__).parent
            (self.site / home.name).symlink_to(home, target_is_directory=True)
        for name, version in have.items():
            shutil.unpack_archive(write_wheel(root, name, version), self.site, "zip")
        shelf.mkdir()
        for name, versions in SHELF.items():
            for version in versions:
                write_wheel(shelf, name, version, needs=NEEDS.get(name, ()))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
        self.environment = kept | alone_with(shelf)
        commands = self.course / "helpers" / "commands"
        commands.mkdir(parents=True)
        shutil.copy(ROOT / "helpers" / "commands" / "colab.py", commands)
        project = f"[project]\nname = 'small-course'\ndependencies = {json.dumps(wanted)}\n"
        (self.course / "pyproject.toml").write_text(project, encoding="utf-8")
        (self.course / "requirements.lock").write_text(f"# pins\n{lock}\n", encoding="utf-8")

    def output(self, code: str) -> str:
        command = [self.python, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def packages(self) -> dict[str, str]:
        return json.loads(self.output(LIST))

    def run(self) -> tuple[int, str]:
        """Exit code and output of the script that the cell starts."""
        command = [self.python, self.course / "helpers" / "commands" / "colab.py"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    def run_cell(self, before: str = "", address: str | None = None) -> subprocess.CompletedProcess:
        """Run the Colab cell in a process of its own, as a notebook's session would."""
        source = sync.colab_cell().replace(sync.address(), address or self.course.as_uri())
        content = self.root / "content"
        content.mkdir(exist_ok=True)
        command = [self.python, "-c", f"{before}\n{source}\nprint(sys.path[0])"]
        own = {"cwd": content, "env": self.environment}
        return subprocess.run(command, **own, capture_output=True, text=True)


pytestmark = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")


@pytest.fixture
def colab(tmp_path):
    def make(have=COLAB, wanted=WANTED, lock="fresh==1.1") -> Colab:
        return Colab(tmp_path, have, wanted, lock)

    return make


def test_a_session_on_a_machine_like_colab_s_and_a_second_one_after_a_restart(colab):
    machine = colab()
    (machine.site / "google" / "colab").mkdir(parents=True)
    (machine.site / "google" / "colab" / "__init__.py").touch()
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a course"]):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *command], cwd=machine.course, check=True)
    first = machine.run_cell("import google.colab")
    assert first.returncode == 0, first.stderr
    packages = machine.packages()
    kept = ("torch", "numpy", "ipython")
    assert {name: packages[name] for name in kept} == {name: COLAB[name] for name in kept}
    assert packages["old"] == "2.0" and packages["trl"] == "1.0"
    assert packages["fresh"] == "1.1", "the locked release, though there is a newer one"
    said = first.stdout.splitlines()
    assert any(line.startswith("Installed: fresh") for line in said)
    assert any("Newer than Colab's own: old." in line and "Restart" in line for line in said)
    assert said[-1] == str((machine.root / "content" / "finetuning-history").resolve())
    second = machine.run_cell("import google.colab")
    assert second.stdout.splitlines()[0] == "Everything the course needs is installed."
    assert machine.packages() == packages


def test_elsewhere_the_cell_does_nothing_and_a_clone_that_fails_stops_it(colab):
    machine = colab()
    assert machine.run_cell("import sys").returncode == 0
    assert list((machine.root / "content").iterdir()) == []
    assert machine.packages() == COLAB
    fake = "import sys; sys.modules['google.colab'] = sys"
    assert machine.run_cell(fake, (machine.root / "nowhere").as_uri()).returncode != 0
    assert machine.packages() == COLAB


@pytest.mark.parametrize("version", ["1.0", "3.0"])
def test_a_package_outside_its_range_is_replaced(colab, version):
    machine = colab(have=COLAB | {"old": version}, wanted=["old>=2,<3"])
    assert machine.run()[0] == 0
    assert machine.packages() == COLAB | {"old": "2.0"}


def test_torch_and_numpy_stay_outside_their_ranges_and_come_where_they_are_absent(colab):
    have = {"torch": "2.6.0+cu124"}
    machine = colab(have=have, wanted=["torch>=2.9,<3", "numpy>=2.1"])
    assert machine.run()[0] == 0
    assert machine.packages() == have | {"numpy": "2.4.0"}


def test_where_the_locked_version_cannot_be_had_the_range_decides(colab):
    machine = colab(wanted=["fresh>=1,<2"], lock="fresh==1.0")
    assert machine.run()[0] == 0
    assert machine.packages()["fresh"] == "1.2"


def test_a_failing_pip_is_told_and_its_code_handed_on_and_the_next_run_tries_again(colab):
    machine = colab(wanted=["absent>=1", "fresh>=1"])
    code, said = machine.run()
    assert code != 0 and "could not install absent>=1, fresh>=1" in said
    assert machine.packages() == COLAB
    assert machine.run()[0] != 0


def test_the_course_s_own_requirements_are_met_here_and_hold_what_colab_keeps():
    script = ROOT / "helpers" / "commands" / "colab.py"
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "Everything the course needs is installed.\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = " ".join(project["dependencies"])
    for name in ("torch", "numpy", "ipykernel", "ipython", "ipywidgets", "jupyterlab", "nbclient"):
        assert f"{name}>=" in text and f'"{name}"' in script.read_text(encoding="utf-8")
