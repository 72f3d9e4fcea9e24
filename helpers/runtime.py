"""What a run is: profile, seed, device and cost. No other code of the course asks the machine."""

import os
import platform
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

__all__ = [
    "PROFILES",
    "ROOT",
    "Cost",
    "Profile",
    "Run",
    "choose_profile",
    "live",
    "make_run",
    "measure",
    "results_dir",
    "shows_progress",
    "usable_precision",
    "versions",
]

ROOT = Path(__file__).resolve().parents[1]
"""The folder of the repository: where `notebooks/`, `data/` and `helpers/` live."""

PRECISIONS = ("float32", "bfloat16", "float16")
GPU_MEMORY_NEEDED = 14 * 2**30  # the `gpu` profile fits a T4, which has 14.6 GiB for programs


@dataclass(frozen=True)
class Profile:
    """How much a run computes, never which code runs; `None` rows means all rows.

    `precision` is the number format in which pre-trained models compute. The course measures in
    float32; `live` gives the profile for a learner's own run.
    """

    name: str
    budgets: tuple[int | str, ...]
    seeds: int
    heavy_seeds: int
    train_rows: int | None = None
    heldout_rows: int | None = None
    imdb_train_rows: int | None = None
    imdb_heldout_rows: int | None = None
    bootstrap_draws: int = 10_000
    precision: str = "float32"
    most_steps: int | None = None

    def floor(self, min_steps: int) -> int:
        """The minimum number of steps of a training: the method's, unless the profile has less."""
        return min_steps if self.most_steps is None else min(min_steps, self.most_steps)

    def seeds_for(self, budget: int | str) -> range:
        """Seeds to run at a label budget: all of them up to 320 labels, fewer above."""
        few = isinstance(budget, int) and budget <= 320
        return range(self.seeds if few else self.heavy_seeds)


PROFILES = {
    "smoke": Profile(
        name="smoke",
        budgets=(32, 100),
        seeds=2,
        heavy_seeds=1,
        train_rows=240,
        heldout_rows=80,
        imdb_train_rows=240,
        imdb_heldout_rows=40,
        bootstrap_draws=200,
        most_steps=20,
    ),
    "cpu": Profile(name="cpu", budgets=(32, 100, 320, 1_000, 3_200, "all"), seeds=5, heavy_seeds=3),
    "gpu": Profile(name="gpu", budgets=(32, 100, 320, 1_000, 3_200, "all"), seeds=5, heavy_seeds=3),
}


@dataclass(frozen=True)
class Run:
    """One execution of one notebook: what it may use, and what is recorded with its results."""

    notebook: str
    profile: Profile
    seed: int
    device: str
    threads: int
    strict_exercises: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    revision: str = ""

    @property
    def budgets(self) -> tuple[int | str, ...]:
        """Label budgets of the profile, smallest first."""
        return self.profile.budgets

    @property
    def precision(self) -> str:
        """The number format of the profile, as recorded in the ledger: `float32`, `bfloat16`."""
        return self.profile.precision

    @cached_property
    def device_name(self) -> str:
        """The device in words, as recorded in the ledger: `cpu x86_64, 2 threads`."""
        if self.device == "cpu":
            return f"cpu {platform.machine()}, {self.threads} threads"
        import torch

        return f"{self.device} {torch.cuda.get_device_name()}"


@dataclass
class Cost:
    """What a block of code cost; filled in when its `with measure()` block ends."""

    seconds: float = 0.0
    peak_memory_bytes: int = 0


def results_dir() -> Path:
    """Folder of everything that a run writes: `COURSE_RESULTS` if set, else `results/`."""
    return Path(os.environ.get("COURSE_RESULTS") or ROOT / "results")


def shows_progress() -> bool:
    """Whether to draw progress bars: in a terminal or notebook, unless `COURSE_PROGRESS` is 0."""
    looked_at = "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    return looked_at and os.environ.get("COURSE_PROGRESS") != "0"


def make_run(notebook: str, revision: str, seed: int = 0) -> Run:
    """Seed Python, NumPy and torch, and describe the run (its profile as in `choose_profile`).

    `notebook` is its path under `notebooks/`, without suffix; `revision` is the fingerprint of the
    code behind its results (see `helpers.revision`).
    """
    import numpy as np
    import torch

    profile = choose_profile()
    for seeder in (random.seed, np.random.seed, torch.manual_seed):
        seeder(seed)
    return Run(
        notebook=notebook,
        profile=profile,
        seed=seed,
        device=_device(profile),
        threads=torch.get_num_threads(),
        strict_exercises=notebook.startswith("solutions/"),
        versions=versions(),
        revision=revision,
    )


def _device(profile: Profile) -> str:
    import torch

    return "cuda" if profile.name == "gpu" and torch.cuda.is_available() else "cpu"


def live(profile: Profile, device: str | None = None) -> Profile:
    """A profile for a learner's own run: its precision is that of the device, but for `smoke`."""
    if profile.name == "smoke":
        return profile
    return replace(profile, precision=usable_precision(device or _device(profile)))


def usable_precision(device: str) -> str:
    """The number format that `COURSE_PRECISION` names, else bfloat16 where hardware computes in it.

    On older cards and processors bfloat16 is imitated, many times slower than float32. An older
    card gets float16; a processor of which torch does not tell gets float32.

    Raises:
        ValueError: if `COURSE_PRECISION` is unknown, or bfloat16 on a card that imitates it.
    """
    import torch

    wanted = os.environ.get("COURSE_PRECISION", "")
    if wanted and wanted not in PRECISIONS:
        raise ValueError(
            f"COURSE_PRECISION is {wanted!r}; set it to one of {', '.join(PRECISIONS)}."
        )
    if device == "cuda":
        imitated = torch.cuda.get_device_capability() < (8, 0)
        if wanted == "bfloat16" and imitated:
            raise ValueError(
                f"COURSE_PRECISION is {wanted!r}, which {torch.cuda.get_device_name()} only "
                "imitates, slowly; set it to float16 or float32."
            )
        return wanted or ("float16" if imitated else "bfloat16")
    # An older torch has no such function. On ARM the name of the feature says nothing about speed.
    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    computes = told.get("avx512_bf16") or told.get("amx_bf16")
    return wanted or ("bfloat16" if computes else "float32")


@contextmanager
def measure(interval: float = 0.02) -> Iterator[Cost]:
    """Time a block and sample its memory: `with measure() as cost: ...`.

    Memory is the largest resident size minus the size at the start, in bytes (on CUDA: the peak of
    allocated memory after a reset). The operating system's own peak never falls: it could not
    measure a second block.
    """
    import psutil

    process, cost, done = psutil.Process(), Cost(), threading.Event()
    start_size = process.memory_info().rss
    peak = [start_size]

    def sample() -> None:
        while not done.wait(interval):
            peak[0] = max(peak[0], process.memory_info().rss)

    cuda = _cuda_in_use()
    if cuda:
        cuda.reset_peak_memory_stats()
    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    start = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - start
        done.set()
        sampler.join()
        peak[0] = max(peak[0], process.memory_info().rss)
        cost.peak_memory_bytes = cuda.max_memory_allocated() if cuda else peak[0] - start_size


def _cuda_in_use():
    torch = sys.modules.get("torch")
    return (
        torch.cuda if torch and torch.cuda.is_available() and torch.cuda.is_initialized() else None
    )


def choose_profile() -> Profile:
    """The profile that `COURSE_PROFILE` names; without it `gpu` when CUDA offers 14 GB, else `cpu`.

    Its precision is that of a live run.

    Raises:
        ValueError: if `COURSE_PROFILE` or `COURSE_PRECISION` is unknown; the message lists what
            there is.
    """
    name = os.environ.get("COURSE_PROFILE", "") or _fitting_profile()
    if name not in PROFILES:
        choices = ", ".join(PROFILES)
        raise ValueError(f"COURSE_PROFILE is {name!r}; set it to one of {choices}.")
    return live(PROFILES[name])


def _fitting_profile() -> str:
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    memory = torch.cuda.get_device_properties(0).total_memory
    return "gpu" if memory >= GPU_MEMORY_NEEDED else "cpu"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect results, as recorded in the ledger."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("torch", "transformers", "datasets", "scikit-learn", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found
