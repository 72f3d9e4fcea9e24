"""`course finetune` and `course predict` from file to folder, and what they refuse."""

import csv
import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest
from finetune_files import FILES, course, write_files
from huggingface_hub import ModelCard
from interrupted import Stop
from safetensors.numpy import load_file

from helpers import finetune, training
from helpers.finetune import models, predicting
from helpers.finetune.baselines import LinearModel
from helpers.finetune.card import model_card
from helpers.finetune.folder import UNPACKING
from helpers.finetune.models import ProseModel
from helpers.runtime import PROFILES

SMOKE = PROFILES["smoke"]


@pytest.fixture(autouse=True)
def smoke(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    for name in ("COURSE_ENCODER", "COURSE_DECODER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """Name of a run -> its folder, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("out"), {}

    def get(name):
        if name not in made:
            file, options = FILES[name]
            made[name] = folder / name
            assert course("finetune", files / file, "--output", made[name], *options) == 0
        return made[name]

    return get


@pytest.mark.parametrize("name", FILES)
def test_a_file_becomes_a_folder_with_a_model_and_an_honest_card(name, finished):
    folder = finished(name)
    card = json.loads((folder / "course.json").read_text())
    numbers = json.loads((folder / "metrics.json").read_text())
    page = (folder / "README.md").read_text()
    assert numbers["test"]["times"] == 1
    assert numbers["test"]["examples"] == numbers["split"]["test"]
    assert numbers["test"]["low"] <= numbers["test"]["value"] <= numbers["test"]["high"]
    assert f"{numbers['test']['value']:.3f}" in page
    assert f"{numbers['baseline']['value']:.3f}" in page
    assert set(card["files"]) | {"README.md", "course.json"} == {p.name for p in folder.iterdir()}
    assert not [p for p in folder.rglob("*") if p.suffix in UNPACKING]
    assert any(p.suffix == ".safetensors" for p in folder.iterdir())
    metadata = ModelCard(page).data
    kind = {"ner": "token-classification", "text": "text-generation", "chat": "text-generation"}
    assert metadata.pipeline_tag == kind.get(name, "text-classification")
    assert metadata.license is None and metadata.base_model is None  # the base is a toy
    [result] = metadata.eval_results
    assert result.metric_value == pytest.approx(numbers["test"]["value"], abs=1e-4)
    assert result.metric_type == metadata.metrics[0]


@pytest.mark.parametrize(
    ("source", "base"),
    [
        ("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("someone/a-model@main", "someone/a-model"),
        ("/a/folder", None),
    ],
)
def test_the_card_names_the_base_as_the_hub_does(source, base, finished):
    numbers = json.loads((finished("lora") / "metrics.json").read_text())
    numbers["base"]["source"] = source
    assert ModelCard(model_card(numbers, "mine")).data.get("base_model") == base


@pytest.mark.parametrize("name", FILES)
def test_predict_prints_an_answer(name, finished, capsys):
    folder = finished(name)
    capsys.readouterr()
    assert course("predict", folder, "the film was superb") == 0
    said = capsys.readouterr().out.strip()
    assert said
    if name in ("linear", "encoder", "lora"):
        label, probability = said.split("\t")
        assert label in json.loads((folder / "course.json").read_text())["label_names"]
        assert 0 < float(probability) <= 1


def test_names_are_answered_with_where_they_stand(finished):
    text = "we saw Anna Smith in Rome ."
    [found] = finetune.answer(finished("ner"), [text])
    assert found["text"] == text
    assert all(text[e["start"] : e["end"]] == e["text"] for e in found["entities"])
    assert {e["type"] for e in found["entities"]} <= {"PER", "LOC"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_saved_model_answers_exactly_as_before(name, files, tmp_path):
    file, options = FILES[name]
    columns = {"text": "review", "label": "stars"} if "stars" in options else {}
    data = finetune.read(files / file, **columns)
    parts = finetune.split(data)
    method = {"linear": "linear", "encoder": "encoder", "ner": "encoder"}.get(name, "lora")
    trained = finetune.train(parts, method, profile=SMOKE)
    tested = finetune.test_once(trained, parts, profile=SMOKE)
    model = finetune.load(finetune.save(trained, parts, tested, tmp_path / "out", data))
    items = parts.validation.items
    ask = {"classification": "probabilities", "ner": "tags"}.get(data.task, "losses")
    after, before = (getattr(each, ask)(items) for each in (model, trained.model))
    assert after == before if data.task == "ner" else np.array_equal(after, before)


def test_a_file_of_answers_has_its_texts_and_labels_and_can_be_asked_again(
    finished, files, tmp_path
):
    paths = [files / "two.csv", tmp_path / "first.csv", tmp_path / "second.csv"]
    for asked, out in itertools.pairwise(paths):
        assert course("predict", finished("linear"), "--file", asked, "--output", out) == 0
    asked, first, second = (list(csv.DictReader(path.read_text().splitlines())) for path in paths)
    assert [{key: row[key] for key in ("text", "label")} for row in first] == asked
    assert np.mean([row["predicted_label"] == row["label"] for row in first]) > 0.9
    assert [{key: row[key] for key in first[0]} for row in second] == first
    again = [row["predicted_predicted_label"] for row in second]
    assert again == [row["predicted_label"] for row in first]
    assert sorted(tmp_path.iterdir()) == paths[1:]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_other_columns_of_a_file_stand_beside_the_answers(suffix, finished, tmp_path):
    (tmp_path / "in.csv").write_text("id,body\n7,a superb film\n8,an awful film\n")
    out = tmp_path / f"out.{suffix}"
    asked = ("--file", tmp_path / "in.csv", "--text", "body", "--output", out)
    assert course("predict", finished("linear"), *asked) == 0
    if suffix == "csv":
        rows = list(csv.DictReader(out.read_text().splitlines()))
    else:
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [list(row) for row in rows] == [["id", "body", "label", "probability"]] * 2
    assert [(row["id"], row["label"]) for row in rows] == [("7", "good"), ("8", "bad")]


def killed_in_call(number, function, calls):
    """The function, as if the program were killed in one of its calls; these are counted."""

    def called(self, items, *options):
        calls.append(len(items))
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(self, items, *options)

    return called


@pytest.mark.slow
def test_written_answers_outlive_a_kill(finished, tmp_path, monkeypatch, capsys):
    asked, out, part = (tmp_path / name for name in ("in.txt", "out.csv", "out.csv.part"))
    asked.write_text("\n\n".join(f"the film {'was ' * i}" for i in range(1, 12)))
    order = ("predict", finished("text"), "--max-new-tokens", 4, "--file", asked, "--output", out)
    monkeypatch.setitem(predicting.AT_ONCE, "text", 4)
    calls: list[int] = []
    monkeypatch.setattr(ProseModel, "write", killed_in_call(3, ProseModel.write, calls))
    assert course(*order) == 130
    assert not out.exists() and len(part.read_text().splitlines()) == 1 + 8
    part.write_text(part.read_text()[:-9])  # the last line was cut off, too
    capsys.readouterr()
    assert course(*order) == 0
    assert calls == [4, 4, 3, 4]
    assert "7 of 11 answers are in" in capsys.readouterr().out and not part.exists()
    assert course(*order[:-1], tmp_path / "whole.csv") == 0
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    part.write_text('{"model": "other"}\n{"text": "a", "generated": "b"}\n')
    out.unlink()
    assert course(*order) == 2  # not gone on with by another model
    assert "model" in capsys.readouterr().err and len(part.read_text().splitlines()) == 2


def test_a_killed_prediction_of_classes_leaves_no_half_file(finished, files, tmp_path, monkeypatch):
    order = ("--file", files / "two.csv", "--output", tmp_path / "out.csv")
    folder = finished("linear")
    monkeypatch.setitem(predicting.AT_ONCE, "classification", 30)
    killed = killed_in_call(2, LinearModel.probabilities, [])
    monkeypatch.setattr(LinearModel, "probabilities", killed)
    assert course("predict", folder, *order) == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["encoder", "lora"])
def test_a_killed_run_goes_on_to_the_same_model(method, files, tmp_path, monkeypatch, capsys):
    whole, cut, fit = tmp_path / "whole", tmp_path / "cut", training.fit
    order = ("finetune", files / "two.csv", "--method", method, "--batch-size", 16, "--output")
    assert course(*order, whole) == 0
    with monkeypatch.context() as patch:
        patch.setattr(models, "FEW_STEPS", 1)
        patch.setattr(training, "fit", lambda *a, **k: fit(*a, on_step=Stop(5), **k))
        assert course(*order, cut) == 130
    assert not (cut / "course.json").exists()
    assert course("predict", cut, "a text") == 2
    assert course(*order, cut) == 2
    assert "--resume" in capsys.readouterr().err
    assert course(*order, cut, "--seed", 1, "--resume") == 2
    assert "seed" in capsys.readouterr().err
    progress = next(cut.rglob("fit.json"))
    state = json.loads(progress.read_text())
    progress.write_text(json.dumps(state | {"seconds": state["seconds"] + 1000}))
    assert course(*order, cut, "--resume") == 0
    seconds = json.loads((cut / "metrics.json").read_text())["training"]["seconds"]
    assert seconds > 1000  # the part before the kill counts, too
    for path in whole.glob("*.safetensors"):
        mended = load_file(cut / path.name)
        for name, value in load_file(path).items():
            np.testing.assert_array_equal(mended[name], value)
    assert course(*order, cut, "--resume") == 0
    assert "finished already" in capsys.readouterr().out


def test_a_dry_run_says_what_it_would_cost_and_trains_nothing(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "fit", None)
    for method in ("linear", "encoder", "lora"):
        order = ("finetune", files / "two.csv", "--method", method, "--dry-run")
        assert course(*order, "--output", tmp_path / "out") == 0
        said = capsys.readouterr().out
        assert "minutes and" in said and "GB" in said
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(finished, files, tmp_path, capsys):
    folder = finished("linear")
    before = (folder / "course.json").read_bytes()
    assert course("finetune", files / "two.csv", "--output", folder) == 2
    assert "finished model" in capsys.readouterr().err
    assert (folder / "course.json").read_bytes() == before
    table = shutil.copy(files / "two.csv", tmp_path / "two.csv")
    assert course("predict", folder, "--file", table, "--output", table) == 2
    assert "Choose another --output" in capsys.readouterr().err
    assert table.read_bytes() == (files / "two.csv").read_bytes()


@pytest.mark.parametrize(
    ("file", "content", "options", "words"),
    [
        ("a.csv", "text,label\nfine,good\n", ["--text", "body"], ["no column 'body'", "text"]),
        ("a.csv", "text,label\nfine,good\n,bad\n", [], ["line 3", "empty"]),
        ("a.csv", "text,label\n" + "fine {},good\n" * 9, [], ["nothing to tell apart"]),
        ("a.csv", "text,label\n" + "".join(f"t {i},{'ab'[i > 5]}\n" for i in range(9)), [],
         ["class 'b' has 3 of the 5"]),
        ("a.jsonl", '{"prompt": "x", "completion": "y"}\n', [], ["messages"]),
        ("a.conll", "Rome B-LOC\nis X-LOC\n", ["--task", "ner"], ["X-LOC"]),
        ("a.txt", "one line\nand another\n", [], ["2 examples", "20 or more"]),
        ("a.xlsx", "text,label\n", [], [".xlsx"]),
        ("a.csv", "text,label\n" + "".join(f"t {i},{'ab'[i % 2]}\n" for i in range(40)),
         ["--test-size", "0.6"], ["test_size"]),
        ("a.txt", "\n".join(f"line {i}" for i in range(40)), ["--method", "linear"],
         ["--method lora"]),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_says_what_to_mend(
    file, content, options, words, tmp_path, capsys
):
    (tmp_path / file).write_text(content, encoding="utf-8")
    assert course("finetune", tmp_path / file, "--output", tmp_path / "out", *options) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("linear.safetensors", "half", "linear.safetensors is not what was saved"),
        ("linear.safetensors", None, "linear.safetensors is missing"),
        ("course.json", '{"format": 1', "damaged"),
        ("course.json", None, "did not write it"),
        ("pytorch_model.bin", "", "pytorch_model.bin"),  # could run code
    ],
)
def test_a_folder_that_is_not_as_it_was_saved_is_refused(
    file, content, words, finished, tmp_path, capsys
):
    folder = shutil.copytree(finished("linear"), tmp_path / "changed")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    assert course("predict", folder, "a text") == 2
    assert words in capsys.readouterr().err
    assert course("predict", tmp_path / "nowhere", "a text") == 2
    assert "There is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["model.pkl", "../outside.safetensors"])
def test_a_card_cannot_name_files_that_the_tool_never_writes(file, finished, tmp_path, capsys):
    folder = shutil.copytree(finished("linear"), tmp_path / "strange")
    card = json.loads((folder / "course.json").read_text())
    card["files"][file] = "0"
    (folder / "course.json").write_text(json.dumps(card))
    assert course("predict", folder, "a text") == 2
    assert file in capsys.readouterr().err


def test_an_adapter_is_not_put_on_another_base(finished, tmp_path, capsys):
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = finished("lora")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "other")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=49_152, num_hidden_layers=2, **shape)).save_pretrained(
        tmp_path / "other"
    )
    assert course("predict", folder, "a text", "--base", tmp_path / "other") == 2
    assert "was trained on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["  "], "Text 1 is empty"),
        ([], "Give a text"),
        (["a text", "--file", "a.txt"], "not both"),
        (["--file", "missing.csv"], "missing.csv"),
        (["--file", "in.csv"], "no column 'text'; it has body, id"),
        (["--file", "empty.txt", "--output", "a.csv"], "empty.txt"),
        (["a text", "--output", "a.xml"], "neither .csv nor .jsonl"),
    ],
)
def test_predict_says_what_it_lacks(arguments, words, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("body,id\nfine,1\n")
    (tmp_path / "empty.txt").write_text("\n \n")
    assert course("predict", finished("linear"), *arguments) == 2
    assert words in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 2


def test_chats_that_wait_for_an_answer_get_one(finished, tmp_path, capsys):
    chat = {"id": 7, "messages": [{"role": "user", "content": "how was film 3?"}]}
    (tmp_path / "ask.jsonl").write_text(json.dumps(chat) + "\n", encoding="utf-8")
    out = tmp_path / "out.jsonl"
    asked = ("--file", tmp_path / "ask.jsonl", "--output", out, "--max-new-tokens", "3")
    assert course("predict", finished("chat"), *asked) == 0
    assert json.loads(out.read_text())["text"] == "how was film 3?"
    for messages in (["how?"], [], "how?", [{"role": "user"}]):
        (tmp_path / "bad.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
        assert course("predict", finished("chat"), "--file", tmp_path / "bad.jsonl") == 2
        assert "bad.jsonl, line 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "linear", "--epochs", "3"], "'linear' has no setting 'num_epochs'"),
        (["--method", "encoder", "--rank", "8"], "'encoder' has no setting 'rank'"),
        (["--method", "encoder", "--epochs", "0"], "num_epochs is 0; give at least 1"),
        (["--method", "lora", "--batch-size", "-1"], "batch_size is -1"),
        (["--method", "lora", "--learning-rate", "0"], "give more than 0"),
        (["--method", "linear", "--base", "minilm"], "Leave out --base"),
    ],
)
def test_a_setting_is_refused_before_anything_is_trained(files, tmp_path, options, words, capsys):
    for dry in ([], ["--dry-run"]):
        out = tmp_path / "out"
        assert course("finetune", files / "two.csv", "--output", out, *options, *dry) == 2
        assert words in capsys.readouterr().err
        assert not out.exists()


def test_the_card_has_the_rate_that_was_used(files, monkeypatch):
    used, fit = [], training.fit

    def watched(*arguments, **options):
        used.append(options["learning_rate"])
        return fit(*arguments, **options)

    monkeypatch.setattr(training, "fit", watched)
    parts = finetune.split(finetune.read(files / "two.csv"))
    for given in (None, 3e-5):
        trained = finetune.train(parts, "encoder", profile=SMOKE, learning_rate=given)
        assert trained.settings["learning_rate"] == used[-1]
    assert used[-1] == 3e-5


@pytest.mark.parametrize("method", ["encoder", "lora"])
def test_in_bfloat16_what_trains_and_what_is_saved_is_float32(files, tmp_path, method):
    half = dataclasses.replace(SMOKE, precision="bfloat16")
    order = finetune.Order(files / "two.csv", tmp_path, method, profile=half)
    assert finetune.finetune(order) == 0
    card = json.loads((tmp_path / "course.json").read_text())
    assert card["settings"]["precision"] == "bfloat16"
    weights = [load_file(path) for path in tmp_path.glob("*.safetensors")]
    assert {str(value.dtype) for file in weights for value in file.values()} == {"float32"}
    [found] = finetune.answer(tmp_path, ["a superb film"])
    assert 0 < found["probability"] <= 1
