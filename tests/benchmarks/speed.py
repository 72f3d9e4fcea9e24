"""How many times faster the course trains here than a Trainer and TRL do as they come.

    python tests/benchmarks/speed.py           the encoder, beside `transformers.Trainer`
    python tests/benchmarks/speed.py --lora    an adapter, beside TRL's `SFTTrainer`

All ways compute in float32 and are repeated in turn, so that a machine that slows down for a while
slows all of them. Counted are real tokens per second, padding left out, after the first steps, in
which memory is allocated and kernels are chosen.

The Trainer pads random batches to their longest text and trains every weight. `fit` puts texts of
similar length together, leaves the embeddings as they are and, with fewer blocks, runs the frozen
ones once: that pass is spread over the epochs of a real training.

The adapters are the same, on the same reviews, eight per batch. Ours is that of a classifier on the
last token: one position per review has a loss and no word is predicted. TRL predicts the answer as
a word, and on a CPU computes the logits of every position for it; its batches are random, and it
throws activations away and computes them again. Its other default, bfloat16, is off: most
processors emulate it, and then it is slower by far.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

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
from helpers.runtime import PROFILES

__all__ = ["Recorder", "Step", "encoder_speed", "lora_speed", "main"]

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
    """Measure the plain Trainer, then `fit` with ever fewer blocks.

    Returns:
        For each way, how many times as many tokens per second it reads as the plain Trainer.
    """
    corpus = Corpus(PROFILES[profile])
    train = corpus.reviews["train"]
    loaded = bert.encoder(corpus)
    rows = bert.rows_of(loaded, corpus.labelled(labels if labels < len(train) else "all", 0))
    depth, epoch_tokens = len(pretrained.blocks(loaded.model)), sum(map(len, rows["input_ids"][:]))
    ways = {"plain Trainer": (_plain, depth), "fit, all blocks": (_fit, depth)}
    ways |= {"fit, top three blocks": (_fit, 3), "fit, top block": (_fit, 1)}
    speeds = {name: [] for name in ways}
    for _ in range(REPETITIONS):
        for name, (train_with, blocks) in ways.items():
            recorder = train_with(bert.encoder(corpus), rows, blocks)
            speeds[name].append(recorder.tokens_per_second(epoch_tokens))
    echo(f"{loaded.name}, {len(rows):,} snippets")
    times = {}
    for name, found in speeds.items():
        ratios = [a / b for a, b in zip(found, speeds["plain Trainer"], strict=True)]
        times[name] = statistics.median(ratios)
        against = f"{times[name]:5.2f} times the Trainer [{min(ratios):.2f}-{max(ratios):.2f}]"
        echo(f"{name:22} {statistics.median(found):>9,.0f} tokens/s  {against}")
    return times


def lora_speed(profile: str = "cpu", labels: int = 320, steps: int = COUNTED, echo=print) -> float:
    """Measure both ways of training an adapter: how many times as fast ours is."""
    corpus = Corpus(PROFILES[profile])
    labelled = corpus.labelled(min(labels, len(corpus.reviews["train"])), 0)
    ours, trl = (way(corpus, labelled, steps) for way in (_our_adapter, _trl_adapter))
    for name, recorder in {"ours": ours, "TRL's SFTTrainer": trl}.items():
        counted = f"{len(recorder.counted)} steps of {ADAPTER['batch_size']}"
        echo(f"LoRA, {name}: {recorder.tokens_per_second():,.0f} tokens/s over {counted}")
    ratio = ours.tokens_per_second() / trl.tokens_per_second()
    echo(f"LoRA is trained {ratio:.1f} times as fast as with TRL's defaults in float32")
    return ratio


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
    """Train with TRL's defaults, but for bfloat16."""
    loaded, ask = pretrained.load_decoder(profile=corpus.profile, echo=None), decoders.REVIEW
    texts = {
        "prompt": [ask.fill(text) for text in labelled["text"]],
        "completion": [f" {ask.answer(label)}" for label in labelled["label"]],
    }
    layers = target_layers(loaded.model)
    with tempfile.TemporaryDirectory(prefix="trl-", ignore_cleanup_errors=True) as folder:
        quiet = _quiet(loaded.model, folder, ADAPTER)
        trainer = SFTTrainer(
            loaded.model,
            SFTConfig(max_steps=steps + DISCARDED, bf16=False, **quiet),
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
    parser.add_argument("--labels", type=int, default=1_000, help="snippets to train on")
    parser.add_argument("--lora", action="store_true", help="an adapter, beside TRL's SFTTrainer")
    options = parser.parse_args(arguments)
    if options.lora:
        lora_speed(options.profile)
    else:
        encoder_speed(options.profile, options.labels)


if __name__ == "__main__":
    main()
