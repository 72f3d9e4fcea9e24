"""`course prefetch --wheels`: every package for an offline machine, whatever is there already."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_wheels import Shop, alone_with, write_wheel

from helpers.assets import AssetError
from helpers.commands import cli, wheelhouse
from helpers.commands.wheelhouse import commands, fetch_packages

OTHER = "3.12" if sys.version_info[:2] != (3, 12) else "3.13"


class Index:
    """A folder that pip takes for its index, a lock, and the folder to fill."""

    def __init__(self, root: Path, shop: Shop):
        self.root, self.shelf, self.to = root, shop.wheels, root / "usb"

    def add(self, *names: str, **options) -> None:
        for name in names:
            write_wheel(self.shelf, name, **options)

    def fetch(self, *lines: str, **target) -> set[str]:
        """Fetch what the lock's lines ask for; the names of the wheels that are there."""
        text = "# a comment\n" + "\n".join(lines) + "\n"
        (self.root / "requirements.lock").write_text(text, encoding="utf-8")
        fetch_packages(self.to, root=self.root, **target)
        assert list((self.to / "wheels").glob(".*")) == []
        return self.there()

    def there(self) -> set[str]:
        return {path.name for path in (self.to / "wheels").glob("*.whl")}


@pytest.fixture
def index(tmp_path, monkeypatch) -> Index:
    return Index(tmp_path, Shop(tmp_path, monkeypatch))


def pure(*names: str) -> set[str]:
    return {f"{name}-1.0-py3-none-any.whl" for name in names}


def test_every_package_of_the_lock_is_fetched_and_what_these_ask_for_beyond_it(index, capsys):
    # As a CUDA build of torch does: cuda-toolkit[cublas,...], and a library behind each extra.
    index.add("net", needs=("toolkit[blas]==1.0", "absent ; extra == 'docs'"))
    index.add("toolkit", needs=("blas ; extra == 'blas'", "solver ; extra == 'solver'"))
    index.add("blas", "tool", "unasked", "elsewhere")
    lines = ["net==1.0", "tool==1.0 ; python_version >= '3'", "elsewhere==1.0 ; os_name == 'no'"]
    assert index.fetch(*lines) == pure("net", "toolkit", "blas", "tool")
    assert "All there: 4 packages" in capsys.readouterr().out


def test_a_copy_that_was_cut_off_is_fetched_again_and_a_whole_one_is_not(index, monkeypatch):
    shelf = index.root / "simple"
    for name in ("one", "two"):
        (shelf / name).mkdir(parents=True)
        wheel = write_wheel(shelf / name, name)
        link = f"{wheel.name}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}"
        (shelf / name / "index.html").write_text(f'<a href="{link}">{wheel.name}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", shelf.as_uri())
    index.fetch("one==1.0", "two==1.0")
    one, two = (index.to / "wheels" / name for name in sorted(pure("one", "two")))
    whole, before = one.read_bytes(), two.stat().st_mtime_ns
    one.write_bytes(whole[: len(whole) // 2])
    index.fetch("one==1.0", "two==1.0")
    assert one.read_bytes() == whole and two.stat().st_mtime_ns == before


def test_what_came_before_a_failure_stays_and_the_next_run_goes_on(index):
    names = [f"p{n:02d}" for n in range(wheelhouse.BATCH)]
    index.add(*names)
    (index.to / "wheels" / ".pip-abc").mkdir(parents=True)  # of a run that was killed
    lines = [f"{name}==1.0" for name in [*names, "late"]]
    with pytest.raises(AssetError, match=r"late==1\.0"):
        index.fetch(*lines)
    assert index.there() == pure(*names)
    index.add("late")
    assert index.fetch(*lines) == pure(*names, "late")


def test_no_wheel_for_the_platform_names_what_to_change(index):
    index.add("one", tag="cp311-cp311-win32")
    with pytest.raises(AssetError) as error:
        index.fetch("one==1.0", python="3.12", platform="linux")
    for remedy in ("one==1.0", "--python", "--platform", "PIP_EXTRA_INDEX_URL", "whl/cpu"):
        assert remedy in str(error.value)


def test_a_network_that_is_gone_is_told(index, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip tells the reason when it retries
    with pytest.raises(AssetError, match="Connection refused.*\n.*run the same command again"):
        index.fetch("one==1.0")


def test_a_place_that_cannot_be_written_is_named(index):
    index.to.write_text("a file", encoding="utf-8")
    with pytest.raises(AssetError, match="usb.*\n?.*--to"):
        index.fetch("one==1.0")


@pytest.mark.parametrize(
    ("platform", "fitting", "others"),
    [
        ("linux", "manylinux_2_28_x86_64", ("win_amd64", "macosx_11_0_arm64")),
        ("macos", "macosx_11_0_arm64", ("win_amd64", "manylinux_2_28_x86_64")),
        ("windows", "win_amd64", ("manylinux_2_28_x86_64", "macosx_11_0_arm64")),
    ],
)
def test_packages_for_another_machine(index, platform, fitting, others):
    tag = "cp" + OTHER.replace(".", "")
    for each in (fitting, *others):
        index.add("one", tag=f"{tag}-{tag}-{each}")
    index.add("here", tag=f"cp{sys.version_info[0]}{sys.version_info[1]}-none-any")
    index.add("windows-only", "mac-only", "pure")
    lines = [
        "one==1.0",
        "pure==1.0",
        "windows-only==1.0 ; sys_platform == 'win32' and os_name == 'nt'",
        "mac-only==1.0 ; sys_platform == 'darwin'",
        f"here==1.0 ; python_version != '{OTHER}'",
    ]
    if platform == "linux":
        index.add("torch", version="1.0+cpu")
        lines.append("torch==1.0 ; sys_platform == 'linux'")
    wanted = {
        "linux": {"torch-1.0+cpu-py3-none-any.whl"},
        "macos": pure("mac_only"),
        "windows": pure("windows_only"),
    }[platform]
    wanted |= {f"one-1.0-{tag}-{tag}-{fitting}.whl"} | pure("pure")
    assert index.fetch(*lines, python=OTHER, platform=platform) == wanted


@pytest.mark.parametrize(
    ("python", "expected"), [("3.11", "new"), ("3.11.4", "old"), ("3.12", "new")]
)
def test_a_patch_release_counts_if_it_is_given(index, python, expected):
    index.add("old", "new")
    lines = ["old==1.0 ; python_full_version < '3.11.5'"]
    lines += ["new==1.0 ; python_full_version >= '3.11.5'"]
    assert index.fetch(*lines, python=python) == pure(expected)


def test_the_folder_serves_an_installation_with_nothing_else(index, tmp_path):
    index.add("helper", files={"helper.py": b"VALUE = 7"})
    index.add("one", needs=("helper",), files={"one.py": b"import helper"})
    index.fetch("one==1.0", "helper==1.0")
    target = tmp_path / "site"
    environment = os.environ | alone_with(index.to / "wheels")
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target)]
    command += ["-r", str(index.root / "requirements.lock")]
    subprocess.run(command, env=environment, check=True)
    code = f"import sys; sys.path.insert(0, {str(target)!r}); import one; print(one.helper.VALUE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"


def test_the_commands_set_up_and_open_the_course_from_the_folder(tmp_path):
    first, second = [
        line.strip() for line in commands(tmp_path, "linux").splitlines() if "make" in line
    ]
    assert first == (
        f'PIP_NO_INDEX=1 PIP_FIND_LINKS="{tmp_path}/wheels" COURSE_CACHE="{tmp_path}" make lab'
    )
    assert second == f'COURSE_CACHE="{tmp_path}" make lab'
    windows = commands(tmp_path, "windows")
    assert windows.count("python helpers/commands/venv.py lab") == 2
    assert "$env:PIP_NO_INDEX" in windows
    assert "has none" in commands(tmp_path / "my stick")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--wheels"], "--wheels needs --to DIR"), (["--python", "3.12"], "give --wheels as well")],
)
def test_the_command_says_what_is_missing_before_it_fetches(arguments, said, capsys, index):
    assert cli.main(["prefetch", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_command_fetches_assets_then_packages_and_prints_what_to_do(index, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("helpers.assets.prefetch", lambda names, to: asked.append(to))
    monkeypatch.setattr(
        wheelhouse, "fetch_packages", lambda *where, **target: asked.append((*where, target))
    )
    options = ["--to", str(index.to), "--wheels", "--python", "3.12", "--platform", "macos"]
    assert cli.main(["prefetch", *options]) == 0
    assert asked == [index.to, (index.to, {"python": "3.12", "platform": "macos"})]
    assert "PIP_NO_INDEX=1" in capsys.readouterr().out
