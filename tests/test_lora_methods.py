"""LoRA and full fine-tuning as methods of the grid, and what they keep."""

import numpy as np
import pytest
import torch

from helpers import data, evaluation, grid, ledger
from helpers.methods import decoders, kept, lora
from helpers.runtime import PROFILES, Run

METHODS = grid.methods_of("lora")
STEPS = {"num_epochs": 1, "min_steps": 4, "batch_size": 8}


@pytest.fixture(scope="module")
def corpus():
    return grid.Corpus(PROFILES["smoke"])


def cell_of(corpus, name, budget=32, **settings):
    return grid.run_cell(METHODS[name], corpus, budget, 0, settings, "test")


def test_lora_and_full_take_the_same_steps_and_differ_in_nothing_but_rates():
    tried = {
        name: [dict(c) for c in METHODS[name].configurations]
        for name in ("decoder + LoRA", "decoder, full fine-tuning")
    }
    rates = {name: [c.pop("learning_rate") for c in tries] for name, tries in tried.items()}
    steps = [c for tries in tried.values() for c in tries]
    assert all(step == steps[0] for step in steps)
    assert len(rates["decoder + LoRA"]) == len(rates["decoder, full fine-tuning"]) == 3
    assert METHODS["decoder + LoRA"].chosen_at == METHODS["decoder, full fine-tuning"].chosen_at


def test_lora_trains_a_small_part_and_its_file_is_that_part(corpus):
    cell = cell_of(corpus, "decoder + LoRA", learning_rate=1e-2, **STEPS)
    full = cell_of(corpus, "decoder, full fine-tuning", learning_rate=1e-3, **STEPS)
    assert cell.fitted.trainable_parameters < full.fitted.trainable_parameters
    assert cell.fitted.artefact_bytes == 4 * cell.fitted.trainable_parameters


def test_of_the_real_decoder_lora_trained_less_than_two_percent_and_ships_ten_megabytes():
    rows = [row for row in ledger.read(ledger.REFERENCE) if row["method"] == "decoder + LoRA"]
    rows = [row for row in rows if row["task"] == "rotten_tomatoes"]
    assert rows
    for row in rows:
        assert row["trainable_parameters"] < 0.02 * row["total_parameters"]
        assert row["artefact_bytes"] < 10e6


def test_both_start_from_zero_shots_answers(corpus):
    texts = corpus.reviews["test"]["text"][:]
    loaded = decoders.decoder(corpus)
    asked = decoders.answer_with(loaded, decoders.REVIEW, texts).argmax(axis=1)
    cell = grid.run_cell(METHODS["decoder, untouched"], corpus, 0, 0, {}, "test")
    assert np.array_equal(cell.fitted.predict(texts), asked)
    assert cell.fitted.trainable_parameters == cell.fitted.artefact_bytes == 0


def test_full_fine_tuning_leaves_the_word_vectors(corpus):
    labelled = corpus.labelled(32, 0)
    tuned, _ = lora.tune_in_full(corpus, labelled, 0, learning_rate=1e-2, **STEPS)
    before = decoders.decoder(corpus).model.get_input_embeddings().weight
    assert torch.equal(tuned.model.decoder.get_input_embeddings().weight, before)


def test_the_probe_reads_every_text_in_every_run_so_that_its_clock_is_true(corpus, monkeypatch):
    read, predict = [], lora.training.predict

    def counted(model, rows, *args, **options):
        read.append(len(rows))
        return predict(model, rows, *args, **options)

    monkeypatch.setattr(lora.training, "predict", counted)
    first = cell_of(corpus, "decoder, linear probe", C=1e-2)
    again = cell_of(corpus, "decoder, linear probe", C=1e-2)
    assert np.array_equal(first.correct, again.correct)
    assert read == 2 * [32, len(corpus.reviews["test"])]


def test_a_tuned_body_speaks_and_the_base_is_put_back(corpus):
    base = decoders.decoder(corpus)
    before = kept.news_losses(corpus, base)
    tuned, _ = lora.tune_adapter(corpus, corpus.labelled(32, 0), 0, learning_rate=3e-2, **STEPS)
    with kept.spoken_through(corpus, tuned) as spoken:
        after = kept.news_losses(corpus, spoken)
    assert not np.allclose(before[:, 0], after[:, 0])
    assert np.array_equal(before[:, 1], after[:, 1])
    assert np.array_equal(kept.news_losses(corpus, base), before)


def test_the_base_is_put_back_even_after_an_error(corpus):
    base = decoders.decoder(corpus)
    own = getattr(base.model, base.model.base_model_prefix)
    tuned = decoders.classifier(corpus)
    with pytest.raises(RuntimeError), kept.spoken_through(corpus, tuned):
        raise RuntimeError
    assert getattr(base.model, base.model.base_model_prefix) is own


def test_untouched_it_keeps_everything(corpus):
    base = decoders.decoder(corpus)
    before = kept.news_losses(corpus, base), kept.right_types(corpus, base)
    with kept.spoken_through(corpus, decoders.classifier(corpus)) as spoken:
        after = kept.news_losses(corpus, spoken), kept.right_types(corpus, spoken)
    assert np.allclose(before[0], after[0], atol=1e-3) and np.array_equal(before[1], after[1])


def test_questions_name_the_marked_name_and_the_right_type(corpus):
    questions, answers = kept.name_questions(corpus)
    first = next(row for row in corpus.names["test"] if row["spans"])
    span = first["spans"][0]
    assert f'"{first["text"][span["start"] : span["end"]]}"' in questions[0]
    assert data.NER_TYPES[answers[0]] == span["type"]
    assert len(questions) == len(answers) <= kept.NAMES


def test_a_cell_and_what_it_kept_join_the_ledger_together(corpus, tmp_path):
    method = METHODS["decoder, untouched"]
    cell = grid.run_cell(method, corpus, 0, 0, {}, "test")
    rows = grid.to_rows(
        Run("test", PROFILES["smoke"], 0, "cpu", "float32", 1), method, corpus, 0, cell
    )
    assert [row["task"] for row in rows] == ["rotten_tomatoes", *kept.TASKS]
    assert {row["metric"] for row in rows} == {"accuracy", "perplexity", "minimal_pairs"}
    ledger.append(rows, tmp_path / "ledger.jsonl")
    news = ledger.read(tmp_path / "ledger.jsonl")[1]
    nll, tokens = np.array(news["correct"]).T
    assert np.isclose(news["value"], evaluation.perplexity(nll, tokens), rtol=1e-3)


def test_other_budgets_are_not_looked_at_afterwards(corpus):
    method = METHODS["decoder + LoRA"]
    cell = cell_of(corpus, "decoder + LoRA", learning_rate=1e-2, **STEPS)
    assert (
        len(
            grid.to_rows(
                Run("test", PROFILES["smoke"], 0, "cpu", "float32", 1), method, corpus, 32, cell
            )
        )
        == 1
    )


def test_a_method_with_budgets_of_its_own_chooses_at_its_own():
    method, profile = METHODS["decoder, full fine-tuning"], PROFILES["cpu"]
    assert method.choice_budgets(profile) == (320,)
    assert method.budgets(PROFILES["smoke"]) == (100,)  # none of its own is that small


def test_lora_has_every_budget_but_one_and_one_seed_where_a_run_takes_half_an_hour():
    method, profile = METHODS["decoder + LoRA"], PROFILES["cpu"]
    assert method.budgets(profile) == (320, 100, 32, 1_000, "all")
    assert [len(method.seeds(profile, n)) for n in (32, 320, 1_000, "all")] == [3, 3, 3, 1]
