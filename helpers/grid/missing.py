"""What a ledger lacks of the grid, and the command that runs it."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from helpers import ledger
from helpers.files import write_text
from helpers.grid.cells import CHOICES, choose, reference_choices, run_cell, to_rows
from helpers.grid.registry import MODULES, methods_of
from helpers.methods import Corpus, Method
from helpers.revision import revision
from helpers.runtime import PROFILES, Profile, Run, results_dir, versions

__all__ = ["missing_cells", "run_missing"]


def run_missing(
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
    """Run the missing cells of one part of the grid, append them to the ledger, and return 0.

    An interrupted run resumes. A row counts only if it is not older than the frozen choice it was
    made with: when a method's configurations change, or with `again`, the choice is made anew and
    every row is due again.

    Args:
        part: one of `PARTS`.
        names: some of its methods; by default all.
        again: run the methods anew, choices included; later rows replace earlier ones.
        path, choices_path: the ledger, and where choices are kept; by default those in `data/`, but
            for `smoke` a folder under `results/`, so that trials stay out of the reference.

    Raises:
        ValueError: if the part, a method or the profile is unknown.
    """
    if profile not in PROFILES:
        raise ValueError(f"No profile {profile!r}; there are {', '.join(PROFILES)}.")
    corpus, methods = Corpus(PROFILES[profile]), _named(methods_of(part), names)
    trial = results_dir() / "grid"
    path = path or (trial / "ledger.jsonl" if profile == "smoke" else ledger.REFERENCE)
    choices_path = choices_path or (trial / "choices.json" if profile == "smoke" else CHOICES)
    frozen = {} if again else _frozen(methods, profile, choices_path)
    rows = [row for row in ledger.comparable(ledger.read(path), profile) if row["method"] in frozen]
    rows = [row for row in rows if row["time"] >= frozen[row["method"]]["time"]]
    missing = missing_cells(methods, corpus, rows)
    total = sum(map(len, missing_cells(methods, corpus, []).values()))
    due, done, start = sum(map(len, missing.values())), 0, time.perf_counter()
    echo(f"{part}: {due} of {total} cells to run, profile {profile}")
    if dry_run:
        return 0
    run = _new_run(corpus.profile, part)
    for method in filter(lambda method: missing[method.name], methods):
        choice = frozen.get(method.name) or _choose(method, corpus, choices_path, echo)
        echo(f"{method.name}: {choice['configuration']}")
        for budget, seed in missing[method.name]:
            cell = run_cell(method, corpus, budget, seed, choice["configuration"], "test")
            # In one call, so that an interruption leaves all rows of a cell or none.
            ledger.append(to_rows(run, method, corpus, budget, cell), path)
            done, seconds = done + 1, time.perf_counter() - start
            left = seconds / done * (due - done)
            score = f"{budget} labels, seed {seed}: {method.task.score(cell.correct):.3f}"
            clock = f"[{done}/{due}] {seconds:.0f} s, about {left:.0f} s left"
            echo(f"{clock}  {method.name}, {score}")
    return 0


def missing_cells(
    methods: Iterable[Method], corpus: Corpus, rows: Iterable[dict]
) -> dict[str, list[tuple[int | str, int]]]:
    """Planned cells that rows lack, in running order: {method name: [(budget, seed), ...]}."""
    keys = ("method", "task", "metric", "profile", "labels", "seed")
    done = {tuple(row[key] for key in keys) for row in rows}
    profile, missing = corpus.profile, {}
    for method in methods:
        task = method.task
        known = (method.name, task.name, task.metric, profile.name)
        missing[method.name] = [
            (budget, seed)
            for budget in method.budgets(profile)
            for seed in method.seeds(profile, budget)
            if (*known, task.labels(corpus, budget), seed) not in done
        ]
    return missing


def _named(methods: dict[str, Method], names: Iterable[str]) -> list[Method]:
    names = list(names) or list(methods)
    unknown = [name for name in names if name not in methods]
    if unknown:
        raise ValueError(f"No method {unknown[0]!r}; there are {', '.join(methods)}.")
    return [methods[name] for name in names]


def _new_run(profile: Profile, part: str) -> Run:
    """The run that signs the rows, like a notebook's."""
    device = "cuda" if profile.name == "gpu" and torch.cuda.is_available() else "cpu"
    modules = ", ".join(module.__name__.rpartition(".")[2] for module in MODULES[part])
    code = f"from helpers.grid import run_cell\nfrom helpers.methods import {modules}"
    return Run(
        notebook=f"grid {part}",
        profile=profile,
        seed=0,
        device=device,
        threads=torch.get_num_threads(),
        versions=versions(),
        revision=revision(code),
    )


def _frozen(methods: Iterable[Method], profile: str, path: Path) -> dict[str, dict]:
    """Earlier choices whose configurations have not changed since, by method name."""
    choices, frozen = reference_choices(path), {}
    for method in methods:
        choice = choices.get(_choice_key(method, profile), {"tried": []})
        tried = [entry["configuration"] for entry in choice["tried"]]
        if tried == [dict(configuration) for configuration in method.configurations]:
            frozen[method.name] = choice
    return frozen


def _choice_key(method: Method, profile: str) -> str:
    return method.name if profile == "cpu" else f"{method.name} ({profile})"


def _choose(method: Method, corpus: Corpus, path: Path, echo: Callable[[str], None]) -> dict:
    """Choose a configuration by the course's rule, and save the choice before any row is made."""
    echo(f"{method.name}: choosing among {len(method.configurations)} configurations")
    choice = choose(method, corpus)
    choice["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    choices = reference_choices(path)
    choices[_choice_key(method, corpus.profile.name)] = choice
    write_text(path, json.dumps(choices, indent=1, ensure_ascii=False) + "\n")
    return choice
