"""What training yields: a model, and its scores on validation and test."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers import evaluation
from helpers.finetune.data import Data
from helpers.runtime import Profile

__all__ = ["Score", "Tested", "Trained", "judge"]


@dataclass(frozen=True)
class Score:
    """How good the answers to some examples are.

    Attributes:
        metric: `"accuracy"`, `"span_f1"` or `"perplexity"` (per token; lower is better).
        interval: 95 %, by bootstrap over examples.
        outcomes: one per example: right or wrong; [tp, fp, fn]; [nll, tokens].
    """

    metric: str
    interval: evaluation.Interval
    outcomes: np.ndarray
    macro_f1: float | None = None

    def __str__(self) -> str:
        name = {"span_f1": "span F1"}.get(self.metric, self.metric)
        more = "" if self.macro_f1 is None else f", macro-F1 {self.macro_f1:.3f}"
        return f"{name} {self.interval}{more} (n = {len(self.outcomes):,})"

    def minus(self, other: "Score", draws: int = evaluation.DRAWS) -> evaluation.Interval:
        """Paired difference to another score on the same examples; relative for perplexity."""
        compare = {
            "accuracy": evaluation.paired_difference,
            "span_f1": evaluation.paired_f1_difference,
            "perplexity": evaluation.paired_perplexity_change,
        }[self.metric]
        return compare(self.outcomes, other.outcomes, draws=draws)


@dataclass
class Trained:
    """A model, how it was made, and how good it is on validation.

    Attributes:
        method: as in `settings.METHODS`; `"known words"` is the baseline for names.
        model: answers with `probabilities`, `tags` or `losses` and `write`.
        seconds, peak_memory_bytes: of the training; a resumed one counts from its beginning.
        sizes: number of trained parameters, and of all.
        base: name and source of the pre-trained model; None for a linear model.
        notes: what was left out of the training, and why.
    """

    task: str
    method: str
    model: Any
    label_names: list[str]
    validation: Score
    settings: dict = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    sizes: tuple[int, int] = (0, 0)
    steps: int = 0
    base: dict | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Tested:
    """The one look at the test."""

    score: Score
    baseline: Score
    gain: evaluation.Interval  # model less baseline on the same examples, paired
    most_common_share: float | None  # of the test's classes
    time: str  # when the test was opened, UTC


def judge(model, data: Data, profile: Profile | None = None, **options) -> Score:
    """Let a model answer examples, and score the answers; `options` go to its `losses`."""
    draws = profile.bootstrap_draws if profile else evaluation.DRAWS
    if data.task == "classification":
        answers = model.probabilities(data.items).argmax(axis=1)
        right = answers == np.array(data.labels)
        macro = evaluation.macro_f1(answers, data.labels)
        return Score("accuracy", evaluation.bootstrap_interval(right, draws), right, macro)
    if data.task == "ner":
        counts = np.array(evaluation.span_counts(model.tags(data.items), data.labels)[0])
        return Score("span_f1", evaluation.bootstrap_f1(counts, draws), counts)
    counts = model.losses(data.items, **options)
    counts = counts[counts[:, 1] > 0]
    return Score("perplexity", evaluation.perplexity_interval(counts, draws), counts)
