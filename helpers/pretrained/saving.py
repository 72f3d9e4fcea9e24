"""A classifier in a folder: body, head and label names, read back whole or refused."""

import copy
from pathlib import Path
from typing import Self

import torch
from torch import nn

from helpers.files import write_bytes, write_text
from helpers.pretrained.loading import (
    explained,
    missing_parameters,
    own_head,
    quiet,
    read_weights,
    seeded,
)
from helpers.pretrained.sources import CONFIG, REMEDIES, Choice, ModelError

__all__ = ["SavedWithHead"]

WEIGHTS = "model.safetensors"


class SavedWithHead(nn.Module):
    """Let a classifier of one linear layer over a body be kept in a folder and found again.

    A subclass is called as `cls(body, num_labels, dropout)`. It keeps the body under the name
    `base_model_prefix`, beside `head`, `dropout`, `num_labels` and the body's `config`; `kind` is
    the body's, `"encoder"` or `"decoder"`.
    """

    base_model_prefix, kind = "", ""
    is_gradient_checkpointing = False  # peft asks for it

    def save_pretrained(self, folder: Path | str) -> None:
        """Write body, head and label names to a folder, for `from_pretrained` or the loaders.

        The body's weights have the names that transformers gives them, so the folder also serves
        `load_encoder` or `load_decoder` without this head. The tokenizer is saved beside it with
        its own `save_pretrained`.

        Args:
            folder: made if needed. Each file is written whole or not at all, `config.json` last.
        """
        from safetensors.torch import save

        folder, here = Path(folder), f"{self.base_model_prefix}."
        there = f"{getattr(self, self.base_model_prefix).base_model_prefix}."
        weights = {
            there + name.removeprefix(here) if name.startswith(here) else name: value
            for name, value in self.state_dict().items()
        }
        config = copy.deepcopy(self.config)
        if config.num_labels != self.num_labels:
            config.num_labels = self.num_labels
        config.architectures = [type(self).__name__]
        config.head_dropout, config.head_bias = self.dropout.p, self.head.bias is not None
        ready = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        write_bytes(folder / WEIGHTS, save(ready, metadata={"format": "pt"}))
        write_text(folder / CONFIG, config.to_json_string())

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, config=None, attention: str = "sdpa") -> Self:
        """Read what `save_pretrained` wrote: float32, in evaluation mode, on the CPU.

        Args:
            folder: with `config.json` and `model.safetensors`; no tokenizer is looked for.
            config: to use in place of the folder's own, for other label names.
            attention: as for `load_encoder` and `load_decoder`.

        Raises:
            ModelError: if a file is missing or damaged, the folder holds another kind of model, or
                the head does not have the size that its config says.
        """
        from transformers import AutoConfig, AutoModel

        folder = Path(folder)
        choice = Choice(folder.name, str(folder), cls.kind)
        for path in (folder / CONFIG, folder / WEIGHTS):
            if not path.is_file():
                raise ModelError(f"There is no file {path}. {REMEDIES[CONFIG]}")
        with quiet(), seeded(0), explained(choice):
            config = AutoConfig.from_pretrained(folder) if config is None else config
            if not own_head(config, cls.__name__):
                raise ModelError(
                    f"{folder} holds {', '.join(config.architectures or ['a body'])}, no "
                    f"{cls.__name__}. Read it with load_encoder or load_decoder(source=...)."
                )
            body, report = read_weights(AutoModel, folder, config, choice, attention=attention)
            missing_parameters(body, report, choice)
            model = cls(body, config.num_labels, getattr(config, "head_dropout", 0.1))
            if not getattr(config, "head_bias", True):
                model.head.bias = None
            _load_head(model.head, folder)
        return model.eval()


def _load_head(head: nn.Linear, folder: Path) -> None:
    """Copy a head out of a folder's weights, if it is there and has the size it should have."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file, torch.no_grad():
        for name, parameter in head.named_parameters():
            key = f"head.{name}"
            if key not in file.keys():  # noqa: SIM118 (not a dict)
                raise ModelError(
                    f"{folder} has no head: {key} is not among its weights. Save it again."
                )
            saved = file.get_tensor(key)
            if saved.shape != parameter.shape:
                raise ModelError(
                    f"The head in {folder} does not fit: {key} has shape {tuple(saved.shape)} "
                    f"instead of {tuple(parameter.shape)}. Give a folder whose {CONFIG} is its own."
                )
            parameter.copy_(saved)
