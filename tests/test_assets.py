"""What a learner relies on when an asset is fetched: right bytes, or one clear error."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from fake_wheels import Shop
from filelock import FileLock

from helpers import assets
from helpers.assets import sources as sources_module
from helpers.assets import store
from helpers.assets import wheels as wheels_module

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


def refuse(*arguments, **options):
    raise AssertionError(f"nothing may be fetched here: {arguments}")


def test_members_come_out_of_a_wheel_that_real_pip_fetched(shop, capsys):
    shop.add("tiny")
    folder = assets.path("tiny")
    assert {m: (folder / m).read_bytes() for m in shop.members} == shop.members
    assert assets.file("tiny", "b.txt").read_bytes() == shop.members["b.txt"]
    assert assets.is_cached("tiny")
    assert not (folder / "__init__.py").exists() and debris(shop) == []
    assert "tiny-pkg==1.0" in capsys.readouterr().err


def test_a_cached_asset_needs_neither_network_nor_pip_nor_a_second_hash(shop, monkeypatch):
    shop.add("tiny")
    folder = shop.fill("tiny")
    assert assets.is_cached("tiny")
    store._seen.clear()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(hashlib, "file_digest", refuse)
    assert assets.path("tiny") == folder


def test_unknown_names_are_answered_with_the_known_ones(shop):
    shop.add("tiny")
    with pytest.raises(assets.AssetError, match="'tinny'.*tiny"):
        assets.path("tinny")
    with pytest.raises(assets.AssetError, match=r"'c\.txt'.*a\.bin, b\.txt"):
        assets.file("tiny", "c.txt")
    with pytest.raises(assets.AssetError, match="tiny"):
        assets.prefetch(["nothing"])


@pytest.mark.parametrize("step", range(1, 8))
def test_a_kill_at_any_step_leaves_only_verified_members_and_the_next_call_succeeds(shop, step):
    shop.add("tiny", installed=True)
    child = start(DIES, "tiny", str(step))
    child.communicate(timeout=30)
    # Two members: sync, rename each, and the rename of the marker. Later steps never come.
    assert child.returncode == (9 if step <= 5 else 0)
    assert visible(shop).items() <= shop.members.items()
    folder = assets.path("tiny")
    assert visible(shop) == shop.members and debris(shop) == []
    assert sorted(p.name for p in folder.iterdir()) == [".verified.json", "a.bin", "b.txt"]


def test_a_kill_while_pip_runs_leaves_nothing_unverified(shop):
    shop.add("tiny")
    for delay in (0.3, 0.7, 1.1, 1.5):
        child = start(CHILD, "tiny")
        time.sleep(delay)
        child.kill()
        child.communicate(timeout=30)
        assert visible(shop).items() <= shop.members.items()
    assets.path("tiny")
    assert visible(shop) == shop.members
    deadline = time.monotonic() + 10  # a pip that outlived its parent may still be writing
    while debris(shop) and time.monotonic() < deadline:
        time.sleep(0.1)
        assets.path("tiny")
    assert debris(shop) == []


def test_two_processes_at_once_fetch_once_and_both_succeed(shop):
    shop.add("tiny")
    children = [start(CHILD, "tiny") for _ in range(2)]
    answers = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0], answers
    assert sum(err.count("From the wheel") for _, err in answers) == 1
    assert visible(shop) == shop.members


def test_waiting_for_another_process_is_said(shop, monkeypatch, capsys):
    shop.add("tiny", installed=True)
    monkeypatch.setattr(store, "_PATIENCE", 0.05)
    shop.cache.mkdir()
    with FileLock(shop.cache / "tiny.lock"):
        thread = threading.Thread(target=assets.path, args=("tiny",))
        thread.start()
        time.sleep(0.5)
        assert visible(shop) == {}
    thread.join(timeout=10)
    assert visible(shop) == shop.members
    assert "Another process is fetching tiny" in capsys.readouterr().err


def test_without_network_cached_assets_load_and_others_name_three_remedies(shop, monkeypatch):
    shop.add("tiny")
    shop.add("other")
    shop.fill("tiny")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert assets.path("tiny") == shop.cache / "tiny"
    with pytest.raises(assets.AssetError) as caught:
        assets.path("other")
    text = str(caught.value)
    assert "other-pkg==1.0" in text and "No matching distribution" in text
    for remedy in ("course prefetch", "COURSE_CACHE", "PIP_FIND_LINKS"):
        assert remedy in text
    assert "secret" not in text and debris(shop) == []


def test_a_python_without_pip_is_told_how_to_get_it(shop, monkeypatch, tmp_path):
    shop.add("tiny")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = next((tmp_path / "bare").glob("*/python*"))
    for executable in (str(bare), str(tmp_path / "absent"), ""):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(assets.AssetError) as caught:
            assets.path("tiny")
        assert "python -m ensurepip" in str(caught.value)
        assert "course prefetch --to DIR" in str(caught.value)


def test_a_disk_that_is_too_full_is_noticed_before_the_download(shop, monkeypatch):
    shop.add("tiny")
    monkeypatch.setattr(sources_module, "download_wheel", refuse)
    usage = types.SimpleNamespace(total=10**9, used=10**9 - 5000, free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(assets.AssetError) as caught:
        assets.path("tiny")
    # The wheel (declared as 4,000 bytes) and the members or a second wheel, and a tenth more.
    size = sum(map(len, shop.members.values()))
    assert f"{(4000 + max(4000, size)) * 1.1 / 1e6:.1f} MB" in str(caught.value)
    assert "COURSE_CACHE" in str(caught.value) and str(shop.cache) in str(caught.value)


def test_a_disk_that_runs_full_while_writing_leaves_nothing_behind(shop, monkeypatch):
    shop.add("tiny", installed=True)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(assets.AssetError, match="too full.*COURSE_CACHE"):
        assets.path("tiny")
    assert visible(shop) == {} and debris(shop) == []


def test_a_cache_folder_that_cannot_be_written_is_named(shop, tmp_path, monkeypatch):
    shop.add("tiny", installed=True)
    (tmp_path / "plain").write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "plain"))
    with pytest.raises(assets.AssetError, match="plain.*COURSE_CACHE"):
        assets.path("tiny")


def test_a_download_with_other_bytes_is_set_aside_and_never_used(shop):
    shop.add("tiny", wheel_members=shop.members | {"a.bin": b"evil" * 500})
    with pytest.raises(assets.AssetError) as caught:
        assets.path("tiny")
    found, expected = b"evil" * 500, shop.members["a.bin"]
    for bytes_ in (found, expected):
        assert hashlib.sha256(bytes_).hexdigest() in str(caught.value)
    assert visible(shop) == {"b.txt": shop.members["b.txt"]}  # what is right stays
    assert (shop.cache / "tiny" / "a.bin.damaged").read_bytes() == found
    assert not assets.is_cached("tiny")


def test_a_wheel_without_the_member_is_an_error_that_names_it(shop):
    shop.add("tiny", wheel_members={"b.txt": shop.members["b.txt"]})
    with pytest.raises(assets.AssetError, match=r"another release.*a\.bin"):
        assets.path("tiny")


def test_a_second_call_fetches_only_what_lacks(shop):
    shop.add("tiny", wheel_members={"a.bin": shop.members["a.bin"]})
    with pytest.raises(assets.AssetError, match=r"b\.txt not in"):
        assets.path("tiny")
    before = (shop.cache / "tiny" / "a.bin").stat()
    shop.make_wheel("tiny", {"b.txt": shop.members["b.txt"]})  # has only what is missing now
    assets.path("tiny")
    after = (shop.cache / "tiny" / "a.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert visible(shop) == shop.members


@pytest.mark.parametrize("damage", [b"x", None], ids=["shorter", "same size"])
def test_a_damaged_cached_file_is_set_aside_said_and_fetched_again(shop, capsys, damage):
    shop.add("tiny", installed=True)
    folder = assets.path("tiny")
    damage = damage or b"!" * len(shop.members["a.bin"])
    (folder / "a.bin").write_bytes(damage)
    assert not assets.is_cached("tiny")
    assets.path("tiny")
    assert visible(shop) == shop.members
    assert (folder / "a.bin.damaged-1").read_bytes() == damage
    assert "a.bin is damaged" in capsys.readouterr().err


def test_a_copied_cache_folder_works_offline_and_read_only(shop, tmp_path, monkeypatch):
    shop.add("tiny")
    shop.fill("tiny")
    assert assets.is_cached("tiny")
    copied = tmp_path / "stick"
    shutil.copytree(shop.cache, copied, copy_function=shutil.copy)  # new times: the marker is stale
    marker = (copied / "tiny" / ".verified.json").read_text(encoding="utf-8")
    monkeypatch.setenv("COURSE_CACHE", str(copied))
    monkeypatch.setattr(subprocess, "Popen", refuse)

    def read_only(*_, **__):
        raise PermissionError(errno.EACCES, "read-only")

    for owner, name in ((os, "replace"), (os, "mkdir"), (Path, "write_text")):
        monkeypatch.setattr(owner, name, read_only)
    assert assets.path("tiny") == copied / "tiny"
    assert (copied / "tiny" / ".verified.json").read_text(encoding="utf-8") == marker
    monkeypatch.setattr(hashlib, "file_digest", refuse)  # once a process is enough
    assert assets.path("tiny") == copied / "tiny"


def test_a_stale_marker_does_not_vouch_for_a_file_that_the_registry_has_changed(shop):
    shop.add("tiny")
    shop.fill("tiny")
    assert assets.is_cached("tiny")
    shop.members["b.txt"] = shop.members["b.txt"][::-1]  # same size, other bytes
    shop.add("tiny")
    assert not assets.is_cached("tiny")


def test_an_unreadable_marker_only_costs_a_hash(shop):
    shop.add("tiny")
    (shop.fill("tiny") / ".verified.json").write_text("{broken", encoding="utf-8")
    assert assets.is_cached("tiny")
    marker = json.loads((shop.cache / "tiny" / ".verified.json").read_text(encoding="utf-8"))
    assert set(marker) == set(shop.members)


def test_an_installed_package_serves_its_files_without_being_imported(shop, monkeypatch):
    shop.add("tiny", installed=True)
    monkeypatch.setattr(sources_module, "download_wheel", refuse)
    assets.path("tiny")
    assert visible(shop) == shop.members
    assert "tiny_pkg" not in sys.modules


def fake_hub(monkeypatch, folder: Path, asked: list) -> None:
    def download(repo, filename, revision):
        asked.append((repo, filename, revision))
        return str(folder / filename)

    module = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_the_hub_is_asked_only_after_the_wheel_and_only_for_what_lacks(shop, monkeypatch, tmp_path):
    shop.add("tiny", hub=True, wheel_members=shop.members | {"a.bin": b"evil"})
    asked: list = []
    (tmp_path / "a.bin").write_bytes(shop.members["a.bin"])
    fake_hub(monkeypatch, tmp_path, asked)
    assets.path("tiny")
    assert visible(shop) == shop.members
    assert asked == [("someone/tiny", "a.bin", "main")]


def test_hub_files_with_other_bytes_are_refused_too(shop, monkeypatch, tmp_path):
    shop.add("tiny", hub=True)
    shop.remove_wheel("tiny")
    for name in shop.members:
        (tmp_path / name).write_bytes(b"other")
    fake_hub(monkeypatch, tmp_path, [])
    with pytest.raises(assets.AssetError, match="the Hub, someone/tiny: a.bin has other bytes"):
        assets.path("tiny")
    assert visible(shop) == {}


def test_prefetch_shows_sizes_and_both_licences_before_the_first_download(shop, monkeypatch):
    shop.add("tiny", download_bytes=12_300_000)
    shop.add("other")
    shop.fill("other")
    lines: list[str] = []
    shown: list[int] = []

    def watched(*arguments):
        shown.append(len(lines))
        return wheels_module.download_wheel(*arguments)

    monkeypatch.setattr(sources_module, "download_wheel", watched)
    assets.prefetch(echo=lines.append)
    table = "\n".join(lines[: shown[0]])
    assert re.search(r"tiny +12\.3 MB +0\.0 MB +MIT +as found, none stated +to fetch", table)
    assert re.search(r"other .* cached", table)
    assert "To download: 12.3 MB" in table and str(shop.cache) in table
    assert assets.is_cached("tiny")


def test_prefetch_to_a_folder_copies_what_the_cache_has_and_leaves_the_cache(
    shop, tmp_path, monkeypatch
):
    shop.add("tiny")
    shop.fill("tiny")
    monkeypatch.setattr(sources_module, "download_wheel", refuse)
    lines: list[str] = []
    assets.prefetch(["tiny"], to=tmp_path / "stick", echo=lines.append)
    assert any("to copy" in line for line in lines)
    shutil.rmtree(shop.cache)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "stick"))
    assert assets.path("tiny") == tmp_path / "stick" / "tiny"


def test_prefetch_fetches_the_rest_when_one_asset_cannot_be_had(shop):
    shop.add("gone")
    shop.remove_wheel("gone")
    shop.add("tiny")
    with pytest.raises(assets.AssetError, match="Not fetched: gone"):
        assets.prefetch(echo=lambda _: None)
    assert assets.is_cached("tiny")


def test_the_cache_is_where_course_cache_says_or_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "here"))
    assert assets.cache_dir() == tmp_path / "here"
    monkeypatch.delenv("COURSE_CACHE")
    assert "finetuning-history" in assets.cache_dir().parts[-1] + assets.cache_dir().parts[-2]


def test_the_courses_own_registry_is_well_formed(monkeypatch):
    monkeypatch.delenv("COURSE_ASSETS", raising=False)
    found = {asset.name: asset for asset in assets.describe()}
    assert list(found) == ["reviews", "glove", "minilm", "smollm2", "news"]
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


def test_a_staging_folder_left_behind_is_removed_once_nobody_uses_it(shop):
    shop.add("tiny")
    shop.fill("tiny")
    left = shop.cache / "tiny.staging-abc"
    left.mkdir()
    with FileLock(shop.cache / "tiny.lock"):
        assets.path("tiny")
        assert left.exists()
    assets.path("tiny")
    assert not left.exists()
