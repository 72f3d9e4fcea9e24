"""What the doctor reads of the hardware: memory, disk, and what the notebooks can compute on.

What a check reads comes from a small function of its own, so that a test can stand in for a
machine that is not at hand.
"""

import re
import shutil
from pathlib import Path

from helpers import runtime
from helpers.commands.doctor_checks import Finding, existing
from helpers.runtime import ROOT

__all__ = ["cpu_in_use", "device", "disk", "memory"]

NEEDED_MEMORY, NEEDED_AVAILABLE = 8e9, 4e9
NEEDED_DISK = 4e9
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")


def memory_bytes() -> tuple[int, int]:
    """Total and available memory; a container's limit counts when it is lower."""
    import psutil

    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    limit = Path("/sys/fs/cgroup/memory.max")
    used = Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
        available = min(available, max(0, total - int(used.read_text())))
    return total, available


def memory() -> list[Finding]:
    """Memory of the machine, and what other programs leave of it."""
    total, available = memory_bytes()
    text = f"memory: {total / 1e9:.1f} GB, {available / 1e9:.1f} GB of it available"
    if total < NEEDED_AVAILABLE:
        remedy = "use a machine with 8 GB of memory, or Colab"
        return [Finding(f"{text}: too little for the notebooks; {remedy}", "help", remedy)]
    if available < NEEDED_AVAILABLE:
        remedy = "close other programs and notebooks, then run `course doctor` again"
        return [Finding(f"{text}: the notebooks need about 4 GB", "fix", remedy)]
    if total < NEEDED_MEMORY:
        return [Finding(f"{text}: 8 GB are better; keep one notebook open at a time", "warn")]
    return [Finding(text)]


def free_bytes(path: Path) -> int:
    """Free bytes of the disk a path lies on, or will lie on."""
    return shutil.disk_usage(existing(path)).free


def disk(root: Path = ROOT) -> list[Finding]:
    """Free disk where the course keeps its models and where it writes results."""
    from helpers.assets import cache_dir

    findings = []
    for what, path, variable in (
        ("cache", Path(cache_dir()), "COURSE_CACHE"),
        ("repository", root, "COURSE_RESULTS"),
    ):
        free = free_bytes(path)
        text = f"disk: {free / 1e9:.1f} GB free for the {what} ({path})"
        if free < NEEDED_DISK:
            needed = f"{NEEDED_DISK / 1e9:.0f} GB"
            remedy = f"free some until there are {needed}, or set {variable} to another disk"
            findings.append(Finding(text, "fix", remedy))
        else:
            findings.append(Finding(text))
    return findings


def cpu_flags() -> list[str] | None:
    """The vector units of the CPU that matter here, or None where the system does not say."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^flags\s*:(.*)$", path.read_text(), re.M) if path.exists() else None
    return [flag for flag in CPU_FLAGS if flag in found[1].split()] if found else None


def device() -> list[Finding]:
    """What the notebooks can compute on, and in which number format."""
    import psutil
    import torch

    flags = cpu_flags()
    units = torch.backends.cpu.get_cpu_capability() if flags is None else " ".join(flags) or "none"
    findings = [
        Finding(
            f"cpu: {psutil.cpu_count(logical=False)} cores, {torch.get_num_threads()} threads in "
            f"torch, vector units: {units}, trains in {runtime.usable_precision('cpu')}"
        )
    ]
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        profile = "gpu" if card.total_memory >= runtime.GPU_MEMORY_NEEDED else "cpu"
        findings.append(
            Finding(
                f"cuda: {card.name}, {card.total_memory / 1e9:.1f} GB, capability {card.major}."
                f"{card.minor}, trains in {runtime.usable_precision('cuda')}; profile {profile}"
            )
        )
    else:
        findings.append(Finding("cuda: none; the notebooks use the cpu profile"))
    if torch.backends.mps.is_available():
        findings.append(Finding("mps: there, and not used: it can give wrong numbers silently"))
    return findings


def cpu_in_use(seconds: float = 0.5) -> float:
    """Per cent of all cores that other programs use now, averaged over some seconds."""
    import psutil

    return psutil.cpu_percent(interval=seconds)
