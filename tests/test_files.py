"""A file is there whole or not at all, and is made by one process at a time."""

import os
import subprocess
import sys

import pytest

from helpers.files import locked, write_text

HOLDS = """
import sys, time
from pathlib import Path
from helpers.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(3)
    Path(sys.argv[1]).write_text("made", encoding="utf-8")
"""


def test_a_text_is_written_as_it_is_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "ä\nb\r\n")
    assert path.read_bytes() == "ä\nb\r\n".encode()


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_second_process_waits_until_the_first_is_done_and_says_so_once(tmp_path, capsys):
    path = tmp_path / "new" / "a.txt"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with locked(path):
            assert path.read_text(encoding="utf-8") == "made"
    assert capsys.readouterr().err == "Another process is writing a.txt: waiting for it.\n"
