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
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

from helpers import pretrained, training
from helpers.adapters import target_layers
from helpers.methods import bert, decoders, lora
from helpers.methods.base import Corpus
from helpers.methods.common import fine_tune
from helpers.runtime import PROFILES
from helpers.speed import matmul_gflops

__all__ = ["Recorder", "Step", "encoder_speed", "lora_speed", "main"]

REPETITIONS = 3
DISCARDED, COUNTED = 3, 20  # steps; at least so many are counted
BATCH_SIZE, EPOCHS, RATE = 32, 4, 2e-4  # as the course fine-tunes the encoder
LORA_BATCH_SIZE, LORA_RATE = 8, 1e-3


@dataclass(frozen=True)
class Step:
    """What a batch holds: texts, positions per text, and tokens that are not padding."""

    texts: int
    length: int
    tokens: int


@dataclass
class Recorder:
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

    def on_step(self, step: int = 0, model=None) -> None:
        """Note the end of a step."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def callback(self) -> TrainerCallback:
        """The same for a Trainer."""
        recorder = self

        class Noted(TrainerCallback):
            def on_step_end(self, args, state, control, **_):
                recorder.on_step()

        return Noted()

    @property
    def counted(self) -> list[Step]:
        """The steps after those that are discarded."""
        return self.steps[DISCARDED : len(self.ends)]

    @property
    def seconds(self) -> float:
        """Duration of the counted steps, loading of batches included."""
        return self.ends[-1] - self.ends[DISCARDED - 1]

    def tokens_per_second(self, epoch_tokens: int | None = None) -> float:
        """Real tokens per second.

        Args:
            epoch_tokens: of all rows; with it, what came before the first batch is counted in,
                spread over the epochs of a real training.
        """
        tokens = sum(step.tokens for step in self.counted)
        before = 0.0
        if epoch_tokens is not None:
            before = (self.first_batch - self.began) * tokens / (EPOCHS * epoch_tokens)
        return tokens / (self.seconds + before)

    def gflops(self, model, blocks: int) -> float:
        """Billions of operations per second in the matrix products of the trained blocks.

        Two operations for each weight and position, and for attention's two products; a backward
        pass takes twice the forward pass. Padding counts: the machine multiplies it like the rest.
        """
        names = pretrained.blocks(model)
        layers = [model.get_submodule(name) for name in names[len(names) - blocks :]]
        weights = sum(p.numel() for layer in layers for p in layer.parameters() if p.ndim == 2)
        attention = 2 * blocks * model.config.hidden_size
        work = (6 * s.texts * s.length * (weights + attention * s.length) for s in self.counted)
        return sum(work) / self.seconds / 1e9


def encoder_speed(profile: str = "cpu", labels: int = 1_000, echo=print) -> dict[str, float]:
    """Measure the plain Trainer, then `fit` with ever fewer blocks.

    Returns:
        For each way, how many times as many tokens per second it reads as the plain Trainer.
    """
    corpus = Corpus(PROFILES[profile])
    train = corpus.reviews["train"]
    labelled = corpus.labelled(labels if labels < len(train) else "all", 0)
    loaded = bert.encoder(corpus)
    rows, depth = bert.rows_of(loaded, labelled), len(pretrained.blocks(loaded.model))
    ways = {"fit, all blocks": depth, "fit, top three blocks": 3, "fit, top block": 1}
    ways = {name: min(blocks, depth) for name, blocks in ways.items()}
    epoch_tokens, peak = sum(map(len, rows["input_ids"][:])), _peak(loaded, rows)
    echo(f"{loaded.name}: {len(rows):,} snippets, {BATCH_SIZE} per batch, float32")
    speeds: dict[str, list[float]] = {"plain Trainer": [], **{name: [] for name in ways}}
    shares: dict[str, list[float]] = {name: [] for name in speeds}
    for _ in range(REPETITIONS):
        recorder = _plain(bert.encoder(corpus), rows)
        speeds["plain Trainer"].append(recorder.tokens_per_second(epoch_tokens))
        shares["plain Trainer"].append(recorder.gflops(loaded.model, depth) / peak)
        for name, blocks in ways.items():
            recorder = _fit(bert.encoder(corpus), rows, blocks)
            speeds[name].append(recorder.tokens_per_second(epoch_tokens))
            shares[name].append(recorder.gflops(loaded.model, blocks) / peak)
    times = {}
    for name, found in speeds.items():
        ratios = [a / b for a, b in zip(found, speeds["plain Trainer"], strict=True)]
        times[name] = statistics.median(ratios)
        echo(f"{name:22} {statistics.median(found):>9,.0f} tokens/s  {times[name]:5.2f} times the "
             f"Trainer [{min(ratios):.2f}-{max(ratios):.2f}]  "
             f"{statistics.median(shares[name]):4.0%} of the matrix product")  # fmt: skip
    return times


def lora_speed(profile: str = "cpu", labels: int = 320, steps: int = COUNTED, echo=print) -> float:
    """Measure both ways of training an adapter: how many times as fast ours is."""
    corpus = Corpus(PROFILES[profile])
    labelled = corpus.labelled(min(labels, len(corpus.reviews["train"])), 0)
    recorders = {"ours": _our_adapter(corpus, labelled, steps)}
    recorders["TRL's SFTTrainer"] = _trl_adapter(corpus, labelled, steps)
    speeds = {name: recorder.tokens_per_second() for name, recorder in recorders.items()}
    for name, speed in speeds.items():
        counted = len(recorders[name].counted)
        echo(f"LoRA, {name}: {speed:,.0f} tokens/s over {counted} steps of {LORA_BATCH_SIZE}")
    ours, trl = speeds.values()
    echo(f"LoRA is trained {ours / trl:.1f} times as fast as with TRL's defaults in float32")
    return ours / trl


def _peak(loaded, rows) -> float:
    """GFLOP/s of plain matrix products: of a large one, or of the model's own sizes."""
    config, device = loaded.model.config, training.device_of(loaded.model)
    positions = BATCH_SIZE * sum(map(len, rows["input_ids"][:])) // len(rows)
    inner = getattr(config, "intermediate_size", 4 * config.hidden_size)
    sizes = [(2048, 2048, 2048), (positions, config.hidden_size, inner)]
    return max(matmul_gflops(size, device=device) for size in sizes)


def _epochs(rows) -> int:
    return math.ceil((DISCARDED + COUNTED) / math.ceil(len(rows) / BATCH_SIZE))


def _plain(loaded, rows) -> Recorder:
    """Train with `transformers.Trainer` as it comes; only what writes and prints is turned off."""
    recorder = Recorder(DataCollatorWithPadding(loaded.tokenizer))
    with tempfile.TemporaryDirectory(prefix="plain-", ignore_cleanup_errors=True) as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=_epochs(rows), learning_rate=RATE,
            per_device_train_batch_size=BATCH_SIZE, warmup_steps=0.1, save_strategy="no",
            logging_strategy="no", report_to="none", disable_tqdm=True,
            use_cpu=training.device_of(loaded.model) == "cpu",
        )  # fmt: skip
        trainer = Trainer(
            loaded.model, arguments, data_collator=recorder, train_dataset=rows,
            callbacks=[recorder.callback()],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return recorder


def _fit(loaded, rows, blocks: int) -> Recorder:
    """Train as the methods of the course do."""
    recorder = Recorder(lambda rows: training.pad_batch(rows, loaded.pad_id))
    fine_tune(
        loaded, rows, blocks, num_epochs=_epochs(rows), learning_rate=RATE, batch_size=BATCH_SIZE,
        collate=recorder, on_step=recorder.on_step, progress=False,
    )  # fmt: skip
    return recorder


def _our_adapter(corpus: Corpus, labelled, steps: int) -> Recorder:
    """Train as notebook 7 does."""
    pad_id = decoders.decoder(corpus).pad_id
    recorder = Recorder(lambda rows: training.pad_batch(rows, pad_id))
    lora.tune_adapter(
        corpus, labelled, 0, num_epochs=1, min_steps=steps + DISCARDED, batch_size=LORA_BATCH_SIZE,
        learning_rate=LORA_RATE, collate=recorder, on_step=recorder.on_step, progress=False,
    )  # fmt: skip
    recorder.ends = recorder.ends[: steps + DISCARDED]
    return recorder


def _trl_adapter(corpus: Corpus, labelled, steps: int) -> Recorder:
    """Train with TRL as it comes; only what writes, prints or emulates is turned off."""
    loaded = pretrained.load_decoder(profile=corpus.profile, echo=None)
    ask = decoders.REVIEW
    texts = {
        "prompt": [ask.fill(text) for text in labelled["text"]],
        "completion": [f" {ask.answer(label)}" for label in labelled["label"]],
    }
    with tempfile.TemporaryDirectory(prefix="trl-", ignore_cleanup_errors=True) as folder:
        arguments = SFTConfig(
            folder, max_steps=steps + DISCARDED, learning_rate=LORA_RATE, bf16=False,
            report_to="none", save_strategy="no", disable_tqdm=True,
            use_cpu=training.device_of(loaded.model) == "cpu",
        )  # fmt: skip
        layers = target_layers(loaded.model)
        trainer = SFTTrainer(
            loaded.model, arguments, train_dataset=Dataset.from_dict(texts),
            processing_class=loaded.tokenizer,
            peft_config=LoraConfig(r=lora.RANK, lora_alpha=lora.ALPHA, target_modules=layers),
        )  # fmt: skip
        recorder = Recorder(trainer.data_collator)
        trainer.data_collator = recorder
        trainer.add_callback(recorder.callback())
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return recorder


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=Path(__file__).stem)
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
