"""Instant checks: right answers pass, wrong ones get a hint, a solution may not be a stub."""

import importlib
import math

import numpy as np
import pytest

from helpers.lessons import Hint, check
from helpers.runtime import PROFILES, ROOT, Run

NUMBERS = sorted(p.stem.removeprefix("nb") for p in (ROOT / "helpers" / "exercises").glob("nb*.py"))


def a_run(notebook="00_start_here", strict=False):
    return Run(notebook, PROFILES["smoke"], 0, "cpu", "float32", 1, strict_exercises=strict)


def unanswered(X, y):
    """A stub."""
    return ...


@pytest.mark.parametrize("answer", [..., None, unanswered])
def test_an_open_exercise_is_named_in_a_lesson_and_fails_a_solution(answer, capsys):
    check(a_run(), "1", answer)
    assert "not attempted" in capsys.readouterr().out
    with pytest.raises(Hint, match="not attempted"):
        check(a_run("solutions/00_start_here", strict=True), "1", answer)


def test_a_wrong_answer_gets_a_hint_and_fails_a_solution(capsys):
    check(a_run(), "1", "a")
    assert "compare the first and the third bar" in capsys.readouterr().out
    with pytest.raises(Hint, match="Exercise 1 in solutions"):
        check(a_run("solutions/00_start_here", strict=True), "1", "a")


def test_an_answer_that_uses_an_ellipsis_to_index_is_not_a_stub(capsys):
    def first_column(X, domain):
        return X[..., 0]

    check(a_run("01_classical_ml"), "2", first_column)
    assert "not attempted" not in capsys.readouterr().out


def test_a_right_answer_is_praised(capsys):
    check(a_run(), "1", "b")
    assert "correct" in capsys.readouterr().out


def test_code_of_the_learner_that_fails_is_reported_not_raised(capsys):
    check(a_run(), "2", lambda *arguments: 1 / 0)
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_an_unknown_exercise_lists_those_there_are():
    with pytest.raises(KeyError, match="1, 2, 3"):
        check(a_run(), "9", 1)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_check_refuses_nonsense(number):
    for name, exercise in importlib.import_module(f"helpers.lessons.nb{number}").CHECKS.items():
        for nonsense in ("?", lambda *a, **k: np.zeros(2)):
            with pytest.raises(Exception) as caught:
                exercise(nonsense)
            assert str(caught.value), f"exercise {name} of notebook {number} gives no help"


def test_the_leash_accepts_the_formula_and_refuses_a_missing_pull():
    checks = importlib.import_module("helpers.lessons.nb00").CHECKS

    def right(X, y, weights, start, pull):
        error = 1 / (1 + np.exp(-(X @ weights))) - y
        return X.T @ error / len(y) + pull * (weights - start)

    def without_pull(X, y, weights, start, pull):
        return right(X, y, weights, start, 0)

    assert checks["2"](right)
    with pytest.raises(Hint, match="look at the pull"):
        checks["2"](without_pull)


def test_the_paired_interval_refuses_items_drawn_apart():
    checks = importlib.import_module("helpers.lessons.nb00").CHECKS

    def apart(first, second, draws, rng):
        i, j = (rng.integers(0, len(first), size=(draws, len(first))) for _ in range(2))
        return np.percentile(first[i].mean(axis=1) - second[j].mean(axis=1), [2.5, 97.5])

    with pytest.raises(Hint, match="use them for both methods"):
        checks["3"](apart)


def test_the_second_notebook_tells_apart_the_usual_slips():
    checks = importlib.import_module("helpers.lessons.nb02").CHECKS
    head = 30 * 2 + 2  # three widths of ten filters, two classes, two biases
    assert checks["1"](head)
    for slip, hint in ((60, "bias"), (22, "every filter"), (1_000 * 50 + 6_030 + head, "frozen")):
        with pytest.raises(Hint, match=hint):
            checks["1"](slip)
    slips = (
        (lambda logs: np.exp(np.mean(logs)), "mind the sign"),
        (lambda logs: -np.mean(logs), "take its exponential"),
        (lambda logs: np.mean([np.exp(-log) for log in logs]), "average the surprises first"),
    )
    for slip, hint in slips:
        with pytest.raises(Hint, match=hint):
            checks["2"](slip)

    def all_at_once(layers, num_epochs, top_rate, factor):
        count = len(layers)
        rates = {name: top_rate / factor ** (count - 1 - i) for i, name in enumerate(layers)}
        return [rates] * num_epochs

    with pytest.raises(Hint, match="in epoch 0 these layers train: head"):
        checks["3"](all_at_once)


def refused(check, slips):
    for slip, hint in slips:
        with pytest.raises(Hint, match=hint):
            check(slip)


def test_the_fourth_notebook_tells_apart_the_usual_slips():
    checks = importlib.import_module("helpers.lessons.nb04").CHECKS
    matrices = 4 * 384**2 + 2 * 384 * 1536
    biases, norms = 5 * 384 + 1536, 4 * 384
    assert checks["1"](matrices + biases + norms)
    slips = ((matrices, "biases"), (matrices + biases, "norms"), (matrices + norms, "every matrix"))
    refused(checks["1"], slips)

    def set_to_zero(scores, real):
        return scores.softmax(dim=-1) * real

    def forgotten(scores, real):
        return scores.softmax(dim=-1)

    slips = ((set_to_zero, "not weights after it"), (forgotten, "still has weight"))
    refused(checks["2"], slips)

    def one_length(lengths, batch_size):
        return 1 - sum(lengths) / (len(lengths) * max(lengths))

    refused(checks["3"], ((one_length, "its own longest"), (lambda lengths, size: 0.5, "not 0.5")))


def test_the_fifth_notebook_tells_apart_the_usual_slips():
    checks = importlib.import_module("helpers.lessons.nb05").CHECKS

    def without_b(spans, size):
        tags = ["O"] * size
        for start, end, kind in spans:
            tags[start:end] = [f"I-{kind}"] * (end - start)
        return tags

    refused(checks["1"], ((without_b, "should be"), (lambda spans, size: [], "one tag a word")))

    def last_piece(tags, word_ids, size):
        found = ["O"] * size
        for tag, word in zip(tags, word_ids, strict=True):
            if word is not None:
                found[word] = tag
        return found

    refused(checks["2"], ((last_piece, "first piece"),))
    greedy = (lambda scores, pairs: list(scores.argmax(axis=1)), "score of each pair")
    refused(checks["3"], (greedy,))


def test_the_sixth_notebook_tells_apart_the_usual_slips():
    checks = importlib.import_module("helpers.lessons.nb06").CHECKS
    assert checks["1"]((4096, 12))
    slips = (((4096, math.log(4096)), "nats"), ((12, 4096), "one over"), (12, "two numbers"))
    refused(checks["1"], slips)

    def unshifted(logs, ids, start, per_token=False):
        return logs[start:].gather(1, ids[start:, None]).sum()

    def from_start_on(logs, ids, start, per_token=False):
        return logs[start:-1].gather(1, ids[start + 1 :, None]).sum()

    def never_divided(logs, ids, start, per_token=False):
        return logs[start - 1 : -1].gather(1, ids[start:, None]).sum()

    slips = ((unshifted, "row i"), (from_start_on, "first token counts"))
    refused(checks["2"], (*slips, (never_divided, "with per_token")))

    def not_whole(shown, tuned, training):
        return training / (shown - tuned) if shown > tuned else None

    def even_when_slower(shown, tuned, training):
        return int(training / abs(shown - tuned)) + 1 if shown != tuned else None

    slips = ((not_whole, "whole number"), (even_when_slower, "give None"))
    refused(checks["3"], slips)


def test_a_bonus_finds_its_checks_by_its_whole_name(capsys):
    check(a_run("bonus/inside_bert"), "1", (64 * 63 // 2, 2 * (32 * 31 // 2)))
    check(a_run("bonus/inside_bert"), "2", ...)
    assert capsys.readouterr().out.startswith("Exercise 1: correct.")
    for path in (ROOT / "notebooks" / "bonus").glob("*.ipynb"):
        assert importlib.import_module(f"helpers.lessons.nb_{path.stem}").CHECKS


def test_every_notebook_with_exercises_has_its_solutions():
    places = [ROOT / "notebooks", ROOT / "notebooks" / "bonus"]
    names = {path.name for place in places for path in place.glob("*.ipynb")}
    assert {path.name for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb")} == names


def test_the_solutions_of_a_bonus_use_its_checks_and_are_strict(capsys):
    run = a_run("solutions/inside_bert", strict=True)
    check(run, "1", (64 * 63 // 2, 2 * (32 * 31 // 2)))
    assert capsys.readouterr().out.startswith("Exercise 1: correct.")
    with pytest.raises(Hint, match="not attempted"):
        check(run, "2", ...)


def test_inside_bert_tells_apart_the_usual_slips():
    checks = importlib.import_module("helpers.lessons.nb_inside_bert").CHECKS
    pairs = (
        ((64 * 63, 992), "counts once"),
        ((2016, 496), "there are two"),
        ((2016, 1024), "within each class"),
        ((496, 240), "63 others"),
        (2016, "two numbers"),
    )
    for slip, hint in pairs:
        with pytest.raises(Hint, match=hint):
            checks["1"](slip)

    def length(arrays):
        return np.sqrt(sum((array**2).sum() for array in arrays))

    def change(before, after):
        return [after[name] - before[name] for name in before]

    assert checks["2"](lambda b, a: length(change(b, a)) / length(b.values()))
    movements = (
        (lambda b, a: np.mean([length([a[k] - b[k]]) / length([b[k]]) for k in b]), "mean of the"),
        (lambda b, a: sum(length([c]) for c in change(b, a)) / 27, "squared lengths do"),
        (lambda b, a: (length(change(b, a)) / length(b.values())) ** 2, "root is missing"),
        (lambda b, a: length(change(b, a)) / length(a.values()), "before, not after"),
    )
    for slip, hint in movements:
        with pytest.raises(Hint, match=hint):
            checks["2"](slip)
