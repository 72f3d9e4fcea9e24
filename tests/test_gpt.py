"""The methods of the pre-trained decoder: what they ask, what they learn, what they refuse."""

import json

import numpy as np
import pytest
import tiny_decoders
import torch
from datasets import Dataset

from helpers import grid, ledger, training
from helpers.decoding import Prompt, head_from_words, label_scores
from helpers.methods import Corpus, decoders
from helpers.pretrained import load_decoder
from helpers.runtime import PROFILES, Run

METHODS = {name: m for name, m in grid.methods_of("gpt").items() if "decoder" in name}
TEXTS = ["a good film of a good man", "bad", "a film, neither", "good good"]
WORDS = Prompt("words", "Review: {text}\nSentiment:", {"no": "negative", "yes": "positive"})


@pytest.fixture(scope="module")
def corpus():
    return Corpus(PROFILES["smoke"])


@pytest.fixture(scope="module", params=["save_gpt2", "save_llama"])
def folder(request, tmp_path_factory):
    return getattr(tiny_decoders, request.param)(tmp_path_factory.mktemp("decoder"))


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


# --- from asking to fine-tuning -------------------------------------------------------------------


def test_before_training_the_classifier_answers_as_zero_shot_does(folder):
    asked = load_decoder(source=folder, echo=None)
    tuned = load_decoder("classification", label_names=["no", "yes"], source=folder, echo=None)
    head_from_words(tuned, WORDS)
    prompts = [WORDS.fill(text) for text in TEXTS]
    scores = label_scores(asked, prompts, WORDS.words)
    rows = decoders.rows_of(tuned, TEXTS)
    logits = training.predict(tuned.model, rows, pad_id=tuned.pad_id)
    # Both are the words' logits; the likelihood has a constant of each text taken off.
    assert np.allclose(np.diff(scores), np.diff(logits), atol=1e-4)


def test_a_head_needs_one_token_a_label_and_as_many_labels(folder):
    loaded = load_decoder("classification", source=folder, echo=None)
    three = Prompt("three", "{text} is", {"a": "positive", "b": "negative", "c": "good"})
    with pytest.raises(ValueError, match=r"3 labels and the model 2; load it with label_names"):
        head_from_words(loaded, three)
    long = Prompt("long", "{text} is", {"a": "positive", "b": "quite unheard of"})
    with pytest.raises(ValueError, match="'quite unheard of' is more than one token"):
        head_from_words(loaded, long)


def test_a_model_with_other_output_vectors_keeps_its_head(tmp_path):
    source = tiny_decoders.save_llama(tmp_path, tie_word_embeddings=False)
    loaded = load_decoder("classification", source=source, echo=None)
    before = loaded.model.head.weight.clone()
    with pytest.raises(ValueError, match="predicts words with other vectors"):
        head_from_words(loaded, WORDS)
    assert torch.equal(loaded.model.head.weight, before)


# --- asking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", decoders.PROMPTS, ids=lambda prompt: prompt.name)
def test_zero_shot_takes_the_likelier_word_of_each_prompt(corpus, prompt):
    method = METHODS[f"decoder, zero-shot: {prompt.name}"]
    (configuration,) = method.configurations
    fitted = method.fit(corpus, corpus.labelled(0, 0), 0, **configuration)
    loaded = decoders.decoder(corpus)
    asked = decoders.shots(loaded, prompt)
    expected = label_scores(loaded, [asked.whole(t) for t in TEXTS], prompt.words)
    assert np.array_equal(fitted.predict(TEXTS), expected.argmax(axis=1))
    assert fitted.trainable_parameters == 0
    assert fitted.artefact_bytes == len(asked.whole("").encode())  # the prompt is all there is


def test_only_the_chat_prompt_is_written_as_a_chat(corpus):
    loaded = decoders.decoder(corpus)
    chats = [p.name for p in decoders.PROMPTS if "<|im_start|>" in decoders.shots(loaded, p).after]
    assert chats == ["chat"]
    loaded.tokenizer.chat_template, kept = None, loaded.tokenizer.chat_template
    try:
        asked = decoders.shots(loaded, decoders.PROMPTS[-1])
    finally:
        loaded.tokenizer.chat_template = kept
    assert "<|im_start|>" not in asked.whole("x") and "one word." in asked.whole("x")


def test_examples_stand_in_the_prompt_in_drawn_order_with_their_words(corpus):
    examples = list(corpus.labelled(4, 1))
    prefix = decoders.shots(decoders.decoder(corpus), decoders.REVIEW, examples).prefix
    word = ("negative", "positive")
    lines = [f"Review: {e['text']}\nSentiment: {word[e['label']]}\n\n" for e in examples]
    assert prefix == "".join(lines)
    assert sorted(e["label"] for e in examples) == [0, 0, 1, 1]


def test_calibration_divides_by_what_the_labels_have_without_a_text(corpus):
    loaded = decoders.decoder(corpus)
    plain = decoders.answer_with(loaded, decoders.REVIEW, [*TEXTS, *decoders.NEUTRAL])
    after = decoders.answer_with(loaded, decoders.REVIEW, TEXTS, calibrated=True)
    share = np.exp(plain[-3:]) / np.exp(plain[-3:]).sum(axis=1, keepdims=True)
    assert np.allclose(after, plain[:4] - np.log(share.mean(axis=0)), atol=1e-4)


def test_what_is_asked_is_signed_with_the_labels_it_showed(corpus):
    run = Run("test", PROFILES["smoke"], 0, "cpu", 1)
    for name, labels in (("decoder, zero-shot", 0), ("decoder, in context, calibrated", 4)):
        method = METHODS[name]
        budget = method.budgets(corpus.profile)[0]
        cell = grid.run_cell(method, corpus, budget, 0, method.configurations[0], "test")
        row = grid.to_row(run, method, corpus, cell)
        assert (row["labels"], row["trainable_parameters"]) == (labels, 0)
        ledger.check(row)


# --- fine-tuning ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decoder, top four", "decoder, fine-tuned"])
def test_tuning_learns_the_texts_it_was_trained_on(corpus, name):
    labelled = corpus.labelled(32, 0)
    fitted = METHODS[name].fit(corpus, labelled, 0, num_epochs=30, learning_rate=3e-3)
    answers = fitted.predict(labelled["text"][:])
    assert np.mean(answers == np.array(labelled["label"][:])) > 0.8


def test_only_the_blocks_that_are_tuned_move(corpus):
    labelled = corpus.labelled(32, 0)
    for blocks, word_vectors in ((1, False), ("all", True)):
        before = weights(decoders.classifier(corpus).model)
        loaded, _ = decoders.tune(corpus, labelled, 0, blocks, num_epochs=2, learning_rate=1e-2)
        after = weights(loaded.model)
        moved = {name for name in after if not torch.equal(after[name], before[name])}
        depth = loaded.model.config.num_hidden_layers
        tuned = {name.split(".")[2] for name in moved if ".layers." in name}
        assert tuned == {str(i) for i in range(depth - 1 if blocks == 1 else 0, depth)}
        assert any("embed" in name for name in moved) == word_vectors
        assert "head.weight" in moved


def test_the_control_is_the_same_network_at_random(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DECODER", str(tiny_decoders.save_llama(tmp_path)))
    wanted = ((0, True), (1, True), (0, False), (1, False))
    models = [decoders.classifier(corpus, seed, weights=w).model for seed, w in wanted]
    real, same, control, other = (m.decoder.layers[0].mlp.up_proj.weight for m in models)
    assert torch.equal(real, same) and real.shape == control.shape
    assert not torch.equal(real, control) and not torch.equal(control, other)


def test_rows_are_what_asking_reads_and_no_prompt_is_cut(folder):
    loaded = load_decoder("classification", source=folder, echo=None)
    rows = decoders.rows_of(loaded, TEXTS, [0, 1, 1, 0])
    for ids, text in zip(rows["input_ids"], TEXTS, strict=True):
        assert loaded.tokenizer.decode(ids) == decoders.REVIEW.fill(text)
    assert rows["labels"][:] == [0, 1, 1, 0]
    with pytest.raises(ValueError, match=r"Prompt 1 is too long: .* Shorten its text"):
        decoders.rows_of(loaded, ["short", "long " * 100])


@pytest.mark.parametrize("save", [tiny_decoders.save_gpt2, tiny_decoders.save_llama])
def test_the_gpu_profile_runs_every_method_on_another_decoder(save, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DECODER", str(save(tmp_path)))
    corpus = Corpus(PROFILES["gpu"])
    labelled = Dataset.from_dict({"text": TEXTS, "label": [1, 0, 0, 1]})  # its context is tiny
    for method in METHODS.values():
        quick = {"num_epochs": 1} if "learning_rate" in method.configurations[0] else {}
        settings = {**method.configurations[0], **quick}
        if "min_steps" in settings:
            settings["min_steps"] = 1
        first = method.budgets(corpus.profile)[0]
        given = labelled.select(range({4: 1, 0: 0}.get(first, 4)))
        method.prepare(corpus, **settings)
        answers = method.fit(corpus, given, 0, **settings).predict(TEXTS[1:])
        assert set(answers) <= {0, 1} and len(answers) == len(TEXTS) - 1
    assert len(decoders.sizes(corpus)) == 2


# --- the grid -------------------------------------------------------------------------------------


def test_a_grid_of_zero_shot_is_one_row_a_prompt(tmp_path, corpus):
    names = ["decoder, zero-shot: review", "decoder, zero-shot"]
    paths = {"path": tmp_path / "l.jsonl", "choices_path": tmp_path / "c.json"}
    grid.run_missing("gpt", names, profile="smoke", echo=lambda line: None, **paths)
    rows = ledger.read(paths["path"])
    assert [(row["method"], row["labels"]) for row in rows] == [(name, 0) for name in names]
    tried = json.loads(paths["choices_path"].read_text("utf-8"))["decoder, zero-shot (smoke)"]
    assert [t["configuration"]["prompt"] for t in tried["tried"]] == [
        prompt.name for prompt in decoders.PROMPTS
    ]


def test_every_prompt_has_its_words_in_the_order_of_the_labels():
    assert len({prompt.name for prompt in decoders.PROMPTS}) == 5
    assert {tuple(prompt.words) for prompt in decoders.PROMPTS} == {("negative", "positive")}
