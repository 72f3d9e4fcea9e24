"""The small networks: shapes, losses by hand, and that padding never changes an answer."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.networks import (
    BiLSTMTagger,
    DigitsCNN,
    LSTMClassifier,
    LSTMLanguageModel,
    TextCNN,
    Vocabulary,
)  # fmt: skip

WORDS = 12


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def padded(ids, to):
    ids = torch.tensor([ids])
    return F.pad(ids, (0, to - ids.shape[1]))


@pytest.fixture(params=["TextCNN", "LSTMClassifier", "BiLSTMTagger"])
def reader(request):
    made = {
        "TextCNN": lambda: TextCNN(WORDS, num_labels=3, dimensions=6, filters=5),
        "LSTMClassifier": lambda: LSTMClassifier(WORDS, num_labels=3, dimensions=6, hidden=7),
        "BiLSTMTagger": lambda: BiLSTMTagger(WORDS, num_labels=3, dimensions=6, hidden=7),
    }
    return made[request.param]().eval()


def test_a_vocabulary_ranks_words_by_count_then_alphabet_and_keeps_to_its_limits():
    texts = [["b", "a", "c"], ["c", "<pad>", "d", "d"], ["c"]]
    vocabulary = Vocabulary.build(texts)
    assert vocabulary.words == ["<pad>", "<unk>", "c", "d", "a", "b"]
    assert vocabulary.encode(["d", "never", "c"]) == [3, 1, 2]
    assert "a" in vocabulary and "never" not in vocabulary
    assert Vocabulary.build(texts, min_count=2).words[2:] == ["c", "d"]
    assert Vocabulary.build(texts, max_size=3).words[2:] == ["c", "d", "a"]
    with pytest.raises(ValueError, match="'b' stands twice"):
        Vocabulary(["a", "b", "b"])


def test_a_vocabulary_survives_a_file_and_another_file_is_named(tmp_path):
    vocabulary = Vocabulary.build([["naïve", '"', "film"]])
    vocabulary.save(tmp_path / "words.json")
    assert Vocabulary.load(tmp_path / "words.json").ids == vocabulary.ids
    (tmp_path / "other.json").write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.json is not a saved vocabulary"):
        Vocabulary.load(tmp_path / "other.json")


@pytest.mark.parametrize("length", [1, 2, 4, 6])
@pytest.mark.parametrize("with_mask", [True, False])
def test_padding_does_not_change_an_answer(reader, length, with_mask):
    ids = list(range(2, 2 + length))
    other = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    alone = reader(torch.tensor([ids]))["logits"][0]
    batch = torch.cat([padded(ids, 10), torch.tensor([other])])
    mask = (torch.arange(10) < torch.tensor([[length], [10]])).long() if with_mask else None
    together = reader(batch, attention_mask=mask)["logits"][0]
    if together.ndim == 2:
        together = together[:length]
    assert torch.allclose(alone, together, atol=1e-6)


def test_padding_changes_nothing_after_training_moved_every_weight():
    # Only a padding vector that stays zero keeps short texts independent of their neighbours.
    model = TextCNN(WORDS, dimensions=6, filters=5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    batch = torch.cat([padded([2, 3], 8), padded([4, 5, 6, 7, 8, 9], 8)])
    for _ in range(3):
        model(batch, labels=torch.tensor([0, 1]))["loss"].backward()
        optimizer.step()
    model.eval()
    short = model(padded([2, 3], 2))["logits"][0]
    assert torch.allclose(short, model(batch)["logits"][0], atol=1e-6)


def test_a_batch_of_empty_texts_still_gets_numbers(reader):
    assert torch.isfinite(reader(torch.zeros(2, 3, dtype=torch.long))["logits"]).all()


def test_text_cnn_takes_the_best_window_by_hand():
    vectors = np.array([[9.0], [0.0], [1.0], [2.0], [5.0]])  # the padding row becomes zero
    model = TextCNN(5, num_labels=2, embeddings=vectors, widths=(2,), filters=1).eval()
    with torch.no_grad():
        model.convolutions[0].weight.copy_(torch.tensor([[[1.0, -1.0]]]))
        model.convolutions[0].bias.fill_(0.5)
        model.head.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        model.head.bias.zero_()
    # windows of 1 2 5 1: 1 - 2, 2 - 5, 5 - 1 = 4; plus the bias: 4.5 is the best
    # 2 alone keeps one window, 2 - 0 + 0.5 = 2.5; padding behind it gives no other
    out = model(torch.tensor([[2, 3, 4, 2], [3, 0, 0, 0]]), labels=torch.tensor([0, 1]))
    assert out["logits"].tolist() == [[4.5, -9.0], [2.5, -5.0]]
    first, second = math.log(1 + math.exp(-13.5)), math.log(1 + math.exp(7.5))
    assert out["loss"].item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_given_vectors_are_copied_and_frozen_only_on_demand():
    vectors = np.random.default_rng(0).normal(size=(WORDS, 6)).astype(np.float32)
    static = TextCNN(WORDS, embeddings=vectors, freeze_embeddings=True)
    tuned = TextCNN(WORDS, embeddings=vectors)
    before = vectors.copy()
    for model in (static, tuned):
        trained = [p for p in model.parameters() if p.requires_grad]
        model(torch.arange(2, 10)[None], labels=torch.tensor([1]))["loss"].backward()
        torch.optim.SGD(trained, lr=1.0).step()
    assert np.array_equal(static.embedding.weight.detach()[1:], before[1:])
    assert not np.allclose(tuned.embedding.weight.detach()[2:10], before[2:10])
    assert np.array_equal(vectors, before)


def test_vectors_of_another_vocabulary_are_refused():
    with pytest.raises(ValueError, match=r"shape \(7, 3\).*needs \(12, dimensions\)"):
        LSTMClassifier(WORDS, embeddings=np.zeros((7, 3)))


def test_language_model_loss_is_minus_the_log_probability_of_the_next_word():
    model = LSTMLanguageModel(WORDS, dimensions=6, hidden=16).eval()
    ids = torch.tensor([[2, 9, 4, 11], [3, 5, 0, 0]])
    logits = model(ids)["logits"]
    assert logits.shape == (2, 4, WORDS)
    logs = logits.log_softmax(-1)
    following = [logs[0, 0, 9], logs[0, 1, 4], logs[0, 2, 11], logs[1, 0, 5]]  # no padding
    expected = -sum(following).item() / 4
    assert model(ids, labels=ids)["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_training_against_a_sample_learns_the_true_frequencies():
    frequencies = torch.tensor([0, 0, 0.1, 0.6, 0.05, 0.25])  # not in the order of the ids
    model = LSTMLanguageModel(6, dimensions=4, hidden=8, samples=20, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(400):
        ids = torch.multinomial(frequencies, 320, replacement=True).view(16, 20)
        loss = model(ids, labels=ids)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    probabilities = model.eval()(torch.tensor([[3, 2, 5]]))["logits"].softmax(-1)
    assert torch.allclose(probabilities, frequencies.expand_as(probabilities), atol=0.06)


def test_the_word_to_predict_is_never_its_own_negative():
    model = LSTMLanguageModel(3, dimensions=4, hidden=8, samples=50)  # one word beside <unk>
    ids = torch.full((1, 6), 2)
    loss = model(ids, labels=ids)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_classifier_starts_from_the_exact_weights_of_the_language_model():
    model = LSTMLanguageModel(WORDS, dimensions=6, hidden=8)
    classifier = LSTMClassifier.from_language_model(model, num_labels=3)
    for layer in ("embedding", "lstm"):
        ours, theirs = (getattr(m, layer).state_dict() for m in (classifier, model))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    with torch.no_grad():
        classifier.embedding.weight.add_(1)  # a copy: the language model stays as it was
    assert not torch.equal(classifier.embedding.weight, model.embedding.weight)
    assert classifier(torch.tensor([[2, 3]]))["logits"].shape == (1, 3)


def test_classifier_pools_last_mean_and_largest_state():
    model = LSTMClassifier(WORDS, dimensions=6, hidden=4).eval()
    states, _ = model.lstm(model.embedding(torch.tensor([[2, 3, 4]])))
    pooled = torch.cat([states[0, -1], states[0].mean(0), states[0].amax(0)])
    logits = model(torch.tensor([[2, 3, 4, 0, 0]]))["logits"][0]
    assert torch.allclose(logits, model.head(pooled), atol=1e-6)


def test_tagger_loss_counts_labelled_words_alone():
    model = BiLSTMTagger(WORDS, num_labels=3, dimensions=6, hidden=7).eval()
    out = model(torch.tensor([[2, 3, 4]]), labels=torch.tensor([[0, -100, 2]]))
    logs = out["logits"][0].log_softmax(-1)
    assert out["loss"].item() == pytest.approx(-(logs[0, 0] + logs[2, 2]).item() / 2, rel=1e-5)


def test_tagger_reads_the_spelling_when_asked_to():
    model = BiLSTMTagger(WORDS, num_labels=3, dimensions=6, hidden=7, num_shapes=3).eval()
    ids = torch.tensor([[2, 3, 4]])
    lower = model(ids, shape_ids=torch.tensor([[1, 1, 1]]))["logits"]
    capital = model(ids, shape_ids=torch.tensor([[1, 2, 1]]))["logits"]
    assert not torch.allclose(lower, capital)
    with pytest.raises(ValueError, match="pass shape_ids"):
        model(ids)


def test_digits_layers_are_listed_in_order_and_name_every_parameter():
    model = DigitsCNN(num_labels=5)
    order = list(dict.fromkeys(name.split(".")[0] for name, _ in model.named_parameters()))
    assert model.layer_names() == order
    labels = torch.tensor([0, 4])
    out = model(torch.rand(2, 8, 8), labels=labels)
    assert out["logits"].shape == (2, 5)
    assert torch.allclose(out["loss"], F.cross_entropy(out["logits"], labels))
