"""`course run`: notebooks executed in full, as copies in `results/course/` or stored in place.

A run can be killed at any moment: finished notebooks are kept, and the next run resumes after
them. Nothing is written into `notebooks/` unless the last cell was reached.
"""

import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers import notebooks
from helpers.commands.kernel import Outcome, run_cells
from helpers.runtime import PROFILES, ROOT, results_dir
from helpers.speed import training_speed

__all__ = ["run"]


@dataclass
class _Job:
    root: Path
    out: Path
    profile: str
    store: bool
    resume: bool
    timeout: int | None
    echo: Callable[[str], None]
    speed: float = 0.0

    def label(self, path: Path) -> str:
        return path.relative_to(self.root / "notebooks").with_suffix("").as_posix()

    def copy_of(self, path: Path) -> Path:
        return self.out / path.relative_to(self.root / "notebooks")


def run(
    names: Iterable[str] = (),
    *,
    store: bool = False,
    root: Path = ROOT,
    profile: str | None = None,
    resume: bool = True,
    out: Path | None = None,
    timeout: int | None = 3600,
    strict: bool | None = None,
    echo: Callable[[str], None] = print,
) -> int:
    """Execute notebooks and say what each took.

    Args:
        names: as for `notebooks.resolve`; none for all lessons.
        store: write outputs and stamp into `notebooks/` itself, after a complete run.
        profile: by default `COURSE_PROFILE`, else `cpu`.
        resume: skip notebooks whose copy was made by the same code and profile.
        out: the folder of the copies; by default `course` in the results folder.
        timeout: seconds per cell; None for no limit.
        strict: fail when a verdict differs from the recorded one; None: as `COURSE_STRICT` says.

    Returns:
        0 when all ran; 1 when one failed or, if strict, a verdict differs; 130 after Ctrl-C.

    Raises:
        ValueError: if a name or the profile is unknown; the message lists what there is.
    """
    job = _Job(
        root=Path(root).resolve(),
        out=Path(out or results_dir() / "course").resolve(),
        profile=profile or os.environ.get("COURSE_PROFILE") or "cpu",
        store=store,
        resume=resume,
        timeout=timeout,
        echo=echo,
    )
    _check_profile(job)
    names = list(names)
    paths = notebooks.resolve(names, job.root) if names else notebooks.find(job.root, ("lesson",))
    if strict is None:
        strict = os.environ.get("COURSE_STRICT", "") not in ("", "0")
    outcomes, interrupted = [], False
    try:
        for path in paths:
            outcomes.append(_unchanged(path, job) or _run_one(path, job))
    except KeyboardInterrupt:
        interrupted = True
        echo("Stopped. What is finished is kept; the same command goes on from here.")
    _report(outcomes, strict, echo)
    if interrupted:
        return 130
    return int(any(each.failed or (strict and each.differs) for each in outcomes))


def _check_profile(job: _Job) -> None:
    if job.profile not in PROFILES:
        raise ValueError(f"No profile {job.profile!r}; there are {', '.join(PROFILES)}.")
    if job.store and job.profile == "smoke":
        raise ValueError(
            "The smoke profile is for tests; its outputs are not stored. "
            "Unset COURSE_PROFILE or set it to cpu."
        )


def _unchanged(path: Path, job: _Job) -> Outcome | None:
    """The stored outcome of an earlier run by the same code and profile, if there is one."""
    if job.store or not job.resume:
        return None
    try:
        stamp = notebooks.read_stamp(job.copy_of(path))
        wanted = notebooks.made_with(notebooks.read(path)) if stamp else {}
    except ValueError:  # a damaged copy is no copy
        return None
    if not stamp or wanted | {"profile": job.profile} != {
        k: stamp[k] for k in (*wanted, "profile")
    }:
        return None
    return Outcome(
        job.label(path),
        seconds=stamp["seconds"],
        peak_memory_bytes=stamp["peak_memory_bytes"],
        slowest=stamp.get("slowest", ""),
        differs=stamp.get("differs", []),
        state="skipped: unchanged",
    )


def _run_one(path: Path, job: _Job) -> Outcome:
    """Run one notebook and write it once, where it belongs."""
    outcome, before = Outcome(job.label(path)), path.read_bytes()
    try:
        notebook = notebooks.read(path)
    except ValueError as error:
        outcome.state, outcome.message = "failed: not a readable notebook", str(error)
        job.echo(f"[{outcome.label}] {outcome.message}")
        return outcome
    notebooks.clear(notebook)
    # Stored with the minutes, to scale them to other machines.
    job.speed = job.speed or training_speed(seconds=1.0)
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        verdicts = Path(folder) / "verdicts.jsonl"
        env = _environment(job, verdicts)
        run_cells(notebook, outcome, cwd=path.parent, env=env, timeout=job.timeout, echo=job.echo)
        # Recorded verdicts are those of `cpu`; other profiles may decide otherwise.
        outcome.differs = _differing(verdicts) if job.profile == "cpu" else []
    if job.store and not outcome.failed and path.read_bytes() != before:
        outcome.state = "failed: changed while it ran"
        outcome.message = "the notebook was edited while it ran, so its outputs were not stored"
    notebooks.normalise(notebook)
    if outcome.failed:
        notebooks.write(job.copy_of(path), notebook)
        job.echo(f"[{outcome.label}] {outcome.message}")
        job.echo(f"[{outcome.label}] read its outputs in {job.copy_of(path)}")
    else:
        notebook.metadata[notebooks.STAMP_KEY] = _stamp(notebook, outcome, job)
        notebooks.write(path if job.store else job.copy_of(path), notebook)
    return outcome


def _environment(job: _Job, verdicts: Path) -> dict[str, str]:
    """This process's environment with the run's choices; paths absolute: the folder changes."""
    env = {"COURSE_PROGRESS": "0", **os.environ}
    env |= {"COURSE_PROFILE": job.profile, "COURSE_VERDICTS": str(verdicts)}
    if job.store:
        env["COURSE_PROGRESS"] = "0"
    env.pop("MPLBACKEND", None)  # else figures may miss from the outputs
    for name in ("COURSE_RESULTS", "COURSE_CACHE"):
        if env.get(name) and not env[name].startswith("~"):
            env[name] = str(Path(env[name]).resolve())
    for name in ("COURSE_ENCODER", "COURSE_DECODER"):  # a path, or a model's id on a hub
        if env.get(name) and Path(env[name]).exists():
            env[name] = str(Path(env[name]).resolve())
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else the first output has a warning
    return env


def _stamp(notebook, outcome: Outcome, job: _Job) -> dict:
    stamp = {
        "profile": job.profile,
        "device": outcome.device,
        **notebooks.made_with(notebook),
        "seconds": round(outcome.seconds, 3),
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "speed": round(job.speed, 1),
        "versions": outcome.versions or {"python": platform.python_version()},
    }
    if not job.store:  # needed for the report when the copy is skipped next time
        stamp |= {"slowest": outcome.slowest, "differs": outcome.differs}
    return stamp


def _differing(path: Path) -> list[dict]:
    """Claims whose verdict is not the recorded one; an unreadable line counts as one."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:  # the kernel died while it wrote
            found.append({"claim": line[:60], "verdict": "unreadable", "recorded": None})
    return [item for item in found if item.get("recorded") != item.get("verdict")]


def _report(outcomes: list[Outcome], strict: bool, echo: Callable[[str], None]) -> None:
    table = [("notebook", "minutes", "peak GB", "slowest cell", "state")]
    for each in outcomes:
        cost = f"{each.seconds / 60:.1f}", f"{each.peak_memory_bytes / 1e9:.1f}"
        table.append((each.label, *cost, each.slowest or "-", each.state))
    _print_table(table, echo)
    table = [("notebook", "claim", "recorded", "now", "value", "low", "high")]
    keys = ("claim", "recorded", "verdict", "value", "low", "high")
    for each in outcomes:
        table += [(each.label, *(str(item.get(key)) for key in keys)) for item in each.differs]
    if len(table) > 1:
        echo("\nVerdicts that differ from the recorded ones" + (":" if strict else " (a note):"))
        _print_table(table, echo)


def _print_table(table: list[tuple], echo: Callable[[str], None]) -> None:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    echo("")
    for row in table:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
