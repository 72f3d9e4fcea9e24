"""What a loader gives, and what all of them share: seeds, quiet, and one sentence for a failure."""

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
    """A tokenizer and its model, and what of the model is not from the checkpoint.

    Attributes:
        tokenizer: turns text into sub-word tokens.
        model: float32, in evaluation mode, on its device.
        name: what figures call it, such as `"MiniLM-L6"`.
        source: the folder, Hub id or asset it came from.
        new_parameters: names of the parameters that are random.
    """

    tokenizer: Any
    model: Any
    name: str
    source: str
    new_parameters: tuple[str, ...]

    @property
    def pad_id(self) -> int:
        """Id of padding, for `training.fit(pad_id=...)`: 0 in BERT, 1 in RoBERTa."""
        return self.tokenizer.pad_token_id


@dataclass(frozen=True)
class Wanted:
    """What a loader was asked for.

    Attributes:
        labels: names of the classes; None for a task without.
        named: whether the caller gave these names; else they are numbered.
    """

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
    """Say where a model goes if nobody says so."""
    wanted = profile is not None and profile.name == "gpu"
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from a seed of one's own, and leave the global generators alone."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' tables and bars: the loaders say in words what they show."""
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
    """Turn what a library says about broken files into one sentence."""
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
