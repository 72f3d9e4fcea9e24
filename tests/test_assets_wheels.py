"""Whatever pip is set to on a learner's machine, the download works or says why not."""

import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_wheels import Shop

from helpers import assets
from helpers.assets import wheels as wheels_module

FAKE_PIP = """
import pathlib, sys, time
arguments = sys.argv[1:]
if "config" in arguments:
    raise SystemExit(0)
destination = pathlib.Path(arguments[arguments.index("--dest") + 1])
{body}
"""


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def fake_pip(tmp_path, monkeypatch, body: str) -> Path:
    script = tmp_path / "fake_pip.py"
    script.write_text(FAKE_PIP.format(body=body), encoding="utf-8")
    monkeypatch.setattr(wheels_module, "_pip", lambda: [sys.executable, str(script)])
    staging = tmp_path / "staging"
    staging.mkdir()
    return staging


def test_settings_for_other_purposes_cannot_break_a_download(shop, monkeypatch, tmp_path):
    shop.add("tiny")
    hostile = {
        "REQUIRE_HASHES": "1",
        "TARGET": str(tmp_path / "elsewhere"),
        "DEST": str(tmp_path / "elsewhere"),
        "NO_BINARY": ":all:",
        "CONSTRAINT": str(tmp_path / "no-such-constraints.txt"),
        "REQUIREMENT": str(tmp_path / "no-such-requirements.txt"),
        "REQUIRE_VIRTUALENV": "1",
        "PLATFORM": "win_arm64",
        "QUIET": "3",
        "LOG": str(tmp_path / "absent" / "pip.log"),
        "PROGRESS_BAR": "nonsense",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    assert (assets.path("tiny") / "b.txt").read_bytes() == shop.members["b.txt"]
    assert not (tmp_path / "elsewhere").exists()


def test_a_hostile_configuration_file_is_read_for_its_sources_only(shop, monkeypatch, tmp_path):
    shop.add("tiny")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.delenv("PIP_NO_INDEX")
    lines = [
        "[global]",
        "constraint = no-such-constraints.txt",
        "require-hashes = true",
        "no-binary = :all:",
        "quiet = 2",
        "no-index = true",
        f"find-links = {tmp_path / 'wrong'}",
        "[download]",
        f"find-links = {shop.wheels}",
        "dest = elsewhere",
    ]
    (tmp_path / "pip.conf").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert assets.path("tiny").is_dir()


def test_flags_follow_pips_own_order_of_strength(shop, monkeypatch, tmp_path):
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    text = (
        "[global]\nindex-url = https://weak.example/simple\ntimeout = 7\n"
        "extra-index-url =\n    https://one.example/simple\n    https://two.example/simple\n"
        "trusted-host = one.example two.example\nno-index = true\n"
        "[download]\nindex-url = https://middle.example/simple\nretries = 2\n"
        "[install]\nproxy = http://never.example\n"
    )
    (tmp_path / "pip.conf").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "9")
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_CERT", "my ca.pem")
    flags = wheels_module.connection_flags()
    pairs = set(zip(flags[::2], flags[1::2], strict=True))
    assert pairs == {
        ("--index-url", "https://middle.example/simple"),
        ("--extra-index-url", "https://one.example/simple"),
        ("--extra-index-url", "https://two.example/simple"),
        ("--trusted-host", "one.example"),
        ("--trusted-host", "two.example"),
        ("--timeout", "9"),
        ("--retries", "2"),
        ("--cert", "my ca.pem"),
    }
    monkeypatch.setenv("PIP_INDEX_URL", "https://strong.example/simple")
    assert "https://strong.example/simple" in wheels_module.connection_flags()


def test_no_index_without_a_folder_of_wheels_is_a_clear_error(shop, monkeypatch):
    shop.add("tiny")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(assets.AssetError) as caught:
        assets.path("tiny")
    assert "No matching distribution" in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)  # the index was never asked
    assert "PIP_NO_INDEX" in str(caught.value) and "PIP_FIND_LINKS" in str(caught.value)


def test_a_broken_pip_configuration_is_reported_as_such(shop, monkeypatch, tmp_path):
    shop.add("tiny")
    (tmp_path / "pip.conf").write_text("no section = here\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(assets.AssetError, match="pip cannot read its settings"):
        assets.path("tiny")


def test_a_wheel_that_is_no_zip_file_is_refused(shop):
    shop.add("tiny")
    next(shop.wheels.iterdir()).write_bytes(b"<html>please log in</html>")
    with pytest.raises(assets.AssetError, match="tiny-pkg==1.0"):
        assets.path("tiny")
    assert list((shop.cache / "tiny").iterdir()) == []


def test_pips_full_disk_becomes_the_error_of_a_full_disk(shop, monkeypatch, tmp_path):
    shop.add("tiny")
    body = 'print("ERROR: Could not install: [Errno 28] No space left on device"); sys.exit(1)'
    fake_pip(tmp_path, monkeypatch, body)
    with pytest.raises(assets.AssetError, match="too full.*COURSE_CACHE"):
        assets.path("tiny")
    assert not list(shop.cache.glob("*staging*"))


def test_connection_trouble_is_reported_with_pips_last_word_and_without_passwords(
    tmp_path, monkeypatch
):
    body = (
        'print("WARNING: Retrying after connection broken by X: https://me:pw@index.example/");'
        'print("ERROR: No matching distribution found for tiny"); sys.exit(1)'
    )
    staging = fake_pip(tmp_path, monkeypatch, body)
    with pytest.raises(wheels_module.PipError) as caught:
        wheels_module.download_wheel("tiny==1", staging, 10, "tiny")
    text = str(caught.value)
    assert "connection broken" in text and "No matching distribution" in text
    assert "index.example" in text and "pw" not in text


class Bar:
    """A progress bar that remembers."""

    last: "Bar"

    def __init__(self, total, **options):
        self.total, self.n, self.seen, self.options = total, 0, [], options
        Bar.last = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, more):
        self.n += more
        self.seen.append(self.n)


def test_the_bar_follows_the_bytes_on_disk_and_ends_at_the_total(tmp_path, monkeypatch):
    body = (
        'part = destination / "a-1-py3-none-any.whl"\n'
        'part.write_bytes(b"x" * 400); time.sleep(0.6); part.write_bytes(b"x" * 1000)'
    )
    staging = fake_pip(tmp_path, monkeypatch, body)
    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    wheel = wheels_module.download_wheel("a==1", staging, 1000, "a")
    assert wheel.stat().st_size == 1000
    assert 400 in Bar.last.seen and Bar.last.n == 1000


def test_an_interrupt_ends_pip_too(tmp_path, monkeypatch):
    staging = fake_pip(tmp_path, monkeypatch, "time.sleep(60)")
    started: list[subprocess.Popen] = []
    real = subprocess.Popen

    class Watched(real):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Watched)
    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        wheels_module.download_wheel("a==1", staging, 1000, "a")
    assert started[-1].returncode is not None


def test_pips_settings_are_read_when_pip_is_told_to_be_quiet(shop, monkeypatch, tmp_path):
    (tmp_path / "pip.conf").write_text(
        "[global]\nquiet = 2\nproxy = http://p.example\n", encoding="utf-8"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert "http://p.example" in wheels_module.connection_flags()


def test_a_full_disk_in_pip_is_an_os_error(tmp_path, monkeypatch):
    body = 'print("OSError: [Errno 28] No space left on device"); sys.exit(2)'
    staging = fake_pip(tmp_path, monkeypatch, body)
    with pytest.raises(OSError) as caught:
        wheels_module.download_wheel("a==1", staging, 1000, "a")
    assert caught.value.errno == errno.ENOSPC
