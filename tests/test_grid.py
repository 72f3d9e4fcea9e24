"""The comparison's rules: how methods are declared, planned, chosen, run, judged and resumed."""

import dataclasses
import time

import numpy as np
import pytest

from helpers import data, evaluation, grid, ledger
from helpers.commands import cli
from helpers.grid import missing
from helpers.methods import (
    FILM_NER,
    REVIEWS,
    Corpus,
    Fitted,
    Method,
    classical,
)
from helpers.methods.seeds import EVERY, NO_LABELS, SETTLED
from helpers.runtime import PROFILES, Run

CPU, SMOKE = PROFILES["cpu"], PROFILES["smoke"]


@pytest.fixture(scope="module")
def corpus():
    return Corpus(SMOKE)


def a_run(profile=SMOKE):
    return Run("test", profile, 0, "cpu", 1)


def majority(corpus, labelled, seed, answer):
    """A method that has nothing to learn."""
    return Fitted(lambda texts: np.full(len(texts), answer), 1, 2, 3)


def a_method(**changes):
    facts = {"era": "classical", "name": "majority", "fit": majority}
    facts["configurations"] = ({"answer": 0}, {"answer": 1})
    return Method(**(facts | changes))


def silent(corpus, labelled, seed, **_):
    """A tagger that finds nothing."""
    return Fitted(lambda token_lists: [[0] * len(t) for t in token_lists], 1, 2, 3)


def a_tagger(**changes):
    facts = {"name": "silent", "fit": silent, "task": FILM_NER}
    return a_method(**(facts | {"configurations": ({"part": 0.0}, {"part": 1.0})} | changes))


# --- what is declared and planned -----------------------------------------------------------------


def test_every_declared_method_keeps_the_rules():
    names = []
    for part in grid.PARTS:
        for name, method in grid.methods_of(part).items():
            assert method.name == name and method.era in ledger.ERAS
            assert method.era == part or method.task is FILM_NER
            tried = {str(configuration) for configuration in method.configurations}
            assert 1 <= len(tried) == len(method.configurations) <= 6  # none is tuned harder
            names.append(name)
    assert len(set(names)) == len(names)  # choices are frozen by name
    with pytest.raises(ValueError, match="classical"):
        grid.methods_of("stone age")


@pytest.mark.parametrize("part", grid.PARTS)
def test_the_reference_grid_is_complete_and_its_choices_are_among_what_is_declared(part):
    choices, methods = grid.reference_choices(), grid.methods_of(part).values()
    lacking = grid.missing_cells(methods, Corpus(CPU), ledger.read(ledger.REFERENCE))
    assert not any(lacking.values())
    for method in methods:
        tried = [entry["configuration"] for entry in choices[method.name]["tried"]]
        assert tried == [dict(c) for c in method.configurations]
        assert choices[method.name]["configuration"] in tried


def test_a_plan_is_followed_on_a_laptop_and_cut_down_in_a_trial():
    method = a_method(plan={320: 3, 32: 5, "all": 1})
    assert method.budgets(CPU) == (320, 32, "all")
    assert [len(method.seeds(CPU, budget)) for budget in method.budgets(CPU)] == [3, 5, 1]
    assert [len(a_method(plan=plan).seeds(CPU, "all")) for plan in (EVERY, SETTLED)] == [3, 1]
    assert method.budgets(SMOKE) == (32,) and len(method.seeds(SMOKE, 32)) == 2


def test_budgets_below_the_smallest_run_in_every_profile():
    for plan in (NO_LABELS, {4: 3, 8: 3}):
        assert a_method(plan=plan).budgets(CPU) == a_method(plan=plan).budgets(SMOKE) == (*plan,)
    assert not a_method(plan=NO_LABELS).uses_target and a_method().uses_target


def test_a_trial_of_a_method_without_a_small_budget_runs_its_largest():
    method = a_method(plan={320: 3, 1_000: 1})
    assert method.budgets(SMOKE) == method.choice_budgets(SMOKE) == (100,)


def test_a_choice_is_made_at_the_budgets_of_the_task_or_the_methods_own():
    assert a_method().choice_budgets(CPU) == (100, 1_000)
    assert a_method().choice_budgets(SMOKE) == (100,)
    assert a_tagger(plan={32: 5, 100: 5, "all": 3}).choice_budgets(CPU) == (100, "all")
    assert a_method(chosen_at=(320,)).choice_budgets(CPU) == (320,)
    assert a_method(plan={4: 3, 8: 3}).choice_budgets(CPU) == (8,)


# --- what is drawn and judged ---------------------------------------------------------------------


def test_budgets_of_sentences_are_nested_and_the_same_everywhere():
    corpus = Corpus(CPU)
    drawn = {n: FILM_NER.labelled(corpus, n, 1)["text"][:] for n in (0, 32, 100, 320, "all")}
    assert [len(texts) for texts in drawn.values()] == [0, 32, 100, 320, 600]
    assert drawn[100][:32] == drawn[32] and drawn["all"][:320] == drawn[320]
    assert FILM_NER.labelled(corpus, 32, 1)["text"][:] == drawn[32]
    other = FILM_NER.labelled(corpus, 320, 2)["text"][:]
    assert 100 < len(set(other) & set(drawn[320])) < 240  # chance: 320 * 320 / 600
    assert set(drawn["all"]) == set(corpus.names["train"]["text"])


def test_more_sentences_than_there_are_is_an_error_with_both_numbers(corpus):
    with pytest.raises(ValueError, match="500 sentences .* 240"):
        FILM_NER.labelled(corpus, 500, 0)


def test_a_tagger_is_judged_by_whole_names_in_every_sentence():
    sentences = {"tokens": [["A", "Bee", "."], ["See", "Dee"]], "tags": [[0, 7, 0], [7, 8]]}
    found = FILM_NER.judge(sentences, [[0, 7, 0], [7, 0]])
    assert found.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert FILM_NER.score(found) == pytest.approx(0.5)
    # An I- without its B- still spells a name.
    assert FILM_NER.judge(sentences, [[0, 8, 0], [8, 8]]).tolist() == [[1, 0, 0], [1, 0, 0]]


# --- one cell -------------------------------------------------------------------------------------


def test_a_cell_knows_its_labels_its_outcomes_and_its_cost(corpus):
    cell = grid.run_cell(a_method(), corpus, 32, 1, {"answer": 1}, "test")
    labels = np.array(corpus.reviews["test"]["label"][:])
    assert (cell.correct == (labels == 1)).all()
    assert (cell.labels, cell.seed) == (32, 1) and cell.train.seconds > 0
    everything = grid.run_cell(a_method(), corpus, "all", 0, {"answer": 1})
    assert everything.labels == len(corpus.reviews["train"])


def test_a_trained_cell_answers_another_split_without_training_again(corpus):
    trained = []

    def fit(corpus, labelled, seed):
        trained.append(seed)
        return Fitted(lambda texts: np.zeros(len(texts), int), 1, 1, 1)

    method = a_method(configurations=({},), fit=fit)
    first = grid.run_cell(method, corpus, 32, 1, {})
    second = grid.answer(method, corpus, first, "test")
    assert trained == [1] and second.train == first.train and second.fitted is first.fitted
    assert list(second.correct) == [label == 0 for label in corpus.reviews["test"]["label"]]


def test_what_cells_share_is_prepared_once_and_before_the_clock(corpus):
    made = []

    def prepare(corpus, answer):
        corpus.once("a slow thing", lambda: (made.append(1), time.sleep(0.2)))

    method = a_method(prepare=prepare)
    cells = [grid.run_cell(method, corpus, 32, s, {"answer": 0}) for s in range(2)]
    assert made == [1] and all(cell.train.seconds < 0.15 for cell in cells)


def test_a_row_says_which_labels_of_which_corpus_were_used(corpus):
    method = a_method(uses_source=True)
    cell = grid.run_cell(method, corpus, "all", 0, {"answer": 0}, "test")
    row = grid.to_row(a_run(), method, corpus, cell)
    assert row["labels"] == len(corpus.reviews["train"])
    assert row["source_labels"] == len(corpus.imdb["train"])
    sizes = ("trainable_parameters", "total_parameters", "artefact_bytes")
    assert [row[size] for size in sizes] == [1, 2, 3]


def test_a_cell_of_a_tagger_holds_counts_and_its_row_their_f1(corpus):
    cell = grid.run_cell(a_tagger(), corpus, 32, 1, {"part": 0.0}, "test")
    truth = [[data.NER_TAGS[tag] for tag in tags] for tags in corpus.names["test"]["tags"]]
    names = [sum(tag.startswith("B-") for tag in tags) for tags in truth]
    assert cell.correct.tolist() == [[0, 0, n] for n in names]
    row = grid.to_row(a_run(), a_tagger(), corpus, cell)
    assert (row["task"], row["metric"], row["labels"]) == ("film_ner", "span_f1", 32)
    assert row["value"] == 0 and row["correct"] == cell.correct.tolist()


@pytest.mark.parametrize("method", classical.METHODS, ids=lambda method: method.name)
def test_every_classical_method_beats_chance_on_what_it_was_trained_on(corpus, method):
    texts, labels = (corpus.reviews if method.uses_target else corpus.imdb)["train"][:].values()
    for configuration in (method.configurations[0], method.configurations[-1]):
        labelled = corpus.labelled("all" if method.uses_target else 0, 0)
        if method.prepare:
            method.prepare(corpus, **configuration)
        fitted = method.fit(corpus, labelled, 0, **configuration)
        assert np.mean(fitted.predict(texts) == np.array(labels)) > 0.6
        assert fitted.total_parameters > 100 and fitted.artefact_bytes > 400


# --- choices and curves ---------------------------------------------------------------------------


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
    tagger = a_tagger(fit=knows("validation"), configurations=({"part": 0.2}, {"part": 1.0}))
    choice = grid.choose(tagger, corpus)
    assert choice["tried"][1] == {"configuration": {"part": 1.0}, "span_f1": {"100": 1.0}}
    assert choice["configuration"] == {"part": 1.0}


def knows(split):
    """A tagger that knows the tags of the first sentences of a split by heart."""

    def fit(corpus, labelled, seed, part):
        rows = corpus.names[split]
        known = dict(zip(map(tuple, rows["tokens"][:]), rows["tags"][:], strict=True))
        few = dict(list(known.items())[: int(part * len(known))])
        return Fitted(lambda rows: [few.get(tuple(t), [0] * len(t)) for t in rows], 1, 1, 1)

    return fit


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


def test_learning_curves_have_a_row_for_each_seed_and_can_be_paired(corpus):
    curve = grid.learning_curve(a_method(), corpus, (32, 100), {"answer": 0})
    assert {n: rows.shape for n, rows in curve.items()} == {32: (2, 80), 100: (2, 80)}
    nothing = grid.learning_curve(a_tagger(), corpus, (32,), {"part": 0.0}, "test")[32]
    everything = grid.learning_curve(
        a_tagger(fit=knows("test")), corpus, (32,), {"part": 1.0}, "test"
    )[32]
    assert nothing.shape == everything.shape == (2, 80, 3)
    assert evaluation.paired_f1_difference(everything, nothing, 100).value == 1.0


def test_reference_curves_are_stacked_by_budget_and_unknown_methods_named():
    curve = grid.reference_curve("NB-SVM")
    assert [len(rows) for rows in curve.values()] == [5, 5, 5, 3, 3, 1]
    assert {rows.shape[1] for rows in curve.values()} == {1_066}
    with pytest.raises(ValueError, match="naive Bayes"):
        grid.reference_curve("astrology")


def test_each_task_reads_its_own_lines_of_one_ledger(tmp_path, corpus):
    path = tmp_path / "grid.jsonl"
    tagger, reader = a_tagger(name="twins"), a_method(name="twins")
    cell = grid.run_cell(a_method(), corpus, 32, 0, {"answer": 0})
    outcomes = ((tagger, np.array([[1, 0, 1]] * 400)), (reader, np.arange(1_066) < 800))
    for method, correct in outcomes:
        for seed in range(2):
            made = dataclasses.replace(cell, correct=correct, seed=seed)
            ledger.append(grid.to_row(a_run(CPU), method, corpus, made), path)
    counts = grid.reference_curve("twins", path, task=FILM_NER)
    assert counts[32].shape == (2, 400, 3) and FILM_NER.score(counts[32]) == pytest.approx(2 / 3)
    bits = grid.reference_curve("twins", path)
    assert bits[32].shape == (2, 1_066) and bits[32].sum() == 1_600
    assert REVIEWS.score(bits[32]) == pytest.approx(800 / 1_066)
    with pytest.raises(ValueError, match="film_ner; it has twins"):
        grid.reference_curve("CRF", path, task=FILM_NER)


# --- the whole grid -------------------------------------------------------------------------------


def run_grid(tmp_path, *names, part="classical", **options):
    """Run what is missing; gives what was said, and the ledger's rows."""
    said = []
    code = grid.run_missing(
        part,
        names,
        profile="smoke",
        path=tmp_path / "grid.jsonl",
        choices_path=tmp_path / "choices.json",
        echo=said.append,
        **options,
    )
    assert code == 0
    return said, ledger.read(tmp_path / "grid.jsonl")


def cells(rows):
    return [(row["labels"], row["seed"]) for row in rows]


@pytest.mark.slow
def test_the_grid_fills_what_is_missing_of_a_part_and_leaves_the_others_alone(tmp_path):
    taggers = {"part": "named_entities"}
    _, reviews = run_grid(tmp_path, "naive Bayes")
    assert cells(reviews) == [(32, 0), (32, 1), (100, 0), (100, 1)]
    said, both = run_grid(tmp_path, "CRF on features", **taggers)
    assert said[0].startswith("named_entities: 4 of 4 cells") and both[:4] == reviews
    path = tmp_path / "grid.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[6:]), encoding="utf-8")
    said, rows = run_grid(tmp_path, "CRF on features", **taggers)
    assert said[0].startswith("named_entities: 1 of 4 cells") and len(rows) == 8
    assert cells(rows)[-1] == (32, 1) and rows[-1]["value"] == both[5]["value"]
    assert run_grid(tmp_path, "naive Bayes")[0] == ["classical: 0 of 4 cells to run, profile smoke"]


def test_a_frozen_configuration_is_not_chosen_again(tmp_path, monkeypatch):
    run_grid(tmp_path, "naive Bayes")
    monkeypatch.setattr(missing, "choose", lambda *a: pytest.fail("chose a second time"))
    (tmp_path / "grid.jsonl").unlink()
    assert len(run_grid(tmp_path, "naive Bayes")[1]) == 4


def test_a_dry_run_counts_and_runs_nothing(tmp_path):
    said, rows = run_grid(tmp_path, dry_run=True)
    assert rows == [] and len(said) == 1 and "29 of 29 cells" in said[0]


def test_changed_configurations_are_chosen_and_run_anew(tmp_path, monkeypatch):
    run_grid(tmp_path, "naive Bayes")
    time.sleep(1.1)  # rows and choices are dated to the second
    method = grid.methods_of("classical")["naive Bayes"]
    changed = dataclasses.replace(method, configurations=method.configurations[:2])
    monkeypatch.setattr(missing, "methods_of", lambda part: {"naive Bayes": changed})
    said, rows = run_grid(tmp_path, "naive Bayes")
    assert said[0].startswith("classical: 4 of 4 cells") and len(rows) == 8


def test_a_repetition_that_is_interrupted_resumes_and_does_not_mix_two_choices(
    tmp_path, monkeypatch
):
    _, before = run_grid(tmp_path, "naive Bayes")
    time.sleep(1.1)
    original, calls = missing.run_cell, []

    def dies_after_one_cell(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(missing, "run_cell", dies_after_one_cell)
    with pytest.raises(KeyboardInterrupt):
        run_grid(tmp_path, "naive Bayes", again=True)
    monkeypatch.setattr(missing, "run_cell", original)
    said, rows = run_grid(tmp_path, "naive Bayes")
    assert said[0].startswith("classical: 3 of 4 cells")
    assert rows[:4] == before and len(rows) == 8 and len(ledger.latest(rows)) == 4


def test_a_trial_in_smoke_stays_out_of_the_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path))
    before = ledger.REFERENCE.read_bytes()
    grid.run_missing("classical", ["naive Bayes"], profile="smoke", echo=lambda line: None)
    assert ledger.REFERENCE.read_bytes() == before
    assert len(ledger.read(tmp_path / "grid" / "ledger.jsonl")) == 4


def test_the_command_line_reaches_every_part_and_lists_what_there_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path))
    command = ["grid", "named_entities", "--profile", "smoke", "--dry-run"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.startswith("named_entities: 20 of 20 cells to run")
    for wrong, known in (
        (["stone age"], "named_entities"),
        (["classical", "--method", "astrology"], "naive Bayes, TF-IDF"),
        (["classical", "--profile", "huge"], "smoke, cpu, gpu"),
    ):
        assert cli.main(["grid", *wrong]) == 2
        assert known in capsys.readouterr().err
