"""The card of a model (Mitchell et al. 2019), filled from its run: nothing is typed by hand.

`figures` says what is known of a run; `card.md` says where on the card it stands.
"""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from helpers.assets import hub_id
from helpers.finetune.data import Data
from helpers.finetune.fitting import Score, Tested, Trained
from helpers.finetune.splitting import Parts
from helpers.runtime import versions

__all__ = ["figures", "model_card"]

TEMPLATE = Path(__file__).with_name("card.md")
PIPELINES = {"classification": "text-classification", "ner": "token-classification"}
PIPELINES |= dict.fromkeys(("text", "chat"), "text-generation")
SHOWN_METRICS = {"span_f1": "span F1", "perplexity": "perplexity of a token"}


def figures(trained: Trained, parts: Parts, tested: Tested, data: Data) -> dict[str, Any]:
    """Every figure of a run, for `metrics.json` and the card."""
    return {
        "task": trained.task,
        "method": trained.method,
        "base": trained.base,
        "data": {
            "source": data.source,
            "examples": len(data),
            "counts": data.counts(),
            "label_names": trained.label_names,
            "warnings": data.warnings,
        },
        "split": {
            "rule": "sha256 of the text, within each class, copies left out",
            "test_share": parts.test_share,
            "train": len(parts.train),
            "validation": len(parts.validation),
            "test": parts.test_size,
            "notes": parts.notes,
        },
        "settings": trained.settings,
        "training": {
            "seconds": round(trained.seconds, 2),
            "peak_memory_bytes": trained.peak_memory_bytes,
            "trained_parameters": trained.sizes[0],
            "total_parameters": trained.sizes[1],
            "steps": trained.steps,
            "notes": trained.notes,
        },
        "validation": _score(trained.validation),
        "test": _score(tested.score)
        | {"opened": tested.time, "times": 1, "most_common_share": tested.most_common_share},
        "baseline": _score(tested.baseline),
        "gain": asdict(tested.gain),
        "versions": versions(),
    }


def model_card(numbers: dict, name: str) -> str:
    """Write the card of model `name` from its `figures`: Markdown, with metadata for the Hub."""
    gain, test, pipeline = numbers["gain"], numbers["test"], PIPELINES[numbers["task"]]
    metric = test["metric"]
    shown, hub_metric = SHOWN_METRICS.get(metric, metric), metric.removeprefix("span_")
    if metric == "perplexity":
        shown_gain = f"{gain['value']:+.1%} [{gain['low']:+.1%}, {gain['high']:+.1%}] perplexity"
    else:
        value, low, high = (100 * gain[key] for key in ("value", "low", "high"))
        shown_gain = f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"
    base = hub_id(numbers["base"]["source"]).partition("@")[0] if numbers["base"] else ""
    on_the_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not Path(base).exists()
    result = EvalResult(
        task_type=pipeline,
        dataset_type="own-data",
        dataset_name=numbers["data"]["source"],
        dataset_split="test",
        metric_type=hub_metric,
        metric_name=shown,
        metric_value=round(test["value"], 4),
    )
    metadata = ModelCardData(
        model_name=name,
        base_model=base if on_the_hub else None,
        library_name="peft" if numbers["method"] == "lora" else None,
        pipeline_tag=pipeline,
        tags=["finetuning-history", numbers["method"]],
        metrics=[hub_metric],
        eval_results=[result],
    )
    labels = [label for label in numbers["data"]["label_names"] if label != "O"]
    card = ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        name=name,
        labels=sorted({x[2:] for x in labels}) if numbers["task"] == "ner" else labels,
        metric=shown,
        shown_gain=shown_gain,
        **numbers,
    )
    return card.content.rstrip() + "\n"


def _score(score: Score) -> dict:
    found = {"metric": score.metric, **asdict(score.interval), "examples": len(score.outcomes)}
    return found if score.macro_f1 is None else found | {"macro_f1": score.macro_f1}
