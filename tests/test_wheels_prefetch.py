"""`course prefetch --wheels`: every package for an offline machine, whatever is there already."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fake_wheels import Shop
from packaging.requirements import Requirement

from helpers.assets import AssetError
from helpers.commands import cli, wheelhouse
from helpers.commands.wheelhouse import Target, commands, fetch_packages
from helpers.runtime import ROOT

OTHER = "3.12" if sys.version_info[:2] != (3, 12) else "3.13"


class Index:
    """A folder that pip takes for its index, a lock, and the folder to fill."""

    def __init__(self, root: Path, shop: Shop):
        self.shelf, self.lock, self.to = shop.wheels, root / "requirements.lock", root / "usb"
        self.said: list[str] = []

    def add(self, name: str, version="1.0", tag="py3-none-any", needs=(), code="") -> Path:
        """Offer a wheel; `needs` are its Requires-Dist lines."""
        module = name.replace("-", "_")
        wheel = self.shelf / f"{module}-{version}-{tag}.whl"
        info = f"{module}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {line}\n" for line in needs)
        tags = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as package:
            package.writestr(f"{module}.py", code)
            package.writestr(f"{info}/METADATA", metadata)
            package.writestr(f"{info}/WHEEL", tags)
            package.writestr(f"{info}/RECORD", "")
        return wheel

    def fetch(self, *lines: str, **target) -> set[str]:
        """Fetch what the lock's lines ask for; the names of the wheels that are there."""
        self.lock.write_text("# a comment\n" + "\n".join(lines) + "\n", encoding="utf-8")
        folder = fetch_packages(self.to, Target(**target), self.lock, self.said.append)
        assert folder == self.to / "wheels"
        assert list(folder.glob(".fetching-*")) == []
        return self.there()

    def there(self) -> set[str]:
        return {path.name for path in (self.to / "wheels").glob("*.whl")}


@pytest.fixture
def index(tmp_path, monkeypatch) -> Index:
    return Index(tmp_path, Shop(tmp_path, monkeypatch))


def pure(*names: str) -> set[str]:
    return {f"{name}-1.0-py3-none-any.whl" for name in names}


def test_every_package_of_the_lock_is_fetched(index):
    index.add("one"), index.add("two"), index.add("unasked")
    assert index.fetch("one==1.0", "two==1.0") == pure("one", "two")
    assert index.said[-1].startswith("All there: 2 packages for Python 3.")


def test_lines_for_another_system_or_python_are_left_out(index):
    index.add("one"), index.add("two")
    lines = ["one==1.0 ; python_version >= '3.11'", "two==1.0 ; python_version < '3.11'"]
    assert index.fetch(*lines, "two==1.0 ; sys_platform == 'no-such'") == pure("one")


def test_what_a_wheel_asks_for_beyond_the_lock_comes_too_and_so_on(index):
    # As a CUDA build of torch does: the lock lists none of its libraries.
    index.add("net", needs=["cuda-runtime==1.0", "absent ; extra == 'docs'", "tool>=1"])
    index.add("cuda-runtime", needs=["cuda-base>=0.5; python_version > '3'"])
    index.add("cuda-base"), index.add("tool")
    assert index.fetch("net==1.0", "tool==1.0") == pure("net", "cuda_runtime", "cuda_base", "tool")


def test_extras_that_a_wheel_asks_for_come_with_what_stands_behind_them(index):
    # As torch asks for cuda-toolkit[cublas,...]; behind each extra stands a library.
    index.add("net", needs=["toolkit[blas,fft]==1.0"])
    index.add("toolkit", needs=["blas ; extra == 'blas'", "fft ; extra == 'fft'",
                                "solver ; extra == 'solver'"])  # fmt: skip
    index.add("blas", needs=["toolkit[nvcc]==1.0"]), index.add("fft")
    assert index.fetch("net==1.0") == pure("net", "toolkit", "blas", "fft")


def test_a_local_build_is_preferred_and_satisfies_the_pin(index):
    index.add("net"), index.add("net", version="1.0+cpu")
    assert index.fetch("net==1.0") == {"net-1.0+cpu-py3-none-any.whl"}
    assert index.fetch("net==1.0") == {"net-1.0+cpu-py3-none-any.whl"}


def test_what_is_there_is_not_fetched_again_even_without_an_index(index):
    index.add("one"), index.add("two")
    index.fetch("one==1.0", "two==1.0")
    for wheel in index.shelf.iterdir():
        wheel.unlink()
    assert index.fetch("one==1.0", "two==1.0") == pure("one", "two")
    assert "2 of 2 packages are there already." in index.said


def test_a_wheel_that_was_cut_off_is_fetched_again(index):
    whole = index.add("one").read_bytes()
    index.fetch("one==1.0")
    [copy] = (index.to / "wheels").iterdir()
    copy.write_bytes(whole[: len(whole) // 2])
    index.fetch("one==1.0")
    assert copy.read_bytes() == whole


def test_what_came_before_a_failure_stays_and_the_next_run_goes_on(index, monkeypatch):
    monkeypatch.setattr(wheelhouse, "BATCH", 1)
    index.add("one")
    with pytest.raises(AssetError, match="two==1.0 has no wheel for Python"):
        index.fetch("one==1.0", "two==1.0")
    assert index.there() == pure("one")
    index.add("two")
    assert index.fetch("one==1.0", "two==1.0") == pure("one", "two")
    assert "1 of 2 packages are there already." in index.said


def test_leftovers_of_a_killed_run_are_swept(index):
    index.add("one")
    (index.to / "wheels" / ".fetching-abc" / "wheel").mkdir(parents=True)
    index.fetch("one==1.0")  # looks for leftovers itself


def test_no_wheel_for_the_platform_names_what_to_change(index):
    index.add("one", tag="cp311-cp311-win32")
    with pytest.raises(AssetError) as error:
        index.fetch("one==1.0", python="3.12", platform="linux")
    message = str(error.value)
    assert "has no wheel for Python 3.12 on linux" in message
    for remedy in ("--python", "--platform", "PIP_EXTRA_INDEX_URL", "whl/cpu"):
        assert remedy in message


def test_a_network_that_is_gone_is_told_apart(index, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX"), monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip tells the reason when it retries
    with pytest.raises(AssetError) as error:
        index.fetch("one==1.0")
    assert "The package index cannot be reached" in str(error.value)
    assert "run the same command again" in str(error.value)


def test_a_full_disk_says_how_much_is_needed_and_where(index, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wheelhouse, "download", full)
    with pytest.raises(AssetError, match="too full for the packages") as error:
        index.fetch("one==1.0")
    assert str(index.to) in str(error.value) and "another disk" in str(error.value)


def test_a_place_that_cannot_be_written_is_named(index):
    index.to.write_text("a file", encoding="utf-8")
    with pytest.raises(AssetError, match="Give --to a folder that you can write to"):
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
    index.add("windows-only"), index.add("mac-only"), index.add("pure")
    lines = [
        "one==1.0",
        "pure==1.0",
        "windows-only==1.0 ; sys_platform == 'win32'",
        "mac-only==1.0 ; platform_system == 'Darwin'",
        f"here==1.0 ; python_version != '{OTHER}'",
    ]
    wanted = {f"one-1.0-{tag}-{tag}-{fitting}.whl"} | pure("pure")
    wanted |= pure("windows_only") if platform == "windows" else set()
    wanted |= pure("mac_only") if platform == "macos" else set()
    assert index.fetch(*lines, python=OTHER, platform=platform) == wanted


@pytest.mark.parametrize(
    ("python", "expected"), [("3.11", "new"), ("3.11.4", "old"), ("3.12", "new")]
)
def test_a_patch_release_counts_if_it_is_given(index, python, expected):
    index.add("old"), index.add("new")
    lines = ["old==1.0 ; python_full_version < '3.11.5'"]
    lines += ["new==1.0 ; python_full_version >= '3.11.5'"]
    assert index.fetch(*lines, python=python, platform="linux") == pure(expected)


@pytest.mark.parametrize("target", [{"python": "three"}, {"python": "3"}, {"platform": "beos"}])
def test_an_unknown_target_is_refused(target):
    with pytest.raises(ValueError, match="give a version|choose of linux, macos, windows"):
        Target(**target)


def test_the_real_lock_can_be_read_for_every_target():
    lock = ROOT / "requirements.lock"
    for platform in wheelhouse.PLATFORMS:
        for python in ("3.11", "3.12", "3.13"):
            lines = wheelhouse._locked(lock, Target(python, platform))
            names = [Requirement(line).name for line in lines]
            assert len(names) == len(set(names)) and "torch" in names
            assert ("pywinpty" in names) == (platform == "windows")


def test_the_folder_serves_an_installation_with_nothing_else(index, tmp_path):
    index.add("helper", code="VALUE = 7"), index.add("one", needs=["helper"], code="import helper")
    index.fetch("one==1.0", "helper==1.0")
    target = tmp_path / "site"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index.to / "wheels")}
    environment |= {"PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target)]
    subprocess.run([*command, "-r", str(index.lock)], env=environment, check=True)
    code = f"import sys; sys.path.insert(0, {str(target)!r}); import one; print(one.helper.VALUE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"


def test_the_commands_set_up_and_open_the_course_from_the_folder(tmp_path):
    first, second = [line.strip() for line in commands(tmp_path, "linux") if "make" in line]
    assert first == (
        f'PIP_NO_INDEX=1 PIP_FIND_LINKS="{tmp_path}/wheels" COURSE_CACHE="{tmp_path}" make lab'
    )
    assert second == f'COURSE_CACHE="{tmp_path}" make lab'
    windows = "\n".join(commands(tmp_path, "windows"))
    assert (
        windows.count("python helpers/commands/venv.py lab") == 2 and "$env:PIP_NO_INDEX" in windows
    )


def test_a_folder_with_a_space_is_warned_of(tmp_path):
    assert "has none" in commands(tmp_path / "my stick")[-1]
    assert "has none" not in "\n".join(commands(tmp_path / "stick"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wheels"], "--wheels needs --to DIR"),
        (["--python", "3.12"], "give --wheels as well"),
        (["--to", "x", "--wheels", "--platform", "beos"], "No platform 'beos'"),
    ],
)
def test_the_command_says_what_is_missing_before_it_fetches(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr("helpers.assets.prefetch", lambda *_, **__: pytest.fail("fetched"))
    assert cli.main(["prefetch", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_command_fetches_assets_then_packages_and_prints_what_to_do(
    tmp_path, monkeypatch, capsys
):
    asked = []
    monkeypatch.setattr("helpers.assets.prefetch", lambda names, to: asked.append(to))
    monkeypatch.setattr(wheelhouse, "fetch_packages", lambda to, target: asked.append(target))
    options = ["--to", str(tmp_path), "--wheels", "--python", "3.12", "--platform", "macos"]
    assert cli.main(["prefetch", *options]) == 0
    assert asked == [tmp_path, Target("3.12", "macos")]
    assert "PIP_NO_INDEX=1" in capsys.readouterr().out
