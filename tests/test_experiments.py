"""The comparison's rules: how methods are declared, chosen, run and resumed."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers import grid, ledger
from helpers.grid import missing
from helpers.methods import Corpus, Fitted, Method, classical
from helpers.methods.base import NO_LABELS, SETTLED
from helpers.runtime import PROFILES, ROOT, Run


@pytest.fixture(scope="module")
def corpus():
    return Corpus(PROFILES["smoke"])


def majority(corpus, labelled, seed, answer):
    """A method that has nothing to learn."""
    return Fitted(lambda texts: np.full(len(texts), answer), 1, 2, 3)


def a_method(**changes):
    facts = {"era": "classical", "name": "majority", "fit": majority}
    facts["configurations"] = ({"answer": 0}, {"answer": 1})
    return Method(**(facts | changes))


def test_more_than_six_configurations_are_refused():
    with pytest.raises(ValueError, match="majority: 7 configurations"):
        a_method(configurations=tuple({"answer": i} for i in range(7)))


def test_every_declared_method_keeps_the_rules():
    names = []
    for part in grid.PARTS:
        for name, method in grid.methods_of(part).items():
            assert method.name == name and method.era in grid.ERAS
            assert method.era == part or method.task is not grid.REVIEWS
            assert len({str(c) for c in method.configurations}) == len(method.configurations) <= 6
            names.append(name)
    assert len(set(names)) == len(names)  # choices are frozen by name


def test_an_unknown_era_lists_those_there_are():
    with pytest.raises(ValueError, match="classical"):
        grid.methods_of("stone age")


def test_a_cell_knows_its_labels_its_outcomes_and_its_cost(corpus):
    cell = grid.run_cell(a_method(), corpus, 32, 1, {"answer": 1}, "test")
    labels = np.array(corpus.reviews["test"]["label"][:])
    assert (cell.correct == (labels == 1)).all()
    assert (cell.labels, cell.seed) == (32, 1) and cell.train.seconds > 0
    everything = grid.run_cell(a_method(), corpus, "all", 0, {"answer": 1})
    assert everything.labels == len(corpus.reviews["train"])


def test_the_choice_takes_the_best_mean_on_validation_and_the_first_in_a_tie(corpus):
    labels = np.array(corpus.reviews["validation"]["label"][:])

    def some_right(corpus, labelled, seed, right):
        answers = np.where(np.arange(len(labels)) < right, labels, 1 - labels)
        return Fitted(lambda texts: answers, 1, 1, 1)

    method = a_method(fit=some_right, configurations=tuple({"right": n} for n in (10, 60, 60, 20)))
    choice = grid.choose(method, corpus)
    assert choice["configuration"] == {"right": 60}
    accuracies = [entry["accuracy"]["100"] for entry in choice["tried"]]
    assert accuracies == [10 / 80, 60 / 80, 60 / 80, 20 / 80]


def test_a_lone_configuration_is_taken_without_spending_a_label(corpus):
    def never(corpus, labelled, seed, answer):
        raise AssertionError("nothing is to be chosen")

    choice = grid.choose(a_method(fit=never, configurations=({"answer": 1},)), corpus)
    assert choice["configuration"] == {"answer": 1}
    assert choice["tried"] == [{"configuration": {"answer": 1}}]


def test_the_choice_never_sees_a_test_text(corpus):
    test_texts, seen = set(corpus.reviews["test"]["text"]), set()

    def spy(corpus, labelled, seed, answer):
        seen.update(labelled["text"])

        def predict(texts):
            seen.update(texts)
            return np.zeros(len(texts))

        return Fitted(predict, 1, 1, 1)

    grid.choose(a_method(fit=spy), corpus)  # two configurations, so that it trains
    assert seen and not seen & test_texts


def test_what_cells_share_is_prepared_once_and_before_the_clock(corpus):
    made = []

    def prepare(corpus, answer):
        corpus.once("a slow thing", lambda: (made.append(1), time.sleep(0.2)))

    method = a_method(prepare=prepare)
    cells = [grid.run_cell(method, corpus, 32, s, {"answer": 0}) for s in range(2)]
    assert made == [1] and all(cell.train.seconds < 0.15 for cell in cells)


def test_a_row_says_which_labels_of_which_corpus_were_used(corpus):
    run = Run("test", PROFILES["smoke"], 0, "cpu", "float32", 1)
    method = a_method(prepare=lambda corpus, answer: None, uses_source=True)
    cell = grid.run_cell(method, corpus, "all", 0, {"answer": 0}, "test")
    row = grid.to_row(run, method, corpus, cell)
    assert row["labels"] == len(corpus.reviews["train"])
    assert row["source_labels"] == len(corpus.imdb["train"])
    assert (row["trainable_parameters"], row["total_parameters"], row["artefact_bytes"]) == (
        1,
        2,
        3,
    )


def test_one_seed_is_enough_where_nothing_is_random(corpus):
    cpu = PROFILES["cpu"]
    assert len(a_method(plan=SETTLED).seeds(cpu, "all")) == 1
    assert len(a_method().seeds(cpu, "all")) == 3
    assert len(a_method(plan=SETTLED).seeds(cpu, 100)) == 5
    assert a_method(plan=NO_LABELS).budgets(cpu) == (0,)


@pytest.mark.parametrize("name", [method.name for method in classical.METHODS])
def test_every_classical_method_beats_chance_on_what_it_was_trained_on(corpus, name):
    method = grid.methods_of("classical")[name]
    texts, labels = (corpus.imdb if not method.uses_target else corpus.reviews)["train"][:].values()
    for configuration in (method.configurations[0], method.configurations[-1]):
        labelled = corpus.labelled("all" if method.uses_target else 0, 0)
        if method.prepare:
            method.prepare(corpus, **configuration)
        fitted = method.fit(corpus, labelled, 0, **configuration)
        assert np.mean(fitted.predict(texts) == np.array(labels)) > 0.6
        assert fitted.total_parameters > 100 and fitted.artefact_bytes > 400


def test_a_learning_curve_has_a_row_for_each_seed(corpus):
    curve = grid.learning_curve(a_method(), corpus, (32, "all"), {"answer": 0})
    assert {n: rows.shape for n, rows in curve.items()} == {32: (2, 80), 240: (2, 80)}


def run_grid(tmp_path, *names, echo=lambda line: None, **options):
    paths = {"path": tmp_path / "grid.jsonl", "choices_path": tmp_path / "choices.json"}
    return grid.run_missing(
        "classical", names, profile="smoke", echo=echo, **paths, **options
    ), ledger.read(tmp_path / "grid.jsonl")


def test_the_grid_fills_what_is_missing_and_skips_what_is_there(tmp_path):
    code, rows = run_grid(tmp_path, "naive Bayes")
    assert code == 0
    assert [(r["labels"], r["seed"]) for r in rows] == [(32, 0), (32, 1), (100, 0), (100, 1)]
    path = tmp_path / "grid.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines[2:]]), encoding="utf-8")
    said = []
    _, rows = run_grid(tmp_path, "naive Bayes", echo=said.append)
    assert said[0].startswith("classical: 1 of 4 cells")
    assert [(r["labels"], r["seed"]) for r in rows][-1] == (32, 1) and len(rows) == 4


def test_a_frozen_configuration_is_not_chosen_again(tmp_path, monkeypatch):
    run_grid(tmp_path, "naive Bayes")
    monkeypatch.setattr(missing, "choose", lambda *a: pytest.fail("chose a second time"))
    (tmp_path / "grid.jsonl").unlink()
    assert len(run_grid(tmp_path, "naive Bayes")[1]) == 4


def test_a_dry_run_counts_and_runs_nothing(tmp_path):
    said = []
    _, rows = run_grid(tmp_path, echo=said.append, dry_run=True)
    assert rows == [] and len(said) == 1 and "29 of 29 cells" in said[0]


def test_again_replaces_rows_by_later_ones(tmp_path):
    run_grid(tmp_path, "source only")
    _, rows = run_grid(tmp_path, "source only", again=True)
    assert len(rows) == 2 and len(ledger.latest(rows)) == 1


def test_changed_configurations_are_chosen_and_run_anew(tmp_path, monkeypatch):
    run_grid(tmp_path, "naive Bayes")
    time.sleep(1.1)  # rows and choices are dated to the second
    method = grid.methods_of("classical")["naive Bayes"]
    changed = dataclasses.replace(method, configurations=method.configurations[:2])
    monkeypatch.setattr(missing, "methods_of", lambda era: {"naive Bayes": changed})
    said = []
    _, rows = run_grid(tmp_path, "naive Bayes", echo=said.append)
    assert said[0].startswith("classical: 4 of 4 cells") and len(rows) == 8


def test_a_repetition_that_is_killed_does_not_mix_two_choices(tmp_path, monkeypatch):
    run_grid(tmp_path, "naive Bayes")
    time.sleep(1.1)
    original, calls = missing.run_cell, []

    def dies_after_the_choice(method, corpus, budget, seed, configuration, split="validation"):
        calls.append(split)
        if calls.count("test") == 2:
            raise KeyboardInterrupt
        return original(method, corpus, budget, seed, configuration, split)

    monkeypatch.setattr(missing, "run_cell", dies_after_the_choice)
    with pytest.raises(KeyboardInterrupt):
        run_grid(tmp_path, "naive Bayes", again=True)
    monkeypatch.setattr(missing, "run_cell", original)
    said = []
    run_grid(tmp_path, "naive Bayes", echo=said.append)
    assert said[0].startswith("classical: 3 of 4 cells")


def test_a_trial_in_smoke_stays_out_of_the_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path))
    before = ledger.REFERENCE.read_bytes()
    grid.run_missing("classical", ["naive Bayes"], profile="smoke", echo=lambda line: None)
    assert ledger.REFERENCE.read_bytes() == before
    assert len(ledger.read(tmp_path / "grid" / "ledger.jsonl")) == 4


def test_an_unknown_method_or_profile_lists_what_there_is(tmp_path):
    with pytest.raises(ValueError, match="naive Bayes, TF-IDF"):
        run_grid(tmp_path, "astrology")
    with pytest.raises(ValueError, match="smoke, cpu, gpu"):
        grid.run_missing("classical", profile="huge")


GRID = """
import pathlib, sys
from helpers.grid import run_missing
folder = pathlib.Path(sys.argv[1])
run_missing("classical", ["naive Bayes", "TF-IDF + LR"], profile="smoke",
          path=folder / "grid.jsonl", choices_path=folder / "choices.json",
          echo=lambda line: print(line, flush=True))
"""


def test_a_killed_grid_goes_on_and_loses_nothing(tmp_path):
    command = [sys.executable, "-c", GRID, str(tmp_path)]
    options = {"cwd": ROOT, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    for line in child.stdout:
        if line.startswith("[3/"):
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    child.stdout.close()
    before = ledger.read(tmp_path / "grid.jsonl")
    assert 3 <= len(before) < 8
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    after = ledger.read(tmp_path / "grid.jsonl")
    assert after[: len(before)] == before and len(after) == len(ledger.latest(after)) == 8


@pytest.mark.parametrize("part", grid.PARTS)
def test_the_reference_grid_is_complete_and_signed(part):
    choices = grid.reference_choices()
    methods = list(grid.methods_of(part).values())
    missing = grid.missing_cells(methods, Corpus(PROFILES["cpu"]), ledger.read(ledger.REFERENCE))
    assert not any(missing.values())
    for method in methods:
        assert choices[method.name]["configuration"] in [dict(c) for c in method.configurations]


def test_reference_curves_are_stacked_by_budget_and_unknown_methods_named():
    curve = grid.reference_curve("NB-SVM")
    assert [rows.shape for rows in curve.values()] == [(5, 1_066)] * 3 + [(3, 1_066)] * 2 + [
        (1, 1_066)
    ]
    with pytest.raises(ValueError, match="it has naive Bayes"):
        grid.reference_curve("astrology")


def test_a_trained_cell_answers_another_split_without_training_again(corpus):
    trained = []

    def fit(corpus, labelled, seed):
        trained.append(seed)
        return Fitted(lambda texts: np.zeros(len(texts), int), 1, 1, 1)

    method = Method("always zero", "classical", ({},), fit)
    first = grid.run_cell(method, corpus, 32, 1, {})
    second = grid.answer(method, corpus, first, "test")
    assert trained == [1] and second.train == first.train and second.fitted is first.fitted
    assert list(second.correct) == [label == 0 for label in corpus.reviews["test"]["label"]]
