"""`load_encoder` and `load_decoder`: tokenizer and model for one task."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING as CAUSAL
from transformers import MODEL_FOR_MASKED_LM_MAPPING as MASKED
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging

from helpers.assets import Choice, ModelError, choose_model, model_folder
from helpers.pretrained.build import FACTORIES, HEADS, SAVED, Wanted, build, has_head, hold
from helpers.pretrained.heads import HeadConfig
from helpers.pretrained.rows import reads_words
from helpers.runtime import Profile

__all__ = ["Pretrained", "load_decoder", "load_encoder", "quiet"]

EXAMPLES = {"encoder": "BERT, RoBERTa or DistilBERT", "decoder": "GPT-2, Llama or Qwen"}
NAMES_SHOWN = 6
SMOLLM2 = (
    "It is of GPT-2's size and was then taught to follow instructions (2024), so it answers where "
    "GPT-2 would only go on; its weights were rounded to 4 bits each and are near the published "
    "ones, not equal to them."
)


@dataclass(frozen=True)
class Pretrained:
    """A tokenizer and its model, in evaluation mode.

    `name` is for figures, such as `"MiniLM-L6"`; `source` is the folder, Hub id or asset it came
    from; `new_parameters` are random, not from the checkpoint; `precision` is that of the profile,
    for `training.fit` and `predict`.
    """

    tokenizer: Any
    model: Any
    name: str
    source: str
    new_parameters: tuple[str, ...]
    precision: str = "float32"

    @property
    def pad_id(self) -> int:
        """Padding id, for `training.fit(pad_id=...)`: 0 in BERT, 1 in RoBERTa."""
        return self.tokenizer.pad_token_id


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
def _explained(choice: Choice) -> Iterator[None]:
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


def load_encoder(
    task: str = "classification", num_labels: int = 2, label_names: Sequence[str] | None = None, *,
    profile: Profile | None = None, source: str | Path | None = None, pretrained: bool = True,
    cased: bool = False, device: str | None = None, seed: int = 0, attention: str = "sdpa",
    echo: Callable[[str], object] | None = print,
) -> Pretrained:  # fmt: skip
    """Load the encoder of this profile for a task, and say which of its parameters are random.

    `cpu` uses MiniLM, `gpu` BERT-base, `smoke` a tiny random BERT behind MiniLM's tokenizer;
    `source`, or else `COURSE_ENCODER`, names another. `"classification"` gives a
    `MeanPooledClassifier`, but a checkpoint saved as a classifier, of this class or of
    transformers, keeps its own head and label names. It and `"features"` have no pooler.

    Args:
        task: `"classification"` of texts, `"tokens"` for one label per word, `"features"` for the
            body alone, `"mlm"` to predict masked words.
        label_names: name of each class; they then decide `num_labels`.
        profile: None for the model of `cpu`.
        source: a folder, or a Hub id, such as `"owner/name"` or `"owner/name@revision"`.
        pretrained: False for the random control: the same shape, every weight random.
        cased: whether `gpu` uses the cased BERT; MiniLM is uncased.
        device: without it `gpu` uses CUDA if there is any.
        seed: for the random parameters. Global generators stay unchanged.
        attention: `"sdpa"` (fused), or `"eager"` to see attention weights.
        echo: receives one line about what was loaded; None for silence.

    Raises:
        ModelError: if model, tokenizer or head does not fit; the message has the remedy.
        ValueError: for an unknown task, or label names that make no sense.
        assets.AssetError: if MiniLM cannot be fetched.
    """
    choice = choose_model("encoder", profile, source, variant=cased)
    labels, named = _labels(choice, task, num_labels, label_names), label_names is not None
    return _load(
        Wanted(
            choice, task, labels, named, pretrained, seed, attention,
            device=device or _device(profile), precision=_precision(profile),
        ),
        echo,
    )  # fmt: skip


def load_decoder(
    task: str = "lm", num_labels: int = 2, label_names: Sequence[str] | None = None, *,
    profile: Profile | None = None, source: str | Path | None = None, larger: bool = False,
    pretrained: bool = True, device: str | None = None, seed: int = 0, attention: str = "sdpa",
    nf4: bool = False, echo: Callable[[str], object] | None = print,
) -> Pretrained:  # fmt: skip
    """Load the decoder of this profile for a task, and say which of its parameters are random.

    `cpu` uses SmolLM2-135M-Instruct, `gpu` GPT-2, `smoke` a tiny random Llama behind SmolLM2's
    tokenizer; `source`, or else `COURSE_DECODER`, names another. SmolLM2 comes with 4 bits per
    weight and is unpacked once, into the cache.

    In a profile of bfloat16 a language model is held in it, to be read or to carry an adapter; call
    `model.float()` before training the whole of it.

    A decoder without a padding token (GPT-2) pads with its end token, since a new token would be a
    random vector and one more word to predict. Padding then cannot be recognised by its id: use the
    attention mask. Labels made from `input_ids != pad_id` would hide each true end from the loss,
    and the model would unlearn to stop.

    Args:
        task: `"lm"` to predict words, padded on the left for generation; `"classification"` of
            texts, a `LastTokenClassifier`, padded on the right. A checkpoint saved as a classifier
            keeps its own head and label names.
        larger: whether `gpu` uses SmolLM2-1.7B-Instruct in place of GPT-2.
        nf4: keep the linear layers in four bits, to train an adapter on them (QLoRA). They cannot
            be trained themselves. Needs the package bitsandbytes.

    Other arguments and errors are those of `load_encoder`.
    """
    choice = choose_model("decoder", profile, source, variant=larger)
    labels, named = _labels(choice, task, num_labels, label_names), label_names is not None
    return _load(
        Wanted(
            choice, task, labels, named, pretrained, seed, attention,
            device=device or _device(profile), precision=_precision(profile), nf4=nf4,
        ),
        echo,
    )  # fmt: skip


def _device(profile: Profile | None) -> str:
    """CUDA in the profile `gpu` if there is any, else the CPU."""
    wanted = profile is not None and profile.name == "gpu"
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


def _precision(profile: Profile | None) -> str:
    return "float32" if profile is None else profile.precision


def _labels(choice: Choice, task: str, num_labels: int, label_names) -> list[str] | None:
    """Name each class, by number if no names were given; None for a task without classes."""
    tasks = FACTORIES[choice.kind]
    if task not in tasks:
        raise ValueError(f"Unknown task {task!r}; choose one of {', '.join(tasks)}.")
    if task not in SAVED:
        return None
    names = [f"LABEL_{i}" for i in range(num_labels)] if label_names is None else list(label_names)
    if isinstance(label_names, str) or len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"The labels are {label_names or num_labels!r}; give two or more names.")
    return names


def _load(wanted: Wanted, echo: Callable[[str], object] | None) -> Pretrained:
    choice = wanted.choice
    folder = model_folder(choice, weights=wanted.pretrained)
    with quiet(), _explained(choice):
        config = _config(wanted, folder)
        tokenizer, borrowed = _tokenizer(wanted, folder, config)
        model, missing = build(wanted, folder, config)
    if wanted.task == "lm" and not wanted.nf4:
        hold(model.parameters(), wanted.precision)
    if choice.kind == "decoder":
        model.config.pad_token_id = tokenizer.pad_token_id
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.pad_token_id = tokenizer.pad_token_id
    if not wanted.nf4:
        model.to(wanted.device)
    elif wanted.labels:
        model.head.to(wanted.device)  # the body was packed where it is
    if not wanted.pretrained:
        missing = [name for name, _ in model.named_parameters()]
    name = choice.name if wanted.pretrained else f"{choice.name}, random weights"
    source, missing = choice.source, tuple(missing)
    loaded = Pretrained(tokenizer, model.eval(), name, source, missing, wanted.precision)
    if echo:
        notes = [SMOLLM2] if wanted.pretrained and choice.source == "smollm2" else []
        notes += [f"Padding is {tokenizer.pad_token}, its end token."] if borrowed else []
        echo(" ".join([_announcement(loaded, wanted), *notes]))
    return loaded


def _config(wanted: Wanted, folder: Path):
    """Read a model's config and write the labels into it."""
    choice = wanted.choice
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    body = config.body if isinstance(config, HeadConfig) else config
    ours = {head.__name__ for head in HEADS.values()}
    if body is config and ours.intersection(config.architectures or ()):
        raise ModelError(
            f"The classifier in {choice.source} was saved by an earlier version of the course, "
            "and is not read any more. Train it again."
        )
    # Only an encoder, which reads in both directions, can fill in masked words.
    both_ways = type(body) in MASKED
    fits = both_ways if choice.kind == "encoder" else type(body) in CAUSAL and not both_ways
    if not fits or body.is_encoder_decoder:
        raise ModelError(
            f"{choice.source} is of type {body.model_type!r}, which is no {choice.kind}; give one "
            f"such as {EXAMPLES[choice.kind]}."
        )
    if wanted.labels:
        _settle_labels(config, wanted)
    return config


def _settle_labels(config, wanted: Wanted) -> None:
    """Write the labels into the config; a head in the checkpoint must agree with them."""
    names, source = wanted.labels, wanted.choice.source
    if has_head(config, wanted):
        old = [config.id2label[i] for i in sorted(config.id2label)]
        if len(old) != len(names):
            raise ModelError(
                f"{source} has a head for {len(old)} labels ({', '.join(old[:9])}), not for "
                f"{len(names)}. Pass num_labels={len(old)}, or give the {wanted.choice.kind} "
                "without that head."
            )
        numbered = all(re.fullmatch(r"LABEL_\d+", label) for label in old)
        if wanted.named and not numbered and old != names:
            raise ModelError(
                f"The head of {source} gives {', '.join(old)}, in this order; you asked for "
                f"{', '.join(names)}. Pass label_names={old!r} and number your labels so."
            )
        names = names if wanted.named else old
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}


def _tokenizer(wanted: Wanted, folder: Path, config):
    """Return the tokenizer, and whether its end token had to become its padding."""
    choice, body = wanted.choice, getattr(config, "body", config)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if wanted.task == "tokens" and not reads_words(tokenizer):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, add_prefix_space=True
        )
    if len(tokenizer) > body.vocab_size:
        raise ModelError(
            f"The tokenizer of {choice.source} has {len(tokenizer):,} tokens, its model "
            f"{body.vocab_size:,}; they do not belong together. Save both from one checkpoint."
        )
    borrowed = tokenizer.pad_token_id is None and choice.kind == "decoder"
    if borrowed:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"The tokenizer of {choice.source} has no padding token; set tokenizer.pad_token and "
            "save it again."
        )
    if choice.kind == "decoder":
        tokenizer.padding_side = "left" if wanted.task == "lm" else "right"
    positions = getattr(body, "max_position_embeddings", None) or tokenizer.model_max_length
    if tokenizer.model_max_length > positions:  # saved without a limit
        counted_from_padding = choice.kind == "encoder" and tokenizer.pad_token_id != 0
        # RoBERTa counts positions from the one after its padding id.
        before = body.pad_token_id + 1 if counted_from_padding else 0
        tokenizer.model_max_length = positions - before
    return tokenizer, borrowed


def _announcement(loaded: Pretrained, wanted: Wanted) -> str:
    parameters = list(loaded.model.parameters())
    packed = [p for p in parameters if not p.is_floating_point()]
    # In four bits, one stored byte holds two parameters.
    size = sum(p.numel() for p in parameters + packed)
    form = str(loaded.model.dtype).removeprefix("torch.")
    form = f"NF4 and {form}" if packed else form
    device = parameters[0].device.type
    kind = f"{loaded.name}: {size / 1e6:.1f} million parameters, {form}, {device}."
    if not wanted.pretrained:
        return f"{kind} All are random: this is the control."
    if loaded.source == "tiny":
        kind += f" It has learned nothing: it stands in for a trained {wanted.choice.kind}."
    if loaded.new_parameters:
        new = _some(loaded.new_parameters)
        return f"{kind} Random until trained, as a fresh head is: {new}. The rest is loaded."
    head = ""
    if wanted.labels:
        head = f", its head for {_some(list(loaded.model.config.id2label.values()))} too"
    return f"{kind} All come from the checkpoint{head}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
