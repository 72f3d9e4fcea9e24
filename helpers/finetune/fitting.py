"""Train a method, score it on validation, and open the test once."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor

from helpers import evaluation
from helpers.finetune.baselines import CommonTags, cross_validate, fit_linear
from helpers.finetune.data import Data
from helpers.finetune.models import MODELS
from helpers.finetune.settings import LANGUAGE_TASKS, settings_for
from helpers.finetune.splitting import Parts
from helpers.pretrained import learning_rate_for
from helpers.runtime import PROFILES, Profile, measure

__all__ = ["Score", "Tested", "Trained", "baseline", "test_once", "train"]

ENCODER_RATE = 2e-4  # of MiniLM; larger encoders take less


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


def baseline(parts: Parts, seed: int = 0, profile: Profile | None = None) -> Trained:
    """Train what everything else has to beat: a linear model for classes, a word list for names.

    The linear model is tuned by cross-validation on train (features and strength), since a weak
    baseline makes any method look good.

    Raises:
        ValueError: for `text` and `chat`, whose baseline is the model itself before training.
    """
    data = parts.train
    if data.task == "classification":
        return train(parts, "linear", seed=seed, profile=profile)
    if data.task != "ner":
        raise ValueError("The baseline of a language model is the model before it is trained.")
    with measure() as cost:
        model = CommonTags(data.items, data.labels)
    validation = _judge(model, parts.validation, profile)
    names = data.label_names
    return Trained("ner", "known words", model, names, validation, seconds=cost.seconds)


def train(
    parts: Parts,
    method: str,
    *,
    seed: int = 0,
    profile: Profile | None = None,
    base: str | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    settings: dict | None = None,
    **overrides,
) -> Trained:
    """Train one method on train, and score it on validation.

    Args:
        method: `"linear"`, `"encoder"` or `"lora"`, the cheapest first.
        profile: decides the base and how much it reads of a text; by default `cpu`.
        base: another pre-trained model: a folder, or a Hub id.
        checkpoints: folder for state, from which `resume` continues; without it none is kept.
        settings: all of them; without it the defaults, changed by `overrides`.

    Raises:
        ValueError: if the method is not for the task, or a setting is unknown.
    """
    profile, data = profile or PROFILES["cpu"], parts.train
    if settings is None:
        settings = settings_for(method, data, profile, overrides)
    if method == "linear":
        with measure() as cost:
            choice = cross_validate(data.items, data.labels, seed)
            model = fit_linear(data.items, data.labels, choice.features, choice.C)
        settings = {"features": list(choice.features), "C": choice.C, "seed": seed}
        about = {"seconds": cost.seconds, "peak_memory_bytes": cost.peak_memory_bytes}
    else:
        settings = settings | {"seed": seed}
        options = {} if checkpoints is None else {"output_dir": checkpoints, "resume": resume}
        model, about = _train_neural(data, method, settings, profile, base, options)
    return Trained(
        task=data.task,
        method=method,
        model=model,
        label_names=data.label_names,
        validation=_judge(model, parts.validation, profile),
        settings=settings,
        sizes=model.sizes(),
        **about,
    )


def _train_neural(
    data: Data, method: str, settings: dict, profile: Profile, base: str | None, options: dict
):
    """A trained model, and what is known of its training; completes the settings."""

    def start():
        return MODELS[data.task, method].start(data.label_names, settings, profile, base)

    model = start()
    network, name, source = model.loaded.model, model.loaded.name, model.loaded.source
    settings["precision"] = model.loaded.precision
    if settings["learning_rate"] is None:
        settings["learning_rate"] = learning_rate_for(network.config, ENCODER_RATE)
    result = model.fit(data.items, data.labels, settings, **options)
    about = {
        "seconds": result.seconds_before + result.cost.seconds,
        "peak_memory_bytes": result.cost.peak_memory_bytes,
        "steps": result.steps,
        "base": {"name": name, "source": source},
        "notes": model.notes,
    }
    if any(isinstance(parameter, DTensor) for parameter in network.parameters()):
        # FSDP has spread the weights; answers and files want a model in one piece.
        model = start()
        model.loaded.model.load_state_dict(in_one_piece(network))
    return model, about


def in_one_piece(network) -> dict:
    """The full weights of a model that FSDP has sharded; every process must call it."""
    return get_model_state_dict(network, options=StateDictOptions(full_state_dict=True))


def test_once(
    trained: Trained, parts: Parts, against: Trained | None = None, profile: Profile | None = None
) -> Tested:
    """Open the test for the model chosen on validation, and for the baseline beside it.

    Without a baseline `against`, one is trained; a language model is compared with its own base.

    Raises:
        ValueError: if another model was tested on these parts before.
    """
    language = trained.task in LANGUAGE_TASKS
    if against is None and not language:
        against = trained if trained.method == "linear" else baseline(parts, profile=profile)
    test = parts.open_test(trained.method)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    score = _judge(trained.model, test, profile)
    if language:
        before = _judge(trained.model, test, profile, adapted=False)
    else:
        before = score if against is trained else _judge(against.model, test, profile)
    share = test.most_common_share if test.task == "classification" else None
    return Tested(score, before, score.minus(before), share, now)


test_once.__test__ = False  # its name is not that of a test


def _judge(model, data: Data, profile: Profile | None, **options) -> Score:
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
