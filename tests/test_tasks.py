"""The grid asks two things: both have budgets, judges and rows, and neither disturbs the other."""

import dataclasses

import numpy as np
import pytest

from helpers import data, evaluation, grid, ledger
from helpers.commands import cli
from helpers.methods import FILM_NER, Corpus, Fitted, Method
from helpers.runtime import PROFILES, Run


@pytest.fixture(scope="module")
def corpus():
    return Corpus(PROFILES["smoke"])


def silent(corpus, labelled, seed, **_):
    """A tagger that finds nothing."""
    return Fitted(lambda token_lists: [[0] * len(t) for t in token_lists], 1, 2, 3)


def a_run(profile):
    return Run("test", PROFILES[profile], 0, "cpu", "float32", 1)


def a_tagger(**changes):
    facts = {"era": "classical", "name": "silent", "fit": silent, "task": FILM_NER}
    facts["configurations"] = ({"part": 0.0}, {"part": 1.0})
    return Method(**(facts | changes))


def test_budgets_of_sentences_are_nested_and_the_same_everywhere():
    corpus = Corpus(PROFILES["cpu"])
    drawn = {n: FILM_NER.labelled(corpus, n, 1)["text"][:] for n in (0, 32, 100, 320, "all")}
    assert [len(texts) for texts in drawn.values()] == [0, 32, 100, 320, 600]
    assert drawn[100][:32] == drawn[32] and drawn["all"][:320] == drawn[320]
    assert FILM_NER.labelled(corpus, 32, 1)["text"][:] == drawn[32]
    other = FILM_NER.labelled(corpus, 320, 2)["text"][:]
    assert 100 < len(set(other) & set(drawn[320])) < 240  # chance: 320 * 320 / 600
    assert set(drawn["all"]) == set(corpus.names["train"]["text"])


def test_more_sentences_than_there_are_is_an_error_with_both_numbers(corpus):
    with pytest.raises(ValueError, match="budget of 500 sentences is more than the 240"):
        FILM_NER.labelled(corpus, 500, 0)


def test_a_tagger_is_judged_by_whole_names_in_every_sentence():
    sentences = {"tokens": [["A", "Bee", "."], ["See", "Dee"]], "tags": [[0, 7, 0], [7, 8]]}
    found = FILM_NER.judge(sentences, [[0, 7, 0], [7, 0]])
    assert found.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert FILM_NER.score(found) == pytest.approx(0.5)
    # An I- without its B- still spells a name.
    assert FILM_NER.judge(sentences, [[0, 8, 0], [8, 8]]).tolist() == [[1, 0, 0], [1, 0, 0]]


def test_a_tagger_is_given_tokens_and_no_tags(corpus):
    given = []

    def spy(corpus, labelled, seed, part):
        assert labelled.column_names == corpus.names["train"].column_names
        return Fitted(lambda rows: given.extend(rows) or [[0] * len(r) for r in rows], 1, 1, 1)

    grid.run_cell(a_tagger(fit=spy), corpus, 32, 0, {"part": 0})
    assert given == corpus.names["validation"]["tokens"][:]


def test_a_cell_of_a_tagger_holds_counts_and_its_row_their_f1(corpus):
    cell = grid.run_cell(a_tagger(), corpus, 32, 1, {"part": 0.0}, "test")
    truth = [[data.NER_TAGS[tag] for tag in tags] for tags in corpus.names["test"]["tags"]]
    names = [sum(tag.startswith("B-") for tag in tags) for tags in truth]
    assert cell.correct.tolist() == [[0, 0, n] for n in names]
    row = grid.to_row(a_run("smoke"), a_tagger(), corpus, cell)
    assert (row["task"], row["metric"], row["labels"]) == ("film_ner", "span_f1", 32)
    assert row["value"] == 0 and row["correct"] == cell.correct.tolist()


def knows(part, split):
    """A tagger that knows the tags of the first sentences of a split by heart."""

    def fit(corpus, labelled, seed, part=part):
        rows = corpus.names[split]
        known = dict(zip(map(tuple, rows["tokens"][:]), rows["tags"][:], strict=True))
        few = dict(list(known.items())[: int(part * len(known))])
        return Fitted(lambda rows: [few.get(tuple(t), [0] * len(t)) for t in rows], 1, 1, 1)

    return fit


def test_the_choice_takes_the_best_f1_on_validation(corpus):
    method = a_tagger(
        fit=knows(0, "validation"), configurations=tuple({"part": p} for p in (0.2, 0.9, 0.5))
    )
    choice = grid.choose(method, corpus)
    assert choice["configuration"] == {"part": 0.9}
    assert all(set(entry) == {"configuration", "span_f1"} for entry in choice["tried"])
    perfect = a_tagger(fit=knows(0, "validation"), configurations=({"part": 1.0}, {"part": 0.2}))
    assert grid.choose(perfect, corpus)["tried"][0]["span_f1"] == {"100": 1.0}


def test_a_learning_curve_of_a_tagger_can_be_paired_with_another(corpus):
    curve = grid.learning_curve(a_tagger(), corpus, (32, 100), {"part": 0.0}, "test")
    assert {n: rows.shape for n, rows in curve.items()} == {32: (2, 80, 3), 100: (2, 80, 3)}
    method = a_tagger(fit=knows(1.0, "test"))
    other = grid.learning_curve(method, corpus, (32,), {"part": 1.0}, "test")
    assert evaluation.paired_f1_difference(other[32], curve[32], 100).value == 1.0


def run_grid(tmp_path, part, *names):
    said = []
    grid.run_missing(
        part, names, profile="smoke", path=tmp_path / "grid.jsonl",
        choices_path=tmp_path / "choices.json", echo=said.append,
    )  # fmt: skip
    return said, ledger.read(tmp_path / "grid.jsonl")


def test_the_grid_of_names_is_filled_resumed_and_left_alone_by_the_other(tmp_path):
    _, reviews = run_grid(tmp_path, "classical", "naive Bayes")
    said, both = run_grid(tmp_path, "named_entities", "CRF on features")
    assert said[0].startswith("named_entities: 4 of 4 cells") and both[:4] == reviews
    path = tmp_path / "grid.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    said, rows = run_grid(tmp_path, "named_entities", "CRF on features")
    assert said[0].startswith("named_entities: 1 of 4 cells") and len(rows) == 8
    assert rows[-1]["value"] == both[-1]["value"]
    said, rows = run_grid(tmp_path, "classical", "naive Bayes")
    assert said[0].startswith("classical: 0 of 4 cells") and len(rows) == 8


def test_each_task_reads_its_own_lines_of_one_ledger(tmp_path, corpus):
    path = tmp_path / "grid.jsonl"
    tagger = a_tagger(name="twins")
    reader = Method("twins", "classical", ({},), lambda *_: Fitted(np.zeros_like, 1, 1, 1))
    run = a_run("cpu")
    outcomes = ((tagger, np.array([[1, 0, 1]] * 400)), (reader, np.arange(1_066) < 800))
    for method, correct in outcomes:
        for seed in range(2):
            cell = grid.run_cell(a_tagger(), corpus, 32, seed, {})
            cell = dataclasses.replace(cell, correct=correct)
            ledger.append(grid.to_row(run, method, corpus, cell), path)
    counts = grid.reference_curve("twins", path, task=FILM_NER)
    assert counts[32].shape == (2, 400, 3) and FILM_NER.score(counts[32]) == pytest.approx(2 / 3)
    bits = grid.reference_curve("twins", path)
    assert bits[32].shape == (2, 1_066) and bits[32].sum() == 1_600
    with pytest.raises(ValueError, match="'CRF' for film_ner; it has twins"):
        grid.reference_curve("CRF", path, task=FILM_NER)


def test_the_command_line_reaches_the_taggers(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path))
    command = ["grid", "named_entities", "--profile", "smoke", "--dry-run"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.startswith("named_entities: 20 of 20 cells to run")
    assert cli.main(["grid", "stone age"]) == 2
    assert "named_entities" in capsys.readouterr().err
