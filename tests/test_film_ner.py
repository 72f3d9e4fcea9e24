"""The annotated sentences: their files are sound, their data statement is true, they load."""

import hashlib
import re
from collections import Counter

import pytest
from data_statements import table

from helpers import data
from helpers.runtime import PROFILES, ROOT
from helpers.tables import spans as spans_of_tags

SPLITS = {"train": 600, "validation": 200, "test": 400}
PASSES = ("first_pass", "second_pass")
FOLDER = ROOT / "data" / "film_ner"


@pytest.fixture(scope="module")
def texts():
    """Held-out review texts by their hash."""
    imdb = data.load_imdb()
    held_out = [*imdb["validation"]["text"], *imdb["test"]["text"]]
    return {data.text_hash(text): text for text in held_out}


@pytest.fixture(scope="module")
def rows():
    return {name: data.stored_rows("film_ner", name) for name in SPLITS}


def passed(name: str) -> list[dict]:
    return data.stored_rows("film_ner", name)


@pytest.fixture(scope="module")
def loaded():
    return data.load_film_ner()


def places(rows) -> list[tuple]:
    return [(row["review"], row["start"], row["end"], row["drawn"]) for row in rows]


def test_every_name_is_whole_tokens_of_its_sentence_and_of_a_known_type(rows, texts):
    for row in sum([*rows.values(), *map(passed, PASSES)], []):
        assert set(row) == {"review", "start", "end", "drawn", "spans"}
        sentence = texts[row["review"]][row["start"] : row["end"]]
        assert sentence == sentence.strip() and 5 <= len(sentence.split()) <= 45
        tokens = data.token_spans(sentence)
        starts, ends = ({row["start"] + token[side] for token in tokens} for side in (0, 1))
        before = row["start"]
        for start, end, kind in row["spans"]:
            assert before <= start < end <= row["end"] and kind in data.NER_TYPES, row
            assert start in starts and end in ends, row
            before = end


def test_the_two_passes_are_over_the_same_sentences_of_the_corpus(rows):
    first, second = (places(passed(name)) for name in PASSES)
    assert first == second and len(set(first)) == 150
    assert set(first) <= {place for part in rows.values() for place in places(part)}


# --- splits


def test_no_review_is_one_that_the_course_trains_on(rows, texts):
    train = {data.text_hash(text) for text in data.load_imdb()["train"]["text"]}
    reviews = data.film_ner_reviews()
    assert reviews == {row["review"] for name in SPLITS for row in rows[name]}
    assert len(reviews) == 1_200
    assert reviews <= set(texts) and not reviews & train


def test_a_hash_of_each_review_decides_its_split(rows):
    reviews = sorted(
        data.film_ner_reviews(), key=lambda r: hashlib.sha256(f"split|{r}".encode()).hexdigest()
    )
    expected = {"train": reviews[:600], "validation": reviews[600:800], "test": reviews[800:]}
    assert {name: [row["review"] for row in rows[name]] for name in SPLITS} == {
        name: sorted(part) for name, part in expected.items()
    }


# --- the data statement


def test_the_counts_in_the_data_statement_are_those_of_the_files(rows):
    stated = table(FOLDER, "split")
    kinds = stated["split"][4:]
    assert sorted(kinds) == list(data.NER_TYPES)
    for name, part in rows.items():
        count = Counter(kind for row in part for *_, kind in row["spans"])
        drawn = Counter(row["drawn"] for row in part)
        empty = sum(not row["spans"] for row in part)
        numbers = [len(part), drawn["capital"], drawn["random"], empty, *(count[k] for k in kinds)]
        assert stated[name] == [str(number) for number in numbers]


def test_the_consistency_in_the_data_statement_follows_from_the_two_passes():
    first, second = (
        {
            (row["review"], *span)
            for row in data.stored_rows("film_ner", name)
            for span in row["spans"]
        }
        for name in PASSES
    )
    stated = table(FOLDER, "type")
    for kind in (*data.NER_TYPES, "all"):
        a, b = ({s for s in each if kind in ("all", s[-1])} for each in (first, second))
        f1 = 2 * len(a & b) / (len(a) + len(b))
        assert stated[kind] == [str(len(a)), str(len(b)), str(len(a & b)), f"{f1:.3f}"]


# --- what a notebook loads


def test_tags_spell_the_annotated_names_and_nothing_else(loaded, rows, texts):
    names = loaded["train"].features["tags"].feature.names
    assert names == ["O", *(f"{p}-{kind}" for kind in sorted(data.NER_TYPES) for p in "BI")]
    for split, part in rows.items():
        for row, example in zip(part, loaded[split], strict=True):
            text = texts[row["review"]]
            assert example["review"] == row["review"]
            assert example["text"] == text[row["start"] : row["end"]]
            places = [
                (row["start"] + s, row["start"] + e) for s, e in data.token_spans(example["text"])
            ]
            assert example["tokens"] == [text[s:e] for s, e in places]
            tags = [names[i] for i in example["tags"]]
            found = [[places[i][0], places[j - 1][1], k] for k, i, j in spans_of_tags(tags)]
            assert found == row["spans"]
            listed = [
                [row["start"] + span["start"], row["start"] + span["end"], span["type"]]
                for span in example["spans"]
            ]
            assert listed == row["spans"]


def test_tokens_leave_out_white_space_only(loaded):
    for split in loaded.values():
        for text, tokens in zip(split["text"], split["tokens"], strict=True):
            assert "".join(tokens) == re.sub(r"\s", "", text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('Kubrick\'s "Lolita".', ["Kubrick", "'s", '"', "Lolita", '"', "."]),
        ("I don't like O'Brien", ["I", "don't", "like", "O'Brien"]),
        ("the U.S. Army", ["the", "U.S.", "Army"]),
        ("pro-Franco, Vol. 2", ["pro", "-", "Franco", ",", "Vol", ".", "2"]),
        ("Dickens' Žižek´s", ["Dickens", "'", "Žižek", "´s"]),
    ],
)
def test_tokens_of_an_example_done_by_hand(text, tokens):
    assert [text[start:end] for start, end in data.token_spans(text)] == tokens


def test_touching_names_of_one_type_stay_two():
    tokens = data.token_spans("PIPPI INGER NILSSON")
    tags = data.iob2_tags(tokens, [(0, 5, "CHAR"), (6, 19, "CHAR")])
    assert tags == ["B-CHAR", "B-CHAR", "I-CHAR"]


def test_the_smoke_profile_takes_the_first_sentences(loaded):
    small = data.load_film_ner(PROFILES["smoke"])
    sizes = {"train": 240, "validation": 80, "test": 80}
    assert {name: len(split) for name, split in small.items()} == sizes
    assert small["test"]["text"][:] == loaded["test"]["text"][:80]


def test_a_missing_file_is_named_with_the_remedy():
    with pytest.raises(FileNotFoundError, match=r"third_pass\.jsonl.*git checkout data/film_ner"):
        data.stored_rows("film_ner", "third_pass")
