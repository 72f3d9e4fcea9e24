"""How long and how fast to train, given method and data, and an estimate of the cost."""

import math
from dataclasses import dataclass

import torch

from helpers import pretrained
from helpers.finetune.data import Data
from helpers.finetune.splitting import Parts
from helpers.runtime import PROFILES, Profile
from helpers.speed import matmul_gflops

__all__ = ["LANGUAGE_TASKS", "METHODS", "Estimate", "estimate", "num_epochs_for", "settings_for"]

METHODS = {
    "classification": ("linear", "encoder", "lora"),
    "ner": ("encoder",),
    "text": ("lora",),
    "chat": ("lora",),
}
"""What each task can be done with, the cheapest first."""

LANGUAGE_TASKS = ("text", "chat")

# Chosen by the course's comparisons on film reviews. An encoder's learning rate falls with its
# size (`pretrained.learning_rate_for`); a decoder's small batches need little padding.
ENCODER = {"learning_rate": None, "batch_size": 32, "num_epochs": 4, "min_steps": 30}
ADAPTER = {"learning_rate": 1e-3, "batch_size": 8, "num_epochs": 2, "min_steps": 80}
ADAPTER |= {"rank": 8, "alpha": 16.0}
LANGUAGE = ADAPTER | {"learning_rate": 5e-4, "min_steps": 20}
DEFAULTS = {
    ("classification", "encoder"): ENCODER,
    ("classification", "lora"): ADAPTER,
    ("ner", "encoder"): ENCODER | {"batch_size": 16, "num_epochs": 6, "min_steps": 100},
    ("text", "lora"): LANGUAGE,
    ("chat", "lora"): LANGUAGE,
}
MANY = ((5_000, 3), (20_000, 2), (100_000, 1))  # (more examples than this, at most these epochs)
LENGTHS = (64, 128, 256, 512)  # tokens read of a text
LONGEST = {"smoke": 64, "cpu": 256, "gpu": 512}
WINDOW = 128  # tokens in a row of running text
LEAST = {"num_epochs": 1, "min_steps": 1, "batch_size": 1, "max_length": 8, "rank": 1}

# Share of a large matrix product's speed that short texts reach; an encoder's matrices are small.
USED = {"encoder": 0.2, "lora": 0.5}
FASTER = {"float32": 1.0, "bfloat16": 1.5, "float16": 1.5}  # than float32, as a whole
WEIGHT_BYTES = 4
TRAINING_BYTES = 12  # for each weight that trains: its gradient, and AdamW's two means
PROGRAM = 700e6  # bytes of Python with torch and transformers loaded
LINEAR_CHARACTERS = 12_000  # per second, over all fits of the cross-validation
SAMPLE = 500


def settings_for(method: str, train: Data, profile: Profile, overrides: dict | None = None) -> dict:
    """Default settings for a method and this much data, changed by `overrides`.

    Returns:
        `learning_rate` (None where the encoder's size decides), `batch_size`, `num_epochs`,
        `min_steps`, `max_length` (tokens read of an example), and for an adapter `rank` and
        `alpha`; empty for a linear model, which chooses for itself.

    Raises:
        ValueError: for a method that is not for the task, a setting that the method does not have,
            or a number that makes no sense.
    """
    methods = METHODS[train.task]
    if method not in methods:
        raise ValueError(
            f"The method {method!r} is not for {train.task!r}; use --method {' or '.join(methods)}."
        )
    settings: dict = {}
    if method != "linear":
        settings |= DEFAULTS[train.task, method]
        for many, most in MANY:
            if len(train) > many:
                settings["num_epochs"] = min(settings["num_epochs"], most)
        if profile.name == "smoke":
            settings |= {"num_epochs": 1, "min_steps": 4}
        settings["max_length"] = _length(train, profile)
    wanted = {key: value for key, value in (overrides or {}).items() if value is not None}
    for key, value in wanted.items():
        if key not in settings:
            known = ", ".join(settings) or "none: it chooses for itself"
            raise ValueError(f"{method!r} has no setting {key!r}; it has {known}.")
        least = LEAST.get(key, 0)
        if value < least or value == 0:
            enough = f"at least {least}" if least else "more than 0"
            raise ValueError(f"{key} is {value}; give {enough}.")
    return settings | wanted


def num_epochs_for(rows: int, settings: dict) -> int:
    """Epochs that give at least `min_steps` steps: few examples are seen more often."""
    steps = math.ceil(rows / settings["batch_size"])
    return max(settings["num_epochs"], math.ceil(settings["min_steps"] / steps))


@dataclass(frozen=True)
class Estimate:
    """Expected cost of training, validation and test, and what the estimate is based on."""

    method: str
    minutes: float
    memory_bytes: float  # at the peak, the program included
    basis: str

    def report(self) -> str:
        """The estimate in words."""
        return (
            f"{self.method}: about {max(0.1, self.minutes):.1f} minutes and "
            f"{self.memory_bytes / 1e9:.1f} GB ({self.basis}). Nothing was trained."
        )


def estimate(
    parts: Parts,
    method: str,
    profile: Profile | None = None,
    base: str | None = None,
    settings: dict | None = None,
) -> Estimate:
    """Estimate minutes and memory of `train` and `test_once` in a few seconds, without training."""
    profile, data = profile or PROFILES["cpu"], parts.train
    texts = data.texts()
    letters = sum(map(len, texts))
    if method == "linear":
        basis = f"{letters:,} characters, at a rate measured on two cores"
        return Estimate(method, letters / LINEAR_CHARACTERS / 60, PROGRAM + 150 * letters, basis)
    settings = settings or settings_for(method, data, profile)
    adapter, language = method == "lora", data.task in LANGUAGE_TASKS
    load = pretrained.load_decoder if adapter else pretrained.load_encoder
    task = "lm" if adapter else "features"
    loaded = load(task, profile=profile, source=base, pretrained=False, echo=None)
    config, weights = loaded.model.config, dict(loaded.model.named_parameters())
    inside = tuple(f"{name}." for name in pretrained.blocks(loaded.model))
    body = sum(p.numel() for name, p in weights.items() if name.startswith(inside))
    total = sum(p.numel() for p in weights.values())
    longest = None if data.task == "text" else settings["max_length"]
    tokens = _tokens(loaded.tokenizer, texts, longest)
    held_out = tokens / len(data) * (len(parts.validation) + parts.test_size)
    rows = math.ceil(tokens / settings["max_length"]) if data.task == "text" else len(data)
    # Per weight: two operations forward, two for the gradient of inputs, two for that of weights.
    used = body + (config.hidden_size * config.vocab_size if language else 0)
    flops = (4 if adapter else 6) * used * tokens * num_epochs_for(rows, settings)
    flops += 2 * used * held_out * (2 if language else 1)

    memory = PROGRAM + WEIGHT_BYTES * total + (0 if adapter else TRAINING_BYTES * body)
    memory += settings["batch_size"] * settings["max_length"] * _position_bytes(config, language)
    gpu = profile.name == "gpu" and torch.cuda.is_available()
    gflops = matmul_gflops(4096, device="cuda") if gpu else matmul_gflops()
    speed = gflops * 1e9 * USED[method] * FASTER[profile.precision]
    basis = f"{tokens:,.0f} tokens an epoch, {gflops:.0f} GFLOP/s measured in a product"
    return Estimate(method, flops / speed / 60, memory, basis)


def _position_bytes(config, language: bool) -> int:
    """What training keeps of one token, and of its logits in a language model."""
    kept = 80 * config.num_hidden_layers * config.hidden_size
    return kept + (12 * config.vocab_size if language else 0)


def _tokens(tokenizer, texts: list[str], max_length: int | None) -> float:
    """Tokens of all texts, each cut to `max_length`, estimated from a sample."""
    sample = texts[:: max(1, len(texts) // SAMPLE)]
    lengths = [len(ids) for ids in tokenizer(sample, verbose=False)["input_ids"]]
    return sum(min(n, max_length or n) for n in lengths) / len(sample) * len(texts)


def _length(train: Data, profile: Profile) -> int:
    """Tokens that hold 95 % of the examples, estimated from their characters, within limits."""
    if train.task == "text":
        return WINDOW
    letters = sorted(map(len, train.texts()))
    wanted = letters[int(0.95 * (len(letters) - 1))] / 4 + 8  # a token is some four letters
    longest = LONGEST[profile.name] * (2 if train.task == "chat" else 1)
    return next((n for n in LENGTHS if n >= min(wanted, longest)), longest)
