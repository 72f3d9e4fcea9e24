"""`course benchmark speed`: what it counts, what it compares, what it prints."""

import time

import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset
from torch.utils.flop_counter import FlopCounterMode

from helpers import speed, training
from helpers.commands import cli, speed_benchmark, speed_ways
from helpers.commands.flops import Shape, forward_flops, shape_of, step_flops
from helpers.commands.speed_ways import Counter, Measured, Way
from helpers.methods import Corpus, bert
from helpers.pretrained import FrozenBelow, MeanPooledClassifier, freeze_below
from helpers.runtime import PROFILES

WAYS = {"plain Trainer", "fit, all blocks", "fit, top three blocks", "fit, top block"}


@pytest.fixture(scope="module")
def corpus():
    return Corpus(PROFILES["smoke"])


@pytest.fixture
def model():
    """A BERT of three blocks whose every matrix product torch can count."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=24, attn_implementation="eager",
    )  # fmt: skip
    return MeanPooledClassifier(transformers.BertModel(config), num_labels=3)


def counted_by_torch(model, **batch) -> int:
    with FlopCounterMode(display=False) as counter:
        model(**batch)["loss"].backward()
    return counter.get_total_flops()


def test_a_forward_pass_is_two_operations_a_weight_and_position_and_attention_twice():
    shape = Shape(blocks=(10, 20), hidden=4, num_labels=2)
    # 3 texts of 5 positions: 2 * (10 + 20) * 15, and in both blocks 2 * 2 * 3 * 5 * 5 * 4.
    assert forward_flops(shape, 3, 5) == 900 + 2 * 1_200
    assert forward_flops(shape, 3, 5, slice(1)) == 300 + 1_200


@pytest.mark.parametrize("trained", ["all", 3, 2, 1])
@pytest.mark.parametrize("remembered", [False, True])
def test_the_formula_counts_what_torch_counts(model, trained, remembered):
    model.train()
    ids = torch.randint(1, 20, (4, 7), generator=torch.Generator().manual_seed(1))
    batch = {"input_ids": ids, "labels": torch.tensor([0, 1, 2, 0])}
    everything = trained == "all"
    taught = model
    if remembered:
        if everything:
            return  # nothing stands below that could be remembered
        taught = FrozenBelow(model, trained)
        rows = taught.remember(Dataset.from_dict({"input_ids": ids.tolist()}))
        batch["state"] = torch.tensor(rows["state"][:])
    frozen = tuple(f"{name}." for name in freeze_below(model, trained))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    counted = counted_by_torch(taught, **batch)
    blocks = 3 if everything else trained
    shape = shape_of(model)
    assert step_flops(
        shape, 4, 7, blocks, embeddings=everything, remembered=remembered
    ) == counted  # fmt: skip


def test_remembering_costs_a_forward_pass_of_the_frozen_blocks(model):
    rows = Dataset.from_dict({"input_ids": [[1] * 5, [2] * 3, [3] * 5]})
    remembering = FrozenBelow(model, 1)
    with FlopCounterMode(display=False) as counter:
        remembering.remember(rows)
    assert speed_ways._remembered_flops(shape_of(model), rows, 1) == counter.get_total_flops()


def test_first_steps_are_discarded_and_padding_is_no_token():
    """Three steps nobody counts, then two: 2 texts x 4 positions with 6 real tokens, in 2 s."""
    rows = Dataset.from_dict({"input_ids": [[1] * 4, [1] * 2]})
    counter = Counter(lambda rows: training.pad_batch(rows), steps=2)
    for _ in range(5):
        counter(list(rows))
    counter.ends = [0.0, 50.0, 60.0, 61.0, 62.0]
    shape = Shape(blocks=(10,), hidden=1, num_labels=1)
    found = Way("a way", None)._measured(counter, shape, rows, 0.0, 0)
    assert found.tokens == 12 / 2
    assert found.padding == 0.25
    work = 2 * step_flops(shape, 2, 4, 1, embeddings=True, remembered=False)
    assert found.gflops == pytest.approx(work / 2 / 1e9)


def test_the_pass_that_remembers_is_spread_over_the_epochs_of_a_training():
    rows = Dataset.from_dict({"input_ids": [[1] * 4, [1] * 2]})
    counter = Counter(training.pad_batch, steps=2)
    for _ in range(5):
        counter(list(rows))
    counter.ends = [0.0, 0.0, 60.0, 61.0, 62.0]
    found = Way("a way", 1)._measured(counter, Shape((10, 10), 1, 1), rows, 8.0, 4_000_000_000)
    # Two epochs were counted, half of the four of a training: half of the pass belongs to them.
    assert speed_ways.EPOCHS == 4
    assert found.tokens == 12 / (2 + 8 / 2)
    work = 2 * step_flops(Shape((10, 10), 1, 1), 2, 4, 1, embeddings=False, remembered=True)
    assert found.gflops == pytest.approx((work + 2e9) / 6 / 1e9)
    assert found.remembering == 8.0


def test_counting_stops_at_the_last_step_or_after_the_seconds_but_not_before_twenty_steps():
    counter = Counter(training.pad_batch, steps=50)
    assert [counter.stamp() for _ in range(53)] == [False] * 52 + [True]
    hurried = Counter(training.pad_batch, steps=50, seconds=0)
    assert [hurried.stamp() for _ in range(23)] == [False] * 22 + [True]


def moved(model, before) -> set[str]:
    return {name for name, value in model.named_parameters() if (value != before[name]).any()}


@pytest.mark.parametrize("way", range(4))
def test_every_way_trains_what_it_says_and_counts_twenty_steps(corpus, way):
    loaded = bert.encoder(corpus)
    before = {name: value.detach().clone() for name, value in loaded.model.named_parameters()}
    rows = bert.rows_of(loaded, corpus.labelled(32, 0))
    way = speed_benchmark.ways(loaded.model)[way]
    found = way.measure(loaded, rows, seconds=60)
    assert found.tokens > 0 and found.gflops > 0 and 0 <= found.padding < 1
    assert (found.remembering > 0) == (way.blocks in (1, 3))
    frozen = () if way.blocks is None else freeze_below(loaded.model, way.blocks)
    still = set(before) - moved(loaded.model, before)
    assert still == {name for name in before if name.startswith(tuple(f"{f}." for f in frozen))}


def test_the_plain_trainer_differs_from_fit_in_nothing_but_the_way_of_training(corpus, monkeypatch):
    """One batch an epoch, no dropout, nothing frozen: then there is nothing left to differ in."""
    monkeypatch.setattr(speed_ways, "RATE", 1e-3)
    labelled, models = corpus.labelled(32, 0), []
    for plain in (True, False):
        loaded = bert.encoder(corpus)
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        rows = bert.rows_of(loaded, labelled)
        if plain:
            collate = speed_ways._collator(loaded, True)
            speed_ways._plain(loaded.model, rows, num_epochs=4, collate=collate)
        else:
            training.fit(loaded.model, rows, num_epochs=4, learning_rate=1e-3, warmup_steps=0.1)
        models.append(loaded.model)
    fresh = dict(bert.encoder(corpus).model.named_parameters())
    for (name, first), second in zip(
        models[0].named_parameters(), models[1].parameters(), strict=True
    ):
        # The key's bias cannot move a softmax: its gradient is rounding, of which Adam makes steps.
        if not name.endswith("key.bias"):
            assert (first != fresh[name]).any(), name
            torch.testing.assert_close(first, second, rtol=0, atol=2e-5, msg=name)


def test_the_table_compares_each_repetition_with_the_first_way_in_the_same_one():
    def runs(*tokens):
        return [Measured(t, gflops=50.0, padding=0.25, remembering=0.0) for t in tokens]

    lines = speed_benchmark.table({"plain": runs(1000, 500, 800), "other": runs(2000, 1500, 1600)},
                                  peak=80.0)  # fmt: skip
    assert lines[1].split() == "plain 800 [500-1,000] 1.00 [1.00-1.00] 25% 50.0 62%".split()
    assert lines[2].split() == "other 1,600 [1,500-2,000] 2.00 [2.00-3.00] 25% 50.0 62%".split()
    assert "80 GFLOP/s" in lines[4] and "60%" in lines[4]


def test_a_matrix_product_of_three_sizes_is_two_operations_a_multiplication(monkeypatch):
    ticks = iter(range(10))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    # One product; the clock is asked at the start, after it and at the end: two seconds.
    assert speed.matmul_gflops((8, 16, 32), seconds=0) == 2 * 8 * 16 * 32 / 2 / 1e9


def test_the_command_prints_a_table_line_by_line(corpus, capsys):
    assert cli.main(["benchmark", "speed", "--profile", "smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tiny random BERT: 240 snippets, 32 a batch, float32")
    assert [line.split("]")[0] for line in lines[1:13]] == [f"[{i}/12" for i in range(1, 13)]
    rows = {line[:24].strip(): line for line in lines[14:19]}
    assert set(rows) == WAYS | {""}
    assert "1.00 [1.00-1.00]" in rows["plain Trainer"]
    assert any("frozen ran once" in line and "over 4 epochs" in line for line in lines)


def test_accuracy_is_compared_pair_by_pair_over_the_seeds(corpus):
    difference, (plain, ours) = speed_benchmark.compare_accuracy(
        corpus, corpus.labelled(32, 0), range(2)
    )
    assert (difference.seeds, difference.items) == (2, 80)
    assert difference.value == pytest.approx(ours - plain)
    assert 0 < plain < 1 and 0 < ours < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "huge"], "No profile 'huge'; there are smoke, cpu, gpu."),
        (["--labels", "5"], "--labels is 5; give at least 32"),
        (["--seconds", "0"], "--seconds is 0; give more than 0"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line_and_exit_2(arguments, message, capsys):
    assert cli.main(["benchmark", "speed", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("course benchmark: ") and message in line


def test_padding_is_what_a_batch_holds_beyond_its_tokens(corpus):
    """The plain way pads random batches: its share of padding is that of the order it was given."""
    loaded = bert.encoder(corpus)
    counter = Counter(speed_ways._collator(loaded, True), steps=1)
    rows = [{"input_ids": [2, 7, 3], "labels": 0}, {"input_ids": [2, 3], "labels": 1}]
    batch = counter(rows)
    assert counter.batches == [(2, 3, 5)]
    assert np.array_equal(batch["attention_mask"], [[1, 1, 1], [1, 1, 0]])
