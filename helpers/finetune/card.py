"""The model card (Mitchell et al. 2019), filled from the run: nothing on it is typed by hand."""

import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from helpers.assets import hub_id

__all__ = ["model_card"]

TEMPLATE = Path(__file__).with_name("card.md")
METRICS = {"accuracy": "accuracy", "span_f1": "span F1", "perplexity": "perplexity of a token"}
HUB_METRICS = {"accuracy": "accuracy", "span_f1": "f1", "perplexity": "perplexity"}
PIPELINES = {
    "classification": "text-classification",
    "ner": "token-classification",
    "text": "text-generation",
    "chat": "text-generation",
}
KINDS = {
    "linear": "a linear model of counted words",
    "encoder": "an encoder, fine-tuned",
    "lora": "a LoRA adapter for a decoder",
}
USES = {
    "classification": "puts a text into one of {classes} classes: {names}",
    "ner": "marks names of {classes} types in a sentence: {names}",
    "text": "goes on writing in the manner of the text it was adapted to",
    "chat": "answers a message in the manner of the answers it was adapted to",
}
BASELINES = {
    "classification": "linear model of counted words, tuned by cross-validation",
    "ner": "each word's commonest tag in train",
    "text": "the same model before it was adapted",
    "chat": "the same model before it was adapted",
}
LIMITS = {
    "classification": "Every text is put into one of the classes, also one that belongs to none.",
    "ner": "A name that stands after the last token read is not found.",
    "text": "What it writes may be false, and may repeat its training text word for word.",
    "chat": "What it answers may be false; it learned a manner, hardly any facts.",
}


def model_card(numbers: dict, name: str) -> str:
    """Write the card of model `name` from `folder.figures`: Markdown, with metadata for the Hub."""
    task, gain = numbers["task"], numbers["gain"]
    names = [n for n in numbers["data"]["label_names"] if n != "O"]
    if task == "ner":
        names = sorted({n[2:] for n in names})
    if numbers["test"]["metric"] == "perplexity":
        shown_gain = f"{gain['value']:+.1%} [{gain['low']:+.1%}, {gain['high']:+.1%}] perplexity"
    else:
        value, low, high = (100 * gain[key] for key in ("value", "low", "high"))
        shown_gain = f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"
    card = ModelCard.from_template(
        _metadata(numbers, name),
        template_path=str(TEMPLATE),
        name=name,
        kind=KINDS[numbers["method"]],
        use=USES[task].format(classes=len(names), names=", ".join(names)),
        metric=METRICS[numbers["test"]["metric"]],
        scores={
            "validation, which was used to choose": numbers["validation"],
            "**test, opened once**": numbers["test"],
            f"baseline on test: {BASELINES[task]}": numbers["baseline"],
        },
        shown_gain=shown_gain,
        limit=LIMITS[task],
        **numbers,
    )
    return card.content.rstrip() + "\n"


def _metadata(numbers: dict, name: str) -> ModelCardData:
    pipeline, test = PIPELINES[numbers["task"]], numbers["test"]
    metric = HUB_METRICS[test["metric"]]
    result = EvalResult(
        task_type=pipeline,
        dataset_type="own-data",
        dataset_name=numbers["data"]["source"],
        dataset_split="test",
        metric_type=metric,
        metric_name=METRICS[test["metric"]],
        metric_value=round(test["value"], 4),
    )
    return ModelCardData(
        model_name=name,
        base_model=_hub_id(numbers["base"]),
        library_name="peft" if numbers["method"] == "lora" else None,
        pipeline_tag=pipeline,
        tags=["finetuning-history", numbers["method"]],
        metrics=[metric],
        eval_results=[result],
    )


def _hub_id(base: dict | None) -> str | None:
    """The base's name on the Hub; None for a linear model or a local folder."""
    if base is None:
        return None
    name = hub_id(base["source"]).partition("@")[0]
    return name if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists() else None
