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
COMMANDS = {
    "benchmark", "doctor", "grid", "lab", "lint", "prefetch", "pretrain", "reset", "run", "sync",
    "test",
}  # fmt: skip


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def seconds(*arguments: str) -> float:
    """The best of three runs: what the command needs when the machine does not get in the way."""

    def once() -> float:
        start = time.perf_counter()
        assert python(*arguments).returncode == 0
        return time.perf_counter() - start

    return min(once() for _ in range(3))


def test_importing_the_package_is_instant():
    assert seconds("-c", "import helpers") - seconds("-c", "pass") < 0.5


def test_help_comes_at_once():
    assert seconds("-m", "helpers.commands.cli", "--help") < 3


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["reset", "no-such"]])
def test_help_and_mistakes_load_nothing_heavy(arguments):
    code = "import sys\nfrom helpers.commands import cli\ntry:\n    cli.main(sys.argv[1:])\n"
    code += "finally:\n    print('LOADED', *sorted(sys.modules))"
    last = python("-c", code, *arguments).stdout.splitlines()[-1]
    assert last.startswith("LOADED ")
    assert not set(HEAVY) & set(last.split())


def test_help_lists_every_command():
    shown = python("-m", "helpers.commands.cli", "--help").stdout
    assert set(shown.split()) >= COMMANDS


@pytest.mark.parametrize("command", ["reset", "run"])
def test_an_unknown_notebook_is_one_line_and_exit_2(command):
    ended = python("-m", "helpers.commands.cli", command, "no-such-notebook")
    assert ended.returncode == 2 and ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"course {command}: No notebook 'no-such-notebook'; there are 00_start")


def test_an_unknown_asset_is_told_with_the_ones_there_are():
    ended = python("-m", "helpers.commands.cli", "prefetch", "no-such-asset")
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.startswith("course prefetch: There is no asset 'no-such-asset'.")
    assert "reviews" in ended.stderr


def test_an_unknown_command_is_refused_with_the_usage():
    ended = python("-m", "helpers.commands.cli", "frobnicate")
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


def test_exit_codes_and_options_pass_through(monkeypatch):
    asked = {}

    def lab(open_browser, port):
        asked.update(open_browser=open_browser, port=port)
        return 7

    monkeypatch.setattr("helpers.commands.lab.lab", lab)
    assert cli.main(["lab", "--no-browser", "--port", "9000"]) == 7
    assert asked == {"open_browser": False, "port": 9000}


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


def test_the_grid_and_the_speed_hand_their_options_on(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "helpers.grid.run_missing",
        lambda era, methods, **options: asked.append((era, methods, options)) or 0,
    )
    monkeypatch.setattr(
        "helpers.commands.speed_benchmark.speed_benchmark",
        lambda *options: asked.append(options) or 0,
    )
    arguments = ["bert", "--method", "a", "--method", "b", "--profile", "gpu", "--dry-run"]
    assert cli.main(["grid", *arguments]) == 0
    assert cli.main(["benchmark", "speed", "--profile", "smoke", "--labels", "64"]) == 0
    assert cli.main(["benchmark", "speed", "--seconds", "2", "--accuracy"]) == 0
    assert asked == [
        ("bert", ["a", "b"], {"profile": "gpu", "again": False, "dry_run": True}),
        ("smoke", 64, None, False),
        ("cpu", 1_000, 2.0, True),
    ]
