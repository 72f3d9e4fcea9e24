"""TRL's trainers with a LoRA adapter, made quiet, and a run that can be killed and go on.

TRL's own defaults are those of a large model on a large card: numbers in bfloat16, and activations
thrown away and computed again. Here both are off; what is trained stays float32.
"""

import math
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from helpers.decoding.positions import token_losses
from helpers.instructing.runs import bar, check_run, last_checkpoint, silence
from helpers.pretrained import Pretrained
from helpers.pretrained.adapters import adapter_names, check_rank, target_layers
from helpers.runtime import measure
from helpers.training import FitResult, device_of, epoch_order
from helpers.training.shards import place

__all__ = ["dpo_trainer", "sft_trainer", "train"]

FORMS = ({"input_ids", "labels"}, {"prompt", "completion"})  # besides messages
REFERENCE = "ref"  # the frozen copy of an adapter that DPO compares with


def sft_trainer(
    loaded: Pretrained, rows, output_dir: Path | str, *, num_epochs: float = 1,
    learning_rate: float = 1e-3, batch_size: int = 8, rank: int = 8, alpha: float = 16.0,
    targets: Iterable[str] | None = None, save_steps: int | None = None, seed: int = 0,
    precision: str = "float32", every_position: bool = False, **settings,
):  # fmt: skip
    """Build TRL's trainer for supervised fine-tuning, with a new LoRA adapter on the model.

    Its loss is computed by `LossAtLabels`. TRL 1.16 does that itself on a graphics card; on a CPU
    it computes the logits of every position, which takes longer than all the rest of a small model.

    Args:
        loaded: of `load_decoder()`; it gets the adapter, under the name `"default"`.
        rows: conversations in a column `messages`, of which the last answer is learned; or texts
            in `prompt` and `completion`; or rows of `chat_rows`, with labels as they are.
        output_dir: of checkpoints.
        num_epochs, learning_rate, batch_size, seed: as for `training.fit`.
        rank, alpha, targets: as for `add_adapter`.
        save_steps: steps between checkpoints of the adapter; none are written without it.
        precision: as for `training.fit`.
        every_position: leave the loss to TRL. It is the same.
        settings: further arguments of `trl.SFTConfig`.

    Returns:
        A `trl.SFTTrainer`, for `train`.

    Raises:
        ValueError: if the rows have other columns, the model has an adapter already, or there are
            several processes.
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
    adapter = _adapter(loaded, rank, alpha, targets)
    kind = SFTTrainer if every_position else _where_it_counts()
    return _built(kind, SFTConfig, common | settings, loaded, rows, loaded.model, adapter)


def dpo_trainer(
    loaded: Pretrained, pairs, output_dir: Path | str, *, policy=None, beta: float = 0.1,
    num_epochs: float = 1, learning_rate: float = 1e-4, batch_size: int = 4, rank: int = 8,
    alpha: float = 16.0, targets: Iterable[str] | None = None, save_steps: int | None = None,
    seed: int = 0, precision: str = "float32", **settings,
):  # fmt: skip
    """Build TRL's trainer for direct preference optimisation (Rafailov et al. 2023).

    Args:
        loaded: of `load_decoder()`.
        pairs: of `preference_pairs`.
        output_dir: of checkpoints.
        policy: the `model` of an earlier `sft_trainer`, whose adapter is trained on, and is the
            reference as it is now. Without it a new adapter is put on, and the base is.
        beta: how dearly every step away from the reference is paid for.
        num_epochs, learning_rate, batch_size, save_steps, seed, precision: as for `sft_trainer`.
        rank, alpha, targets: of a new adapter.
        settings: further arguments of `trl.DPOConfig`.

    Returns:
        A `trl.DPOTrainer`, for `train`.

    Raises:
        ValueError: if the model has an adapter and no policy is given.
    """
    from trl import DPOConfig, DPOTrainer

    common = _settings(
        loaded, output_dir, num_epochs, learning_rate, batch_size, save_steps, seed, precision
    )
    common |= {"beta": beta}
    if policy is not None and REFERENCE in adapter_names(policy.get_base_model()):
        policy.delete_adapter(REFERENCE)  # of a run that was interrupted
    adapter = None if policy is not None else _adapter(loaded, rank, alpha, targets)
    model = loaded.model if policy is None else policy
    return _built(DPOTrainer, DPOConfig, common | settings, loaded, pairs, model, adapter)


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
    base = trainer.model.get_base_model()
    if REFERENCE in adapter_names(base):
        trainer.model.delete_adapter(REFERENCE)
    tokens = getattr(trainer, "real_tokens", 0) or trainer._total_train_tokens
    steps = trainer.state.global_step - first
    trainer.model.eval()
    return FitResult(base, losses, [], cost, steps, tokens)


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


def _adapter(loaded: Pretrained, rank: int, alpha: float, targets):
    """Settings of a new adapter, on the layers that `add_adapter` takes."""
    from peft import LoraConfig

    check_rank(rank)
    layers = target_layers(loaded.model, targets)
    if adapter_names(loaded.model):
        raise ValueError(
            f"The model has the adapter {adapter_names(loaded.model)[0]!r} already. Take it off "
            "with remove_adapter, or load the model again."
        )
    if hasattr(loaded.model, "peft_config"):
        del loaded.model.peft_config  # of adapters that were taken off; peft would warn of them
    return LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=layers, bias="none", task_type="CAUSAL_LM"
    )


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


def _built(kind, config_class, settings: dict, loaded: Pretrained, rows, model, adapter):
    from transformers import PrinterCallback

    with silence():
        trainer = kind(
            model, args=config_class(**settings), train_dataset=rows,
            processing_class=loaded.tokenizer, peft_config=adapter,
        )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # it would print every step
    return trainer
