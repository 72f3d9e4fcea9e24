"""`course finetune` and `course predict`: their options."""

import argparse
from pathlib import Path

from helpers.runtime import PROFILES, choose_profile

__all__ = ["add_finetune", "order_of", "question_of"]

# Option -> (type, help); each differs from a default that depends on method and data.
SETTINGS = {
    "epochs": (int, "passes over the training examples"),
    "learning-rate": (float, "of the first step after the warm-up"),
    "batch-size": (int, "examples a step, over all processes"),
    "max-length": (int, "tokens read of an example"),
    "rank": (int, "of a LoRA adapter"),
}


def add_finetune(command, finetune, predict) -> None:
    """Add both subcommands with these functions; `command` makes a subcommand, as in `cli`."""
    run = command("finetune", finetune, "train a model on a file of yours and leave a folder")
    run.add_argument("data", type=Path, help=".csv, .tsv or .jsonl; CoNLL; .txt; chat .jsonl")
    run.add_argument("--output", type=Path, required=True, help="the folder to fill")
    run.add_argument("--method", choices=("linear", "encoder", "lora"), help="cheapest first")
    run.add_argument(
        "--task", choices=("classification", "ner", "text", "chat"),
        help="what the file is for; guessed from it where that is clear",
    )  # fmt: skip
    run.add_argument("--text", default="text", help="column with the texts")
    run.add_argument("--label", default="label", help="column with the labels")
    run.add_argument("--encoding", default="utf-8", help="of the file")
    run.add_argument("--test-size", type=float, default=0.2, help="share of the texts for test")
    run.add_argument("--seed", type=int, default=0, help="of everything random")
    run.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    run.add_argument(
        "--dry-run", action="store_true", help="say what it would cost, and train nothing"
    )
    run.add_argument("--base", help="another pre-trained model: a folder, or a Hub id")
    _add_profile(run)
    for name, (kind, text) in SETTINGS.items():
        run.add_argument(f"--{name}", type=kind, help=text)
    ask = command("predict", predict, "answer a text or a file with a model from finetune")
    ask.add_argument("folder", type=Path, help="the --output of course finetune")
    ask.add_argument("input", nargs="?", help="one text")
    ask.add_argument("--file", type=Path, help=".csv, .tsv, .jsonl, or .txt with a text a line")
    ask.add_argument("--output", type=Path, help=".csv or .jsonl: the file's columns, and answers")
    ask.add_argument("--text", default="text", help="column with the texts")
    ask.add_argument("--encoding", default="utf-8", help="of the file")
    ask.add_argument(
        "--max-new-tokens", type=int, default=60, help="where a written answer is cut; default 60"
    )
    ask.add_argument("--base", help="where the base of an adapter lies, if it was moved")


def _add_profile(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--profile",
        choices=("smoke", "cpu", "gpu"),
        help="sizes; without it as COURSE_PROFILE says",
    )


def order_of(options: argparse.Namespace) -> dict:
    """The options of `course finetune` as arguments of a `finetune.Order`."""
    settings = {key: getattr(options, key.replace("-", "_")) for key in SETTINGS}
    settings = {key.replace("-", "_"): v for key, v in settings.items() if v is not None}
    if "epochs" in settings:
        settings["num_epochs"] = settings.pop("epochs")
        settings["min_steps"] = 1  # exactly these epochs, however few their steps
    same = "data output method task text label encoding seed test_size resume dry_run base".split()
    profile = PROFILES[options.profile] if options.profile else choose_profile()
    return {key: getattr(options, key) for key in same} | {
        "settings": settings,
        "profile": profile,
    }


def question_of(options: argparse.Namespace) -> dict:
    """The options of `course predict` as arguments of `finetune.predict`."""
    same = "folder file output base encoding max_new_tokens".split()
    asked = {"text": options.input, "column": options.text}
    return {key: getattr(options, key) for key in same} | asked
