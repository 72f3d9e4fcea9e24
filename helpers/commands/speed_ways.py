"""Four ways of fine-tuning one encoder, each with a counter of its steps.

The first is what a user writes who takes `transformers.Trainer` as it comes: padding to the longest
text of a batch, random batches, nothing frozen. It is built here and not with `training.fit`,
because it is what `fit` is compared with.
"""

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from helpers import pretrained, training
from helpers.commands.flops import Shape, forward_flops, shape_of, step_flops
from helpers.methods import Corpus

__all__ = ["BATCH_SIZE", "DISCARDED", "EPOCHS", "LEAST", "RATE", "Counter", "Way", "plain_tune"]

BATCH_SIZE, REMEMBERED_AT_ONCE = 32, 64
DISCARDED = 3  # steps in which memory is allocated and kernels are chosen
LEAST = 20  # steps counted
EPOCHS, RATE = 4, 2e-4  # as the course fine-tunes


@dataclass
class Counter:
    """Collates batches, notes what they hold and when their steps end, and stops training.

    Attributes:
        collate: list of rows -> dict of tensors.
        steps: counted at most, after those that are discarded.
        seconds: after which counting ends early, `LEAST` steps given.
        device: `"cpu"` or `"cuda"`.
        batches: (texts, positions a text, real tokens) of every batch.
        ends: time at the end of every step.
    """

    collate: Callable
    steps: int
    seconds: float = math.inf
    device: str = "cpu"
    batches: list[tuple[int, int, int]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def __call__(self, rows: list) -> dict:
        """Collate, and note what the batch holds."""
        batch = self.collate(rows)
        mask = batch["attention_mask"]
        self.batches.append((*mask.shape, int(mask.sum())))
        return batch

    def callback(self):
        """Give the `TrainerCallback` that notes the end of every step."""
        from transformers import TrainerCallback

        counter = self

        class Stamp(TrainerCallback):
            def on_step_end(self, args, state, control, **_):
                control.should_training_stop = counter.stamp()

        return Stamp()

    def stamp(self) -> bool:
        """Note the end of a step; True when there are enough."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        counted = len(self.ends) - DISCARDED
        late = counted >= LEAST and self.elapsed >= self.seconds
        return counted >= self.steps or late

    @property
    def elapsed(self) -> float:
        """Seconds of the counted steps, loading of batches included."""
        return self.ends[-1] - self.ends[DISCARDED - 1]

    @property
    def counted(self) -> list[tuple[int, int, int]]:
        """The batches of the counted steps."""
        return self.batches[DISCARDED : len(self.ends)]


@dataclass(frozen=True)
class Measured:
    """What one run of a way came to.

    Attributes:
        tokens: real tokens a second.
        gflops: billions of operations a second, those on padding included.
        padding: share of all positions.
        remembering: seconds of the pass through the frozen blocks, already counted in.
    """

    tokens: float
    gflops: float
    padding: float
    remembering: float


@dataclass(frozen=True)
class Way:
    """A way of fine-tuning.

    Attributes:
        name: of its line.
        blocks: trained from the top; None for the plain Trainer, which trains everything.
    """

    name: str
    blocks: int | None

    def measure(self, loaded: pretrained.Pretrained, rows, seconds: float) -> Measured:
        """Train for a while and take the time.

        Args:
            loaded: a fresh encoder.
            rows: of `encode_texts`, with labels.
            seconds: after which counting ends early.
        """
        epoch_steps = math.ceil(len(rows) / BATCH_SIZE)
        epochs = math.ceil(LEAST / epoch_steps)
        counter = Counter(
            _collator(loaded, self.blocks is None), epochs * epoch_steps, seconds,
            next(loaded.model.parameters()).device.type,
        )  # fmt: skip
        settings = {"num_epochs": epochs + 1 + DISCARDED // epoch_steps, "collate": counter}
        settings["callbacks"] = [counter.callback()]
        shape, remembering, before = shape_of(loaded.model), 0.0, 0
        if self.blocks is None:
            _plain(loaded.model, rows, **settings)
        else:
            remembering = _fitted(loaded, rows, self.blocks, **settings)
            before = _remembered_flops(shape, rows, self.blocks) if remembering else 0
        return self._measured(counter, shape, rows, remembering, before)

    def _measured(self, counter: Counter, shape: Shape, rows, remembering, before) -> Measured:
        """Sum up; the pass that remembers is spread over the epochs of a real training."""
        depth, everything = len(shape.blocks), self.blocks is None
        trained = depth if everything else self.blocks
        kind = {"embeddings": everything, "remembered": trained < depth}
        tokens = sum(real for *_, real in counter.counted)
        positions = sum(texts * length for texts, length, _ in counter.counted)
        work = sum(
            step_flops(shape, n, length, trained, **kind) for n, length, _ in counter.counted
        )
        share = tokens / (EPOCHS * sum(map(len, rows["input_ids"][:])))
        seconds = counter.elapsed + share * remembering
        gflops = (work + share * before) / seconds / 1e9
        return Measured(tokens / seconds, gflops, 1 - tokens / positions, remembering)


def plain_tune(corpus: Corpus, labelled, seed: int) -> pretrained.Pretrained:
    """Fine-tune with the plain Trainer, for as many epochs and at the rate of the course.

    Args:
        corpus: the reviews, which know their profile.
        labelled: a Dataset with text and label.
        seed: of the head, of the order and of dropout.
    """
    from helpers.methods import bert

    loaded = bert.encoder(corpus, seed)
    rows = bert.rows_of(loaded, labelled)
    _plain(loaded.model, rows, num_epochs=EPOCHS, collate=_collator(loaded, True), seed=seed)
    loaded.model.eval()
    return loaded


def _collator(loaded, plain: bool) -> Callable:
    from transformers import DataCollatorWithPadding

    if plain:
        return DataCollatorWithPadding(loaded.tokenizer)
    return lambda rows: training.pad_batch(rows, loaded.pad_id)


def _plain(model, rows, *, num_epochs: int, collate, callbacks=(), seed: int = 0) -> None:
    """Train with `transformers.Trainer` as it comes; only what writes and prints is turned off."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    with tempfile.TemporaryDirectory(prefix="plain-", ignore_cleanup_errors=True) as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=num_epochs, learning_rate=RATE, seed=seed,
            per_device_train_batch_size=BATCH_SIZE, warmup_steps=0.1, save_strategy="no",
            logging_strategy="no", report_to="none", disable_tqdm=True,
            use_cpu=next(model.parameters()).device.type == "cpu",
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, data_collator=collate, train_dataset=rows, callbacks=[*callbacks]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def _fitted(loaded, rows, blocks: int, **settings: Any) -> float:
    """Train as the methods of the course do; give the seconds that remembering took."""
    model, seconds = loaded.model, 0.0
    freeze = pretrained.freeze_below(model, blocks)
    if blocks < len(pretrained.blocks(model)):
        start = time.perf_counter()
        model = pretrained.FrozenBelow(model, blocks)
        rows, freeze = model.remember(rows, REMEMBERED_AT_ONCE), model.freeze
        seconds = time.perf_counter() - start
    training.fit(
        model, rows, freeze=freeze, learning_rate=RATE, batch_size=BATCH_SIZE, warmup_steps=0.1,
        progress=False, **settings,
    )  # fmt: skip
    return seconds


def _remembered_flops(shape: Shape, rows, blocks: int) -> int:
    """Operations of the pass through the frozen blocks: batches of similar length."""
    lengths = sorted(map(len, rows["input_ids"][:]))
    parts = [
        lengths[i : i + REMEMBERED_AT_ONCE] for i in range(0, len(lengths), REMEMBERED_AT_ONCE)
    ]
    frozen = slice(len(shape.blocks) - blocks)
    return sum(forward_flops(shape, len(part), part[-1], frozen) for part in parts)
