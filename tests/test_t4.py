"""A T4's memory: sizes equal the models', sums equal those done by hand, torch keeps no more."""

import pytest

from helpers.commands import t4
from helpers.commands.t4 import BERT, CASED, GPT2, LARGER, T4_BYTES, Body, Job, needed

TINY = Body("tiny", 2, 64, 256, 4, 100, 30, 1)


def empty(config, factory, **options) -> int:
    """Parameters of a model that is shaped and never filled."""
    import torch

    with torch.device("meta"):
        model = factory(config, **options)
    return sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())


def test_bert_has_as_many_weights_as_the_library_s():
    from transformers import BertConfig, BertModel

    for body in (BERT, CASED):
        config = BertConfig(vocab_size=body.vocabulary)
        assert empty(config, BertModel, add_pooling_layer=False) == body.parameters


def test_gpt2_has_as_many_weights_as_the_library_s_and_as_published():
    from transformers import GPT2Config, GPT2Model

    assert empty(GPT2Config(), GPT2Model) == GPT2.parameters == 124_439_808


def test_the_larger_decoder_has_as_many_weights_as_the_library_s():
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        vocab_size=49_152, hidden_size=2048, intermediate_size=8192, num_hidden_layers=24,
        num_attention_heads=32,
    )  # fmt: skip
    assert empty(config, LlamaModel) == LARGER.parameters == 1_711_376_384


def test_one_training_step_by_hand_in_float32():
    # 4 tokens in 2 rows; weights of a block: 4*64*64 + 2*64*256 + offsets 4*64+256+64 + norms 4*64
    block = 16_384 + 32_768 + 576 + 256
    assert TINY.block == block == 49_984
    parameters = 130 * 64 + 128 + 2 * block
    job = Job("", "", TINY, 1, 2, 4)
    tokens = 8
    states = 4 * (6 * 64 + 2 * 256) + 10 * 64 + 9 * 4 * 4  # one block, bytes a token
    assert needed(job) == 4 * parameters + 12 * block + tokens * states + 1e9


def test_one_training_step_by_hand_under_autocast():
    job = Job("", "", TINY, "all", 2, 4, language_model=True)
    parameters = 130 * 64 + 128 + 2 * 49_984
    states = 2 * (2 * (6 * 64 + 512) + 640 + 5 * 16)  # two blocks, bytes a token
    by_hand = 4 * parameters + 2 * parameters + 12 * parameters + 8 * states + 12 * 8 * 100 + 1e9
    assert needed(job, "float16") == by_hand


def test_an_adapter_trains_two_thin_matrices_beside_each_of_attention_s_four():
    job = Job("", "", LARGER, "adapter", 8, 256, rank=8)
    assert job.trainable == 24 * 4 * (2048 * 8 + 8 * 2048) == 3_145_728


def test_four_bits_cost_half_a_byte_and_their_scales():
    # 24 blocks of 4*2048^2 + 3*2048*8192 = 67,108,864 weights; the rest stays in float32
    packed, rest = 24 * 67_108_864, LARGER.parameters - 24 * 67_108_864
    assert LARGER.weights("nf4") == pytest.approx(packed * 0.515869140625 + 4 * rest)
    assert LARGER.weights("float16") * 2 == LARGER.weights("float32") == 4 * 1_711_376_384


def test_asking_keeps_keys_values_and_one_block():
    job = Job("", "", TINY, 0, 2, 4, beside=(TINY,))
    parameters = 130 * 64 + 128 + 2 * 49_984
    assert needed(job) == 2 * 4 * parameters + 1e9 + 8 * 4 * (2 * 2 * 64 + 6 * 64 + 512)


@pytest.mark.parametrize("gated", [False, True])
def test_torch_keeps_no_more_for_the_backward_pass_than_is_estimated_and_not_much_less(gated):
    import torch
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

    batch, length = 4, 32
    sizes = dict(
        vocab_size=100, hidden_size=64, intermediate_size=256, num_attention_heads=4,
        attn_implementation="eager",
    )  # fmt: skip

    def kept(depth: int) -> int:
        if gated:
            model = LlamaModel(LlamaConfig(num_hidden_layers=depth, **sizes))
        else:
            model = BertModel(BertConfig(num_hidden_layers=depth, **sizes))
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

    body = Body("", 2, 64, 256, 4, 100, 514, 1, gated=gated)
    job = Job("", "", body, 2, batch, length)
    estimate = needed(job) - needed(Job("", "", body, 1, batch, length)) - 12 * body.block
    assert 0.6 * estimate < kept(3) - kept(2) <= 1.15 * estimate


def test_the_jobs_are_what_the_code_does():
    from helpers.methods import bert, decoders, lora, named_entities

    found = {(job.notebook, job.what): job for job in t4.JOBS}
    assert {job.length for job in t4.JOBS if job.notebook == "04_bert"} == {bert.MAX_LENGTH}
    tagger = found["05_named_entities", "all blocks, a tag a word"]
    assert (tagger.batch, tagger.length) == (named_entities.BATCH, bert.MAX_LENGTH)
    [top] = [job for job in t4.JOBS if job.what.startswith("top four")]
    assert top.trained == decoders.TOP
    for job in t4.JOBS:
        if job.notebook == "07_lora":
            assert (job.batch, job.rank) == (lora.STEPS["batch_size"], lora.RANK)


def test_every_job_of_a_notebook_fits_and_tuning_the_largest_in_full_does_not():
    assert all(min(needed(job), needed(job, "float16")) <= T4_BYTES for job in t4.JOBS)
    in_full = t4.LARGEST[0]
    assert min(needed(in_full), needed(in_full, "float16")) > T4_BYTES


def test_notebooks_that_are_not_there_are_left_out_of_the_table(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "04_bert.ipynb").write_text("{}", encoding="utf-8")
    first, second = t4.tables(tmp_path).split("\n\n")
    rows = first.splitlines()[2:]
    assert len(rows) == 2 and all(row.startswith("| 04_bert: BERT-base |") for row in rows)
    assert len(second.splitlines()) == 2 + len(t4.LARGEST)
