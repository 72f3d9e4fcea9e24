"""LoRA by hand: what it starts from, what it adds, and that peft computes the same."""

import copy

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from helpers import lora

IDS = torch.tensor([[1, 5, 9, 2, 7], [3, 3, 8, 4, 6]])


def llama() -> nn.Module:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=60, **shape, **heads)).eval()


def gpt2() -> nn.Module:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4)).eval()


MODELS = {"llama": (llama, ["q_proj", "v_proj", "down_proj"]), "gpt2": (gpt2, ["c_attn", "c_proj"])}


@pytest.fixture(params=MODELS)
def kind(request):
    return MODELS[request.param]


def answer(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def fill(model) -> None:
    """Give every B something to say."""
    torch.manual_seed(1)
    for layer in lora.lora_layers(model).values():
        nn.init.normal_(layer.B, std=0.1)


def test_an_adapted_model_starts_as_the_model_it_adapts(kind):
    make, targets = kind
    model = make()
    before = answer(model)
    lora.add_lora(model, targets, rank=4)
    assert torch.equal(answer(model), before)


def test_only_the_thin_matrices_train(kind):
    make, targets = kind
    model = make()
    lora.add_lora(model, targets, rank=4)
    trained = {name.rpartition(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"A", "B"}


def test_a_layer_of_one_adds_exactly_the_scaled_product():
    base = nn.Linear(3, 2)
    layer = lora.LoRALinear(base, rank=1, alpha=4)
    with torch.no_grad():
        layer.A.copy_(torch.tensor([[1.0, 0.0, -1.0]]))
        layer.B.copy_(torch.tensor([[2.0], [0.5]]))
    x = torch.tensor([[3.0, 7.0, 1.0]])  # A x = 2, so the change is 4 * 2 * B
    assert torch.allclose(layer(x) - base(x), torch.tensor([[16.0, 4.0]]))
    assert torch.allclose(layer.delta(), torch.tensor([[8.0, 0.0, -8.0], [2.0, 0.0, -2.0]]))


@pytest.mark.parametrize("stabilized", [False, True])
def test_peft_gives_the_same_answers_and_gradients(kind, stabilized):
    from peft import LoraConfig, inject_adapter_in_model

    make, targets = kind
    ours, theirs = make(), make()
    adapted = lora.add_lora(ours, targets, rank=4, alpha=8, rank_stabilized=stabilized)
    fill(ours)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=targets, use_rslora=stabilized,
        fan_in_fan_out=make is gpt2,
    )  # fmt: skip
    inject_adapter_in_model(config, theirs)
    modules = dict(theirs.named_modules())
    with torch.no_grad():
        for name, layer in lora.lora_layers(ours).items():
            modules[name].lora_A["default"].weight.copy_(layer.A)
            modules[name].lora_B["default"].weight.copy_(layer.B)
    assert len(adapted) == sum(hasattr(m, "lora_A") for m in theirs.modules())
    assert torch.allclose(answer(ours), answer(theirs.eval()), atol=1e-5)
    for model in (ours, theirs):
        model(IDS, labels=IDS).loss.backward()
    for name, layer in lora.lora_layers(ours).items():
        assert torch.allclose(layer.A.grad, modules[name].lora_A["default"].weight.grad, atol=1e-5)
        assert torch.allclose(layer.B.grad, modules[name].lora_B["default"].weight.grad, atol=1e-5)


def test_merged_weights_answer_the_same_and_can_be_taken_apart(kind):
    make, targets = kind
    model = make()
    weights = copy.deepcopy(model.state_dict())
    lora.add_lora(model, targets, rank=4)
    fill(model)
    spoken = answer(model)
    lora.merge(model)
    lora.merge(model)  # twice is once
    assert torch.allclose(answer(model), spoken, atol=1e-5)
    lora.unmerge(model)
    assert torch.allclose(answer(model), spoken, atol=1e-5)
    for name, layer in lora.lora_layers(model).items():
        assert torch.allclose(layer.base.weight, weights[f"{name}.weight"], atol=1e-6)


def test_a_target_that_fits_nothing_is_refused_and_nothing_is_changed():
    model = llama()
    names = [name for name, _ in model.named_modules()]
    with pytest.raises(ValueError, match="'query'.*q_proj, k_proj"):
        lora.add_lora(model, ["q_proj", "query"])
    assert [name for name, _ in model.named_modules()] == names
    assert all(p.requires_grad for p in model.parameters())
