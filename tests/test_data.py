"""The splits and budgets that every figure of the course rests on."""

import hashlib

import pytest
from datasets import Dataset

from helpers import data
from helpers.runtime import PROFILES

REVIEWS = {"train": "ebcca19e", "validation": "abd83367", "test": "1d6a2de0"}
IMDB = {"train": "8299f8fc", "validation": "f9f87921", "test": "fe940eaa"}
BUDGETS = {32: "18e59ff8", 320: "bb975c7b", "all": "e7647141"}
"""Beginnings of the sha256 of all texts: what the recorded results were measured on."""


@pytest.fixture(scope="module")
def reviews():
    return data.load_reviews()


@pytest.fixture(scope="module")
def imdb():
    return data.load_imdb()


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_rule_of_the_splits_on_a_corpus_small_enough_to_do_by_hand():
    rows = [(word, len(word) % 2) for word in ("aa", "bb", "cc", "dd", "a", "b", "c", "d")]
    splits = data.split_rows([*rows, ("AA", 0)], held_out_per_label=1)
    for label, words in ((0, ["aa", "bb", "cc", "dd"]), (1, ["a", "b", "c", "d"])):
        order = sorted(words, key=sha256)
        got = {name: [t for t, y in part if y == label] for name, part in splits.items()}
        assert got == {"test": order[:1], "validation": order[1:2], "train": order[2:]}


def test_ranks_are_counted_within_a_group_and_depend_on_the_seed_not_on_the_order():
    texts, groups = ["a", "b", "c", "d"], [0, 1, 0, 1]
    ranked = list(data.ranked_by_hash(texts, groups, seed=5))
    order = sorted(range(4), key=lambda i: sha256(f"5:{texts[i]}"))
    assert [i for i, _ in ranked] == order
    assert dict(ranked) == {
        i: sum(groups[j] == groups[i] for j in order[:place]) for place, i in enumerate(order)
    }
    backwards = [texts[::-1][i] for i, _ in data.ranked_by_hash(texts[::-1], seed=5)]
    assert backwards == [texts[i] for i in order]


def test_reviews_have_the_published_rows_and_the_fixed_sizes(reviews, imdb):
    assert len(data.raw_rows("rotten_tomatoes")) == 8_530
    assert len(data.raw_rows("imdb")) == 25_000
    sizes = {"train": 6_398, "validation": 1_066, "test": 1_066}
    assert {name: len(split) for name, split in reviews.items()} == sizes
    sizes = {"train": 20_904, "validation": 2_000, "test": 2_000}
    assert {name: len(split) for name, split in imdb.items()} == sizes
    for split in (reviews["test"], reviews["validation"], imdb["test"], imdb["validation"]):
        assert sum(split["label"]) * 2 == len(split)


def test_the_splits_and_the_budgets_are_those_of_the_recorded_results(reviews, imdb):
    def digits(split):
        return sha256("\n".join(split["text"][:]))[:8]

    assert {name: digits(split) for name, split in reviews.items()} == REVIEWS
    assert {name: digits(split) for name, split in imdb.items()} == IMDB
    drawn = {n: digits(data.label_budget(reviews["train"], n, seed=1)) for n in (32, 320, "all")}
    assert drawn == BUDGETS


def test_no_text_is_in_two_splits_not_even_in_another_spelling(reviews, imdb):
    for corpus in (reviews, imdb):
        keys = [{data.normalise(t) for t in split["text"]} for split in corpus.values()]
        assert sum(map(len, keys)) == len(set.union(*keys)) == sum(map(len, corpus.values()))


def test_budgets_are_balanced_and_nested(reviews):
    train = reviews["train"]
    previous = set()
    for n in (32, 100, 320, 1_000, 3_200):
        drawn = data.label_budget(train, n, seed=3)
        assert len(drawn) == n and sum(drawn["label"]) * 2 == n
        assert previous <= set(drawn["text"])
        previous = set(drawn["text"])
    assert previous <= set(data.label_budget(train, "all", seed=3)["text"])


def test_an_odd_budget_gives_the_remainder_to_the_first_class():
    split = Dataset.from_dict({"text": [str(i) for i in range(9)], "label": [0, 1, 2] * 3})
    drawn = data.label_budget(split, 7, seed=0)["label"][:]
    assert [drawn.count(label) for label in (0, 1, 2)] == [3, 2, 2]


def test_a_budget_beyond_the_labels_names_the_class_and_what_it_has():
    split = Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 0, 1]})
    with pytest.raises(ValueError, match=r"needs 2 examples of label 1; there are 1"):
        data.label_budget(split, 4, seed=0)


def test_the_smoke_profile_is_small_balanced_and_a_part_of_the_real_splits(reviews):
    small = data.load_reviews(PROFILES["smoke"])
    assert len(small["train"]) == 240 and len(small["test"]) == 80
    assert set(small["test"]["text"]) <= set(reviews["test"]["text"])
    assert sum(small["test"]["label"]) == 40


def test_news_are_three_hundred_items_and_fifty_more():
    news = data.load_news()
    assert (len(news["background"]), len(news["test"])) == (300, 50)
    assert news["background"]["text"][0].startswith("Hundreds of people have been forced")
