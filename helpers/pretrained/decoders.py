"""`load_decoder`: tokenizer and model of one decoder, its padding settled in one place."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from helpers.pretrained.loading import (
    Pretrained,
    announcement,
    device_for,
    explained,
    label_names_of,
    load_tokenizer,
    missing_parameters,
    own_head,
    quiet,
    read_weights,
    seeded,
    settle_labels,
)
from helpers.pretrained.quantized import nf4_settings
from helpers.pretrained.sources import Choice, ModelError, choose_decoder, opened
from helpers.runtime import Profile

__all__ = ["load_decoder"]


class Shape(NamedTuple):
    """How a model's weights are kept."""

    attention: str
    quantization: Any
    device: str

    def storage(self) -> dict:
        """Further arguments of `from_pretrained`."""
        settings = {"quantization_config": self.quantization, "device_map": {"": self.device}}
        return settings if self.quantization else {}


FACTORIES = {"lm": "AutoModelForCausalLM", "classification": "AutoModel"}
OWN_HEAD = "ForSequenceClassification"
LAST_TOKEN = "LastTokenClassifier"  # in config.json: the folder holds a head on the last token
SMOLLM2 = (
    "It is of GPT-2's size and was then taught to follow instructions (2024), so it answers where "
    "GPT-2 would only go on; its weights were rounded to 4 bits each and are near the published "
    "ones, not equal to them."
)


def load_decoder(
    task: str = "lm", num_labels: int = 2, label_names: Sequence[str] | None = None, *,
    profile: Profile | None = None, source: str | Path | None = None, larger: bool = False,
    pretrained: bool = True, device: str | None = None, seed: int = 0, attention: str = "sdpa",
    nf4: bool = False, echo: Callable[[str], object] | None = print,
) -> Pretrained:  # fmt: skip
    """Load the decoder of this profile for a task, and say which of its parameters are random.

    `cpu` takes SmolLM2-135M-Instruct, `gpu` GPT-2, `smoke` a tiny random Llama behind SmolLM2's
    tokenizer; `source`, or else `COURSE_DECODER`, names any other. SmolLM2 comes with 4 bits a
    weight and is unpacked once, into the cache.

    A decoder without a padding token (GPT-2) pads with its end token, in the tokenizer and in the
    model's config alike. A token of its own would be a random vector, and one more word to
    predict. The price: padding cannot be told by its id. What counts, for a loss as for the last
    token, must come from the attention mask; labels made from `input_ids != pad_id` would hide
    each true end from the loss, and the model would unlearn to stop.

    Args:
        task: `"lm"` to predict words, padded on the left, as generation needs it;
            `"classification"` of texts, a `LastTokenClassifier`, padded on the right. A checkpoint
            that was saved as a classifier, of this class or of transformers, keeps its own head
            and its label names.
        num_labels: classes of `"classification"`.
        label_names: name of each class; they then decide `num_labels`.
        profile: of the run; None for what `cpu` takes.
        source: a folder, or a Hub id, such as `"owner/name"` or `"owner/name@revision"`.
        larger: in `gpu`, SmolLM2-1.7B-Instruct in the place of GPT-2: 7 GB in float32. Other
            profiles have one decoder.
        pretrained: False for the random control: the same shape, every weight random.
        device: `"cpu"` or `"cuda"`; without it `gpu` takes CUDA if there is any.
        seed: of what is random: the head, or everything. Global generators are left alone.
        attention: `"sdpa"` (fused), or `"eager"` if attention weights are to be looked at.
        nf4: keep the linear layers in four bits, to train an adapter on them (QLoRA). They cannot
            be trained themselves. Needs the package bitsandbytes.
        echo: told in one line what was loaded; None for silence.

    Returns:
        Tokenizer, its chat template kept if it has one, and model, float32.

    Raises:
        ModelError: if the model, its tokenizer or its head does not fit; the message has the
            remedy.
        ValueError: for an unknown task, or label names that make no sense.
        assets.AssetError: if SmolLM2 cannot be had, or not be kept.
    """
    if task not in FACTORIES:
        raise ValueError(f"Unknown task {task!r}; choose one of {', '.join(FACTORIES)}.")
    names = label_names_of(num_labels, label_names) if task == "classification" else None
    choice, device = choose_decoder(profile, source, larger), device or device_for(profile)
    shape = Shape(attention, nf4_settings(device) if nf4 else None, device)
    with quiet(), opened(choice, weights=pretrained) as (folder, tokenizer_folder):
        config = _config(choice, folder)
        if nf4 and (not pretrained or own_head(config, LAST_TOKEN)):
            raise ModelError(
                f"{choice.source} cannot be kept in four bits: only the weights of a pre-trained "
                "body are packed. Load it without nf4=True."
            )
        if names:
            named = label_names is not None
            settle_labels(config, own_head(config, OWN_HEAD, LAST_TOKEN), names, named, choice)
        tokenizer, borrowed = _tokenizer(choice, tokenizer_folder, task, config)
        model, new = _build(choice, folder, config, task, pretrained, seed, shape)
    _settle_padding(model, tokenizer.pad_token_id)
    model = model.eval() if nf4 else model.eval().to(device)
    if nf4 and names:
        model.head.to(device)  # the body was packed where it is
    name = choice.name if pretrained else f"{choice.name}, random weights"
    loaded = Pretrained(tokenizer, model, name, choice.source, new)
    if echo:
        notes = [SMOLLM2] if pretrained and choice.source == "smollm2" else []
        notes += [f"Padding is {tokenizer.pad_token}, its end token."] if borrowed else []
        echo(" ".join([announcement(loaded, choice, pretrained, bool(names)), *notes]))
    return loaded


def _config(choice: Choice, folder: Path):
    """Read the shape of a model, and refuse what is not a decoder."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, AutoConfig

    with explained(choice):
        config = AutoConfig.from_pretrained(folder)
    # BERT can be built as a decoder too, but its checkpoints have read in both directions.
    decoder = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    if not decoder or type(config) in MODEL_FOR_MASKED_LM_MAPPING or config.is_encoder_decoder:
        raise ModelError(
            f"{choice.source} is of type {config.model_type!r}, which is no decoder; give one such "
            "as GPT-2, Llama or Qwen."
        )
    return config


def _tokenizer(choice: Choice, folder: Path, task: str, config):
    """Give the tokenizer, and whether its end token had to become its padding."""
    tokenizer = load_tokenizer(choice, folder, config)
    borrowed = tokenizer.pad_token_id is None
    if borrowed:
        if tokenizer.eos_token_id is None:
            raise ModelError(
                f"The tokenizer of {choice.source} has neither a padding nor an end token; set "
                "tokenizer.pad_token and save it again."
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left" if task == "lm" else "right"
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer, borrowed


def _build(choice, folder, config, task, pretrained, seed, shape):
    """Give the model, and the names of its random parameters."""
    import transformers

    if task == "classification" and pretrained and own_head(config, LAST_TOKEN):
        from helpers.pretrained.pooling import LastTokenClassifier

        return LastTokenClassifier.from_pretrained(
            folder, config=config, attention=shape.attention
        ), ()
    keeps_head = task == "classification" and own_head(config, OWN_HEAD)
    factory = f"AutoModel{OWN_HEAD}" if keeps_head else FACTORIES[task]
    with seeded(seed), explained(choice):
        model, report = read_weights(
            getattr(transformers, factory),
            folder,
            config,
            choice,
            pretrained,
            shape.attention,
            shape.storage(),
        )
        missing = missing_parameters(model, report, choice) if report else None
        if task == "lm" and missing:
            raise ModelError(
                f"The weights of {choice.source} lack the layer that predicts words "
                f"({missing[0]}). Save the whole language model, or load it with "
                'task="classification".'
            )
        if task == "classification":
            model, missing = _classifier(model, config, keeps_head, missing)
    everything = [name for name, _ in model.named_parameters()]
    return model, tuple(everything if missing is None else missing)


def _classifier(model, config, keeps_head: bool, missing: list[str] | None):
    from helpers.pretrained.pooling import LastTokenClassifier

    classifier = LastTokenClassifier(model.base_model, config.num_labels)
    classifier.is_loaded_in_4bit = getattr(model, "is_loaded_in_4bit", False)  # peft asks for it
    if keeps_head:
        classifier.head = model.score
        return classifier, missing and [name.replace("score.", "head.") for name in missing]
    return classifier, missing if missing is None else ["head.weight", "head.bias"]


def _settle_padding(model, pad_id: int) -> None:
    model.config.pad_token_id = pad_id
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = pad_id
