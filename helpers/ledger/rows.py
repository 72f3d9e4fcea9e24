"""What a row of the ledger says, how it is signed, and when it is refused."""

import math
import time
from collections.abc import Iterable

from helpers import evaluation
from helpers.runtime import Cost, Run

__all__ = [
    "ERAS",
    "IDENTITY",
    "KEYS",
    "accuracy_row",
    "check",
    "pairs_row",
    "perplexity_row",
    "row",
    "span_row",
]

ERAS = ("classical", "pretraining", "embeddings", "bert", "gpt", "lora")
KEYS = tuple(
    "era notebook task method labels source_labels seed metric value low high correct "
    "trainable_parameters total_parameters train_seconds eval_seconds peak_memory_bytes "
    "artefact_bytes profile device versions revision time".split()
)
IDENTITY = ("method", "task", "metric", "labels", "source_labels", "seed", "profile")
"""What makes two lines the same result; the later one replaces the earlier when loading."""


def row(
    run: Run,
    *,
    era: str,
    task: str,
    method: str,
    labels: int,
    seed: int,
    metric: str,
    interval: evaluation.Interval,
    correct: object = None,
    source_labels: int = 0,
    trainable_parameters: int,
    total_parameters: int,
    train: Cost,
    evaluate: Cost,
    artefact_bytes: int,
) -> dict:
    """Sign a result: put the run's profile, device, versions and time beside the figures.

    Args:
        run: the run that made it.
        era: one of `ERAS`.
        task: for example `"rotten_tomatoes"`.
        method: the name its line has in every figure.
        labels: labelled target examples used; 0 for zero-shot, the true count for "all".
        seed: of the budget's draw and of training.
        metric: `"accuracy"`, `"span_f1"`, `"perplexity"` or `"minimal_pairs"`.
        interval: the value with its 95 % interval over test items.
        correct: what pairs it with other methods: hex outcomes (accuracy, minimal pairs),
            `[tp, fp, fn]` a sentence (span F1), `[nll, tokens]` a document (perplexity), or None.
        source_labels: labelled examples of another corpus that were used.
        trainable_parameters: numbers that training may change.
        total_parameters: numbers the method needs to predict.
        train: seconds and peak memory of training.
        evaluate: seconds of prediction over the test set.
        artefact_bytes: what would have to be shipped to predict elsewhere, given the base model.

    Returns:
        A dict with exactly the keys `KEYS`, ready for `append`.
    """
    return {
        "era": era,
        "notebook": run.notebook,
        "task": task,
        "method": method,
        "labels": int(labels),
        "source_labels": int(source_labels),
        "seed": int(seed),
        "metric": metric,
        "value": float(interval.value),
        "low": float(interval.low),
        "high": float(interval.high),
        "correct": correct,
        "trainable_parameters": int(trainable_parameters),
        "total_parameters": int(total_parameters),
        "train_seconds": round(train.seconds, 4),
        "eval_seconds": round(evaluate.seconds, 4),
        "peak_memory_bytes": int(train.peak_memory_bytes),
        "artefact_bytes": int(artefact_bytes),
        **_signature(run),
    }


def accuracy_row(run: Run, correct: Iterable[bool], **facts) -> dict:
    """`row` for accuracy: value, interval and the outcome of each test item from `correct`.

    Args:
        run: the run that made it.
        correct: right or wrong for each test item, in the test set's order.
        **facts: the other arguments of `row`.
    """
    return _row_of_bits(run, "accuracy", correct, facts)


def pairs_row(run: Run, correct: Iterable[bool], **facts) -> dict:
    """`row` for minimal pairs: the share of pairs in which the right sentence was preferred.

    Args:
        run: the run that made it.
        correct: what `decoding.prefers_good` gave, in the order of the pairs.
        **facts: the other arguments of `row`.
    """
    return _row_of_bits(run, "minimal_pairs", correct, facts)


def span_row(run: Run, counts: Iterable[Iterable[int]], **facts) -> dict:
    """`row` for span F1: value, interval and each sentence's counts from `counts`.

    Args:
        run: the run that made it.
        counts: `[tp, fp, fn]` for each test sentence, in the test set's order.
        **facts: the other arguments of `row`.
    """
    table = [[int(number) for number in sentence] for sentence in counts]
    interval = evaluation.bootstrap_f1(table, draws=run.profile.bootstrap_draws)
    return row(run, metric="span_f1", interval=interval, correct=table, **facts)


def perplexity_row(run: Run, counts: Iterable[Iterable[float]], **facts) -> dict:
    """`row` for perplexity: value, interval and each document's loss and tokens from `counts`.

    Args:
        run: the run that made it.
        counts: `[nll, tokens]` for each document, as `decoding.document_losses` gives them. The
            loss is kept to four decimals, and the value is that of the kept numbers.
        **facts: the other arguments of `row`.
    """
    table = [[round(float(nll), 4), int(tokens)] for nll, tokens in counts]
    interval = evaluation.perplexity_interval(table, draws=run.profile.bootstrap_draws)
    return row(run, metric="perplexity", interval=interval, correct=table, **facts)


def _row_of_bits(run: Run, metric: str, correct: Iterable[bool], facts: dict) -> dict:
    outcome = list(correct)
    interval = evaluation.bootstrap_interval(outcome, draws=run.profile.bootstrap_draws)
    bits = evaluation.bits_to_hex(outcome)
    return row(run, metric=metric, interval=interval, correct=bits, **facts)


def _signature(run: Run) -> dict:
    return {
        "profile": run.profile.name,
        "device": run.device_name,
        "versions": dict(run.versions),
        "revision": run.revision,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def check(entry: dict) -> None:
    """Refuse a row that is not complete, finite and of the agreed kinds.

    Raises:
        ValueError: if it is not; the message names the key.
    """
    if not isinstance(entry, dict):
        raise ValueError("a ledger line must be a JSON object")
    missing, extra = set(KEYS) - set(entry), set(entry) - set(KEYS)
    if missing or extra:
        raise ValueError(f"missing keys {sorted(missing)}, unknown keys {sorted(extra)}")
    if entry["era"] not in ERAS:
        raise ValueError(f"era {entry['era']!r} is none of {', '.join(ERAS)}")
    for key in ("value", "low", "high", "train_seconds", "eval_seconds"):
        number = entry[key]
        if type(number) not in (int, float) or not math.isfinite(number):
            raise ValueError(f"{key} is {number!r}, not a finite number")
    if not entry["low"] <= entry["value"] <= entry["high"]:
        raise ValueError(f"value {entry['value']} is outside {entry['low']} to {entry['high']}")
    for key in IDENTITY:
        kind = int if key in ("labels", "source_labels", "seed") else str
        if type(entry[key]) is not kind:
            raise ValueError(f"{key} is {entry[key]!r}, not {kind.__name__}")
