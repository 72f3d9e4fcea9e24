"""Run notebooks from the command line: copies under `results/course/`, or outputs to be stored.

A run can be killed at any moment: what is finished is kept, and the next run goes on from there.
Nothing is ever written into `notebooks/` by a run that did not reach the last cell.
"""

import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from helpers import notebooks
from helpers.commands.kernel import Outcome, clear, kernel_environment, normalise, run_cells
from helpers.runtime import PROFILES, ROOT, results_dir

__all__ = ["run", "select"]


@dataclass
class _Row:
    """A line of the closing table, and the verdicts that differ from the recorded ones."""

    label: str
    state: str
    outcome: Outcome = field(default_factory=Outcome)
    differs: list[dict] = field(default_factory=list)


@dataclass
class _Job:
    """The choices that hold for every notebook of one call of `run`."""

    root: Path
    out: Path
    profile: str
    store: bool
    timeout: int | None
    echo: Callable[[str], None]
    speed: float = 0.0

    def label(self, path: Path) -> str:
        return path.relative_to(self.root / "notebooks").with_suffix("").as_posix()

    def copy_of(self, path: Path) -> Path:
        return self.out / path.relative_to(self.root / "notebooks")


def run(
    names: Iterable[str] | None = None,
    *,
    store: bool = False,
    kinds: tuple[str, ...] = ("lesson",),
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
        names: as `select` takes them; none for all notebooks of `kinds`.
        store: write outputs and stamp into `notebooks/` itself, once a notebook ran to its end.
        kinds: of `lesson`, `bonus`, `solution`; used when no names are given.
        root: the folder that holds `notebooks/`.
        profile: `smoke`, `cpu` or `gpu`; without it `COURSE_PROFILE`, else `cpu`.
        resume: leave out notebooks whose copy was made by the same code and profile.
        out: the folder of the copies; without it `course` in the results folder.
        timeout: seconds allowed to one cell; None for no limit.
        strict: fail when a verdict differs from the recorded one; None: as `COURSE_STRICT` says.
        echo: receives every line of the report.

    Returns:
        0 when all ran; 1 when a notebook failed or, if strict, a verdict differs; 130 after
        Ctrl-C.

    Raises:
        ValueError: if a name or the profile is unknown; the message lists what there is.
    """
    job = _Job(
        root=Path(root).resolve(),
        out=Path(out or results_dir() / "course").resolve(),
        profile=profile or os.environ.get("COURSE_PROFILE") or "cpu",
        store=store,
        timeout=timeout,
        echo=echo,
    )
    paths = select(names, root=job.root, kinds=kinds)
    _check_profile(job)
    if strict is None:
        strict = os.environ.get("COURSE_STRICT", "") not in ("", "0")
    rows, interrupted = [], False
    try:
        for path in paths:
            skipped = _skipped(path, job) if resume and not store else None
            rows.append(skipped or _run_one(path, job))
    except KeyboardInterrupt:
        interrupted = True
        echo("Stopped. What is finished is kept; the same command goes on from here.")
    _report(rows, strict, echo)
    failed = any(row.outcome.failure or (strict and row.differs) for row in rows)
    return 130 if interrupted else int(failed)


def select(
    names: Iterable[str] | None, root: Path = ROOT, kinds: tuple[str, ...] = ("lesson",)
) -> list[Path]:
    """Find the notebooks that a command line names.

    Args:
        names: `3`, `03`, `03_word_embeddings`, `bonus/slug`, `solutions/03`, `bonus` and
            `solutions` (all of them), or a path below `notebooks/`; none for all of `kinds`.
        root: the folder that holds `notebooks/`.
        kinds: what is meant when no name is given.

    Returns:
        Paths in the order of the names, none twice.

    Raises:
        ValueError: if a name fits no notebook; the message lists what there is.
    """
    names = list(names or [])
    chosen = notebooks.resolve(names, root) if names else notebooks.find(root, kinds)
    if not chosen:
        raise ValueError(f"There is no notebook to run under {root / 'notebooks'}.")
    return chosen


def _check_profile(job: _Job) -> None:
    if job.profile not in PROFILES:
        raise ValueError(f"No profile {job.profile!r}; there are {', '.join(PROFILES)}.")
    if job.store and job.profile == "smoke":
        raise ValueError(
            "The smoke profile is for tests; its outputs are not stored. "
            "Unset COURSE_PROFILE or set it to cpu."
        )


def _skipped(path: Path, job: _Job) -> _Row | None:
    """The table's row of a notebook that need not run again, else None."""
    try:
        stamp = notebooks.read_stamp(job.copy_of(path))
    except ValueError:  # a damaged copy is no copy
        return None
    if not stamp:
        return None
    now = notebooks.read(path)
    made_by = (notebooks.code_hash(now), notebooks.revision_of(now), job.profile)
    if made_by != (stamp["code"], stamp["helpers"], stamp["profile"]):
        return None
    cost = Outcome(stamp["seconds"], stamp["peak_memory_bytes"], stamp.get("slowest", ""))
    return _Row(job.label(path), "skipped: unchanged", cost, stamp.get("differs", []))


def _run_one(path: Path, job: _Job) -> _Row:
    """Run one notebook and write it where it belongs, once."""
    label, before = job.label(path), path.read_bytes()
    try:
        notebook = notebooks.read(path)
    except ValueError as error:
        outcome = Outcome(failure="failed: not a readable notebook", message=str(error))
        return _finish(_Row(label, outcome.failure, outcome), None, path, job)
    clear(notebook)
    # The source's stamp must go too: a failed copy that kept it would pass for a finished one.
    notebook.metadata.pop(notebooks.STAMP_KEY, None)
    if not job.speed:
        job.speed = _speed(job.echo)
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        verdicts = Path(folder) / "verdicts.jsonl"
        outcome = run_cells(
            notebook,
            label=label,
            cwd=path.parent,
            env=_environment(job, verdicts),
            timeout=job.timeout,
            echo=job.echo,
        )
        # Recorded verdicts are those of `cpu`; another profile's sizes may well decide otherwise.
        differs = _differing(verdicts) if job.profile == "cpu" else []
    if job.store and not outcome.failure and path.read_bytes() != before:
        outcome.failure = "failed: changed while it ran"
        outcome.message = "the notebook was edited while it ran, so its outputs were not stored"
    normalise(notebook)
    return _finish(_Row(label, outcome.failure or "ran", outcome, differs), notebook, path, job)


def _finish(row: _Row, notebook, path: Path, job: _Job) -> _Row:
    """Write the notebook: with a stamp if it ran, else as a copy for reading."""
    target = path if job.store and not row.outcome.failure else job.copy_of(path)
    if row.outcome.failure:
        job.echo(f"[{row.label}] {row.outcome.message}")
    else:
        notebook.metadata[notebooks.STAMP_KEY] = _stamp(notebook, row, job)
    if notebook is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        notebooks.write(target, notebook)
    if row.outcome.failure and notebook is not None:
        job.echo(f"[{row.label}] read its outputs in {target}")
    return row


def _stamp(notebook, row: _Row, job: _Job) -> dict:
    cost = row.outcome
    stamp = {
        "profile": job.profile,
        "device": cost.device,
        "code": notebooks.code_hash(notebook),
        "helpers": notebooks.revision_of(notebook),
        "seconds": round(cost.seconds, 3),
        "peak_memory_bytes": cost.peak_memory_bytes,
        "speed": round(job.speed, 1),
        "versions": cost.versions or {"python": platform.python_version()},
    }
    if not job.store:  # a copy that is skipped next time still has to tell these
        stamp |= {"slowest": cost.slowest, "differs": row.differs}
    return stamp


def _environment(job: _Job, verdicts: Path) -> dict[str, str]:
    chosen = {"COURSE_PROFILE": job.profile, "COURSE_VERDICTS": str(verdicts)}
    if job.store:
        chosen["COURSE_PROGRESS"] = "0"
    return kernel_environment(chosen)


def _speed(echo: Callable[[str], None]) -> float:
    """Training speed of this machine, so that another can be told its own minutes."""
    from helpers.speed import training_speed

    try:
        return training_speed(seconds=1.0)
    except ImportError as error:
        echo(f"The speed of this machine is not recorded: {error}.")
        return 0.0


def _differing(path: Path) -> list[dict]:
    """Claims whose verdict is not the recorded one; a line that is no JSON counts as one."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # the kernel died while it wrote
            found.append({"claim": line[:60], "verdict": "unreadable", "recorded": None})
    return [item for item in found if item.get("recorded") != item.get("verdict")]


def _report(rows: list[_Row], strict: bool, echo: Callable[[str], None]) -> None:
    head = ("notebook", "minutes", "peak GB", "slowest cell", "state")
    body = [
        (
            row.label,
            f"{row.outcome.seconds / 60:.1f}",
            f"{row.outcome.peak_memory_bytes / 1e9:.1f}",
            row.outcome.slowest or "-",
            row.state,
        )
        for row in rows
    ]
    if body:
        _table(head, body, echo)
    differs = [(row.label, item) for row in rows for item in row.differs]
    if not differs:
        return
    echo("")
    echo("Verdicts that differ from the recorded ones" + (":" if strict else " (a note):"))
    head = ("notebook", "claim", "recorded", "now", "value", "low", "high")
    keys = ("claim", "recorded", "verdict", "value", "low", "high")
    _table(head, [(label, *(str(item.get(key)) for key in keys)) for label, item in differs], echo)


def _table(head: tuple, body: list[tuple], echo: Callable[[str], None]) -> None:
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    echo("")
    for row in [head, *body]:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
