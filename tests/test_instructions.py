"""The written instructions: their files are sound, their data statement is true, they load."""

import copy
import json
import re
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
    return {name: data.instruction_rows(name) for name in SPLITS}


@pytest.fixture(scope="module")
def loaded():
    return data.load_instructions()


# --- the files


def test_the_files_are_sound(rows, texts):
    for name, part in rows.items():
        data.check_instructions(part, texts, name)


def test_every_review_has_one_row_of_each_kind_in_one_split(rows):
    for name, part in rows.items():
        assert Counter(row["kind"] for row in part) == dict.fromkeys(
            data.INSTRUCTION_KINDS, SPLITS[name]
        )
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


# --- bad rows


def of_kind(rows: list[dict], kind: str) -> dict:
    return next(row for row in rows if row["kind"] == kind)


def unknown_kind(rows, texts):
    rows[0]["kind"] = "translate"


def missing_key(rows, texts):
    del of_kind(rows, "refuse")["rejected"]


def stored_text(rows, texts):
    rows[0]["text"] = "A film."


def empty_answer(rows, texts):
    of_kind(rows, "rewrite")["answer"] = ""


def number_as_answer(rows, texts):
    of_kind(rows, "rewrite")["answer"] = 7


def unknown_review(rows, texts):
    rows[0]["review"] = "0" * 64


def copy_of_the_review(rows, texts):
    row = of_kind(rows, "rewrite")
    row["answer"] = " ".join(re.findall(r"\w+", texts[row["review"]][0])[:8])


def other_rating(rows, texts):
    row = of_kind(rows, "sentiment")
    words = {"Positive": "Negative", "Negative": "Positive"}
    row["answer"] = re.sub("^[A-Z][a-z]+", lambda m: words[m[0]], row["answer"])


def no_refusal(rows, texts):
    of_kind(rows, "refuse")["answer"] = "I do not know."


def refused_question(rows, texts):
    row = of_kind(rows, "question")
    row["answer"], row["rejected"] = row["rejected"], row["answer"]


def two_refusals(rows, texts):
    of_kind(rows, "refuse")["rejected"] = "The review does not say that either."


def broken_json(rows, texts):
    of_kind(rows, "json")["answer"] = '{"people": [], "titles": []'


def other_order(rows, texts):
    of_kind(rows, "json")["answer"] = '{"titles": [], "people": []}'


def other_spelling(rows, texts):
    of_kind(rows, "json")["answer"] = '{"people":[],"titles":[]}'


def no_list(rows, texts):
    of_kind(rows, "json")["answer"] = '{"people": "nobody", "titles": []}'


def invented_name(rows, texts):
    of_kind(rows, "json")["answer"] = '{"people": ["Nobody Named So"], "titles": []}'


def names_of(rows, change):
    row = next(
        row
        for row in rows
        if row["kind"] == "json" and len(json.loads(row["answer"])["people"]) > 1
    )
    names = json.loads(row["answer"])
    change(names["people"])
    row["answer"] = json.dumps(names, ensure_ascii=False)


def name_twice(rows, texts):
    names_of(rows, lambda people: people.insert(0, people[0]))


def names_out_of_order(rows, texts):
    names_of(rows, lambda people: people.reverse())


def row_twice(rows, texts):
    rows.append(dict(rows[0]))


DAMAGES = [
    (unknown_kind, "line 1: the kind is 'translate'; use one of json, sentiment"),
    (missing_key, "a row of kind refuse has review, kind, instruction, answer, rejected"),
    (stored_text, "line 1: the keys are .*text"),
    (empty_answer, "answer is ''; give text"),
    (number_as_answer, "answer is 7; give text"),
    (unknown_review, "no held-out review has the sha256 0000"),
    (copy_of_the_review, "answer copies '.*' from the review; say it in other words"),
    (other_rating, "the writer's rating"),
    (no_refusal, "only refuse begins with 'The review does not say'"),
    (refused_question, "the answer of a question row is"),
    (two_refusals, "differ in nothing but words"),
    (broken_json, r"not JSON .*json\.dumps"),
    (other_order, "people and titles, in this order"),
    (other_spelling, "spelled otherwise"),
    (no_list, "people is 'nobody'; give a list of names"),
    (invented_name, "'Nobody Named So' is not in the review"),
    (name_twice, "has a name twice"),
    (names_out_of_order, "order names by their first mention"),
    (row_twice, "line 321: the same review and kind as line 1; keep one"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=lambda v: getattr(v, "__name__", ""))
def test_a_bad_row_is_named_with_its_line_and_a_remedy(rows, texts, damage, said):
    broken = copy.deepcopy(rows["train"])
    damage(broken, texts)
    with pytest.raises(ValueError, match=said) as error:
        data.check_instructions(broken, texts, "train.jsonl")
    assert re.match(r"train\.jsonl, line \d+: ", str(error.value))


def copied_folder(tmp_path):
    for name in SPLITS:
        text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def test_loading_stops_at_a_bad_row_and_names_the_file(tmp_path):
    path = copied_folder(tmp_path) / "test.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].replace('"refuse"', '"decline"')
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match=r"test\.jsonl, line 4: the kind is 'decline'"):
        data.load_instructions(folder=tmp_path)


@pytest.mark.parametrize(("line", "said"), [("{", "not JSON"), ("[1]", "no JSON object")])
def test_a_line_that_is_no_object_is_named(tmp_path, line, said):
    (copied_folder(tmp_path) / "train.jsonl").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"train\.jsonl, line 1: {said}"):
        data.load_instructions(folder=tmp_path)


def test_a_review_in_two_splits_is_refused(tmp_path, rows):
    for name in SPLITS:
        write_rows = [json.dumps(row, ensure_ascii=False) for row in rows[name]]
        if name == "test":
            write_rows.append(json.dumps(rows["train"][0], ensure_ascii=False))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(write_rows), encoding="utf-8")
    with pytest.raises(ValueError, match=r"test\.jsonl: the review .* is in train, too"):
        data.load_instructions(folder=tmp_path)


def test_a_missing_file_says_how_to_get_it_back(tmp_path):
    with pytest.raises(FileNotFoundError, match="git checkout data/instructions"):
        data.load_instructions(folder=tmp_path)


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


def test_the_numbers_in_the_prose_of_the_data_statement_are_those_of_the_files(rows, texts):
    prose = (FOLDER / "README.md").read_text(encoding="utf-8")
    every = [row for part in rows.values() for row in part]
    different = {row["instruction"] for row in every}
    extracting = {row["instruction"] for row in every if row["kind"] == "json"}
    assert f"{len(different)} different ones in all, but only {len(extracting)} of kind" in prose
    reviews = [texts[review][0] for review in data.instruction_reviews()]
    assert all(40 <= len(text.split()) <= 90 and "\n" not in text for text in reviews)
    capitals = sum(len(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text)) >= 2 for text in reviews)
    assert f"{capitals} of the 100 have at least two words that begin with a capital" in prose


# --- what a notebook loads


def test_rows_are_joined_with_their_reviews_as_conversations(loaded, rows, texts):
    assert set(loaded["train"].column_names) == {
        "review", "text", "kind", "instruction", "answer", "rejected", "messages",
    }  # fmt: skip
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
    assert {name: len(part) for name, part in small.items()} == {
        "train": 240, "validation": 60, "test": 80,
    }  # fmt: skip
    assert small["test"][:] == loaded["test"][:80]
