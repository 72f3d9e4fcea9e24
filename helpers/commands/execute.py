"""`course run`: notebooks executed in full, as copies in `results/course/` or stored in place.

A run can be killed at any moment: finished notebooks are kept, and the next run resumes after
them. Nothing is written into `notebooks/` unless the last cell was reached.
"""

import ast
import asyncio
import itertools
import json
import logging
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from helpers import notebooks
from helpers.runtime import PROFILES, ROOT, Profile, live, results_dir
from helpers.speed import training_speed

__all__ = ["run"]

# The Outcome says in plainer words what nbclient logs about a time-out or a dead kernel.
SILENT = logging.Logger("nbclient", logging.CRITICAL)


@dataclass
class _Job:
    """The choices of a run; `speed` is this machine's, in training steps per second."""

    root: Path
    out: Path
    profile: Profile
    store: bool
    timeout: int | None
    echo: Callable[[str], None]
    speed: float = 0.0

    def label(self, path: Path) -> str:
        return path.relative_to(self.root / "notebooks").with_suffix("").as_posix()

    def copy_of(self, path: Path) -> Path:
        return self.out / path.relative_to(self.root / "notebooks")


@dataclass
class _Outcome:
    """What running a notebook cost, where it ran, and what stopped it, if anything did.

    `peak_memory_bytes` is the resident size of the kernel and its children; `state` is `ran`,
    `skipped: unchanged` or `failed at cell 3: KeyError`; `differs` lists verdicts not as recorded.
    """

    label: str
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    slowest: str = ""
    device: str = "unknown"
    versions: dict[str, str] = field(default_factory=dict)
    differs: list[dict] = field(default_factory=list)
    state: str = "ran"
    message: str = ""

    @property
    def failed(self) -> bool:
        return self.state.startswith("failed")


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
    root, out = Path(root).resolve(), Path(out or results_dir() / "course").resolve()
    profile = profile or os.environ.get("COURSE_PROFILE") or "cpu"
    if profile not in PROFILES:
        raise ValueError(f"No profile {profile!r}; there are {', '.join(PROFILES)}.")
    if store and profile == "smoke":
        raise ValueError("Outputs of the smoke profile are not stored: set COURSE_PROFILE=cpu.")
    chosen = PROFILES[profile] if store else live(PROFILES[profile])  # stored: in float32
    job, names = _Job(root, out, chosen, store, timeout, echo), list(names)
    strict = os.environ.get("COURSE_STRICT", "") not in ("", "0") if strict is None else strict
    if strict and chosen != PROFILES["cpu"]:
        echo("Verdicts are compared in profile cpu and float32 alone: set COURSE_PRECISION=float32")
    outcomes, code = [], 0
    try:
        for path in notebooks.resolve(names, root) if names else notebooks.find(root, ["lesson"]):
            done = _unchanged(path, job) if resume and not store else None
            outcomes.append(done or _run_one(path, job))
    except KeyboardInterrupt:
        code = 130
        echo("Stopped. What is finished is kept; the same command goes on from here.")
    _report(outcomes, strict, echo)
    return code or int(any(each.failed or (strict and each.differs) for each in outcomes))


def _unchanged(path: Path, job: _Job) -> _Outcome | None:
    """The stored outcome of an earlier run by the same code and profile, if there is one."""
    try:
        stamp = notebooks.read_stamp(job.copy_of(path))
        wanted = notebooks.made_with(notebooks.read(path)) | {"profile": job.profile.name}
        wanted |= {"precision": job.profile.precision}
    except ValueError:  # a damaged copy is no copy
        return None
    if not stamp or not wanted.items() <= stamp.items():
        return None
    told = {key: stamp[key] for key in ("seconds", "peak_memory_bytes", "slowest", "differs")}
    return _Outcome(job.label(path), state="skipped: unchanged", **told)


def _run_one(path: Path, job: _Job) -> _Outcome:
    """Run one notebook and write it once, where it belongs."""
    outcome, before = _Outcome(job.label(path)), path.read_bytes()
    try:
        notebook = notebooks.read(path)
    except ValueError as error:
        outcome.state, outcome.message = "failed: not a readable notebook", str(error)
        job.echo(f"[{outcome.label}] {outcome.message}")
        return outcome
    notebooks.clear(notebook)
    job.speed = job.speed or training_speed(seconds=1.0)  # stored, to scale minutes by
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        verdicts = Path(folder) / "verdicts.jsonl"
        _run_cells(notebook, outcome, path.parent, _environment(job, verdicts), job)
        # Recorded verdicts are those of `cpu` in float32; others may decide otherwise.
        if job.profile == PROFILES["cpu"] and verdicts.exists() and not outcome.failed:
            lines = map(json.loads, verdicts.read_text(encoding="utf-8").splitlines())
            outcome.differs = [line for line in lines if line["recorded"] != line["verdict"]]
    if job.store and not outcome.failed and path.read_bytes() != before:
        outcome.state = "failed: changed while it ran"
        outcome.message = "the notebook was edited while it ran, so its outputs were not stored"
    # What differs between machines without meaning anything.
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata |= {"kernelspec": python, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    if outcome.failed:
        notebooks.write(job.copy_of(path), notebook)
        job.echo(f"[{outcome.label}] {outcome.message}\nRead its outputs in {job.copy_of(path)}")
    else:
        notebook.metadata[notebooks.STAMP_KEY] = _stamp(notebook, outcome, job)
        notebooks.write(path if job.store else job.copy_of(path), notebook)
    return outcome


def _environment(job: _Job, verdicts: Path) -> dict[str, str]:
    """This process's environment with the run's choices; paths absolute: the folder changes."""
    env = {"COURSE_PROGRESS": "0", **os.environ, "COURSE_VERDICTS": str(verdicts)}
    env |= {"COURSE_PROFILE": job.profile.name, "COURSE_PRECISION": job.profile.precision}
    env |= {"COURSE_PROGRESS": "0"} if job.store else {}
    env.pop("MPLBACKEND", None)  # else figures may miss from the outputs
    for name in ("COURSE_RESULTS", "COURSE_CACHE", "COURSE_ENCODER", "COURSE_DECODER"):
        given = env.get(name, "")  # perhaps the id of a model on a hub
        if given and not given.startswith("~") and ("CODER" not in name or Path(given).exists()):
            env[name] = str(Path(given).resolve())
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else the first output has a warning
    return env


def _stamp(notebook, outcome: _Outcome, job: _Job) -> dict:
    stamp = {
        "profile": job.profile.name,
        "precision": job.profile.precision,
        "device": outcome.device,
        **notebooks.made_with(notebook),
        "seconds": round(outcome.seconds, 3),
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "speed": round(job.speed, 1),
        "versions": outcome.versions or {"python": platform.python_version()},
    }
    told = {"slowest": outcome.slowest, "differs": outcome.differs}
    return stamp | ({} if job.store else told)  # what to report when the copy is skipped next time


def _report(outcomes: list[_Outcome], strict: bool, echo: Callable[[str], None]) -> None:
    costs = [("notebook", "minutes", "peak GB", "slowest cell", "state")]
    verdicts = [("notebook", "claim", "recorded", "now", "value", "low", "high")]
    keys = ("claim", "recorded", "verdict", "value", "low", "high")
    for each in outcomes:
        cost = f"{each.seconds / 60:.1f}", f"{each.peak_memory_bytes / 1e9:.1f}"
        costs.append((each.label, *cost, each.slowest or "-", each.state))
        verdicts += [(each.label, *(str(item.get(key)) for key in keys)) for item in each.differs]
    _print_table(costs, echo)
    if len(verdicts) > 1:
        echo("\nVerdicts that differ from the recorded ones" + (":" if strict else " (a note):"))
        _print_table(verdicts, echo)


def _print_table(table: list[tuple], echo: Callable[[str], None]) -> None:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    echo("")
    for row in table:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _run_cells(notebook, outcome: _Outcome, folder: Path, env: dict[str, str], job: _Job) -> None:
    """Run code cells in order until one fails; fills in the outputs of `notebook`, and `outcome`.

    `folder` is where the kernel starts, `env` its whole environment.
    """
    watch = _Watch(notebook, outcome, job)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=job.timeout,
        startup_timeout=120,  # on a cold disk, importing ipykernel can take a minute
        shutdown_kernel="immediate",
        coalesce_streams=True,
        # The kernel warns that its transport is not encrypted, which does not concern a reader.
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        log=SILENT,
        on_cell_execute=watch.begin,
        on_cell_executed=watch.end,
    )
    try:
        with client.setup_kernel(env=env), _measured(client, outcome):
            try:
                client.execute(cleanup_kc=False)
            except KeyboardInterrupt:  # end the waits for the kernel, so that it can be shut down
                loop = ensure_event_loop()
                waiting = asyncio.all_tasks(loop)
                for task in waiting:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
                raise
            _ask_run(client, outcome)
    except CellExecutionError as error:
        watch.fail(error.ename, f"raised {error.ename}: {error.evalue}\n{error.traceback}")
    except CellTimeoutError:
        watch.fail("CellTimeoutError", f"took longer than the {job.timeout} s allowed to one cell")
    except DeadKernelError:
        peak = f"{outcome.peak_memory_bytes / 1e9:.1f} GB"
        watch.fail("DeadKernelError", f"ended the kernel (often: out of memory; peak {peak})")
    except (RuntimeError, OSError) as error:  # the kernel did not come up
        outcome.state = f"failed in the kernel: {type(error).__name__}"
        outcome.message = str(error)


class _Watch:
    """Hooks for nbclient: a line per cell, the slowest cell, and what stopped the notebook."""

    def __init__(self, notebook, outcome: _Outcome, job: _Job):
        code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
        self.outcome, self.job, self.total, self.number = outcome, job, len(code), 0
        self.place, self.first, self.start, self.longest = "", "", time.perf_counter(), 0.0

    def begin(self, cell, cell_index: int) -> None:
        # After a signal nbclient would end the kernel, and then wait for its reply.
        with suppress(NotImplementedError):  # on Windows it handles none
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().remove_signal_handler(number)
        self.number += 1
        self.place = f"[{self.outcome.label}] cell {self.number}/{self.total}"
        self.first, self.start = cell.source.strip().splitlines()[0], time.perf_counter()
        if self.job.echo is print and sys.stdout.isatty():
            print(f"{self.place}  running", end="\r", flush=True)

    def end(self, cell, cell_index: int, execute_reply: dict) -> None:
        if execute_reply["content"]["status"] == "ok":
            self._tell()

    def fail(self, error: str, what: str) -> None:
        self._tell(error)
        self.outcome.state = f"failed at cell {self.number}: {error}"
        self.outcome.message = f"cell {self.number} {what}"

    def _tell(self, error: str = "") -> None:
        seconds = time.perf_counter() - self.start
        shown = self.first if len(self.first) <= 60 else f"{self.first[:57]}..."
        self.job.echo("  ".join(filter(None, [self.place, f"{seconds:.1f} s", error, shown])))
        if seconds > self.longest:
            self.longest, self.outcome.slowest = seconds, f"cell {self.number}: {seconds:.1f} s"


@contextmanager
def _measured(client: NotebookClient, outcome: _Outcome) -> Iterator[None]:
    """Record the seconds, and the peak memory of the kernel and its children."""
    kernel, done = psutil.Process(client.km.provisioner.pid), threading.Event()

    def sample() -> None:
        family = [kernel]
        for count in itertools.count():
            # Listing children walks all processes: too slow for every sample.
            if count % 10 == 0:
                with suppress(psutil.Error):
                    family = [kernel, *kernel.children(recursive=True)]
            size = 0
            for process in family:
                with suppress(psutil.Error):  # it ended between two samples
                    size += process.memory_info().rss
            outcome.peak_memory_bytes = max(outcome.peak_memory_bytes, size)
            if done.wait(0.1):
                return

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    start = time.perf_counter()
    try:
        yield
    finally:
        outcome.seconds = time.perf_counter() - start
        done.set()
        sampler.join()


def _ask_run(client: NotebookClient, outcome: _Outcome) -> None:
    """Read device and versions from the kernel's `run`, if it has one, without adding a cell."""
    wanted = {"run": "[run.device_name, run.versions]"}
    message = client.kc.execute("", silent=True, store_history=False, user_expressions=wanted)
    answer = client.wait_for_reply(message)["content"]["user_expressions"]["run"]
    if answer["status"] == "ok":
        outcome.device, outcome.versions = ast.literal_eval(answer["data"]["text/plain"])
