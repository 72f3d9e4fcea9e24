"""`load_encoder`: tokenizer and model of one encoder, for one task, nothing left to chance."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.pretrained.pieces import reads_words
from helpers.pretrained.reading import explained, missing_parameters, quiet, seeded
from helpers.pretrained.sources import MEAN_POOLED, Choice, ModelError, choose, opened
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
    classifier, of this class or of transformers, keeps its own head and its label names.

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
    with quiet(), opened(choice, weights=pretrained) as (folder, tokenizer_folder):
        config = _config(choice, folder)
        if names:
            _settle_labels(config, task, names, label_names is not None, choice)
        tokenizer = _tokenizer(choice, tokenizer_folder, task, config)
        model, new = _build(choice, folder, config, task, pretrained, seed, attention)
    model = model.eval().to(device or _device(profile))
    name = choice.name if pretrained else f"{choice.name}, random weights"
    loaded = Pretrained(tokenizer, model, name, choice.source, new)
    if echo:
        echo(_announcement(loaded, pretrained, task))
    return loaded


def _label_names(num_labels: int, label_names) -> list[str]:
    names = [f"LABEL_{i}" for i in range(num_labels)] if label_names is None else list(label_names)
    if isinstance(label_names, str) or len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"The labels are {label_names or num_labels!r}; give two or more names.")
    return names


def _config(choice: Choice, folder: Path):
    """Read the shape of a model, and refuse what is not an encoder."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig

    with explained(choice):
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
    return _mean_pooled(config, task) or any(
        name.endswith(ending) for name in config.architectures or []
    )


def _mean_pooled(config, task: str) -> bool:
    """Tell whether the checkpoint is a `MeanPooledClassifier`, body and head."""
    return task == "classification" and MEAN_POOLED in (config.architectures or [])


def _tokenizer(choice: Choice, folder: Path, task: str, config):
    from transformers import AutoTokenizer

    with explained(choice):
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

    if pretrained and _mean_pooled(config, task):
        from helpers.pretrained.pooling import MeanPooledClassifier

        return MeanPooledClassifier.from_pretrained(folder, config=config, attention=attention), ()
    own = _own_head(config, task) and not _mean_pooled(config, task)
    headless = task == "features" or (task == "classification" and not own)
    factory = getattr(transformers, "AutoModel" if headless else TASKS[task])
    shape = {"config": config, "dtype": torch.float32, "attn_implementation": attention}
    with seeded(seed), explained(choice):
        if pretrained:
            model, report = factory.from_pretrained(
                folder, **shape, output_loading_info=True, ignore_mismatched_sizes=True
            )
        else:
            model, report = factory.from_config(**shape), None
        if headless and getattr(model, "pooler", None) is not None:
            model.pooler = None
        missing = missing_parameters(model, report, choice) if report else None
        if headless and task == "classification":
            from helpers.pretrained.pooling import MeanPooledClassifier

            model = MeanPooledClassifier(model, config.num_labels)
            missing = missing if missing is None else ["head.weight", "head.bias"]
    everything = [name for name, _ in model.named_parameters()]
    return model, tuple(everything if missing is None else missing)


def _device(profile: Profile | None) -> str:
    import torch

    return "cuda" if profile and profile.name == "gpu" and torch.cuda.is_available() else "cpu"


def _announcement(loaded: Pretrained, pretrained: bool, task: str) -> str:
    first = next(loaded.model.parameters())
    size = sum(p.numel() for p in loaded.model.parameters())
    kind = f"{loaded.name}: {size / 1e6:.1f} million parameters, float32, {first.device.type}."
    new = loaded.new_parameters
    if not pretrained:
        return f"{kind} All are random: this is the control."
    if loaded.source == "tiny":
        kind += " It has learned nothing: it stands in for a trained encoder."
    if not new:
        names = _some([str(name) for name in loaded.model.config.id2label.values()])
        head = f", its head for {names} too" if task in LABELLED else ""
        return f"{kind} All come from the checkpoint{head}."
    return f"{kind} Random until trained, as a fresh head is: {_some(new)}. The rest is loaded."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
