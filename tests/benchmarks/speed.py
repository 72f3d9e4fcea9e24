"""How many times faster the course trains here than a Trainer and TRL do as they come.

    python tests/benchmarks/speed.py                the encoder, beside `transformers.Trainer`
    python tests/benchmarks/speed.py --lora         an adapter, beside TRL's `SFTTrainer`
    python tests/benchmarks/speed.py --beside 04    a notebook, alone and beside a busy process

Ours is measured in float32 and, where the processor or card computes in it, in bfloat16; the others
in float32. All ways are repeated in turn, so that a machine that slows down for a while slows all
of them, and the median ratio is printed with the smallest and the largest. Counted are real tokens
per second, padding left out, after the first steps, in which memory is allocated and kernels are
chosen.

The Trainer pads random batches to their longest text and trains every weight. `fit` puts texts of
similar length together, leaves the embeddings as they are and, with fewer blocks, runs the frozen
ones once: that pass is spread over the epochs of a real training.

The adapters are the same, on the same reviews, eight per batch. Ours is that of a classifier on the
last token: one position per review has a loss and no word is predicted. TRL predicts the answer as
a word, and on a CPU computes the logits of every position for it; its batches are random, and it
throws activations away and computes them again. Its other default is bfloat16, which most
processors imitate, slower by far; where it is computed TRL is measured in it as well.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments
from transformers import TrainerCallback as Callback
from trl import SFTConfig, SFTTrainer

from helpers import pretrained, training
from helpers.adapters import target_layers
from helpers.methods import Corpus, bert, decoders, lora
from helpers.methods.common import fine_tune
from helpers.runtime import PROFILES, ROOT, usable_precision

__all__ = ["Recorder", "Step", "beside", "encoder_speed", "lora_speed", "main"]

REPETITIONS = 3
DISCARDED, COUNTED = 3, 20  # steps; at least so many are counted
EPOCHS, ENCODER = 4, {"batch_size": 32, "learning_rate": 2e-4}  # as the course fine-tunes it
ADAPTER = {"batch_size": 8, "learning_rate": 1e-3}  # eight is TRL's default, too


@dataclass(frozen=True)
class Step:
    """What a batch holds: texts, positions per text, and tokens that are not padding."""

    texts: int
    length: int
    tokens: int


@dataclass
class Recorder(Callback):
    """Collates batches, and notes what they hold and when their steps end."""

    collate: Callable
    steps: list[Step] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)
    first_batch: float = 0.0

    def __call__(self, rows: list) -> dict:
        """Collate rows for a loader."""
        self.first_batch = self.first_batch or time.perf_counter()
        batch = self.collate(rows)
        mask = batch["attention_mask"]
        self.steps.append(Step(*mask.shape, tokens=int(mask.sum())))
        return batch

    def on_step(self, step: int, model) -> None:
        """Note the end of a step of `fit`."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def on_step_end(self, *_, **__) -> None:
        """Note the end of a step of a Trainer."""
        self.on_step(0, None)

    @property
    def counted(self) -> list[Step]:
        """The steps after those that are discarded."""
        return self.steps[DISCARDED : len(self.ends)]

    def tokens_per_second(self, epoch_tokens: int = 0) -> float:
        """Real tokens per second, over the counted steps, loading of batches included.

        With the tokens of an epoch, what came before the first batch is counted in, spread over the
        epochs of a real training.
        """
        tokens = sum(step.tokens for step in self.counted)
        seconds = self.ends[-1] - self.ends[DISCARDED - 1]
        share = tokens / (EPOCHS * epoch_tokens) if epoch_tokens else 0.0
        return tokens / (seconds + share * (self.first_batch - self.began))


def encoder_speed(profile: str = "cpu", labels: int = 1_000, echo=print) -> dict[str, float]:
    """Measure the plain Trainer, then `fit` with ever fewer blocks, in each precision.

    Returns:
        For each way, how many times as many tokens per second it reads as the plain Trainer.
    """
    corpora = _corpora(profile)
    first = corpora["float32"]
    train, loaded = first.reviews["train"], bert.encoder(first)
    rows = bert.rows_of(loaded, first.labelled(labels if labels < len(train) else "all", 0))
    depth, epoch_tokens = len(pretrained.blocks(loaded.model)), sum(map(len, rows["input_ids"][:]))
    kinds = {"all blocks": depth, "top three blocks": 3, "top block": 1}

    def speed(train_with: Callable, corpus: Corpus, blocks: int) -> float:
        return train_with(bert.encoder(corpus), rows, blocks).tokens_per_second(epoch_tokens)

    ways = {"plain Trainer": partial(speed, _plain, first, depth)}
    for precision, corpus in corpora.items():
        for kind, blocks in kinds.items():
            ways[f"fit, {kind}, {precision}"] = partial(speed, _fit, corpus, blocks)
    echo(f"{loaded.name}, {len(rows):,} snippets; {_machine()}")
    return _compare(ways, echo)


def lora_speed(
    profile: str = "cpu", labels: int = 320, steps: int = COUNTED, echo=print
) -> dict[str, float]:
    """Measure both ways of training an adapter, in each precision.

    Returns:
        For each way, how many times as many tokens per second it reads as TRL in float32.
    """
    corpora = _corpora(profile)
    first = corpora["float32"]
    labelled = first.labelled(min(labels, len(first.reviews["train"])), 0)

    def speed(train_with: Callable, corpus: Corpus) -> float:
        return train_with(corpus, labelled, steps).tokens_per_second()

    ways = {}
    for name, train_with in {"TRL's SFTTrainer": _trl_adapter, "ours": _our_adapter}.items():
        for precision, corpus in corpora.items():
            ways[f"{name}, {precision}"] = partial(speed, train_with, corpus)
    echo(f"LoRA, {len(labelled)} snippets, {steps} steps counted; {_machine()}")
    return _compare(ways, echo)


def beside(notebook: str, profile: str = "cpu", echo=print) -> float:
    """Run a notebook alone and beside one busy process; how many times as long that takes."""

    def seconds() -> float:
        command = [sys.executable, "-m", "helpers.commands.cli", "run", notebook, "--again"]
        with tempfile.TemporaryDirectory(prefix="beside-") as folder:
            settings = os.environ | {"COURSE_RESULTS": folder, "COURSE_PROFILE": profile}
            began = time.perf_counter()
            subprocess.run(command, cwd=ROOT, env=settings, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - began

    echo(f"{notebook}, {profile}; {_machine()}")
    alone = seconds()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        together = seconds()
    finally:
        busy.kill()
        busy.wait()
    ratio = together / alone
    echo(f"alone {alone:.0f} s, beside a busy process {together:.0f} s: {ratio:.1f} times as long")
    return ratio


def _corpora(profile: str) -> dict[str, Corpus]:
    """The data in each precision that this machine computes in."""
    device = "cuda" if profile == "gpu" and torch.cuda.is_available() else "cpu"
    computed = dict.fromkeys(("float32", usable_precision(device)))
    return {name: Corpus(replace(PROFILES[profile], precision=name)) for name in computed}


def _machine() -> str:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{torch.get_num_threads()} threads{load}"


def _compare(ways: dict[str, Callable[[], float]], echo) -> dict[str, float]:
    """Measure each way's speed in turn; the median of its ratios to the first way."""
    speeds = {name: [] for name in ways}
    for _ in range(REPETITIONS):
        for name, speed in ways.items():
            speeds[name].append(speed())
    times, base = {}, next(iter(ways))
    for name, found in speeds.items():
        ratios = [a / b for a, b in zip(found, speeds[base], strict=True)]
        times[name] = statistics.median(ratios)
        against = f"{times[name]:5.2f} times [{min(ratios):.2f}-{max(ratios):.2f}]"
        echo(f"{name:32} {statistics.median(found):>9,.0f} tokens/s  {against}")
    return times


def _epochs(rows) -> int:
    return math.ceil((DISCARDED + COUNTED) / math.ceil(len(rows) / ENCODER["batch_size"]))


def _quiet(model, folder: str, settings: dict) -> dict:
    """Arguments of a Trainer that writes and prints nothing, else as it comes."""
    return {
        "output_dir": folder, "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
        "use_cpu": training.device_of(model) == "cpu", "learning_rate": settings["learning_rate"],
        "per_device_train_batch_size": settings["batch_size"],
    }  # fmt: skip


def _plain(loaded, rows, blocks: int) -> Recorder:
    """Train with `transformers.Trainer`: all blocks and the embeddings."""
    recorder = Recorder(DataCollatorWithPadding(loaded.tokenizer))
    with tempfile.TemporaryDirectory(prefix="plain-", ignore_cleanup_errors=True) as folder:
        quiet = _quiet(loaded.model, folder, ENCODER)
        arguments = TrainingArguments(num_train_epochs=_epochs(rows), warmup_steps=0.1, **quiet)
        trainer = Trainer(
            loaded.model, arguments, data_collator=recorder, train_dataset=rows,
            callbacks=[recorder],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return recorder


def _fit(loaded, rows, blocks: int) -> Recorder:
    """Train as the methods of the course do."""
    recorder = Recorder(lambda rows: training.pad_batch(rows, loaded.pad_id))
    fine_tune(
        loaded, rows, blocks, num_epochs=_epochs(rows), collate=recorder, on_step=recorder.on_step,
        progress=False, **ENCODER,
    )  # fmt: skip
    return recorder


def _our_adapter(corpus: Corpus, labelled, steps: int) -> Recorder:
    """Train as notebook 7 does."""
    pad_id = decoders.decoder(corpus).pad_id
    recorder = Recorder(lambda rows: training.pad_batch(rows, pad_id))
    lora.tune_adapter(
        corpus, labelled, 0, num_epochs=1, min_steps=steps + DISCARDED, collate=recorder,
        on_step=recorder.on_step, progress=False, **ADAPTER,
    )  # fmt: skip
    recorder.ends = recorder.ends[: steps + DISCARDED]
    return recorder


def _trl_adapter(corpus: Corpus, labelled, steps: int) -> Recorder:
    """Train with TRL's defaults, in the precision of the corpus, from float32 weights."""
    precision, ask = corpus.profile.precision, decoders.REVIEW
    whole = replace(corpus.profile, precision="float32")
    loaded = pretrained.load_decoder(profile=whole, echo=None)
    texts = {
        "prompt": [ask.fill(text) for text in labelled["text"]],
        "completion": [f" {ask.answer(label)}" for label in labelled["label"]],
    }
    layers = target_layers(loaded.model)
    with tempfile.TemporaryDirectory(prefix="trl-", ignore_cleanup_errors=True) as folder:
        quiet = _quiet(loaded.model, folder, ADAPTER)
        trainer = SFTTrainer(
            loaded.model,
            SFTConfig(max_steps=steps + DISCARDED, bf16=precision == "bfloat16", **quiet),
            train_dataset=Dataset.from_dict(texts),
            processing_class=loaded.tokenizer,
            peft_config=LoraConfig(r=lora.RANK, lora_alpha=lora.ALPHA, target_modules=layers),
        )
        recorder = trainer.data_collator = Recorder(trainer.data_collator)
        trainer.add_callback(recorder)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return recorder


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="How fast the course trains here.")
    parser.add_argument("--profile", choices=list(PROFILES), default="cpu")
    parser.add_argument(
        "--labels", type=int, nargs="+", default=[1_000, 100], help="snippets to train on"
    )
    parser.add_argument("--lora", action="store_true", help="an adapter, beside TRL's SFTTrainer")
    parser.add_argument("--beside", metavar="NOTEBOOK", help="alone and beside a busy process")
    options = parser.parse_args(arguments)
    if options.beside:
        beside(options.beside, options.profile)
    elif options.lora:
        lora_speed(options.profile)
    else:
        for labels in options.labels:
            encoder_speed(options.profile, labels)


if __name__ == "__main__":
    main()
