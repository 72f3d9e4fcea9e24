"""`load_encoder`: tokenizer and model of one encoder, for one task, nothing left to chance."""

from collections.abc import Callable, Sequence
from pathlib import Path

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
from helpers.pretrained.pieces import reads_words
from helpers.pretrained.sources import Choice, ModelError, choose, opened
from helpers.runtime import Profile

__all__ = ["load_encoder"]

TASKS = {
    "classification": "AutoModelForSequenceClassification",
    "tokens": "AutoModelForTokenClassification",
    "features": "AutoModel",
    "mlm": "AutoModelForMaskedLM",
}
LABELLED = ("classification", "tokens")
MEAN_POOLED = "MeanPooledClassifier"  # in config.json: the folder holds a head over the mean


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
    names = label_names_of(num_labels, label_names) if task in LABELLED else None
    choice = choose(profile, source, cased)
    with quiet(), opened(choice, weights=pretrained) as (folder, tokenizer_folder):
        config = _config(choice, folder)
        if names:
            named = label_names is not None
            settle_labels(config, _has_head(config, task), names, named, choice)
        tokenizer = _tokenizer(choice, tokenizer_folder, task, config)
        model, new = _build(choice, folder, config, task, pretrained, seed, attention)
    model = model.eval().to(device or device_for(profile))
    name = choice.name if pretrained else f"{choice.name}, random weights"
    loaded = Pretrained(tokenizer, model, name, choice.source, new)
    if echo:
        echo(announcement(loaded, choice, pretrained, labelled=bool(names)))
    return loaded


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


def _has_head(config, task: str) -> bool:
    return _mean_pooled(config, task) or own_head(config, TASKS[task].removeprefix("AutoModel"))


def _mean_pooled(config, task: str) -> bool:
    """Tell whether the checkpoint is a `MeanPooledClassifier`, body and head."""
    return task == "classification" and own_head(config, MEAN_POOLED)


def _tokenizer(choice: Choice, folder: Path, task: str, config):
    tokenizer = load_tokenizer(choice, folder, config)
    if task == "tokens" and not reads_words(tokenizer):
        tokenizer = load_tokenizer(choice, folder, config, add_prefix_space=True)
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
    import transformers

    if pretrained and _mean_pooled(config, task):
        from helpers.pretrained.pooling import MeanPooledClassifier

        return MeanPooledClassifier.from_pretrained(folder, config=config, attention=attention), ()
    own = _has_head(config, task) and not _mean_pooled(config, task)
    headless = task == "features" or (task == "classification" and not own)
    factory = getattr(transformers, "AutoModel" if headless else TASKS[task])
    with seeded(seed), explained(choice):
        model, report = read_weights(factory, folder, config, choice, pretrained, attention)
        if headless and getattr(model, "pooler", None) is not None:
            model.pooler = None
        missing = missing_parameters(model, report, choice) if report else None
        if headless and task == "classification":
            from helpers.pretrained.pooling import MeanPooledClassifier

            model = MeanPooledClassifier(model, config.num_labels)
            missing = missing if missing is None else ["head.weight", "head.bias"]
    everything = [name for name, _ in model.named_parameters()]
    return model, tuple(everything if missing is None else missing)
