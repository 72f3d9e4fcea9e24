"""Build the model of a checkpoint for a task, and list which parameters are random."""

import copy
import importlib.util
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BitsAndBytesConfig,
)

from helpers.assets import Choice, ModelError
from helpers.pretrained.heads import (
    HeadConfig,
    LastTokenClassifier,
    MeanPooledClassifier,
    drop_pooler,
)

__all__ = ["FACTORIES", "HEADS", "SAVED", "Wanted", "build", "has_head", "hold", "nf4_settings"]
__all__ += ["seeded"]

FACTORIES = {  # of each kind's tasks; a classification without a saved head starts from a body
    "encoder": {
        "classification": AutoModel,
        "tokens": AutoModelForTokenClassification,
        "features": AutoModel,
        "mlm": AutoModelForMaskedLM,
    },
    "decoder": {"lm": AutoModelForCausalLM, "classification": AutoModel},
}
HEADS = {"encoder": MeanPooledClassifier, "decoder": LastTokenClassifier}
SAVED = {"classification": "ForSequenceClassification", "tokens": "ForTokenClassification"}


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
    precision: str = "float32"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from this seed and leave the global generators unchanged."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def has_head(config, wanted: Wanted) -> bool:
    """Tell whether a checkpoint was saved with a head for the wanted task."""
    if isinstance(config, HeadConfig):
        return wanted.task == "classification"
    saved = SAVED.get(wanted.task)
    return saved is not None and any(n.endswith(saved) for n in config.architectures or [])


def build(wanted: Wanted, folder: Path, config):
    """Return the model, and the names of the parameters that its checkpoint lacks."""
    kind, saved_here = wanted.choice.kind, isinstance(config, HeadConfig)
    if wanted.nf4 and (saved_here or not wanted.pretrained):
        raise ModelError(
            f"{wanted.choice.source} cannot be kept in four bits: only the weights of a "
            "pre-trained body are packed. Load it without nf4=True."
        )
    config = copy.deepcopy(config)
    if kind == "decoder":
        # With a padding id, torch would not train that token's vector, and many decoders pad with
        # their end token.
        config.pad_token_id = None
    with seeded(wanted.seed):
        if saved_here and not has_head(config, wanted):
            model, missing = _other_task(wanted, folder, config)
        else:
            model, missing = _read(wanted, folder, config)
        if wanted.task == "lm" and missing:
            raise ModelError(
                f"The weights of {wanted.choice.source} lack the layer that predicts words "
                f"({missing[0]}). Save the whole language model, or load it with "
                'task="classification".'
            )
        if wanted.task != "classification" or saved_here:
            return model, missing
        if not has_head(config, wanted):
            classifier = HEADS[kind].from_body(model, config.num_labels)
            return classifier, ["head.weight", "head.bias"]
        if kind == "encoder":
            return model, missing
        classifier = LastTokenClassifier.from_body(model.base_model, config.num_labels, bias=False)
        classifier.head = model.score  # transformers' own reads the last token, too
        return classifier, missing


def _read(wanted: Wanted, folder: Path, config):
    """Read a checkpoint as transformers does, or build the same shape at random."""
    factory = FACTORIES[wanted.choice.kind][wanted.task]
    headed = has_head(config, wanted)
    if wanted.task == "classification" and headed:
        factory = AutoModelForSequenceClassification
    shape = {"config": config, "attn_implementation": wanted.attention, "dtype": torch.float32}
    if wanted.nf4:
        shape["quantization_config"] = nf4_settings(wanted.device)
        shape["device_map"] = {"": wanted.device}
    report = None
    if wanted.pretrained:
        model, report = factory.from_pretrained(
            folder,
            output_loading_info=True,
            use_safetensors=True,  # older forms of weights are unpacked, which could run code
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **shape,
        )
    else:
        model = factory.from_config(trust_remote_code=False, **shape)
    if factory is AutoModel:
        drop_pooler(model)
    return model, _missing(model, report, wanted, headed) if report else []


def _other_task(wanted: Wanted, folder: Path, config):
    """Use the body of a classifier saved by this package for a task other than its own."""
    factory = FACTORIES[wanted.choice.kind][wanted.task]
    body_config = copy.deepcopy(config.body)
    body_config.id2label, body_config.label2id = config.id2label, config.label2id
    model = factory.from_config(
        body_config,
        attn_implementation=wanted.attention,
        dtype=torch.float32,
        trust_remote_code=False,
    )
    if factory is AutoModel:
        drop_pooler(model)
    if not wanted.pretrained:
        return model, []
    saved = HEADS[wanted.choice.kind].from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False
    )
    body = saved.base_model
    model.base_model.load_state_dict(body.state_dict(), strict=False)
    loaded = {id(p) for name, p in model.base_model.named_parameters() if name in body.state_dict()}
    return model, [name for name, p in model.named_parameters() if id(p) not in loaded]


def _missing(model, report: dict, wanted: Wanted, headed: bool) -> list[str]:
    """Name the parameters that the checkpoint lacks; a body or saved head must be complete."""
    choice, sizes = wanted.choice, {}
    for name, saved, expected in report["mismatched_keys"]:
        sizes[name] = f"{tuple(saved)} instead of {tuple(expected)}"
    if sizes:
        name = min(sizes)
        raise ModelError(
            f"The weights of {choice.source} do not fit: {name} has shape {sizes[name]}. Pass the "
            "num_labels it was trained with, or give a folder whose config.json is its own."
        )
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    missing = [name for name, _ in model.named_parameters() if name in report["missing_keys"]]
    fresh = [n for n in missing if n.startswith(f"{prefix}pooler.") or not n.startswith(prefix)]
    needed = missing if headed else [name for name in missing if name not in fresh]
    if needed:
        raise ModelError(
            f"The weights of {choice.source} lack {len(needed)} parameters of the {choice.kind}, "
            f"such as {needed[0]}; they are not of this {type(model).__name__}. Give another "
            "checkpoint."
        )
    return missing


def hold(parameters: Iterable[torch.nn.Parameter], precision: str) -> None:
    """Keep parameters that do not train in bfloat16, if that is the precision, in place.

    They then take half the memory, and are not converted anew at every use. Buffers stay as they
    are: a decoder's positions need more digits.
    """
    if precision == "bfloat16":
        for parameter in parameters:
            if parameter.dtype == torch.float32:
                parameter.data = parameter.data.to(torch.bfloat16)


def nf4_settings(device: str):
    """Configure transformers to keep a model's linear layers in NF4 (QLoRA, Dettmers et al. 2023).

    Four bits per weight, in blocks of 64 with one scale each, and the scales in eight bits. Weights
    are unpacked when used: computation is in bfloat16 on a GPU that has it, else in float16 there,
    and in float32 on a CPU.

    Raises:
        ModelError: if the package bitsandbytes is missing.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "Four bits a weight need the package bitsandbytes, which the course installs on Linux "
            "alone. Install it, or load the model without nf4=True."
        )
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it asks for faster kernels
    compute = torch.float32
    if device.startswith("cuda"):
        able = torch.cuda.get_device_capability() >= (
            8,
            0,
        )  # a T4 has 7.5 and only imitates bfloat16
        compute = torch.bfloat16 if able else torch.float16
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
