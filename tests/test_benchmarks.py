"""The benchmarks beside the package: memory as counted by hand and by torch, and both ways run."""

from functools import partial

import pytest
import torch
from benchmarks import speed, t4
from benchmarks.speed import DISCARDED, Recorder, Step
from benchmarks.t4 import BERT, GPT2, LARGER, T4_BYTES, Body, Job, needed
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from helpers import training
from helpers.methods import common, decoders, lora, named_entities
from helpers.runtime import ROOT

TINY_CONFIG = BertConfig(
    vocab_size=100, hidden_size=64, intermediate_size=256, num_hidden_layers=2,
    num_attention_heads=4, max_position_embeddings=28, attn_implementation="eager",
)  # fmt: skip
TINY = Body("tiny", TINY_CONFIG, {"add_pooling_layer": False})
# A block of it: 4*64*64 + 2*64*256, offsets 4*64+256+64, norms 4*64; and 130 vectors and a norm.
BLOCK = 16_384 + 32_768 + 576 + 256
PARAMETERS = 130 * 64 + 128 + 2 * BLOCK


def test_models_have_as_many_weights_as_published():
    assert [body.counts[0] for body in (BERT, GPT2, LARGER)] == [
        109_482_240 - 590_592,  # without the pooler
        124_439_808,
        1_711_376_384,
    ]
    assert TINY.counts == (PARAMETERS, BLOCK, 16_384 + 32_768)


def test_one_training_step_by_hand():
    job = Job("", "", TINY, 1, 2, 4)  # 4 tokens in each of 2 rows, one block trained
    states = 4 * (6 * 64 + 2 * 256) + 10 * 64 + 9 * 4 * 4  # bytes a token
    assert needed(job) == 4 * PARAMETERS + 12 * BLOCK + 8 * states + 1e9
    job = Job("", "", TINY, "all", 2, 4, language_model=True)
    states = 2 * (2 * (6 * 64 + 512) + 640 + 5 * 16)  # two blocks, under autocast
    by_hand = (4 + 2 + 12) * PARAMETERS + 8 * states + 12 * 8 * 100 + 1e9
    assert needed(job, "float16") == by_hand


def test_asking_keeps_keys_values_and_one_block():
    job = Job("", "", TINY, 0, 2, 4, beside=(TINY,))
    assert needed(job) == 2 * 4 * PARAMETERS + 1e9 + 8 * 4 * (2 * 2 * 64 + 6 * 64 + 512)


def test_adapters_and_four_bits_are_counted_as_they_are_stored():
    assert Job("", "", LARGER, "adapter", 8, 256, rank=8).trainable == 24 * 4 * (2 * 2048 * 8)
    # 24 blocks of 4*2048^2 + 3*2048*8192 = 67,108,864 weights; the rest stays in float32
    packed, rest = 24 * 67_108_864, 1_711_376_384 - 24 * 67_108_864
    assert LARGER.bytes_kept("nf4") == pytest.approx(packed * 0.515869140625 + 4 * rest)


@pytest.mark.parametrize(("kind", "config"), [(LlamaModel, LlamaConfig), (BertModel, BertConfig)])
def test_torch_keeps_no_more_for_the_backward_pass_than_is_estimated_and_not_much_less(
    kind, config
):
    batch, length, sizes = 4, 32, TINY_CONFIG.to_dict()
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads")
    sizes = {name: sizes[name] for name in names} | {"attn_implementation": "eager"}

    def kept(depth: int) -> int:
        model = kind(config(num_hidden_layers=depth, **sizes))
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        seen = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                seen[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so never used twice
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.train()(input_ids=torch.ones(batch, length, dtype=torch.long))
        return sum(size for size, _ in seen.values())

    body = Body("", config(num_hidden_layers=2, **sizes))
    one, two = (needed(Job("", "", body, blocks, batch, length)) for blocks in (1, 2))
    estimate = two - one - 12 * body.counts[1]
    assert 0.6 * estimate < kept(3) - kept(2) <= 1.15 * estimate


def test_the_jobs_are_what_the_code_does_and_fit_while_tuning_the_largest_in_full_does_not():
    assert {job.length for job in t4.JOBS if job.notebook == "04_bert"} == {common.MAX_PIECES}
    [tagger] = [job for job in t4.JOBS if job.notebook == "05_named_entities"]
    assert (tagger.batch, tagger.length) == (named_entities.BATCH, common.MAX_PIECES)
    [top] = [job for job in t4.JOBS if job.what.startswith("top four")]
    assert top.trained == decoders.TOP
    for job in t4.JOBS:
        assert (ROOT / "notebooks" / f"{job.notebook}.ipynb").exists()
        assert min(needed(job), needed(job, "float16")) <= T4_BYTES
        if job.notebook == "07_lora":
            assert (job.batch, job.rank) == (lora.STEPS["batch_size"], lora.RANK)
    in_full = t4.LARGEST[0]
    assert min(needed(in_full), needed(in_full, "float16")) > T4_BYTES


def test_the_instructors_page_shows_the_tables_as_they_are():
    page = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    assert t4.tables() in page
    assert t4.written(page) == page, "run `python tests/benchmarks/t4.py --write`"


def test_a_recorder_counts_real_tokens_after_the_first_steps():
    recorder = Recorder(collate=None, began=0.0, first_batch=8.0)
    recorder.steps = [Step(2, 50, 99)] * DISCARDED + [Step(2, 4, 6)] * 2 + [Step(2, 4, 5)]
    recorder.ends = [10.0, 11.0, 12.0, 13.0, 14.0]
    assert recorder.tokens_per_second() == 12 / 2
    # 12 of 24 tokens were counted, an eighth of four epochs: so is the pass before them.
    assert recorder.tokens_per_second(epoch_tokens=24) == 12 / (2 + 8 / 8)


@pytest.fixture
def both_precisions(monkeypatch):
    """As on a processor that computes in bfloat16, each way once."""
    monkeypatch.setattr(speed, "REPETITIONS", 1)
    monkeypatch.setattr(speed, "usable_precision", lambda device: "bfloat16")


@pytest.mark.slow
def test_every_way_of_training_the_encoder_is_compared_with_the_plain_trainer(
    both_precisions, monkeypatch
):
    said, computed = [], []
    fit = training.fit

    def watched(model, *arguments, precision="float32", **settings):
        computed.append(precision)
        return fit(model, *arguments, precision=precision, **settings)

    monkeypatch.setattr(training, "fit", watched)
    times = speed.encoder_speed("smoke", labels=64, echo=said.append)
    kinds = ("all blocks", "top three blocks", "top block")
    ours = [f"fit, {kind}, {form}" for form in ("float32", "bfloat16") for kind in kinds]
    assert list(times) == ["plain Trainer", *ours]
    assert computed == ["float32"] * 3 + ["bfloat16"] * 3
    assert times["plain Trainer"] == 1 and all(ratio > 0 for ratio in times.values())
    assert len(said) == 8 and "64 snippets" in said[0]


@pytest.mark.slow
def test_an_adapter_is_trained_both_ways_on_the_same_prompts(both_precisions, monkeypatch):
    said, recorders = [], []

    def keep(way):
        return lambda *arguments: recorders.append(way(*arguments)) or recorders[-1]

    for name in ("_our_adapter", "_trl_adapter"):
        monkeypatch.setattr(speed, name, keep(getattr(speed, name)))
    times = speed.lora_speed("smoke", labels=40, steps=2, echo=said.append)
    assert [name.rpartition(", ")[2] for name in times] == ["float32", "bfloat16"] * 2
    assert len(said) == 5
    assert [len(recorder.counted) for recorder in recorders] == [2] * 4
    assert {step.texts for recorder in recorders for step in recorder.steps} == {8}
    # The answer is one token, and TRL ends every text with the end token.
    longest = [max(step.length for step in recorder.steps) for recorder in recorders]
    assert longest == [longest[0]] * 2 + [longest[0] - 2] * 2


def test_ratios_are_medians_of_rounds_against_the_first_way():
    found = {"theirs": iter([1.0, 2.0, 4.0]), "ours": iter([3.0, 4.0, 20.0])}
    said = []
    ways = {name: partial(next, numbers) for name, numbers in found.items()}
    assert speed._compare(ways, said.append) == {"theirs": 1, "ours": 3}
    assert "4 tokens/s" in said[1] and "3.00 times [2.00-5.00]" in said[1]
