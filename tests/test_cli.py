"""The `course` command: quick to answer, plain about mistakes, the same from make."""

import os
import re
import subprocess
import sys
import time

import pytest

from helpers.commands import cli
from helpers.runtime import ROOT

HEAVY = ("torch", "transformers", "datasets", "pandas", "sklearn", "matplotlib", "numpy")
COMMANDS = {
    "doctor", "grid", "lab", "lint", "prefetch", "pretrain", "reset", "run", "sync",
    "test",
}  # fmt: skip


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
    assert set(course("--help").stdout.split()) >= COMMANDS


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


def test_an_unforeseen_error_keeps_its_traceback(monkeypatch):
    def broken(options):
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(cli, "_doctor", broken)
    with pytest.raises(KeyError):
        cli.main(["doctor"])


def test_ctrl_c_ends_with_130_and_without_traceback(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_doctor", interrupted)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "\ncourse doctor: stopped.\n"


@pytest.mark.parametrize(
    ("line", "function", "wanted"),
    [
        ("test --quick --workers 1 a.py", "helpers.commands.testing.run_tests",
         ((["a.py"],), {"workers": 1, "quick": True})),
        ("run 3 --store --profile gpu", "helpers.commands.execute.run",
         ((["3"],), {"store": True, "profile": "gpu", "resume": True, "strict": None})),
        ("run --again --strict", "helpers.commands.execute.run",
         (([],), {"store": False, "profile": None, "resume": False, "strict": True})),
        ("grid bert --method a --method b --profile gpu --dry-run", "helpers.grid.run_missing",
         (("bert", ["a", "b"]), {"profile": "gpu", "again": False, "dry_run": True})),
    ],
)  # fmt: skip
def test_options_and_exit_codes_pass_through(monkeypatch, line, function, wanted):
    asked = []
    monkeypatch.setattr(function, lambda *given, **options: asked.append((given, options)) or 7)
    monkeypatch.setattr("helpers.commands.sync.sync", lambda: asked.append("sync"))
    assert cli.main(line.split()) == 7
    assert asked == [wanted] + (["sync"] if "--store" in line else [])


def make_targets() -> dict[str, str]:
    """Target -> the `course` subcommand it runs."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    rule = re.compile(r"^(\w[\w-]*): ;\s*@(?:\w+=\w+ )*\$\(COURSE\) (\w+)", re.M)
    return dict(rule.findall(text))


def test_every_make_target_is_a_course_command():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = make_targets()
    [phony] = re.findall(r"^\.PHONY: (.+)$", text, re.M)
    rules = set(re.findall(r"^(\w[\w-]*):", text, re.M))
    assert set(targets) == set(phony.split()) == rules
    assert {"lab", "test", "course"} <= set(targets)
    parser = cli._parser()
    for command in targets.values():
        assert parser.parse_args([command]).command == command


def test_make_course_holds_every_claim_to_its_recorded_verdict():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^course: ;\s*@\$\(COURSE\) run --strict$", text, re.M)


@pytest.mark.skipif(os.name == "nt", reason="bash and make are not there by default")
def test_a_fresh_machine_is_tested_with_make_test():
    script = ROOT / ".ci" / "run"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert lines[-1] == "make test"
    assert os.access(script, os.X_OK)
