"""Instant checks: right answers pass, usual slips get their hint, a solution may not be a stub."""

import math

import numpy as np
import pytest
import torch

from helpers.lessons import CHECKS, Hint, check
from helpers.runtime import PROFILES, ROOT, Run

EVERY = [(notebook, name) for notebook, checks in CHECKS.items() for name in checks]


def a_run(notebook="00_start_here", strict=False):
    return Run(notebook, PROFILES["smoke"], 0, "cpu", 1, strict_exercises=strict)


# --- what a learner sees


def unanswered(X, y, *others):
    """A stub."""
    return ...


def half_done(X, y, *others):
    """Some code of the learner, and the stub's last line."""
    if len(X):
        y = y + 1
    return ...


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("1", ...), ("1", None), ("2", unanswered), ("2", half_done), ("2", lambda *_: ...)],
)
def test_an_open_exercise_is_named_in_a_lesson_and_fails_a_solution(exercise, answer, capsys):
    check(a_run(), exercise, answer)
    assert "not attempted" in capsys.readouterr().out
    with pytest.raises(Hint, match="not attempted"):
        check(a_run("solutions/00_start_here", strict=True), exercise, answer)


def test_a_wrong_answer_gets_a_hint_and_fails_a_solution(capsys):
    check(a_run(), "1", "a")
    assert "compare the first and the third bar" in capsys.readouterr().out
    with pytest.raises(Hint, match="Exercise 1 in solutions"):
        check(a_run("solutions/00_start_here", strict=True), "1", "a")


def test_an_answer_that_uses_an_ellipsis_to_index_is_not_a_stub(capsys):
    check(a_run("01_classical_ml"), "2", lambda X, domain: X[..., 0])
    assert "not attempted" not in capsys.readouterr().out


def test_a_right_answer_is_praised_also_in_a_bonus_and_in_its_solutions(capsys):
    check(a_run(), "1", "b")
    check(a_run("bonus/inside_bert"), "1", (64 * 63 // 2, 2 * (32 * 31 // 2)))
    run = a_run("solutions/inside_bert", strict=True)
    check(run, "1", (64 * 63 // 2, 2 * (32 * 31 // 2)))
    assert capsys.readouterr().out.count("Exercise 1: correct.") == 3
    with pytest.raises(Hint, match="not attempted"):
        check(run, "2", ...)


def test_code_of_the_learner_that_fails_is_reported_not_raised(capsys):
    check(a_run(), "2", lambda *arguments: 1 / 0)
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_an_unknown_exercise_lists_those_there_are():
    with pytest.raises(KeyError, match="1, 2, 3"):
        check(a_run(), "9", 1)


def test_every_notebook_with_exercises_has_its_checks_and_its_solutions():
    places = [ROOT / "notebooks", ROOT / "notebooks" / "bonus"]
    names = {path.stem for place in places for path in place.glob("*.ipynb")}
    assert {path.stem for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb")} == names
    assert {name if name in CHECKS else name.partition("_")[0] for name in names} == set(CHECKS)


@pytest.mark.parametrize(("notebook", "name"), EVERY)
def test_every_check_refuses_nonsense(notebook, name):
    for nonsense in ("?", lambda *a, **k: np.zeros(2)):
        with pytest.raises(Exception) as caught:
            CHECKS[notebook][name](nonsense)
        assert str(caught.value), "gives no help"


# --- right answers and usual slips, notebook by notebook


def gradient(X, y, weights, start, pull):
    error = 1 / (1 + np.exp(-(X @ weights))) - y
    return X.T @ error / len(y) + pull * (weights - start)


def items_drawn_apart(first, second, draws, rng):
    i, j = (rng.integers(0, len(first), size=(draws, len(first))) for _ in range(2))
    return np.percentile(first[i].mean(axis=1) - second[j].mean(axis=1), [2.5, 97.5])


def all_at_once(layers, num_epochs, top_rate, factor):
    count = len(layers)
    return [{name: top_rate / factor ** (count - 1 - i) for i, name in enumerate(layers)}] * 4


MATRICES, BIASES, NORMS = 4 * 384**2 + 2 * 384 * 1536, 5 * 384 + 1536, 4 * 384


def tags_of(spans, size, first="B"):
    tags = ["O"] * size
    for start, end, kind in spans:
        tags[start:end] = [f"{first}-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return tags


def last_piece(tags, word_ids, size):
    found = ["O"] * size
    for tag, word in zip(tags, word_ids, strict=True):
        if word is not None:
            found[word] = tag
    return found


def likelihood(logs, ids, start, per_token=False, before=1, skip=0):
    rows = logs[start + skip - before : len(logs) - before]
    found = rows.gather(1, ids[start + skip :, None])
    return found.mean() if per_token else found.sum()


def pays_after(shown, tuned, training):
    return math.floor(training / (shown - tuned)) + 1 if shown > tuned else None


def merged(W, A, B, alpha, rank_stabilized=False):
    return W + alpha / (math.sqrt(len(A)) if rank_stabilized else len(A)) * B @ A


def merged_in_place(W, A, B, alpha, rank_stabilized=False):
    W += alpha / len(A) * B @ A
    return W


def fits(parameters, trained, gigabytes, order=("full", "lora", "qlora")):
    needs = {"full": 16 * parameters, "lora": 2 * parameters + 14 * trained}
    needs["qlora"] = 0.52 * parameters + 14 * trained
    return next((method for method in order if needs[method] <= gigabytes * 1e9), None)


def length(arrays):
    return np.sqrt(sum((array**2).sum() for array in arrays))


def change(before, after):
    return [after[name] - before[name] for name in before]


def movement(before, after):
    return length(change(before, after)) / length(before.values())


def per_column(shapes):
    return sum(a + b for a, b in shapes)


RIGHT = [
    ("00", "2", gradient),
    ("02", "1", 30 * 2 + 2),  # three widths of ten filters, two classes, two biases
    ("02", "2", lambda logs: np.exp(-np.mean(logs))),
    ("04", "1", MATRICES + BIASES + NORMS),
    ("04", "2", lambda scores, real: scores.masked_fill(~real, -torch.inf).softmax(dim=-1)),
    ("05", "1", tags_of),
    ("06", "1", (4096, 12)),
    ("06", "2", likelihood),
    ("07", "1", lambda shapes, r: r * per_column(shapes)),
    ("07", "2", merged),
    ("07", "3", fits),
    ("inside_bert", "2", movement),
    ("lora_choices", "1", 16),
    ("lora_choices", "2", lambda shapes, budget: budget // per_column(shapes)),
]


@pytest.mark.parametrize(("notebook", "exercise", "answer"), RIGHT)
def test_a_right_answer_passes(notebook, exercise, answer):
    assert CHECKS[notebook][exercise](answer)


SLIPS = {
    ("00", "2"): [(lambda *a: gradient(*a[:4], 0), "look at the pull")],
    ("00", "3"): [(items_drawn_apart, "use them for both methods")],
    ("02", "1"): [(60, "bias"), (22, "every filter"), (1_000 * 50 + 6_030 + 62, "frozen")],
    ("02", "2"): [
        (lambda logs: np.exp(np.mean(logs)), "mind the sign"),
        (lambda logs: -np.mean(logs), "take its exponential"),
        (lambda logs: np.mean(np.exp(-np.asarray(logs))), "average the surprises first"),
    ],
    ("02", "3"): [(all_at_once, "in epoch 0 these layers train: head")],
    ("04", "1"): [
        (MATRICES, "biases"),
        (MATRICES + BIASES, "norms"),
        (MATRICES + NORMS, "every matrix"),
    ],
    ("04", "2"): [
        (lambda scores, real: scores.softmax(dim=-1) * real, "not weights after it"),
        (lambda scores, real: scores.softmax(dim=-1), "still has weight"),
    ],
    ("04", "3"): [
        (lambda lengths, size: 1 - np.mean(lengths) / max(lengths), "its own longest"),
        (lambda lengths, size: 0.5, "not 0.5"),
    ],
    ("05", "1"): [
        (lambda spans, size: tags_of(spans, size, "I"), "should be"),
        (lambda spans, size: [], "one tag a word"),
    ],
    ("05", "2"): [(last_piece, "first piece")],
    ("05", "3"): [(lambda scores, pairs: list(scores.argmax(axis=1)), "score of each pair")],
    ("06", "1"): [((4096, math.log(4096)), "nats"), ((12, 4096), "one over"), (12, "two numbers")],
    ("06", "2"): [
        (lambda *a, **k: likelihood(*a, before=0), "row i"),
        (lambda *a, **k: likelihood(*a, skip=1), "first token counts"),
        (lambda logs, ids, start, per_token=False: likelihood(logs, ids, start), "with per_token"),
    ],
    ("06", "3"): [
        (lambda shown, tuned, t: t / (shown - tuned) if shown > tuned else None, "whole number"),
        (lambda shown, tuned, t: pays_after(max(shown, tuned), min(shown, tuned), t), "give None"),
    ],
    ("07", "1"): [
        (lambda shapes, r: sum(a * b for a, b in shapes), "numbers in W"),
        (lambda shapes, r: sum(r * a for a, _ in shapes), "one of the two"),
        (lambda shapes, r: r * r * per_column(shapes), "it should be"),
        (lambda shapes, r: r * per_column(shapes) or None, "give 0"),
    ],
    ("07", "2"): [
        (merged_in_place, "W itself was changed"),
        (lambda W, A, B, alpha, rank_stabilized=False: W + B @ A, "is scaled"),
        (lambda W, A, B, alpha, rank_stabilized=False: W + alpha * B @ A, "divided by the rank"),
        (lambda W, A, B, alpha, rank_stabilized=False: W - B @ A, "in this order"),
        (lambda W, A, B, alpha, rank_stabilized=False: merged(W, A, B, alpha), "root of the rank"),
    ],
    ("07", "3"): [
        (lambda p, t, g: fits(p, t, g, ("qlora", "lora", "full")), "it should be 'full'"),
        (lambda p, t, g: fits(p, 0, g) or "qlora", "it should be"),
        (lambda p, t, g: fits(p, p, g), "it should be 'lora'"),
    ],
    ("inside_bert", "1"): [
        ((64 * 63, 992), "counts once"),
        ((2016, 496), "there are two"),
        ((2016, 1024), "within each class"),
        ((496, 240), "63 others"),
        (2016, "two numbers"),
    ],
    ("inside_bert", "2"): [
        (lambda b, a: np.mean([movement({k: b[k]}, {k: a[k]}) for k in b]), "mean of the"),
        (lambda b, a: sum(length([c]) for c in change(b, a)) / 27, "squared lengths do"),
        (lambda b, a: movement(b, a) ** 2, "root is missing"),
        (lambda b, a: length(change(b, a)) / length(a.values()), "before, not after"),
    ],
    ("lora_choices", "1"): [(128, "root of the rank"), (2, "should be 2"), ("much", "a number")],
    ("lora_choices", "2"): [
        (lambda shapes, budget: budget / per_column(shapes), "should give"),
        (lambda shapes, budget: max(1, budget // per_column(shapes)), "should give 0"),
    ],
}


@pytest.mark.parametrize(
    ("notebook", "exercise", "answer", "hint"),
    [(*key, *slip) for key, slips in SLIPS.items() for slip in slips],
)
def test_a_usual_slip_gets_its_hint(notebook, exercise, answer, hint):
    with pytest.raises(Hint, match=hint):
        CHECKS[notebook][exercise](answer)
