"""TRL's trainers with a LoRA adapter, made quiet, and a run that can be killed and go on.

TRL's own defaults are those of a large model on a large card: numbers in bfloat16, and activations
thrown away and computed again. Here both are off; what is trained stays float32.
"""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from helpers.decoding import token_losses
from helpers.instructing.runs import bar, check_run, last_checkpoint, silence
from helpers.pretrained import Pretrained
from helpers.runtime import measure
from helpers.training import FitResult, device_of, epoch_order
from helpers.training.shards import place

__all__ = ["dpo_trainer", "sft_trainer", "train"]

FORMS = ({"input_ids", "labels"}, {"prompt", "completion"})  # besides messages
REFERENCE = "ref"  # the frozen copy of an adapter that DPO compares with


def sft_trainer(
    loaded: Pretrained, rows, output_dir: Path | str, *, num_epochs: float = 1,
    learning_rate: float = 1e-3, batch_size: int = 8, save_steps: int | None = None, seed: int = 0,
    precision: str = "float32", every_position: bool = False, **settings,
):  # fmt: skip
    """Build TRL's trainer for supervised fine-tuning of the adapter on a model.

    Its loss is computed by `LossAtLabels`. TRL 1.16 does that itself on a graphics card; on a CPU
    it computes the logits of every position, which takes longer than all the rest of a small model.

    Args:
        loaded: of `add_adapter`; the active adapter is trained.
        rows: conversations in a column `messages`, of which the last answer is learned; or texts
            in `prompt` and `completion`; or rows of `chat_rows`, with labels as they are.
        output_dir: of checkpoints.
        num_epochs, learning_rate, batch_size, seed: as for `training.fit`.
        save_steps: steps between checkpoints of the adapter; none are written without it.
        precision: as for `training.fit`.
        every_position: leave the loss to TRL. It is the same.
        settings: further arguments of `trl.SFTConfig`.

    Returns:
        A `trl.SFTTrainer`, for `train`.

    Raises:
        ValueError: if the rows have other columns, the model has no adapter, or there are several
            processes.
    """
    from trl import SFTConfig, SFTTrainer

    if place()[1] > 1:
        raise ValueError("This trainer works in one process only: do without torchrun.")
    if "messages" in rows.column_names:
        rows = _questions_and_answers(rows)
    elif not any(form <= set(rows.column_names) for form in FORMS):
        raise ValueError(
            f"The rows have the columns {', '.join(rows.column_names)}; give conversations in "
            "messages, texts in prompt and completion, or rows of chat_rows."
        )
    common = _settings(
        loaded, output_dir, num_epochs, learning_rate, batch_size, save_steps, seed, precision
    )
    kind = SFTTrainer if every_position else _where_it_counts()
    return _built(kind, SFTConfig, common | settings, loaded, rows)


def dpo_trainer(
    loaded: Pretrained, pairs, output_dir: Path | str, *, beta: float = 0.1,
    num_epochs: float = 1, learning_rate: float = 1e-4, batch_size: int = 4,
    save_steps: int | None = None, seed: int = 0, precision: str = "float32", **settings,
):  # fmt: skip
    """Build TRL's trainer for direct preference optimisation (Rafailov et al. 2023).

    Args:
        loaded: of `add_adapter`; its adapter `"default"` is trained, and the model as it is now is
            the reference.
        pairs: of `preference_pairs`.
        output_dir: of checkpoints.
        beta: how dearly every step away from the reference is paid for.
        num_epochs, learning_rate, batch_size, save_steps, seed, precision: as for `sft_trainer`.
        settings: further arguments of `trl.DPOConfig`.

    Returns:
        A `trl.DPOTrainer`, for `train`.

    Raises:
        ValueError: if the model has no adapter.
    """
    from trl import DPOConfig, DPOTrainer

    common = _settings(
        loaded, output_dir, num_epochs, learning_rate, batch_size, save_steps, seed, precision
    )
    common |= {"beta": beta}
    _drop_reference(loaded.model)  # of a run that was interrupted
    return _built(DPOTrainer, DPOConfig, common | settings, loaded, pairs)


def train(trainer, resume: bool = False) -> FitResult:
    """Run a trainer of TRL, and measure what it cost.

    Args:
        trainer: of `sft_trainer` or `dpo_trainer`.
        resume: go on from the last whole checkpoint in its `output_dir`, or start if there is none.

    Returns:
        A `FitResult`: the losses are those of each step, from the start of the first run on;
        tokens are those of this call, padding not counted.

    Raises:
        FloatingPointError: if the loss stops being a number; the message names the step.
        ValueError: if `output_dir` holds checkpoints and `resume` is not asked for, or they are of
            a run with other settings or rows.
    """
    check_run(trainer, resume)
    trainer.real_tokens = 0
    checkpoint = last_checkpoint(Path(trainer.args.output_dir)) if resume else None
    first = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    with silence(), bar(trainer, first), measure() as cost:
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    losses = [entry["loss"] for entry in history]
    for step, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss} at step {step}, with a learning rate of "
                f"{trainer.args.learning_rate:g}. Lower the rate, or warm it up."
            )
    _drop_reference(trainer.model)
    tokens = getattr(trainer, "real_tokens", 0) or trainer._total_train_tokens
    steps = trainer.state.global_step - first
    trainer.model.eval()
    return FitResult(trainer.model, losses, [], cost, steps, tokens)


def _questions_and_answers(rows):
    from datasets import Dataset

    chats = rows["messages"][:]
    return Dataset.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in chats])


def _settings(
    loaded, output_dir, num_epochs, learning_rate, batch_size, save_steps, seed, precision
) -> dict:
    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"Unknown precision {precision!r}; use float32, bfloat16 or float16.")
    device = device_of(loaded.model)
    return {
        "output_dir": str(output_dir), "num_train_epochs": num_epochs, "seed": seed,
        "learning_rate": learning_rate, "per_device_train_batch_size": batch_size,
        "warmup_steps": 0.1, "max_length": None, "gradient_checkpointing": False,
        "bf16": precision == "bfloat16", "fp16": precision == "float16",
        "use_cpu": device == "cpu", "dataloader_pin_memory": device != "cpu",
        "logging_steps": 1, "logging_nan_inf_filter": False, "report_to": "none",
        "disable_tqdm": True, "save_total_limit": 2,
        "save_strategy": "steps" if save_steps else "no", "save_steps": save_steps or 500,
    }  # fmt: skip


def _drop_reference(model) -> None:
    if REFERENCE in getattr(model, "peft_config", {}):
        model.delete_adapter(REFERENCE)


class _Order:
    """The order in which `fit` shows rows, as a sampler: another one in each epoch."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self.arguments, self.epoch = (lengths, batch_size, seed), 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.arguments[0])

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(*self.arguments, self.epoch))


@cache
def _where_it_counts():
    from trl import SFTTrainer

    class AnswerTrainer(SFTTrainer):
        real_tokens = 0

        def _get_train_sampler(self, train_dataset=None):
            # The order of `fit`. That of transformers' length groups depends on the state of the
            # global generator, so that a resumed epoch would see some rows twice.
            rows = self.train_dataset if train_dataset is None else train_dataset
            lengths = [len(ids) for ids in rows["input_ids"]]
            return _Order(lengths, self.args.per_device_train_batch_size, self.args.seed)

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            mask, labels = inputs["attention_mask"], inputs["labels"]
            base = model.get_base_model()
            losses = token_losses(base, inputs["input_ids"], mask, labels)
            self.real_tokens += int(mask.sum())
            # Trainer counts the labels of all batches that make up one step.
            loss = losses.sum() / (num_items_in_batch or max(1, len(losses)))
            return (loss, {"loss": loss}) if return_outputs else loss

    return AnswerTrainer


def _built(kind, config_class, settings: dict, loaded: Pretrained, rows):
    from transformers import PrinterCallback

    if not getattr(loaded.model, "peft_config", None):
        raise ValueError("The model has no adapter to train: loaded = add_adapter(loaded) first.")
    with silence():
        trainer = kind(
            loaded.model,
            args=config_class(**settings),
            train_dataset=rows,
            processing_class=loaded.tokenizer,
        )
    trainer.remove_callback(PrinterCallback)  # it would print every step
    return trainer
