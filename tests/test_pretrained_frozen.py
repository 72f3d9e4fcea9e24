"""Training on remembered states: the same answers as without, and only what should move moves."""

import numpy as np
import pytest
import torch
import transformers

from helpers import training
from helpers.pretrained import (
    FrozenBelow,
    LastTokenClassifier,
    MeanPooledClassifier,
    freeze_below,
)
from helpers.training import pad_batch

SIZES = {"vocab_size": 20, "max_position_embeddings": 40, "pad_token_id": 0}
BERT = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
CONFIGS = {
    "bert": lambda: transformers.BertConfig(**SIZES, **BERT),
    "roberta": lambda: transformers.RobertaConfig(**SIZES, **BERT),
    "distilbert": lambda: transformers.DistilBertConfig(
        **SIZES, dim=8, n_layers=3, n_heads=2, hidden_dim=16
    ),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=20, n_positions=40, pad_token_id=0, n_embd=8, n_layer=3, n_head=2
    ),
    "llama": lambda: transformers.LlamaConfig(**SIZES, **BERT, num_key_value_heads=1),
}
DECODERS = ("gpt2", "llama")


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    body = transformers.AutoModel.from_config(CONFIGS[request.param]())
    classifier = LastTokenClassifier if request.param in DECODERS else MeanPooledClassifier
    return classifier.from_body(body, 2).eval()


@pytest.fixture
def rows():
    from datasets import Dataset

    rng = np.random.default_rng(0)
    ids = [rng.integers(1, 20, size=n).tolist() for n in (3, 9, 5, 12, 4, 7)]
    return Dataset.from_dict({"input_ids": ids, "labels": [0, 1, 0, 1, 0, 1]})


def moved(model, before) -> set[str]:
    return {
        name for name, value in model.named_parameters() if not torch.equal(value, before[name])
    }


@pytest.mark.parametrize("trained", [0, 1, 2, 3])
def test_remembered_states_give_the_answers_of_the_whole_model(model, rows, trained):
    plain = training.predict(model, rows, batch_size=4)
    remembering = FrozenBelow(model, trained)
    assert np.allclose(training.predict(remembering, rows, batch_size=4), plain, atol=1e-6)
    remembered = remembering.remember(rows, batch_size=4)
    assert np.allclose(training.predict(remembering, remembered, 4), plain, atol=1e-6)


@pytest.mark.parametrize("trained", [0, 2])
def test_training_moves_the_classifier_itself_above_the_line_and_nothing_below(
    model, rows, trained
):
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    remembering = FrozenBelow(model, trained)
    remembered = remembering.remember(rows)
    training.fit(
        remembering, remembered, num_epochs=2, learning_rate=1e-2, freeze=remembering.freeze,
        progress=False,
    )  # fmt: skip
    frozen = freeze_below(model, trained)
    free = {name for name in before if not any(name.startswith(f"{f}.") for f in frozen)}
    assert moved(model, before) == free
    whole = training.predict(model, rows, batch_size=6)
    assert np.allclose(training.predict(remembering, remembered, batch_size=6), whole, atol=1e-6)


def test_a_step_without_dropout_is_the_step_of_the_whole_model(model, rows):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout"):  # some layers keep a number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    remembering = FrozenBelow(model, 1)
    remembered = remembering.remember(rows).with_format("numpy")
    gradients = []
    for taught, data in ((remembering, remembered), (model, rows.with_format("numpy"))):
        model.zero_grad()
        taught.train()
        taught(**pad_batch(list(data)))["loss"].backward()
        gradients.append(model.head.weight.grad.clone())
    assert torch.allclose(*gradients, atol=1e-6)


def test_a_later_set_is_remembered_beside_the_first(model, rows):
    remembering = FrozenBelow(model, 1)
    first, second = remembering.remember(rows), remembering.remember(rows.select([3, 1]))
    assert first["state"][:] == list(range(6)) and second["state"][:] == [6, 7]
    assert torch.equal(remembering.states[6], remembering.states[3])


def test_no_parameter_is_counted_twice(model):
    count = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in FrozenBelow(model, 2).parameters()) == count


def test_a_body_that_cannot_be_cut_in_two_is_refused():
    config = transformers.OPTConfig(  # it adds positions to whatever it takes for word vectors
        vocab_size=20, hidden_size=8, num_hidden_layers=3, ffn_dim=16, num_attention_heads=2,
        max_position_embeddings=40, word_embed_proj_dim=8, pad_token_id=0,
    )  # fmt: skip
    model = LastTokenClassifier.from_body(transformers.OPTModel(config), 2)
    with pytest.raises(ValueError, match="OPTModel does more between .*freeze_below"):
        FrozenBelow(model, 1)
