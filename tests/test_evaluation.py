"""Numbers and their intervals, against scipy, scikit-learn and hand calculation."""

import math

import numpy as np
import pytest
from scipy import stats

from helpers import evaluation


def test_accuracy_and_macro_f1_by_hand():
    labels, predictions = [0, 0, 0, 1], [0, 0, 1, 1]
    assert evaluation.accuracy(predictions, labels) == 0.75
    # class 0: precision 1, recall 2/3, F1 4/5; class 1: precision 1/2, recall 1, F1 2/3
    assert evaluation.macro_f1(predictions, labels) == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_a_wrong_number_of_predictions_is_an_error_with_both_numbers():
    with pytest.raises(ValueError, match="3 predictions for 4 labels"):
        evaluation.accuracy([1, 0, 1], [1, 0, 1, 0])


def test_bootstrap_of_an_accuracy_is_the_binomial_distribution():
    # The mean of resampled 0/1 outcomes is Binomial(n, p)/n exactly, so its quantiles are known.
    correct = np.arange(400) < 300
    interval = evaluation.bootstrap_interval(correct, draws=40_000)
    low, high = stats.binom(400, 0.75).ppf([0.025, 0.975]) / 400
    assert interval.value == 0.75
    assert interval.low == pytest.approx(low, abs=0.0026)
    assert interval.high == pytest.approx(high, abs=0.0026)


def test_bootstrap_agrees_with_scipys_on_scores_that_are_not_zero_or_one():
    scores = np.random.default_rng(0).gamma(2.0, size=200)
    ours = evaluation.bootstrap_interval(scores, draws=20_000)
    theirs = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_the_bootstrap_repeats_itself_and_refuses_an_empty_test_set():
    correct = [True] * 30 + [False] * 10
    assert evaluation.bootstrap_interval(correct) == evaluation.bootstrap_interval(correct)
    with pytest.raises(ValueError, match="no test items"):
        evaluation.bootstrap_interval([])


def test_wilson_interval_by_its_formula():
    z, n, p = 1.959964, 50, 0.8
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    got = evaluation.wilson_interval(40, 50)
    assert (got.low, got.high) == (
        pytest.approx(centre - half, abs=1e-6),
        pytest.approx(centre + half, abs=1e-6),
    )


def test_paired_difference_of_one_seed_agrees_with_scipys_paired_bootstrap():
    rng = np.random.default_rng(0)
    first = (rng.random(300) < 0.8).astype(float)
    second = np.where(rng.random(300) < 0.2, 1 - first, first)
    ours = evaluation.paired_difference(first, second, draws=20_000)
    theirs = stats.bootstrap(
        (first, second),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert ours.value == pytest.approx(first.mean() - second.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.005)
    assert ours.high == pytest.approx(theirs.high, abs=0.005)
    assert (ours.seeds, ours.items) == (1, 300)


def test_pairing_makes_the_interval_narrower_where_methods_agree_on_most_items():
    rng = np.random.default_rng(0)
    first = rng.random(1_000) < 0.75
    second = first.copy()
    second[:20] ^= True
    paired = evaluation.paired_difference(first, second)
    alone = evaluation.bootstrap_interval(first)
    assert paired.high - paired.low < (alone.high - alone.low) / 2


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


def test_outcomes_that_cannot_be_paired_are_refused_with_their_shapes():
    with pytest.raises(ValueError, match=r"\(1, 4\).*\(1, 5\)"):
        evaluation.paired_difference([1, 0, 1, 0], [1, 0, 1, 0, 1])
    with pytest.raises(ValueError, match="same seeds"):
        evaluation.paired_difference(np.ones((2, 4)), np.ones((3, 4)))


def test_mcnemar_is_the_sign_test_on_the_items_where_they_differ():
    first = np.array([1] * 9 + [0] * 1 + [1] * 20, bool)
    second = np.array([0] * 9 + [1] * 1 + [1] * 20, bool)
    # P(at most 1 or at least 9 heads in 10 tosses) = 2 * (1 + 10) / 1024
    assert evaluation.mcnemar(first, second) == pytest.approx(22 / 1024)
    assert evaluation.mcnemar(first, first) == 1.0


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


def conlleval_spans(tags):
    """Spans by the rules of the CoNLL-2000 script: a chunk starts at B, after O, or at a change."""
    spans, start = set(), None
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        last = tags[i - 1].partition("-")[2] if i else ""
        begins = prefix == "B" or (prefix == "I" and (start is None or last != kind))
        if start is not None and (prefix == "O" or begins):
            spans.add((last, start, i - 1))
            start = None
        if begins:
            start = i
    return spans


def test_span_counts_follow_the_conll_conventions_on_random_tags():
    rng = np.random.default_rng(0)
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    guess, gold = (
        [list(rng.choice(tags, p=[0.5, 0.15, 0.15, 0.1, 0.1], size=12)) for _ in range(200)]
        for _ in range(2)
    )
    counts, types = evaluation.span_counts(guess, gold)
    for row, a, b in zip(counts, guess, gold, strict=True):
        found, true = conlleval_spans(a), conlleval_spans(b)
        assert row == [len(found & true), len(found - true), len(true - found)]
    assert np.sum(counts, axis=0).tolist() == np.sum(list(types.values()), axis=0).tolist()


def test_span_f1_by_hand_counts_wrong_borders_as_two_mistakes():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"]]
    guess = [["B-PER", "O", "O", "B-LOC"], ["B-ORG", "O"]]
    counts, types = evaluation.span_counts(guess, gold)
    assert counts == [[1, 1, 1], [0, 1, 0]]
    assert types == {"LOC": [1, 0, 0], "PER": [0, 1, 1], "ORG": [0, 1, 0]}
    assert evaluation.span_f1(counts) == pytest.approx(2 / (2 + 2 + 1))
    assert evaluation.span_f1([[0, 0, 0]]) == 0.0


def test_sentences_of_another_length_are_named():
    with pytest.raises(ValueError, match="Sentence 1: 1 predicted tags for 2 words"):
        evaluation.span_counts([["O"], ["O"]], [["O"], ["O", "O"]])


def test_parameters_are_counted_once_when_tied_and_split_by_trainable():
    import torch

    body, head = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    body.requires_grad_(False)
    model = torch.nn.ModuleList([body, head, head])
    assert evaluation.count_parameters(model) == (10, 26)


def test_intervals_print_as_people_read_them():
    difference = evaluation.paired_difference([1, 1, 1, 1], [0, 0, 0, 0])
    assert str(difference) == "+100.0 points [+100.0, +100.0]"
    assert str(evaluation.Interval(0.75, 0.7, 0.8)) == "0.750 [0.700, 0.800]"


def sentences(seed, shape=(120,)):
    """Counts as a tagger leaves them: none to three names a sentence, found, invented or missed."""
    return np.random.default_rng(seed).poisson([0.8, 0.3, 0.5], size=(*shape, 3))


def test_the_interval_of_an_f1_agrees_with_a_loop_over_drawn_sentences():
    counts, rng = sentences(0), np.random.default_rng(1)
    loop = [evaluation.span_f1(counts[rng.integers(0, 120, 120)]) for _ in range(8_000)]
    low, high = np.quantile(loop, [0.025, 0.975])
    interval = evaluation.bootstrap_f1(counts)
    assert interval.value == evaluation.span_f1(counts)
    assert (interval.low, interval.high) == (
        pytest.approx(low, abs=0.006),
        pytest.approx(high, abs=0.006),
    )
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
    assert (ours.low, ours.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    assert (ours.seeds, ours.items) == (3, 120)


def test_the_difference_of_two_f1_by_hand():
    first = [[[1, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 1, 1]]]  # F1 of the seeds: 1 and 1/2
    second = [[0, 0, 1], [1, 0, 0]]  # 2/3, repeated for both seeds
    difference = evaluation.paired_f1_difference(first, second)
    assert difference.value == pytest.approx(0.75 - 2 / 3)
    assert evaluation.paired_f1_difference(second, first).value == pytest.approx(2 / 3 - 0.75)


def test_taggers_that_answer_alike_differ_by_nothing_in_every_draw():
    counts = sentences(0, (3, 50))
    difference = evaluation.paired_f1_difference(counts, counts.copy())
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_pairing_sees_a_gap_that_two_separate_intervals_would_hide():
    first = sentences(3)
    second = first.copy()
    second[:8, 2] += 1  # a few more names missed
    paired = evaluation.paired_f1_difference(first, second)
    alone = evaluation.bootstrap_f1(first)
    assert paired.low > 0 and paired.high - paired.low < (alone.high - alone.low) / 2


def test_counts_that_cannot_be_paired_or_are_none_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 3\).*\(1, 5, 3\)"):
        evaluation.paired_f1_difference(np.ones((4, 3)), np.ones((5, 3)))
    with pytest.raises(ValueError, match="same seeds"):
        evaluation.paired_f1_difference(np.ones((2, 4, 3)), np.ones((3, 4, 3)))
    with pytest.raises(ValueError, match=r"shape \(1, 4, 2\)"):
        evaluation.bootstrap_f1(np.ones((4, 2)))
    with pytest.raises(ValueError, match="one or more"):
        evaluation.bootstrap_f1([])


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
