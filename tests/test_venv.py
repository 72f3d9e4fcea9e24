"""`make lab` on a bare machine: the environment is made once, whole or not at all."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.commands import venv
from helpers.runtime import ROOT


class Machine:
    """A repository in a temporary folder, and stand-ins for venv and pip that note their work."""

    def __init__(self, root: Path, monkeypatch):
        self.root, self.created, self.pips, self.pip_fails_at = root, [], [], None
        self.commands, self.exit_code, self.no_ensurepip = [], 0, False
        self.venv = root / ".venv"
        (root / "requirements.lock").write_text("torch==2.13.0\n", encoding="utf-8")
        (root / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
        scripts = self.venv / "bin"
        monkeypatch.setattr(venv, "ROOT", root)
        monkeypatch.setattr(venv, "VENV", self.venv)
        monkeypatch.setattr(venv, "STAMP", self.venv / "course-stamp")
        monkeypatch.setattr(venv, "SCRIPTS", scripts)
        monkeypatch.setattr(venv, "PYTHON", scripts / "python")
        monkeypatch.setattr(venv.subprocess, "run", self.run)
        monkeypatch.setattr(venv.subprocess, "Popen", self.popen)
        monkeypatch.setattr(venv.signal, "signal", lambda *registered: None)

    def run(self, command, check):
        assert check
        if "pip" not in command:
            return self.create(command)
        self.pips.append([str(word) for word in command])
        if self.pip_fails_at == len(self.pips):
            raise subprocess.CalledProcessError(1, command)

    def create(self, command):
        assert command[0] == sys.executable and command[-1] == str(self.venv)
        assert command[command.index("-m") + 1] == "venv"
        if self.no_ensurepip:
            raise subprocess.CalledProcessError(1, command)
        self.created.append({"clear": "--clear" in command})
        (self.venv / "bin").mkdir(parents=True, exist_ok=True)
        (self.venv / "bin" / "python").touch()
        version = ".".join(map(str, sys.version_info[:3]))
        (self.venv / "pyvenv.cfg").write_text(f"version = {version}\n", encoding="utf-8")

    def popen(self, command, cwd):
        machine = self
        self.commands.append(([str(word) for word in command], cwd))

        class Process:
            def wait(self):
                if isinstance(machine.exit_code, list):
                    code = machine.exit_code.pop(0)
                    if code is KeyboardInterrupt:
                        raise code
                    return code
                return machine.exit_code

        return Process()

    def files(self) -> dict[str, bytes]:
        """Everything outside `.venv/`."""
        found = [p for p in self.root.rglob("*") if p.is_file() and self.venv not in p.parents]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_lock_is_installed_into_the_environment_then_the_course_itself(machine):
    assert venv.main([]) == 0
    python = str(machine.venv / "bin" / "python")
    lock, course = machine.pips
    assert lock[:4] == course[:4] == [python, "-m", "pip", "install"]
    assert lock[-2:] == ["-r", str(machine.root / "requirements.lock")]
    assert course[-2:] == ["--editable", str(machine.root)] and "--no-deps" in course
    assert venv.is_fresh()


def test_a_finished_environment_is_made_once(machine):
    venv.main([])
    venv.main([])
    venv.main(["doctor"])
    assert len(machine.created) == 1 and len(machine.pips) == 2


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_file_makes_it_stale(machine, name):
    venv.main([])
    path = machine.root / name
    path.write_text(path.read_text(encoding="utf-8") + "# more\n", encoding="utf-8")
    assert not venv.is_fresh()
    venv.main([])
    assert venv.is_fresh()
    assert machine.created[-1]["clear"] is False  # what fits is kept


def test_line_ends_of_another_system_do_not_make_it_stale(machine):
    venv.main([])
    path = machine.root / "requirements.lock"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert venv.is_fresh()


def test_another_python_makes_it_stale_and_starts_from_an_empty_folder(machine, monkeypatch):
    venv.main([])
    # The folder was made by this Python; the one that asks now is another.
    config = machine.venv / "pyvenv.cfg"
    config.write_text("version = 3.10.1\n", encoding="utf-8")
    other = (3, 12, 0) if sys.version_info[:2] != (3, 12) else (3, 13, 0)
    monkeypatch.setattr(venv.sys, "version_info", other)
    assert not venv.is_fresh()
    venv.main([])
    assert machine.created[-1]["clear"] is True
    assert venv.is_fresh()


def test_the_same_python_from_inside_the_environment_finds_it_fresh(machine, monkeypatch):
    venv.main([])
    monkeypatch.setattr(venv.sys, "prefix", str(machine.venv))
    assert venv.is_fresh()


def test_an_environment_whose_python_is_gone_is_made_from_scratch(machine):
    venv.main([])
    (machine.venv / "bin" / "python").unlink()
    assert not venv.is_fresh()
    venv.main([])
    assert machine.created[-1]["clear"] is True


@pytest.mark.parametrize("failing", [1, 2])
def test_an_installation_that_fails_leaves_no_stamp_and_one_clear_message(machine, failing):
    machine.pip_fails_at = failing
    with pytest.raises(SystemExit) as end:
        venv.main(["lab"])
    message = str(end.value)
    assert "\n" not in message and "the reason is above" in message
    assert "run the same command again" in message
    assert not venv.is_fresh() and machine.commands == []
    machine.pip_fails_at = None
    assert venv.main(["lab"]) == 0
    assert venv.is_fresh() and machine.created[-1]["clear"] is False


def test_a_failing_renewal_takes_the_earlier_stamp_away(machine):
    venv.main([])
    (machine.root / "requirements.lock").write_text("torch==2.13.1\n", encoding="utf-8")
    machine.pip_fails_at = 3
    with pytest.raises(SystemExit):
        venv.main([])
    (machine.root / "requirements.lock").write_text("torch==2.13.0\n", encoding="utf-8")
    assert not venv.is_fresh()


def test_ctrl_c_during_the_installation_leaves_no_stamp(machine, monkeypatch):
    def interrupted(command, check=False):
        raise KeyboardInterrupt

    monkeypatch.setattr(venv.subprocess, "run", interrupted)
    with pytest.raises(SystemExit, match="interrupted; run it again"):
        venv.main(["lab"])
    assert not venv.is_fresh()


def test_a_python_that_cannot_make_environments_stops_before_pip(machine):
    machine.no_ensurepip = True
    with pytest.raises(SystemExit, match="the reason is above"):
        venv.main(["lab"])
    assert machine.pips == [] and not venv.is_fresh()


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0)])
def test_a_python_out_of_range_is_named_with_the_remedy(machine, monkeypatch, version):
    monkeypatch.setattr(venv.sys, "version_info", version)
    monkeypatch.setattr(venv.sys, "version", ".".join(map(str, version)) + " (main)")
    with pytest.raises(SystemExit) as end:
        venv.main(["lab"])
    assert f"this is {'.'.join(map(str, version))}." in str(end.value)
    assert "make PYTHON=python3.12 lab" in str(end.value)
    assert not machine.venv.exists()


def test_a_python_too_old_for_the_course_can_still_read_the_script():
    source = Path(venv.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))


def test_arguments_and_exit_code_are_passed_on(machine):
    machine.exit_code = 2
    assert venv.main(["reset", "03", "bonus/topic"]) == 2
    [(command, cwd)] = machine.commands
    python = str(machine.venv / "bin" / "python")
    assert command == [python, "-m", "helpers.commands.cli", "reset", "03", "bonus/topic"]
    assert cwd == machine.root


def test_ctrl_c_waits_for_the_command_s_own_exit_code(machine):
    machine.exit_code = [KeyboardInterrupt, KeyboardInterrupt, 130]
    assert venv.main(["lab"]) == 130


def test_nothing_outside_the_environment_is_written(machine):
    before = machine.files()
    venv.main(["doctor"])
    assert machine.files() == before
    machine.pip_fails_at = len(machine.pips) + 1
    (machine.venv / "course-stamp").unlink()
    with pytest.raises(SystemExit):
        venv.main(["doctor"])
    assert machine.files() == before


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def test_the_script_needs_no_package():
    assert imported(Path(venv.__file__)) <= sys.stdlib_module_names


@pytest.mark.parametrize("name", ["venv", "colab"])
def test_a_script_imports_nothing_that_a_file_beside_it_would_hide(name):
    # The folder of a script comes first on its path, before the standard library.
    folder = Path(venv.__file__).parent
    beside = {path.stem for path in folder.glob("*.py")}
    assert not imported(folder / f"{name}.py") & beside
    assert beside & sys.stdlib_module_names <= {"venv"}


def test_run_as_a_script_it_gives_its_message_to_a_python_out_of_range(tmp_path):
    folder = tmp_path / "helpers" / "course"
    folder.mkdir(parents=True)
    source = Path(venv.__file__).read_text(encoding="utf-8")
    source = source.replace("OLDEST, NEWEST = (3, 11), (3, 13)", "OLDEST, NEWEST = (3, 1), (3, 2)")
    (folder / "venv.py").write_text(source, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, str(folder / "venv.py"), "lab"], capture_output=True, encoding="utf-8"
    )
    assert ended.returncode == 1
    assert "The course needs Python" in ended.stderr and "Traceback" not in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helpers"]


CHILD_THAT_WAITS = "import time; print('up', flush=True); time.sleep(60)"
HANDS_OVER = """
import subprocess, sys
from helpers.commands import venv
real = subprocess.Popen
venv.is_fresh = lambda: True
venv.subprocess.Popen = lambda command, cwd: real([sys.executable, "-c", command[-1]])
sys.exit(venv.main([sys.argv[1]]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGTERM")
def test_an_end_from_outside_ends_the_command_too():
    process = subprocess.Popen(
        [sys.executable, "-c", HANDS_OVER, CHILD_THAT_WAITS],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    # The pipe closes only when the command, which holds it as well, has ended.
    process.communicate(timeout=20)
    assert process.returncode != 0
