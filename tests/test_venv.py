"""`make lab` on a bare machine: the environment is made once, whole or not at all."""

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fake_wheels import alone_with, write_wheel
from packaging.requirements import Requirement

from helpers.commands import venv

SCRIPT = Path(venv.__file__)
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small-course"
version = "1"
"""
BACKEND = """\
from pathlib import Path
from fake_wheels import write_wheel

def build_editable(folder, settings=None, metadata=None):
    place = {"small_course.pth": str(Path.cwd()).encode()}
    return write_wheel(Path(folder), "small-course", "1", files=place).name
"""
COMMAND = """\
import os, sys
from a_package import here
print(os.getpid(), *sys.argv[1:])
sys.exit(int(sys.argv[-1]) if sys.argv[-1].isdecimal() else 0)
"""


class Machine:
    """A small course in a folder of its own, with an index of tiny wheels."""

    def __init__(self, root: Path):
        self.root, self.shelf = root / "course", root / "shelf"
        self.venv = self.root / ".venv"
        self.script = self.root / "helpers" / "commands" / "venv.py"
        self.script.parent.mkdir(parents=True)
        self.shelf.mkdir()
        shutil.copy(SCRIPT, self.script)
        (self.script.parent / "cli.py").write_text(COMMAND, encoding="utf-8")
        self.lock = self.root / "requirements.lock"
        self.lock.write_text("a-package==1.0\n", encoding="utf-8")
        write_wheel(self.shelf, "a-package", files={"a_package.py": b"here = True"})
        (self.root / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        (self.root / "backend.py").write_text(BACKEND, encoding="utf-8")
        shutil.copy(Path(__file__).with_name("fake_wheels.py"), self.root)

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
        own |= alone_with(self.shelf) | {"PYTHONDONTWRITEBYTECODE": "1"} | settings
        return subprocess.Popen(
            [sys.executable, str(self.script), *arguments],
            env=own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a run to its end."""
        process = self.start(*arguments, **settings)
        out, errors = process.communicate(timeout=240)
        return process.returncode, out, errors

    def sets_up(self) -> bool:
        """Run the script; whether it found the environment stale."""
        code, out, errors = self.run()
        assert code == 0, errors
        return "Setting up" in out

    def marked(self) -> Path:
        """A file that is there until the environment is made from an empty folder."""
        (self.venv / "mark").touch()
        return self.venv / "mark"

    def files(self) -> dict[str, bytes]:
        """Everything outside `.venv/`."""
        found = [p for p in self.root.rglob("*") if p.is_file() and self.venv not in p.parents]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}


posix = pytest.mark.skipif(os.name == "nt", reason="sends signals")


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    """A machine that is set up; every test leaves it so."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    before = machine.files()
    assert machine.sets_up()
    assert machine.files() == before
    return machine


@pytest.mark.slow
@posix
def test_a_finished_environment_is_made_once_and_the_command_takes_the_process_over(machine):
    process = machine.start("reset", "03", "2")
    out, errors = process.communicate(timeout=60)
    # The same process: a signal for `make lab` is a signal for the command itself.
    assert out == f"{process.pid} reset 03 2\n", errors
    assert process.returncode == 2


@pytest.mark.slow
@posix
@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_file_makes_it_stale_and_what_fits_is_kept(machine, name):
    mark, path = machine.marked(), machine.root / name
    path.write_text(path.read_text(encoding="utf-8") + "# more\n", encoding="utf-8")
    assert machine.sets_up() and mark.exists()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # as another system writes it
    assert not machine.sets_up()


@pytest.mark.slow
@posix
@pytest.mark.parametrize("change", ["another version", "no Python in it"])
def test_an_environment_of_another_python_is_made_from_an_empty_folder(machine, change):
    mark = machine.marked()
    if change == "another version":
        (machine.venv / "pyvenv.cfg").write_text("version = 3.10.1\n", encoding="utf-8")
        (machine.venv / "course-stamp").unlink()
    else:
        (machine.venv / "bin" / "python").unlink()
    assert machine.sets_up() and not mark.exists()
    assert not machine.sets_up()


@pytest.mark.slow
@posix
def test_an_installation_that_fails_is_stale_until_the_same_command_has_completed_it(machine):
    right = machine.lock.read_bytes()
    machine.lock.write_text("a-package==1.0\nlate==1.0\n", encoding="utf-8")
    code, out, errors = machine.run("lab")
    assert code == 1 and "lab" not in out
    assert "No matching distribution" in errors and "run the same command again" in errors
    assert "Traceback" not in errors
    machine.lock.write_bytes(right)
    assert machine.sets_up()  # the earlier stamp does not count any more
    machine.lock.write_text("a-package==1.0\nlate==1.0\n", encoding="utf-8")
    mark = machine.marked()
    write_wheel(machine.shelf, "late")
    code, out, _ = machine.run("lab")
    assert code == 0 and out.endswith("lab\n") and mark.exists()


@pytest.mark.slow
@posix
def test_ctrl_c_during_the_installation_leaves_it_stale(machine):
    machine.lock.write_text("a-package==1.1\n", encoding="utf-8")
    with socket.socket() as silent:  # an index that never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        process = machine.start("lab", PIP_NO_INDEX="0", PIP_INDEX_URL=index)
        silent.accept()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "run it again" in errors and "Traceback" not in errors
    machine.lock.write_text("a-package==1.0\n", encoding="utf-8")
    assert machine.sets_up()


@posix
def test_a_python_out_of_range_is_named_with_the_remedy(tmp_path):
    machine = Machine(tmp_path)
    source = machine.script.read_text(encoding="utf-8")
    source = source.replace("OLDEST, NEWEST = (3, 11), (3, 14)", "OLDEST, NEWEST = (3, 1), (3, 2)")
    machine.script.write_text(source, encoding="utf-8")
    code, _, errors = machine.run("lab")
    assert code == 1 and "Traceback" not in errors
    assert f"this is {sys.version.split()[0]}." in errors
    assert "make PYTHON=python3.12 lab" in errors
    assert not machine.venv.exists()


INSTALLS = [["-r", str(venv.ROOT / "requirements.lock")]]
INSTALLS += [["--no-deps", "--no-build-isolation", "--editable", str(venv.ROOT)]]
CPU = ["--no-deps", "--index-url", "https://download.pytorch.org/whl/cpu", "torch==2.13.0"]
BARE = ("linux", {}, "global.cert='/etc/a.crt'\nglobal.timeout='60'\n", False)


def pip_arguments(*machine) -> list[list[str]]:
    """What pip would be told on a machine: system, variables, pip's settings, whether a driver."""
    commands = venv.pip_commands("py", venv.takes_cpu_build(*machine))
    start = ["py", "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    assert all(command[: len(start)] == start for command in commands)
    return [command[len(start) :] for command in commands]


def test_linux_without_a_driver_takes_torch_alone_from_the_cpu_index():
    assert pip_arguments(*BARE) == [CPU, *INSTALLS]
    # What it installs then fits the lock and the project.
    for name in ("requirements.lock", "pyproject.toml"):
        found = re.findall(r'^ *"?(torch[=>]=[^";\n]+)', (venv.ROOT / name).read_text(), re.M)
        assert [Requirement(line).specifier.contains("2.13.0+cpu") for line in found] == [True]


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, "darwin"), (0, "win32"), (3, True)]
    + [(1, {name: "x"}) for name in ("CONDA_PREFIX", "COLAB_RELEASE_TAG")]
    + [
        (2, f"a.b='c'\n{where}.{key}='x'\n")
        for where in ("global", "install", ":env:")
        for key in ("index-url", "extra-index-url", "no-index", "find-links")
    ],
)
def test_elsewhere_and_with_an_index_of_the_user_s_own_pip_is_told_nothing_more(place, value):
    machine = list(BARE)
    machine[place] = value
    assert pip_arguments(*machine) == INSTALLS


@pytest.mark.parametrize("kind", ["variable", "file"])
def test_an_index_of_the_user_s_own_is_seen_where_pip_keeps_it(kind, tmp_path):
    own = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    config = tmp_path / "pip.conf"
    config.write_text("[install]\nextra_index_url = file:///mirror\n" if kind == "file" else "")
    own |= {"PIP_CONFIG_FILE": str(config)} | ({} if kind == "file" else {"PIP_FIND_LINKS": "x"})
    listed = [sys.executable, "-m", "pip", "config", "list"]
    settings = subprocess.run(listed, env=own, capture_output=True, text=True, check=True).stdout
    assert not venv.takes_cpu_build("linux", {}, settings, False)


@pytest.mark.slow
@posix
def test_a_cpu_index_out_of_reach_is_told_with_what_to_do(machine):
    own = {path: path.read_text(encoding="utf-8") for path in (machine.script, machine.lock)}
    machine.lock.write_text("torch==1.0\n", encoding="utf-8")
    source = own[machine.script]
    source = source.replace("https://download.pytorch.org/whl/cpu", "http://127.0.0.1:9/cpu")
    source = source.replace('DRIVER = ("/proc', 'DRIVER = ("/no').replace('"/usr/lib', '"/no')
    machine.script.write_text(source.replace('which("nvidia-smi")', 'which("no-such-program")'))
    nowhere = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0", "CONDA_PREFIX": ""}
    code, _, errors = machine.run("lab", **nowhere)
    assert code == 1 and "Traceback" not in errors
    for remedy in ("PIP_INDEX_URL", "-m pip install torch==1.0", "run the same command again"):
        assert remedy in errors
    write_wheel(machine.shelf, "torch", files={"a_package.py": b"here = True"})
    assert machine.run("lab")[0] == 0  # with an index of the user's own
    for path, text in own.items():
        path.write_text(text, encoding="utf-8")
    assert machine.sets_up()


def test_a_python_too_old_for_the_course_can_still_read_the_script():
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    ("name", "more"),
    [("venv", set()), ("colab", {"packaging"})],
)
def test_a_script_needs_no_package_and_nothing_that_a_file_beside_it_would_hide(name, more):
    found = imported(SCRIPT.with_name(f"{name}.py"))
    assert found <= {*sys.stdlib_module_names, *more}
    # The folder of a script comes first on its path, before the standard library.
    beside = {path.stem for path in SCRIPT.parent.glob("*.py")}
    assert not found & beside
    assert beside & sys.stdlib_module_names <= {"venv"}
