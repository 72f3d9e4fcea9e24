"""A file is there whole or not at all."""

import os

import pytest

from helpers.files import write_text


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
