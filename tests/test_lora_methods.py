"""LoRA and full fine-tuning as methods of the grid, and what a decoder still knows afterwards."""

import dataclasses

import numpy as np
import pytest
import torch

from helpers import data, evaluation, grid, ledger
from helpers.methods import Corpus, common, decoders, lora
from helpers.runtime import PROFILES, Run

METHODS = grid.methods_of("lora")
STEPS = {"num_epochs": 1, "min_steps": 4, "batch_size": 8}


@pytest.fixture(scope="module")
def corpus():
    return Corpus(PROFILES["smoke"])


def cell_of(corpus, name, budget=32, **settings):
    return grid.run_cell(METHODS[name], corpus, budget, 0, settings, "test")


def rows_of(corpus, name, budget, cell):
    run = Run("test", PROFILES["smoke"], 0, "cpu", 1)
    return grid.to_rows(run, METHODS[name], corpus, budget, cell)


@pytest.fixture(scope="module")
def adapted(corpus):
    return cell_of(corpus, "decoder + LoRA", learning_rate=1e-2, **STEPS)


@pytest.fixture(scope="module")
def untouched(corpus):
    return cell_of(corpus, "decoder, untouched", 0)


def test_lora_and_full_take_the_same_steps_and_differ_in_nothing_but_rates():
    both = [METHODS[name] for name in ("decoder + LoRA", "decoder, full fine-tuning")]
    tried = [[dict(c) for c in method.configurations] for method in both]
    rates = [[c.pop("learning_rate") for c in configurations] for configurations in tried]
    assert len(rates[0]) == len(rates[1]) == 3
    assert all(c == tried[0][0] for configurations in tried for c in configurations)
    assert both[0].choice_budgets(PROFILES["cpu"]) == both[1].choice_budgets(PROFILES["cpu"])


@pytest.mark.slow
def test_lora_trains_a_small_part_and_its_file_is_that_part(corpus, adapted):
    full = cell_of(corpus, "decoder, full fine-tuning", learning_rate=1e-3, **STEPS)
    assert adapted.fitted.trainable_parameters < full.fitted.trainable_parameters
    assert adapted.fitted.artefact_bytes == 4 * adapted.fitted.trainable_parameters


def test_in_bfloat16_every_way_of_tuning_trains_float32_and_answers():
    half = Corpus(dataclasses.replace(PROFILES["smoke"], precision="bfloat16"))
    for name, budget, settings in (
        ("decoder + LoRA", 32, {"learning_rate": 1e-2, **STEPS}),
        ("decoder, full fine-tuning", 32, {"learning_rate": 1e-3, **STEPS}),
        ("decoder, linear probe", 32, {"C": 1.0}),
        ("decoder, untouched", 0, {}),
    ):
        cell = cell_of(half, name, budget, **settings)
        assert len(cell.correct) == len(half.reviews["test"])
        if name != "decoder, linear probe":
            model = cell.fitted.model.model
            trained = {p.dtype for p in model.parameters() if p.requires_grad}
            assert trained <= {torch.float32}
            frozen = name in ("decoder + LoRA", "decoder, untouched")
            held = torch.bfloat16 in {p.dtype for p in model.parameters()}
            assert held == frozen
    assert decoders.decoder(half).model.dtype == torch.bfloat16
    asked = decoders.answer_with(decoders.decoder(half), decoders.REVIEW, ["Good.", "Bad film."])
    plain = decoders.answer_with(
        decoders.decoder(Corpus(PROFILES["smoke"])), decoders.REVIEW, ["Good.", "Bad film."]
    )
    assert np.allclose(asked, plain, atol=0.1) and not np.array_equal(asked, plain)


def test_of_the_real_decoder_lora_trained_less_than_two_percent_and_ships_ten_megabytes():
    rows = [row for row in ledger.read(ledger.REFERENCE) if row["method"] == "decoder + LoRA"]
    rows = [row for row in rows if row["task"] == "rotten_tomatoes"]
    assert rows
    for row in rows:
        assert row["trainable_parameters"] < 0.02 * row["total_parameters"]
        assert row["artefact_bytes"] < 10e6


def test_both_start_from_zero_shots_answers(corpus, untouched):
    texts = corpus.reviews["test"]["text"][:]
    asked = decoders.answer_with(decoders.decoder(corpus), decoders.REVIEW, texts).argmax(axis=1)
    assert np.array_equal(untouched.fitted.predict(texts), asked)
    assert untouched.fitted.trainable_parameters == untouched.fitted.artefact_bytes == 0


def test_full_fine_tuning_leaves_the_word_vectors(corpus):
    labelled = corpus.labelled(32, 0)
    tuned, _ = decoders.tune(corpus, labelled, 0, "blocks", learning_rate=1e-2, **STEPS)
    before = decoders.decoder(corpus).model.get_input_embeddings().weight
    assert torch.equal(tuned.model.decoder.get_input_embeddings().weight, before)


def test_the_probe_reads_every_text_in_every_run_so_that_its_clock_is_true(corpus, monkeypatch):
    read, original = [], common.pooled_states
    monkeypatch.setattr(
        common,
        "pooled_states",
        lambda loaded, rows: read.append(len(rows)) or original(loaded, rows),
    )
    first, again = (cell_of(corpus, "decoder, linear probe", C=1e-2) for _ in range(2))
    assert np.array_equal(first.correct, again.correct)
    assert read == 2 * [32, len(corpus.reviews["test"])]


# --- what it still knows --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tuned_body_predicts_words_and_the_base_is_put_back_even_after_an_error(corpus, adapted):
    base = decoders.decoder(corpus)
    before = lora.news_losses(corpus, base)
    with lora.tuned_language_model(corpus, adapted.fitted.model) as loaded:
        after = lora.news_losses(corpus, loaded)
    assert not np.allclose(before[:, 0], after[:, 0])
    assert np.array_equal(before[:, 1], after[:, 1])
    with pytest.raises(RuntimeError), lora.tuned_language_model(corpus, adapted.fitted.model):
        raise RuntimeError
    assert np.array_equal(lora.news_losses(corpus, base), before)


def test_untouched_it_keeps_everything(corpus, untouched):
    base = decoders.decoder(corpus)
    before = lora.news_losses(corpus, base), lora.right_types(corpus, base)
    with lora.tuned_language_model(corpus, untouched.fitted.model) as loaded:
        after = lora.news_losses(corpus, loaded), lora.right_types(corpus, loaded)
    assert np.allclose(before[0], after[0], atol=1e-3) and np.array_equal(before[1], after[1])


def test_questions_name_the_marked_name_and_the_right_type(corpus):
    questions, answers = lora.name_questions(corpus)
    first = next(row for row in corpus.names["test"] if row["spans"])
    span = first["spans"][0]
    assert f'"{first["text"][span["start"] : span["end"]]}"' in questions[0]
    assert data.NER_TYPES[answers[0]] == span["type"]
    assert len(questions) == len(answers) <= lora.NAMES


@pytest.mark.slow
def test_a_cell_and_what_it_still_knows_join_the_ledger_together(
    corpus, untouched, adapted, tmp_path
):
    assert len(rows_of(corpus, "decoder + LoRA", 32, adapted)) == 1  # measured at 320 alone
    rows = rows_of(corpus, "decoder, untouched", 0, untouched)
    assert [row["task"] for row in rows] == ["rotten_tomatoes", *lora.TASKS]
    assert {row["metric"] for row in rows} == {"accuracy", "perplexity", "minimal_pairs"}
    ledger.append(rows, tmp_path / "ledger.jsonl")
    news = ledger.read(tmp_path / "ledger.jsonl")[1]
    nll, tokens = np.array(news["correct"]).T
    assert np.isclose(news["value"], evaluation.perplexity(nll, tokens), rtol=1e-3)
