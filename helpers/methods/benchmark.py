"""The grid behind the reference ledger: methods x budgets x seeds, resumable at any point.

What the ledger already has is skipped, so a killed run goes on where it stopped. A row counts only
if it is not older than the frozen choice it was made with: when a method's configurations change,
or with `again`, the choice is made anew and every row of the method is due again.
"""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from helpers import ledger
from helpers import methods as experiments
from helpers.files import write_text
from helpers.methods import Corpus, Method
from helpers.revision import revision
from helpers.runtime import PROFILES, Run, results_dir, usable_precision, versions

__all__ = ["benchmark"]


def benchmark(
    part: str,
    names: Iterable[str] = (),
    *,
    profile: str = "cpu",
    again: bool = False,
    dry_run: bool = False,
    path: Path | None = None,
    choices_path: Path | None = None,
    echo: Callable[[str], None] = print,
) -> int:
    """Run what is missing of one part of the grid, and add it to the reference ledger.

    Args:
        part: whose methods: an era, or `"named_entities"` (see `experiments.PARTS`).
        names: some of its methods; all of them without.
        profile: sizes, as everywhere.
        again: run the named methods anew, configurations included; later rows replace earlier.
        dry_run: say what is missing and run nothing.
        path: the ledger to read and write; the reference without.
        choices_path: where frozen configurations are kept; beside the reference ledger without.
        echo: receives a line for each cell.

    Returns:
        0 when nothing is missing any more.

    Raises:
        ValueError: if the part, a method or the profile is unknown.
    """
    corpus = Corpus(_profile(profile))
    own = results_dir() / "benchmark"  # a trial in `smoke` has no place among the reference
    path = path or (own / "ledger.jsonl" if profile == "smoke" else ledger.REFERENCE)
    choices_path = choices_path or (
        own / "choices.json" if profile == "smoke" else experiments.CHOICES
    )
    methods, run = _named(experiments.methods_of(part), names), _run(profile, part)
    frozen = {m.name: _frozen(m, profile, choices_path, again) for m in methods}
    done = {_key(row) for row in ledger.read(path) if _counts(row, frozen)}
    todo = _missing(methods, corpus, done, profile)
    echo(f"{part}: {len(todo)} of {_size(methods, corpus)} cells to run, profile {profile}")
    if dry_run or not todo:
        return 0
    clock = _Clock(len(todo))
    for method in methods:
        cells = [cell for cell in todo if cell[0] is method]
        if not cells:
            continue
        choice = frozen[method.name] or _choose(method, corpus, choices_path, echo)
        configuration = choice["configuration"]
        echo(f"{method.name}: {configuration}")
        for _, budget, seed in cells:
            cell = experiments.run_cell(method, corpus, budget, seed, configuration, "test")
            ledger.append(_rows(run, method, corpus, budget, cell), path)  # together, or not at all
            value = method.task.figure(cell.correct)
            echo(f"{clock.tick()}  {method.name}, {budget} labels, seed {seed}: {value:.3f}")
    return 0


def _rows(run: Run, method: Method, corpus: Corpus, budget: int | str, cell) -> list[dict]:
    """What a cell adds to the ledger: its own row, and what was looked at afterwards."""
    rows = [experiments.to_row(run, method, corpus, cell)]
    if method.afterwards and budget in method.afterwards_at:
        rows += method.afterwards(run, method, corpus, cell)
    return rows


class _Clock:
    """Counts cells and says how long the rest will take, from the mean so far."""

    def __init__(self, total: int):
        self.total, self.done, self.start = total, 0, time.perf_counter()

    def tick(self) -> str:
        self.done += 1
        seconds = time.perf_counter() - self.start
        left = seconds / self.done * (self.total - self.done)
        return f"[{self.done}/{self.total}] {seconds:.0f} s, about {left:.0f} s left"


def _named(methods: dict[str, Method], names: Iterable[str]) -> list[Method]:
    names = list(names) or list(methods)
    unknown = [name for name in names if name not in methods]
    if unknown:
        raise ValueError(f"No method {unknown[0]!r}; there are {', '.join(methods)}.")
    return [methods[name] for name in names]


def _profile(name: str):
    if name not in PROFILES:
        raise ValueError(f"No profile {name!r}; there are {', '.join(PROFILES)}.")
    return PROFILES[name]


def _run(profile: str, part: str) -> Run:
    """The run that signs the rows: like a notebook's, without one."""
    import torch

    cuda = profile == "gpu" and torch.cuda.is_available()
    device = "cuda" if cuda else "cpu"
    threads = torch.get_num_threads()
    return Run(
        f"benchmark {part}",
        PROFILES[profile],
        0,
        device,
        usable_precision(device),
        threads,
        versions=versions(),
        revision=revision(f"from helpers import methods\nfrom helpers.methods import {part}"),
    )


def _key(row: dict) -> tuple:
    return row["method"], row["labels"], row["seed"], row["profile"], row["metric"], row["task"]


def _missing(methods, corpus: Corpus, done: set, profile: str) -> list[tuple]:
    return [
        (method, budget, seed)
        for method in methods
        for budget in method.budgets(corpus.profile)
        for seed in method.seeds(corpus.profile, budget)
        if _cell_key(method, corpus, budget, seed, profile) not in done
    ]


def _cell_key(method: Method, corpus: Corpus, budget: int | str, seed: int, profile: str) -> tuple:
    """What `_key` will give for the row of a cell."""
    task = method.task
    labels = task.labels(corpus, budget)
    return method.name, labels, seed, profile, task.metric, task.name


def _size(methods, corpus: Corpus) -> int:
    return len(_missing(methods, corpus, set(), ""))


def _choice_key(method: Method, profile: str) -> str:
    return method.name if profile == "cpu" else f"{method.name} ({profile})"


def _frozen(method: Method, profile: str, path: Path, again: bool) -> dict | None:
    """The choice made before, unless it is unwanted or was made among other configurations."""
    choice = experiments.reference_choices(path).get(_choice_key(method, profile))
    tried = [entry["configuration"] for entry in choice["tried"]] if choice else []
    return None if again or tried != [dict(c) for c in method.configurations] else choice


def _counts(row: dict, frozen: dict[str, dict | None]) -> bool:
    choice = frozen.get(row["method"])
    return choice is not None and row["time"] >= choice["time"]


def _choose(method: Method, corpus: Corpus, path: Path, echo) -> dict:
    """Choose a configuration by the course's rule, and keep the choice before any row is made."""
    echo(f"{method.name}: choosing among {len(method.configurations)} configurations")
    choice = experiments.choose(method, corpus)
    choice["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    choices = experiments.reference_choices(path)
    choices[_choice_key(method, corpus.profile.name)] = choice
    write_text(path, json.dumps(choices, indent=1, ensure_ascii=False) + "\n")
    return choice
