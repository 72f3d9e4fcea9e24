"""TRL's trainers: the same losses as ours, an adapter that can be kept, a run that can go on."""

import copy
import math

import pytest
import tiny_decoders
import torch
from datasets import Dataset
from transformers import TrainerCallback

from helpers import decoding, instructing, training
from helpers.adapters import add_adapter, load_adapter, save_adapter
from helpers.decoding import generate
from helpers.pretrained import load_decoder

WORDS = ("good", "bad", "a good film", "a bad man", "so so", "a film of a man", "good good", "no")


@pytest.fixture
def loaded(tmp_path):
    return adapted(tiny_decoders.save_llama(tmp_path / "model"))


def adapted(source):
    return add_adapter(load_decoder(source=source, echo=None))


def said(answer: str) -> list[dict]:
    return [{"role": "assistant", "content": answer}]


def asked(word: str) -> list[dict]:
    return [{"role": "user", "content": f"Review: {word}"}]


CHATS = Dataset.from_dict(
    {"messages": [asked(w) + said("negative" if "bad" in w else "positive") for w in WORDS]}
)
PAIRS = Dataset.from_dict(
    {
        "prompt": [asked(word) for word in WORDS],
        "chosen": [said("positive")] * 8,
        "rejected": [said("negative")] * 8,
    }
)

HALF = {"per_device_train_batch_size": 4}  # two steps an epoch


def weights(loaded) -> dict:
    return {n: p.detach().clone() for n, p in loaded.model.named_parameters() if ".lora_" in n}


def set_weights(loaded, values: dict) -> None:
    with torch.no_grad():
        for name, value in values.items():
            loaded.model.get_parameter(name).copy_(value)


def rows_of(loaded) -> Dataset:
    return instructing.chat_rows(loaded.tokenizer, CHATS["messages"][:])


def test_training_lowers_the_loss_and_moves_the_adapter_alone(loaded, tmp_path):
    before = {name: p.detach().clone() for name, p in loaded.model.named_parameters()}
    trainer = instructing.sft_trainer(
        loaded, CHATS, tmp_path, num_train_epochs=6, learning_rate=1e-2, **HALF
    )
    result = instructing.train(trainer)
    assert result.model is loaded.model and not loaded.model.training
    assert result.steps == len(result.losses) == 12
    assert result.losses[-1] < 0.7 * result.losses[0]
    assert result.tokens == 6 * sum(map(len, rows_of(loaded)["input_ids"][:]))
    after = dict(loaded.model.named_parameters())
    for name, value in before.items():
        assert "lora_" in name or torch.equal(value, after[name].detach())
    assert any(bool(value.any()) for name, value in weights(loaded).items() if "lora_B" in name)
    assert not list(tmp_path.glob("checkpoint-*"))  # nothing was asked to be saved


def test_trl_as_it_comes_and_fit_learn_the_same(loaded, tmp_path):
    """One batch holds all rows, so that no order of them can matter."""
    from trl import SFTConfig, SFTTrainer

    ours = instructing.sft_trainer(loaded, CHATS, tmp_path, num_train_epochs=4, learning_rate=1e-2)
    losses = instructing.train(ours).losses
    second, third = adapted(loaded.source), adapted(loaded.source)
    plain = SFTTrainer(
        second.model,
        args=SFTConfig(
            str(tmp_path), num_train_epochs=4, per_device_train_batch_size=8, learning_rate=1e-2,
            warmup_steps=0.1, logging_steps=1, bf16=False, use_cpu=True,
        ),
        train_dataset=rows_of(second),
        processing_class=second.tokenizer,
    )  # fmt: skip
    plain.train()
    theirs = [entry["loss"] for entry in plain.state.log_history if "loss" in entry]
    assert losses == pytest.approx(theirs, rel=1e-3)
    fitted = training.fit(
        decoding.LossAtLabels(third.model), rows_of(third), num_epochs=4, batch_size=8,
        learning_rate=1e-2, warmup_steps=0.1, pad_id=third.pad_id, progress=False,
    )  # fmt: skip
    assert losses == pytest.approx(fitted.losses, rel=1e-3)


def test_a_trained_adapter_is_saved_and_speaks_again_elsewhere(loaded, tmp_path):
    trainer = instructing.sft_trainer(
        loaded, CHATS, tmp_path / "run", num_train_epochs=4, learning_rate=1e-2, **HALF
    )
    instructing.train(trainer)
    prompts = instructing.chat_prompts(loaded.tokenizer, CHATS["messages"][:])
    answers = generate(loaded, prompts, max_new_tokens=5)
    save_adapter(loaded, tmp_path / "adapter")
    plain = load_decoder(source=loaded.source, echo=None)
    assert generate(plain, prompts, max_new_tokens=5) != answers
    other = load_adapter(plain, tmp_path / "adapter")
    assert generate(other, prompts, max_new_tokens=5) == answers


class Killed(TrainerCallback):
    """Ends a run from inside, as a lost machine would."""

    def __init__(self, step: int):
        self.step = step

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(loaded, tmp_path):
    def trainer_of(model, folder):
        return instructing.sft_trainer(
            model, CHATS, folder, num_train_epochs=4, learning_rate=1e-2, save_steps=3, **HALF
        )

    straight = instructing.train(trainer_of(loaded, tmp_path / "straight"))
    cut = trainer_of(adapted(loaded.source), tmp_path / "killed")
    cut.add_callback(Killed(5))
    with pytest.raises(KeyboardInterrupt):
        instructing.train(cut)
    again = adapted(loaded.source)
    result = instructing.train(trainer_of(again, tmp_path / "killed"), resume=True)
    assert result.steps == 5 and len(result.losses) == 8
    assert result.tokens < straight.tokens
    assert result.losses == pytest.approx(straight.losses, rel=1e-4)
    for name, value in weights(loaded).items():
        torch.testing.assert_close(weights(again)[name], value, rtol=1e-4, atol=1e-6)


# --- preferences


def dpo_by_hand(policy, reference, beta: float) -> float:
    """Rafailov et al. (2023), equation 7, from summed log-likelihoods: the mean over all pairs."""
    logs = {}
    for model in (policy, reference):
        for side in ("chosen", "rejected"):
            chats = [pair["prompt"] + pair[side] for pair in PAIRS]
            rows = instructing.chat_rows(model.tokenizer, chats)
            logs[id(model), side] = -decoding.answer_losses(model, rows)[:, 0]
    chosen, rejected = (
        logs[id(policy), side] - logs[id(reference), side] for side in ("chosen", "rejected")
    )
    return sum(math.log1p(math.exp(-beta * m)) for m in chosen - rejected) / len(PAIRS)


class Keep(TrainerCallback):
    """Remembers the adapter before each step."""

    def __init__(self, loaded):
        self.loaded, self.states = loaded, []

    def on_step_begin(self, args, state, control, **_):
        self.states.append(copy.deepcopy(weights(self.loaded)))


@pytest.mark.parametrize("tuned_before", [False, True], ids=["of the base", "of a tuned model"])
def test_the_preference_loss_is_the_one_by_hand_and_its_reference_the_model_as_it_was(
    loaded, tmp_path, tuned_before
):
    if tuned_before:
        instructing.train(
            instructing.sft_trainer(loaded, CHATS, tmp_path / "sft", learning_rate=1e-2)
        )
    reference = adapted(loaded.source)
    set_weights(reference, weights(loaded))
    trainer = instructing.dpo_trainer(
        loaded,
        PAIRS,
        tmp_path / "dpo",
        num_train_epochs=3,
        learning_rate=1e-2,
        beta=0.3,
        per_device_train_batch_size=8,
    )
    keep = Keep(loaded)
    trainer.add_callback(keep)
    result = instructing.train(trainer)
    assert result.losses[0] == pytest.approx(math.log(2), abs=1e-4)  # an even choice
    assert result.losses[-1] < result.losses[0] and result.tokens > 0
    assert list(loaded.model.peft_config) == ["default"]  # the frozen copy is gone
    set_weights(loaded, {n: v for n, v in keep.states[2].items() if ".default." in n})
    assert dpo_by_hand(loaded, reference, 0.3) == pytest.approx(result.losses[2], rel=1e-3)


def test_a_model_without_an_adapter_is_refused(loaded, tmp_path):
    plain = load_decoder(source=loaded.source, echo=None)
    with pytest.raises(ValueError, match="add_adapter"):
        instructing.sft_trainer(plain, CHATS, tmp_path)


def test_a_loss_that_is_no_number_is_named_with_its_step(loaded, tmp_path):
    trainer = instructing.sft_trainer(
        loaded, CHATS, tmp_path, num_train_epochs=2, learning_rate=1e30, max_grad_norm=0, **HALF
    )
    with pytest.raises(FloatingPointError, match=r"step \d, .*1e\+30"):
        instructing.train(trainer)
