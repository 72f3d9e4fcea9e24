"""Adapters with peft: put on, kept in folders, found again, switched, merged, refused."""

import dataclasses
import json
import sys
import warnings

import pytest
import torch
from datasets import Dataset
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification, PeftModel

from helpers import adapters, pretrained, training
from helpers.pretrained.build import nf4_settings
from helpers.runtime import PROFILES
from helpers.training import count_parameters

IDS = torch.tensor([[5, 6, 7, 8, 9]])
FILES = ("adapter_config.json", "adapter_model.safetensors", "base.json")


HALF = dataclasses.replace(PROFILES["smoke"], precision="bfloat16")


def load(task="classification", **options):
    return pretrained.load_decoder(task, profile=PROFILES["smoke"], echo=None, **options)


def adapted(task="classification", seed=0, trained=True, base_seed=0, **options):
    """A model with an adapter that has something to say, its head too."""
    loaded = adapters.add_adapter(load(task, seed=base_seed), seed=seed, **{"rank": 2} | options)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if trained and parameter.requires_grad and "lora_A" not in name:
                parameter.add_(torch.randn_like(parameter))
    return loaded


def answer(loaded) -> torch.Tensor:
    with torch.no_grad():
        given = loaded.model(input_ids=IDS, attention_mask=torch.ones_like(IDS))
    return given["logits"].clone()


@pytest.fixture(params=["lm", "classification"])
def task(request):
    return request.param


def test_an_adapter_changes_nothing_before_training_and_sits_on_attention(task):
    before = answer(load(task))
    loaded = adapted(task, trained=False)
    assert torch.equal(answer(loaded), before)
    on = {name.rpartition(".lora_A")[0] for name, _ in loaded.model.named_modules()} - {""}
    assert {name.rpartition(".")[2] for name in on} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    depth = len(pretrained.blocks(loaded.model))
    assert len(on) == 4 * depth and on == set(adapters.target_layers(loaded.model))


def test_the_adapter_and_the_head_train_and_nothing_else():
    loaded = adapted(trained=False)
    free = {name for name, p in loaded.model.named_parameters() if p.requires_grad}
    assert all(".lora_" in name or ".head." in name for name in free)
    rows = pretrained.encode_texts(loaded.tokenizer, ["good film", "bad film"] * 4, [1, 0] * 4)
    before = {name: p.detach().clone() for name, p in loaded.model.named_parameters()}
    training.fit(loaded.model, rows, num_epochs=1, learning_rate=1e-2, pad_id=loaded.pad_id)
    moved = {n for n, p in loaded.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved <= free and any(".head." in name for name in moved)


def test_a_model_with_an_adapter_is_the_base_two_thin_matrices_a_layer_and_one_head():
    loaded = adapted(rank=3)
    layers = adapters.target_layers(loaded.model)
    shapes = [loaded.model.get_submodule(layer).weight.shape for layer in layers]
    matrices = sum(3 * (rows + columns) for rows, columns in shapes)
    _, base = count_parameters(load().model)
    head = sum(p.numel() for p in load().model.head.parameters())
    assert count_parameters(loaded.model) == (matrices + head, base + matrices)


def test_the_same_seed_gives_the_same_adapter_whatever_was_drawn_before():
    states = []
    for _ in range(2):
        torch.rand(7)
        loaded = adapted(trained=False, seed=3)
        states.append({n: p for n, p in loaded.model.named_parameters() if "lora_A" in n})
    assert states[0] and all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_folder_gives_the_adapter_back_here_and_to_peft(task, tmp_path):
    first = adapted(task, alpha=7.0, rank_stabilized=True)
    size = adapters.save_adapter(first, tmp_path)
    assert size == (tmp_path / "adapter_model.safetensors").stat().st_size
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    second = adapters.load_adapter(load(task), tmp_path)
    assert torch.equal(answer(first), answer(second))
    theirs = PeftModel.from_pretrained(load(task).model, str(tmp_path)).eval()
    assert torch.equal(answer(dataclasses.replace(first, model=theirs)), answer(first))


def test_a_stranger_s_loader_is_right_about_a_language_model(tmp_path):
    spoken = load("lm")
    spoken.model.save_pretrained(tmp_path / "base")
    spoken = dataclasses.replace(spoken, source=str(tmp_path / "base"))
    spoken = adapters.add_adapter(spoken, rank=2)
    with torch.no_grad():
        for name, parameter in spoken.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    adapters.save_adapter(spoken, tmp_path / "adapter")
    read = AutoPeftModelForCausalLM.from_pretrained(str(tmp_path / "adapter")).eval()
    assert torch.allclose(answer(dataclasses.replace(spoken, model=read)), answer(spoken))


def test_a_stranger_s_loader_refuses_a_classifier_aloud(tmp_path):
    from transformers import LlamaForSequenceClassification

    adapters.save_adapter(adapted(), tmp_path)
    with pytest.raises(ValueError, match="helpers"):
        AutoPeftModelForSequenceClassification.from_pretrained(str(tmp_path))
    theirs = LlamaForSequenceClassification(load("lm").model.config)
    with pytest.raises(ValueError, match="not found"):
        PeftModel.from_pretrained(theirs, str(tmp_path))


@pytest.mark.parametrize(
    ("source", "name", "revision"),
    [
        ("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", None),
        ("owner/name@v1", "owner/name", "v1"),
    ],
)
def test_the_base_is_called_as_the_hub_calls_it(tmp_path, source, name, revision):
    loaded = dataclasses.replace(load("lm"), source=source)
    adapters.save_adapter(adapters.add_adapter(loaded), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (name, revision)


@pytest.mark.slow
def test_two_adapters_on_one_base_take_turns_heads_and_all(tmp_path):
    answers = {}
    for seed, name in enumerate(("mood", "topic")):
        loaded = adapted(rank=2 + seed, seed=seed)
        adapters.save_adapter(loaded, tmp_path / name)
        answers[name] = answer(loaded)
    base = load()
    untouched = answer(base)
    for name in answers:
        base = adapters.load_adapter(base, tmp_path / name, name)
    assert list(base.model.peft_config) == ["mood", "topic"]
    for name in ("mood", "topic", "mood"):
        base.model.set_adapter(name)
        assert torch.allclose(answer(base), answers[name], atol=1e-6)
        with base.model.disable_adapter():
            assert torch.equal(answer(base), untouched)
    adapters.save_adapter(base, tmp_path / "again", "topic")  # while the other one is active
    again = adapters.load_adapter(load(), tmp_path / "again")
    assert torch.allclose(answer(again), answers["topic"], atol=1e-6)
    base.model.delete_adapter("mood")
    assert torch.allclose(answer(base), answers["topic"], atol=1e-6)


def test_a_further_adapter_alone_trains_and_is_heard():
    loaded = adapters.add_adapter(adapted("lm", name="first"), rank=2, name="second")
    free = [name for name, p in loaded.model.named_parameters() if p.requires_grad]
    assert free and all(".second." in name for name in free)
    assert torch.equal(answer(loaded), answer(load("lm")))
    with pytest.raises(ValueError, match="second"):
        adapters.add_adapter(loaded, name="second")


def test_merged_it_answers_as_before_and_leaves_plain_layers(task):
    loaded = adapted(task, dora=task == "lm")
    after = answer(loaded)
    merged = dataclasses.replace(loaded, model=loaded.model.merge_and_unload())
    assert torch.allclose(answer(merged), after, atol=1e-4)
    assert not any("lora" in name for name, _ in merged.model.named_parameters())


def test_a_target_that_fits_nothing_is_refused_even_beside_one_that_fits():
    loaded = load()
    before = count_parameters(loaded.model)
    with pytest.raises(ValueError, match="'query'.*q_proj, k_proj"):
        adapters.add_adapter(loaded, targets=["q_proj", "query"])
    with pytest.raises(ValueError, match="give a list"):
        adapters.add_adapter(loaded, targets="q_proj")
    with pytest.raises(ValueError, match="positive"):
        adapters.add_adapter(loaded, rank=0)
    assert count_parameters(loaded.model) == before


# --- what is refused, the model left as it was


@pytest.fixture
def folder(tmp_path):
    adapters.save_adapter(adapted(), tmp_path)
    return tmp_path


def refused(folder, match, loaded=None) -> None:
    loaded = loaded or load()

    def standing():
        free = {name: p.requires_grad for name, p in loaded.model.named_parameters()}
        return free, answer(loaded).tolist()

    before = standing()
    with pytest.raises(pretrained.ModelError, match=match):
        adapters.load_adapter(loaded, folder, "other")
    assert standing() == before


def tuned_in_full():
    """All but the word vectors, as the course tunes in full: less than a thousandth each."""
    loaded = load()
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "embed_tokens" not in name:
                parameter.mul_(1.005)
    return loaded


def merged():
    loaded = adapted(seed=7)
    return dataclasses.replace(loaded, model=loaded.model.merge_and_unload())


@pytest.mark.parametrize("other", [lambda: load(pretrained=False, seed=5), tuned_in_full, merged])
def test_another_base_is_refused(folder, other):
    refused(folder, "trained on tiny random Llama", other())


@pytest.mark.slow
def test_a_base_that_carries_another_adapter_is_still_the_base(folder):
    loaded = adapters.load_adapter(adapted(seed=9, name="mine"), folder)
    alone = adapters.load_adapter(load(), folder)
    assert torch.allclose(answer(loaded), answer(alone), atol=1e-6)
    with pytest.raises(ValueError, match="default"):
        adapters.load_adapter(loaded, folder)


def test_a_base_in_fewer_bits_is_still_the_base(folder):
    loaded = load()
    loaded.model.to(torch.bfloat16)
    assert list(adapters.load_adapter(loaded, folder).model.peft_config) == ["default"]


def test_a_base_is_held_in_bfloat16_only_where_the_profile_computes_in_it():
    kept = adapters.hold_base(adapted())
    assert {p.dtype for p in kept.model.parameters()} == {torch.float32}
    held = pretrained.load_decoder("classification", profile=HALF, echo=None)
    held = adapters.hold_base(adapters.add_adapter(held, rank=2))
    assert held.precision == "bfloat16"
    for name, parameter in held.model.named_parameters():
        ours = ".lora_" in name or ".head." in name
        assert parameter.dtype == (torch.float32 if ours else torch.bfloat16), name
    assert {b.dtype for b in held.model.buffers() if b.is_floating_point()} == {torch.float32}


def test_an_adapter_trained_on_a_base_in_bfloat16_answers_alike_on_one_in_float32(tmp_path):
    loaded = pretrained.load_decoder("classification", profile=HALF, echo=None)
    loaded = adapters.hold_base(adapters.add_adapter(loaded, rank=2))
    rows = Dataset.from_dict({"input_ids": [[5, 6, 7], [8, 9, 5]] * 8, "labels": [0, 1] * 8})
    options = {"num_epochs": 4, "learning_rate": 1e-2, "batch_size": 8, "pad_id": loaded.pad_id}
    for precision in ("float32", "bfloat16"):  # the second is the profile's
        result = training.fit(loaded.model, rows, precision=precision, **options)
    assert result.losses[-1] < result.losses[0]
    adapters.save_adapter(loaded, tmp_path)
    plain = adapters.load_adapter(load(), tmp_path)
    assert torch.allclose(answer(plain), answer(loaded), atol=0.05)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_damaged_file_is_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    refused(folder, f"damaged.*{name}")
    (folder / name).unlink()
    refused(folder, f"no file .*{name}")


def test_files_of_two_runs_are_not_taken_for_one_adapter(folder, tmp_path):
    adapters.save_adapter(adapted(seed=4), tmp_path / "second")
    for name in FILES[:2]:
        (folder / name).write_bytes((tmp_path / "second" / name).read_bytes())
    refused(folder, "damaged")


def test_another_task_or_other_labels_are_refused(folder):
    refused(folder, "another task", load("lm"))
    refused(folder, "num_labels=2", load(num_labels=3))


# --- four bits


needs_bitsandbytes = pytest.mark.skipif(
    sys.platform != "linux", reason="bitsandbytes is installed on Linux alone"
)


@pytest.fixture(scope="module")
def four_bit_source(tmp_path_factory):
    """A small random Llama whose layers are wide enough for blocks of 64 weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    tokenizer = load("lm").tokenizer
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=2, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def packed_and_plain(source, **options):
    return [
        pretrained.load_decoder(
            "classification", source=source, nf4=nf4, device="cpu", **{"echo": None} | options
        )
        for nf4 in (True, False)
    ]


@needs_bitsandbytes
def test_a_base_in_four_bits_carries_an_adapter_that_trains(four_bit_source, tmp_path):
    packed, plain = packed_and_plain(four_bit_source)
    loaded = adapters.add_adapter(packed, rank=2)
    rows = pretrained.encode_texts(loaded.tokenizer, ["good film", "bad film"] * 8, [1, 0] * 8)
    result = training.fit(
        loaded.model, rows, num_epochs=8, learning_rate=1e-2, pad_id=loaded.pad_id
    )
    assert result.losses[-1] < 0.5 * result.losses[0]
    stored = {p.dtype for name, p in loaded.model.named_parameters() if "base_layer" in name}
    assert stored == {torch.uint8}
    adapters.save_adapter(loaded, tmp_path)  # and its base in float32 is the same base
    assert torch.allclose(answer(adapters.load_adapter(plain, tmp_path)), answer(loaded), atol=0.2)


@needs_bitsandbytes
def test_four_bits_are_said_and_refused_where_nothing_would_be_packed(four_bit_source):
    said = []
    packed_and_plain(four_bit_source, echo=said.append)
    packed, plain = (text.partition(": ")[2].partition(".")[0] for text in said)
    assert packed == plain and "NF4" in said[0]  # as many parameters, in other form
    with pytest.raises(pretrained.ModelError, match="four bits"):
        pretrained.load_decoder(source=four_bit_source, nf4=True, pretrained=False, echo=None)


@needs_bitsandbytes
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
    with pytest.raises(pretrained.ModelError, match="bitsandbytes"):
        nf4_settings("cpu")


def test_peft_s_own_saver_asks_nobody_for_the_base(tmp_path):
    first = adapters.add_adapter(load("lm"))
    adapters.save_adapter(first, tmp_path / "kept")
    again = adapters.load_adapter(load("lm"), tmp_path / "kept")
    for model in (first.model, again.model):
        with warnings.catch_warnings(action="error"):  # it warns where the Hub does not answer
            model.save_pretrained(tmp_path / "saved")
