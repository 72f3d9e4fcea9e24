"""From a file to a folder with model and card: `finetune` takes all the steps in order."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor

from helpers import training
from helpers.finetune.baselines import CommonTags, cross_validate, fit_linear
from helpers.finetune.data import Data, guess_task, read
from helpers.finetune.folder import CHECKPOINTS, check_output, is_complete, save, start_run
from helpers.finetune.models import MODELS
from helpers.finetune.results import Tested, Trained, judge
from helpers.finetune.settings import LANGUAGE_TASKS, METHODS, estimate, settings_for
from helpers.finetune.splitting import Parts, split
from helpers.pretrained import learning_rate_for, quiet
from helpers.runtime import PROFILES, Profile, measure

__all__ = ["Order", "baseline", "finetune", "test_once", "train"]

ENCODER_RATE = 2e-4  # of MiniLM; larger encoders take less


@dataclass
class Order:
    """The options of `course finetune`; `settings` are those that differ from the defaults."""

    data: Path
    output: Path
    method: str | None = None  # as in `settings.METHODS`; the cheapest of the task without it
    task: str | None = None  # guessed without it
    text: str = "text"
    label: str = "label"
    encoding: str = "utf-8"
    seed: int = 0
    test_size: float = 0.2
    resume: bool = False
    dry_run: bool = False
    base: str | None = None
    profile: Profile = field(default_factory=lambda: PROFILES["cpu"])
    settings: dict = field(default_factory=dict)

    def fingerprint(self) -> dict:
        """What must be equal for a run to be resumed."""
        same = "method task text label encoding seed test_size base settings".split()
        content = hashlib.sha256(Path(self.data).read_bytes()).hexdigest()
        values = {key: getattr(self, key) for key in same}
        return values | {"data": content, "profile": self.profile.name}


def finetune(order: Order) -> int:
    """Do everything that an order asks for, printing each step; returns an exit code.

    Under `torchrun` every process calls it; only the first prints and writes.

    Raises:
        ValueError: if the file, the folder or a setting does not fit; also TableError, ModelError
            and AssetError.
    """
    writes = training.place()[0] == 0
    say = print if writes else (lambda line: None)
    order.task = order.task or guess_task(order.data, order.text, order.label, order.encoding)
    order.method = order.method or METHODS.get(order.task, ("",))[0]
    data = read(order.data, order.task, text=order.text, label=order.label, encoding=order.encoding)
    if order.base and order.method == "linear":
        raise ValueError(
            "A linear model has no base. Leave out --base, or choose another --method."
        )
    if order.resume and is_complete(order.output):
        say(f"{order.output} is finished already; nothing to do.")
        return 0
    if writes and not order.dry_run:
        check_output(order.output, order.fingerprint(), order.resume)
    say(data.summary)
    parts = split(data, order.test_size)
    say(parts.report())
    settings = settings_for(order.method, parts.train, order.profile, order.settings)
    if order.dry_run:
        say(estimate(parts, order.method, order.profile, order.base, settings).report())
    elif order.method != "linear" or writes:  # a linear model takes one process
        _choose_card()
        try:
            with quiet():
                _train_and_save(order, data, parts, settings, say)
        finally:
            if torch.distributed.is_initialized():  # no process waits for one that is gone
                torch.distributed.destroy_process_group()
    return 0


def _train_and_save(order: Order, data: Data, parts: Parts, settings: dict, say) -> None:
    writes, folder = training.place()[0] == 0, order.output
    checkpoints = None if order.method == "linear" else folder / CHECKPOINTS
    if checkpoints and writes:
        start_run(folder, order.fingerprint())
    against = None
    if order.method != "linear" and order.task not in LANGUAGE_TASKS:
        against = baseline(parts, order.seed, order.profile)
        say(f"baseline, validation: {against.validation}")
    say(f"training: {order.method} ...")
    options = {"checkpoints": checkpoints, "resume": order.resume, "settings": settings}
    trained = train(
        parts, order.method, seed=order.seed, profile=order.profile, base=order.base, **options
    )
    for note in trained.notes:
        say(f"note: {note}")
    say(f"validation: {trained.validation}, {trained.seconds / 60:.1f} minutes")
    tested = test_once(trained, parts, against, order.profile)
    say(f"test, opened once: {tested.score}")
    if order.method != "linear":
        say(f"baseline on the same test: {tested.baseline}")
    if writes:
        save(trained, parts, tested, folder, data)
        say(f"Written to {folder}: the card is README.md. Try it:")
        say(f'  course predict {folder} "a text"')


def baseline(parts: Parts, seed: int = 0, profile: Profile | None = None) -> Trained:
    """Train what everything else has to beat: a linear model for classes, a word list for names.

    The linear model is tuned by cross-validation on train (features and strength), since a weak
    baseline makes any method look good.

    Raises:
        ValueError: for `text` and `chat`, whose baseline is the model itself before training.
    """
    if parts.train.task == "classification":
        return train(parts, "linear", seed=seed, profile=profile)
    if parts.train.task != "ner":
        raise ValueError("The baseline of a language model is the model before it is trained.")
    start = time.perf_counter()
    model = CommonTags(parts.train.items, parts.train.labels)
    return Trained(
        task="ner",
        method="known words",
        model=model,
        label_names=parts.train.label_names,
        validation=judge(model, parts.validation, profile),
        seconds=time.perf_counter() - start,
    )


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
        return _train_linear(parts, seed, profile)
    options = {} if checkpoints is None else {"output_dir": checkpoints, "resume": resume}
    return _train_neural(parts, method, settings | {"seed": seed}, profile, base, options)


def _train_neural(
    parts: Parts, method: str, settings: dict, profile: Profile, base: str | None, options: dict
) -> Trained:
    data = parts.train
    start = partial(MODELS[data.task, method].start, data.label_names, settings, profile, base)
    model = start()
    network = model.loaded.model
    if settings["learning_rate"] is None:
        settings["learning_rate"] = learning_rate_for(network.config, ENCODER_RATE)
    result = model.fit(data.items, data.labels, settings, **options)
    notes = model.notes
    if any(isinstance(parameter, DTensor) for parameter in network.parameters()):
        # FSDP has spread the weights; answers and files want a model in one piece.
        model = start()
        model.loaded.model.load_state_dict(in_one_piece(network))
    return Trained(
        task=data.task,
        method=method,
        model=model,
        label_names=data.label_names,
        validation=judge(model, parts.validation, profile),
        settings=settings,
        seconds=result.seconds_before + result.cost.seconds,
        peak_memory_bytes=result.cost.peak_memory_bytes,
        sizes=model.sizes(),
        steps=result.steps,
        base={"name": model.loaded.name, "source": model.loaded.source},
        notes=notes,
    )


def in_one_piece(network) -> dict:
    """The full weights of a model that FSDP has sharded; every process must call it."""
    return get_model_state_dict(network, options=StateDictOptions(full_state_dict=True))


def _train_linear(parts: Parts, seed: int, profile: Profile) -> Trained:
    data = parts.train
    with measure() as cost:
        choice = cross_validate(data.items, data.labels, seed)
        model = fit_linear(data.items, data.labels, choice.features, choice.C)
    return Trained(
        task=data.task,
        method="linear",
        model=model,
        label_names=data.label_names,
        validation=judge(model, parts.validation, profile),
        settings={"features": list(choice.features), "C": choice.C, "seed": seed},
        seconds=cost.seconds,
        peak_memory_bytes=cost.peak_memory_bytes,
        sizes=model.sizes(),
    )


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
    score = judge(trained.model, test, profile)
    if language:
        before = judge(trained.model, test, profile, adapted=False)
    else:
        before = score if against is trained else judge(against.model, test, profile)
    share = test.most_common_share if test.task == "classification" else None
    return Tested(score, before, score.minus(before), share, now)


test_once.__test__ = False  # its name is not that of a test


def _choose_card() -> None:
    """On a machine with several GPUs, give each process its own."""
    if training.place()[1] > 1 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
