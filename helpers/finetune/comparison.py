"""Cheapest first: compare methods on validation, draw the learning curve, say what would pay."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers import evaluation
from helpers.data import ranked_by_hash
from helpers.finetune.fitting import Trained, train
from helpers.finetune.settings import METHODS
from helpers.finetune.splitting import Parts
from helpers.runtime import Profile

__all__ = ["Curve", "advise", "best", "learning_curve", "try_methods"]


@dataclass
class Curve:
    """Correctness on validation against the number of training examples."""

    method: str
    outcomes: dict[int, np.ndarray]  # examples -> right or wrong, (seeds, validation examples)

    def values(self) -> dict[int, np.ndarray]:
        """Accuracy of each seed, by number of training examples."""
        return {n: outcomes.mean(axis=1) for n, outcomes in self.outcomes.items()}


def try_methods(
    parts: Parts,
    methods: Iterable[str] | None = None,
    *,
    seed: int = 0,
    profile: Profile | None = None,
    **settings,
) -> list[Trained]:
    """Train methods (all of the task by default), cheapest first, and print how they compare.

    They are compared on validation; `settings` apply to every method but the linear one.
    """
    order = METHODS[parts.train.task]
    tried: list[Trained] = []
    for method in sorted(methods or order, key=order.index):
        own = {} if method == "linear" else settings
        trained = train(parts, method, seed=seed, profile=profile, **own)
        cost = f"{trained.seconds:.0f} s, {trained.sizes[0]:,} parameters trained"
        print(f"{method:8} {trained.validation}, {cost}")
        if tried:
            gain = trained.validation.minus(tried[-1].validation)
            print(f"         over {tried[-1].method}: {gain}")
        tried.append(trained)
    return tried


def best(tried: Sequence[Trained]) -> Trained:
    """Choose the cheapest method that no dearer one clearly beats.

    A dearer method replaces it only if its whole paired 95 % interval on validation lies above 0
    (below, for perplexity): a gain that may be luck is not worth its price.
    """
    chosen = tried[0]
    for trained in tried[1:]:
        gain = trained.validation.minus(chosen.validation)
        if gain.high < 0 if trained.validation.metric == "perplexity" else gain.low > 0:
            chosen = trained
    return chosen


def subset(parts: Parts, n: int, seed: int) -> Parts:
    """Keep `n` training examples, each class in its proportion; smaller draws are nested."""
    data, groups, share = parts.train, parts.train.groups, n / len(parts.train)
    most = {group: max(2, round(share * size)) for group, size in Counter(groups).items()}
    chosen: dict[int, list[int]] = {}
    for i, rank in ranked_by_hash(data.hashes(), groups, seed):
        if rank < most[groups[i]]:
            chosen.setdefault(groups[i], []).append(i)
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
    """Train one method on growing parts of train, judged on the same validation each time.

    Args:
        parts, method, profile, settings: as for `train`; the task must be classification.
        sizes: numbers of examples; by default an eighth, a quarter, a half and all.
        seeds: for drawing the examples and for training.
        whole: a model already trained on all of train; it is reused for the first seed.
    """
    everything, seeds = len(parts.train), list(seeds)
    sizes = sizes or [round(everything * share) for share in (0.125, 0.25, 0.5, 1)]
    outcomes: dict[int, np.ndarray] = {}
    for n in sorted(set(sizes)):
        rows = []
        for seed in seeds:
            trained = whole if n == everything and seed == seeds[0] else None
            if trained is None:
                part = subset(parts, n, seed) if n < everything else parts
                trained = train(part, method, seed=seed, profile=profile, **settings)
            rows.append(trained.validation.outcomes)
        outcomes[n] = np.array(rows, float)
    return Curve(method, outcomes)


def advise(curves: Sequence[Curve]) -> str:
    """Say whether more labels or a larger model would pay, and how sure that is.

    More labels: the gain of the last doubling, paired over seeds and examples; the next doubling
    is assumed to bring as much or less. Larger model: the last curve against the first, both on
    all examples, so give the cheapest method first.
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
