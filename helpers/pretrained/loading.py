"""What all readers of checkpoints share: the form of the answer, checks, seeds, and quiet."""

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from helpers.pretrained.sources import Choice, ModelError
from helpers.runtime import Profile

__all__ = [
    "Pretrained",
    "announcement",
    "device_for",
    "explained",
    "label_names_of",
    "load_tokenizer",
    "missing_parameters",
    "own_head",
    "quiet",
    "read_weights",
    "seeded",
    "settle_labels",
]

NAMES_SHOWN = 6


@dataclass(frozen=True)
class Pretrained:
    """A tokenizer and its model, and what of the model is not from the checkpoint.

    Attributes:
        tokenizer: turns text into pieces.
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


def label_names_of(num_labels: int, label_names) -> list[str]:
    """Give the name of each class; without names they are numbered."""
    names = [f"LABEL_{i}" for i in range(num_labels)] if label_names is None else list(label_names)
    if isinstance(label_names, str) or len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"The labels are {label_names or num_labels!r}; give two or more names.")
    return names


def settle_labels(config, has_head: bool, names: list[str], named: bool, choice: Choice) -> None:
    """Write the labels into the config; a head in the checkpoint must agree with them."""
    old = [config.id2label[i] for i in sorted(config.id2label)]
    if has_head:
        if len(old) != len(names):
            raise ModelError(
                f"{choice.source} has a head for {len(old)} labels ({', '.join(old[:9])}), not for "
                f"{len(names)}. Pass num_labels={len(old)}, or give the {choice.kind} without that "
                "head."
            )
        plain = all(re.fullmatch(r"LABEL_\d+", label) for label in old)
        if named and not plain and old != names:
            raise ModelError(
                f"The head of {choice.source} gives {', '.join(old)}, in this order; you asked for "
                f"{', '.join(names)}. Pass label_names={old!r} and number your labels so."
            )
        names = names if named else old
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}


def missing_parameters(model, report: dict, choice: Choice) -> list[str]:
    """Name the parameters that the checkpoint lacks; those of the body must all be there."""
    lacking, sizes = set(report["missing_keys"]), {}
    for name, saved, expected in report["mismatched_keys"]:
        sizes[name] = f"{tuple(saved)} instead of {tuple(expected)}"
    if sizes:
        name = min(sizes)
        raise ModelError(
            f"The weights of {choice.source} do not fit: {name} has shape {sizes[name]}. Pass the "
            "num_labels it was trained with, or give a folder whose config.json is its own."
        )
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    missing = [name for name, _ in model.named_parameters() if name in lacking]
    body = [n for n in missing if n.startswith(prefix) and not n.startswith(f"{prefix}pooler.")]
    if body:
        raise ModelError(
            f"The weights of {choice.source} lack {len(body)} parameters of the {choice.kind}, "
            f"such as {body[0]}; they are not of this {type(model).__name__}. Give another "
            "checkpoint."
        )
    return missing


def device_for(profile: Profile | None) -> str:
    """Say where a model goes if nobody says so."""
    import torch

    return "cuda" if profile and profile.name == "gpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from a seed of one's own, and leave the global generators alone."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' tables and bars: the loaders say in words what they show."""
    from transformers.utils import logging

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
    from safetensors import SafetensorError

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


def own_head(config, *endings: str) -> bool:
    """Tell whether a checkpoint was saved with a head of one of these kinds."""
    return any(name.endswith(endings) for name in config.architectures or [])


def load_tokenizer(choice: Choice, folder, config, **settings):
    """Load a tokenizer, and refuse one that has more pieces than its model has vectors."""
    from transformers import AutoTokenizer

    with explained(choice):
        tokenizer = AutoTokenizer.from_pretrained(folder, **settings)
    if len(tokenizer) > config.vocab_size:
        raise ModelError(
            f"The tokenizer of {choice.source} has {len(tokenizer):,} pieces, its model "
            f"{config.vocab_size:,}; they do not belong together. Save both from one checkpoint."
        )
    return tokenizer


def read_weights(
    factory, folder, config, choice: Choice, pretrained: bool = True, attention: str = "sdpa",
    storage: dict | None = None,
):  # fmt: skip
    """Give (float32 model, transformers' report of what was missing; None if all is random)."""
    import torch

    config, pad_id = copy.deepcopy(config), getattr(config, "pad_token_id", None)
    if choice.kind == "decoder":
        # Known while the model is built, the padding id would freeze that token's vector, and many
        # decoders pad with their end token.
        config.pad_token_id = None
    shape = {"config": config, "dtype": torch.float32, "attn_implementation": attention}
    if pretrained:
        model, report = factory.from_pretrained(
            folder,
            **shape,
            **(storage or {}),
            output_loading_info=True,
            use_safetensors=True,  # older forms of weights are unpacked, which could run code
            ignore_mismatched_sizes=True,
        )
    else:
        model, report = factory.from_config(**shape), None
    model.config.pad_token_id = pad_id
    return model, report


def announcement(loaded: Pretrained, choice: Choice, pretrained: bool, labelled: bool) -> str:
    """Say in one line what was loaded and which of its parameters are random.

    Args:
        loaded: what the loader gives.
        choice: the model that was asked for.
        pretrained: whether weights were read at all.
        labelled: whether the model has a head whose labels have names.
    """
    first = next(loaded.model.parameters())
    packed = [p for p in loaded.model.parameters() if not p.is_floating_point()]
    # In four bits, a number on the disk holds two parameters.
    size = sum(p.numel() for p in loaded.model.parameters()) + sum(p.numel() for p in packed)
    form = "NF4 and float32" if packed else "float32"
    kind = f"{loaded.name}: {size / 1e6:.1f} million parameters, {form}, {first.device.type}."
    new = loaded.new_parameters
    if not pretrained:
        return f"{kind} All are random: this is the control."
    if loaded.source == "tiny":
        kind += f" It has learned nothing: it stands in for a trained {choice.kind}."
    if not new:
        names = _some([str(name) for name in loaded.model.config.id2label.values()])
        head = f", its head for {names} too" if labelled else ""
        return f"{kind} All come from the checkpoint{head}."
    return f"{kind} Random until trained, as a fresh head is: {_some(new)}. The rest is loaded."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
