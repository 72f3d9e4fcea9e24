"""Cheapest first: compare methods on validation, draw the learning curve, say what would pay."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers import evaluation
from helpers.data import ranked_by_hash
from helpers.finetune.pipeline import train
from helpers.finetune.results import Trained
from helpers.finetune.settings import METHODS
from helpers.finetune.splitting import Parts
from helpers.runtime import Profile

__all__ = ["Curve", "advise", "best", "learning_curve", "subset", "try_methods"]


@dataclass
class Curve:
    """Answers on validation against the number of examples trained on."""

    method: str
    outcomes: dict[int, np.ndarray]  # examples -> right or wrong, (seeds, validation examples)

    def values(self) -> dict[int, np.ndarray]:
        """Examples -> accuracy of each seed."""
        return {n: outcomes.mean(axis=1) for n, outcomes in self.outcomes.items()}


def try_methods(
    parts: Parts,
    methods: Iterable[str] | None = None,
    *,
    seed: int = 0,
    profile: Profile | None = None,
    echo: Callable[[str], object] | None = print,
    **settings,
) -> list[Trained]:
    """Train methods on the same texts, the cheapest first, and compare them on validation.

    Args:
        parts, seed, profile: as for `train`.
        methods: some of those of the task; all without.
        echo: told a line a method as soon as it is trained; None for silence.
        settings: for every method but the linear one.
    """
    order = METHODS[parts.train.task]
    tried: list[Trained] = []
    for method in sorted(methods or order, key=order.index):
        own = {} if method == "linear" else settings
        trained = train(parts, method, seed=seed, profile=profile, **own)
        line = (
            f"{method:8} {trained.validation}, {trained.seconds:.0f} s, "
            f"{trained.sizes[0]:,} parameters trained"
        )
        if tried:
            gain = trained.validation.minus(tried[-1].validation)
            line += f"\n         over {tried[-1].method}: {gain}"
        if echo:
            echo(line)
        tried.append(trained)
    return tried


def best(tried: Sequence[Trained]) -> Trained:
    """The method to choose: the cheapest one that no dearer one beats for certain.

    A dearer method replaces the choice when its whole paired 95 % interval on validation lies
    above (of perplexity, below): what cannot be told apart from luck is not worth its price.
    """
    chosen = tried[0]
    for trained in tried[1:]:
        gain = trained.validation.minus(chosen.validation)
        surely_better = gain.high < 0 if trained.validation.metric == "perplexity" else gain.low > 0
        if surely_better:
            chosen = trained
    return chosen


def subset(parts: Parts, n: int, seed: int) -> Parts:
    """Parts with only `n` examples in train: nested by size, every class in its proportion."""
    data, share = parts.train, n / len(parts.train)
    most = {g: max(2, round(share * size)) for g, size in Counter(data.groups).items()}
    chosen: dict[int, list[int]] = {}
    for i, rank in ranked_by_hash([data.key(i) for i in range(len(data))], data.groups, seed):
        if rank < most[data.groups[i]]:
            chosen.setdefault(data.groups[i], []).append(i)
    rows = [i for group in chosen.values() for i in group]
    return Parts(data.take(rows), parts.validation, parts.test_size, parts.test_share)


def learning_curve(
    parts: Parts,
    method: str,
    sizes: Sequence[int] | None = None,
    *,
    seeds: Iterable[int] = (0,),
    profile: Profile | None = None,
    whole: Trained | None = None,
    **settings,
) -> Curve:
    """Train one method on more and more of train, always judged on the same validation.

    Args:
        parts, method, profile, settings: as for `train`, of a classification.
        sizes: examples to train on; without it an eighth, a quarter, a half and all.
        seeds: of the drawing and of the training.
        whole: a model trained on all of train already; it stands for the first seed there.
    """
    everything = len(parts.train)
    seeds = list(seeds)
    outcomes: dict[int, np.ndarray] = {}
    for n in sorted(set(sizes or [round(everything * s) for s in (0.125, 0.25, 0.5, 1)])):
        rows = []
        for seed in seeds:
            if whole and seed == seeds[0] and n == everything:
                trained = whole
            else:
                part = subset(parts, n, seed) if n < everything else parts
                trained = train(part, method, seed=seed, profile=profile, **settings)
            rows.append(trained.validation.outcomes)
        outcomes[n] = np.array(rows, float)
    return Curve(method, outcomes)


def advise(curves: Sequence[Curve]) -> str:
    """Say whether more labels, or a larger model, would pay, and how sure that is.

    More labels: what the last doubling brought, paired over seeds and examples. It is a guess
    that the next one brings about as much or less. A larger model: what the dearest method has
    over the cheapest, both on all examples. Curves are given with the cheapest method first.
    """
    lines = []
    for curve in curves:
        *_, half, whole = sorted(curve.outcomes)
        gain = evaluation.paired_difference(curve.outcomes[whole], curve.outcomes[half])
        if gain.low > 0:
            verdict = "more labels pay: the curve still climbs"
        elif gain.high < 0.02:
            verdict = "more labels of this kind would hardly pay: the curve is flat"
        else:
            verdict = "too close to tell: validation is too small for what is left to gain"
        lines.append(f"{curve.method}, from {half:,} to {whole:,} examples: {gain}; {verdict}.")
    if len(curves) > 1:
        cheap, dear = (curve.outcomes[max(curve.outcomes)] for curve in (curves[0], curves[-1]))
        seeds = min(len(cheap), len(dear))  # a cheap method may have more
        gain = evaluation.paired_difference(dear[:seeds], cheap[:seeds])
        sure = "pays" if gain.low > 0 else "has not shown that it pays"
        methods = f"{curves[-1].method} over {curves[0].method}, all examples"
        lines.append(f"{methods}: {gain}; a larger model {sure}.")
    return "\n".join(lines)
