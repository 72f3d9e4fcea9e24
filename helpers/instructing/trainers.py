"""TRL's trainers, set up for a small model with a LoRA adapter, and made quiet.

TRL's defaults suit a large model on a large GPU: bfloat16 and gradient checkpointing. Here both are
off, and what is trained stays float32.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import datasets
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PrinterCallback, TrainerCallback

from helpers.decoding import token_losses
from helpers.pretrained import Pretrained, quiet, unwrapped
from helpers.runtime import measure, shows_progress
from helpers.training import FitResult, device_of

__all__ = ["dpo_trainer", "sft_trainer", "train"]

REFERENCE = "ref"  # TRL's name of the frozen copy of an adapter that DPO compares with


def sft_trainer(
    loaded: Pretrained, rows: Dataset, output_dir: Path | str, *, precision="float32", **settings
):
    """Build TRL's `SFTTrainer`, for `train`, to fine-tune the active adapter of a model.

    The loss is TRL's, but computed only at the labels: on a CPU TRL 1.16 computes the logits of
    every position, which takes longer than all the rest of a small model.

    Args:
        rows: conversations in a column `messages`, of which the last answer is learned; or what
            TRL takes, such as `prompt` and `completion`, or rows of `chat_rows`.
        output_dir: for checkpoints; none are written without `save_steps`.
        precision: as for `training.fit`.
        settings: of `trl.SFTConfig`; by default one epoch, 8 rows per batch, learning rate 1e-3.
    """
    from trl import SFTConfig

    if "messages" in rows.column_names:
        chats = rows["messages"][:]
        rows = Dataset.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in chats])
    settings = {"learning_rate": 1e-3, "per_device_train_batch_size": 8} | settings
    return _built(_at_labels(), SFTConfig, loaded, rows, output_dir, precision, settings)


def dpo_trainer(
    loaded: Pretrained, pairs: Dataset, output_dir: Path | str, *, precision="float32", **settings
):
    """Build TRL's `DPOTrainer`, for `train`: direct preference optimisation (Rafailov et al. 2023).

    The adapter `"default"` is trained; the model as it is now is the reference.

    Args:
        pairs: as from `preference_pairs`.
        output_dir, precision: as for `sft_trainer`.
        settings: of `trl.DPOConfig`, such as `beta`, which keeps the policy close to the
            reference; by default one epoch, 4 pairs per batch, learning rate 1e-4.
    """
    from trl import DPOConfig, DPOTrainer

    _drop_reference(loaded.model)  # of a run that was interrupted
    settings = {"learning_rate": 1e-4, "per_device_train_batch_size": 4} | settings
    return _built(DPOTrainer, DPOConfig, loaded, pairs, output_dir, precision, settings)


def train(trainer, resume: bool = False) -> FitResult:
    """Run a trainer of TRL, and measure what it cost.

    With `resume` it continues from the last checkpoint in its `output_dir`.

    Returns:
        A `FitResult`: losses of all steps since the start of the first run; steps and tokens
        (without padding) of this call.

    Raises:
        FloatingPointError: if the loss is not finite; the message names the step.
        ValueError: if there is no checkpoint to resume from.
    """
    progress = _Progress()
    trainer.add_callback(progress)
    try:
        with _silence(), measure() as cost:
            trainer.train(resume_from_checkpoint=resume)
    finally:
        progress.bar.close()
        trainer.remove_callback(progress)
    _drop_reference(trainer.model)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    for step, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss} at step {step}, with a learning rate of "
                f"{trainer.args.learning_rate:g}. Lower the rate, or warm it up."
            )
    state = trainer.state
    return FitResult(
        model=trainer.model.eval(),
        losses=losses,
        validation=[],
        cost=cost,
        steps=state.global_step - progress.steps_before,
        tokens=state.num_input_tokens_seen - progress.tokens_before,
    )


def _built(kind, config, loaded: Pretrained, rows: Dataset, output_dir, precision, settings: dict):
    if not getattr(loaded.model, "peft_config", None):
        raise ValueError("The model has no adapter to train: loaded = add_adapter(loaded) first.")
    device = device_of(loaded.model)
    common = {
        "output_dir": str(output_dir),
        "num_train_epochs": 1,
        "seed": 0,
        "warmup_steps": 0.1,
        "max_length": None,
        "gradient_checkpointing": False,
        "bf16": precision == "bfloat16",
        "fp16": precision == "float16",
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device != "cpu",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "steps" if "save_steps" in settings else "no",
        "save_total_limit": 2,
    }
    with _silence():
        trainer = kind(
            loaded.model,
            args=config(**common | settings),
            train_dataset=rows,
            processing_class=loaded.tokenizer,
        )
    trainer.remove_callback(PrinterCallback)  # it would print every step
    return trainer


@cache
def _at_labels():
    """`SFTTrainer` with the loss of `decoding.LossAtLabels`; TRL takes seconds to import."""
    from trl import SFTTrainer

    class AnswerTrainer(SFTTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            mask, labels = inputs["attention_mask"], inputs["labels"]
            with self.accelerator.autocast():
                losses = token_losses(unwrapped(model), inputs["input_ids"], mask, labels)
            # Trainer counts the labels of all batches that make up one step.
            loss = losses.sum() / (num_items_in_batch or max(1, len(losses)))
            return (loss, {"loss": loss}) if return_outputs else loss

    return AnswerTrainer


def _drop_reference(model) -> None:
    if REFERENCE in getattr(model, "peft_config", {}):
        model.delete_adapter(REFERENCE)


class _Progress(TrainerCallback):
    """Draws a bar of steps, and records where this call of `train` began."""

    def __init__(self):
        self.bar = tqdm(disable=not shows_progress(), desc="training", leave=False)
        self.steps_before = self.tokens_before = 0

    def on_train_begin(self, args, state, control, **_):
        self.steps_before, self.tokens_before = state.global_step, state.num_input_tokens_seen
        self.bar.reset(state.max_steps)
        self.bar.update(state.global_step)

    def on_step_end(self, args, state, control, **_):
        self.bar.update()


@contextmanager
def _silence() -> Iterator[None]:
    """Switch off the bars and messages of three libraries for a while."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with quiet(), warnings.catch_warnings(action="ignore", category=FutureWarning):
            yield
    finally:
        if shown:
            datasets.enable_progress_bars()
