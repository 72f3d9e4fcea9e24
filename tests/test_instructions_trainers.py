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
from helpers.pretrained import ModelError, load_decoder

WORDS = ("good", "bad", "a good film", "a bad man", "so so", "a film of a man", "good good", "no")


@pytest.fixture
def loaded(tmp_path):
    return adapted(tiny_decoders.save_llama(tmp_path / "model"))


def adapted(source):
    return add_adapter(load_decoder(source=source, echo=None))


def chats(n: int = 8) -> Dataset:
    messages = [
        [
            {"role": "user", "content": f"Review: {WORDS[i % len(WORDS)]}"},
            {"role": "assistant", "content": "negative" if "bad" in WORDS[i % 8] else "positive"},
        ]
        for i in range(n)
    ]
    return Dataset.from_dict({"messages": messages})


def preferences() -> Dataset:
    said = [[{"role": "assistant", "content": word}] for word in ("positive", "negative")]
    prompts = [[{"role": "user", "content": f"Review: {word}"}] for word in WORDS]
    return Dataset.from_dict({"prompt": prompts, "chosen": said[:1] * 8, "rejected": said[1:] * 8})


def weights(loaded) -> dict:
    return {n: p.detach().clone() for n, p in loaded.model.named_parameters() if ".lora_" in n}


def test_training_lowers_the_loss_and_moves_the_adapter_alone(loaded, tmp_path):
    before = {name: p.detach().clone() for name, p in loaded.model.named_parameters()}
    trainer = instructing.sft_trainer(
        loaded, chats(), tmp_path, num_epochs=6, learning_rate=1e-2, batch_size=4
    )
    result = instructing.train(trainer)
    assert result.model is loaded.model and not loaded.model.training
    assert result.steps == len(result.losses) == 12
    assert result.losses[-1] < 0.7 * result.losses[0]
    rows = instructing.chat_rows(loaded.tokenizer, chats()["messages"][:])
    assert result.tokens == 6 * sum(map(len, rows["input_ids"][:]))
    after = dict(loaded.model.named_parameters())
    for name, value in before.items():
        assert "lora_" in name or torch.equal(value, after[name].detach())
    assert any(bool(value.any()) for name, value in weights(loaded).items() if "lora_B" in name)


def test_nothing_is_written_without_save_steps(loaded, tmp_path):
    folder = tmp_path / "run"
    instructing.train(instructing.sft_trainer(loaded, chats(), folder, batch_size=4))
    assert not list(folder.glob("**/*.safetensors"))


def test_the_loss_at_labels_alone_is_trl_s_own(loaded, tmp_path):
    losses = []
    for every_position in (False, True):
        trainer = instructing.sft_trainer(
            adapted(loaded.source), chats(), tmp_path / "run", num_epochs=4, batch_size=8,
            learning_rate=1e-2, every_position=every_position,
        )  # fmt: skip
        result = instructing.train(trainer)
        losses.append(result.losses)
        assert result.tokens > 0
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_trl_and_fit_show_the_same_batches_and_learn_the_same(loaded, tmp_path):
    rows = instructing.chat_rows(loaded.tokenizer, chats(20)["messages"][:])
    trainer = instructing.sft_trainer(
        loaded, rows, tmp_path / "run", num_epochs=3, batch_size=4, learning_rate=1e-2
    )
    twin = adapted(loaded.source)
    losses = instructing.train(trainer).losses
    ours = training.fit(
        decoding.LossAtLabels(twin.model), rows, num_epochs=3, batch_size=4,
        learning_rate=1e-2, warmup_steps=0.1, pad_id=twin.pad_id, progress=False,
    )  # fmt: skip
    assert losses == pytest.approx(ours.losses, rel=1e-3)


def test_the_first_loss_is_that_of_the_untouched_model(loaded, tmp_path):
    rows = instructing.chat_rows(loaded.tokenizer, chats()["messages"][:])
    nll, labels = decoding.answer_losses(loaded, rows).sum(axis=0)
    trainer = instructing.sft_trainer(loaded, rows, tmp_path / "run", batch_size=8)
    assert instructing.train(trainer).losses == [pytest.approx(nll / labels, rel=1e-3)]


def test_a_trained_adapter_is_saved_and_speaks_again_elsewhere(loaded, tmp_path):
    trainer = instructing.sft_trainer(
        loaded, chats(), tmp_path / "run", num_epochs=4, learning_rate=1e-2, batch_size=4
    )
    instructing.train(trainer)
    prompts = instructing.chat_prompts(loaded.tokenizer, chats()["messages"][:])
    said = generate(loaded, prompts, max_new_tokens=5)
    assert save_adapter(loaded, tmp_path / "adapter") > 0
    plain = load_decoder(source=loaded.source, echo=None)
    with loaded.model.disable_adapter():
        untouched = generate(loaded, prompts, max_new_tokens=5)
    assert untouched == generate(plain, prompts, max_new_tokens=5)
    other = load_adapter(plain, tmp_path / "adapter")
    assert generate(other, prompts, max_new_tokens=5) == said
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ModelError, match="damaged"):
        load_adapter(loaded, tmp_path / "adapter", "again")


class Killed(TrainerCallback):
    """Ends a run from inside, as a lost machine would."""

    def __init__(self, step: int):
        self.step = step

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_from_its_last_whole_checkpoint(loaded, tmp_path):
    def trainer_of(model, folder):
        return instructing.sft_trainer(
            model, chats(), folder, num_epochs=4, batch_size=4, learning_rate=1e-2, save_steps=3
        )

    whole = adapted(loaded.source)
    straight = instructing.train(trainer_of(whole, tmp_path / "straight"))
    cut = trainer_of(adapted(loaded.source), tmp_path / "killed")
    cut.add_callback(Killed(5))
    with pytest.raises(KeyboardInterrupt):
        instructing.train(cut)
    # A checkpoint that was being written when the machine went is passed over.
    broken = tmp_path / "killed" / "checkpoint-4"
    broken.mkdir()
    (broken / "adapter_model.safetensors").write_bytes(b"half")
    again = adapted(loaded.source)
    result = instructing.train(trainer_of(again, tmp_path / "killed"), resume=True)
    assert result.steps == 5 and len(result.losses) == 8
    assert result.losses == pytest.approx(straight.losses, rel=1e-4)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(again)[name], value, rtol=1e-4, atol=1e-6)


def test_a_folder_of_another_run_is_not_gone_on_with(loaded, tmp_path):
    def begin(rows=8, resume=False, **settings):
        fresh = adapted(loaded.source)
        trainer = instructing.sft_trainer(fresh, chats(rows), tmp_path, save_steps=1, **settings)
        return instructing.train(trainer, resume)

    assert begin().steps == 1
    with pytest.raises(ValueError, match="Pass resume=True"):
        begin()
    for other in ({"learning_rate": 0.5}, {"rows": 6}):
        with pytest.raises(ValueError, match="other settings or rows"):
            begin(resume=True, **other)


def test_one_trainer_is_interrupted_and_goes_on(loaded, tmp_path):
    trainer = instructing.sft_trainer(
        loaded, chats(), tmp_path, num_epochs=4, batch_size=4, save_steps=1
    )
    kill = Killed(5)
    trainer.add_callback(kill)
    with pytest.raises(KeyboardInterrupt):
        instructing.train(trainer)
    callbacks = len(trainer.callback_handler.callbacks)
    trainer.remove_callback(kill)
    result = instructing.train(trainer, resume=True)
    assert len(trainer.callback_handler.callbacks) == callbacks - 1
    rows = instructing.chat_rows(loaded.tokenizer, chats()["messages"][:])["input_ids"][:]
    assert result.steps == 3 and result.tokens < 2 * sum(map(len, rows))


def test_resume_without_a_checkpoint_begins_at_the_start(loaded, tmp_path):
    trainer = instructing.sft_trainer(loaded, chats(), tmp_path / "new", batch_size=4)
    assert instructing.train(trainer, resume=True).steps == 2


def test_a_checkpoint_holds_the_adapter_and_not_the_base(loaded, tmp_path):
    trainer = instructing.sft_trainer(loaded, chats(), tmp_path / "run", save_steps=1)
    instructing.train(trainer)
    sizes = [path.stat().st_size for path in (tmp_path / "run").glob("*/*.safetensors")]
    base = sum(
        p.numel() * 4 for p in load_decoder(source=loaded.source, echo=None).model.parameters()
    )
    assert sizes and max(sizes) < base / 2


# --- preferences


def dpo_by_hand(policy, reference, pairs, beta: float) -> list[float]:
    """Rafailov et al. (2023), equation 7, from summed log-likelihoods: one loss a pair."""
    logs = {}
    for name, model in (("policy", policy), ("reference", reference)):
        for side in ("chosen", "rejected"):
            rows = instructing.chat_rows(
                model.tokenizer, [pair["prompt"] + pair[side] for pair in pairs]
            )
            logs[name, side] = -decoding.answer_losses(model, rows)[:, 0]
    margins = (logs["policy", "chosen"] - logs["reference", "chosen"]) - (
        logs["policy", "rejected"] - logs["reference", "rejected"]
    )
    return [math.log1p(math.exp(-beta * margin)) for margin in margins]


def test_the_first_preference_loss_is_that_of_an_even_choice(loaded, tmp_path):
    trainer = instructing.dpo_trainer(loaded, preferences(), tmp_path, batch_size=8)
    result = instructing.train(trainer)
    assert result.losses[0] == pytest.approx(math.log(2), abs=1e-4)
    assert list(loaded.model.peft_config) == ["default"]


def test_preferences_are_learned_from_an_earlier_adapter_which_is_the_reference(loaded, tmp_path):
    sft = instructing.sft_trainer(loaded, chats(), tmp_path / "sft", learning_rate=1e-2)
    instructing.train(sft)
    before = weights(loaded)
    trainer = instructing.dpo_trainer(
        loaded, preferences(), tmp_path / "dpo", num_epochs=3, learning_rate=1e-2, batch_size=8,
        beta=0.3,
    )  # fmt: skip
    result = instructing.train(trainer)
    assert result.losses[0] == pytest.approx(math.log(2), abs=1e-4)
    assert result.losses[-1] < result.losses[0]
    assert list(loaded.model.peft_config) == ["default"]  # the frozen copy is gone
    reference = adapted(loaded.source)
    with torch.no_grad():
        for name, parameter in reference.model.named_parameters():
            if name in before:
                parameter.copy_(before[name])
    by_hand = dpo_by_hand(loaded, reference, list(preferences()), 0.3)
    assert sum(by_hand) / len(by_hand) < result.losses[-1] + 1e-3


def test_the_preference_loss_is_the_one_by_hand(loaded, tmp_path):
    """With a policy that differs from the base: the second step's loss, computed before it."""
    twin = load_decoder(source=loaded.source, echo=None)
    states = []

    class Keep(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            states.append(copy.deepcopy(weights(loaded)))

    trainer = instructing.dpo_trainer(
        loaded, preferences(), tmp_path, num_epochs=3, batch_size=8, learning_rate=1e-2, beta=0.3
    )
    trainer.add_callback(Keep())
    result = instructing.train(trainer)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if name in states[2]:
                parameter.copy_(states[2][name])
    by_hand = dpo_by_hand(loaded, twin, list(preferences()), 0.3)
    assert sum(by_hand) / len(by_hand) == pytest.approx(result.losses[2], rel=1e-3)


# --- errors


def other_columns(loaded, tmp_path):
    instructing.sft_trainer(loaded, Dataset.from_dict({"text": ["a"]}), tmp_path)


def no_adapter(loaded, tmp_path):
    instructing.sft_trainer(load_decoder(source=loaded.source, echo=None), chats(), tmp_path)


def no_such_precision(loaded, tmp_path):
    instructing.sft_trainer(loaded, chats(), tmp_path, precision="int8")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (other_columns, "columns text; give conversations in messages"),
        (no_adapter, "loaded = add_adapter"),
        (no_such_precision, "Unknown precision 'int8'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_trained_is_said(loaded, tmp_path, make, said):
    with pytest.raises(ValueError, match=said):
        make(loaded, tmp_path)


def test_several_processes_are_refused(loaded, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="one process only"):
        instructing.sft_trainer(loaded, chats(), tmp_path)


def test_a_loss_that_is_no_number_is_named_with_its_step(loaded, tmp_path):
    trainer = instructing.sft_trainer(
        loaded, chats(), tmp_path, num_epochs=2, learning_rate=1e30, batch_size=4, max_grad_norm=0
    )
    with pytest.raises(FloatingPointError, match=r"at step \d, with a learning rate of 1e\+30"):
        instructing.train(trainer)
