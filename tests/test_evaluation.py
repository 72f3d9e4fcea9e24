"""Numbers and their intervals, against scipy, nervaluate and hand calculation."""

import math

import numpy as np
import pytest
from scipy import stats

from helpers import evaluation
from helpers.evaluation import gain


def test_accuracy_and_macro_f1_by_hand():
    labels, predictions = [0, 0, 0, 1], [0, 0, 1, 1]
    assert evaluation.accuracy(predictions, labels) == 0.75
    # class 0: precision 1, recall 2/3, F1 4/5; class 1: precision 1/2, recall 1, F1 2/3
    assert evaluation.macro_f1(predictions, labels) == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_bootstrap_of_an_accuracy_is_the_binomial_distribution():
    # The mean of resampled 0/1 outcomes is Binomial(n, p)/n exactly, so its quantiles are known.
    correct = np.arange(400) < 300
    interval = evaluation.bootstrap_interval(correct, draws=40_000)
    low, high = stats.binom(400, 0.75).ppf([0.025, 0.975]) / 400
    assert interval.value == 0.75
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.0026)


def scipys(columns, statistic, paired=False):
    """The ends of the same interval, from scipy's bootstrap."""
    found = stats.bootstrap(
        columns, statistic, paired=paired, vectorized=True, n_resamples=20_000,
        method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    return found.low, found.high


def test_bootstrap_agrees_with_scipys_on_scores_that_are_not_zero_or_one():
    scores = np.random.default_rng(0).gamma(2.0, size=200)
    ours = evaluation.bootstrap_interval(scores, draws=20_000)
    assert (ours.low, ours.high) == pytest.approx(scipys((scores,), np.mean), abs=0.01)


def test_wilson_interval_by_its_formula():
    z, n, p = 1.959964, 50, 0.8
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    got = evaluation.wilson_interval(40, 50)
    assert (got.low, got.high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_paired_difference_of_one_seed_agrees_with_scipys_paired_bootstrap():
    rng = np.random.default_rng(0)
    first = (rng.random(300) < 0.8).astype(float)
    second = np.where(rng.random(300) < 0.2, 1 - first, first)
    ours = evaluation.paired_difference(first, second, draws=20_000)
    theirs = scipys((first, second), lambda a, b, axis: np.mean(a - b, axis=axis), paired=True)
    assert ours.value == pytest.approx(first.mean() - second.mean())
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=0.005)
    assert (ours.seeds, ours.items) == (1, 300)


def test_seeds_that_disagree_widen_the_interval():
    # Every item has the same gap within a seed, so items alone would give an interval of width 0.
    same = np.zeros((2, 100))
    gaps = np.stack([np.ones(100), np.zeros(100)])
    both = evaluation.paired_difference(gaps, same)
    assert both.value == 0.5 and (both.low, both.high) == (0.0, 1.0)
    assert evaluation.paired_difference(gaps[0], same[0]).low == 1.0


def test_a_method_without_seeds_is_compared_with_every_seed_of_the_other():
    seeds = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    fixed = np.array([1, 0, 0, 0])
    difference = evaluation.paired_difference(seeds, fixed)
    assert difference.value == pytest.approx(9 / 12 - 1 / 4)
    assert difference.seeds == 3


@pytest.mark.parametrize("n", [1, 3, 4, 8, 9, 1_066])
def test_outcomes_survive_the_way_through_hex_digits(n):
    bits = np.random.default_rng(n).random(n) < 0.5
    text = evaluation.bits_to_hex(bits)
    assert len(text) == math.ceil(n / 4)
    assert (evaluation.hex_to_bits(text, n) == bits).all()


def test_hex_digits_by_hand_and_a_wrong_length():
    assert evaluation.bits_to_hex([1, 0, 1, 0, 1, 1]) == "ac"
    with pytest.raises(ValueError, match="2 hex digits cannot hold 20"):
        evaluation.hex_to_bits("ac", 20)


def test_perplexity_weights_tokens_not_documents():
    # 10 tokens at ln 2 and 30 at ln 8: exp((10 ln 2 + 30 ln 8) / 40) = 2 ** (100 / 40)
    nll = [10 * math.log(2), 30 * math.log(8)]
    assert evaluation.perplexity(nll, [10, 30]) == pytest.approx(2**2.5)
    with pytest.raises(ValueError, match="at least one"):
        evaluation.perplexity([], [])


def test_span_f1_by_hand_counts_wrong_borders_as_two_mistakes():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"]]
    guess = [["B-PER", "O", "O", "B-LOC"], ["B-ORG", "O"]]
    counts, types = evaluation.span_counts(guess, gold)
    assert counts == [[1, 1, 1], [0, 1, 0]]
    assert types == {"LOC": [1, 0, 0], "PER": [0, 1, 1], "ORG": [0, 1, 0]}
    assert evaluation.span_f1(counts) == pytest.approx(2 / (2 + 2 + 1))
    assert evaluation.span_f1([[0, 0, 0]]) == 0.0


def sentences(seed, shape=(120,)):
    """Counts as a tagger leaves them: none to three names a sentence, found, invented or missed."""
    return np.random.default_rng(seed).poisson([0.8, 0.3, 0.5], size=(*shape, 3))


def test_the_interval_of_an_f1_agrees_with_a_loop_over_drawn_sentences():
    counts, rng = sentences(0), np.random.default_rng(1)
    loop = [evaluation.span_f1(counts[rng.integers(0, 120, 120)]) for _ in range(8_000)]
    low, high = np.quantile(loop, [0.025, 0.975])
    interval = evaluation.bootstrap_f1(counts)
    assert interval.value == evaluation.span_f1(counts)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.006)
    assert interval == evaluation.bootstrap_f1(counts)


def test_the_paired_f1_difference_agrees_with_a_loop_over_seeds_and_sentences():
    first = sentences(0, (3, 120))
    second = first + sentences(1, (3, 120)) * [0, 1, 1] * (np.arange(3) > 0)[:, None, None]
    rng, loop = np.random.default_rng(2), []
    for _ in range(6_000):
        drawn, seeds = rng.integers(0, 120, 120), rng.integers(0, 3, 3)
        gaps = [
            evaluation.span_f1(first[s, drawn]) - evaluation.span_f1(second[s, drawn])
            for s in seeds
        ]
        loop.append(np.mean(gaps))
    low, high = np.quantile(loop, [0.025, 0.975])
    ours = evaluation.paired_f1_difference(first, second)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.01)
    assert (ours.seeds, ours.items) == (3, 120)


def test_the_difference_of_two_f1_by_hand():
    first = [[[1, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 1, 1]]]  # F1 of the seeds: 1 and 1/2
    second = [[0, 0, 1], [1, 0, 0]]  # 2/3, repeated for both seeds
    difference = evaluation.paired_f1_difference(first, second)
    assert difference.value == pytest.approx(0.75 - 2 / 3)
    assert evaluation.paired_f1_difference(second, first).value == pytest.approx(2 / 3 - 0.75)


def test_a_relative_change_is_that_of_the_means_and_pairs_the_items():
    before = np.array([[1, 1, 0, 0, 0, 0, 0, 0]] * 3, bool)
    after = np.array([[1, 1, 1, 0, 0, 0, 0, 0]] * 3, bool)
    more = evaluation.paired_relative_change(after, before, draws=500)
    assert more.value == pytest.approx(0.5)  # three right where two were
    assert more.low >= 0  # never fewer: whoever is right before is right after, in every draw
    fewer = evaluation.paired_relative_change(~after, ~before[:1], draws=500)
    assert fewer.value == pytest.approx(5 / 6 - 1) and fewer.high <= 0
    with pytest.raises(ValueError, match="no ratio"):
        evaluation.paired_relative_change(after, np.zeros_like(after))


# --- perplexity


def documents(seed: int, n: int = 60, seeds: int | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tokens = np.random.default_rng(99).integers(20, 200, size=n)
    loss = rng.normal(3.0, 0.4, size=(n,) if seeds is None else (seeds, n)) * tokens
    return np.stack([loss, np.broadcast_to(tokens, loss.shape)], axis=-1)


def test_the_interval_of_a_perplexity_agrees_with_scipys():
    nll, tokens = documents(1).T
    ours = evaluation.perplexity_interval(documents(1), draws=20_000)
    theirs = scipys(
        (nll, tokens), lambda a, b, axis: np.exp(a.sum(axis=axis) / b.sum(axis=axis)), paired=True
    )
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=0.1)


def test_a_change_by_hand():
    # Sums 6 and 5 over 10 tokens: exp(0.6) / exp(0.5) - 1.
    first, second = [[2.0, 4], [4.0, 6]], [[3.0, 4], [2.0, 6]]
    found = evaluation.paired_perplexity_change(first, second, draws=500)
    assert found.value == pytest.approx(math.exp(0.1) - 1)
    # The worst draws hold one document twice: exp(-1 / 4) - 1 and exp(2 / 6) - 1.
    assert found.low == pytest.approx(math.exp(-0.25) - 1)
    assert found.high == pytest.approx(math.exp(1 / 3) - 1)


def test_seeds_are_averaged_change_by_change_and_drawn_too():
    base = documents(4)
    shifts = (-0.1, 0.0, 0.3)
    tuned = np.stack([base + [shift, 0] * base[:, 1:] for shift in shifts])
    found = evaluation.paired_perplexity_change(tuned, base, draws=2_000)
    assert found.value == pytest.approx(np.mean(np.expm1(shifts)))
    # All that varies here is which seeds are drawn; one draw in 27 holds the same seed thrice.
    assert found.low == pytest.approx(math.expm1(-0.1))
    assert found.high == pytest.approx(math.expm1(0.3))
    pairs = evaluation.paired_perplexity_change(tuned, tuned + 0, draws=100)
    assert (pairs.low, pairs.high) == (0, 0)


# --- what every comparison has in common


def test_methods_that_answer_alike_differ_by_nothing_in_every_draw():
    spans, texts = sentences(0, (3, 50)), documents(2, seeds=3)
    right = sentences(4, (3, 50))[:, :, 0] > 0
    for found in (
        evaluation.paired_difference(right, right, draws=200),
        evaluation.paired_f1_difference(spans, spans.copy(), draws=200),
        evaluation.paired_perplexity_change(texts, texts.copy(), draws=200),
    ):
        assert (found.value, found.low, found.high) == (0, 0, 0)


def test_pairing_sees_a_gap_that_two_separate_intervals_would_hide():
    first = np.random.default_rng(0).random(1_000) < 0.75
    second = first & (np.arange(1_000) > 20)
    named = sentences(3)
    missed = named + [0, 0, 1] * (np.arange(120) < 8)[:, None]  # a few more names missed
    for paired, alone in (
        (evaluation.paired_difference(first, second), evaluation.bootstrap_interval(first)),
        (evaluation.paired_f1_difference(named, missed), evaluation.bootstrap_f1(named)),
    ):
        assert paired.low > 0 and paired.high - paired.low < (alone.high - alone.low) / 2


OUTCOMES, SPANS = np.ones((2, 4)), np.ones((2, 4, 3))


@pytest.mark.parametrize(
    ("compare", "first", "second", "named"),
    [
        (evaluation.paired_difference, OUTCOMES[0], np.ones(5), r"\(1, 4\).*\(1, 5\)"),
        (evaluation.paired_difference, OUTCOMES, np.ones((3, 4)), "seeds"),
        (evaluation.paired_relative_change, OUTCOMES, np.ones((3, 4)), "seeds"),
        (evaluation.paired_relative_change, OUTCOMES, 0 * OUTCOMES, "ratio"),
        (evaluation.paired_f1_difference, SPANS[0], np.ones((5, 3)), r"\(1, 4, 3\).*\(1, 5, 3\)"),
        (evaluation.paired_f1_difference, SPANS, np.ones((3, 4, 3)), "seeds"),
        (evaluation.paired_f1_difference, SPANS, np.ones((4, 2)), r"\(4, 2\)"),
        (evaluation.paired_f1_difference, SPANS, [], "one or more"),
        (evaluation.paired_perplexity_change, documents(0), documents(0, n=59), r"59, 2\)"),
        (evaluation.paired_perplexity_change, documents(0), documents(0) + [0, 1], "tokens"),
        (evaluation.paired_perplexity_change, documents(0), [[1.0, 2], [0.0, 0]], "Document 1"),
        (evaluation.paired_perplexity_change, documents(0), [[math.nan, 2]], "Document 0 .*finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, first, second, named):
    with pytest.raises(ValueError, match=named):
        compare(first, second, draws=10)


# --- curves are compared on the seeds and budgets that both have


def test_a_method_of_three_seeds_is_paired_with_the_first_three_of_five():
    rng = np.random.default_rng(0)
    five, three = rng.random((5, 40)) < 0.7, rng.random((3, 40)) < 0.6
    measured = gain({100: five}, {100: three}, 100, draws=200)
    assert measured == evaluation.paired_difference(five[:3], three, draws=200)
    assert measured.value == pytest.approx(five[:3].mean() - three.mean())


def test_a_run_without_chance_stands_for_every_seed_of_the_other():
    rng = np.random.default_rng(1)
    three, once = rng.random((3, 40)) < 0.7, rng.random((1, 40)) < 0.6
    assert gain({9: three}, {9: once}, 9, draws=100).seeds == 1
    measured = gain({9: three}, {9: once}, 9, draws=100, settled=True)
    assert measured == evaluation.paired_difference(three, once, draws=100)
    five = rng.random((5, 40)) < 0.5  # where both have seeds, both are cut to those they share
    assert gain({9: three}, {9: five}, 9, draws=100, settled=True).seeds == 3


def test_curves_of_spans_are_compared_by_f1():
    perfect, empty = np.tile([1, 0, 0], (2, 5, 1)), np.tile([0, 0, 1], (2, 5, 1))
    assert gain({32: perfect}, {32: empty}, 32, draws=50).value == 1.0


def test_a_budget_that_one_of_them_lacks_is_refused_with_those_both_have():
    ones = np.ones((1, 4), bool)
    with pytest.raises(ValueError, match="1,000 labels are not in both curves; these are: 32"):
        gain({32: ones, 1_000: ones}, {32: ones}, 1_000)
