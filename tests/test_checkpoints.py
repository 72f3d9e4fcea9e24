"""Networks trained once: found again when they fit, trained when they do not, never half there."""

import dataclasses
import json

import pytest
import torch

from helpers import data, grid, networks, training
from helpers.methods import Corpus, checkpoints, common, tiny_gpt
from helpers.methods.checkpoints import Pretraining, find, pretrain
from helpers.pretrained import seeded
from helpers.runtime import PROFILES
from helpers.word_tokenizer import tokenize


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
    size = len(common.vocabulary(corpus))
    with seeded(0):
        return Mortal(size, dimensions=8, hidden=8)


def rows(corpus):
    texts, words = corpus.imdb["train"]["text"][:12], common.vocabulary(corpus)
    return training.language_model_windows(texts, words, tokenize, 8), None


def looked(corpus, model):
    return {"training": model.training, "sum": float(model.embedding.weight.detach().sum())}


SETTINGS = {"num_epochs": 1, "learning_rate": 1e-2, "save_steps": 2}
SMALL = Pretraining("small", build, rows, SETTINGS, describe="twelve texts")
SLOWER = dataclasses.replace(SMALL, settings={**SETTINGS, "learning_rate": 1e-3})
NOTED = dataclasses.replace(SMALL, notes=looked, note_at=(0.0, 0.5, 1.0))


@pytest.fixture
def corpus():
    made = Corpus(PROFILES["smoke"])
    common.vocabulary(made)  # read from the real cache, before it is moved
    return made


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch, corpus):
    monkeypatch.setattr(checkpoints.assets, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(Mortal, "steps_left", None)
    return tmp_path


@pytest.fixture
def no_training(monkeypatch):
    """Call it, and nothing may be trained any more."""

    def refuse(*arguments, **named):
        raise AssertionError("trained although the weights were there")

    return lambda: monkeypatch.setattr(checkpoints.training, "fit", refuse)


def same(first, second) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def recorded(what, folder) -> dict:
    path = pretrain(what, "smoke", folder, lambda line: None)
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_network_is_trained_once_and_then_found(corpus, folders, no_training):
    trained = find(SMALL, corpus, folders)
    assert not trained.training and not same(trained, build(corpus))
    no_training()
    again = find(SMALL, corpus, folders)
    assert again is not trained and not again.training and same(again, trained)
    assert not list((folders / "results" / "pretrain").iterdir())


def test_other_settings_or_words_are_other_weights(corpus, folders):
    assert not same(find(SLOWER, corpus, folders), find(SMALL, corpus, folders))
    assert len(list((folders / "cache" / "derived").iterdir())) == 2
    renamed = dataclasses.replace(SMALL, words=lambda corpus: ["a", "b"])
    model = build(corpus)
    assert SMALL.digest(corpus, model) != renamed.digest(corpus, model)


def test_a_killed_training_continues_where_it_stopped(corpus, folders):
    whole = find(SMALL, corpus, folders)
    [found] = (folders / "cache" / "derived").iterdir()
    found.unlink()
    Mortal.steps_left = 5
    with pytest.raises(KeyboardInterrupt):
        find(SMALL, corpus, folders)
    assert not list((folders / "cache" / "derived").iterdir())
    Mortal.steps_left = count = 10_000
    resumed = find(SMALL, corpus, folders)
    steps = -(-len(rows(corpus)[0]) // 32)
    assert count - Mortal.steps_left == steps - 4  # two checkpoints of two steps were kept
    assert same(resumed, whole)


def test_what_the_repository_carries_comes_before_the_cache(corpus, folders, no_training):
    said = []
    path = pretrain(SMALL, "smoke", folders / "carried", said.append)
    assert path == folders / "carried" / "small.safetensors"
    assert "small.safetensors" in said[-1]
    carried = find(SMALL, corpus, folders / "carried")
    assert carried.embedding.weight.dtype is torch.float32
    assert not same(find(SLOWER, corpus, folders / "carried"), carried)  # of other settings
    no_training()
    assert same(find(SMALL, corpus, folders / "carried"), carried)
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["trained_on"] == "twelve texts" and record["profile"] == "smoke"
    assert len(record["loss"]) == record["steps"] and record["loss"][-1] < record["loss"][0]


def test_notes_are_taken_on_the_way_and_change_no_weight(corpus, folders):
    record, plain = recorded(NOTED, folders / "noted"), recorded(SMALL, folders / "plain")
    assert record["loss"] == plain["loss"] and "notes" not in plain
    notes, steps = record["notes"], record["steps"]
    assert [note["step"] for note in notes] == [0, round(steps / 2), steps]
    assert not any(note["training"] for note in notes)
    start = float(build(corpus).embedding.weight.detach().sum())
    assert notes[0]["sum"] == pytest.approx(start)
    assert notes[0]["sum"] != notes[1]["sum"] != notes[2]["sum"]


@pytest.mark.slow
def test_notes_of_a_killed_training_are_those_of_a_whole_one(corpus, folders):
    whole = recorded(NOTED, folders / "whole")
    Mortal.steps_left = whole["steps"] // 2 + 1  # after the second note, before its checkpoint
    with pytest.raises(KeyboardInterrupt):
        recorded(NOTED, folders / "killed")
    Mortal.steps_left = None
    assert recorded(NOTED, folders / "killed")["notes"] == whole["notes"]


def test_an_unknown_network_lists_those_there_are():
    with pytest.raises(ValueError, match="lstm-lm"):
        grid.pretrain("lstm")


@pytest.mark.slow
def test_the_tokenizer_in_the_repository_is_what_imdb_teaches(monkeypatch, tmp_path):
    monkeypatch.undo()  # the real cache
    learned = networks.train_byte_pairs(data.load_imdb()["train"]["text"][:])
    networks.save_byte_pairs(learned, tmp_path / "again.json")
    again, kept = (
        json.loads(p.read_text("utf-8")) for p in (tmp_path / "again.json", tiny_gpt.TOKENIZER)
    )
    assert again == kept


WHOLE = Corpus(PROFILES["cpu"])  # reads when first asked


@pytest.mark.slow
@pytest.mark.parametrize("what", grid.NETWORKS.values(), ids=lambda what: what.name)
def test_the_weights_in_the_repository_are_those_the_code_asks_for(what, monkeypatch):
    monkeypatch.undo()  # the real cache
    path = checkpoints.CHECKPOINTS / f"{what.name}.safetensors"
    digest = what.digest(WHOLE, what.build(WHOLE))
    assert checkpoints.read_weights(path, digest) is not None
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["digest"] == digest and record["settings"] == dict(what.settings)
    assert path.stat().st_size <= 12e6
