"""The `course` command; a subcommand imports only what it needs, so that `--help` is fast."""

import argparse
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path

from helpers.runtime import PROFILES, choose_profile, live

__all__ = ["main"]

# Option of `course finetune` -> (setting, type, help); defaults depend on method and data.
SETTINGS = {
    "--epochs": ("num_epochs", int, "passes over the training examples"),
    "--learning-rate": ("learning_rate", float, "of the first step after the warm-up"),
    "--batch-size": ("batch_size", int, "examples a step, over all processes"),
    "--max-length": ("max_length", int, "tokens read of an example"),
    "--rank": ("rank", int, "of a LoRA adapter"),
}


def _run(store: bool, **choices) -> int:
    from helpers.commands.execute import run
    from helpers.commands.sync import sync

    code = run(store=store, **choices)
    if store:
        sync()  # the new minutes go into heads and README
    return code


def _prefetch(names: list[str], to: Path | None, wheels: bool, **target: str | None) -> int:
    from helpers import assets
    from helpers.commands import wheelhouse

    if wheels and to is None:
        raise ValueError("--wheels needs --to DIR, the folder to carry to another machine.")
    if any(target.values()) and not wheels:
        raise ValueError("--python and --platform choose packages: give --wheels as well.")
    assets.prefetch(names or None, to=to)
    if wheels:
        wheelhouse.fetch_packages(to, **target)
        print(wheelhouse.commands(to, target["platform"]))
    return 0


def _finetune(profile: str | None, **options) -> int:
    from helpers.finetune import Order, finetune

    settings = {name: options.pop(name) for name, _, _ in SETTINGS.values()}
    settings = {name: value for name, value in settings.items() if value is not None}
    if "num_epochs" in settings:
        settings["min_steps"] = 1  # exactly these epochs, however few their steps
    chosen = live(PROFILES[profile]) if profile else choose_profile()
    return finetune(Order(**options, settings=settings, profile=chosen))


def _parser() -> argparse.ArgumentParser:
    """The options of every subcommand, named as the parameters of its function are."""
    parser = argparse.ArgumentParser(prog="course", description="A History of Fine-Tuning.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, function: str | Callable, help: str) -> Callable:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(function=function)
        return sub.add_argument

    _add_notebooks(command)
    _add_machine(command)
    _add_trainings(command)
    _add_finetune(command)
    return parser


def _add_notebooks(command: Callable) -> None:
    lab = "copy the notebooks to work/ and open them in JupyterLab"
    add = command("lab", "helpers.commands.lab:lab", lab)
    add("--no-browser", dest="open_browser", action="store_false", help="print the address only")
    add("--port", type=int, default=8888, help="first port to try")
    reset = "put fresh copies of notebooks into work/ (yours is kept)"
    add = command("reset", "helpers.commands.lab:reset", reset)
    add("names", metavar="notebooks", nargs="+", help="03, or bonus/slug, or solutions/03")
    test = "run every test and every notebook in the smoke profile"
    add = command("test", "helpers.commands.testing:run_tests", test)
    add("paths", nargs="*", help="test files or notebooks; everything without")
    add("--quick", action="store_true", help="leave out what is slow")
    add("--workers", type=int, default=2, help="processes side by side")
    lint = "check notebooks and README against the house rules"
    add = command("lint", "helpers.commands.lint:lint", lint)
    add("paths", nargs="*", type=Path)
    add = command("run", _run, "execute notebooks in full and print what they cost")
    add("names", metavar="notebooks", nargs="*", help="03, bonus, solutions; all lessons without")
    add("--store", action="store_true", help="write outputs into notebooks/")
    # None: as COURSE_STRICT says
    add("--strict", action="store_true", default=None, help="fail where a verdict differs")
    add("--again", dest="resume", action="store_false", help="run even what is unchanged")
    add("--profile", help="smoke, cpu or gpu; without it as COURSE_PROFILE says")
    sync = "write address, badges and measured minutes where they are shown"
    add = command("sync", "helpers.commands.sync:sync", sync)
    add("--check", action="store_true", help="change nothing; exit 1 if something would")


def _add_machine(command: Callable) -> None:
    doctor = "check this machine; a report to paste when asking for help"
    command("doctor", "helpers.commands.doctor:doctor", doctor)
    add = command("prefetch", _prefetch, "fetch all data and models now, to work offline")
    add("names", metavar="assets", nargs="*", help="names; all of them without")
    add("--to", type=Path, help="a folder to carry to another machine")
    add("--wheels", action="store_true", help="fetch the Python packages as well")
    add("--python", help="version there, such as 3.12; this one without")
    add("--platform", choices=("linux", "macos", "windows"), help="this system without")


def _add_trainings(command: Callable) -> None:
    grid = "run what is missing of the grid behind the reference ledger"
    add = command("grid", "helpers.grid:run_missing", grid)
    add("part", help="an era, such as classical, or named_entities")
    several = {"action": "append", "default": [], "help": "one method; may be given several times"}
    add("--method", dest="names", **several)
    add("--profile", default="cpu", help="smoke, cpu or gpu")
    add("--again", action="store_true", help="run what the ledger has already")
    add("--dry-run", action="store_true", help="say what is missing, run nothing")
    pretrain = "make anew what the repository carries: a trained network, or word vectors"
    add = command("pretrain", "helpers.grid:pretrain", pretrain)
    add("name", help="lstm-lm, ...")
    add("--profile", default="cpu", help="smoke, cpu or gpu")


def _add_finetune(command: Callable) -> None:
    add = command("finetune", _finetune, "train a model on a file of yours and leave a folder")
    add("data", type=Path, help=".csv, .tsv or .jsonl; CoNLL; .txt; chat .jsonl")
    add("--output", type=Path, required=True, help="the folder to fill")
    add("--method", choices=("linear", "encoder", "lora"), help="cheapest first")
    tasks = ("classification", "ner", "text", "chat")
    add("--task", choices=tasks, help="what the file is for; guessed from it where that is clear")
    add("--text", default="text", help="column with the texts")
    add("--label", default="label", help="column with the labels")
    add("--encoding", default="utf-8", help="of the file")
    add("--test-size", type=float, default=0.2, help="share of the texts for test")
    add("--seed", type=int, default=0, help="of everything random")
    add("--resume", action="store_true", help="go on with an unfinished run")
    add("--dry-run", action="store_true", help="say what it would cost, and train nothing")
    add("--base", help="another pre-trained model: a folder, or a Hub id")
    add("--profile", choices=PROFILES, help="sizes; without it as COURSE_PROFILE says")
    for option, (setting, kind, text) in SETTINGS.items():
        add(option, dest=setting, type=kind, help=text)
    predict = "answer a text or a file with a model from finetune"
    add = command("predict", "helpers.finetune:predict", predict)
    add("folder", type=Path, help="the --output of course finetune")
    add("text", metavar="input", nargs="?", help="one text")
    add("--file", type=Path, help=".csv, .tsv, .jsonl, or .txt with a text a line")
    add("--output", type=Path, help=".csv or .jsonl: the file's columns, and answers")
    add("--text", dest="column", default="text", help="column with the texts")
    add("--encoding", default="utf-8", help="of the file")
    longest = "where a written answer is cut; default 60"
    add("--max-new-tokens", type=int, default=60, help=longest)
    add("--base", help="where the base of an adapter lies, if it was moved")


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code; an expected error is one plain message."""
    from helpers.assets import AssetError

    options = vars(_parser().parse_args(arguments))
    name, function = options.pop("command"), options.pop("function")
    try:
        if isinstance(function, str):
            function = pkgutil.resolve_name(function)
        return function(**options)
    except (AssetError, OSError, ValueError, FloatingPointError) as error:
        print(f"course {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        remedy = " Go on with --resume." if name == "finetune" else ""
        print(f"\ncourse {name}: stopped.{remedy}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
