"""The small GPT: equal to the library's, blind to the future, and a reader of last tokens."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers import networks, training
from helpers.methods import Corpus, checkpoints, tiny_gpt
from helpers.methods.checkpoints import pretrain
from helpers.networks import TinyGPT, TinyGPTClassifier, sample
from helpers.runtime import PROFILES

SHAPE = {"vocabulary_size": 30, "dimensions": 16, "layers": 2, "heads": 2, "context": 12}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def model():
    made = TinyGPT(**SHAPE, dropout=0.1).eval()
    with torch.no_grad():
        for parameter in made.parameters():  # biases and norms too, which start at 0 and 1
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def library_twin(model):
    """GPT-2 as transformers builds it, with a copy of the weights; it stores matrices turned."""
    from transformers import GPT2Config, GPT2LMHeadModel

    twin = GPT2LMHeadModel(
        GPT2Config(vocab_size=30, n_positions=12, n_embd=16, n_layer=2, n_head=2)
    ).eval()
    names = {"norm1": "ln_1", "attention": "attn.c_attn", "project": "attn.c_proj"}
    names |= {"norm2": "ln_2", "widen": "mlp.c_fc", "narrow": "mlp.c_proj"}
    theirs = {"transformer.wte.weight": model.embedding.weight}
    theirs["transformer.wpe.weight"] = model.positions.weight
    theirs |= {f"transformer.ln_f.{key}": value for key, value in model.norm.named_parameters()}
    for i, block in enumerate(model.blocks):
        for name, value in block.named_parameters():
            layer, kind = name.split(".")
            turned = value.T if kind == "weight" and not layer.startswith("norm") else value
            theirs[f"transformer.h.{i}.{names[layer]}.{kind}"] = turned
    theirs["lm_head.weight"] = model.embedding.weight
    twin.load_state_dict(theirs)
    return twin


def test_logits_and_loss_are_those_of_the_library(model):
    ids = torch.randint(2, 30, (3, 12))
    twin = library_twin(model)
    with torch.no_grad():
        ours, theirs = model(ids, labels=ids), twin(ids, labels=ids)
    assert torch.allclose(ours["logits"], theirs.logits, atol=1e-4)
    assert ours["loss"].item() == pytest.approx(theirs.loss.item(), abs=1e-5)


@pytest.mark.parametrize("changed", [1, 4, 7])
def test_no_token_sees_a_later_one(model, changed):
    ids = torch.randint(2, 30, (1, 8))
    other = ids.clone()
    other[0, changed] = (ids[0, changed] + 1) % 28 + 2
    first, second = model(ids)["logits"], model(other)["logits"]
    assert torch.allclose(first[:, :changed], second[:, :changed], atol=1e-6)
    assert not torch.allclose(first[:, changed:], second[:, changed:], atol=1e-3)


def test_padding_changes_neither_logits_nor_loss(model):
    short, long = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9, 10, 11, 12]])
    batch = torch.cat([F.pad(short, (0, 2)), long])
    mask = (batch != 0).long()
    for extra in ({}, {"attention_mask": mask}):
        together = model(batch, labels=batch, **extra)
        alone = model(short)["logits"], model(long)["logits"]
        assert torch.allclose(together["logits"][:1, :3], alone[0], atol=1e-5)
        logs = [scores[0].log_softmax(-1) for scores in alone]
        following = [logs[0][0, 6], logs[0][1, 7], *(logs[1][i, 9 + i] for i in range(4))]
        expected = -sum(following).item() / 6
        assert together["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_a_token_is_read_and_predicted_by_the_same_vector(model):
    D, layers = 16, 2
    matrices = (30 + 12) * D  # tokens and positions; no second matrix for the output
    block = 12 * D**2 + 13 * D
    assert sum(p.numel() for p in model.parameters()) == matrices + layers * block + 2 * D
    ids = torch.tensor([[5, 6]])
    before = model(ids)["logits"]
    with torch.no_grad():
        model.embedding.weight[9] *= 2  # token 9 is not in the text
    after = model(ids)["logits"]
    assert torch.allclose(after[..., 9], 2 * before[..., 9], atol=1e-5)


def test_an_untrained_network_guesses_evenly():
    fresh = TinyGPT(**SHAPE).eval()
    ids = torch.randint(2, 30, (20, 12))
    assert fresh(ids, labels=ids)["loss"].item() == pytest.approx(math.log(30), abs=0.05)


def test_it_learns_what_always_follows():
    ids = np.array([2, 3, 4, 5, 6] * 60)
    rows = training.cut_windows(ids, 11)
    result = training.fit(
        TinyGPT(**SHAPE, dropout=0.0), rows, num_epochs=40, learning_rate=1e-2, batch_size=8,
        validation=rows, progress=False,
    )  # fmt: skip
    assert result.validation[-1]["loss"] < 0.1
    assert sample(result.model, [4, 5], 4, temperature=0) == [6, 2, 3, 4]


def test_a_text_longer_than_the_context_is_refused(model):
    with pytest.raises(ValueError, match="13 tokens do not fit a context of 12"):
        model(torch.full((1, 13), 5))
    with pytest.raises(ValueError, match="5 heads do not divide 16"):
        TinyGPT(**{**SHAPE, "heads": 5})


def test_the_classifier_reads_the_last_real_token(model):
    classifier = TinyGPTClassifier.from_language_model(model, num_labels=3).eval()
    text, other = torch.tensor([[1, 5, 6, 1]]), torch.tensor([[1, 7, 8, 9, 10, 1]])
    expected = classifier.head(model.states(text)[0, -1])
    batch = torch.cat([F.pad(text, (0, 2)), other])
    for extra in ({}, {"attention_mask": (batch != 0).long()}):
        logits = classifier(batch, **extra)["logits"]
        assert torch.allclose(logits[0], expected, atol=1e-5)
        assert torch.allclose(logits[1], classifier(other)["logits"][0], atol=1e-5)


def test_training_adds_the_loss_of_prediction_and_evaluation_does_not(model):
    classifier = TinyGPTClassifier.from_language_model(model, lm_weight=0.3, dropout=0.0)
    batch = torch.tensor([[1, 5, 6, 1, 0], [1, 7, 8, 9, 1]])
    labels = torch.tensor([0, 1])
    judged = F.cross_entropy(classifier(batch)["logits"], labels).item()
    predicted = model(batch, labels=batch)["loss"].item()
    assert classifier.eval()(batch, labels=labels)["loss"].item() == pytest.approx(judged)
    loss = classifier.train()(batch, labels=labels)["loss"].item()
    assert loss == pytest.approx(judged + 0.3 * predicted, rel=1e-5)
    classifier.lm_weight = 0.0
    assert classifier(batch, labels=labels)["loss"].item() == pytest.approx(judged, rel=1e-5)


def test_the_classifier_starts_from_a_copy_of_the_language_model(model):
    classifier = TinyGPTClassifier.from_language_model(model)
    ours, theirs = classifier.body.state_dict(), model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    with torch.no_grad():
        classifier.body.embedding.weight.add_(1)
    assert not torch.equal(classifier.body.embedding.weight, model.embedding.weight)


def test_a_greedy_sample_takes_the_likeliest_token_until_one_that_stops_it(model):
    text = [5, 6]
    for _ in range(4):
        scores = model(torch.tensor([text]))["logits"][0, -1]
        text.append(int(scores[1:].argmax()) + 1)  # never the padding
    assert sample(model, [5, 6], 4, temperature=0) == text[2:]
    assert sample(model, [5, 6], 4, temperature=1.5, top_k=1) == text[2:]
    stop = text[4]
    assert sample(model, [5, 6], 4, temperature=0, stop=stop) == text[2 : 2 + text[2:].index(stop)]


def test_a_seed_repeats_a_sample_and_leaves_other_random_numbers_alone(model):
    state = torch.get_rng_state()
    first, again, other = (sample(model.train(), [5], 30, 1.0, None, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), state) and model.training
    assert len(first) == 30  # longer than the context, of which the last part is read
    assert 0 not in first


def test_samples_follow_the_probabilities_of_the_likeliest(model):
    with torch.no_grad():
        model.embedding.weight[5] *= 3  # a peak, so that the cut at two matters
    scores = model(torch.tensor([[5, 6]]))["logits"][0, -1]
    scores[0] = -torch.inf
    best = scores.topk(2)
    expected = best.values.softmax(0)[0].item()
    drawn = [sample(model, [5, 6], 1, 1.0, 2, seed)[0] for seed in range(400)]
    assert set(drawn) <= set(best.indices.tolist())
    assert np.mean([d == best.indices[0] for d in drawn]) == pytest.approx(expected, abs=0.1)


def test_the_commonest_pair_of_bytes_becomes_one_piece_first():
    # " ab" three times, " cab" twice: "ab" 5, " a" 3, " c" 2, "ca" 2; then " " + "ab" 3 is next
    known = networks.train_byte_pairs(["ab ab", "ab cab cab"], size=260)
    assert known.convert_ids_to_tokens([258, 259]) == ["ab", "Ġab"]
    assert known.convert_ids_to_tokens(known("ab cab")["input_ids"]) == [
        networks.END, "Ġab", "Ġ", "c", "ab", networks.END
    ]  # fmt: skip
    assert known.pad_token_id == 0 and known.eos_token_id == 1


@pytest.fixture(scope="module")
def known():
    return networks.read_byte_pairs(tiny_gpt.TOKENIZER)


def test_a_snippet_and_a_review_are_read_alike_and_come_back(known):
    snippet = "it's `great' fun , isn't it ? ( yes ) go ."
    review = "It’s 'great' fun, isn't it? ( yes) go.<br /><br />"
    assert known(snippet)["input_ids"] == known(review)["input_ids"]
    text = "it isn't naïve, is it? 10/10 😀 (well)"
    assert known.decode(known(text)["input_ids"], skip_special_tokens=True).strip() == text


def test_a_tokenizer_survives_a_file_and_another_file_is_named(tmp_path, known):
    networks.save_byte_pairs(known, tmp_path / "pieces.json")
    again = networks.read_byte_pairs(tmp_path / "pieces.json")
    assert again("a fine film .") == known("a fine film .")
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.json is not a saved tokenizer"):
        networks.read_byte_pairs(tmp_path / "other.json")
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE()).save(str(tmp_path / "plain.json"))
    with pytest.raises(ValueError, match="lacks <pad>"):
        networks.read_byte_pairs(tmp_path / "plain.json")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    made = Corpus(PROFILES["smoke"])
    assert made.imdb and made.reviews  # read from the real cache, before it is moved
    folder = tmp_path_factory.mktemp("gpt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.assets, "cache_dir", lambda: folder / "cache")
        patch.setenv("COURSE_RESULTS", str(folder / "results"))
        yield made


def test_windows_hold_every_piece_once_with_an_end_between_reviews(corpus, known):
    rows, held_out = tiny_gpt.running_text(corpus, reviews=2)
    ids = [i for text in corpus.imdb["train"]["text"][:2] for i in known(text)["input_ids"][:-1]]
    assert len(held_out) > 0 and len(rows[0]["input_ids"]) == tiny_gpt.CONTEXT
    flat = [i for row in rows["input_ids"] for i in row[:-1]]
    assert flat == ids[: len(flat)] and len(ids) - len(flat) <= tiny_gpt.CONTEXT
    assert ids.count(1) == 2 and ids[0] == 1


def test_an_even_guess_costs_twelve_bits_a_piece(corpus, known):
    model = tiny_gpt.new_tiny_gpt(corpus).eval()
    with torch.no_grad():
        model.embedding.weight.zero_()
    texts = corpus.imdb["validation"]["text"][:]
    pieces = sum(len(known(text)["input_ids"]) - 1 for text in texts)
    read = [known.backend_tokenizer.normalizer.normalize_str(text) for text in texts]
    size = sum(len(text.encode("utf-8")) + 1 for text in read)  # and the space in front
    figures = tiny_gpt.held_out_figures(corpus, model)
    assert figures["perplexity"] == pytest.approx(4096, rel=1e-4)
    assert figures["bits_per_byte"] == pytest.approx(12 * pieces / size, rel=1e-3)
    words = math.log(4096) * pieces / math.log(figures["word_perplexity"])
    assert 180 < words / len(texts) < 400  # words of a review


@pytest.mark.slow
def test_course_pretrain_leaves_weights_curve_and_samples(corpus, tmp_path):
    path = pretrain(tiny_gpt.TINY_GPT, "smoke", tmp_path, lambda line: None)
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["vocabulary"] == 4096 and record["loss"][-1] < record["loss"][0]
    first, last = record["notes"][0], record["notes"][-1]
    assert (first["step"], last["step"]) == (0, record["steps"])
    assert last["bits_per_byte"] < first["bits_per_byte"]
    for note in record["notes"]:
        starts = zip(note["samples"], tiny_gpt.PROMPTS, strict=True)
        assert all(text.startswith(prompt) for text, prompt in starts)
    found = checkpoints.find(tiny_gpt.TINY_GPT, corpus, tmp_path)
    assert tiny_gpt.samples(corpus, found) == tiny_gpt.samples(corpus, found)


def test_fine_tuning_starts_from_the_language_model_and_the_control_from_chance(corpus):
    labelled = corpus.labelled(32, 0)
    still = {"num_epochs": 1, "learning_rate": 0.0}
    tuned, result = tiny_gpt.tune(corpus, labelled, 0, min_steps=5, **still)
    control, _ = tiny_gpt.tune(corpus, labelled, 0, weights=False, **still)
    body = tiny_gpt.tiny_gpt(corpus)
    assert result.steps == 5
    assert torch.equal(tuned.body.blocks[0].widen.weight, body.blocks[0].widen.weight)
    assert not torch.equal(control.body.blocks[0].widen.weight, body.blocks[0].widen.weight)
    assert torch.equal(tuned.head.weight, control.head.weight)


def test_both_methods_train_everything_and_repeat_by_seed(corpus):
    labelled, texts = corpus.labelled(32, 0), corpus.reviews["validation"]["text"][:]
    for method in tiny_gpt.METHODS:
        settings = {**method.configurations[-1], "num_epochs": 1, "min_steps": 0}
        method.prepare(corpus, **settings)
        fitted, again = (method.fit(corpus, labelled, 1, **settings) for _ in range(2))
        assert fitted.trainable_parameters == fitted.total_parameters
        assert np.array_equal(fitted.predict(texts), again.predict(texts))
        assert set(fitted.predict(texts)) <= {0, 1} and len(fitted.predict(texts)) == len(texts)
