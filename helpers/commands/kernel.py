"""One notebook in one kernel: run its cells in order, say how it goes, measure what it costs.

The kernel always is the Python that runs this code. A kernel registered elsewhere under the name
`python3` would run the course with other packages.
"""

import ast
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from helpers.runtime import ROOT

__all__ = ["Outcome", "clear", "kernel_environment", "normalise", "run_cells"]

KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}
# Warnings of the kernel itself (its transport is not encrypted) would alarm and do not concern us.
KERNEL_OPTIONS = ("-f", "{connection_file}", "--log-level=ERROR")
SAMPLE_SECONDS = 0.1
STARTUP_SECONDS = 120  # a cold disk and a busy machine: importing ipykernel can take a minute


@dataclass
class Outcome:
    """What running a notebook gave: its cost, where it ran, and what stopped it, if anything did.

    `peak_memory_bytes` is the whole resident size of the kernel and its children: what a learner's
    machine has to hold. `failure` is empty when every cell ran, else `failed at cell 3: KeyError`.
    """

    seconds: float = 0.0
    peak_memory_bytes: int = 0
    slowest: str = ""
    device: str = "unknown"
    versions: dict[str, str] = field(default_factory=dict)
    failure: str = ""
    message: str = ""


class _Memory:
    """Samples the resident size of a process and its children in a thread."""

    def __init__(self, pid: int):
        import psutil

        self.peak = 0
        self._psutil, self._process = psutil, psutil.Process(pid)
        self._family = [self._process]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        count, last = 0, False
        while not last:
            last = self._done.wait(SAMPLE_SECONDS if count else 0)
            # Listing children walks every process of the machine: too dear for every sample.
            if count % 10 == 0:
                self._family = [self._process, *self._children()]
            count += 1
            self.peak = max(self.peak, sum(self._size(process) for process in self._family))

    def _children(self) -> list:
        try:
            return self._process.children(recursive=True)
        except self._psutil.Error:
            return []

    def _size(self, process) -> int:
        try:
            return process.memory_info().rss
        except self._psutil.Error:  # it ended between two samples
            return 0

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self.peak


def run_cells(
    notebook,
    *,
    label: str,
    cwd: Path,
    env: dict[str, str],
    timeout: int | None = 3600,
    echo: Callable[[str], None] = print,
) -> Outcome:
    """Run every code cell of a notebook; its outputs appear in `notebook` itself.

    Args:
        notebook: an nbformat notebook; cells after a failing one stay without outputs.
        label: what progress lines begin with.
        cwd: the folder the kernel runs in.
        env: the whole environment of the kernel.
        timeout: seconds allowed to one cell; None for no limit.
        echo: receives one line a cell, when the cell ends.

    Returns:
        The Outcome; a cell's error is reported in it, never raised.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after the kernel was shut down.
    """
    outcome, start = Outcome(), time.perf_counter()
    client = _client(notebook, cwd, timeout)
    try:
        with _kernel(client, env), _sampled(client, outcome):
            start = time.perf_counter()
            _run_all(client, label, echo, outcome)
            outcome.seconds = time.perf_counter() - start
            if not outcome.failure:
                outcome.device, outcome.versions = _ask_run(client)
    except (RuntimeError, OSError) as error:
        # nbclient and jupyter_client say with a RuntimeError that a kernel did not come up.
        outcome.failure = outcome.failure or f"failed in the kernel: {type(error).__name__}"
        outcome.message = outcome.message or str(error)
    outcome.seconds = outcome.seconds or time.perf_counter() - start
    if outcome.failure.endswith("DeadKernelError"):
        outcome.message += f"; peak was {outcome.peak_memory_bytes / 1e9:.1f} GB)"
    return outcome


def clear(notebook) -> None:
    """Take the outputs of earlier runs out of a notebook."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def normalise(notebook) -> None:
    """Leave out of a notebook what differs between machines without meaning anything."""
    notebook.metadata["kernelspec"] = dict(KERNELSPEC)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def kernel_environment(chosen: dict[str, str]) -> dict[str, str]:
    """The environment of a kernel: this process's, then `chosen`; paths made absolute.

    A kernel runs in the notebook's folder, where a relative path would mean another place.
    """
    env = {"COURSE_PROGRESS": "0", **os.environ, **chosen}
    env.pop("MPLBACKEND", None)  # figures belong into the outputs, whatever a shell has set
    for name in ("COURSE_RESULTS", "COURSE_CACHE"):
        if env.get(name) and not env[name].startswith("~"):
            env[name] = str(Path(env[name]).resolve())
    for name in ("COURSE_ENCODER", "COURSE_DECODER"):  # a path, or a model's id on a hub
        if env.get(name) and Path(env[name]).exists():
            env[name] = str(Path(env[name]).resolve())
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else a warning lands in the first cell's output
    return env


def _client(notebook, cwd: Path, timeout: int | None):
    import logging

    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient import NotebookClient

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            command = [sys.executable, "-m", "ipykernel_launcher", *KERNEL_OPTIONS]
            return KernelSpec(argv=command, display_name="Python 3", language="python")

    # What nbclient logs about a time-out or a dead kernel is in the Outcome, in plainer words.
    logger = logging.getLogger("helpers.commands.kernel")
    logger.setLevel(logging.CRITICAL)
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=ThisPython(), log=logger
    )
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=timeout,
        startup_timeout=STARTUP_SECONDS,
        record_timing=False,
        shutdown_kernel="immediate",
        coalesce_streams=True,
        resources={"metadata": {"path": str(cwd)}},
        log=logger,
    )
    client.owns_km = True
    return client


@contextmanager
def _kernel(client, env: dict[str, str]):
    """A running kernel that is gone afterwards, whatever happened."""
    import asyncio

    from jupyter_core.utils import ensure_event_loop

    try:
        with client.setup_kernel(env=env):
            try:
                yield
            except KeyboardInterrupt:
                # What waits for the kernel's replies would wait on while it is being shut down.
                loop = ensure_event_loop()
                waiting = asyncio.all_tasks(loop)
                for task in waiting:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
                raise
    finally:
        if client.km is not None and client.km.has_kernel:
            client._cleanup_kernel()


@contextmanager
def _sampled(client, outcome: Outcome):
    memory = _Memory(client.km.provisioner.pid)
    try:
        yield
    finally:
        outcome.peak_memory_bytes = memory.stop()


def _run_all(client, label: str, echo: Callable[[str], None], outcome: Outcome) -> None:
    """Run the cells until one fails, which is written to `outcome`."""
    cells = [
        (index, cell)
        for index, cell in enumerate(client.nb.cells)
        if cell.cell_type == "code" and cell.source.strip()
    ]
    slowest = 0.0
    for number, (index, cell) in enumerate(cells, start=1):
        place = f"[{label}] cell {number}/{len(cells)}"
        with _running_line(place, echo):
            start = time.perf_counter()
            error = _run_cell(client, cell, index, number)
            seconds = time.perf_counter() - start
        mark = f"  {error[0].rpartition(': ')[2]}" if error else ""
        echo(f"{place}  {seconds:.1f} s{mark}  {_first_line(cell.source)}")
        if seconds > slowest:
            slowest, outcome.slowest = seconds, f"cell {number}: {seconds:.1f} s"
        if error:
            outcome.failure, outcome.message = error
            return


def _run_cell(client, cell, index: int, number: int) -> tuple[str, str] | None:
    """Run one cell; None if it ran, else what failed in a phrase and in a sentence."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    failed = f"failed at cell {number}: "
    try:
        client.execute_cell(cell, index, execution_count=number)
    except CellExecutionError as error:
        return failed + error.ename, f"cell {number} raised {error.ename}: {error.evalue}"
    except CellTimeoutError:
        message = f"cell {number} took longer than the {client.timeout} s allowed to one cell"
        return failed + "CellTimeoutError", message
    except DeadKernelError:
        return failed + "DeadKernelError", f"the kernel died in cell {number} (often: out of memory"
    return None


def _ask_run(client) -> tuple[str, dict[str, str]]:
    """Ask the kernel's own `run` object for its device and versions, adding no cell."""
    wanted = {"device": "run.device_name", "versions": "run.versions"}
    message = client.kc.execute("", silent=True, store_history=False, user_expressions=wanted)
    reply = client.wait_for_reply(message) or {"content": {}}
    answers = reply["content"].get("user_expressions", {})
    found = {
        name: ast.literal_eval(answer["data"]["text/plain"])
        for name, answer in answers.items()
        if answer.get("status") == "ok"  # a notebook without a `run` has nothing to tell
    }
    return found.get("device", "unknown"), found.get("versions", {})


@contextmanager
def _running_line(place: str, echo: Callable[[str], None]):
    """On a terminal, show what runs now; the line is gone when the cell has ended."""
    if echo is not print or not sys.stdout.isatty():
        yield
        return
    line = f"{place}  running"
    print(line, end="", flush=True)
    try:
        yield
    finally:
        sys.stdout.write("\r" + " " * len(line) + "\r")


def _first_line(source: str, width: int = 60) -> str:
    line = source.strip().splitlines()[0]
    return line if len(line) <= width else line[: width - 3] + "..."
