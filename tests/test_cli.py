"""The `course` command: quick to answer, plain about mistakes, the same from make."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.commands import cli
from helpers.runtime import ROOT

HEAVY = ("torch", "transformers", "datasets", "pandas", "sklearn", "matplotlib", "numpy")
COMMANDS = set(
    "doctor finetune grid lab lint predict prefetch pretrain reset run sync test".split()
)


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def course(*arguments: str) -> subprocess.CompletedProcess:
    return python("-m", "helpers.commands.cli", *arguments)


def seconds(*arguments: str) -> float:
    """The best of three runs: what the command needs when the machine does not get in the way."""

    def once() -> float:
        start = time.perf_counter()
        assert python(*arguments).returncode == 0
        return time.perf_counter() - start

    return min(once() for _ in range(3))


def test_importing_the_package_is_instant():
    assert seconds("-c", "import helpers") - seconds("-c", "pass") < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["reset", "no-such"]])
def test_help_and_mistakes_load_nothing_heavy(arguments):
    code = "import sys\nfrom helpers.commands import cli\ntry:\n    cli.main(sys.argv[1:])\n"
    code += "finally:\n    print('LOADED', *sorted(sys.modules))"
    last = python("-c", code, *arguments).stdout.splitlines()[-1]
    assert last.startswith("LOADED ")
    assert not set(HEAVY) & set(last.split())


def test_help_lists_every_command():
    assert set(COMMANDS) <= set(course("--help").stdout.split())


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["reset", "no-such"], ["'no-such'", "00_start"]),
        (["run", "no-such"], ["'no-such'", "00_start"]),
        (["prefetch", "no-such"], ["'no-such'", "reviews"]),
        (["run", "--profile", "huge"], ["'huge'", "smoke, cpu, gpu"]),
        (["grid", "stone-age"], ["'stone-age'", "classical"]),
    ],
)
def test_a_mistake_is_one_line_that_names_it_and_what_there_is(arguments, names, capsys):
    assert cli.main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"course {arguments[0]}: ") and all(name in line for name in names)


def test_an_unknown_command_is_refused_with_the_usage():
    ended = course("frobnicate")
    assert ended.returncode == 2
    assert "usage: course" in ended.stderr and "lab" in ended.stderr


def test_ctrl_c_ends_with_130_and_an_unforeseen_error_keeps_its_traceback(monkeypatch, capsys):
    raised = iter([KeyboardInterrupt, KeyError("a mistake of ours")])

    def broken():
        raise next(raised)

    monkeypatch.setattr("helpers.commands.doctor.doctor", broken)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "\ncourse doctor: stopped.\n"
    with pytest.raises(KeyError):
        cli.main(["doctor"])


@pytest.mark.parametrize(
    ("line", "function", "wanted"),
    [
        ("test --quick --workers 1 a.py", "helpers.commands.testing.run_tests",
         {"paths": ["a.py"], "workers": 1, "quick": True}),
        ("run 3 --store --profile gpu", "helpers.commands.execute.run",
         {"names": ["3"], "store": True, "profile": "gpu", "resume": True, "strict": None}),
        ("run --again --strict", "helpers.commands.execute.run",
         {"names": [], "store": False, "profile": None, "resume": False, "strict": True}),
        ("grid bert --method a --method b --profile gpu --dry-run", "helpers.grid.run_missing",
         {"part": "bert", "names": ["a", "b"], "profile": "gpu", "again": False, "dry_run": True}),
        ("lab --no-browser", "helpers.commands.lab.lab", {"open_browser": False, "port": 8888}),
        ("predict x yes --text t", "helpers.finetune.predict",
         {"folder": Path("x"), "text": "yes", "column": "t", "file": None, "output": None,
          "encoding": "utf-8", "max_new_tokens": 60, "base": None}),
    ],
)  # fmt: skip
def test_options_and_exit_codes_pass_through(monkeypatch, line, function, wanted):
    asked = []
    monkeypatch.setattr(function, lambda **given: asked.append(given) or 7)
    monkeypatch.setattr("helpers.commands.sync.sync", lambda: asked.append("sync"))
    assert cli.main(line.split()) == 7
    assert asked == [wanted] + (["sync"] if "--store" in line else [])


def test_every_make_target_is_a_course_command_and_make_course_is_strict():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    rule = re.compile(r"^(\w[\w-]*): ;\s*@\$\(COURSE\) (\w+)( --strict)?$", re.M)
    targets = {target: command for target, command, _ in rule.findall(text)}
    assert ("course", "run", " --strict") in rule.findall(text)  # every claim and its verdict
    [phony] = re.findall(r"^\.PHONY: (.+)$", text, re.M)
    rules = set(re.findall(r"^(\w[\w-]*):", text, re.M))
    assert set(targets) == set(phony.split()) == rules
    assert {"lab", "test", "course"} <= set(targets)
    parser = cli._parser()
    for command in targets.values():
        assert parser.parse_args([command]).command == command


@pytest.mark.skipif(os.name == "nt", reason="bash and make are not there by default")
def test_a_fresh_machine_is_tested_with_make_test():
    script = ROOT / ".ci" / "run"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert lines[-1] == "make test"
    assert os.access(script, os.X_OK)
