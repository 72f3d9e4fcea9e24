"""A result that was written stays, whatever happens beside it or after it."""

import dataclasses
import json
import multiprocessing
import platform
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest

from helpers import evaluation, ledger
from helpers.runtime import PROFILES, Cost, Run


@pytest.fixture(autouse=True)
def own_results(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path))
    monkeypatch.delenv("COURSE_VERDICTS", raising=False)


def a_run(profile="smoke"):
    return Run("00_start_here", PROFILES[profile], 0, "cpu", 2)


def facts(**changes):
    return {
        "era": "classical",
        "task": "rotten_tomatoes",
        "method": "counts",
        "labels": 100,
        "seed": 0,
        "size": ledger.Size(10, 12, artefact_bytes=40),
        "train": Cost(1.5, 2_000),
        "evaluate": Cost(0.25, 0),
    } | changes


def a_row(run=None, correct=(True, False, True, True), **changes):
    return ledger.accuracy_row(run or a_run(), correct, **facts(**changes))


def a_span_row(counts, **changes):
    return ledger.span_row(a_run(), np.array(counts), **facts(task="film_ner", **changes))


def test_a_row_has_exactly_the_agreed_keys_and_the_figures_of_its_outcomes():
    row = a_row()
    assert tuple(row) == ledger.KEYS
    assert row["value"] == 0.75 and row["low"] <= 0.75 <= row["high"]
    assert evaluation.hex_to_bits(row["correct"], 4).tolist() == [True, False, True, True]
    sizes = ("trainable_parameters", "total_parameters", "artefact_bytes", "peak_memory_bytes")
    assert [row[key] for key in sizes] == [10, 12, 40, 2000]
    assert (row["train_seconds"], row["eval_seconds"]) == (1.5, 0.25)
    assert row["profile"] == "smoke" and row["time"].endswith("Z")
    assert row["precision"] == "float32"
    half = Run("00", replace(PROFILES["cpu"], precision="bfloat16"), 0, "cpu", 2)
    assert a_row(half)["precision"] == "bfloat16"


def test_a_line_from_before_there_were_two_precisions_counts_as_float32():
    ledger.append(a_row())
    path = ledger.ledger_path()
    old = path.read_text(encoding="utf-8").replace('"precision": "float32", ', "")
    path.write_text(old, encoding="utf-8")
    assert "precision" not in old
    [row] = ledger.read()
    assert row["precision"] == "float32"


def test_rows_of_two_precisions_are_both_kept_and_never_pooled():
    rows = [a_row(seed=0), a_row(seed=1) | {"precision": "bfloat16"}, a_row(seed=1)]
    ledger.append([*rows, rows[1]])
    table = ledger.load(reference=False)
    assert sorted(table["precision"]) == ["bfloat16", "float32", "float32"]
    with pytest.raises(ValueError, match="bfloat16 and float32"):
        ledger.outcomes(table)
    with pytest.raises(ValueError, match="bfloat16 and float32"):
        ledger.outcomes(rows[:2])
    plain = ledger.comparable(ledger.read(), "smoke")
    assert [row["seed"] for row in plain] == [0, 1] and len(ledger.outcomes(plain)) == 2
    assert ledger.comparable(rows, "smoke", "bfloat16") == [rows[1]]
    assert ledger.comparable(rows, "cpu") == []


def test_a_line_of_the_reference_is_written_again_byte_for_byte(tmp_path, monkeypatch):
    line = ledger.REFERENCE.read_text(encoding="utf-8").splitlines()[0]
    known = json.loads(line)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(time, "strftime", lambda *_: known["time"])
    run = Run(
        known["notebook"], PROFILES[known["profile"]], 0, "cpu", 2,
        versions=known["versions"], revision=known["revision"],
    )  # fmt: skip
    interval = evaluation.Interval(*(known[key] for key in ("value", "low", "high")))
    sizes = ("trainable_parameters", "total_parameters", "artefact_bytes")
    same = ("era", "task", "method", "labels", "source_labels", "seed")
    entry = ledger.row(
        run,
        ledger.Result(known["metric"], interval, known["correct"]),
        size=ledger.Size(*(known[key] for key in sizes)),
        train=Cost(known["train_seconds"] + 2e-5, known["peak_memory_bytes"]),
        evaluate=Cost(known["eval_seconds"] - 2e-5),
        **{key: known[key] for key in same},
    )
    ledger.append(entry, tmp_path / "again.jsonl")
    written = (tmp_path / "again.jsonl").read_text(encoding="utf-8")
    assert written.replace('"precision": "float32", ', "") == line + "\n"


def test_what_is_appended_is_read_back_whole_and_in_order():
    rows = [a_row(seed=seed) for seed in range(3)]
    ledger.append(rows[0])
    ledger.append(rows[1:])
    assert ledger.read() == rows


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("value", float("nan"), "value is nan"),
        ("value", True, "value is True"),
        ("value", 7.0, "value 7.0 is outside"),
        ("method", ["x"], "method is"),
        ("seed", [1], "seed is"),
        ("labels", None, "labels is None, not int"),
        ("low", None, "low is None"),
        ("era", "x", "era 'x'"),
    ],
)
def test_a_bad_row_is_refused_and_nothing_of_the_call_is_written(key, value, message):
    with pytest.raises(ValueError, match=message):
        ledger.append([a_row(), a_row() | {key: value}])
    assert ledger.read() == []


def test_a_torn_last_line_costs_itself_only():
    ledger.append([a_row(seed=0), a_row(seed=1)])
    path = ledger.ledger_path()
    path.write_bytes(path.read_bytes()[:-40])  # a run killed in the middle of its line
    ledger.append(a_row(seed=2))
    with pytest.warns(UserWarning, match="line 2 left out"):
        assert [row["seed"] for row in ledger.read()] == [0, 2]


def test_a_line_of_broken_bytes_or_foreign_json_is_left_out_with_its_number():
    ledger.append(a_row(seed=0))
    with open(ledger.ledger_path(), "ab") as file:
        file.write(b"\xff\xfe\n[1, 2]\n\n")
    ledger.append(a_row(seed=1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [row["seed"] for row in ledger.read()] == [0, 1]
    assert [str(w.message).split(" left")[0] for w in caught] == [
        "ledger.jsonl, line 2",
        "ledger.jsonl, line 3",
    ]


def _write_twenty(worker):
    for n in range(20):
        ledger.append([a_row(seed=1_000 * worker + n), a_row(seed=1_000 * worker + 500 + n)])


def test_several_processes_lose_none_of_each_others_lines():
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_twenty, args=(w,)) for w in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    seeds = [row["seed"] for row in ledger.read()]
    expected = {1_000 * w + half + n for w in range(2) for half in (0, 500) for n in range(20)}
    assert len(seeds) == 80 and set(seeds) == expected


def test_the_latest_row_of_a_result_counts_and_other_profiles_stand_beside_it():
    again = a_row(correct=(True, True, True, True))
    other = a_row(a_run("cpu"))
    ledger.append([a_row(), a_row(labels=320), other, again])
    table = ledger.load(reference=False)
    assert table["value"].tolist() == [0.75, 0.75, 1.0]
    assert table["profile"].tolist() == ["smoke", "cpu", "smoke"]
    assert set(table["origin"]) == {"yours"}


def test_your_rows_and_the_reference_are_told_apart(tmp_path, monkeypatch):
    reference = tmp_path / "reference.jsonl"
    monkeypatch.setattr(ledger, "REFERENCE", reference)
    ledger.append(a_row(method="theirs"), path=reference)
    ledger.append(a_row(method="mine"))
    table = ledger.load()
    assert dict(zip(table["method"], table["origin"], strict=True)) == {
        "mine": "yours",
        "theirs": "reference",
    }


def test_outcomes_are_stacked_by_seed_whatever_the_order_of_the_lines():
    rows = [a_row(seed=1, correct=(0, 0, 1)), a_row(seed=0, correct=(1, 0, 0))]
    assert [ledger.items_of(row) for row in rows] == [3, 3]
    assert ledger.outcomes(rows).tolist() == [[True, False, False], [False, False, True]]


@pytest.mark.parametrize(
    ("low", "high", "sides", "held"),
    [
        (0.01, 0.03, {"above": 0.0}, True),
        (-0.01, 0.03, {"above": 0.0}, False),
        (0.0, 0.03, {"above": 0.0}, False),
        (-0.04, 0.04, {"above": -0.05, "below": 0.05}, True),
        (-0.04, 0.06, {"above": -0.05, "below": 0.05}, False),
    ],
)
def test_a_claim_holds_only_when_the_whole_interval_is_on_its_side(low, high, sides, held, capsys):
    measured = evaluation.Difference(0.02, low, high, 5, 100)
    assert ledger.expect("a claim", measured, recorded="held", **sides) is held
    printed = capsys.readouterr().out
    assert printed.lstrip().startswith("held" if held else "not held")
    assert ("the stored run recorded: held" in printed) is not held


def test_verdicts_are_left_where_the_runner_looks_for_them(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_VERDICTS", str(tmp_path / "verdicts"))
    measured = evaluation.Difference(0.02, 0.01, 0.03, 5, 100)
    ledger.expect("a claim", measured, above=0, recorded="not held")
    entry = json.loads((tmp_path / "verdicts").read_text(encoding="utf-8"))
    assert (entry["claim"], entry["verdict"], entry["recorded"]) == ("a claim", "held", "not held")


def test_a_claim_without_a_side_or_with_another_record_is_refused():
    measured = evaluation.Difference(0.02, 0.01, 0.03, 5, 100)
    with pytest.raises(ValueError, match="side"):
        ledger.expect("a claim", measured, recorded="held")
    with pytest.raises(ValueError, match="'maybe'"):
        ledger.expect("a claim", measured, above=0, recorded="maybe")


def test_a_span_row_keeps_the_counts_of_each_sentence_and_their_f1():
    ledger.append(a_span_row([[2, 1, 0], [0, 0, 3], [0, 0, 0]]))
    [row] = ledger.read()
    assert row["metric"] == "span_f1" and row["correct"] == [[2, 1, 0], [0, 0, 3], [0, 0, 0]]
    assert row["value"] == pytest.approx(4 / (4 + 1 + 3))
    assert row["low"] <= row["value"] <= row["high"]


def test_span_counts_are_stacked_by_seed_ready_to_be_paired():
    first = [a_span_row([[1, 0, 0], [0, 1, 1]], seed=1), a_span_row([[1, 0, 0], [1, 0, 0]], seed=0)]
    stacked = ledger.outcomes(first)
    assert stacked.shape == (2, 2, 3) and stacked.tolist()[0] == [[1, 0, 0], [1, 0, 0]]
    second = ledger.outcomes([a_span_row([[0, 0, 1], [0, 0, 1]])])
    assert evaluation.paired_f1_difference(stacked, second, 100).value == pytest.approx(0.75)


@pytest.mark.parametrize("counts", [[[2, 1, 1]] * 7, [[0, 0, 0]], [[0, 0, 2], [0, 1, 0]]])
def test_a_row_whose_draws_all_agree_is_not_refused(counts):
    ledger.append(a_span_row(counts))
    assert len(ledger.read()) == 1


def test_a_row_of_perplexity_keeps_what_pairs_it_with_another():
    counts = np.array([[300.123456, 100], [251.5, 75], [98.7654321, 40]])
    ledger.append(ledger.perplexity_row(a_run(), counts, **facts(task="news")))
    [row] = ledger.read()
    assert row["metric"] == "perplexity"
    assert row["correct"] == [[300.1235, 100], [251.5, 75], [98.7654, 40]]
    assert all(type(tokens) is int for _, tokens in row["correct"])
    expected = evaluation.perplexity_interval(row["correct"], draws=200)
    assert (row["value"], row["low"], row["high"]) == dataclasses.astuple(expected)
    assert row["value"] == pytest.approx(evaluation.perplexity(*counts.T), rel=1e-4)


def test_a_row_of_pairs_keeps_each_outcome():
    correct = np.arange(10) % 3 > 0
    ledger.append(ledger.pairs_row(a_run(), correct, **facts(task="minimal_pairs")))
    [row] = ledger.read()
    assert row["metric"] == "minimal_pairs"
    assert row["value"] == 0.6 and row["low"] <= 0.6 <= row["high"]
    assert ledger.outcomes([row], 10).tolist() == [correct.tolist()]
