"""What the loaders return, and what they share: seeds, silence and error messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from helpers.assets import Choice, ModelError
from helpers.runtime import Profile

__all__ = ["Pretrained", "Wanted", "device_for", "explained", "quiet", "seeded"]


@dataclass(frozen=True)
class Pretrained:
    """A tokenizer and its model, in evaluation mode and, unless packed in NF4, in float32.

    `name` is for figures, such as `"MiniLM-L6"`; `source` is the folder, Hub id or asset it came
    from; `new_parameters` are random, not from the checkpoint.
    """

    tokenizer: Any
    model: Any
    name: str
    source: str
    new_parameters: tuple[str, ...]

    @property
    def pad_id(self) -> int:
        """Padding id, for `training.fit(pad_id=...)`: 0 in BERT, 1 in RoBERTa."""
        return self.tokenizer.pad_token_id


@dataclass(frozen=True)
class Wanted:
    """What a loader was asked for; `named` is False where labels are only numbered."""

    choice: Choice
    task: str
    labels: list[str] | None
    named: bool
    pretrained: bool
    seed: int
    attention: str
    device: str
    nf4: bool = False


def device_for(profile: Profile | None) -> str:
    """Choose the default device: CUDA in the profile `gpu` if there is any, else the CPU."""
    wanted = profile is not None and profile.name == "gpu"
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from this seed and leave the global generators unchanged."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' tables and bars: the loaders report the same in one line."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def explained(choice: Choice) -> Iterator[None]:
    """Turn a library's error about broken files into a ModelError with a remedy."""
    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        first = str(error).strip().split("\n")[0]
        remedy = f"Download or save it again, or choose another {choice.kind}."
        if "attention" in first:
            remedy = f'Pass attention="eager", or choose another {choice.kind}.'
        raise ModelError(
            f"{choice.source} could not be loaded ({type(error).__name__}: {first}). {remedy}"
        ) from error
