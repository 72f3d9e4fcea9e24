"""The written instructions: their files are sound, their data statement is true, they load."""

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
    return {name: data.stored_rows("instructions", name) for name in SPLITS}


@pytest.fixture(scope="module")
def loaded():
    return data.load_instructions()


# --- the rules of the files

KEYS = ("review", "kind", "instruction", "answer")
PREFERRED = ("question", "refuse")  # kinds that have a rejected answer, too
REFUSAL = "The review does not say"
COPIED = 7  # words in a row that count as a copy of the review


def problems(rows: dict[str, list[dict]], texts: dict[str, tuple[str, int]]) -> list[str]:
    """Check the three splits; an empty list means that they are sound."""
    found, owner = [], {}
    for name, part in rows.items():
        seen = set()
        for number, row in enumerate(part, start=1):
            wrong = wrong_in_row(row, texts)
            if not wrong and (row["review"], row["kind"]) in seen:
                wrong = "the review and the kind are there twice"
            if not wrong and owner.setdefault(row["review"], name) != name:
                wrong = f"the review is in {owner[row['review']]}, too"
            seen.add((row.get("review"), row.get("kind")))
            if wrong:
                found.append(f"{name}, line {number}: {wrong}")
    return found


def wrong_in_row(row: dict, texts: dict[str, tuple[str, int]]) -> str | None:
    """Say what is wrong with one row, the first thing only."""
    kind = row.get("kind")
    if kind not in data.INSTRUCTION_KINDS:
        return f"the kind is {kind!r}"
    wanted = [*KEYS, *(["rejected"] if kind in PREFERRED else [])]
    if set(row) != set(wanted):
        return f"the keys are {', '.join(row)}"
    for key in wanted:
        value = row[key]
        if not isinstance(value, str) or not value or value != value.strip():
            return f"{key} is {value!r}"
    if row["review"] not in texts:
        return "not a held-out review"
    text, label = texts[row["review"]]
    for key in wanted[2:]:
        if (kind, key) != ("json", "answer") and (copied := copied_from(row[key], text)):
            return f"{key} copies {copied!r} from the review"
    return wrong_in_names(row["answer"], text) if kind == "json" else wrong_in_form(row, label)


def wrong_in_form(row: dict, label: int) -> str | None:
    kind, answer = row["kind"], row["answer"]
    verdict = data.LABEL_NAMES[label].capitalize()
    if kind == "sentiment" and not re.fullmatch(rf"{verdict}\. \S.*\.", answer):
        return f"not the writer's rating, and why: {answer!r}"
    refuses = answer.startswith(REFUSAL)
    if refuses != (kind == "refuse"):
        return f"a {kind} row whose answer {'refuses' if refuses else 'does not refuse'}"
    if kind in PREFERRED and refuses == row["rejected"].startswith(REFUSAL):
        return "answer and rejected differ in nothing but words"
    return None


def wrong_in_names(answer: str, text: str) -> str | None:
    try:
        names = json.loads(answer)
    except json.JSONDecodeError:
        return "the answer is not JSON"
    if not isinstance(names, dict) or list(names) != list(data.FIELDS):
        return f"not people and titles, in this order: {answer}"
    if json.dumps(names, ensure_ascii=False) != answer:
        return "spelled otherwise than json.dumps does"
    for field, found in names.items():
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            return f"{field} is not a list of names"
        places = [text.find(name) for name in found]
        if -1 in places:
            return f"{found[places.index(-1)]!r} is not in the review"
        if len(set(found)) < len(found) or places != sorted(places):
            return f"{field}: a name twice, or not in the order of their first mention"
    return None


def copied_from(written: str, text: str) -> str | None:
    """The first words of a text that stand in a row in the review, too."""
    mine, theirs = (re.findall(r"\w+", each.lower()) for each in (written, text))
    runs = {tuple(theirs[i : i + COPIED]) for i in range(len(theirs) - COPIED + 1)}
    copies = (mine[i : i + COPIED] for i in range(len(mine) - COPIED + 1))
    return next((" ".join(words) for words in copies if tuple(words) in runs), None)


def test_the_files_are_sound(rows, texts):
    assert problems(rows, texts) == []


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


TEXT = "Orson Welles made Citizen Kane, and with it a new kind of film; I loved it, and Joan too."
SOUND = {
    "json": {"answer": '{"people": ["Orson Welles", "Joan"], "titles": ["Citizen Kane"]}'},
    "sentiment": {"answer": "Positive. The writer loved it."},
    "question": {"answer": "Orson Welles.", "rejected": "The review does not say."},
    "refuse": {"answer": "The review does not say who wrote it.", "rejected": "Joan wrote it."},
    "rewrite": {"answer": "A lovely film of a new kind."},
}


def wrong_in(kind, changes):
    row = {"review": "r", "kind": kind, "instruction": "Do it.", **SOUND[kind]}
    row |= changes
    return str(wrong_in_row({k: v for k, v in row.items() if v is not None}, {"r": (TEXT, 1)}))


@pytest.mark.parametrize("kind", data.INSTRUCTION_KINDS)
def test_the_validator_lets_a_sound_row_of_each_kind_pass(kind):
    assert wrong_in(kind, {}) == "None"


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("rewrite", {"kind": "translate"}, "the kind is 'translate'"),
        ("refuse", {"rejected": None}, "the keys are review, kind, instruction, answer"),
        ("rewrite", {"text": TEXT}, "the keys are"),
        ("rewrite", {"answer": ""}, "answer is ''"),
        ("rewrite", {"answer": 7}, "answer is 7"),
        ("rewrite", {"review": "another"}, "not a held-out review"),
        ("rewrite", {"answer": f"Well, {TEXT[:60]}"}, "copies 'orson welles made citizen kane and"),
        ("sentiment", {"answer": "Negative. The writer left."}, "not the writer's rating"),
        ("refuse", {"answer": "I do not know."}, "does not refuse"),
        ("question", {"answer": "The review does not say."}, "a question row whose answer refuses"),
        ("refuse", {"rejected": "The review does not say it."}, "differ in nothing but words"),
        ("json", {"answer": '{"people": [], "titles": []'}, "not JSON"),
        ("json", {"answer": '{"titles": [], "people": []}'}, "in this order"),
        ("json", {"answer": '{"people":[],"titles":[]}'}, "spelled otherwise"),
        ("json", {"answer": '{"people": "nobody", "titles": []}'}, "people is not a list"),
        ("json", {"answer": '{"people": ["Kafka"], "titles": []}'}, "'Kafka' is not in"),
        ("json", {"answer": '{"people": ["Joan", "Joan"], "titles": []}'}, "a name twice"),
        ("json", {"answer": '{"people": ["Joan", "Orson Welles"], "titles": []}'}, "the order of"),
    ],
)
def test_the_validator_sees_what_is_wrong_in_a_row(kind, changes, said):
    assert said in wrong_in(kind, changes)


def test_a_row_twice_and_a_review_in_two_splits_are_seen(rows, texts):
    first = rows["train"][0]
    damaged = rows | {"train": [*rows["train"], first], "test": [*rows["test"], first]}
    twice, leaked = problems(damaged, texts)
    assert twice.startswith("train, line 321:") and "twice" in twice
    assert leaked.startswith("test, line 121:") and "is in train, too" in leaked


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
