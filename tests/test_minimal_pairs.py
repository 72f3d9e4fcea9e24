"""The pairs of sentences: their file is sound, their data statement is true, they load."""

import json
import re
from collections import Counter

import pytest

from helpers import data
from helpers.runtime import PROFILES, ROOT

FOLDER = ROOT / "data" / "minimal_pairs"


@pytest.fixture(scope="module")
def pairs():
    return list(data.load_minimal_pairs())


def words(sentence: str) -> list[str]:
    return re.findall(r"[\w']+", sentence.lower())


def difference(good: list[str], bad: list[str]) -> str | None:
    """Say in which way two sentences differ by a word; None if they differ by more, or in none."""
    longer, shorter = sorted((good, bad), key=len, reverse=True)
    if any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer))):
        return "one word more"
    if len(good) != len(bad) or good == bad:
        return None
    if sum(a != b for a, b in zip(good, bad, strict=True)) == 1:
        return "one word changed"
    return "order" if sorted(good) == sorted(bad) else None


def test_there_are_twelve_phenomena_of_ten_pairs_each_together(pairs):
    assert len(pairs) == 120
    counts = Counter(pair["phenomenon"] for pair in pairs)
    assert len(counts) == 12 and set(counts.values()) == {10}
    order = [pair["phenomenon"] for pair in pairs]
    assert order == [name for name in counts for _ in range(10)]


def test_no_sentence_is_there_twice(pairs):
    sentences = [" ".join(words(pair[side])) for pair in pairs for side in ("good", "bad")]
    assert [s for s, n in Counter(sentences).items() if n > 1] == []


def test_the_sentences_of_a_pair_differ_by_a_word_or_by_its_place(pairs):
    wrong = [p for p in pairs if difference(words(p["good"]), words(p["bad"])) is None]
    assert wrong == []


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("a b c", "a x c", "one word changed"),
        ("a b c", "c a b", "order"),
        ("a b c", "a b", "one word more"),
        ("a b c", "a b b c", "one word more"),
        ("a b c", "a x y", None),
        ("a b c", "a x b c d", None),
        ("a b c", "a b c", None),
    ],
)
def test_the_test_of_differences_sees_them(good, bad, said):
    assert difference(good.split(), bad.split()) == said


def test_sentences_look_alike_but_for_their_grammar(pairs):
    for pair in pairs:
        for side in ("good", "bad"):
            sentence = pair[side]
            assert 5 <= len(words(sentence)) <= 16, sentence
            assert re.fullmatch(r"[A-Z][A-Za-z' ,]*[a-z][.?]", sentence), sentence
            assert "  " not in sentence
        assert pair["good"][-1] == pair["bad"][-1]


def test_the_file_is_ascii_with_an_object_of_three_texts_a_line_and_line_ends_of_unix():
    raw = (FOLDER / "pairs.jsonl").read_bytes()
    assert raw.isascii() and b"\r" not in raw and raw.endswith(b"}\n")
    rows = [json.loads(line) for line in raw.splitlines()]
    assert [list(row) for row in rows] == [["phenomenon", "good", "bad"]] * 120
    assert all(value.strip() == value != "" for row in rows for value in row.values())


# --- the data statement


def test_the_counts_in_the_data_statement_are_those_of_the_file(pairs):
    prose = (FOLDER / "README.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| `?(\w+)`? \| (\d+) \|", prose, flags=re.MULTILINE)
    counts = Counter(pair["phenomenon"] for pair in pairs)
    assert stated == [(name, str(n)) for name, n in (*counts.items(), ("all", len(pairs)))]


def test_the_example_in_the_data_statement_is_a_line_of_the_file():
    prose = (FOLDER / "README.md").read_text(encoding="utf-8")
    [example] = re.findall(r"`(\{.*?\})`", prose)
    assert example in (FOLDER / "pairs.jsonl").read_text(encoding="utf-8").splitlines()


def test_the_lengths_in_the_data_statement_are_those_of_the_file(pairs):
    prose = (FOLDER / "README.md").read_text(encoding="utf-8")
    sizes = [(len(words(pair["good"])), len(words(pair["bad"]))) for pair in pairs]
    shorter = Counter("good" if good < bad else "bad" for good, bad in sizes if good != bad)
    assert shorter == {"good": 2, "bad": 1}
    assert "it is the good one in two pairs and the bad one in one" in prose


# --- loading


def test_a_profile_cuts_the_list_and_keeps_every_phenomenon(pairs):
    small = list(data.load_minimal_pairs(PROFILES["smoke"]))
    assert len(small) == PROFILES["smoke"].heldout_rows == 80
    counts = Counter(pair["phenomenon"] for pair in small)
    assert len(counts) == 12 and set(counts.values()) == {6, 7}
    assert small == [pair for pair in pairs if pair in small]
    assert list(data.load_minimal_pairs(PROFILES["cpu"])) == pairs


def test_the_columns_are_texts_and_an_order_is_kept(pairs):
    loaded = data.load_minimal_pairs()
    assert loaded.column_names == ["phenomenon", "good", "bad"]
    assert loaded["good"][:] == [pair["good"] for pair in pairs]
