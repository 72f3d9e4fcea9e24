"""`load_encoder`: tokenizer and model of one encoder, for one task, nothing left to chance."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.pretrained.pieces import reads_words
from helpers.pretrained.sources import Choice, ModelError, choose, opened
from helpers.runtime import Profile

__all__ = ["Pretrained", "load_encoder"]

TASKS = {
    "classification": "AutoModelForSequenceClassification",
    "tokens": "AutoModelForTokenClassification",
    "features": "AutoModel",
    "mlm": "AutoModelForMaskedLM",
}
LABELLED = ("classification", "tokens")
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


def load_encoder(
    task: str = "classification", num_labels: int = 2, label_names: Sequence[str] | None = None, *,
    profile: Profile | None = None, source: str | Path | None = None, pretrained: bool = True,
    cased: bool = False, device: str | None = None, seed: int = 0, attention: str = "sdpa",
    echo: Callable[[str], object] | None = print,
) -> Pretrained:  # fmt: skip
    """Load the encoder of this profile for a task, and say which of its parameters are random.

    `cpu` takes MiniLM, `gpu` BERT-base, `smoke` a tiny random BERT behind MiniLM's tokenizer;
    `source`, or else `COURSE_ENCODER`, names any other. Poolers are left out of `"features"` and
    `"classification"`, which is a `MeanPooledClassifier`; a checkpoint that was saved as a
    classifier keeps its own head.

    Args:
        task: `"classification"` of texts, `"tokens"` for a label a word, `"features"` for the
            body alone, `"mlm"` to predict hidden words.
        num_labels: classes of the first two tasks.
        label_names: name of each class; they then decide `num_labels`.
        profile: of the run; None for what `cpu` takes.
        source: a folder, or a Hub id, such as `"owner/name"` or `"owner/name@revision"`.
        pretrained: False for the random control: the same shape, every weight random.
        cased: whether `gpu` takes the BERT that tells capitals; MiniLM knows lower case only.
        device: `"cpu"` or `"cuda"`; without it `gpu` takes CUDA if there is any.
        seed: of what is random: the head, or everything. Global generators are left alone.
        attention: `"sdpa"` (fused), or `"eager"` if attention weights are to be looked at.
        echo: told in one line what was loaded; None for silence.

    Raises:
        ModelError: if the model, its tokenizer or its head does not fit; the message has the
            remedy.
        ValueError: for an unknown task, or label names that make no sense.
        assets.AssetError: if MiniLM cannot be had.
    """
    if task not in TASKS:
        raise ValueError(f"Unknown task {task!r}; choose one of {', '.join(TASKS)}.")
    names = _label_names(num_labels, label_names) if task in LABELLED else None
    choice = choose(profile, source, cased)
    with _quiet(), opened(choice, weights=pretrained) as (folder, tokenizer_folder):
        config = _config(choice, folder)
        if names:
            _settle_labels(config, task, names, label_names is not None, choice)
        tokenizer = _tokenizer(choice, tokenizer_folder, task, config)
        model, new = _build(choice, folder, config, task, pretrained, seed, attention)
    model = model.eval().to(device or _device(profile))
    name = choice.name if pretrained else f"{choice.name}, random weights"
    loaded = Pretrained(tokenizer, model, name, choice.source, new)
    if echo:
        echo(_announcement(loaded, pretrained))
    return loaded


def _label_names(num_labels: int, label_names) -> list[str]:
    names = [f"LABEL_{i}" for i in range(num_labels)] if label_names is None else list(label_names)
    if isinstance(label_names, str) or len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"The labels are {label_names or num_labels!r}; give two or more names.")
    return names


def _config(choice: Choice, folder: Path):
    """Read the shape of a model, and refuse what is not an encoder."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig

    with _explained(choice):
        config = AutoConfig.from_pretrained(folder)
    # What can fill in hidden words reads in both directions: that is an encoder.
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING or config.is_encoder_decoder:
        raise ModelError(
            f"{choice.source} is of type {config.model_type!r}, which is no encoder; give one such "
            "as BERT, RoBERTa or DistilBERT."
        )
    return config


def _settle_labels(config, task: str, names: list[str], named: bool, choice: Choice) -> None:
    """Write the labels into the config; a head in the checkpoint must agree with them."""
    old = [config.id2label[i] for i in sorted(config.id2label)]
    if _own_head(config, task):
        if len(old) != len(names):
            raise ModelError(
                f"{choice.source} has a head for {len(old)} labels ({', '.join(old[:9])}), not for "
                f"{len(names)}. Pass num_labels={len(old)}, or give the encoder without that head."
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


def _own_head(config, task: str) -> bool:
    ending = TASKS[task].removeprefix("AutoModel")
    return any(name.endswith(ending) for name in config.architectures or [])


def _tokenizer(choice: Choice, folder: Path, task: str, config):
    from transformers import AutoTokenizer

    with _explained(choice):
        tokenizer = AutoTokenizer.from_pretrained(folder)
    if task == "tokens" and not reads_words(tokenizer):
        tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    if len(tokenizer) > config.vocab_size:
        raise ModelError(
            f"The tokenizer of {choice.source} has {len(tokenizer):,} pieces, its model "
            f"{config.vocab_size:,}; they do not belong together. Save both from one checkpoint."
        )
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"The tokenizer of {choice.source} has no padding token; set tokenizer.pad_token and "
            "save it again."
        )
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    if tokenizer.model_max_length > positions:
        # Saved without a limit. RoBERTa counts positions from the one after its padding id.
        tokenizer.model_max_length = positions - (
            tokenizer.pad_token_id and 1 + config.pad_token_id
        )
    return tokenizer


def _build(choice, folder, config, task, pretrained, seed, attention):
    """Give the model, and the names of its random parameters."""
    import torch
    import transformers

    headless = task == "features" or (task == "classification" and not _own_head(config, task))
    factory = getattr(transformers, "AutoModel" if headless else TASKS[task])
    shape = {"config": config, "dtype": torch.float32, "attn_implementation": attention}
    with _seeded(seed), _explained(choice):
        if pretrained:
            model, report = factory.from_pretrained(
                folder, **shape, output_loading_info=True, ignore_mismatched_sizes=True
            )
        else:
            model, report = factory.from_config(**shape), None
        if headless and getattr(model, "pooler", None) is not None:
            model.pooler = None
        missing = _missing(model, report, choice) if report else None
        if headless and task == "classification":
            from helpers.pretrained.pooling import MeanPooledClassifier

            model = MeanPooledClassifier(model, config.num_labels)
            missing = missing if missing is None else ["head.weight", "head.bias"]
    everything = [name for name, _ in model.named_parameters()]
    return model, tuple(everything if missing is None else missing)


def _missing(model, report: dict, choice: Choice) -> list[str]:
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
            f"The weights of {choice.source} lack {len(body)} parameters of the encoder, such as "
            f"{body[0]}; they are not of this {type(model).__name__}. Give another checkpoint."
        )
    return missing


def _device(profile: Profile | None) -> str:
    import torch

    return "cuda" if profile and profile.name == "gpu" and torch.cuda.is_available() else "cpu"


def _announcement(loaded: Pretrained, pretrained: bool) -> str:
    first = next(loaded.model.parameters())
    size = sum(p.numel() for p in loaded.model.parameters())
    kind = f"{loaded.name}: {size / 1e6:.1f} million parameters, float32, {first.device.type}."
    new = loaded.new_parameters
    if not pretrained:
        return f"{kind} All are random: this is the control."
    if loaded.source == "tiny":
        kind += " It has learned nothing: it stands in for a trained encoder."
    if not new:
        return f"{kind} All come from the checkpoint."
    more = f" and {len(new) - NAMES_SHOWN} more" if len(new) > NAMES_SHOWN else ""
    shown = ", ".join(new[:NAMES_SHOWN]) + more
    return f"{kind} Random until trained, as a fresh head is: {shown}. The rest is loaded."


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' tables and bars: `load_encoder` says in words what they show."""
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
def _explained(choice: Choice) -> Iterator[None]:
    """Turn what a library says about broken files into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        first = str(error).strip().split("\n")[0]
        remedy = "Download or save it again, or choose another encoder."
        if "attention" in first:
            remedy = 'Pass attention="eager", or choose another encoder.'
        raise ModelError(
            f"{choice.source} could not be loaded ({type(error).__name__}: {first}). {remedy}"
        ) from error
