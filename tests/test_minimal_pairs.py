"""The pairs of sentences: their file is sound, their data statement is true, they load."""

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


def test_sentences_look_alike_but_for_their_grammar(pairs):
    for pair in pairs:
        for side in ("good", "bad"):
            sentence = pair[side]
            assert 5 <= len(words(sentence)) <= 16, sentence
            assert re.fullmatch(r"[A-Z][A-Za-z' ,]*[a-z][.?]", sentence), sentence
            assert "  " not in sentence
        assert pair["good"][-1] == pair["bad"][-1]


# --- the data statement


def test_the_counts_in_the_data_statement_are_those_of_the_file(pairs):
    prose = (FOLDER / "README.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| `?(\w+)`? \| (\d+) \|", prose, flags=re.MULTILINE)
    counts = Counter(pair["phenomenon"] for pair in pairs)
    assert stated == [(name, str(n)) for name, n in (*counts.items(), ("all", len(pairs)))]


# --- loading


def test_a_profile_cuts_the_list_and_keeps_every_phenomenon(pairs):
    small = list(data.load_minimal_pairs(PROFILES["smoke"]))
    assert len(small) == PROFILES["smoke"].heldout_rows == 80
    counts = Counter(pair["phenomenon"] for pair in small)
    assert len(counts) == 12 and set(counts.values()) == {6, 7}
    assert small == [pair for pair in pairs if pair in small]
    assert list(data.load_minimal_pairs(PROFILES["cpu"])) == pairs
