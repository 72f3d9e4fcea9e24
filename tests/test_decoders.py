"""Decoders as the course loads them: unpacked once, padding settled, the last real token read."""

import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
import transformers
from tiny_decoders import CONTEXT, END, byte_level, put_gguf_in_cache, save_gpt2, save_llama

from helpers import assets, pretrained, training
from helpers.pretrained import LastTokenClassifier, ModelError, load_decoder
from helpers.runtime import PROFILES


@pytest.fixture
def gpt2(tmp_path):
    return save_gpt2(tmp_path / "gpt2")


@pytest.fixture
def llama(tmp_path):
    return save_llama(tmp_path / "llama")


@pytest.fixture
def folders(gpt2, llama):
    return {"gpt2": gpt2, "llama": llama}


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """Put a tiny GGUF file in the place of SmolLM2's; gives the model that it holds."""
    return put_gguf_in_cache(tmp_path, monkeypatch)


def quiet(*args, **settings):
    return load_decoder(*args, echo=None, **settings)


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


# --- SmolLM2, unpacked from GGUF -----------------------------------------------------------------


def test_every_weight_is_what_the_gguf_file_holds(packed):
    loaded = quiet(profile=PROFILES["cpu"])
    expected, found = packed.state_dict(), loaded.model.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    ids = torch.tensor([[5, 260, 17, 290, 9]])
    with torch.no_grad():
        difference = (loaded.model(ids).logits - packed.eval()(ids).logits).abs().max()
    assert difference < 1e-5
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert (loaded.name, loaded.source) == ("SmolLM2-135M-Instruct", "smollm2")
    assert loaded.new_parameters == ()


def test_the_tokenizer_of_the_gguf_file_is_kept_with_its_chat_template(packed):
    tokenizer = quiet().tokenizer
    text = "Review: a good film\n\nSentiment: positive"
    assert tokenizer(text)["input_ids"] == byte_level().encode(text).ids
    assert tokenizer.convert_ids_to_tokens(tokenizer("a  12")["input_ids"]) == [
        "a", "Ġ", "Ġ", "1", "2",
    ]  # fmt: skip
    chat = [{"role": "user", "content": "a film"}]
    shown = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert shown == "<|im|>user\na film<|endoftext|>\n<|im|>assistant\n"
    assert (tokenizer.model_max_length, tokenizer.pad_token) == (CONTEXT, END)


def test_the_second_load_needs_neither_the_gguf_file_nor_a_writable_cache(packed, monkeypatch):
    first = weights(quiet().model)
    shutil.rmtree(assets.cache_dir() / "smollm2")

    def refuse(*arguments, **settings):
        raise OSError("read-only")

    monkeypatch.setattr("helpers.assets.models.locked", refuse)
    second = weights(quiet().model)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_a_killed_run_left_behind_is_not_taken(packed):
    derived = assets.cache_dir() / "derived"
    expected = weights(quiet().model)
    [kept] = derived.glob("smollm2-model-????????????????")
    part = derived / f"{kept.name}.part-1"
    part.mkdir()
    (part / "model.safetensors").write_bytes(b"half")
    (kept / "model.safetensors").unlink()
    again = weights(quiet().model)
    assert all(torch.equal(expected[name], again[name]) for name in expected)
    assert not part.exists()


@pytest.mark.slow
def test_two_processes_at_once_unpack_once(packed):
    decoder = assets.choose_model("decoder", PROFILES["cpu"])
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = set(pool.map(assets.model_folder, [decoder] * 2))
    assert len(found) == 1
    derived = [path for path in (assets.cache_dir() / "derived").iterdir() if path.is_dir()]
    names = sorted(path.name.rpartition("-")[0] for path in derived)
    assert names == ["smollm2-model", "smollm2-tokenizer"]


def test_a_cache_that_cannot_be_written_is_said(packed):
    (assets.cache_dir() / "derived").write_text("in the way", encoding="utf-8")
    with pytest.raises(assets.AssetError, match="0.6 GB.*COURSE_CACHE"):
        quiet()


def test_smoke_is_a_tiny_llama_as_deep_as_the_real_one_behind_its_tokenizer(packed):
    small = quiet(profile=PROFILES["smoke"])
    assert small.model.config.hidden_size == 32
    assert len(pretrained.blocks(small.model)) == 3
    assert small.tokenizer("a good film")["input_ids"] == byte_level().encode("a good film").ids
    torch.manual_seed(5)  # the body stands for a checkpoint: nothing may change it
    other = quiet(profile=PROFILES["smoke"], seed=1)
    a, b = weights(small.model), weights(other.model)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not list((assets.cache_dir() / "derived").glob("smollm2-model*"))


def test_the_random_smollm2_needs_no_unpacked_weights(packed):
    control = quiet(pretrained=False)
    assert control.name == "SmolLM2-135M-Instruct, random weights"
    assert not list((assets.cache_dir() / "derived").glob("smollm2-model*"))
    expected = {name: value.shape for name, value in packed.named_parameters()}
    assert {name: value.shape for name, value in control.model.named_parameters()} == expected


# --- what is loaded ------------------------------------------------------------------------------


def test_the_line_says_what_tuning_and_rounding_mean(packed, gpt2, capsys):
    load_decoder()
    said = capsys.readouterr().out
    assert "All come from the checkpoint." in said
    assert "follow instructions" in said and "4 bits" in said
    assert said.count("\n") == 1
    load_decoder("classification", source=gpt2)
    said = capsys.readouterr().out
    assert "Random until trained, as a fresh head is: head.weight, head.bias." in said
    assert "Padding is <|endoftext|>, its end token." in said and "4 bits" not in said
    load_decoder(pretrained=False)
    said = capsys.readouterr().out
    assert "All are random: this is the control." in said and "instructions" not in said


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_language_model_is_the_checkpoints(folders, kind):
    loaded = quiet(source=folders[kind])
    plain = transformers.AutoModelForCausalLM.from_pretrained(folders[kind], dtype=torch.float32)
    ids = torch.tensor([[5, 260, 17]])
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, plain.eval()(ids).logits)
    assert (loaded.new_parameters, loaded.model.training) == ((), False)


# --- padding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("task", ["lm", "classification"])
def test_padding_is_settled_in_tokenizer_and_config(folders, kind, task):
    loaded = quiet(task, source=folders[kind])
    assert loaded.pad_id == loaded.tokenizer.eos_token_id == loaded.model.config.pad_token_id == 0
    assert loaded.tokenizer.padding_side == {"lm": "left", "classification": "right"}[task]
    if task == "lm":
        assert loaded.model.generation_config.pad_token_id == 0


def test_a_padding_token_of_its_own_is_kept(llama):
    facts = json.loads((llama / "tokenizer_config.json").read_text(encoding="utf-8"))
    facts["pad_token"] = "<|im|>"
    (llama / "tokenizer_config.json").write_text(json.dumps(facts), encoding="utf-8")
    loaded = quiet(source=llama)
    assert (loaded.pad_id, loaded.model.config.pad_token_id) == (1, 1)


def test_the_end_token_still_learns_although_it_pads(llama):
    loaded = quiet(source=llama)
    loaded.model(torch.tensor([[5, 0, 17]])).logits[0, -1, 9].backward()
    assert loaded.model.get_input_embeddings().weight.grad[0].abs().sum() > 0


def test_neither_padding_nor_end_is_refused(gpt2):
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (gpt2 / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="no padding token.*pad_token"):
        quiet(source=gpt2)


# --- a head on the last token --------------------------------------------------------------------

LONG, SHORT = "a good film of a good man", "bad"


def batch(loaded, texts, labels=None):
    rows = pretrained.encode_texts(loaded.tokenizer, texts, labels, echo=None)
    return training.pad_batch(list(rows), loaded.pad_id)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("end", ["", END])
def test_the_classifier_reads_the_last_real_token(folders, kind, end):
    loaded = quiet("classification", num_labels=3, source=folders[kind])
    short = SHORT + end  # a text that ends in the token that pads
    with torch.no_grad():
        both = loaded.model(**batch(loaded, [LONG, short]))["logits"]
        ids = torch.tensor([loaded.tokenizer(short)["input_ids"]])
        expected = loaded.model.head(loaded.model.decoder(ids).last_hidden_state[0, -1])
        alone = loaded.model(ids)["logits"]
    assert both.shape == (2, 3)
    torch.testing.assert_close(both[1], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "blocks"), [("gpt2", "decoder.h"), ("llama", "decoder.layers")])
@pytest.mark.parametrize("trained", [0, 1, "all"])
def test_only_the_top_blocks_and_the_head_move(folders, kind, blocks, trained):
    loaded = quiet("classification", source=folders[kind])
    model, before = loaded.model, weights(loaded.model)
    assert pretrained.blocks(model) == [f"{blocks}.{i}" for i in range(3)]
    rows = pretrained.encode_texts(loaded.tokenizer, [LONG, SHORT] * 2, [1, 0] * 2)
    training.fit(
        model, rows, num_epochs=2, learning_rate=0.01, pad_id=loaded.pad_id, progress=False,
        freeze=pretrained.freeze_below(model, trained),
    )  # fmt: skip
    moved = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    top = {"gpt2": "decoder.ln_f", "llama": "decoder.norm"}[kind]
    if trained == "all":
        assert moved == set(before)
    else:
        allowed = ("head.", f"{blocks}.2.", f"{top}.") if trained else ("head.",)
        assert moved == {name for name in before if name.startswith(allowed)}


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_parts_of_a_language_model(folders, kind):
    model = quiet(source=folders[kind]).model
    first, last, stack = {
        "gpt2": ("transformer.wte", "transformer.ln_f", "transformer.h"),
        "llama": ("model.embed_tokens", "model.norm", "model.layers"),
    }[kind]
    body, head = pretrained.body_and_head(model)
    assert (body[0], body[-1], head) == (first, last, [])  # it predicts with its word vectors
    assert pretrained.blocks(model) == [f"{stack}.{i}" for i in range(3)]
    assert pretrained.freeze_below(model, 1)[-1] == f"{stack}.1"


def test_an_untied_head_is_the_task_s(tmp_path):
    model = quiet(source=save_llama(tmp_path / "untied", tie_word_embeddings=False)).model
    assert pretrained.body_and_head(model)[1] == ["lm_head"]


@pytest.mark.parametrize("save", [save_gpt2, save_llama])
def test_a_saved_classifier_keeps_its_head_and_its_labels(tmp_path, save):
    kind = {
        save_gpt2: "GPT2ForSequenceClassification",
        save_llama: "LlamaForSequenceClassification",
    }
    names = {0: "bad", 1: "so-so", 2: "good"}
    folder = save(tmp_path / "three", kind[save], id2label=names, pad_token_id=0)
    plain = getattr(transformers, kind[save]).from_pretrained(folder, dtype=torch.float32).eval()
    loaded = quiet("classification", num_labels=3, source=folder)
    ids = torch.tensor([[5, 260, 17]])
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(ids)["logits"], plain(ids).logits)
    assert (loaded.new_parameters, loaded.model.config.id2label) == ((), names)
    assert isinstance(loaded.model, LastTokenClassifier)
    with pytest.raises(ModelError, match=r"head for 3 labels .*or give the decoder without"):
        quiet("classification", source=folder)


# --- what is wrong with a model ------------------------------------------------------------------


def changed(folder, **facts):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | facts
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return config


def encoder(folder):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.BertModel(transformers.BertConfig(**sizes)).save_pretrained(folder)


def encoder_decoder(folder):
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    transformers.T5Config(vocab_size=320, **sizes).save_pretrained(folder)


def body_only(folder):
    untied = changed(folder, tie_word_embeddings=False)
    config = transformers.GPT2Config(**untied)
    transformers.GPT2Model(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (encoder, "'bert', which is no decoder; give one such as GPT-2"),
        (encoder_decoder, "'t5', which is no decoder"),
        (body_only, r"lack the layer that predicts words \(lm_head.weight\)"),
    ],
)
def test_a_folder_that_is_no_decoder_is_one_clear_sentence(gpt2, spoil, message):
    spoil(gpt2)
    with pytest.raises(ModelError, match=message) as caught:
        quiet(source=gpt2)
    assert "\n" not in str(caught.value)
    assert "gpt2" in str(caught.value)
