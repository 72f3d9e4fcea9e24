"""The annotated sentences: their files are sound, their data statement is true, they load."""

import hashlib
import re
from collections import Counter

import pytest
from data_statements import table

from helpers import data
from helpers.data import stored
from helpers.runtime import PROFILES, ROOT
from helpers.tables import spans as spans_of_tags

SPLITS = {"train": 600, "validation": 200, "test": 400}
PASSES = ("first_pass", "second_pass")
FOLDER = ROOT / "data" / "film_ner"
OPENING, CLOSING = "([{", ",;:)]}"
QUOTES = "\"'“”‘’`´¨"


@pytest.fixture(scope="module")
def texts():
    """Held-out review texts by their hash."""
    imdb = data.load_imdb()
    held_out = [*imdb["validation"]["text"], *imdb["test"]["text"]]
    return {data.text_hash(text): text for text in held_out}


@pytest.fixture(scope="module")
def rows():
    return {name: data.stored_rows("film_ner", name) for name in SPLITS}


@pytest.fixture(scope="module")
def loaded():
    return data.load_film_ner()


# --- the validator


def wrong_in_span(text: str, start: int, end: int, kind: str) -> str | None:
    """Say what is wrong with one name; offsets are those of `text`."""
    name = text[start:end]
    if kind not in data.NER_TYPES:
        return "type"
    if not name or name != name.strip():
        return "white space at a border"
    first, last = name[0], name[-1]
    # A quote may open a name only when its partner is inside: 'Natalie' Press.
    if first in CLOSING + OPENING + ".!?" or (first in QUOTES and first not in name[1:-1]):
        return "punctuation at the left"
    if last in CLOSING + OPENING + QUOTES or re.search(r"['’´][sS]$", name):
        return "punctuation at the right"
    if last in "!?" and kind != "WORK":
        return "a mark that ends no title"
    # A final stop stays only in an abbreviation: Jr., St., F.B.I.
    if last == "." and not re.search(r"(\b[A-Z][a-z]{1,3}|\b[A-Z])\.$", name):
        return "the full stop of the sentence"
    return None


def wrong_in_row(row: dict, texts: dict[str, str]) -> str | None:
    """Say what is wrong with one sentence, the first thing only."""
    if set(row) != {"review", "start", "end", "drawn", "spans"}:
        return "keys"
    text = texts.get(row["review"])
    if text is None:
        return "not a held-out review"
    start, end = row["start"], row["end"]
    sentence = text[start:end]
    if not 0 <= start < end <= len(text) or sentence != sentence.strip():
        return "borders of the sentence"
    if not 5 <= len(sentence.split()) <= 45:
        return "length of the sentence"
    capital = any(re.match(r"\W*[A-Z].*[a-z]", word) for word in sentence.split()[1:])
    if row["drawn"] not in ("capital", "random") or (row["drawn"] == "capital" and not capital):
        return "drawn"
    before = start
    tokens = data.token_spans(sentence)
    for left, right, kind in row["spans"]:
        if left < before:
            return "overlap or order"
        if right > end:
            return "outside the sentence"
        problem = wrong_in_span(text, left, right, kind)
        if problem:
            return problem
        if not any(left - start == s for s, _ in tokens):
            return "starts inside a token"
        if not any(right - start == e for _, e in tokens):
            return "ends inside a token"
        before = right
    return None


def problems(rows: dict[str, list[dict]], texts: dict[str, str]) -> list[str]:
    """Check the three splits; an empty list means that they are sound."""
    found = []
    for name, size in SPLITS.items():
        for row in rows[name]:
            wrong = wrong_in_row(row, texts)
            if wrong:
                found.append(f"{name} {row.get('review', '?')[:8]}: {wrong}")
        if len(rows[name]) != size:
            found.append(f"{name}: {len(rows[name])} sentences")
    reviews = [row.get("review") for name in SPLITS for row in rows[name]]
    found += [f"{review[:8]}: twice" for review, n in Counter(reviews).items() if n > 1]
    drawn = Counter(row.get("drawn") for name in SPLITS for row in rows[name])
    if drawn != {"capital": 800, "random": 400}:
        found.append(f"drawn: {dict(drawn)}")
    return found


def test_the_files_are_sound(rows, texts):
    assert problems(rows, texts) == []


def test_the_two_passes_are_sound_and_over_the_same_sentences_of_the_corpus(rows, texts):
    place = {(r["review"], r["start"], r["end"], r["drawn"]) for n in SPLITS for r in rows[n]}
    passes = [data.stored_rows("film_ner", name) for name in PASSES]
    for each in passes:
        assert [wrong for row in each if (wrong := wrong_in_row(row, texts))] == []
    first, second = (
        [(r["review"], r["start"], r["end"], r["drawn"]) for r in each] for each in passes
    )
    assert first == second and len(set(first)) == 150 and set(first) <= place


TEXT = "Once I saw Stanley Kubrick in Los Angeles, said Roger."
SOUND = {
    "review": "r",
    "start": 0,
    "end": len(TEXT),
    "drawn": "capital",
    "spans": [[11, 26, "PER"], [30, 41, "LOC"]],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "None"),
        ({"spans": [[11, 26, "PER"], [25, 41, "LOC"]]}, "overlap"),
        ({"spans": [[12, 26, "PER"]]}, "starts inside a token"),
        ({"spans": [[11, 25, "PER"]]}, "ends inside a token"),
        ({"spans": [[11, 27, "PER"]]}, "white space at a border"),
        ({"spans": [[11, 11, "PER"]]}, "white space at a border"),
        ({"end": 32}, "outside the sentence"),
        ({"end": len(TEXT) + 1}, "borders of the sentence"),
        ({"end": 10}, "length of the sentence"),
        ({"spans": [[11, 26, "MISC"]]}, "type"),
        ({"review": "another"}, "not a held-out review"),
        ({"drawn": "chosen"}, "drawn"),
        ({"text": "Some text."}, "keys"),
    ],
)
def test_the_validator_sees_what_is_wrong_in_a_row(changes, said):
    assert said in str(wrong_in_row(SOUND | changes, {"r": TEXT}))


def test_a_sentence_in_two_splits_or_missing_is_seen(rows, texts):
    damaged = rows | {"test": [rows["train"][0], *rows["test"][2:]]}
    said = " ".join(problems(damaged, texts))
    assert "twice" in said and "399 sentences" in said and "drawn" in said


@pytest.mark.parametrize(
    ("text", "name", "kind", "said"),
    [
        ("See Kubrick's film", "Kubrick's", "PER", "right"),
        ("He saw (Paris) once", "(Paris", "LOC", "left"),
        ('"Jaws" was first', '"Jaws"', "WORK", "left"),
        ("A film by Kubrick.", "Kubrick.", "PER", "full stop"),
        ("Was it Kubrick?", "Kubrick?", "PER", "ends no title"),
        ("Ask the F.B.I.", "F.B.I.", "ORG", "None"),
        ("Robert Downey Jr.", "Robert Downey Jr.", "PER", "None"),
        ("What's Up, Doc?", "What's Up, Doc?", "WORK", "None"),
    ],
)
def test_borders_that_the_guidelines_exclude_are_seen_and_others_allowed(text, name, kind, said):
    start = text.index(name)
    assert said in str(wrong_in_span(text, start, start + len(name), kind))


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


def test_the_numbers_in_the_prose_of_the_data_statement_are_those_of_the_files(rows):
    prose = (FOLDER / "README.md").read_text(encoding="utf-8")
    every = [row for part in rows.values() for row in part]
    empty = Counter(row["drawn"] for row in every if not row["spans"])
    assert f"{empty['capital']} of the 800 have no name, and {empty['random']} of the 400" in prose
    assert f"of {sum(len(row['spans']) for row in every):,} spans" in prose
    count = Counter(kind for row in rows["test"] for *_, kind in row["spans"])
    assert f"Test has {count['ORG']} ORG and {count['LOC']} LOC" in prose


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


def test_a_review_that_is_not_held_out_is_refused(monkeypatch):
    strange = {"review": "f" * 64, "start": 0, "end": 5, "drawn": "random", "spans": []}
    monkeypatch.setattr(stored, "stored_rows", lambda folder, name: [strange])
    with pytest.raises(ValueError, match="No held-out IMDB review has the sha256 ffff"):
        data.load_film_ner()
