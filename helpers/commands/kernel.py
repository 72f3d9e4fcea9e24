"""Run one notebook in one kernel: execute its cells, report progress, measure the cost."""

import ast
import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

__all__ = ["Outcome", "run_cells"]

SAMPLE_SECONDS = 0.1
STARTUP_SECONDS = 120  # on a cold disk, importing ipykernel can take a minute
# The Outcome says in plainer words what nbclient logs about a time-out or a dead kernel.
SILENT = logging.getLogger("helpers.commands.kernel")
SILENT.setLevel(logging.CRITICAL)


@dataclass
class Outcome:
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
        """Whether the notebook did not reach its end."""
        return self.state.startswith("failed")


def run_cells(
    notebook,
    outcome: Outcome,
    *,
    cwd: Path,
    env: dict[str, str],
    timeout: int | None = 3600,
    echo: Callable[[str], None] = print,
) -> None:
    """Run code cells in order until one fails; fills in the outputs of `notebook`, and `outcome`.

    `env` is the kernel's whole environment, `timeout` is in seconds per cell (None: no limit),
    `echo` receives a line when a cell ends, which begins with the outcome's label.
    """
    watch = _Watch(notebook, outcome, echo)
    client = _client(notebook, watch, cwd, timeout)
    try:
        with client.setup_kernel(env=env), _interruptible(), _measured(client, outcome):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
            _ask_run(client, outcome)
    except CellExecutionError:
        pass  # `watch` has noted it
    except CellTimeoutError:
        watch.stopped("CellTimeoutError", f"took longer than the {timeout} s allowed to one cell")
    except DeadKernelError:
        peak = f"{outcome.peak_memory_bytes / 1e9:.1f} GB"
        watch.stopped("DeadKernelError", f"ended the kernel (often: out of memory; peak {peak})")
    except (RuntimeError, OSError) as error:  # the kernel did not come up
        outcome.state = f"failed in the kernel: {type(error).__name__}"
        outcome.message = str(error)


def _client(notebook, watch: "_Watch", cwd: Path, timeout: int | None) -> NotebookClient:
    return NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout,
        startup_timeout=STARTUP_SECONDS,
        record_timing=False,
        shutdown_kernel="immediate",
        coalesce_streams=True,
        # The kernel warns that its transport is not encrypted, which does not concern a reader.
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(cwd)}},
        log=SILENT,
        on_cell_execute=watch.starts,
        on_cell_executed=watch.ended,
        on_cell_error=watch.failed,
    )


class _Watch:
    """Hooks for nbclient: a line per cell, the slowest cell, and what stopped the notebook."""

    def __init__(self, notebook, outcome: Outcome, echo: Callable[[str], None]):
        self.outcome, self.echo = outcome, echo
        self.total = sum(c.cell_type == "code" and bool(c.source.strip()) for c in notebook.cells)
        self.live = echo is print and sys.stdout.isatty()
        self.number, self.began, self.longest, self.first_line = 0, 0.0, 0.0, ""

    @property
    def place(self) -> str:
        return f"[{self.outcome.label}] cell {self.number}/{self.total}"

    def starts(self, cell, cell_index: int) -> None:
        self.number += 1
        self.began, self.first_line = time.perf_counter(), cell.source.strip().splitlines()[0]
        if self.live:
            print(f"{self.place}  running", end="", flush=True)

    def ended(self, cell, cell_index: int, execute_reply: dict) -> None:
        self._line(execute_reply["content"].get("ename", ""))

    def failed(self, cell, cell_index: int, execute_reply: dict) -> None:
        error = execute_reply["content"]
        self.outcome.state = f"failed at cell {self.number}: {error['ename']}"
        said = f"cell {self.number} raised {error['ename']}: {error['evalue']}"
        self.outcome.message = "\n".join([said, *error["traceback"]])

    def stopped(self, error: str, what: str) -> None:
        """Record that a cell ended without a reply."""
        self._line(error)
        self.outcome.state = f"failed at cell {self.number}: {error}"
        self.outcome.message = f"cell {self.number} {what}"

    def _line(self, error: str) -> None:
        seconds = time.perf_counter() - self.began
        if self.live:  # clear the "running" line
            print("\r" + " " * len(f"{self.place}  running"), end="\r")
        shown = self.first_line if len(self.first_line) <= 60 else f"{self.first_line[:57]}..."
        self.echo("  ".join(filter(None, [self.place, f"{seconds:.1f} s", error, shown])))
        if seconds > self.longest:
            self.longest, self.outcome.slowest = seconds, f"cell {self.number}: {seconds:.1f} s"


@contextmanager
def _interruptible() -> Iterator[None]:
    """After Ctrl-C, cancel pending waits for the kernel, so that it can be shut down."""
    try:
        yield
    except KeyboardInterrupt:
        loop = ensure_event_loop()
        waiting = asyncio.all_tasks(loop)
        for task in waiting:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
        raise


@contextmanager
def _measured(client: NotebookClient, outcome: Outcome) -> Iterator[None]:
    """Record the seconds, and the peak memory of the kernel and its children."""
    kernel, done = psutil.Process(client.km.provisioner.pid), threading.Event()

    def sample() -> None:
        family, count = [kernel], 0
        while count == 0 or not done.wait(SAMPLE_SECONDS):
            # Listing children walks all processes: too slow for every sample.
            if count % 10 == 0:
                with suppress(psutil.Error):
                    family = [kernel, *kernel.children(recursive=True)]
            count += 1
            size = sum(map(_resident_bytes, family))
            outcome.peak_memory_bytes = max(outcome.peak_memory_bytes, size)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    start = time.perf_counter()
    try:
        yield
    finally:
        outcome.seconds = time.perf_counter() - start
        done.set()
        sampler.join()


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it ended between two samples
        return 0


def _ask_run(client: NotebookClient, outcome: Outcome) -> None:
    """Read device and versions from the kernel's `run`, if it has one, without adding a cell."""
    wanted = {"run": "[run.device_name, run.versions]"}
    message = client.kc.execute("", silent=True, store_history=False, user_expressions=wanted)
    answer = client.wait_for_reply(message)["content"]["user_expressions"]["run"]
    if answer["status"] == "ok":
        outcome.device, outcome.versions = ast.literal_eval(answer["data"]["text/plain"])
