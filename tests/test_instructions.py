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


def replaced(kind, /, **facts):
    """Damage the first row of a kind."""

    def damage(rows, texts):
        row = next(row for row in rows["train"] if row["kind"] == kind)
        row |= facts

    return damage


def missing_key(rows, texts):
    del next(row for row in rows["train"] if row["kind"] == "refuse")["rejected"]


def copy_of_the_review(rows, texts):
    row = next(row for row in rows["train"] if row["kind"] == "rewrite")
    row["answer"] = " ".join(re.findall(r"\w+", texts[row["review"]][0])[:8])


def other_rating(rows, texts):
    row = next(row for row in rows["train"] if row["kind"] == "sentiment")
    words = {"Positive": "Negative", "Negative": "Positive"}
    row["answer"] = re.sub("^[A-Z][a-z]+", lambda m: words[m[0]], row["answer"])


def refused_question(rows, texts):
    row = next(row for row in rows["train"] if row["kind"] == "question")
    row["answer"], row["rejected"] = row["rejected"], row["answer"]


def people(change):
    """Damage the names of a row with two people or more."""

    def damage(rows, texts):
        for row in rows["train"]:
            names = json.loads(row["answer"]) if row["kind"] == "json" else {}
            if len(names.get("people", [])) > 1:
                change(names["people"])
                row["answer"] = json.dumps(names, ensure_ascii=False)

    return damage


DAMAGES = [
    (replaced("rewrite", kind="translate"), "the kind is 'translate'"),
    (missing_key, "the keys are review, kind, instruction, answer$"),
    (replaced("rewrite", text="A film."), "the keys are .*text"),
    (replaced("rewrite", answer=""), "answer is ''"),
    (replaced("rewrite", answer=7), "answer is 7"),
    (replaced("rewrite", review="0" * 64), "not a held-out review"),
    (copy_of_the_review, "answer copies '.*' from the review"),
    (other_rating, "the writer's rating"),
    (replaced("refuse", answer="I do not know."), "a refuse row whose answer does not refuse"),
    (refused_question, "a question row whose answer refuses"),
    (replaced("refuse", rejected="The review does not say that either."), "nothing but words"),
    (replaced("json", answer='{"people": [], "titles": []'), "not JSON"),
    (replaced("json", answer='{"titles": [], "people": []}'), "in this order"),
    (replaced("json", answer='{"people":[],"titles":[]}'), "spelled otherwise"),
    (replaced("json", answer='{"people": "nobody", "titles": []}'), "people is not a list"),
    (replaced("json", answer='{"people": ["Nobody"], "titles": []}'), "'Nobody' is not in the"),
    (people(lambda names: names.insert(0, names[0])), "a name twice"),
    (people(lambda names: names.reverse()), "order of their first mention"),
    (lambda rows, texts: rows["train"].append(dict(rows["train"][0])), "line 321: .* twice"),
    (lambda rows, texts: rows["test"].append(rows["train"][0]), "test, line 121: .* in train, too"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_a_damaged_copy_fails(rows, texts, damage, said):
    broken = copy.deepcopy(rows)
    damage(broken, texts)
    assert any(re.search(said, problem) for problem in problems(broken, texts))


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
