"""The written instructions: their files are sound, their data statement is true, they load."""

import json
from collections import Counter

import pytest
from data_statements import table

from helpers import data
from helpers.runtime import PROFILES, ROOT

FOLDER = ROOT / "data" / "instructions"
SPLITS = {"train": 64, "validation": 12, "test": 24}


@pytest.fixture(scope="module")
def texts():
    """Held-out reviews by their hash: text and label."""
    splits = data.splits_of("imdb")
    held_out = [row for name in ("validation", "test") for row in splits[name]]
    return {data.text_hash(text): (text, label) for text, label in held_out}


@pytest.fixture(scope="module")
def rows():
    return {name: data.stored_rows("instructions", name) for name in SPLITS}


@pytest.fixture(scope="module")
def loaded():
    return data.load_instructions()


PREFERRED = ("question", "refuse")  # kinds that have a rejected answer, too


def test_the_rows_are_texts_about_held_out_reviews_with_names_that_stand_in_them(rows, texts):
    for row in sum(rows.values(), []):
        rejected = {"rejected"} if row["kind"] in PREFERRED else set()
        assert set(row) == {"review", "kind", "instruction", "answer"} | rejected
        assert all(value and value == value.strip() for value in row.values())
        text, label = texts[row["review"]]
        if row["kind"] == "sentiment":
            assert row["answer"].startswith(f"{data.LABEL_NAMES[label].capitalize()}. ")
        if row["kind"] == "json":
            for names in json.loads(row["answer"]).values():
                found = [text.index(name) for name in names]
                assert found == sorted(set(found)), "each once, in the order of first mention"


def test_every_review_has_one_row_of_each_kind_in_one_split(rows):
    for name, part in rows.items():
        counts = Counter(row["kind"] for row in part)
        assert counts == dict.fromkeys(data.INSTRUCTION_KINDS, SPLITS[name])
        assert len({row["review"] for row in part}) == SPLITS[name]
    assert len(data.instruction_reviews()) == sum(SPLITS.values())


def test_no_review_is_one_that_the_course_trains_on_or_tags(texts):
    train = {data.text_hash(text) for text, _ in data.splits_of("imdb")["train"]}
    reviews = data.instruction_reviews()
    assert reviews <= set(texts)
    assert not reviews & train and not reviews & data.film_ner_reviews()


def test_no_file_holds_the_text_of_a_review(texts):
    stored = "".join(path.read_text(encoding="utf-8") for path in FOLDER.iterdir())
    for review in data.instruction_reviews():
        words = texts[review][0].split()
        assert not any(" ".join(words[i : i + 9]) in stored for i in range(len(words) - 8))


# --- the data statement


def test_the_counts_in_the_data_statement_are_those_of_the_files(rows, texts):
    stated = table(FOLDER, "split")
    assert stated["split"][2:7] == list(data.INSTRUCTION_KINDS)
    for name, part in rows.items():
        reviews = {row["review"] for row in part}
        kinds = Counter(row["kind"] for row in part)
        positive = sum(texts[review][1] for review in reviews)
        names = [json.loads(row["answer"]) for row in part if row["kind"] == "json"]
        people, titles = (sum(len(n[key]) for n in names) for key in ("people", "titles"))
        empty = sum(not n["people"] and not n["titles"] for n in names)
        numbers = [len(reviews), len(part), *(kinds[kind] for kind in data.INSTRUCTION_KINDS)]
        numbers += [positive, len(reviews) - positive, people, titles, empty]
        assert stated[name] == [str(number) for number in numbers]


# --- what a notebook loads


def test_rows_are_joined_with_their_reviews_as_conversations(loaded, rows, texts):
    columns = {"review", "text", "kind", "instruction", "answer", "rejected", "messages"}
    assert set(loaded["train"].column_names) == columns
    for name, part in rows.items():
        for row, example in zip(part, loaded[name], strict=True):
            assert example["text"] == texts[row["review"]][0]
            assert example["rejected"] == row.get("rejected", "")
            user, assistant = example["messages"]
            assert user["role"] == "user" and assistant["role"] == "assistant"
            assert user["content"] == f"{row['instruction']}\n\nReview: {example['text']}"
            assert assistant["content"] == row["answer"] == example["answer"]


def test_a_small_profile_gets_the_first_rows_of_each_split(loaded):
    small = data.load_instructions(PROFILES["smoke"])
    sizes = {"train": 240, "validation": 60, "test": 80}
    assert {name: len(part) for name, part in small.items()} == sizes
    assert small["test"][:] == loaded["test"][:80]
