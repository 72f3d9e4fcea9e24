"""What a run is told about itself: profile, device, cost."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from helpers import runtime, setup


def test_setup_names_the_notebook_and_repeats_random_numbers(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    draws = []
    for _ in range(2):
        run = setup(notebook=0)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
    assert run.notebook == "00_start_here" and run.profile.name == "smoke"
    assert "00_start_here · profile smoke" in capsys.readouterr().out
    assert not run.strict_exercises and setup(notebook="solutions/0").strict_exercises


def test_unknown_profile_and_notebook_list_what_there_is(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "huge")
    with pytest.raises(ValueError, match="'huge'; set it to one of smoke, cpu, gpu"):
        setup(notebook=0)
    with pytest.raises(ValueError, match="there are 00_start_here"):
        setup(notebook=77)


@pytest.mark.parametrize(
    ("available", "memory", "chosen"),
    [(False, 0, "cpu"), (True, 8 * 2**30, "cpu"), (True, 15 * 2**30, "gpu")],
)
def test_without_a_wish_the_profile_follows_the_gpus_memory(monkeypatch, available, memory, chosen):
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    device = type("Device", (), {"total_memory": memory})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    assert runtime.choose_profile().name == chosen


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_bfloat16_is_used_only_where_the_card_computes_in_it(monkeypatch, capability, precision):
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert runtime.usable_precision("cuda") == precision


@pytest.mark.parametrize(
    ("told", "precision"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ({"avx2": True, "avx512_bf16": False, "amx_tile": True}, "float32"),
        ({"architecture": "aarch64", "bf16": True}, "float32"),
        (None, "float32"),  # a torch that does not tell
    ],
)
def test_bfloat16_is_used_only_where_the_processor_computes_in_it(monkeypatch, told, precision):
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    if told is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    assert runtime.usable_precision("cpu") == precision


@pytest.mark.parametrize("wanted", ["float32", "bfloat16", "float16"])
def test_the_user_overrides_the_precision_of_live_runs_but_not_of_tests(monkeypatch, wanted):
    monkeypatch.setenv("COURSE_PRECISION", wanted)
    monkeypatch.setenv("COURSE_PROFILE", "cpu")
    assert runtime.make_run("00", "").precision == wanted
    assert runtime.PROFILES["cpu"].precision == "float32"  # what the grid takes
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    assert runtime.make_run("00", "").precision == "float32"


def test_an_impossible_precision_says_what_to_set(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "cpu")
    monkeypatch.setenv("COURSE_PRECISION", "half")
    with pytest.raises(ValueError, match="'half'.*float32, bfloat16, float16"):
        runtime.choose_profile()
    monkeypatch.setenv("COURSE_PRECISION", "bfloat16")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    with pytest.raises(ValueError, match="Tesla T4.*float16 or float32"):
        runtime.usable_precision("cuda")


WAITING = "import os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"


def waits(code: str, **environment: str) -> list[str]:
    """How the threads of a fresh Python wait after this code, and whether it imported torch."""
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-2:]


def test_threads_wait_passively_as_soon_as_helpers_is_imported_which_is_before_torch():
    assert waits(f"import helpers\n{WAITING}") == ["passive", "False"]


def test_a_users_own_way_of_waiting_is_kept():
    assert waits(f"import helpers\n{WAITING}", OMP_WAIT_POLICY="active")[0] == "active"


def test_jupyterlab_and_so_each_kernel_is_started_with_passive_threads():
    code = "import sys\nfrom helpers.commands.lab import become\n"
    assert waits(code + f'become([sys.executable, "-c", "{WAITING}"])') == ["passive", "False"]


def test_measure_counts_seconds_and_the_memory_of_the_block_alone():
    with runtime.measure() as cost:
        block = np.ones(20_000_000)  # 160 MB
        time.sleep(0.1)
        del block
    with pytest.raises(RuntimeError), runtime.measure() as second:
        time.sleep(0.05)
        raise RuntimeError  # what failed has a cost, too
    assert 0.1 <= cost.seconds < 5
    assert 140e6 < cost.peak_memory_bytes < 400e6
    assert second.seconds >= 0.05 and second.peak_memory_bytes < 60e6


def test_seeds_are_five_for_small_budgets_and_three_above():
    cpu = runtime.PROFILES["cpu"]
    assert [len(cpu.seeds_for(n)) for n in (32, 320, 1_000, "all")] == [5, 5, 3, 3]


def test_course_progress_0_silences_every_bar(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    assert runtime.shows_progress()
    monkeypatch.setenv("COURSE_PROGRESS", "0")
    assert not runtime.shows_progress()
