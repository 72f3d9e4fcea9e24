"""`course lab` and `course reset`: a learner's edits are safe, and JupyterLab opens on them."""

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


def test_a_copy_is_written_as_nbformat_writes_it():
    for path in notebooks.find(ROOT):
        notebook = notebooks.read(path)
        notebooks.clear(notebook)
        assert notebooks.stripped(path) == notebooks.text_of(notebook), path.name


def test_the_course_s_own_notebooks_are_only_read(course):
    before = {path: path.read_bytes() for path in notebooks.find(course)}
    edit_copy(course)
    lab.copy_notebooks(course)
    lab.reset(["3"], course)
    assert {path: path.read_bytes() for path in notebooks.find(course)} == before


def test_an_edit_stays_and_is_spoken_of_only_once_the_course_has_changed(course):
    mine = edit_copy(course)
    assert lab.copy_notebooks(course) == []
    assert (course / "work" / NAME).read_bytes() == mine
    change_course(course)
    for _ in range(2):
        [line] = lab.copy_notebooks(course)
        assert f"work/{NAME}" in line and f"course reset {NAME}" in line
        assert (course / "work" / NAME).read_bytes() == mine


def test_a_copy_that_is_untouched_deleted_or_reset_follows_the_course(course):
    edits = {
        "untouched": lambda: None,
        "deleted": (course / "work" / NAME).unlink,
        "reset": lambda: (edit_copy(course), lab.reset(["3"], course)),
    }
    for text, edit in edits.items():
        edit()
        change_course(course, text)
        assert lab.copy_notebooks(course) == []
        assert copy_of(course).cells[-1].source == text


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


@pytest.mark.parametrize("damage", [b"", b"[]", b"\xff\xfe\x00"])
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


def test_what_only_the_learner_has_stays_even_if_it_is_no_notebook(course):
    own, broken = course / "work" / "bonus" / "my_own.ipynb", course / "work" / NAME
    for path in (own, broken):
        path.write_bytes(b"\xff\x00 half a file")
    change_course(course)
    assert len(lab.copy_notebooks(course)) == 1
    assert own.read_bytes() == broken.read_bytes() == b"\xff\x00 half a file"


def test_reset_renames_the_learner_s_version_and_gives_a_fresh_one(course, capsys):
    fresh = (course / "work" / NAME).read_bytes()
    first = edit_copy(course)
    assert lab.reset(["3"], course) == 0
    assert "work/03_topic.mine-1.ipynb" in capsys.readouterr().out
    assert (course / "work" / NAME).read_bytes() == fresh
    second = edit_copy(course) + b" "
    (course / "work" / NAME).write_bytes(second)
    assert lab.reset(["03_topic.ipynb"], course) == 0
    assert (course / "work" / "03_topic.mine-1.ipynb").read_bytes() == first
    assert (course / "work" / "03_topic.mine-2.ipynb").read_bytes() == second
    assert (course / "work" / NAME).read_bytes() == fresh


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
    with pytest.raises(ValueError, match="'7'.*03_topic"):
        lab.reset(["7"], root)
    assert not (root / "work").exists()
    assert lab.reset(["3"], root) == 0
    assert lab.copy_notebooks(root) == []


def run_lab(root: Path, *options: str, **environment: str) -> subprocess.Popen:
    """Run `course lab` in a course of its own; as from a terminal, SIGINT is heard."""
    shutil.copytree(ROOT / "helpers", root / "helpers")
    own = os.environ | {"PYTHONPATH": str(root)} | environment
    return subprocess.Popen(
        [sys.executable, "-m", "helpers.commands.cli", "lab", *options],
        cwd=root,
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def get(address: str) -> dict:
    """Ask until the server, which prints its address a moment before, listens."""
    for _ in range(50):
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.URLError as error:
            refused = error
            time.sleep(0.2)
    raise refused


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A course of one notebook, whose reviews cannot be had."""
    shop = Shop(tmp_path, monkeypatch)
    shop.add("reviews")
    shop.remove_wheel("reviews")
    return write_course(tmp_path / "course", **{"00_start_here": good_notebook(0)})


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_jupyterlab_opens_the_copies_at_the_address_it_prints_until_ctrl_c(small):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        own = {"JUPYTER_CONFIG_DIR": str(small / "mine")}
        process = run_lab(small, "--no-browser", f"--port={port}", **own)
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if found := re.search(r"http://127\S+", line):
                    break
            address, token = found[0].split("?token=")
            server, page = address.split("/lab/")
            assert page == "tree/START_HERE.md"
            assert server != f"http://127.0.0.1:{port}"  # that one was taken
            contents = get(f"{server}/api/contents?token={token}")["content"]
            tracker = "@jupyterlab/notebook-extension:tracker"
            settings = get(f"{server}/lab/api/settings/{tracker}?token={token}")["schema"]
            layout = get(f"{server}/lab/api/workspaces/default?token={token}")["data"]
            time.sleep(2)  # while its extensions still start, JupyterLab needs a second Ctrl-C
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "00_start_here.ipynb" in [item["name"] for item in contents]
    assert "y/[n]" not in rest
    assert settings["properties"]["windowingMode"]["default"] == "none"
    assert layout["layout-restorer:data"]["left"]["current"] == lab.CONTENTS
    assert not list((small / "mine").rglob("*.jupyterlab-*"))  # the user's own settings
    assert any("reviews are not here yet" in line for line in said)


def test_the_course_s_defaults_come_before_the_user_s_and_a_changed_layout_stays(small):
    (small / "jupyterlab.py").write_text(
        "import os; print(os.environ['JUPYTER_CONFIG_PATH'])", encoding="utf-8"
    )
    layout = small / "work" / ".jupyter" / "layouts" / "default-37a8.jupyterlab-workspace"
    said, _ = run_lab(small, JUPYTER_CONFIG_PATH="theirs").communicate(timeout=60)
    first, *others = said.splitlines()[-1].split(os.pathsep)
    defaults = Path(first, "labconfig", "default_setting_overrides.json").read_text("utf-8")
    news = json.loads(defaults)["@jupyterlab/apputils-extension:notification"]["fetchNews"]
    assert news == "false" and others == ["theirs"]
    layout.write_text("{}", encoding="utf-8")
    shutil.rmtree(small / "helpers")
    run_lab(small).communicate(timeout=60)
    assert layout.read_text(encoding="utf-8") == "{}"


def test_the_first_page_leads_to_every_lesson(course):
    bert = stamp(good_notebook(4))
    notebooks.write(course / "notebooks" / "04_bert.ipynb", bert)
    lab.copy_notebooks(course)
    page = (course / "work" / lab.FIRST_PAGE).read_text(encoding="utf-8")
    found = dict(re.findall(r"\]\(([^)]+)\) \| \*(\w+)\*", page))
    assert found == {NAME: "further", "04_bert.ipynb": "core", "bonus/topic.ipynb": "further"}
    assert f"Begin with [A topic (2013-2015)]({NAME})" in page
    assert all((course / "work" / name).exists() for name in found)


SHOWS = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.mark.parametrize(
    ("options", "display", "browser"),
    [((), "WAYLAND_DISPLAY", True), ((), "", False), (("--no-browser",), "DISPLAY", False)],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is a display")
def test_a_browser_is_started_where_one_can_be(small, monkeypatch, options, display, browser):
    (small / "jupyterlab.py").write_text(SHOWS, encoding="utf-8")  # in the place of the real one
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, ":0" if name == display else "")
    said, _ = run_lab(small, *options).communicate(timeout=60)
    arguments = json.loads(said.splitlines()[-1])
    as_root = os.geteuid() == 0
    assert ("--no-browser" in arguments) == (as_root or not browser)
    assert ("--allow-root" in arguments) == as_root
