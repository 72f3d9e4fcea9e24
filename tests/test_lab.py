"""`course lab` and `course reset`: a learner's edits are safe, and the server comes and goes."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from fake_wheels import Shop
from notebook_factory import good_notebook, place_of, stamp, write_course

from helpers import notebooks
from helpers.commands import lab
from helpers.runtime import ROOT

NAME = f"{place_of(3)}.ipynb"
EDIT = "answer = 42  # mine"


@pytest.fixture
def course(tmp_path) -> Path:
    """A course of a lesson, a bonus and a solution, in work/ already."""
    every = {place_of(3, kind): good_notebook(3, kind) for kind in ("lesson", "bonus", "solution")}
    root = write_course(tmp_path, **every)
    assert lab.copy_notebooks(root) == []
    return root


def copy_of(root: Path, name: str = NAME):
    return notebooks.read(root / "work" / name)


def edit_copy(root: Path, name: str = NAME) -> bytes:
    """Change a copy as JupyterLab would: same cells, one of them with other code."""
    notebook = copy_of(root, name)
    notebook.cells[5].source = EDIT
    notebooks.write(root / "work" / name, notebook)
    return (root / "work" / name).read_bytes()


def change_course(root: Path, text: str = "A later sentence.", name: str = NAME) -> None:
    path = root / "notebooks" / name
    notebook = notebooks.read(path)
    notebook.cells[-1].source = text
    notebooks.write(path, notebook)


def test_copies_start_without_outputs_counts_and_stamp(course):
    for name in (NAME, "bonus/topic.ipynb", f"solutions/{NAME}"):
        notebook = copy_of(course, name)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert code and all(cell.outputs == [] and cell.execution_count is None for cell in code)
        assert notebooks.STAMP_KEY not in notebook.metadata
        original = notebooks.read(course / "notebooks" / name)
        assert [cell.source for cell in notebook.cells] == [c.source for c in original.cells]
        assert [cell.id for cell in notebook.cells] == [cell.id for cell in original.cells]


def test_the_course_s_own_notebooks_are_only_read(course):
    before = {path: path.read_bytes() for path in notebooks.find(course)}
    edit_copy(course)
    lab.copy_notebooks(course)
    lab.reset(["3"], course)
    assert {path: path.read_bytes() for path in notebooks.find(course)} == before


def test_an_edit_stays_and_nothing_is_said_while_the_course_is_the_same(course):
    mine = edit_copy(course)
    assert lab.copy_notebooks(course) == []
    assert (course / "work" / NAME).read_bytes() == mine


def test_an_edit_stays_after_the_course_changed_and_the_learner_is_told(course):
    mine = edit_copy(course)
    change_course(course)
    for _ in range(2):
        [line] = lab.copy_notebooks(course)
        assert line == f"work/{NAME} is yours and stays; fresh copy: course reset {NAME}"
        assert (course / "work" / NAME).read_bytes() == mine


def test_an_untouched_copy_follows_the_course(course):
    change_course(course, "A later sentence.")
    assert lab.copy_notebooks(course) == []
    assert copy_of(course).cells[-1].source == "A later sentence."
    change_course(course, "A still later one.")
    assert lab.copy_notebooks(course) == []
    assert copy_of(course).cells[-1].source == "A still later one."


def test_other_outputs_in_the_course_change_no_copy(course):
    path = course / "notebooks" / NAME
    notebook = notebooks.read(path)
    notebook.cells[5].outputs[0].text = "other output\n"
    notebooks.write(path, stamp(notebook, seconds=99.0))
    before = (course / "work" / NAME).stat()
    edit_copy(course, "bonus/topic.ipynb")
    assert lab.copy_notebooks(course) == []
    # Not even rewritten: JupyterLab asks about a file that changed under an open notebook.
    after = (course / "work" / NAME).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_copy_the_learner_deleted_comes_back(course):
    (course / "work" / NAME).unlink()
    assert lab.copy_notebooks(course) == []
    assert len(copy_of(course).cells) == len(good_notebook(3).cells)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"03_topic.ipynb": 1}', b"\xff\xfe\x00"])
def test_a_damaged_record_of_copies_loses_no_edit(course, damage):
    mine = edit_copy(course)
    (course / "work" / ".copies.json").write_bytes(damage)
    change_course(course)
    assert [line.split()[0] for line in lab.copy_notebooks(course)] == [f"work/{NAME}"]
    assert (course / "work" / NAME).read_bytes() == mine
    assert (course / "work" / ".copies.damaged").read_bytes() == damage


def test_a_lost_record_is_rebuilt_from_the_copies_that_are_as_the_course_has_them(course):
    (course / "work" / ".copies.json").unlink()
    assert lab.copy_notebooks(course) == []
    change_course(course)
    assert lab.copy_notebooks(course) == []
    assert copy_of(course).cells[-1].source == "A later sentence."


def test_a_copy_that_is_no_text_is_the_learner_s_too(course):
    path = course / "work" / NAME
    path.write_bytes(b"\xff\x00 half a file")
    change_course(course)
    assert len(lab.copy_notebooks(course)) == 1
    assert path.read_bytes() == b"\xff\x00 half a file"


def test_files_that_only_the_learner_has_stay(course):
    own = course / "work" / "bonus" / "my_own.ipynb"
    own.write_text("notes", encoding="utf-8")
    change_course(course)
    lab.copy_notebooks(course)
    assert own.read_text(encoding="utf-8") == "notes"


def test_reset_renames_the_learner_s_version_and_gives_a_fresh_one(course, capsys):
    fresh = (course / "work" / NAME).read_bytes()
    first = edit_copy(course)
    assert lab.reset(["3"], course) == 0
    assert "Your version is now work/03_topic.mine-1.ipynb" in capsys.readouterr().out
    assert (course / "work" / NAME).read_bytes() == fresh
    second = edit_copy(course) + b" "
    (course / "work" / NAME).write_bytes(second)
    assert lab.reset(["03_topic.ipynb"], course) == 0
    assert (course / "work" / "03_topic.mine-1.ipynb").read_bytes() == first
    assert (course / "work" / "03_topic.mine-2.ipynb").read_bytes() == second
    assert (course / "work" / NAME).read_bytes() == fresh


def test_a_copy_made_by_reset_follows_the_course_again(course):
    edit_copy(course)
    change_course(course, "A later sentence.")
    lab.reset(["3"], course)
    change_course(course, "A still later one.")
    assert lab.copy_notebooks(course) == []
    assert copy_of(course).cells[-1].source == "A still later one."


def test_reset_keeps_the_folders_and_touches_only_what_is_named(course):
    mine = edit_copy(course)
    edit_copy(course, "bonus/topic.ipynb")
    edit_copy(course, f"solutions/{NAME}")
    assert lab.reset(["bonus/topic", "solutions/3"], course) == 0
    assert (course / "work" / "bonus" / "topic.mine-1.ipynb").exists()
    assert (course / "work" / "solutions" / "03_topic.mine-1.ipynb").exists()
    assert copy_of(course, "bonus/topic.ipynb").cells[5].source != EDIT
    assert (course / "work" / NAME).read_bytes() == mine
    assert not list((course / "work").glob("*.mine-*"))


def test_reset_works_before_the_first_lab_and_refuses_an_unknown_name(tmp_path):
    root = write_course(tmp_path, **{place_of(3): good_notebook(3)})
    with pytest.raises(ValueError, match="No notebook '7'; there are 03_topic"):
        lab.reset(["7"], root)
    assert not (root / "work").exists()
    assert lab.reset(["3"], root) == 0
    assert lab.copy_notebooks(root) == []


@pytest.mark.parametrize(
    ("user", "platform", "display", "address"),
    [
        (0, "linux", ":0", True),
        (1000, "linux", "", True),
        (1000, "linux", ":0", False),
        (1000, "darwin", "", False),
        (0, "darwin", "", True),
        (None, "win32", "", False),
    ],
)
def test_an_address_is_printed_where_no_browser_can_start(
    monkeypatch, user, platform, display, address
):
    if user is None:
        monkeypatch.delattr(os, "geteuid", raising=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    assert lab.needs_address() is address


def test_wayland_counts_as_a_display(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", "")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert lab.needs_address() is False


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_in_use_is_skipped():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert lab._free_port(port) > port


def test_ports_end_where_ports_end(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect_ex", lambda self, address: 0)
    with pytest.raises(ValueError, match="Ports 65530 to 65535 are all in use"):
        lab._free_port(65530)
    with pytest.raises(ValueError, match="no port 70000"):
        lab._free_port(70000)


class Terminal:
    """A `course lab` in a process of its own, in a tree of its own."""

    def __init__(self, root: Path, port: int, **environment: str):
        shutil.copytree(ROOT / "helpers", root / "helpers", ignore=lab_ignores)
        command = [sys.executable, "-m", "helpers.commands.cli", "lab", "--no-browser"]
        # As in a terminal: a test run in the background would pass an ignored SIGINT on.
        heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
        self.process = subprocess.Popen(
            [*command, f"--port={port}"],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            preexec_fn=heard,
        )
        self.family: list[psutil.Process] = []

    def address(self) -> str:
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                # The server; what it starts for a moment to look around is not waited for.
                self.family = psutil.Process(self.process.pid).children()
                return found[0]
        raise AssertionError("the server ended without an address")

    def end(self, sent: int) -> tuple[int, float, str]:
        """Send a signal; returns the exit code, the seconds it took, and what was still said."""
        start = time.monotonic()
        self.process.send_signal(sent)
        try:
            said, _ = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.left_behind()
            raise
        return self.process.returncode, time.monotonic() - start, said

    def left_behind(self) -> list[psutil.Process]:
        """Processes of this lab that still run, after a moment to end."""
        _, alive = psutil.wait_procs(self.family, timeout=3)
        for process in alive:  # a failing test leaves nothing behind either
            process.kill()
        return alive


def lab_ignores(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]


def get(address: str):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.status, answer.read()


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_lab_serves_the_copies_at_the_printed_address_until_ctrl_c(tmp_path, monkeypatch):
    shop = Shop(tmp_path, monkeypatch)
    shop.add("reviews")
    root = write_course(tmp_path / "course", **{"00_start_here": good_notebook(0)})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        terminal = Terminal(root, port)
        try:
            address = terminal.address()
            server, token = address.split("/lab/")[0], address.partition("token=")[2]
            assert server != f"http://127.0.0.1:{port}"  # that one was taken
            assert get(address)[0] == 200
            status, body = get(f"{server}/api/contents?token={token}")
            assert status == 200
            assert "00_start_here.ipynb" in [item["name"] for item in json.loads(body)["content"]]
            with pytest.raises(urllib.error.HTTPError, match="403"):
                get(f"{server}/api/contents")
            [command] = [child.cmdline() for child in terminal.family]
            assert "jupyterlab" in command and token not in " ".join(command)
        finally:
            code, seconds, said = terminal.end(signal.SIGINT)
    assert code == 0 and seconds < 10
    assert "Traceback" not in said and "y/[n]" not in said
    assert terminal.family and terminal.left_behind() == []
    assert (shop.cache / "reviews" / "a.bin").exists()
    assert (root / "work" / "00_start_here.ipynb").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGTERM")
def test_a_terminated_lab_leaves_no_server_and_missing_reviews_do_not_keep_it_shut(
    tmp_path, monkeypatch
):
    shop = Shop(tmp_path, monkeypatch)
    shop.add("reviews")
    shop.remove_wheel("reviews")
    root = write_course(tmp_path / "course", **{"00_start_here": good_notebook(0)})
    terminal = Terminal(root, unused_port())
    try:
        assert get(terminal.address())[0] == 200
    finally:
        code, seconds, said = terminal.end(signal.SIGTERM)
    assert code == 0 and seconds < 10 and "Traceback" not in said
    assert terminal.family and terminal.left_behind() == []


def test_lab_hands_on_the_exit_code_of_a_server_that_cannot_start(tmp_path, monkeypatch, capsys):
    shop = Shop(tmp_path, monkeypatch)
    shop.add("reviews")
    root = write_course(tmp_path / "course", **{"00_start_here": good_notebook(0)})
    dead = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(lab, "_server_command", lambda *settings: dead)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert lab.lab(open_browser=False, port=unused_port(), root=root) == 3
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "open at" not in capsys.readouterr().out
