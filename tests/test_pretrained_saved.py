"""A fine-tuned classifier in a folder: read back whole, or refused in one sentence."""

import json
import re
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_decoders import END, save_gpt2, save_llama
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from helpers import training
from helpers.pretrained import (
    LastTokenClassifier,
    MeanPooledClassifier,
    ModelError,
    encode_texts,
    load_decoder,
    load_encoder,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"a an the good bad so film story of man".split()]
SIZES = {"vocab_size": len(WORDS), "max_position_embeddings": 40, "pad_token_id": 0}
BERT = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
BODIES = {
    "bert": lambda: transformers.BertModel(transformers.BertConfig(**SIZES, **BERT)),
    "roberta": lambda: transformers.RobertaModel(transformers.RobertaConfig(**SIZES, **BERT)),
    "distilbert": lambda: transformers.DistilBertModel(
        transformers.DistilBertConfig(**SIZES, dim=8, n_layers=2, n_heads=2, hidden_dim=16)
    ),
    "gpt2": lambda: transformers.GPT2Model(
        transformers.GPT2Config(
            vocab_size=len(WORDS), n_positions=40, pad_token_id=0, n_embd=8, n_layer=2, n_head=2
        )
    ),
    "llama": lambda: transformers.LlamaModel(
        transformers.LlamaConfig(
            **SIZES, **BERT, num_key_value_heads=1, bos_token_id=2, eos_token_id=3,
            tie_word_embeddings=True,
        )
    ),
}  # fmt: skip
DECODERS = ("gpt2", "llama")
NAMES = ["bad", "so-so", "good"]
TEXTS = ["a good film", "the bad story of a man", "so"]


def tokenizer():
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_max_length=30
    )


def class_of(kind):
    return LastTokenClassifier if kind in DECODERS else MeanPooledClassifier


def load(kind, *args, **settings):
    return (load_decoder if kind in DECODERS else load_encoder)(*args, **settings)


def classifier(kind="bert", names=NAMES, seed=0):
    torch.manual_seed(seed)
    body = BODIES[kind]()
    if names:
        body.config.id2label = dict(enumerate(names))
        body.config.label2id = {name: i for i, name in enumerate(names)}
    return class_of(kind).from_body(body, 3, dropout=0.25).eval()


def saved(model, folder):
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(params=BODIES)
def kind(request):
    return request.param


@pytest.fixture
def folder(tmp_path):
    return saved(classifier(), tmp_path / "tuned")


@pytest.fixture
def decoder_folder(tmp_path):
    return saved(classifier("llama"), tmp_path / "tuned-decoder")


def answers(model):
    rows = encode_texts(tokenizer(), TEXTS, max_length=20)
    with torch.no_grad():
        return model(**training.pad_batch(list(rows)))["logits"]


def same_weights(first, second) -> bool:
    a, b = dict(first.named_parameters()), dict(second.named_parameters())
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- read back -----------------------------------------------------------------------------------


def test_a_classifier_comes_back_with_weights_labels_and_dropout(kind, tmp_path):
    model = classifier(kind)
    model.save_pretrained(tmp_path)
    again = class_of(kind).from_pretrained(tmp_path)
    auto = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    for read in (again, auto):
        assert type(read) is class_of(kind) and same_weights(model, read)
        assert torch.equal(answers(read), answers(model))
        assert read.config.id2label == dict(enumerate(NAMES)) and read.num_labels == 3
        assert read.dropout.p == 0.25 and not read.training


@pytest.mark.slow
def test_without_the_course_a_folder_is_refused_and_never_answers_at_random(tmp_path):
    kinds = ("bert", "llama")
    folders = [str(saved(classifier(kind), tmp_path / kind)) for kind in kinds]
    code = (
        "import sys, transformers\n"
        "for folder in sys.argv[1:]:\n"
        "    try:\n"
        "        transformers.AutoModelForSequenceClassification.from_pretrained(folder)\n"
        "        print('loaded')\n"
        "    except ValueError as error:\n"
        "        print(str(error).splitlines()[0])\n"
        "print('helpers' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *folders]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    *refused, with_course = done.stdout.splitlines()
    assert len(refused) == 2 and with_course == "False", done.stderr
    for kind, line in zip(kinds, refused, strict=True):
        assert class_of(kind).config_class.model_type in line


def test_the_loader_takes_the_whole_classifier_and_says_so(kind, tmp_path, capsys):
    model = classifier(kind)
    loaded = load(kind, "classification", 3, source=saved(model, tmp_path / "tuned"))
    assert isinstance(loaded.model, class_of(kind))
    assert torch.equal(answers(loaded.model), answers(model))
    assert loaded.new_parameters == () and loaded.name == "tuned"
    assert loaded.model.config.id2label == dict(enumerate(NAMES))
    said = capsys.readouterr().out
    assert "All come from the checkpoint, its head for bad, so-so, good too." in said


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_the_folder_is_an_encoder_for_other_tasks_as_well(kind, tmp_path):
    model = classifier(kind)
    folder = saved(model, tmp_path / "tuned")
    body = load_encoder("features", source=folder, echo=None).model
    assert same_weights(body, model.bert)
    if kind != "roberta":  # words given alone: its own tokenizer is needed
        tagger = load_encoder("tokens", 2, source=folder, echo=None)
        assert same_weights(tagger.model.base_model, model.bert)
        assert tagger.new_parameters == ("classifier.weight", "classifier.bias")


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_decoders_folder_is_a_language_model_if_it_predicts_with_its_word_vectors(kind, tmp_path):
    model = classifier(kind)
    language_model = load_decoder(source=saved(model, tmp_path / "tuned"), echo=None).model
    assert same_weights(language_model.base_model, model.decoder)


def test_a_decoders_folder_without_the_layer_that_predicts_words_is_no_language_model(tmp_path):
    model = classifier("llama")
    model.config.body.tie_word_embeddings = False
    with pytest.raises(ModelError, match=r"lack the layer that predicts words .*classification"):
        load_decoder(source=saved(model, tmp_path / "tuned"), echo=None)


@pytest.mark.parametrize("save", [save_gpt2, save_llama])
def test_a_decoders_padding_and_answers_outlive_saving(tmp_path, save):
    first = load_decoder("classification", 3, source=save(tmp_path / "body"), echo=None)
    first.model.save_pretrained(tmp_path / "tuned")
    first.tokenizer.save_pretrained(tmp_path / "tuned")
    again = load_decoder("classification", 3, source=tmp_path / "tuned", echo=None)
    assert again.pad_id == again.tokenizer.eos_token_id == again.model.config.pad_token_id == 0
    assert again.tokenizer.padding_side == "right"
    written = (tmp_path / "tuned" / "config.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in written  # where the body lay is nobody's business
    rows = encode_texts(again.tokenizer, ["a good film of a good man", "bad" + END], echo=None)
    batch = training.pad_batch(list(rows), again.pad_id)
    with torch.no_grad():
        assert torch.equal(again.model(**batch)["logits"], first.model(**batch)["logits"])


def test_the_end_token_of_a_saved_decoder_still_learns_although_it_pads(tmp_path):
    loaded = load_decoder("classification", 3, source=save_gpt2(tmp_path / "body"), echo=None)
    loaded.model.save_pretrained(tmp_path / "tuned")
    loaded.tokenizer.save_pretrained(tmp_path / "tuned")
    for model in (
        LastTokenClassifier.from_pretrained(tmp_path / "tuned"),
        load_decoder("classification", 3, source=tmp_path / "tuned", echo=None).model,
    ):
        model(torch.tensor([[5, 0, 17]]))["logits"][0, 0].backward()
        assert model.config.pad_token_id == 0
        assert model.decoder.get_input_embeddings().weight.grad[0].abs().sum() > 0


def test_a_head_without_a_bias_stays_without_one(tmp_path):
    body = save_gpt2(tmp_path / "body", "GPT2ForSequenceClassification", num_labels=3)
    first = load_decoder("classification", 3, source=body, echo=None).model
    first.save_pretrained(tmp_path / "tuned")
    again = LastTokenClassifier.from_pretrained(tmp_path / "tuned")
    assert "head.bias" not in dict(again.named_parameters())
    assert same_weights(first, again)


def test_the_random_control_of_a_saved_classifier_has_nothing_of_it(kind, tmp_path):
    model = classifier(kind)
    settings = {"source": saved(model, tmp_path), "pretrained": False, "seed": 1, "echo": None}
    control = load(kind, "classification", 3, **settings).model
    trained, random = dict(model.named_parameters()), dict(control.named_parameters())
    assert trained.keys() == random.keys()
    assert not any(torch.equal(trained[n], random[n]) for n in trained if trained[n].ndim == 2)


def test_labels_without_a_name_take_the_names_that_are_given(kind, tmp_path):
    folder = saved(classifier(kind, names=None), tmp_path)
    named = load(kind, "classification", label_names=NAMES, source=folder, echo=None)
    assert named.model.config.id2label == dict(enumerate(NAMES)) and named.new_parameters == ()
    assert named.model.config.num_labels == 3


# --- refused -------------------------------------------------------------------------------------


def head_of(shape):
    def spoil(folder):
        tensors = load_file(folder / "model.safetensors")
        tensors["head.weight"] = torch.zeros(shape)
        save_file(tensors, folder / "model.safetensors")

    return spoil


def no_head(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["head.bias"]
    save_file(tensors, folder / "model.safetensors")


def no_block(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file({n: t for n, t in tensors.items() if not re.search(r"\.layers?\.1\.", n)},
              folder / "model.safetensors")  # fmt: skip


DAMAGES = [
    (head_of((2, 8)), r"head.weight has shape \(2, 8\) instead of \(3, 8\)"),
    (no_head, "lack 1 parameters .*head.bias"),
    (no_block, r"lack (16|9) parameters of the (encoder|decoder), such as \w+(\.\w+)*\.1\."),
]


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize(("spoil", "message"), DAMAGES)
def test_a_damaged_folder_is_one_clear_sentence(tmp_path, kind, spoil, message):
    folder = saved(classifier(kind), tmp_path / "tuned")
    spoil(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load(kind, "classification", 3, source=folder, echo=None)
    assert "\n" not in str(caught.value) and folder.name in str(caught.value)


def test_a_folder_of_the_earlier_form_says_to_train_again(tmp_path):
    BODIES["bert"]().save_pretrained(tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    facts["architectures"] = ["MeanPooledClassifier"]
    (tmp_path / "config.json").write_text(json.dumps(facts), encoding="utf-8")
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="earlier version of the course.*Train it again"):
        load_encoder(source=tmp_path, echo=None)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_head_of_another_size_or_order_than_asked_for_is_refused(tmp_path, kind):
    folder = saved(classifier(kind), tmp_path)
    with pytest.raises(ModelError, match=r"head for 3 labels \(bad, so-so, good\), not for 2.*=3"):
        load(kind, "classification", source=folder, echo=None)
    with pytest.raises(ModelError, match="gives bad, so-so, good, in this order"):
        load(kind, "classification", label_names=NAMES[::-1], source=folder, echo=None)


def test_the_loader_for_the_other_kind_of_body_says_which_it_is(folder, decoder_folder):
    with pytest.raises(ModelError, match="'bert', which is no decoder"):
        load_decoder("classification", 3, source=folder, echo=None)
    with pytest.raises(ModelError, match="'llama', which is no encoder"):
        load_encoder(num_labels=3, source=decoder_folder, echo=None)
