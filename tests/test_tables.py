"""The user's own data: what loads, what is refused, and that a refusal can be acted on."""

import csv
import json
import random

import pytest

from helpers.tables import (
    TableError,
    load_chat,
    load_ner,
    load_table,
    spans,
    to_iob2,
    write_chat,
)

GOOD = "text,label\ngood film,pos\nbad film,neg\nfine film,pos\npoor film,neg\n"


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file in the test's folder and return its path."""

    def _write(content, name="mine.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return _write


@pytest.fixture
def refuse(write):
    """Expect a loader to refuse a file, and return its message."""

    def _refuse(content, *parts, name="mine.csv", loader=load_table, **options):
        path = write(content, name)
        with pytest.raises(TableError) as caught:
            loader(path, **options)
        message = str(caught.value)
        assert path.name in message
        assert "What to do:" in message
        for part in parts:
            assert part in message, f"{part!r} is not in:\n{message}"
        return message

    return _refuse


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def labelled(*labels):
    return jsonl(*({"text": f"text {i}", "label": label} for i, label in enumerate(labels)))


# --- tables that load


@pytest.mark.parametrize("name", ["mine.csv", "mine.TSV", "mine.jsonl", "mine.ndjson"])
def test_every_format_gives_the_same_table(write, name):
    rows = list(csv.DictReader(GOOD.splitlines()))
    content = GOOD.replace(",", "\t") if name.endswith("TSV") else GOOD
    if "json" in name:
        content = jsonl(*rows)
    table = load_table(write(content, name))
    assert table.dataset["text"][:] == ["good film", "bad film", "fine film", "poor film"]
    assert table.label_names == ["neg", "pos"]
    assert table.dataset["label"][:] == [1, 0, 1, 0]
    assert table.dataset.features["label"].names == ["neg", "pos"]
    assert table.rows_read == 4


def test_named_columns_are_used_and_others_dropped(write):
    path = write("id,review,stars\n1,a,up\n2,b,down\n3,c,up\n4,d,down\n")
    table = load_table(path, text="review", label="stars")
    assert table.dataset.column_names == ["text", "label"]
    assert table.dataset["text"][:] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + GOOD.replace("text,label", " text , label").replace("\n", "\r\n\r\n"),
        GOOD.replace("\n", "\r"),
    ],
    ids=["mark, Windows line ends, blank lines, spaces in the header", "old Mac line ends"],
)
def test_what_other_programs_write_is_accepted(write, content):
    table = load_table(write(content))
    assert table.rows_read == 4
    assert table.dataset["text"][0] == "good film"


def test_odd_texts_come_back_as_they_were_written(tmp_path):
    pieces = ['"', ",", "\n", "\r\n", "\t", "🎬", "é", "'", ";", " ", "\u2028", "word", '""', "\\"]
    rng = random.Random(0)
    texts = ["x" + "".join(rng.choices(pieces, k=rng.randint(1, 12))) for _ in range(200)]
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        path = tmp_path / f"odd{suffix}"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["text", "label"])
            writer.writerows([text, "ab"[i % 2]] for i, text in enumerate(texts))
        assert load_table(path).dataset["text"][:] == texts
    path = tmp_path / "odd.jsonl"
    rows = ({"text": t, "label": "ab"[i % 2]} for i, t in enumerate(texts))
    path.write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8", newline="\n"
    )
    assert load_table(path).dataset["text"][:] == texts


def test_a_text_longer_than_the_csv_modules_limit_loads_and_the_limit_is_left_alone(write):
    limit = csv.field_size_limit()
    assert limit < 200_000
    table = load_table(write(GOOD + '"' + "long " * 40_000 + '",pos\n'))
    assert len(table.dataset["text"][4]) == 200_000
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, 10, 9], ["9", "10"]),
        ([1.0, 0.0, 1.0, 0.0], ["0", "1"]),
        ([True, False, True, False], ["false", "true"]),
        (["b ", "a", "b ", "a"], ["a", "b"]),
    ],
)
def test_label_names_are_sorted_and_clean(write, labels, names):
    table = load_table(write(labelled(*labels), "mine.jsonl"))
    assert table.label_names == names
    second = names.index(names[1])
    assert table.dataset["label"][0] == second


def test_another_encoding_can_be_asked_for(write):
    path = write(GOOD.replace("good", "café"), encoding="utf-16")
    assert load_table(path, encoding="utf-16").dataset["text"][0] == "café film"


def test_the_report_shows_size_classes_and_warnings(write):
    report = load_table(write(GOOD)).report()
    for part in ("mine.csv", "4 rows", "2 classes", "'pos': 2 rows (50.0%)", "Fewer than 30"):
        assert part in report


# --- files that are refused


def test_a_missing_file_names_the_folder_and_a_near_name(write):
    path = write(GOOD, "reviews.csv")
    with pytest.raises(TableError) as caught:
        load_table(path.with_name("review.csv"))
    assert "reviews.csv" in str(caught.value)
    assert str(path.parent) in str(caught.value)


def test_a_folder_is_named_as_such(tmp_path):
    with pytest.raises(TableError, match="is a folder"):
        load_table(tmp_path)


@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl"])
def test_an_empty_file_is_refused(refuse, content, name):
    refuse(content, "empty", name=name)


CP1252 = GOOD.replace("bad", "café").encode("cp1252")
SCORES = "".join(f"text {i},{i / 7:.3f}\ntext b{i},{i / 7:.3f}\n" for i in range(30))
# What a file holds, and what the message must name.
REFUSED = {
    "header of an empty name": ('""\n', ["no header"]),
    "no row": ("text,label\n\n", ["no row", "Add the rows"]),
    "columns of other names": (
        GOOD.replace("text,label", "Texts,lable"),
        ["'Texts'", "'label'", 'text="Texts"', 'label="lable"'],
    ),
    "no near name": (GOOD.replace("text", "review"), ["'review', 'label'", 'text="NAME"']),
    "semicolons": (GOOD.replace(",", ";"), ["separated by ';'"]),
    "a column twice": ("text,label,text\na,b,c\n", ["line 1", "'text'", "[1, 3]"]),
    "cp1252": (
        CP1252,
        ["line 3", "0xe9", f"offset {CP1252.index(0xE9)}", 'encoding="cp1252"', "café"],
    ),
    # 0x81 is not in cp1252; latin-1 reads every byte.
    "latin-1": (GOOD.encode() + b"\x81\xe9,pos\n", ["line 6", 'encoding="latin-1"']),
    "utf-16": (GOOD.encode("utf-16"), ['encoding="utf-16"']),
    "wrong byte after a mark": (b"\xef\xbb\xbftext,label\n\xe9,pos\n", ["offset 14 ", "line 2"]),
    "nul": (GOOD.replace("bad", "b\0d"), ["NUL", "line 3", "offset 26"]),
    "utf-16 without a mark": (GOOD.encode("utf-16-le"), ["NUL", 'encoding="utf-16-le"']),
    "the other utf-16": (GOOD.encode("utf-16-be"), ["NUL", 'encoding="utf-16-be"']),
    "ragged rows": (
        GOOD + "a, b,pos\nalone\n",
        ["line 6", "fields: 3", "has 2", "a, b,pos", "line 7: fields: 1", "double quotes round"],
    ),
    "line and row after a quoted newline": (
        'text,label\n"two\nlines",pos\nx,y,z\n',
        ["line 4 (spreadsheet row 3)", "fields: 3"],
    ),
    "unclosed quote": (GOOD + '"never closed,pos\nnext,neg\n', ["line 6", "not closed", "JSONL"]),
    "quote inside": (GOOD + '"He said "no"",neg\n', ["line 6", "twice"]),
    "many": (GOOD + "a,b,c\n" * 12, ["line 6", "line 10", "7 more", "12"]),
    "empty texts": (GOOD + ",pos\n" + " ,neg\n" * 6, ["line 6", "text is empty", "7", "delete"]),
    "no text, no label": (
        GOOD + ",pos\nx,\n",
        ["line 6: the text is empty", "line 7: the label is missing"],
    ),
    "one class": ("text,label\na,pos\nb,pos\n", ["'pos'", "2 rows", "another class"]),
    "a rare class": (GOOD + "x,odd\n", ["'odd'", "1 of the 2", "line 6", "join"]),
    "free text as label": (
        "text,label\na,some\nb,other\nc,words\nd,here\n",
        ["Is 'label' the label column"],
    ),
    "measurements": ("text,label\n" + SCORES, ["regression", "30 distinct", "label="]),
}
REFUSED_JSON = {
    "no column": ("{}\n{}\n", ["'text'", "none"]),
    "a key twice": (labelled("a") + '{"text": "x", "text": "y"}\n', ["line 2", "'text'"]),
    # The comma is missing before the 14th character of the line.
    "not json": (
        labelled("a", "b") + '{"text": "x" "label": 1}\n[1, 2]\n',
        ["line 3", "column 14", "line 4", "[1, 2]", "object"],
    ),
    "an array": ('[\n{"text": "x", "label": 1}\n]\n', ["line 1", "a line"]),
    "no strings": (
        jsonl({"text": 5}, {"text": None}, {"label": "b"}, {"text": "\ud800", "label": "b"}),
        [
            "line 1",
            "int",
            "5",
            "line 2: the text is empty",
            "line 3: the text",
            "line 4",
            "escapes",
        ],
    ),
    "no labels": (
        labelled("a", None, float("nan"), ["a"]) + '{"text": "x"}\n',
        ["line 2", "line 3", "line 5", "missing", "line 4: the label is a list: ['a']"],
    ),
    "1 and '1'": (labelled(1, 1, "1", "1"), ["types", "line 1 is 1", "line 3 is '1'"]),
    "0 and true": (labelled(0, 1, 0, 1, True, True), ["types", "line 1 is 0", "line 5 is True"]),
    "0 and 0.0": (labelled(0, 1, 0.0, 1.0), ["types", "line 1 is 0", "line 3 is 0.0"]),
    "'true' and '0'": (
        labelled("true", "true", "0", "0"),
        ["types", "line 1 is 'true'", "line 3 is '0'"],
    ),
    "whole measurements": (labelled(3, 17, 29, 31, 45, 58), ["regression", "6 distinct"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_cannot_be_used_is_refused_with_its_places(refuse, case):
    content, parts = REFUSED[case]
    message = refuse(content, *parts)
    assert "line 11" not in message  # five places are named, the others counted


@pytest.mark.parametrize("case", REFUSED_JSON)
def test_json_lines_that_cannot_be_used_are_refused_with_their_places(refuse, case):
    content, parts = REFUSED_JSON[case]
    refuse(content, *parts, name="mine.jsonl")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"label": "text"}, ["both", "'text'"]),
        ({"encoding": "utf8000"}, ["'utf8000'", "cp1252"]),
        ({"encoding": "ascii"}, ['encoding="utf-8"']),
        ({"min_per_class": 3}, ["'pos'", "2 of the 3", "'neg'"]),
    ],
)
def test_an_option_that_does_not_fit_is_named(refuse, options, parts):
    refuse(GOOD.replace("bad", "é").encode(), *parts, **options)


@pytest.mark.parametrize("name", ["mine.xlsx", "mine.json", "mine"])
def test_another_format_lists_the_formats(refuse, name):
    refuse(GOOD, ".csv", ".tsv", ".jsonl", name=name)


@pytest.mark.parametrize("value", ["", " ", "nan", "NaN", "#N/A"])
def test_missing_labels_in_csv_are_named(refuse, value):
    refuse(GOOD + f"x,{value}\n", "line 6", "label is missing", "delete")


@pytest.mark.parametrize(("one", "two"), [("Pos", "pos"), ("pos ", "pos"), ("1", "1.0")])
def test_one_label_in_two_spellings_is_refused(refuse, one, two):
    content = f"text,label\na,{one}\nb,{two}\nc,neg\nd,{one}\ne,neg\n"
    refuse(content, repr(one), repr(two), "line 2", "line 3", "one way")


def test_half_star_ratings_are_classes(write):
    rows = "".join(f"text {i},{(i % 10) / 2 + 0.5}\n" for i in range(40))
    assert load_table(write("text,label\n" + rows)).label_names[:2] == ["0.5", "1.0"]


# --- warnings


def warned(table, *parts):
    found = [w for w in table.warnings if all(part in w for part in parts)]
    assert len(found) == 1, table.warnings
    assert found[0] in table.report()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (GOOD + "GOOD   film,pos\ngood film ,pos\n", ["repeat", "spaces: 2", "line 2 and line 6"]),
        (
            GOOD + "Good film,neg\n",
            ["two labels", "'pos' (line 2)", "'neg' (line 6)", "Texts like this: 1"],
        ),
        (
            GOOD + "w " * 2_000 + ",pos\n" + "v " * 2_001 + ",neg\n",
            ["2,000 words: 1", "line 7"],
        ),
        (
            GOOD + '"opens here,pos\nsecond,neg\nthird",neg\n',
            ["unclosed double quote", "line 6"],
        ),
        ("text,label\na,1\nb,1\nc,pos\nd,pos\n", ["'1' (line 2)", "'pos' (line 4)"]),
    ],
)
def test_what_may_mislead_a_training_is_warned_of(write, content, parts):
    warned(load_table(write(content)), *parts)


@pytest.mark.parametrize(
    ("counts", "warns"),
    [((41, 10), True), ((40, 10), False), ((101, 101, 10), True), ((100, 100, 10), False)],
)
def test_imbalance_is_warned_of_above_four_fifths_or_ten_to_one(write, counts, warns):
    labels = [name for name, count in zip("abc", counts, strict=False) for _ in range(count)]
    table = load_table(write(labelled(*labels), "mine.jsonl"))
    assert any("macro-F1" in w and f"{counts[0]} rows of 'a'" in w for w in table.warnings) == warns


def test_few_rows_are_warned_of_below_thirty(write):
    table = load_table(write(labelled(*["a"] * 30, *["b"] * 29), "mine.jsonl"))
    warned(table, "Fewer than 30", "'b' 29")
    assert not any("'a' 30" in w for w in table.warnings)


# --- tags


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        ("IOB1", "I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("IOB2", "O I-PER I-PER", "O B-PER I-PER"),
        ("IOB2", "B-PER I-LOC", "B-PER B-LOC"),
        ("BIOES", "B-PER E-PER E-PER", "B-PER I-PER B-PER"),
        ("BIOES", "S-PER I-PER E-PER", "B-PER B-PER I-PER"),
        ("bilou", "B-A-B I-A-B L-A-B", "B-A-B I-A-B I-A-B"),
    ],
)
def test_schemes_become_iob2(scheme, tags, expected):
    assert to_iob2(tags.split(), scheme) == expected.split()


@pytest.mark.parametrize("tag", ["PER", "B-", "-PER", "BI-PER", "b-PER", "O-PER", "E-PER", ""])
def test_a_tag_outside_the_scheme_is_named(tag):
    with pytest.raises(TableError) as caught:
        to_iob2(["O", tag], "IOB2")
    assert repr(tag) in str(caught.value)
    assert "B-TYPE" in str(caught.value)


def test_an_unknown_scheme_lists_the_schemes():
    with pytest.raises(TableError, match="BMES.*IOB1.*BILOU"):
        to_iob2(["O"], "BMES")


def test_spans_agree_with_nervaluate_on_random_tags():
    from nervaluate.utils import collect_named_entities

    rng = random.Random(1)
    for _ in range(300):
        tags = rng.choices(["O", "B-A", "I-A", "B-B", "I-B"], k=rng.randint(1, 12))
        theirs = [(e["label"], e["start"], e["end"] + 1) for e in collect_named_entities(tags)]
        assert spans(tags) == theirs, tags


def test_every_scheme_spells_the_same_random_entities():
    rng = random.Random(2)
    for _ in range(200):
        entities, written, end = [], {s: [] for s in ("IOB1", "IOB2", "BIOES", "BILOU")}, 0
        last = None  # the type of the entity that ends at the position before
        for _ in range(rng.randint(1, 6)):
            kind, size = rng.choice(["O", "A", "B"]), rng.randint(1, 3)
            if kind == "O":
                tags = dict.fromkeys(written, ["O"] * size)
                last = None
            else:
                entities.append((kind, end, end + size))
                tags = {
                    "IOB1": ("B" if last == kind else "I") + "I" * (size - 1),
                    "IOB2": "B" + "I" * (size - 1),
                    "BIOES": "S" if size == 1 else "B" + "I" * (size - 2) + "E",
                    "BILOU": "U" if size == 1 else "B" + "I" * (size - 2) + "L",
                }
                tags = {s: [f"{p}-{kind}" for p in prefixes] for s, prefixes in tags.items()}
                last = kind
            end += size
            for scheme, more in tags.items():
                written[scheme] += more
        for scheme, tags in written.items():
            assert spans(to_iob2(tags, scheme)) == entities, (scheme, tags)


# --- CoNLL files


def conll(*sentences):
    """Write sentences of tags as a file, with a token of its own for each tag."""
    lines = []
    for number, tags in enumerate(sentences):
        lines += [f"w{number}_{i} {tag}" for i, tag in enumerate(tags.split())] + [""]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("scheme", "sentences"),
    [
        ("IOB2", ["B-PER I-PER O", "B-LOC"]),
        ("IOB1", ["I-PER I-PER O", "I-LOC B-LOC"]),
        ("BIOES", ["B-PER E-PER O", "S-LOC"]),
        ("BILOU", ["B-PER L-PER O", "U-LOC"]),
    ],
)
def test_the_scheme_is_read_from_the_tags(write, scheme, sentences):
    table = load_ner(write(conll(*sentences), "mine.txt"))
    assert table.scheme == scheme
    assert table.entity_types == ["LOC", "PER"]
    assert table.dataset["tags"][0] == ["B-PER", "I-PER", "O"]
    assert table.dataset["tokens"][0] == ["w0_0", "w0_1", "w0_2"]
    assert not any("break the rules" in w for w in table.warnings)
    assert f"{scheme} in the file" in table.report()


def test_the_layouts_of_the_wild_are_read(write):
    content = (
        "-DOCSTART- -X- -X- O\r\n\r\n"
        "# text = Ann Lee\r\nAnn NNP B-NP B-PER\r\nLee NNP I-NP I-PER\r\n \r\n\r\n"
        "# NN B-NP O\r\nhash NN I-NP O"
    )
    table = load_ner(write(content))
    assert table.dataset["tokens"][:] == [["Ann", "Lee"], ["#", "hash"]]
    assert table.dataset["tags"][:] == [["B-PER", "I-PER"], ["O", "O"]]


def test_tabs_part_columns_and_tokens_may_hold_other_spaces(write):
    table = load_ner(write("New York\tB-LOC\n1\u00a0000\tO\n"))
    assert table.dataset["tokens"][0] == ["New York", "1\u00a0000"]


def test_illegal_transitions_are_repaired_and_counted(write):
    table = load_ner(write(conll("B-PER O", "O I-PER O I-LOC", "B-LOC O B-PER O B-LOC")))
    assert table.scheme == "IOB2"
    assert table.dataset["tags"][1] == ["O", "B-PER", "O", "B-LOC"]
    # Sentence 0 is lines 1-2, line 3 is empty, so the first I-PER is on line 5.
    warned(table, "break", "IOB2: 2", "'I-PER'", "line 5")


def test_unclosed_bioes_entities_are_repaired_and_counted(write):
    table = load_ner(write(conll("S-PER O B-PER I-PER O B-LOC")))
    assert table.scheme == "BIOES"
    assert table.dataset["tags"][0] == ["B-PER", "O", "B-PER", "I-PER", "O", "B-LOC"]
    warned(table, "break", "BIOES: 2", "'I-PER'", "line 4")


def test_tags_without_any_b_are_warned_of(write):
    warned(load_ner(write(conll("I-PER I-PER O"))), "no B-", "read as one")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (conll("S-PER O", "U-PER"), ["'S-PER' (line 1)", "'U-PER' (line 4)", "BILOU"]),
        ("Ann PER\nsees O\nBob B_PER\n", ["line 1", "'PER'", "line 3", "'B_PER'"]),
        (
            "Ann NNP B-PER\nsees O\nBob NNP B-PER\nin NNP X O\n",
            ["line 2: columns: 2", "have 3", "line 4: columns: 4"],
        ),
        ("Ann B-PER\n# a note here\nsees O\n", ["line 2", "# a note here"]),
        ("Ann\tB-PER\n\tO\n", ["line 2", "token is empty"]),
        ("", ["empty"]),
        ("-DOCSTART- O\n", ["no token"]),
        ("Ann\nsees\n", ["one column"]),
        ("Ann,B-PER\n", ["no commas"]),
        ("Ann O\nsees O\n", ["every tag is O"]),
        ("Ren\u00e9 B-PER\n".encode("cp1252"), ["0xe9", 'encoding="cp1252"']),
    ],
)
def test_a_file_of_entities_that_cannot_be_used_is_refused(refuse, content, parts):
    refuse(content, *parts, loader=load_ner)


def test_ner_warnings_name_types_lengths_and_repeats(write):
    content = "a B-PER\nb O\n\na B-Per\nb O\n\n" + "x O\n" * 301 + "\n" + "y O\n" * 300
    table = load_ner(write(content))
    warned(table, "'PER' and 'Per'")
    warned(table, "Fewer than 5", "PER 1")
    warned(table, "more than 300 tokens: 1", "line 7")
    warned(table, "Sentences that repeat", ": 1", "line 4 repeats line 1")


# --- chats

USER, ANSWER = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
SYSTEM = {"role": "system", "content": "Be brief."}


def chat(*messages, **more):
    return {"messages": list(messages), **more}


def refuse_chat(refuse, *conversations):
    return refuse(jsonl(*conversations), name="chat.jsonl", loader=load_chat)


def test_chats_load_as_messages(write):
    table = load_chat(write(jsonl(chat(SYSTEM, USER, ANSWER), chat(USER, ANSWER, USER, ANSWER))))
    assert table.dataset["messages"][0] == [SYSTEM, USER, ANSWER]
    assert table.warnings == []
    for part in ("2 conversations", "3 answers", "with a system message: 1"):
        assert part in table.report()


def test_what_is_written_reads_back(tmp_path):
    odd = [USER, {"role": "assistant", "content": 'é 🎬 "quoted"\nline\u2028two'}]
    path = write_chat(tmp_path / "folder" / "chat.jsonl", [odd, chat(SYSTEM, *odd)])
    table = load_chat(path)
    assert table.dataset["messages"][:] == [odd, [SYSTEM, *odd]]
    again = write_chat(tmp_path / "again.jsonl", table.dataset)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("conversation", "parts"),
    [
        ({"message": []}, ["'message'", "Rename"]),
        ({"conversations": []}, ["ShareGPT"]),
        ({"instruction": "x", "output": "y"}, ["Alpaca"]),
        ({"messages": []}, ["at least one"]),
        ({"messages": "hi"}, ["'hi'", "list"]),
        (chat("hi"), ["messages[0]", "'hi'"]),
        (chat({"content": "x"}, ANSWER), ["messages[0]", '"role"']),
        (chat(USER, {"role": "assistant"}), ["messages[1]", '"content"']),
        (chat(USER, {"role": "assistant", "content": " "}), ["messages[1]", "empty"]),
        (chat(USER, {"role": "assistant", "content": None}), ["messages[1]", "NoneType"]),
        (chat({"role": "user", "content": [{"type": "text"}]}, ANSWER), ["messages[0]", "list"]),
        (chat(USER, {"role": "assistant", "content": "\ud83c"}), ["messages[1]", "escapes"]),
        (chat({"role": "human", "content": "x"}, ANSWER), ["messages[0]", "'human'", "'user'"]),
        (chat({"role": "User", "content": "x"}, ANSWER), ["'User'", "Write 'user'"]),
        (chat(USER), ["messages[0]", "no answer"]),
        (chat(SYSTEM), ["messages[0]", "no answer"]),
        (chat(USER, USER, ANSWER), ["messages[1]", "'assistant' should", "join"]),
        (chat(USER, SYSTEM, ANSWER), ["messages[1]", "'system'"]),
        (chat(ANSWER), ["messages[0]", "'user' should"]),
    ],
)
def test_a_malformed_conversation_names_line_message_and_remedy(refuse, conversation, parts):
    message = refuse_chat(refuse, chat(USER, ANSWER), conversation)
    for part in ["line 2", *parts]:
        assert part in message


def test_chat_lines_that_are_not_json_are_named(refuse):
    refuse(jsonl(chat(USER, ANSWER)) + "{oops\n", "line 2", "column 2", loader=load_chat)


def test_unknown_keys_and_duplicates_are_warned_of(write):
    heavy = {**ANSWER, "weight": 0}
    table = load_chat(write(jsonl(chat(USER, heavy, id=7), chat(USER, ANSWER))))
    warned(table, "'weight'", "line 1, messages[1]")
    warned(table, "'id'", "line 1")
    warned(table, "repeat", "one: 1", "line 2 repeats line 1")
    assert table.dataset["messages"][0] == [USER, ANSWER]


@pytest.mark.parametrize(
    ("conversations", "part"),
    [
        ([], "no conversation"),
        ([[USER, ANSWER], [USER]], "conversation 2, messages[0]"),
        ([[USER, {**ANSWER, "weight": 1}]], "'weight'"),
        (["text"], "list"),
    ],
)
def test_a_bad_conversation_is_not_written(tmp_path, conversations, part):
    path = tmp_path / "chat.jsonl"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(TableError) as caught:
        write_chat(path, conversations)
    assert part in str(caught.value)
    assert path.read_text(encoding="utf-8") == "before"
