"""How far a mean can be trusted, and whether two methods differ on the same items.

The interval is the middle 95 % of a bootstrap's `draws` (percentile bootstrap, Efron 1979), which
are the same in every call.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

__all__ = ["DRAWS", "Difference", "Interval", "bits_to_hex", "bootstrap_interval", "check_pair"]
__all__ += ["counts_table", "hex_to_bits", "mean_of_drawn_seeds", "middle"]
__all__ += ["paired_difference", "paired_relative_change", "resampled_means", "wilson_interval"]

DRAWS = 10_000


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Difference(Interval):
    """One method minus another on the same items, with how many seeds and items it rests on."""

    seeds: int = 1
    items: int = 0

    def __str__(self) -> str:
        value, low, high = 100 * self.value, 100 * self.low, 100 * self.high
        return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"


def bootstrap_interval(correct: Sequence[bool], draws: int = DRAWS) -> Interval:
    """How far an accuracy could move on another test set of the same size.

    `correct` has one true/false per test item, or any per-item score; ValueError if empty.
    """
    outcomes = np.asarray(correct, dtype=float)
    if outcomes.size == 0:
        raise ValueError("There are no test items to average over.")
    means = resampled_means(outcomes[None], draws, np.random.default_rng(0))
    low, high = middle(means)
    return Interval(float(outcomes.mean()), low, high)


def wilson_interval(successes: int, n: int) -> Interval:
    """The interval of a proportion by formula (Wilson 1927): a check on the bootstrap."""
    bounds = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return Interval(successes / n, float(bounds.low), float(bounds.high))


def paired_difference(first: np.ndarray, second: np.ndarray, draws: int = DRAWS) -> Difference:
    """First method minus second, with an interval over seeds and test items together.

    Each draw picks the same seeds and the same items for both, so that what they share (an easy
    item, a lucky training sample) cancels. With one seed only the items are drawn, and the interval
    says nothing about other seeds.

    Args:
        first, second: outcomes of shape (seeds, items), or (items,) for one seed. A single seed is
            repeated for each seed of the other.

    Raises:
        ValueError: if the shapes do not fit; the message gives both.
    """
    a, b = np.atleast_2d(np.asarray(first, float)), np.atleast_2d(np.asarray(second, float))
    check_pair(a, b, "test items")
    gap = a - b  # (seeds, items); a single seed is broadcast
    rng = np.random.default_rng(0)
    low, high = middle(mean_of_drawn_seeds(resampled_means(gap, draws, rng), rng))
    return Difference(float(gap.mean()), low, high, seeds=len(gap), items=gap.shape[1])


def paired_relative_change(first: np.ndarray, second: np.ndarray, draws: int = DRAWS) -> Interval:
    """First method's mean over the second's, minus one: 0.1 is a tenth more.

    Arguments are those of `paired_difference`; for errors, give outcomes that are 1 where the
    answer is wrong. The second's mean must not be 0.
    """
    a, b = np.atleast_2d(np.asarray(first, float)), np.atleast_2d(np.asarray(second, float))
    check_pair(a, b, "test items")
    if not b.any():
        raise ValueError("The second's outcomes are all 0 and give no ratio.")
    seeds, rng = max(len(a), len(b)), np.random.default_rng(0)
    a, b = (np.broadcast_to(side, (seeds, side.shape[1])) for side in (a, b))
    means = resampled_means(np.concatenate([a, b]), draws, rng)  # (draws, 2 x seeds)
    picked = rng.integers(0, seeds, size=(draws, seeds))
    above, below = (
        np.take_along_axis(part, picked, axis=1).mean(axis=1)
        for part in (means[:, :seeds], means[:, seeds:])
    )
    low, high = middle(above / np.maximum(below, 1e-9) - 1)
    return Interval(float(a.mean() / b.mean() - 1), low, high)


def bits_to_hex(correct: Sequence[bool]) -> str:
    """Pack outcomes into hex digits, first item first, four a digit, zero-padded at the end."""
    bits = np.asarray(correct, dtype=bool)
    return np.packbits(bits).tobytes().hex()[: -(-bits.size // 4)]


def hex_to_bits(text: str, n: int) -> np.ndarray:
    """Unpack `n` outcomes from `bits_to_hex`; a ValueError if the text does not hold as many."""
    if len(text) != -(-n // 4):
        raise ValueError(f"{len(text)} hex digits cannot hold {n} outcomes.")
    packed = bytes.fromhex(text + "0" * (len(text) % 2))
    return np.unpackbits(np.frombuffer(packed, np.uint8))[:n].astype(bool)


def check_pair(first: np.ndarray, second: np.ndarray, items: str) -> None:
    """Refuse two methods, (seeds, items, ...) each, whose items or seeds do not match."""
    seeds = {len(first), len(second)}
    if first.shape[1] != second.shape[1] or (len(seeds) > 1 and 1 not in seeds):
        raise ValueError(
            f"Outcomes of shape {first.shape} and {second.shape} cannot be paired: give both the "
            f"same {items} and the same seeds."
        )


def counts_table(counts, form: tuple[str, ...], items: str) -> np.ndarray:
    """Bring counts of one or several seeds into the shape (seeds, items, columns), or say why not.

    `form` names the columns and `items` the rows (in the plural) in the ValueError.
    """
    table = np.asarray(counts, dtype=float)
    if table.ndim == 2:
        table = table[None]
    if table.ndim != 3 or table.shape[2] != len(form) or table.size == 0:
        raise ValueError(
            f"Counts of shape {np.shape(counts)}: give [{', '.join(form)}] for each of one or more "
            f"{items}."
        )
    return table


def resampled_means(rows: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Average rows over the same items drawn with replacement: (rows, items) -> (draws, rows)."""
    items = rows.shape[1]
    means = np.empty((draws, len(rows)))
    block = max(1, 2_000_000 // items)  # counts of 2 million items at a time: 16 MB
    for start in range(0, draws, block):
        size = min(block, draws - start)
        counts = rng.multinomial(items, np.full(items, 1 / items), size=size)
        means[start : start + size] = counts @ rows.T / items
    return means


def mean_of_drawn_seeds(by_seed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Average each draw, (draws, seeds), over seeds drawn with replacement; a single seed stays."""
    if by_seed.shape[1] > 1:
        picked = rng.integers(0, by_seed.shape[1], size=by_seed.shape)
        by_seed = np.take_along_axis(by_seed, picked, axis=1)
    return by_seed.mean(axis=1)


def middle(draws: np.ndarray) -> tuple[float, float]:
    """The ends of the middle 95 % of the draws."""
    low, high = np.quantile(draws, [(1 - 0.95) / 2, (1 + 0.95) / 2])
    return float(low), float(high)
