"""Encoders as the course loads them: what is random, what freezes, which piece is which word."""

import json
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from helpers import assets, pretrained, training
from helpers.pretrained import ModelError, load_decoder, load_encoder
from helpers.runtime import PROFILES

WORDS = "a an the good bad film unlike story of man he".split()
SIZES = {"num_attention_heads": 2, "max_position_embeddings": 130}
TAGS = ["O", "B-PER", "I-PER"]


def wordpiece() -> Tokenizer:
    """Cut `unlikely` into `unlike` and `##ly`; all other words are whole."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##ly", "##s"]
    tokenizer = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a good film of a good man"] * 3, trainer)
    return tokenizer


def save(model, tokenizer: Tokenizer, tokenizer_class: str, folder):
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": tokenizer_class, "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def bert_config(layers=3):
    size = wordpiece().get_vocab_size()
    return transformers.BertConfig(
        vocab_size=size, hidden_size=8, num_hidden_layers=layers, intermediate_size=16, **SIZES
    )


@pytest.fixture
def bert(tmp_path):
    torch.manual_seed(7)
    model = transformers.BertModel(bert_config())
    return save(model, wordpiece(), "BertTokenizer", tmp_path / "bert")


@pytest.fixture
def distilbert(tmp_path):
    config = transformers.DistilBertConfig(
        vocab_size=wordpiece().get_vocab_size(), n_layers=3, n_heads=2, dim=8, hidden_dim=16,
        max_position_embeddings=130,
    )  # fmt: skip
    model = transformers.DistilBertModel(config)
    return save(model, wordpiece(), "DistilBertTokenizer", tmp_path / "distilbert")


@pytest.fixture
def roberta(tmp_path):
    tokenizer = byte_level()
    config = transformers.RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=8, num_hidden_layers=3,
        intermediate_size=16, **SIZES,
    )  # fmt: skip
    model = transformers.RobertaForMaskedLM(config)
    return save(model, tokenizer, "RobertaTokenizer", tmp_path / "roberta")


@pytest.fixture
def folders(bert, distilbert, roberta):
    return {"bert": bert, "distilbert": distilbert, "roberta": roberta}


def quiet(*args, **settings):
    return load_encoder(*args, echo=None, **settings)


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def same(first, second) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def minilm():
    return assets.path("minilm")


def batch(tokenizer, texts):
    rows = pretrained.encode_texts(tokenizer, texts, echo=None)
    return training.pad_batch(list(rows), tokenizer.pad_token_id)


# --- what is loaded ------------------------------------------------------------------------------


def test_minilm_is_the_published_model_in_float32():
    folder = minilm()
    ours = quiet("features", profile=PROFILES["cpu"])
    text = "A film that is better than it has any right to be."
    plain = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        expected = plain(**tokens).last_hidden_state
        found = ours.model(**batch(ours.tokenizer, [text])).last_hidden_state
    assert torch.equal(found, expected)
    assert {p.dtype for p in ours.model.parameters()} == {torch.float32}
    assert (ours.name, ours.new_parameters, ours.pad_id) == ("MiniLM-L6", (), 0)


@pytest.mark.slow
def test_folders_are_read_by_plain_transformers(tmp_path):
    code = (
        "import sys, transformers\n"
        "for name, folder in zip(('AutoModel', 'AutoModelForCausalLM'), sys.argv[1:]):\n"
        "    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)\n"
        "    model = getattr(transformers, name).from_pretrained(folder)\n"
        "    output = model(**tokenizer('A fine film.', return_tensors='pt'))\n"
        "    print(model.config.num_hidden_layers, 'helpers' in sys.modules)"
    )
    places = [str(assets.folder(name, PROFILES["smoke"])) for name in ("minilm", "smollm2")]
    command = [sys.executable, "-c", code, *places]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["6", "False", "30", "False"], done.stderr


def test_a_folder_follows_the_environment_and_knows_its_names(bert, monkeypatch):
    monkeypatch.setenv("COURSE_ENCODER", str(bert))
    assert assets.folder("minilm") == bert
    with pytest.raises(assets.AssetError, match="minilm, smollm2"):
        assets.folder("glove")


def test_smoke_is_a_tiny_bert_behind_minilms_tokenizer():
    folder = minilm()
    small = quiet(profile=PROFILES["smoke"])
    text = "Unforgettably filmed."
    real = transformers.AutoTokenizer.from_pretrained(folder)
    assert small.tokenizer(text)["input_ids"] == real(text)["input_ids"]
    assert sum(p.numel() for p in small.model.parameters()) < 2e6
    assert len(pretrained.blocks(small.model)) == 6
    torch.manual_seed(5)  # the body stands for a checkpoint: nothing may change it
    other = quiet(profile=PROFILES["smoke"], seed=1)
    different = {n for n, v in weights(small.model).items() if (v != weights(other.model)[n]).any()}
    assert different == {"head.weight"}


def test_a_half_precision_checkpoint_is_loaded_in_float32(bert):
    transformers.BertModel.from_pretrained(bert, dtype=torch.bfloat16).save_pretrained(bert)
    model = quiet(source=bert).model
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("task", ["classification", "tokens", "features", "mlm"])
def test_the_body_is_the_checkpoints_and_only_the_head_depends_on_the_seed(folders, kind, task):
    first, second = (quiet(task, source=folders[kind], seed=seed) for seed in (0, 1))
    body, head = pretrained.body_and_head(first.model)
    a, b = weights(first.model), weights(second.model)
    inside = [n for n in a if any(n.startswith(f"{layer}.") for layer in body)]
    plain = transformers.AutoModel.from_pretrained(folders[kind], dtype=torch.float32)
    saved = weights(plain)
    for name in inside:
        assert torch.equal(a[name], b[name])
        assert torch.equal(a[name], saved[name.removeprefix(f"{first.model.base_model_prefix}.")])
    different = {name for name in a if not torch.equal(a[name], b[name])}
    assert different <= set(first.new_parameters)
    if task in ("classification", "tokens"):
        assert different
        assert all(name.split(".")[0] in head for name in first.new_parameters)
    assert same(weights(quiet(task, source=folders[kind], seed=0).model), a)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_the_random_control_has_the_same_shape_and_other_weights(folders, kind):
    trained = quiet(source=folders[kind])
    control, again, other = (
        quiet(source=folders[kind], pretrained=False, seed=seed) for seed in (0, 0, 1)
    )
    a, b = weights(trained.model), weights(control.model)
    assert {n: v.shape for n, v in a.items()} == {n: v.shape for n, v in b.items()}
    matrices = [n for n, v in a.items() if v.ndim > 1]
    assert not any(torch.equal(a[name], b[name]) for name in matrices)
    assert same(weights(again.model), b)
    assert not same(weights(other.model), b)
    assert set(control.new_parameters) == set(b)
    assert control.name == f"{kind}, random weights"
    assert not control.model.training


def test_the_control_needs_no_weights(bert):
    (bert / "model.safetensors").unlink()
    assert quiet(source=bert, pretrained=False).name == "bert, random weights"
    with pytest.raises(ModelError, match=r"no weights \(model.safetensors\).*save_pretrained"):
        quiet(source=bert)


@pytest.mark.parametrize("pretrained_", [True, False])
def test_loading_leaves_the_global_generator_alone(bert, pretrained_):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    quiet(source=bert, pretrained=pretrained_)
    assert torch.equal(torch.rand(2), expected)


def test_the_line_says_what_is_random(bert, capsys):
    load_encoder(source=bert)
    said = capsys.readouterr()
    assert "Random until trained, as a fresh head is: head.weight, head.bias." in said.out
    assert (said.out.count("\n"), said.err) == (1, "")
    load_encoder("features", source=bert)
    assert "All come from the checkpoint." in capsys.readouterr().out
    load_encoder(source=bert, pretrained=False)
    assert "All are random: this is the control." in capsys.readouterr().out
    quiet(source=bert)
    assert capsys.readouterr().out == ""


def test_the_argument_goes_before_the_environment_and_that_before_the_profile(
    bert, distilbert, monkeypatch
):
    monkeypatch.setenv("COURSE_ENCODER", str(distilbert))
    assert quiet(profile=PROFILES["gpu"]).name == "distilbert"
    assert quiet(profile=PROFILES["smoke"], source=bert).name == "bert"


def test_attention_is_fused_unless_asked_otherwise(bert):
    assert quiet("features", source=bert).model.config._attn_implementation == "sdpa"
    eager = quiet("features", source=bert, attention="eager")
    tokens = batch(eager.tokenizer, ["a good film"])
    assert len(eager.model(**tokens, output_attentions=True).attentions) == 3


def test_a_saved_classifier_keeps_its_head_and_its_labels(bert, tmp_path):
    config = bert_config()
    config.id2label = {0: "bad", 1: "so-so", 2: "good"}
    model = transformers.BertForSequenceClassification(config)
    folder = save(model, wordpiece(), "BertTokenizer", tmp_path / "three")
    loaded = quiet(num_labels=3, source=folder)
    assert torch.equal(loaded.model.classifier.weight, model.classifier.weight)
    assert loaded.new_parameters == ()
    assert loaded.model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}


# --- mean pooling --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_the_classifier_reads_the_mean_of_real_tokens_and_its_loss_is_cross_entropy(folders, kind):
    loaded = quiet(num_labels=3, source=folders[kind])
    long, short = "a good film of a good man", "a man"
    with torch.no_grad():
        rows = batch(loaded.tokenizer, [long, short])
        out = loaded.model(**rows, labels=torch.tensor([1, 0]))
        both, loss = out["logits"], out["loss"]
        tokens = loaded.tokenizer(short, return_tensors="pt")["input_ids"]
        states = loaded.model.bert(input_ids=tokens).last_hidden_state[0]
        expected = loaded.model.head(states.mean(dim=0))
        unmasked = loaded.model(rows["input_ids"])["logits"]
    assert both.shape == (2, 3)
    torch.testing.assert_close(both[1], expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(unmasked, both)
    chances = both.softmax(dim=1)
    torch.testing.assert_close(loss, -(chances[0, 1].log() + chances[1, 0].log()) / 2)


def test_no_unused_pooler_is_counted(bert):
    by_hand = pretrained.MeanPooledClassifier.from_body(transformers.BertModel(bert_config()))
    for model in (quiet(source=bert).model, quiet("features", source=bert).model, by_hand):
        assert not [name for name in weights(model) if "pooler" in name]


# --- freezing ------------------------------------------------------------------------------------


def test_blocks_are_named_from_the_bottom(folders):
    found = {kind: pretrained.blocks(quiet(source=path).model) for kind, path in folders.items()}
    assert found["bert"] == [f"bert.encoder.layer.{i}" for i in range(3)]
    assert found["roberta"] == [f"bert.encoder.layer.{i}" for i in range(3)]
    assert found["distilbert"] == [f"bert.transformer.layer.{i}" for i in range(3)]
    body = quiet("features", source=folders["bert"]).model
    assert pretrained.blocks(body) == [f"encoder.layer.{i}" for i in range(3)]


def test_body_and_head_of_a_transformers_classifier():
    model = transformers.BertForSequenceClassification(bert_config(layers=2))
    layers = ["bert.embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1", "bert.pooler"]
    assert pretrained.body_and_head(model) == (layers, ["classifier"])
    assert pretrained.freeze_below(model, 0) == layers
    assert pretrained.freeze_below(model, 1) == layers[:2]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("trained", [0, 1, 3, "all"])
def test_only_the_top_blocks_and_the_head_move(folders, kind, trained):
    loaded = quiet(source=folders[kind])
    model, before = loaded.model, weights(loaded.model)
    texts, labels = ["a good film", "a bad man", "good man", "bad film"], [1, 0, 1, 0]
    rows = pretrained.encode_texts(loaded.tokenizer, texts, labels)
    training.fit(
        model, rows, num_epochs=2, learning_rate=0.01, pad_id=loaded.pad_id, progress=False,
        freeze=pretrained.freeze_below(model, trained),
    )  # fmt: skip
    moved = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    stack = pretrained.blocks(model)
    top = {"head", *stack[len(stack) - (3 if trained == "all" else trained) :]}
    if trained == "all":
        top.add("bert.embeddings")
    layers = {next((t for t in top if name.startswith(f"{t}.")), name) for name in moved}
    assert layers == top


@pytest.mark.parametrize("wrong", [4, -1, True, 1.5])
def test_more_blocks_than_there_are_is_an_error(bert, wrong):
    with pytest.raises(ValueError, match="3 blocks. Give a number from 0 to 3"):
        pretrained.freeze_below(quiet(source=bert).model, wrong)


def test_a_network_without_blocks_is_refused():
    with pytest.raises(ValueError, match="Linear has no list of transformer blocks"):
        pretrained.blocks(torch.nn.Linear(2, 2))


# --- texts ---------------------------------------------------------------------------------------


def test_texts_become_ids_with_both_ends(bert):
    tokenizer = quiet(source=bert).tokenizer
    rows = pretrained.encode_texts(tokenizer, ["a film", "unlikely"], ["good", "bad"],
                                   label_names=["bad", "good"])  # fmt: skip
    named = [tokenizer.convert_ids_to_tokens(row) for row in rows["input_ids"]]
    assert named == [["[CLS]", "a", "film", "[SEP]"], ["[CLS]", "unlike", "##ly", "[SEP]"]]
    assert rows["labels"][:] == [1, 0]


def test_cut_texts_are_counted_once_and_keep_their_end_mark(bert, capsys):
    tokenizer = quiet(source=bert).tokenizer
    texts = ["a film", "a good film of a man", "the bad story of the man", "a man he"]
    rows = pretrained.encode_texts(tokenizer, texts, max_length=5)
    assert capsys.readouterr().out == "2 of 4 texts were longer than 5 tokens and were cut.\n"
    assert list(map(len, rows["input_ids"])) == [4, 5, 5, 5]
    assert tokenizer.convert_ids_to_tokens(rows["input_ids"][1])[-2:] == ["film", "[SEP]"]
    pretrained.encode_texts(tokenizer, texts)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("texts", "labels", "names", "message"),
    [
        (["a film", " "], None, None, "Text 1 is ' '; give text"),
        (["a film", None], None, None, "Text 1 is None"),
        ("a film", None, None, "Give a list of texts"),
        (["a"], ["fine"], ["bad", "good"], "label of text 0 is 'fine'; known: bad, good"),
        (["a"], ["good"], None, "pass label_names"),
        (["a"], [2], ["bad", "good"], "text 0 is 2; labels go from 0 to 1"),
        (["a"], [-1], None, "numbers from 0"),
    ],
)
def test_texts_and_labels_that_cannot_be_used(bert, texts, labels, names, message):
    tokenizer = quiet(source=bert).tokenizer
    with pytest.raises(ValueError, match=message):
        pretrained.encode_texts(tokenizer, texts, labels, label_names=names)


@pytest.mark.parametrize(("kind", "limit"), [("bert", 130), ("distilbert", 130), ("roberta", 128)])
def test_the_longest_text_an_encoder_takes_can_be_read(folders, kind, limit):
    loaded = quiet("features", source=folders[kind])
    rows = pretrained.encode_texts(loaded.tokenizer, ["a man " * 80], max_length=limit, echo=None)
    loaded.model(**training.pad_batch(list(rows), loaded.pad_id))  # one more would be an error
    with pytest.raises(ValueError, match=f"reads 3 to {limit} tokens"):
        pretrained.encode_texts(loaded.tokenizer, ["a man"], max_length=limit + 1)


# --- words ---------------------------------------------------------------------------------------

SENTENCES = [["the", "unlikely", "man"], ["films"]]


def test_the_first_piece_carries_the_tag(bert):
    tokenizer = quiet("tokens", label_names=TAGS, source=bert).tokenizer
    tags = [["O", "B-PER", "I-PER"], ["O"]]
    rows = pretrained.encode_words(tokenizer, SENTENCES, tags, label_names=TAGS)
    assert tokenizer.convert_ids_to_tokens(rows[0]["input_ids"]) == [
        "[CLS]", "the", "unlike", "##ly", "man", "[SEP]"
    ]  # fmt: skip
    assert rows["labels"][:] == [[-100, 0, 1, -100, 2, -100], [-100, 0, -100, -100]]
    assert rows["word_ids"][:] == [[-1, 0, 1, 1, 2, -1], [-1, 0, 0, -1]]
    assert rows["num_words"][:] == [3, 1]


def test_every_word_gets_the_tag_of_its_first_piece(bert):
    tokenizer = quiet("tokens", source=bert).tokenizer
    rows = pretrained.encode_words(tokenizer, SENTENCES)
    best = [[2, 1, 2, 0, 1, 2], [2, 1, 2, 2, 0, 0]]  # of each piece
    logits = np.eye(3, dtype=np.float32)[best]
    assert pretrained.word_predictions(logits, rows) == [[1, 2, 1], [1]]
    with pytest.raises(ValueError, match=r"shape \(2, 5, 3\) are not those of 2 rows of up to 6"):
        pretrained.word_predictions(logits[:, :5], rows)


def test_words_that_were_cut_off_or_left_no_piece_are_o(bert, capsys):
    tokenizer = quiet("tokens", source=bert).tokenizer
    sentences = [["a", "unlikely", "man", "he"], ["a", "man"]]
    rows = pretrained.encode_words(tokenizer, sentences, [[1, 1, 1, 1], [1, 1]], max_length=5)
    assert capsys.readouterr().out == (
        "1 of 2 sentences was longer than 5 tokens and was cut. Words not read, each an O: 2.\n"
    )
    assert rows["labels"][0] == [-100, 1, 1, -100, -100]
    logits = np.zeros((2, 5, 2), np.float32)
    logits[:, :, 1] = 1  # every piece says 1
    assert pretrained.word_predictions(logits, rows) == [[1, 1, 0, 0], [1, 1]]


def test_a_word_that_leaves_no_piece_is_o_too():
    minilm()
    tokenizer = quiet("tokens", profile=PROFILES["smoke"]).tokenizer
    rows = pretrained.encode_words(tokenizer, [["good", "\u200b", "film"]], [[1, 1, 1]])
    assert rows["word_ids"][0] == [-1, 0, 2, -1]
    assert rows["labels"][0] == [-100, 1, 1, -100]
    logits = np.zeros((1, 4, 2), np.float32)
    logits[:, :, 1] = 1
    assert pretrained.word_predictions(logits, rows) == [[1, 0, 1]]


def test_byte_level_words_are_cut_as_in_running_text(roberta):
    loaded = quiet("tokens", source=roberta)
    rows = pretrained.encode_words(loaded.tokenizer, [["a", "good", "film"]], [[0, 1, 2]])
    pieces = loaded.tokenizer.convert_ids_to_tokens(rows[0]["input_ids"])
    assert pieces == ["<s>", "Ġa", "Ġgood", "Ġfilm", "</s>"]
    assert loaded.pad_id == 1
    plain = transformers.AutoTokenizer.from_pretrained(roberta)
    with pytest.raises(ValueError, match="add_prefix_space=True"):
        pretrained.encode_words(plain, [["a", "good", "film"]])


@pytest.mark.parametrize(
    ("sentences", "tags", "names", "message"),
    [
        ([["a"], []], None, None, "Sentence 1"),
        ([["a", ""]], None, None, "Sentence 0"),
        ([["a", "man"]], [[0]], None, "Sentence 0 has 2 words and 1 tags"),
        ([["a"]], [["B-LOC"]], TAGS, "word 0 of sentence 0 is 'B-LOC'; known: O, B-PER, I-PER"),
    ],
)
def test_words_and_tags_that_cannot_be_used(bert, sentences, tags, names, message):
    tokenizer = quiet("tokens", source=bert).tokenizer
    with pytest.raises(ValueError, match=message):
        pretrained.encode_words(tokenizer, sentences, tags, label_names=names)


# --- what is wrong with a model ------------------------------------------------------------------


def changed(**facts):
    """Give a function that changes config.json."""

    def change(folder):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | facts), encoding="utf-8")

    return change


def without(name):
    return lambda folder: (folder / name).unlink()


def with_bytes(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def only_in_a_subfolder(folder):
    (folder / "checkpoint-9").mkdir()
    shutil.move(folder / "config.json", folder / "checkpoint-9")


def adapter(folder):
    (folder / "config.json").rename(folder / "adapter_config.json")


def other_vocabulary(folder):
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = transformers.BertConfig(**(facts | {"vocab_size": 9}))
    transformers.BertModel(config).save_pretrained(folder)


def decoder(folder):
    config = transformers.GPT2Config(vocab_size=30, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    transformers.GPT2Model(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("tokenizer.json"), r"no tokenizer \(tokenizer.json\).*tokenizer.save_pretrained"),
        (without("config.json"), "no config.json, so it is not a model. Give the folder"),
        (only_in_a_subfolder, "There is one in checkpoint-9"),
        (adapter, "LoRA adapter: load the model it belongs to"),
        (
            with_bytes("model.safetensors", b"x" * 100),
            "could not be loaded .*Download or save it again",
        ),
        (with_bytes("config.json", b"{"), "could not be loaded .*Download or save it again"),
        (other_vocabulary, "18 tokens, its model 9"),
        (changed(intermediate_size=24), r"intermediate.* has shape \(16,\) instead of \(24,\)"),
        (
            changed(num_hidden_layers=4),
            "lack 16 parameters of the encoder, such as encoder.layer.3",
        ),
        (decoder, "'gpt2', which is no encoder"),
    ],
)
def test_a_folder_that_is_no_encoder_is_one_clear_sentence(bert, spoil, message):
    spoil(bert)
    with pytest.raises(ModelError, match=message) as caught:
        quiet(source=bert)
    assert "\n" not in str(caught.value)
    assert bert.name in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="no folder here"):
        quiet(source=tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no folder here"):
        quiet(source="./a/folder/that/is/not/there")


def test_wrong_arguments_are_named(bert):
    with pytest.raises(ValueError, match="Unknown task 'chat'; choose one of classification"):
        quiet("chat", source=bert)
    for wrong in ({"label_names": ["good", "good"]}, {"num_labels": 1}):
        with pytest.raises(ValueError, match="two or more"):
            quiet(source=bert, **wrong)


# --- the Hub -------------------------------------------------------------------------------------


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """Give an empty cache of the Hub, and no way to the Hub."""
    from huggingface_hub import constants

    def refuse(*args, **kwargs):
        raise OSError("the network is refused in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_out_of_reach_is_said_at_once(hub_cache, monkeypatch, offline):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    start = time.perf_counter()
    with pytest.raises(ModelError, match="Hub cannot be reached.*COURSE_ENCODER.*PROFILE=cpu"):
        quiet(profile=PROFILES["gpu"])
    with pytest.raises(ModelError, match="'owner/name' is no folder here"):
        quiet(source="owner/name")
    assert time.perf_counter() - start < 10  # the Hub's own downloads try for most of a minute


def put_in_cache(folder, cache, commit="1" * 40):
    home = cache / "models--owner--name"
    shutil.copytree(folder, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit, encoding="utf-8")
    return home / "snapshots" / commit


def test_what_the_hubs_cache_holds_needs_no_network(bert, hub_cache):
    put_in_cache(bert, hub_cache)
    loaded = quiet(source="owner/name")
    assert (loaded.name, loaded.source) == ("name", "owner/name")
    assert quiet(source=f"owner/name@{'1' * 40}").name == "name"
    assert same(weights(loaded.model), weights(quiet(source=bert).model))


def test_half_a_model_in_the_hubs_cache_is_not_taken(bert, hub_cache):
    snapshot = put_in_cache(bert, hub_cache)
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="nor in the Hub's cache"):
        quiet(source="owner/name")


def test_a_download_takes_one_file_of_weights(bert, hub_cache, monkeypatch):
    import huggingface_hub

    (bert / "pytorch_model.bin").write_bytes(b"the same weights in an older form")
    (bert / "flax_model.msgpack").write_bytes(b"and in another")
    asked = []

    def download(repo_id, revision, allow_patterns, local_files_only=False):
        if local_files_only:
            raise FileNotFoundError
        asked.append((repo_id, revision))
        wanted = huggingface_hub.utils.filter_repo_objects(
            [path.name for path in bert.iterdir()], allow_patterns=allow_patterns
        )
        for name in wanted:
            hub_cache.mkdir(exist_ok=True)
            shutil.copy(bert / name, hub_cache)
        return str(hub_cache)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    quiet(source="owner/name@v2")
    assert asked == [("owner/name", "v2")]
    assert {path.name for path in hub_cache.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("load", "options", "name"),
    [
        (load_encoder, {}, "google-bert/bert-base-uncased"),
        (load_encoder, {"cased": True}, "google-bert/bert-base-cased"),
        (load_decoder, {}, "openai-community/gpt2"),
        (load_decoder, {"larger": True}, "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
    ],
)
def test_gpu_takes_each_model_from_one_commit(hub_cache, load, options, name):
    with pytest.raises(ModelError, match=name + "@[0-9a-f]{40}"):
        load(profile=PROFILES["gpu"], echo=None, **options)
    small = load(profile=PROFILES["smoke"], echo=None, **options)
    assert small.name.startswith("tiny random")
