"""What `finetune` does with data: cutting, looking, choosing, and opening the test once."""

import re

import numpy as np
import pytest
from finetune_files import texts_and_labels, write_files
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from helpers import evaluation, finetune
from helpers.data import normalise, text_hash
from helpers.finetune import baselines
from helpers.finetune.baselines import LinearModel, fit_linear
from helpers.finetune.comparison import subset
from helpers.finetune.models import ChatModel
from helpers.finetune.settings import TRAINING_BYTES, WEIGHT_BYTES
from helpers.finetune.splitting import doubtful_labels, split
from helpers.runtime import PROFILES, ROOT

SMOKE = PROFILES["smoke"]


def labelled(rows, **columns):
    names = sorted({label for _, label in rows})
    labels = [names.index(label) for _, label in rows]
    return finetune.Data("classification", [t for t, _ in rows], labels, names, **columns)


def parts_of(parts):
    return parts.train.items, parts.validation.items, parts._test.items


def test_the_test_is_the_first_of_each_class_by_hash_in_every_order_of_the_rows():
    rows = texts_and_labels(60)
    cuts = [parts_of(split(labelled(list(order)))) for order in (rows, rows[::-1], sorted(rows))]
    assert cuts[0] == cuts[1] == cuts[2]
    expected = set()
    for name in ("good", "bad"):
        ordered = sorted((t for t, y in rows if y == name), key=lambda t: text_hash(normalise(t)))
        expected |= set(ordered[:6])
    train, validation, test = cuts[0]
    assert set(test) == expected
    assert len(validation) == 12 and len(train) == 36
    assert not {*train} & {*validation, *test}


def test_copies_are_left_out_and_texts_with_two_labels_too():
    rows = texts_and_labels(60)
    spoiled = [*rows, (f"  {rows[0][0].upper()} ", rows[0][1]), (rows[1][0], "good")]
    parts = split(labelled(spoiled))
    everything = [normalise(t) for part in parts_of(parts) for t in part]
    assert len(everything) == len(set(everything)) == 59
    assert normalise(rows[1][0]) not in everything
    assert any("two answers left out: 1" in note for note in parts.notes)


def test_near_copies_of_held_out_texts_leave_train():
    rows = [(f"{' '.join(f'w{i}{k}' for k in range(30))}", ("a", "b")[i % 2]) for i in range(40)]
    _, _, test = parts_of(split(labelled(rows)))
    twin = next((t, y) for t, y in rows if t in test)
    parts = split(labelled([*rows, (f"{twin[0]} indeed", twin[1])]))
    kept = parts_of(parts)
    both = {twin[0], f"{twin[0]} indeed"}
    assert sum(bool(both & set(part)) for part in kept) == 1
    assert any("near copies" in note for note in parts.notes)


def test_the_test_is_shown_to_one_model_only():
    parts = split(labelled(texts_and_labels(60)))
    first = finetune.train(parts, "linear", profile=SMOKE)
    tested = finetune.test_once(first, parts, profile=SMOKE)
    assert len(tested.score.outcomes) == parts.test_size
    first.method = "another"
    with pytest.raises(ValueError, match="opened for 'linear' already"):
        finetune.test_once(first, parts, first, SMOKE)


@pytest.mark.parametrize(
    ("name", "content", "options", "task"),
    [
        ("a.csv", "text,label\n", {}, "classification"),
        ("a.jsonl", '{"text": "a", "label": 1}\n', {}, "classification"),
        ("a.jsonl", '{"prompt": "x", "kind": "y"}\n', {"text": "prompt", "label": "kind"},
         "classification"),
        ("a.jsonl", '{"prompt": "x", "kind": "y"}\n', {}, "chat"),
        ("a.jsonl", '{"messages": []}\n', {}, "chat"),
        ("a.txt", "Rome B-LOC\nis O\nbig O\n", {}, "ner"),
        ("a.txt", "Rome is big.\n", {}, "text"),
        ("a.txt", "Ein schöner Film.\n", {"encoding": "cp1252"}, "text"),
        ("a.conll", "-DOCSTART- O\n\nRome NNP B-LOC\nis VBZ O\n", {}, "ner"),
    ],
)  # fmt: skip
def test_the_file_tells_what_it_is_for(name, content, options, task, tmp_path):
    (tmp_path / name).write_text(content, encoding=options.get("encoding", "utf-8"))
    assert finetune.guess_task(tmp_path / name, **options) == task


def test_looking_finds_planted_copies_leaks_and_wrong_labels():
    rows = texts_and_labels(200)
    wrong = {10: "bad", 31: "good"}
    spoiled = [(t, wrong.get(i, y)) for i, (t, y) in enumerate(rows)]
    spoiled += [(t.upper(), y) for i, (t, y) in enumerate(spoiled[:40]) if i not in wrong]
    look = finetune.inspect(labelled(spoiled, summary="planted"))
    assert look.copies == 38
    assert look.leaks > 0
    trained_on = {normalise(t) for t in split(labelled(spoiled)).train.items}
    findable = {i for i in wrong if normalise(rows[i][0]) in trained_on}
    assert findable <= {row for row, *_ in look.doubtful}
    assert "copies of earlier examples: 38" in look.report()


def test_a_label_is_doubted_by_the_thresholds_of_confident_learning():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.45, 0.55]])
    data = finetune.Data("classification", list("abcd"), [0, 0, 1, 1], ["x", "y"])
    # Thresholds: x (0.9 + 0.8) / 2 = 0.85, y (0.3 + 0.55) / 2 = 0.425: nothing is doubted.
    assert doubtful_labels(data, [0, 1, 2, 3], p) == []
    # x 0.9, y (0.1 + 0.55) / 2: the third reaches 0.9 for x.
    assert [row for row, *_ in doubtful_labels(data, [0, 1, 2, 3], p[[0, 0, 0, 3]])] == [2]


@pytest.mark.parametrize("classes", [2, 3])
def test_a_linear_model_is_that_of_scikit_learn_and_survives_its_files(classes, tmp_path):
    texts = [t for t, _ in texts_and_labels(60)]
    labels = [i % classes for i in range(60)]
    model = fit_linear(texts, labels, ("words",), 3.0)
    library = library_model(3.0).fit(texts, labels)
    new = ["the film was superb", "zzz", *texts[:5]]
    np.testing.assert_allclose(model.probabilities(new), library.predict_proba(new), atol=1e-5)
    model.save(tmp_path)
    again = LinearModel.load(tmp_path)
    np.testing.assert_array_equal(model.probabilities(new), again.probabilities(new))


def library_model(C=1.0):
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(words, LogisticRegression(C=C, max_iter=1_000, tol=1e-3))


def test_the_cross_validation_is_that_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(baselines, "FEATURES", (("words",),))
    texts = [t for t, _ in texts_and_labels(90)]
    labels = np.array([(i + (i % 7 == 0)) % 3 for i in range(90)])  # some wrong
    found = baselines.cross_validate(texts, labels.tolist(), seed=1)
    drawn, y = [texts[i] for i in found.rows], labels[found.rows]
    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    grid = {"logisticregression__C": baselines.STRENGTHS}
    search = GridSearchCV(library_model(), grid, cv=folds, refit=False).fit(drawn, y)
    assert found.accuracy == pytest.approx(search.best_score_)
    assert search.best_params_["logisticregression__C"] == found.C
    library = cross_val_predict(library_model(found.C), drawn, y, cv=folds, method="predict_proba")
    np.testing.assert_allclose(found.probabilities, library)


def test_subsets_are_nested_and_keep_the_classes():
    parts = split(labelled(texts_and_labels(120)))
    small, large = (subset(parts, n, seed=0).train for n in (12, 36))
    assert set(small.items) < set(large.items) < set(parts.train.items)
    assert sorted(np.bincount(small.labels)) == [6, 6]
    assert set(subset(parts, 12, seed=1).train.items) != set(small.items)


def tried(name, score):
    return finetune.Trained("any", name, None, [], score)


def right(outcomes):
    outcomes = np.array(outcomes, bool)
    return finetune.Score("accuracy", evaluation.bootstrap_interval(outcomes, 200), outcomes)


def spread(nll):
    counts = np.array([[nll + i / 10, 10] for i in range(30)])
    return finetune.Score("perplexity", evaluation.perplexity_interval(counts, 200), counts)


@pytest.mark.parametrize(
    ("cheap", "dear", "chosen"),
    [
        (right([1] * 40), right([1] * 40), "cheap"),
        (right([1, 0] * 20), right([1, 0] * 19 + [1, 1]), "cheap"),  # may be luck
        (right([1, 0] * 20), right([1] * 40), "dear"),
        (spread(30.0), spread(20.0), "dear"),  # the better perplexity is the lower one
        (spread(20.0), spread(30.0), "cheap"),
    ],
)
def test_a_dearer_method_is_chosen_only_when_it_is_better_for_certain(cheap, dear, chosen):
    assert finetune.best([tried("cheap", cheap), tried("dear", dear)]).method == chosen


def test_the_curve_says_that_more_labels_pay_only_when_they_did():
    right = np.ones((1, 200))
    wrong = right.copy()
    wrong[:, ::4] = 0
    climbing = finetune.Curve("linear", {50: wrong, 100: right})
    flat = finetune.Curve("encoder", {50: right.repeat(2, axis=0), 100: right.repeat(2, axis=0)})
    said = finetune.advise([climbing, flat]).splitlines()
    assert "more labels pay" in said[0]
    assert "hardly pay" in said[1]
    assert "has not shown" in said[2]


def test_a_chat_teaches_its_answers_and_one_too_late_is_counted(tmp_path):
    data = finetune.read(write_files(tmp_path) / "chat.jsonl")
    settings = {"rank": 2, "alpha": 4.0, "max_length": 256, "seed": 0}
    model = ChatModel.start([], settings, SMOKE)
    chat = [*data.items[0], {"role": "user", "content": "and?"},
            {"role": "assistant", "content": "Dull."}]  # fmt: skip
    [row] = model.rows([chat])
    learned = [i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
    text = model.loaded.tokenizer.decode(learned)
    assert chat[1]["content"] in text and "Dull." in text
    assert "how was film" not in text and "and?" not in text
    late = [[{"role": "user", "content": "well " * 400}, data.items[0][1]]]
    assert len(model.rows(data.items + late)) == len(data)
    assert model.notes[0].startswith("1 of 31 chats taught nothing")
    assert len(model.rows(data.items)) == len(data) and not model.notes


def test_a_class_whose_texts_are_all_near_copies_is_named_and_no_label_moves():
    rows = texts_and_labels(60)
    marks = "! !! !!! . .. ... ? ??".split()
    rows += [(f"all of this is simply ok and no more than ok {mark}", "alike") for mark in marks]
    with pytest.raises(ValueError, match="Of 'alike' [01] texts would be left"):
        split(labelled(rows))


def test_a_rare_class_stays_in_the_sample_of_a_cross_validation(monkeypatch):
    monkeypatch.setattr(baselines, "MOST_ROWS", 40)
    rows = texts_and_labels(300)
    texts = [t for t, _ in rows] + [f"strange and seldom {i} {'xyz'[i % 3]}" for i in range(6)]
    labels = [int(y == "good") for _, y in rows] + [2] * 6
    found = baselines.cross_validate(texts, labels)
    drawn = np.bincount(np.array(labels)[found.rows])
    assert drawn[2] == 5 and 40 <= len(found.rows) <= 50


def test_the_page_shows_what_training_takes():
    nf4 = 0.5 + 1 / 64 + 4 / (64 * 256)  # 4 bits, a byte for 64 weights, 4 for 256 of these
    ways = (0, 1), (WEIGHT_BYTES, 0.007), (2, 0.007), (nf4, 0.007)  # frozen; share that trains
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d.]+) billion \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) >= 5
    for billions, cells in rows:
        for shown, (frozen, share) in zip(cells.split(" | "), ways, strict=True):
            needed = float(billions) * (frozen + share * (WEIGHT_BYTES + TRAINING_BYTES))
            assert shown == f"{needed:,.1f}"
