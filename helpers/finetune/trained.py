"""Train a method on the parts of a data set, and say how good it is."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from helpers import evaluation
from helpers.finetune.data import Data
from helpers.finetune.parallel import is_spread, meet, whole_state
from helpers.finetune.settings import check_method, settings_for
from helpers.finetune.splitting import Parts
from helpers.runtime import Profile
from helpers.training import device_of

__all__ = ["Score", "Tested", "Trained", "baseline", "class_of", "judge", "test_once", "train"]

DRAWS = {"smoke": 200}


@dataclass(frozen=True)
class Score:
    """How good the answers to some examples are.

    Attributes:
        metric: `"accuracy"`, `"span_f1"` or `"perplexity"` (of a token; lower is better).
        interval: with its 95 % bootstrap interval over examples.
        outcomes: what it rests on, one an example: right or wrong; [tp, fp, fn]; [nll, tokens].
        macro_f1: of classes, else None.
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
        """What this one has more than another on the same examples, paired; of perplexity a share.

        Raises:
            ValueError: if the two are not of the same examples.
        """
        compare = {
            "accuracy": evaluation.paired_difference,
            "span_f1": evaluation.paired_f1_difference,
            "perplexity": evaluation.paired_perplexity_change,
        }[self.metric]
        return compare(self.outcomes, other.outcomes, draws=draws)


@dataclass
class Trained:
    """A model, how it came about, and how good it is on validation.

    Attributes:
        task, method: as in `settings.METHODS`; `"baseline"` and what answers as well.
        model: answers with `probabilities`, `tags` or `losses` and `write`.
        settings: everything that was set.
        label_names: as in `Data`.
        validation: its score there.
        seconds, peak_memory_bytes: of the training; a resumed one counts from its beginning.
        sizes: trained parameters, and all.
        steps: that were taken by this process; 0 for a linear model.
        base: name and source of the pre-trained model; None for a linear model.
        notes: what was left out of the training, and why.
    """

    task: str
    method: str
    model: Any
    settings: dict
    label_names: list[str]
    validation: Score
    seconds: float
    peak_memory_bytes: int
    sizes: tuple[int, int]
    steps: int = 0
    base: dict | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Tested:
    """The one look at the test.

    Attributes:
        score: of the model.
        baseline: of what it has to beat.
        gain: model less baseline on the same examples, paired.
        most_common_share: of the test's classes; None without classes.
        time: when the test was opened, UTC.
    """

    score: Score
    baseline: Score
    gain: evaluation.Interval
    most_common_share: float | None = None
    time: str = field(default="")


class CommonTags:
    """The baseline for names: each word gets the tag that it had most often in train."""

    def __init__(self, sentences: list[list[str]], tags: list[list[str]]):
        from collections import Counter, defaultdict

        seen = defaultdict(Counter)
        for words, row in zip(sentences, tags, strict=True):
            for word, tag in zip(words, row, strict=True):
                seen[word][tag] += 1
        self.known = {word: tags.most_common(1)[0][0] for word, tags in seen.items()}

    def tags(self, sentences: list[list[str]]) -> list[list[str]]:
        """One IOB2 tag a word; a name that begins with I- begins with B- here."""
        from helpers.tables import to_iob2

        return [to_iob2([self.known.get(w, "O") for w in words], "IOB2") for words in sentences]


class Untouched:
    """The baseline for language: the model before it read anything of yours."""

    def __init__(self, model):
        self.model = model

    def losses(self, items: list) -> np.ndarray:
        """[summed loss, tokens] of each item, by the base alone."""
        return self.model.losses(items, adapted=False)


def judge(model, data: Data, profile: Profile | None = None) -> Score:
    """Let a model answer examples, and score the answers."""
    draws = DRAWS.get(profile.name if profile else "", evaluation.DRAWS)
    if data.task == "classification":
        answers = model.probabilities(data.items).argmax(axis=1)
        right = answers == np.array(data.labels)
        macro = evaluation.macro_f1(answers, data.labels)
        return Score("accuracy", evaluation.bootstrap_interval(right, draws), right, macro)
    if data.task == "ner":
        counts = np.array(evaluation.span_counts(model.tags(data.items), data.labels)[0])
        return Score("span_f1", evaluation.bootstrap_f1(counts, draws), counts)
    counts = np.asarray(model.losses(data.items))
    counts = counts[counts[:, 1] > 0]
    return Score("perplexity", evaluation.perplexity_interval(counts, draws), counts)


def baseline(parts: Parts, seed: int = 0, profile: Profile | None = None) -> Trained:
    """Train what everything else has to beat: for classes a linear model, for names a dictionary.

    The linear model is tuned as hard as can be (features and strength by cross-validation on
    train): a weak baseline makes any method look good.

    Raises:
        ValueError: for `text` and `chat`, whose baseline is the model itself before training.
    """
    if parts.train.task == "classification":
        return train(parts, "linear", seed=seed, profile=profile)
    if parts.train.task != "ner":
        raise ValueError("The baseline of a language model is the model before it is trained.")
    start = time.perf_counter()
    model = CommonTags(parts.train.items, parts.train.labels)
    score = judge(model, parts.validation, profile)
    seconds = time.perf_counter() - start
    names = parts.train.label_names
    return Trained("ner", "known words", model, {}, names, score, seconds, 0, (0, 0))


def train(
    parts: Parts, method: str, *, seed: int = 0, profile: Profile | None = None,
    base: str | None = None, checkpoints: Path | None = None, resume: bool = False, **overrides,
) -> Trained:  # fmt: skip
    """Train one method on train, and score it on validation.

    Args:
        parts: what `split` gave.
        method: `"linear"`, `"encoder"` or `"lora"`, the cheapest first.
        seed: of everything random.
        profile: which pre-trained model is the base, and how much it reads of a text.
        base: another pre-trained model: a folder, or a Hub id.
        checkpoints: folder to keep the state of the training in; none without.
        resume: go on from there.
        overrides: settings that differ from `default_settings`.

    Raises:
        ValueError: if the method is not for the task, or a setting is unknown.
    """
    from helpers.runtime import PROFILES

    profile, data = profile or PROFILES["cpu"], parts.train
    check_method(data.task, method)
    settings = settings_for(data.task, method, data, profile, overrides)
    if method == "linear":
        return _train_linear(parts, seed, profile)
    kind, start = class_of(data.task, method), (data.label_names, settings, profile, seed, base)
    model = kind.start(*start)
    if method == "encoder" and overrides.get("learning_rate") is None:  # ours is MiniLM's
        from helpers.methods.bert import rate_for

        settings["learning_rate"] = rate_for(model.loaded.model.config, settings["learning_rate"])
    meet(device_of(model.loaded.model))
    options = {} if checkpoints is None else {"output_dir": checkpoints, "resume": resume}
    result = model.fit(data.items, data.labels, settings, seed, **options)
    notes = list(model.notes)
    if is_spread(model.loaded.model):  # answers and files want a model in one piece
        state, model = whole_state(model.loaded.model), kind.start(*start)
        model.loaded.model.load_state_dict(state)
    source = {"name": model.loaded.name, "source": model.loaded.source}
    return Trained(
        data.task, method, model, settings | {"seed": seed}, data.label_names,
        judge(model, parts.validation, profile), result.seconds_before + result.cost.seconds,
        result.cost.peak_memory_bytes, model.sizes(), result.steps, source, notes,
    )  # fmt: skip


def test_once(
    trained: Trained, parts: Parts, against: Trained | None = None, profile: Profile | None = None
) -> Tested:
    """Open the test for one model, and for the baseline beside it; nobody else gets to see it.

    Args:
        trained: the model that validation chose.
        parts: of the data set.
        against: its baseline; without it one is trained, and a language model is compared with
            its own base.
        profile: of the run.

    Raises:
        ValueError: if another model was tested on these parts before.
    """
    if against is None and trained.task not in ("text", "chat"):
        against = trained if trained.method == "linear" else baseline(parts, profile=profile)
    other = Untouched(trained.model) if against is None else against.model
    test = parts.open_test(trained.method)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    score = judge(trained.model, test, profile)
    before = score if other is trained.model else judge(other, test, profile)
    share = test.most_common_share if test.task == "classification" else None
    return Tested(score, before, score.minus(before), share, now)


test_once.__test__ = False  # its name is not that of a test


def _train_linear(parts: Parts, seed: int, profile: Profile) -> Trained:
    from helpers.finetune.linear import cross_validate, fit_linear
    from helpers.runtime import measure

    data = parts.train
    with measure() as cost:
        chosen = cross_validate(data.items, data.labels, seed)
        model = fit_linear(data.items, data.labels, chosen.features, chosen.C)
    settings = {"features": list(chosen.features), "C": chosen.C, "seed": seed}
    score = judge(model, parts.validation, profile)
    return Trained(
        data.task, "linear", model, settings, data.label_names, score, cost.seconds,
        cost.peak_memory_bytes, model.sizes(),
    )  # fmt: skip


def class_of(task: str, method: str):
    """The class that trains and loads models of a method; torch is loaded only now."""
    if method == "linear":
        from helpers.finetune.linear import LinearModel

        return LinearModel
    if task in ("text", "chat"):
        from helpers.finetune import language

        return language.ProseModel if task == "text" else language.ChatModel
    from helpers.finetune import classifiers

    if task == "ner":
        return classifiers.Tagger
    return classifiers.EncoderClassifier if method == "encoder" else classifiers.AdaptedClassifier
