"""Answers of the film assistant are judged as a reader would judge them."""

import pytest

from helpers import data, evaluation, instructing
from helpers.instructing import judge, refuses

WANTED = '{"people": ["Ann Lee", "Bo Ek"], "titles": ["Dawn"]}'


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ('{"people": ["Ann"], "titles": []}', {"people": ["Ann"], "titles": []}),
        ('\n{"titles": ["Dawn"],\n "people": []}\n', {"people": [], "titles": ["Dawn"]}),
        ('Here you are: {"people": [], "titles": []}', None),
        ('```json\n{"people": [], "titles": []}\n```', None),
        ('{"people": [], "titles": []', None),
        ('{"people": [], "titles": [], "places": []}', None),
        ('{"people": "Ann", "titles": []}', None),
        ('{"people": [7], "titles": []}', None),
        ('["Ann"]', None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_names_are_read_from_the_json_that_was_asked_for_and_from_nothing_else(answer, names):
    assert instructing.read_names(answer) == names


def test_names_are_judged_by_field_whatever_their_order():
    right = judge("json", '{"people": ["Bo Ek", "Ann Lee"], "titles": ["Dawn"]}', WANTED)
    assert right == {"valid": True, "exact": 1.0, "counts": [3, 0, 0]}
    twice = judge("json", '{"people": ["Bo Ek", "Bo Ek", "Ann Lee"], "titles": ["Dawn"]}', WANTED)
    assert twice["exact"] == 0.5
    # Ann is found, Bo missed, Dawn is in the wrong field: invented as a person, missed as a title.
    half = judge("json", '{"people": ["Ann Lee", "Dawn"], "titles": []}', WANTED)
    assert half == {"valid": True, "exact": 0.0, "counts": [1, 1, 2]}
    one_field = judge("json", '{"people": [], "titles": ["Dawn"]}', WANTED)
    assert one_field == {"valid": True, "exact": 0.5, "counts": [1, 0, 2]}


def test_of_an_answer_that_is_no_json_every_name_is_missed():
    assert judge("json", "Ann Lee, Bo Ek", WANTED) == {
        "valid": False, "exact": 0.0, "counts": [0, 0, 3],
    }  # fmt: skip
    empty = '{"people": [], "titles": []}'
    assert judge("json", "none", empty) == {"valid": False, "exact": 0.0, "counts": [0, 0, 0]}
    assert judge("json", empty, empty) == {"valid": True, "exact": 1.0, "counts": [0, 0, 0]}


def test_every_stored_answer_is_right_beside_itself():
    for split in data.load_instructions().values():
        for row in split:
            if row["kind"] == "rewrite":
                continue
            assert refuses(row["answer"]) == (row["kind"] == "refuse"), row["answer"]
            found = judge(row["kind"], row["answer"], row["answer"])
            found.pop("counts", None)
            assert all(value == 1 for value in found.values()), row["answer"]
            if row["rejected"]:
                [right] = judge(row["kind"], row["rejected"], row["answer"]).values()
                assert not right, row["rejected"]


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("The review does not say who directed it.", True),
        ("The text doesn't mention a director.", True),
        ("It is not clearly stated in the review.", True),
        ("The director isn’t named.", True),
        ("There is no information about the director.", True),
        ("I cannot tell from this review.", True),
        ("It was directed by Martin Hale.", False),
        ("The writer did not like the ending.", False),
        ("The writer did not give it a high mark.", False),
        ("The film does not contain violence.", False),
        ("The review does not name the director.", True),
        ("He says that nothing happens.", False),
        ("", False),
    ],
)
def test_the_usual_ways_to_decline_are_recognised(answer, refuses):
    assert instructing.refuses(answer) is refuses


@pytest.mark.parametrize(
    ("answer", "right"),
    [("Positive. It moves.", True), ("positive", True), ("Negative.", False), ("Good.", False)],
)
def test_a_verdict_is_the_word_that_comes_first(answer, right):
    assert judge("sentiment", answer, "Positive. The writer laughed.") == {"right": right}


def test_a_kind_that_has_to_be_read_is_refused():
    with pytest.raises(ValueError, match="kind 'rewrite'; read it"):
        judge("rewrite", "A film.", "A film.")


def test_a_report_gives_shares_with_wilson_s_interval_and_names_with_a_bootstrap():
    answers = [WANTED, "no", '{"people": ["Ann Lee"], "titles": ["Dawn"]}', WANTED]
    found = instructing.report("json", answers, [WANTED] * 4, draws=200)
    assert found.measures["valid"] == evaluation.wilson_interval(3, 4)
    assert found.measures["exact"].value == pytest.approx((2 + 0 + 1 + 2) / 8)
    # Found 3 + 0 + 2 + 3, invented none, missed 0 + 3 + 1 + 0.
    assert found.measures["span F1"].value == pytest.approx(2 * 8 / (2 * 8 + 4))
    assert found.measures["span F1"].low < found.measures["span F1"].value
    refusals = instructing.report("refuse", ["It does not say."] * 2, ["It does not say."] * 2)
    assert refusals.measures == {"right": evaluation.wilson_interval(2, 2)}
