"""Networks trained once: found again when they fit, trained when they do not, never half there."""

import dataclasses
import json
import os

import pytest
import torch

from helpers import networks
from helpers.methods import Corpus, checkpoints, neural, pretraining, tiny_gpt
from helpers.methods.checkpoints import Pretraining, find, pretrain
from helpers.runtime import PROFILES


class Mortal(networks.LSTMLanguageModel):
    """A language model that can be made to stop after some steps."""

    steps_left = None

    def forward(self, *arguments, **named):
        if self.training and Mortal.steps_left is not None:
            if not Mortal.steps_left:
                raise KeyboardInterrupt
            Mortal.steps_left -= 1
        return super().forward(*arguments, **named)


def build(corpus):
    size = len(neural.vocabulary(corpus))
    return neural.seeded(0, lambda: Mortal(size, dimensions=8, hidden=8))


def rows(corpus):
    texts = corpus.imdb["train"]["text"][:12]
    return pretraining.training.language_model_windows(
        texts, neural.vocabulary(corpus), neural.tokenize, 8
    ), None


SMALL = Pretraining(
    "small",
    build,
    rows,
    {"num_epochs": 1, "learning_rate": 1e-2, "save_steps": 2},
    describe="twelve texts",
)


@pytest.fixture
def corpus():
    made = Corpus(PROFILES["smoke"])
    neural.vocabulary(made)  # read from the real cache, before it is moved
    return made


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch, corpus):
    monkeypatch.setattr(checkpoints.assets, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(Mortal, "steps_left", None)
    return tmp_path


def no_training(*arguments, **named):
    raise AssertionError("trained although the weights were there")


def same(first, second) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_network_is_trained_once_and_then_found(corpus, folders, monkeypatch):
    trained = find(SMALL, corpus, folders)
    assert not trained.training and not same(trained, build(corpus))
    monkeypatch.setattr(checkpoints.training, "fit", no_training)
    again = find(SMALL, corpus, folders)
    assert again is not trained and not again.training and same(again, trained)
    assert not (folders / "results" / "pretrain" / "small").exists()


def test_other_settings_are_other_weights(corpus, folders):
    trained = find(SMALL, corpus, folders)
    slower = dataclasses.replace(SMALL, settings={**SMALL.settings, "learning_rate": 1e-3})
    assert not same(find(slower, corpus, folders), trained)
    assert len(list((folders / "cache" / "derived").iterdir())) == 2


def test_a_killed_training_goes_on_where_it_stopped(corpus, folders):
    whole = find(SMALL, corpus, folders)
    [kept] = (folders / "cache" / "derived").iterdir()
    kept.unlink()
    Mortal.steps_left = 5
    with pytest.raises(KeyboardInterrupt):
        find(SMALL, corpus, folders)
    assert not list((folders / "cache" / "derived").iterdir())
    Mortal.steps_left = count = 10_000
    resumed = find(SMALL, corpus, folders)
    steps = -(-len(rows(corpus)[0]) // 32)
    assert count - Mortal.steps_left == steps - 4  # two checkpoints of two steps were kept
    assert same(resumed, whole)


def test_what_the_repository_carries_comes_before_the_cache(corpus, folders, monkeypatch):
    said = []
    path = pretrain(SMALL, "smoke", folders / "carried", said.append)
    assert path == folders / "carried" / "small.safetensors"
    assert "small.safetensors" in said[-1]
    monkeypatch.setattr(checkpoints.training, "fit", no_training)
    carried = find(SMALL, corpus, folders / "carried")
    assert carried.embedding.weight.dtype is torch.float32
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["trained_on"] == "twelve texts" and record["profile"] == "smoke"
    assert len(record["loss"]) == record["steps"] and record["loss"][-1] < record["loss"][0]


def test_weights_of_other_settings_are_not_taken_for_ours(corpus, folders):
    pretrain(SMALL, "smoke", folders / "carried", lambda line: None)
    slower = dataclasses.replace(SMALL, settings={**SMALL.settings, "learning_rate": 1e-3})
    found = find(slower, corpus, folders / "carried")
    assert not same(found, find(SMALL, corpus, folders / "carried"))


def looked(corpus, model):
    return {"training": model.training, "sum": float(model.embedding.weight.detach().sum())}


NOTED = dataclasses.replace(SMALL, notes=looked, note_at=(0.0, 0.5, 1.0))


def recorded(what, folder) -> dict:
    path = pretrain(what, "smoke", folder, lambda line: None)
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_notes_are_taken_on_the_way_and_change_no_weight(corpus, folders):
    record = recorded(NOTED, folders / "noted")
    plain = recorded(SMALL, folders / "plain")
    assert record["loss"] == plain["loss"] and "notes" not in plain
    steps = record["steps"]
    assert [note["step"] for note in record["notes"]] == [0, round(steps / 2), steps]
    assert not any(note["training"] for note in record["notes"])
    start = float(build(corpus).embedding.weight.detach().sum())
    assert record["notes"][0]["sum"] == pytest.approx(start)
    assert record["notes"][0]["sum"] != record["notes"][1]["sum"] != record["notes"][2]["sum"]


def test_notes_of_a_killed_training_are_those_of_a_whole_one(corpus, folders):
    whole = recorded(NOTED, folders / "whole")
    Mortal.steps_left = whole["steps"] // 2 + 1  # after the second note, before its checkpoint
    with pytest.raises(KeyboardInterrupt):
        recorded(NOTED, folders / "killed")
    Mortal.steps_left = None
    resumed = recorded(NOTED, folders / "killed")
    assert resumed["notes"] == whole["notes"]


def test_other_words_are_other_weights(corpus):
    renamed = dataclasses.replace(SMALL, words=lambda corpus: ["a", "b"])
    model = build(corpus)
    assert checkpoints._digest(SMALL, corpus, model) != checkpoints._digest(renamed, corpus, model)


def test_a_write_that_fails_leaves_nothing_behind(corpus, folders, monkeypatch):
    def refuse(*paths):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        checkpoints._write(folders / "x" / "w.safetensors", build(corpus), "0", torch.float32)
    assert not list((folders / "x").iterdir())


def test_an_unknown_network_lists_those_there_are():
    with pytest.raises(ValueError, match="lstm-lm"):
        checkpoints.named("lstm")


def test_the_tokenizer_in_the_repository_is_what_imdb_teaches(monkeypatch, tmp_path):
    monkeypatch.undo()  # the real cache
    networks.save_byte_pairs(tiny_gpt.learn_tokenizer(), tmp_path / "again.json")
    again, kept = (
        json.loads(p.read_text("utf-8")) for p in (tmp_path / "again.json", tiny_gpt.TOKENIZER)
    )
    assert again == kept


@pytest.mark.parametrize("name", checkpoints.NAMES)
def test_the_weights_in_the_repository_are_those_the_code_asks_for(name, monkeypatch):
    monkeypatch.undo()  # the real cache
    what, corpus = checkpoints.named(name), Corpus(PROFILES["cpu"])
    monkeypatch.setattr(checkpoints.training, "fit", no_training)
    path = checkpoints.CHECKPOINTS / f"{name}.safetensors"
    digest = checkpoints._digest(what, corpus, what.build(corpus))
    assert checkpoints._read(path, digest) is not None
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["digest"] == digest and record["settings"] == dict(what.settings)
    assert path.stat().st_size <= 12e6
