"""What a learner relies on when an asset is fetched: right bytes, or one clear error."""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from fake_wheels import Shop, write_wheel

from helpers import assets

CHILD = "import sys; from helpers import assets; print(assets.path(sys.argv[1]))"
DIES = """
import os, sys
from helpers import assets
left = int(sys.argv[2])
def deadly(real):
    def call(*arguments):
        global left
        left -= 1
        if left == 0:
            os._exit(9)  # like a kill: nothing is cleaned up
        return real(*arguments)
    return call
os.replace, os.fsync = deadly(os.replace), deadly(os.fsync)
assets.path(sys.argv[1])
"""


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def start(code: str, *arguments: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, encoding="utf-8")


def visible(shop: Shop, name: str = "tiny") -> dict[str, bytes]:
    """Every file under a member's own name, whatever state the cache is in."""
    folder = shop.cache / name
    return {m: (folder / m).read_bytes() for m in shop.members if (folder / m).exists()}


def debris(shop: Shop) -> list[str]:
    return [p.name for p in shop.cache.iterdir() if "staging" in p.name]


def refusal(name: str = "tiny") -> str:
    """What a learner reads when an asset cannot be had."""
    with pytest.raises(assets.AssetError) as caught:
        assets.path(name)
    return str(caught.value)


def test_members_come_out_of_a_wheel_that_real_pip_fetched(shop, capfd):
    shop.add("tiny")
    folder = assets.path("tiny")
    assert {m: (folder / m).read_bytes() for m in shop.members} == shop.members
    assert assets.file("tiny", "b.txt").read_bytes() == shop.members["b.txt"]
    assert assets.is_cached("tiny")
    assert not (folder / "__init__.py").exists() and debris(shop) == []
    out, err = capfd.readouterr()
    assert out == "" and "tiny-pkg==1.0" in err


def test_a_wheel_for_one_python_is_unzipped_by_another(shop):
    shop.add("tiny")
    shop.remove_wheel("tiny")
    files = {f"tiny_pkg/{name}": data for name, data in shop.members.items()}
    write_wheel(shop.wheels, "tiny-pkg", tag="cp399-none-any", files=files)
    assert "No matching distribution" in refusal()
    shop.registry.write_text(
        '[tiny]\npython = "3.99"' + shop.entries["tiny"].removeprefix("[tiny]")
    )
    assets.path("tiny")
    assert visible(shop) == shop.members


def test_a_cache_folder_from_another_machine_works_offline(shop, tmp_path, monkeypatch):
    shop.add("tiny")
    shop.fill("tiny")
    shop.remove_wheel("tiny")
    shutil.copytree(shop.cache, tmp_path / "stick")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "stick"))
    assert assets.is_cached("tiny")
    before = sorted((tmp_path / "stick").rglob("*"))
    assert assets.path("tiny") == tmp_path / "stick" / "tiny"
    assert sorted((tmp_path / "stick").rglob("*")) == before  # it may be read-only


def test_unknown_names_are_answered_with_the_known_ones(shop):
    shop.add("tiny")
    assert re.search("'tinny'.*tiny", refusal("tinny"))
    with pytest.raises(assets.AssetError, match="tiny"):
        assets.prefetch(["nothing"])


@pytest.mark.parametrize("step", range(1, 6))
def test_a_kill_at_any_step_leaves_only_verified_members_and_the_next_call_succeeds(shop, step):
    shop.add("tiny", installed=True)
    (shop.cache / "tiny.staging-abc" / "wheel").mkdir(parents=True)  # of an earlier kill
    child = start(DIES, "tiny", str(step))
    child.communicate(timeout=30)
    # Two members: sync and rename of each. Later steps never come.
    assert child.returncode == (9 if step <= 4 else 0)
    assert visible(shop).items() <= shop.members.items()
    assets.path("tiny")
    assert visible(shop) == shop.members and debris(shop) == []


def test_two_processes_at_once_fetch_once_and_both_succeed(shop):
    shop.add("tiny")
    children = [start(CHILD, "tiny") for _ in range(2)]
    answers = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0], answers
    assert sum(err.count("From the wheel") for _, err in answers) == 1
    assert visible(shop) == shop.members


def test_without_network_cached_assets_load_and_others_name_three_remedies(shop, monkeypatch):
    shop.add("tiny")
    shop.add("other")
    shop.fill("tiny")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip tells the reason when it retries
    assert assets.path("tiny") == shop.cache / "tiny"
    text = refusal("other")
    assert "other-pkg==1.0" in text and "No matching distribution" in text
    assert "Connection refused" in text
    for remedy in ("course prefetch", "COURSE_CACHE", "PIP_FIND_LINKS"):
        assert remedy in text
    assert "secret" not in text and debris(shop) == []


def test_the_learner_s_own_pip_settings_apply(shop, monkeypatch, tmp_path):
    shop.add("tiny")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.delenv("PIP_NO_INDEX")
    text = f"[global]\nno-index = true\n[download]\nfind-links = {shop.wheels}\n"
    (tmp_path / "pip.conf").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert assets.path("tiny").is_dir()


def test_what_pip_says_of_its_settings_is_passed_on(shop, monkeypatch, tmp_path):
    shop.add("tiny")
    monkeypatch.delenv("PIP_FIND_LINKS")
    text = refusal()
    assert "No matching distribution" in text and "PIP_NO_INDEX is set" in text
    (tmp_path / "pip.conf").write_text("no section = here\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert "pip.conf" in refusal()


def test_a_python_without_pip_is_told_how_to_get_it(shop, monkeypatch, tmp_path):
    shop.add("tiny")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    monkeypatch.setattr(sys, "executable", str(bare))
    text = refusal()
    assert "python -m ensurepip" in text and "course prefetch --to DIR" in text


def test_a_disk_that_is_too_full_is_noticed_before_the_download(shop, capfd):
    shop.add("tiny", download_bytes=10**15)
    text = refusal()
    # The wheel twice, because pip copies it out of its own folder, and a tenth more.
    assert f"{2.2 * 10**15 / 1e6:.1f} MB" in text
    assert "COURSE_CACHE" in text and str(shop.cache) in text
    assert visible(shop) == {} and debris(shop) == []


@pytest.mark.parametrize("in_pip", [True, False])
def test_a_disk_that_runs_full_leaves_nothing_behind(shop, monkeypatch, tmp_path, in_pip):
    shop.add("tiny", installed=not in_pip)
    pip = tmp_path / "before" / "pip"
    pip.mkdir(parents=True)
    (pip / "__init__.py").touch()
    said = "import sys; sys.exit('ERROR: OSError: [Errno 28] No space left on device')"
    (pip / "__main__.py").write_text(said, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(pip.parent))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert re.search("too full.*COURSE_CACHE", refusal())
    assert visible(shop) == {} and debris(shop) == []


def test_a_cache_folder_that_cannot_be_written_is_named(shop, tmp_path, monkeypatch):
    shop.add("tiny", installed=True)
    (tmp_path / "plain").write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "plain"))
    assert re.search("plain.*COURSE_CACHE", refusal())


def test_a_download_with_other_bytes_is_never_used(shop):
    shop.add("tiny", wheel_members=shop.members | {"a.bin": b"evil" * 500})
    text = refusal()
    for bytes_ in (b"evil" * 500, shop.members["a.bin"]):
        assert hashlib.sha256(bytes_).hexdigest() in text
    assert visible(shop) == {"b.txt": shop.members["b.txt"]}  # what is right stays
    assert not assets.is_cached("tiny")
    next(shop.wheels.iterdir()).write_bytes(b"<html>please log in</html>")
    assert "tiny-pkg==1.0" in refusal() and not assets.is_cached("tiny")


def test_a_second_call_fetches_only_what_lacks(shop):
    shop.add("tiny", wheel_members={"a.bin": shop.members["a.bin"]})
    assert re.search(r"another release.*b\.txt", refusal())
    before = (shop.cache / "tiny" / "a.bin").stat()
    shop.make_wheel("tiny", {"b.txt": shop.members["b.txt"]})  # has only what is missing now
    assets.path("tiny")
    after = (shop.cache / "tiny" / "a.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert visible(shop) == shop.members


@pytest.mark.parametrize("damage", [b"x", b"!" * 2048], ids=["shorter", "same size"])
def test_a_damaged_cached_file_is_said_and_fetched_again(shop, capsys, damage):
    shop.add("tiny", installed=True)
    folder = assets.path("tiny")
    (folder / "a.bin").write_bytes(damage)
    assert not assets.is_cached("tiny")
    assets.path("tiny")
    assert visible(shop) == shop.members
    assert "a.bin is damaged" in capsys.readouterr().err
    assert "tiny_pkg" not in sys.modules  # an installed package serves its files unimported


@pytest.mark.parametrize("right", [True, False])
def test_the_hub_is_asked_only_after_the_wheel_for_what_lacks_and_is_held_to_the_hash(
    shop, monkeypatch, tmp_path, right
):
    shop.add("tiny", hub=True, wheel_members=shop.members | {"a.bin": b"evil"})
    (tmp_path / "a.bin").write_bytes(shop.members["a.bin"] if right else b"other")
    asked: list = []

    def download(repo, filename, revision):
        asked.append((repo, filename, revision))
        return str(tmp_path / filename)

    hub = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    if right:
        assets.path("tiny")
        assert visible(shop) == shop.members
    else:
        assert re.search("the Hub, someone/tiny: a.bin has other bytes", refusal())
        assert "a.bin" not in visible(shop)
    assert asked == [("someone/tiny", "a.bin", "main")]


def test_prefetch_shows_sizes_and_both_licences_and_fetches_what_it_can(shop, capsys):
    shop.add("gone", download_bytes=12_300_000)
    shop.remove_wheel("gone")
    shop.add("there")
    shop.fill("there")
    shop.add("tiny")
    with pytest.raises(assets.AssetError, match="Not fetched: gone"):
        assets.prefetch()
    assert assets.is_cached("tiny")
    table = capsys.readouterr().out
    assert re.search(r"gone +12\.3 MB +0\.0 MB +MIT +as found, none stated +to fetch", table)
    assert re.search(r"there .* cached", table)
    assert "To download: 12.3 MB" in table and str(shop.cache) in table


def test_prefetch_to_a_folder_copies_what_the_cache_has(shop, tmp_path, monkeypatch, capsys):
    shop.add("tiny")
    shop.fill("tiny")
    shop.remove_wheel("tiny")
    assets.prefetch(["tiny"], to=tmp_path / "stick")
    assert "to copy" in capsys.readouterr().out
    shutil.rmtree(shop.cache)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "stick"))
    assert assets.path("tiny") == tmp_path / "stick" / "tiny"


def test_the_cache_is_where_course_cache_says_or_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "here"))
    assert assets.cache_dir() == tmp_path / "here"
    monkeypatch.delenv("COURSE_CACHE")
    assert "finetuning-history" in assets.cache_dir().parts[-1] + assets.cache_dir().parts[-2]


def test_the_courses_own_registry_is_well_formed(monkeypatch):
    monkeypatch.delenv("COURSE_ASSETS", raising=False)
    found = {asset.name: asset for asset in assets.describe()}
    for asset in found.values():
        assert re.fullmatch(r"[\w-]+==[\d.]+", asset.wheel)
        assert asset.download_bytes > 0 and asset.size > 0 and asset.members
        assert asset.title and asset.gpu and asset.wrapper_licence and asset.content_licence
        assert re.search(r"\((19|20)\d\d\), https://", " ".join(asset.provenance))
        for member in asset.members:
            assert re.fullmatch(r"[0-9a-f]{64}", member.sha256) and member.size > 0
            assert "/" not in member.name and not Path(member.archive).is_absolute()
    for name in ("reviews", "news"):
        assert found[name].content_licence == "research use, no licence stated"
