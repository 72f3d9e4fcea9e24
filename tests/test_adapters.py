"""Adapters with peft: put on, kept in folders, found again, switched, merged, refused."""

import hashlib
import json
import sys

import pytest
import torch

from helpers import pretrained, training
from helpers.evaluation import count_parameters
from helpers.pretrained import adapter_files, adapters
from helpers.pretrained.quantized import nf4_settings
from helpers.runtime import PROFILES

IDS = torch.tensor([[5, 6, 7, 8, 9]])


def load(task="classification", **options):
    return pretrained.load_decoder(task, profile=PROFILES["smoke"], echo=None, **options)


def answer(loaded) -> torch.Tensor:
    with torch.no_grad():
        given = loaded.model(input_ids=IDS, attention_mask=torch.ones_like(IDS))
    return given["logits"].clone()


def speak(loaded, seed=0) -> None:
    """Give an adapter something to say."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name and parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))


@pytest.fixture(params=["lm", "classification"])
def task(request):
    return request.param


def test_an_adapter_changes_nothing_before_training(task):
    loaded = load(task)
    before = answer(loaded)
    layers = adapters.add_adapter(loaded, rank=2)
    assert torch.equal(answer(loaded), before)
    assert {name.rpartition(".")[2] for name in layers} == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_the_adapter_and_the_head_train_and_nothing_else():
    loaded = load()
    adapters.add_adapter(loaded, rank=2)
    free = [name for name, p in loaded.model.named_parameters() if p.requires_grad]
    assert all(".lora_" in name or name.startswith("head.") for name in free)
    assert {"head.weight", "head.bias"} < set(free)
    rows = pretrained.encode_texts(loaded.tokenizer, ["good film", "bad film"] * 4, [1, 0] * 4)
    before = {name: p.detach().clone() for name, p in loaded.model.named_parameters()}
    training.fit(loaded.model, rows, num_epochs=1, learning_rate=1e-2, pad_id=loaded.pad_id)
    moved = {n for n, p in loaded.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved and moved <= set(free)


def test_the_same_seed_gives_the_same_adapter_whatever_was_drawn_before():
    states = []
    for _ in range(2):
        loaded = load()
        torch.rand(7)
        adapters.add_adapter(loaded, rank=2, seed=3)
        states.append({n: p for n, p in loaded.model.named_parameters() if "lora_A" in n})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_folder_gives_the_adapter_back(task, tmp_path):
    first, second = load(task), load(task)
    adapters.add_adapter(first, rank=2, alpha=7.0)
    speak(first)
    if task == "classification":
        torch.nn.init.normal_(first.model.head.weight)
    size = adapter_files.save_adapter(first, tmp_path)
    assert size == sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    adapter_files.load_adapter(second, tmp_path)
    assert torch.equal(answer(first), answer(second))


def test_peft_reads_the_folder_too(tmp_path):
    from peft import PeftModel

    loaded = load("lm")
    adapters.add_adapter(loaded, rank=2, rank_stabilized=True)
    speak(loaded)
    adapter_files.save_adapter(loaded, tmp_path)
    read = PeftModel.from_pretrained(load("lm").model, str(tmp_path)).eval()
    with torch.no_grad():
        assert torch.allclose(read(input_ids=IDS).logits, answer(loaded), atol=1e-5)


def test_an_adapter_of_a_classifier_speaks_in_the_language_model(tmp_path):
    classifier, spoken = load(), load("lm")
    before = answer(spoken)
    adapters.add_adapter(classifier, rank=2)
    speak(classifier)
    adapter_files.save_adapter(classifier, tmp_path)
    adapter_files.load_adapter(spoken, tmp_path)
    assert not torch.allclose(answer(spoken), before)


def test_two_adapters_on_one_base_take_turns_heads_and_all(tmp_path):
    answers = {}
    for seed, name in enumerate(("mood", "topic")):
        loaded = load(seed=seed)
        adapters.add_adapter(loaded, rank=2 + seed, seed=seed)
        speak(loaded, seed)
        adapter_files.save_adapter(loaded, tmp_path / name)
        answers[name] = answer(loaded)
    base = load(seed=9)
    for name in answers:
        adapter_files.load_adapter(base, tmp_path / name, name)
    assert adapters.adapter_names(base.model) == ["mood", "topic"]
    for name in ("mood", "topic", "mood"):
        adapters.use_adapter(base, name)
        assert torch.allclose(answer(base), answers[name], atol=1e-6)
    adapters.remove_adapter(base, "mood")
    assert torch.allclose(answer(base), answers["topic"], atol=1e-6)  # the other one speaks now
    adapters.remove_adapter(base, "topic")
    assert not any(hasattr(m, "lora_A") for m in base.model.modules())
    with pytest.raises(ValueError, match="No adapter 'topic'; there are none"):
        adapters.remove_adapter(base, "topic")


def test_the_head_that_is_saved_is_that_of_the_adapter_asked_for(tmp_path):
    loaded = load()
    for seed, name in enumerate(("film", "films")):  # one name begins as the other
        adapters.add_adapter(loaded, rank=2, name=name)
        speak(loaded, seed)
        torch.nn.init.constant_(loaded.model.head.bias, seed + 1.0)
    spoken = {}
    for name in ("films", "film"):
        adapters.use_adapter(loaded, name)
        spoken[name] = answer(loaded)
    adapters.use_adapter(loaded, "films")
    adapter_files.save_adapter(loaded, tmp_path, "film")
    fresh = load()
    adapter_files.load_adapter(fresh, tmp_path)
    assert torch.allclose(answer(fresh), spoken["film"], atol=1e-6)


def test_adapters_on_different_layers_know_of_each_other():
    loaded = load("lm")
    adapters.add_adapter(loaded, targets=["q_proj"], name="a")
    adapters.add_adapter(loaded, targets=["v_proj"], name="b")
    assert adapters.adapter_names(loaded.model) == ["a", "b"]
    speak(loaded)
    heard = answer(loaded)
    adapters.use_adapter(loaded, "a")
    assert not torch.allclose(answer(loaded), heard)


def test_an_adapter_of_a_language_model_keeps_no_head_of_an_earlier_one(tmp_path):
    for task in ("classification", "lm"):
        loaded = load(task)
        adapters.add_adapter(loaded, rank=2)
        adapter_files.save_adapter(loaded, tmp_path)
    assert not (tmp_path / "head.safetensors").exists()


def test_an_adapter_that_is_off_is_not_heard_and_comes_back():
    loaded = load("lm")
    before = answer(loaded)
    adapters.add_adapter(loaded, rank=2)
    speak(loaded)
    after, trained = answer(loaded), count_parameters(loaded.model)
    with adapters.adapter_off(loaded):
        assert torch.equal(answer(loaded), before)
    assert torch.equal(answer(loaded), after) and count_parameters(loaded.model) == trained


def test_merging_keeps_the_answers_and_leaves_plain_layers(task):
    loaded = load(task)
    adapters.add_adapter(loaded, rank=2, dora=task == "lm")
    speak(loaded)
    after = answer(loaded)
    adapters.merge_adapter(loaded)
    assert torch.allclose(answer(loaded), after, atol=1e-4)
    assert not any("lora" in name for name, _ in loaded.model.named_parameters())


def test_a_target_that_fits_nothing_is_refused_even_beside_one_that_fits():
    loaded = load()
    before = count_parameters(loaded.model)
    with pytest.raises(ValueError, match="'query'.*This model has q_proj, k_proj"):
        adapters.add_adapter(loaded, targets=["q_proj", "query"])
    with pytest.raises(ValueError, match="one text"):
        adapters.add_adapter(loaded, targets="q_proj")
    with pytest.raises(ValueError, match="at least 1"):
        adapters.add_adapter(loaded, rank=0)
    assert count_parameters(loaded.model) == before


def test_a_name_is_not_given_twice_nor_used_before_it_is_given():
    loaded = load()
    adapters.add_adapter(loaded, rank=2)
    with pytest.raises(ValueError, match="another name"):
        adapters.add_adapter(loaded, rank=2)
    with pytest.raises(ValueError, match="there are default"):
        adapters.use_adapter(loaded, "mood")


@pytest.fixture
def folder(tmp_path):
    loaded = load()
    adapters.add_adapter(loaded, rank=2)
    adapter_files.save_adapter(loaded, tmp_path)
    return tmp_path


def refused(folder, match, loaded=None) -> None:
    loaded = loaded or load()

    def standing():
        free = {name: p.requires_grad for name, p in loaded.model.named_parameters()}
        return free, adapters.adapter_names(loaded.model)

    before, stood = answer(loaded), standing()
    with pytest.raises(pretrained.ModelError, match=match):
        adapter_files.load_adapter(loaded, folder, "other")
    assert standing() == stood
    assert torch.equal(answer(loaded), before)


def test_another_base_is_refused_by_its_shape_or_by_its_weights(folder):
    other = load(pretrained=False, seed=5)  # the same shape, other numbers
    refused(folder, "trained on .*differ in word vectors", other)
    identity = json.loads((folder / "base.json").read_text())
    (folder / "base.json").write_text(json.dumps(identity | {"hidden_size": 4_096}))
    refused(folder, "differ in hidden_size")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "base.json"])
def test_a_missing_or_damaged_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    refused(folder, f"{name} is damaged")
    (folder / name).unlink()
    refused(folder, f"no file .*{name}")


def test_an_adapter_that_lacks_a_matrix_is_refused(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, folder / "adapter_model.safetensors")
    refused(folder, "adapter_model.safetensors is damaged .*sha256")
    identity = json.loads((folder / "base.json").read_text())
    content = (folder / "adapter_model.safetensors").read_bytes()
    identity["sha256"]["adapter_model.safetensors"] = hashlib.sha256(content).hexdigest()
    (folder / "base.json").write_text(json.dumps(identity))
    refused(folder, "does not fit the rest")
    talking = load()
    adapters.add_adapter(talking, rank=3, name="mine")
    speak(talking)
    refused(folder, "does not fit the rest", talking)


@pytest.mark.parametrize("content", ["[]", "{}", '{"numbers": []}'])
def test_a_file_of_another_form_is_named(folder, content):
    for name in ("base.json", "adapter_config.json"):
        whole = (folder / name).read_text()
        (folder / name).write_text(content)
        refused(folder, f"{name} is damaged")
        (folder / name).write_text(whole)


def test_a_base_that_was_tuned_on_is_another_base(folder):
    tuned = load()
    adapters.add_adapter(tuned, rank=2)
    speak(tuned)
    adapters.merge_adapter(tuned)
    with pytest.raises(pretrained.ModelError, match="differ in its first layer"):
        adapter_files.load_adapter(tuned, folder)


def test_a_head_for_other_labels_is_refused(folder):
    refused(folder, "is for 2 labels, not for 3", load(num_labels=3))


@pytest.fixture(scope="module")
def four_bit_source(tmp_path_factory):
    """A small random Llama whose layers are wide enough for blocks of 64 weights."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from helpers.pretrained import smollm2

    folder = tmp_path_factory.mktemp("llama")
    tokenizer = AutoTokenizer.from_pretrained(smollm2.tokenizer_folder())
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=2, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="bitsandbytes is installed on Linux alone")
def test_a_base_in_four_bits_carries_an_adapter_that_trains(four_bit_source):
    loaded = pretrained.load_decoder(
        "classification", source=four_bit_source, nf4=True, echo=None, device="cpu"
    )
    types = {type(layer).__name__ for layer in loaded.model.modules()}
    assert "Linear4bit" in types
    adapters.add_adapter(loaded, rank=2)
    rows = pretrained.encode_texts(loaded.tokenizer, ["good film", "bad film"] * 8, [1, 0] * 8)
    result = training.fit(
        loaded.model, rows, num_epochs=8, learning_rate=1e-2, pad_id=loaded.pad_id
    )
    assert result.losses[-1] < 0.5 * result.losses[0]
    packed = {p.dtype for name, p in loaded.model.named_parameters() if "base_layer" in name}
    assert packed == {torch.uint8}


@pytest.mark.skipif(sys.platform != "linux", reason="bitsandbytes is installed on Linux alone")
def test_four_bits_are_said_and_refused_where_nothing_would_be_packed(four_bit_source):
    said = []
    pretrained.load_decoder("classification", source=four_bit_source, echo=said.append)
    pretrained.load_decoder(
        "classification", source=four_bit_source, nf4=True, echo=said.append, device="cpu"
    )
    plain, packed = (text.partition(": ")[2].partition(".")[0] for text in said)
    assert packed == plain and "NF4" in said[1]  # as many parameters, in other form
    with pytest.raises(pretrained.ModelError, match="cannot be kept in four bits"):
        pretrained.load_decoder(source=four_bit_source, nf4=True, pretrained=False, echo=None)


@pytest.mark.skipif(sys.platform != "linux", reason="bitsandbytes is installed on Linux alone")
@pytest.mark.parametrize(
    ("capability", "compute"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)]
)
def test_four_bit_sums_are_taken_in_what_the_gpu_has(monkeypatch, capability, compute):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    settings = nf4_settings("cuda")
    assert settings.load_in_4bit and settings.bnb_4bit_quant_type == "nf4"
    assert settings.bnb_4bit_use_double_quant and settings.bnb_4bit_compute_dtype == compute


def test_four_bits_without_their_package_are_refused_in_words(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(pretrained.ModelError, match="need the package bitsandbytes"):
        nf4_settings("cpu")
