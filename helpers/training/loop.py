"""What happens while a model trains: Trainer's loop, and what the course hangs on it."""

import json
import math
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from helpers.files import write_text
from helpers.networks import IGNORED
from helpers.runtime import shows_progress
from helpers.training.batches import Rows, device_of, epoch_order
from helpers.training.shards import Shards, place, summed, wait_for_all

__all__ = ["PROGRESS_FILE", "Job", "build_trainer", "device_of", "evaluated", "validate"]

PROGRESS_FILE = "fit.json"  # written last: a checkpoint without it was cut off


class Job:
    """What surrounds Trainer's loop: order, freezing by epoch, losses, validation, a bar."""

    def __init__(self, model, rows, held_out, collate, settings, stages, length_grouped, progress):
        self.model, self.rows, self.held_out, self.collate = model, rows, held_out, collate
        self.settings, self.stages, self.length_grouped = settings, stages, length_grouped
        self.batch_size = settings["batch_size"]
        self.epoch_steps = math.ceil(len(rows) / self.batch_size)
        self.total_steps = math.ceil(settings["num_epochs"] * self.epoch_steps)
        self.losses, self.history, self.pending = [], [], []
        self.epoch = self.first_step = 0
        self.seconds_before, self.started = 0.0, time.perf_counter()
        self.rank, self.world = place()
        self.shards = Shards(self, self.batch_size) if self.world > 1 else None
        if self.shards and len(stages) > 1:
            raise ValueError("Gradual unfreezing works in one process only: do without torchrun.")
        # Asking a GPU for a number makes it wait; on a CPU it is free.
        self.patience = 1 if device_of(model) == "cpu" else 50
        self.progress = shows_progress() if progress is None else progress
        self.progress = self.progress and self.rank == 0

    def __enter__(self):
        from tqdm.auto import tqdm
        from transformers.utils import logging

        self.bars_on = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # each checkpoint would draw one
        self.bar = tqdm(
            total=self.total_steps, initial=self.first_step, disable=not self.progress,
            desc="training", unit="step", leave=False,
        )  # fmt: skip
        return self

    def __exit__(self, *_):
        from transformers.utils import logging

        self.bar.close()
        if self.bars_on:
            logging.enable_progress_bar()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:  # as the sampler of the data loader
        order = (self.rows.lengths, self.batch_size, self.settings["seed"], self.epoch)
        return iter(epoch_order(*order, self.length_grouped))

    def loader(self):
        """Give Trainer the batches of this process."""
        import torch

        # A generator of its own: shuffling leaves the random numbers of dropout alone. Not
        # wrapped by accelerate, whose copies and look-ahead cost a small network its time.
        batches = {"batch_size": self.batch_size, "sampler": self}
        if self.shards:
            batches = {"batch_sampler": self.shards}
        return torch.utils.data.DataLoader(
            self.rows, collate_fn=self.collate, generator=torch.Generator(), **batches
        )

    def begin_epoch(self, epoch: int) -> None:
        """Let the parameters train whose turn it is; `epoch` counts from 0."""
        self.epoch = epoch
        trained = set().union(*self.stages[: epoch + 1])
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in trained)

    def record(self, loss) -> None:
        """Keep a step's loss; stop training if it is not a number."""
        self.pending.append(loss)
        if len(self.pending) >= self.patience:
            self.drain()

    def drain(self) -> None:
        """Turn the losses that wait on the device into numbers."""
        for loss in [float(loss) for loss in self.pending]:
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"The loss is {loss} at step {len(self.losses) + 1} of {self.total_steps}, "
                    f"with a learning rate of {self.settings['learning_rate']:g}. Lower the rate, "
                    "warm it up, or look for broken inputs."
                )
            self.losses.append(loss)
        self.pending.clear()

    def end_epoch(self) -> None:
        """Validate, if there is something to validate on."""
        self.drain()
        if self.held_out:
            self.history.append({"epoch": self.epoch + 1} | validate(self))

    def save(self, checkpoint: Path) -> None:
        """Add to a checkpoint what Trainer's own files lack."""
        self.drain()
        wait_for_all()  # the mark of a whole checkpoint comes after everybody's files
        if self.rank:
            return
        seconds = self.seconds_before + time.perf_counter() - self.started
        state = {"settings": self.settings, "losses": self.losses, "validation": self.history,
                 "seconds": round(seconds, 2)}  # fmt: skip
        write_text(checkpoint / PROGRESS_FILE, json.dumps(state))

    def restore(self, checkpoint: Path) -> None:
        """Read what `save` wrote; a ValueError if the settings were others."""
        state = json.loads((checkpoint / PROGRESS_FILE).read_text(encoding="utf-8"))
        differ = [key for key, value in self.settings.items() if state["settings"][key] != value]
        if differ:
            was = ", ".join(f"{key}={state['settings'][key]}" for key in differ)
            raise ValueError(
                f"{checkpoint} comes from a run with {was}. Resume with the same settings, or "
                "choose another output_dir."
            )
        self.losses, self.history = state["losses"], state["validation"]
        self.first_step = len(self.losses)
        self.seconds_before = state.get("seconds", 0.0)


@cache
def _trainer_classes():
    from transformers import Trainer, TrainerCallback

    class JobTrainer(Trainer):
        job: Job

        def get_train_dataloader(self):
            return self.job.loader()

        def create_optimizer(self, model=None):
            self.optimizer = self.optimizer or self.job.optimizer
            return self.optimizer

        def compute_loss(self, model, inputs, *args, **kwargs):
            result = super().compute_loss(model, inputs, *args, **kwargs)
            if not self.job.shards:
                return result
            weight = self.job.shards.weight(inputs, self.state.global_step)
            return result * weight  # Trainer asks for outputs only when it evaluates, as we do not

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            if self.job.shards:
                loss = loss.new_tensor(summed(float(loss))[0] / self.job.world)
            self.job.record(loss)
            return loss

        def floating_point_ops(self, inputs):
            return 0  # walks through all modules at every step, for a number that nobody reads

    class JobCallback(TrainerCallback):
        def __init__(self, job: Job):
            self.job = job

        def on_epoch_begin(self, args, state, control, **_):
            self.job.begin_epoch(state.global_step // self.job.epoch_steps)

        def on_step_end(self, args, state, control, **_):
            self.job.bar.update()

        def on_epoch_end(self, args, state, control, **_):
            self.job.end_epoch()

        def on_save(self, args, state, control, **_):
            self.job.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return JobTrainer, JobCallback


def build_trainer(job: Job, optimizer, callbacks, folder: Path, precision: str, **arguments):
    """Build the Trainer, quiet and without what small networks pay for and do not need."""
    from transformers import PrinterCallback, TrainingArguments, set_seed

    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"Unknown precision {precision!r}; use float32, bfloat16 or float16.")
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=-(-job.batch_size // job.world),
        use_cpu=device_of(job.model) == "cpu", bf16=precision == "bfloat16",
        fp16=precision == "float16", save_total_limit=2, logging_strategy="no",
        logging_nan_inf_filter=False, report_to="none", disable_tqdm=True,
        ddp_find_unused_parameters=False, **arguments,
    )  # fmt: skip
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else Trainer splits every batch over all cards
    trainer_class, callback_class = _trainer_classes()
    trainer = trainer_class(
        job.model, arguments, data_collator=job.collate, train_dataset=job.rows,
        callbacks=[callback_class(job), *callbacks],
    )  # fmt: skip
    # Given to Trainer beforehand, an optimizer is refused where FSDP spreads the parameters.
    trainer.job, job.optimizer = job, optimizer
    # Otherwise Trainer has transformers' models divide by its own count of labels, which for some
    # language models includes the first token, that nothing predicts.
    trainer.model_accepts_loss_kwargs = False
    # Trainer begins by collecting garbage, which takes longer than to train on 32 labels.
    trainer.accelerator.free_memory = lambda *objects: list(objects)
    trainer.remove_callback(PrinterCallback)
    set_seed(job.settings["seed"] + job.rank)  # every process draws dropout of its own
    return trainer


def evaluated(
    model, rows: Rows, collate, batch_size: int, rank: int = 0, world: int = 1
) -> Iterator[tuple]:
    """Run a model in evaluation mode over rows by length: (row numbers, batch, output).

    With `world` processes each runs over every so-manieth row, from its `rank` on.
    """
    import torch

    was_training, device = model.training, device_of(model)
    order = np.argsort(rows.lengths, kind="stable").tolist()[rank::world]
    model.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                indices = order[start : start + batch_size]
                batch = {k: v.to(device) for k, v in collate([rows[i] for i in indices]).items()}
                yield indices, batch, model(**batch)
    finally:
        model.train(was_training)


def validate(job: Job) -> dict[str, float]:
    """Mean loss over the labels held out, and accuracy where a row has one class label."""
    import torch

    total, counted, correct, judged = 0.0, 0, 0, 0
    rows = (job.model, job.held_out, job.collate, job.batch_size, job.rank, job.world)
    # A collate function may draw random numbers; those of training must not depend on it.
    with torch.random.fork_rng():
        for _, batch, output in evaluated(*rows):
            labels = batch["labels"]
            n = int((labels != IGNORED).sum())
            total, counted = total + float(output["loss"]) * n, counted + n
            if labels.ndim == 1 and not labels.is_floating_point():
                correct += int((output["logits"].argmax(dim=1) == labels).sum())
                judged += n
    total, counted, correct, judged = summed(total, counted, correct, judged)
    measured = {"loss": total / counted}
    return measured | {"accuracy": correct / judged} if judged else measured
