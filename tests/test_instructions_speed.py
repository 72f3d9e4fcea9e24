"""The speed of LoRA beside TRL's defaults: measured alike, and without what TRL would not do."""

import pytest

from helpers.commands import speed_lora
from helpers.methods import Corpus, decoders, lora
from helpers.runtime import PROFILES


def test_both_ways_are_counted_and_compared():
    said = []
    found = speed_lora.lora_speed("smoke", steps=2, echo=said.append)
    assert set(found) == {"ours", "trl", "ratio"}
    assert found["ratio"] == pytest.approx(found["ours"] / found["trl"])
    assert [line.partition(":")[0] for line in said[:2]] == ["LoRA, ours", "LoRA, trl "]
    assert all("over 2 steps of 8 reviews, 3 steps discarded" in line for line in said[:2])


def test_both_read_the_same_prompts_and_trl_the_answer_too():
    corpus = Corpus(PROFILES["smoke"])
    labelled = corpus.labelled(96, 0)  # twelve whole batches, all of them counted
    rows = decoders.rows_of(decoders.decoder(corpus), labelled["text"][:])
    longest = max(map(len, rows["input_ids"][:]))
    ours, trl = (way(corpus, labelled, 9) for way in (speed_lora._ours, speed_lora._trl))
    assert max(length for _, length, _ in ours.batches) == longest
    # The answer is one token, and TRL ends every text with the end token.
    assert max(length for _, length, _ in trl.batches) == longest + 2
    assert {texts for texts, *_ in (*ours.batches, *trl.batches)} == {8}
    padding = [1 - sum(b[2] for b in c.batches) / sum(b[0] * b[1] for b in c.batches)
               for c in (ours, trl)]  # fmt: skip
    assert padding[0] < padding[1]


def test_trl_keeps_its_defaults_but_for_what_the_report_says(monkeypatch):
    from helpers import instructing

    seen = []
    monkeypatch.setattr(instructing, "train", lambda trainer: seen.append(trainer))
    corpus = Corpus(PROFILES["smoke"])
    speed_lora._trl(corpus, corpus.labelled(32, 0), 1)
    from trl import SFTConfig

    arguments, plain = seen[0].args, SFTConfig("unused", use_cpu=True)
    for name in (
        "per_device_train_batch_size", "gradient_checkpointing", "max_length", "packing",
        "train_sampling_strategy", "optim", "completion_only_loss", "loss_type",
    ):  # fmt: skip
        assert getattr(arguments, name) == getattr(plain, name), name
    assert not arguments.bf16 and plain.bf16
    config = seen[0].model.peft_config["default"]
    assert (config.r, config.lora_alpha) == (lora.RANK, lora.ALPHA)


@pytest.mark.parametrize(
    ("arguments", "said"), [(("huge", 20), "No profile 'huge'"), (("smoke", 0), "steps is 0")]
)
def test_arguments_that_make_no_sense_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        speed_lora.lora_speed(*arguments)
