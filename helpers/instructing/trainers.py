"""TRL's trainers, set up for a small model with a LoRA adapter, and made quiet.

TRL's own defaults are those of a large model on a large card: numbers in bfloat16, and activations
thrown away and computed again. Here both are off; what is trained stays float32.
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
from helpers.pretrained import Pretrained, unwrapped
from helpers.pretrained.loading import quiet
from helpers.runtime import measure, shows_progress
from helpers.training import FitResult, device_of

__all__ = ["dpo_trainer", "sft_trainer", "train"]

REFERENCE = "ref"  # TRL's name of the frozen copy of an adapter that DPO compares with


def sft_trainer(
    loaded: Pretrained,
    rows: Dataset,
    output_dir: Path | str,
    *,
    num_epochs: float = 1,
    learning_rate: float = 1e-3,
    batch_size: int = 8,
    save_steps: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    **settings,
):
    """Build TRL's trainer for supervised fine-tuning of the adapter on a model.

    The loss is TRL's, computed where there is a label: on a CPU TRL 1.16 computes the logits of
    every position, which takes longer than all the rest of a small model.

    Args:
        loaded: of `add_adapter`; the active adapter is trained.
        rows: conversations in a column `messages`, of which the last answer is learned; or what
            TRL takes, such as `prompt` and `completion`, or rows of `chat_rows`.
        output_dir: of checkpoints.
        num_epochs, learning_rate, batch_size, seed, precision: as for `training.fit`.
        save_steps: steps between checkpoints of the adapter; none are written without it.
        settings: further arguments of `trl.SFTConfig`.

    Returns:
        A `trl.SFTTrainer`, for `train`.
    """
    from trl import SFTConfig

    if "messages" in rows.column_names:
        chats = rows["messages"][:]
        rows = Dataset.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in chats])
    ours = {"num_train_epochs": num_epochs, "per_device_train_batch_size": batch_size}
    ours |= {"learning_rate": learning_rate, "seed": seed}
    ours |= _common(loaded, output_dir, save_steps, precision)
    return _built(_at_labels(), SFTConfig, ours | settings, loaded, rows)


def dpo_trainer(
    loaded: Pretrained,
    pairs: Dataset,
    output_dir: Path | str,
    *,
    beta: float = 0.1,
    num_epochs: float = 1,
    learning_rate: float = 1e-4,
    batch_size: int = 4,
    save_steps: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    **settings,
):
    """Build TRL's trainer for direct preference optimisation (Rafailov et al. 2023).

    Args:
        loaded: of `add_adapter`; its adapter `"default"` is trained, and the model as it is now is
            the reference.
        pairs: of `preference_pairs`.
        output_dir: of checkpoints.
        beta: how strongly the policy is kept close to the reference.
        num_epochs, learning_rate, batch_size, save_steps, seed, precision: as for `sft_trainer`.
        settings: further arguments of `trl.DPOConfig`.

    Returns:
        A `trl.DPOTrainer`, for `train`.
    """
    from trl import DPOConfig, DPOTrainer

    _drop_reference(loaded.model)  # of a run that was interrupted
    ours = {"num_train_epochs": num_epochs, "per_device_train_batch_size": batch_size}
    ours |= {"learning_rate": learning_rate, "seed": seed, "beta": beta}
    ours |= _common(loaded, output_dir, save_steps, precision)
    return _built(DPOTrainer, DPOConfig, ours | settings, loaded, pairs)


def train(trainer, resume: bool = False) -> FitResult:
    """Run a trainer of TRL, and measure what it cost.

    Args:
        trainer: of `sft_trainer` or `dpo_trainer`.
        resume: go on from the last checkpoint in its `output_dir`.

    Returns:
        A `FitResult`: the losses are those of each step, from the start of the first run on; steps
        and tokens, padding not counted, are those of this call.

    Raises:
        FloatingPointError: if the loss stops being a number; the message names the step.
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


def _common(loaded: Pretrained, output_dir, save_steps: int | None, precision: str) -> dict:
    """What both trainers are told, whatever they learn."""
    device = device_of(loaded.model)
    return {
        "output_dir": str(output_dir), "warmup_steps": 0.1, "max_length": None,
        "gradient_checkpointing": False,
        "bf16": precision == "bfloat16", "fp16": precision == "float16",
        "use_cpu": device == "cpu", "dataloader_pin_memory": device != "cpu",
        "logging_steps": 1, "logging_nan_inf_filter": False, "report_to": "none",
        "disable_tqdm": True, "include_num_input_tokens_seen": "non_padding",
        "save_strategy": "steps" if save_steps else "no", "save_steps": save_steps or 500,
        "save_total_limit": 2,
    }  # fmt: skip


def _built(kind, config, settings: dict, loaded: Pretrained, rows: Dataset):
    if not getattr(loaded.model, "peft_config", None):
        raise ValueError("The model has no adapter to train: loaded = add_adapter(loaded) first.")
    with _silence():
        trainer = kind(
            loaded.model,
            args=config(**settings),
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
    """Draws a bar of steps, and knows where this call of `train` began."""

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
    """Switch off the bars and remarks of three libraries for a while."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with quiet(), warnings.catch_warnings(action="ignore", category=FutureWarning):
            yield
    finally:
        if shown:
            datasets.enable_progress_bars()
