"""`course benchmark speed`: what length groups, frozen embeddings and remembered states are worth.

Every way of fine-tuning the encoder is run three times, in turn, so that a machine that slows down
for a while slows all of them. The peak is what plain matrix products reach in the same run.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from helpers import speed, training
from helpers.commands.speed_ways import BATCH_SIZE, DISCARDED, EPOCHS, Measured, Way, plain_tune
from helpers.evaluation import Difference, paired_difference
from helpers.methods import Corpus
from helpers.runtime import PROFILES

__all__ = ["compare_accuracy", "peak_gflops", "speed_benchmark", "table", "ways"]

REPETITIONS, SEEDS = 3, 3
LARGE = 2048  # rows and columns of a matrix product that leaves overhead behind
SECONDS_A_PRODUCT = {"smoke": 0.02}
AIM = 0.60  # of the peak


def speed_benchmark(
    profile: str = "cpu",
    labels: int = 1_000,
    seconds: float | None = None,
    accuracy: bool = False,
    echo: Callable[[str], object] = print,
) -> int:
    """Measure how fast the encoder is fine-tuned here, and print a table.

    Args:
        profile: decides the encoder.
        labels: snippets of the training split to train on; all there are if that is fewer.
        seconds: of one measurement, after which it ends early, 20 steps given; without it, it goes
            once through all snippets.
        accuracy: whether to compare what a plain Trainer and `fit` learn, too: minutes.
        echo: receives the report line by line.

    Returns:
        0; a speed is reported as it is.

    Raises:
        ValueError: for an unknown profile, or a number of labels or seconds that makes no sense.
    """
    from helpers.methods import bert

    corpus = _corpus(profile, labels, seconds)
    train = corpus.reviews["train"]
    labelled = corpus.labelled(labels if labels < len(train) else "all", 0)
    loaded = bert.encoder(corpus)
    rows, device = bert.rows_of(loaded, labelled), next(loaded.model.parameters()).device.type
    echo(_headline(loaded, rows, device))
    before = peak_gflops(loaded.model.config, rows, device, profile)
    measured = _measure(loaded, rows, seconds or np.inf, echo)
    after = peak_gflops(loaded.model.config, rows, device, profile)
    echo(f"matrix products: {before:.0f} GFLOP/s before, {after:.0f} after")
    for line in table(measured, max(before, after)):
        echo(line)
    if accuracy:
        _report_accuracy(corpus, labelled, echo)
    return 0


def ways(model) -> list[Way]:
    """The plain Trainer, then `fit` with ever fewer blocks."""
    from helpers import pretrained

    depth = len(pretrained.blocks(model))
    some = {3: "fit, top three blocks", 1: "fit, top block"}
    fewer = [Way(name, count) for count, name in some.items() if count < depth]
    return [Way("plain Trainer", None), Way("fit, all blocks", depth), *fewer]


def peak_gflops(config, rows, device: str, profile: str = "cpu") -> float:
    """Measure the matrix products of this model's sizes and a large one; the best counts.

    Args:
        config: of the encoder.
        rows: whose mean length decides how many positions a batch has.
        device: `"cpu"` or `"cuda"`.
        profile: in `smoke` each product is measured for a moment only.
    """
    width, positions = config.hidden_size, sum(map(len, rows["input_ids"][:])) // len(rows)
    inner = getattr(config, "intermediate_size", 4 * width)
    batch = BATCH_SIZE * positions
    sizes = [(batch, width, width), (batch, width, inner), (batch, inner, width), (LARGE,) * 3]
    seconds = SECONDS_A_PRODUCT.get(profile, 0.5)
    return max(speed.matmul_gflops(size, seconds, device) for size in sizes)


def table(measured: dict[str, list[Measured]], peak: float) -> list[str]:
    """Lay out the measurements: medians, and the range over the repetitions in brackets.

    Args:
        measured: {way: its repetitions}, the way to compare with first.
        peak: GFLOP/s of plain matrix products.
    """
    base = np.array([each.tokens for each in next(iter(measured.values()))])
    lines = [
        f"{'':24}{'tokens/s':>24}{'times the first':>20}{'padding':>9}{'GFLOP/s':>9}{'of peak':>9}"
    ]
    for name, repetitions in measured.items():
        tokens = np.array([each.tokens for each in repetitions])
        gflops = float(np.median([each.gflops for each in repetitions]))
        padding = float(np.median([each.padding for each in repetitions]))
        lines.append(
            f"{name:24}{_spread(tokens, ',.0f'):>24}{_spread(tokens / base, '.2f'):>20}"
            f"{padding:>9.0%}{gflops:>9.1f}{gflops / peak:>9.0%}"
        )
    return lines + _notes(measured, peak)


def compare_accuracy(corpus: Corpus, labelled, seeds: Iterable[int]) -> tuple[Difference, list]:
    """Train with `fit` (all blocks) and with the plain Trainer alike, and compare on validation.

    Args:
        corpus: the reviews.
        labelled: examples to train on, the same for both.
        seeds: of head, order and dropout.

    Returns:
        `fit` minus plain, paired over seeds and items, and both mean accuracies (plain, fit).
    """
    from helpers import pretrained
    from helpers.commands.speed_ways import RATE
    from helpers.methods import bert

    validation = corpus.reviews["validation"]
    truth, outcomes = np.array(validation["label"][:]), ([], [])
    for seed in seeds:
        plain = plain_tune(corpus, labelled, seed)
        depth = len(pretrained.blocks(plain.model))
        ours, _ = bert.tune(
            corpus, labelled, seed, depth, num_epochs=EPOCHS, learning_rate=RATE, progress=False
        )
        for loaded, kept in zip((plain, ours), outcomes, strict=True):
            rows = bert.rows_of(loaded, validation, labels=False)
            logits = training.predict(loaded.model, rows, 64, pad_id=loaded.pad_id)
            kept.append(logits.argmax(axis=1) == truth)
    plain, ours = map(np.array, outcomes)
    difference = paired_difference(ours, plain, draws=corpus.profile.bootstrap_draws)
    return difference, [float(plain.mean()), float(ours.mean())]


def _corpus(profile: str, labels: int, seconds: float | None) -> Corpus:
    if profile not in PROFILES:
        raise ValueError(f"No profile {profile!r}; there are {', '.join(PROFILES)}.")
    if labels < BATCH_SIZE:
        raise ValueError(f"--labels is {labels}; give at least {BATCH_SIZE}, one batch.")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"--seconds is {seconds:g}; give more than 0.")
    return Corpus(PROFILES[profile])


def _headline(loaded, rows, device: str) -> str:
    import torch

    where = f"{torch.get_num_threads()} threads" if device == "cpu" else device
    return (
        f"{loaded.name}: {len(rows):,} snippets, {BATCH_SIZE} a batch, float32, {where}, attention "
        f"sdpa in every row; {DISCARDED} steps discarded"
    )


def _measure(loaded, rows, seconds: float, echo) -> dict[str, list[Measured]]:
    compared = ways(loaded.model)
    measured, total = {way.name: [] for way in compared}, REPETITIONS * len(compared)
    for done, way in enumerate(compared * REPETITIONS, start=1):
        fresh = dataclasses.replace(loaded, model=copy.deepcopy(loaded.model))
        one = way.measure(fresh, rows, seconds)
        measured[way.name].append(one)
        echo(f"[{done}/{total}] {way.name}: {one.tokens:,.0f} tokens/s")
    return measured


def _spread(values: np.ndarray, form: str) -> str:
    return f"{np.median(values):{form}} [{values.min():{form}}-{values.max():{form}}]"


def _notes(measured: dict[str, list[Measured]], peak: float) -> list[str]:
    passes = {
        name: float(np.median([each.remembering for each in repetitions]))
        for name, repetitions in measured.items()
    }
    passed = "; ".join(f"{name}: {seconds:.1f} s" for name, seconds in passes.items() if seconds)
    notes = [
        "Medians [range of the repetitions]; tokens are real ones, GFLOP/s count padding too.",
        f"The peak is {peak:.0f} GFLOP/s, the best matrix product here; {AIM:.0%} is aimed at.",
    ]
    if passed:
        notes.append(
            f"What is frozen ran once ({passed}): counted in, spread over {EPOCHS} epochs."
        )
    return notes


def _report_accuracy(corpus: Corpus, labelled, echo) -> None:
    echo(f"accuracy: {SEEDS} seeds, {EPOCHS} epochs each")
    difference, (plain, ours) = compare_accuracy(corpus, labelled, range(SEEDS))
    echo(f"plain Trainer {plain:.3f}, fit with all blocks {ours:.3f} on validation")
    echo(f"fit minus plain: {difference}, {difference.seeds} seeds, {difference.items} snippets")
