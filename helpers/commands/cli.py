"""The `course` command; each subcommand imports only what it needs, so that `--help` is fast."""

import argparse
import sys
from pathlib import Path

from helpers.commands.cli_finetune import add_finetune, order_of, question_of

__all__ = ["main"]


def _lab(options) -> int:
    from helpers.commands.lab import lab

    return lab(open_browser=not options.no_browser, port=options.port)


def _reset(options) -> int:
    from helpers.commands.lab import reset

    return reset(options.notebooks)


def _test(options) -> int:
    from helpers.commands.testing import run_tests

    return run_tests(options.paths, workers=options.workers, quick=options.quick)


def _lint(options) -> int:
    from helpers.commands.lint import lint

    return lint([Path(p) for p in options.paths] or None)


def _run(options) -> int:
    from helpers.commands.execute import run

    code = run(
        options.notebooks,
        store=options.store,
        profile=options.profile,
        resume=not options.again,
        strict=options.strict or None,  # None: as COURSE_STRICT says
    )
    if options.store:
        from helpers.commands.sync import sync

        sync()  # the new minutes go into heads and README
    return code


def _doctor(options) -> int:
    from helpers.commands.doctor import doctor

    return doctor(as_json=options.json)


def _prefetch(options) -> int:
    from helpers import assets

    if options.wheels and options.to is None:
        raise ValueError("--wheels needs --to DIR, the folder to carry to another machine.")
    if (options.python or options.platform) and not options.wheels:
        raise ValueError("--python and --platform choose packages: give --wheels as well.")
    assets.prefetch(options.assets or None, to=options.to)
    if options.wheels:
        from helpers.commands import wheelhouse

        wheelhouse.fetch_packages(options.to, options.python, options.platform)
        print("\n".join(wheelhouse.commands(options.to, options.platform)))
    return 0


def _grid(options) -> int:
    from helpers import grid

    return grid.run_missing(
        options.part,
        options.method or (),
        profile=options.profile,
        again=options.again,
        dry_run=options.dry_run,
    )


def _pretrain(options) -> int:
    from helpers import grid
    from helpers.methods.checkpoints import pretrain

    pretrain(grid.network_of(options.name), options.profile)
    return 0


def _sync(options) -> int:
    from helpers.commands.sync import sync

    return sync(check=options.check)


def _finetune(options) -> int:
    from helpers.finetune import Order, finetune

    return finetune(Order(**order_of(options)))


def _predict(options) -> int:
    from helpers.finetune import predict

    return predict(**question_of(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="course", description="A History of Fine-Tuning.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, function, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(function=function)
        return sub

    lab = command("lab", _lab, "copy the notebooks to work/ and open them in JupyterLab")
    lab.add_argument("--no-browser", action="store_true", help="print the address only")
    lab.add_argument("--port", type=int, default=8888, help="first port to try")
    reset = command("reset", _reset, "put fresh copies of notebooks into work/ (yours is kept)")
    reset.add_argument("notebooks", nargs="+", help="03, or bonus/slug, or solutions/03")
    test = command("test", _test, "run every test and every notebook in the smoke profile")
    test.add_argument("paths", nargs="*", help="test files or notebooks; everything without")
    test.add_argument("--quick", action="store_true", help="leave out what is slow")
    test.add_argument("--workers", type=int, default=2, help="processes side by side")
    lint = command("lint", _lint, "check notebooks and README against the house rules")
    lint.add_argument("paths", nargs="*")
    run = command("run", _run, "execute notebooks in full and print what they cost")
    run.add_argument("notebooks", nargs="*", help="03, bonus, solutions; all lessons without")
    run.add_argument("--store", action="store_true", help="write outputs into notebooks/")
    run.add_argument("--strict", action="store_true", help="fail where a verdict differs")
    run.add_argument("--again", action="store_true", help="run even what is unchanged")
    run.add_argument("--profile", help="smoke, cpu or gpu; without it as COURSE_PROFILE says")
    doctor = command(
        "doctor", _doctor, "check this machine; a report to paste when asking for help"
    )
    doctor.add_argument("--json", action="store_true", help="print the report as JSON")
    _add_prefetch(command)
    _add_trainings(command)
    add_finetune(command, _finetune, _predict)
    sync = command("sync", _sync, "write address, badges and measured minutes where they are shown")
    sync.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if something would"
    )
    return parser


def _add_prefetch(command) -> None:
    prefetch = command("prefetch", _prefetch, "fetch all data and models now, to work offline")
    prefetch.add_argument("assets", nargs="*", help="names; all of them without")
    prefetch.add_argument("--to", type=Path, help="a folder to carry to another machine")
    prefetch.add_argument("--wheels", action="store_true", help="fetch the Python packages as well")
    prefetch.add_argument("--python", help="version there, such as 3.12; this one without")
    systems = ("linux", "macos", "windows")
    prefetch.add_argument("--platform", choices=systems, help="this system without")


def _add_trainings(command) -> None:
    grid = command("grid", _grid, "run what is missing of the grid behind the reference ledger")
    grid.add_argument("part", help="an era, such as classical, or named_entities")
    grid.add_argument("--method", action="append", help="one method; may be given several times")
    grid.add_argument("--profile", default="cpu", help="smoke, cpu or gpu")
    grid.add_argument("--again", action="store_true", help="run what the ledger has already")
    grid.add_argument("--dry-run", action="store_true", help="say what is missing, run nothing")
    train = command("pretrain", _pretrain, "train a network that the repository carries, anew")
    train.add_argument("name", help="lstm-lm, ...")
    train.add_argument("--profile", default="cpu", help="smoke, cpu or gpu")


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code; an expected error is one plain message."""
    from helpers.assets import AssetError

    options = _parser().parse_args(arguments)
    try:
        return options.function(options)
    except (AssetError, OSError, ValueError, FloatingPointError) as error:
        print(f"course {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        remedy = " Go on with --resume." if options.command == "finetune" else ""
        print(f"\ncourse {options.command}: stopped.{remedy}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
