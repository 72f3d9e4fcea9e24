"""How long and how fast to train, by method and by how much data there is."""

import math

from helpers.finetune.data import Data
from helpers.runtime import Profile

__all__ = [
    "LANGUAGE_TASKS",
    "METHODS",
    "check_method",
    "default_settings",
    "num_epochs_for",
    "settings_for",
]

METHODS = {
    "classification": ("linear", "encoder", "lora"),
    "ner": ("encoder",),
    "text": ("lora",),
    "chat": ("lora",),
}
"""What each task can be done with, the cheapest first."""

LANGUAGE_TASKS = ("text", "chat")

# Rates and steps are those that the course's comparisons chose on film reviews. Small batches of
# the decoder are of texts of one length, so that little of them is padding.
ENCODER = {"learning_rate": 2e-4, "batch_size": 32, "num_epochs": 4, "min_steps": 30}
TAGGER = {"learning_rate": 2e-4, "batch_size": 16, "num_epochs": 6, "min_steps": 100}
ADAPTER = {"learning_rate": 1e-3, "batch_size": 8, "num_epochs": 2, "min_steps": 80, "rank": 8,
           "alpha": 16.0}  # fmt: skip
LANGUAGE = {**ADAPTER, "learning_rate": 5e-4, "min_steps": 20}
MANY = ((5_000, 3), (20_000, 2), (100_000, 1))  # from so many examples, at most so many epochs
LENGTHS = (64, 128, 256, 512)  # tokens read of a text
LONGEST = {"smoke": 64, "cpu": 256, "gpu": 512}
WINDOW = 128  # tokens in a row of running text
LEAST = {"num_epochs": 1, "min_steps": 1, "batch_size": 1, "max_length": 8, "rank": 1}


def check_method(task: str, method: str) -> None:
    """Refuse a method that a task cannot be done with.

    Raises:
        ValueError: with the methods that can do it.
    """
    if method not in METHODS[task]:
        raise ValueError(
            f"The method {method!r} is not for {task!r}; use --method {' or '.join(METHODS[task])}."
        )


def default_settings(task: str, method: str, train: Data, profile: Profile) -> dict:
    """Settings for a method and as much data as this; any of them can be given otherwise.

    Returns:
        `learning_rate`, `batch_size`, `num_epochs`, `min_steps`, `max_length` (tokens read of an
        example), and for an adapter `rank` and `alpha`; nothing for a linear model, which chooses
        for itself.
    """
    if method == "linear":
        return {}
    encoder = TAGGER if task == "ner" else ENCODER
    chosen = dict(
        encoder if method == "encoder" else LANGUAGE if task in LANGUAGE_TASKS else ADAPTER
    )
    for many, most in MANY:
        if len(train) > many:
            chosen["num_epochs"] = min(chosen["num_epochs"], most)
    if profile.name == "smoke":
        chosen |= {"num_epochs": 1, "min_steps": 4}
    return chosen | {"max_length": _length(task, train, profile)}


def settings_for(
    task: str, method: str, train: Data, profile: Profile, overrides: dict | None = None
) -> dict:
    """The settings of a run: the defaults, and what is wanted otherwise.

    Raises:
        ValueError: for a setting that the method does not have, or a number that makes no sense.
    """
    settings = default_settings(task, method, train, profile)
    wanted = {key: value for key, value in (overrides or {}).items() if value is not None}
    unknown = [key for key in wanted if key not in settings]
    if unknown:
        known = ", ".join(settings) or "none: it chooses for itself"
        raise ValueError(f"{method!r} has no setting {unknown[0]!r}; it has {known}.")
    for key, value in wanted.items():
        least = LEAST.get(key, 0)
        if value < least or (value == 0 and least == 0):
            raise ValueError(
                f"{key} is {value}; give {f'at least {least}' if least else 'more than 0'}."
            )
    return settings | wanted


def num_epochs_for(rows: int, settings: dict) -> int:
    """Epochs that give the steps asked for at least: few examples are seen more often."""
    steps = math.ceil(rows / settings["batch_size"])
    return max(settings["num_epochs"], math.ceil(settings["min_steps"] / steps))


def _length(task: str, train: Data, profile: Profile) -> int:
    """Tokens that hold nineteen of twenty examples, guessed from their letters, within limits."""
    if task == "text":
        return WINDOW
    letters = sorted(len(train.text_of(i)) for i in range(len(train)))
    wanted = letters[int(0.95 * (len(letters) - 1))] / 4 + 8  # a token is some four letters
    longest = LONGEST[profile.name] * (2 if task == "chat" else 1)
    return next((n for n in LENGTHS if n >= min(wanted, longest)), longest)
