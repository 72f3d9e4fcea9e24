"""`training.fit` against a loop by hand, and what it promises: freezing, resuming, errors."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from datasets import Dataset
from interrupted import Stop
from torch import nn

from helpers import training
from helpers.networks import (
    BiLSTMTagger,
    DigitsCNN,
    LSTMClassifier,
    LSTMLanguageModel,
    TextCNN,
    Vocabulary,
)

WORDS = 30
RATE = {"num_epochs": 1, "learning_rate": 0.01}


def toy(rows=40, seed=0, **columns):
    """Texts of 2 to 9 words; label 1 if and only if word 2 is there."""
    rng = np.random.default_rng(seed)
    texts = [rng.integers(3, WORDS, size=rng.integers(2, 10)).tolist() for _ in range(rows)]
    labels = [i % 2 for i in range(rows)]
    for text, label in zip(texts, labels, strict=True):
        if label:
            text[int(rng.integers(len(text)))] = 2
    return Dataset.from_dict({"input_ids": texts, "labels": labels, **columns})


def network(seed=0, **settings):
    torch.manual_seed(seed)
    return TextCNN(WORDS, **({"dimensions": 8, "filters": 8} | settings))


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def loop_by_hand(model, dataset, epochs, rate, batch_size=8, seed=0):
    lengths = [len(row) for row in dataset["input_ids"]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    total, losses = epochs * -(-len(lengths) // batch_size), []
    torch.manual_seed(seed)  # dropout
    model.train()
    for epoch in range(epochs):
        order = training.epoch_order(lengths, batch_size, seed, epoch)
        for start in range(0, len(order), batch_size):
            batch = training.pad_batch([dataset[i] for i in order[start : start + batch_size]])
            loss = model(**batch)["loss"]
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 - len(losses) / total)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


def test_losses_equal_those_of_a_loop_by_hand_dropout_included():
    dataset, model = toy(), network(dropout=0.5)
    by_hand = loop_by_hand(copy.deepcopy(model), dataset, epochs=3, rate=0.01)
    result = training.fit(model, dataset, num_epochs=3, learning_rate=0.01, batch_size=8)
    assert result.losses == pytest.approx(by_hand, abs=1e-5)
    assert result.steps == len(by_hand) == 15
    assert result.tokens == 3 * sum(map(len, dataset["input_ids"]))
    assert result.cost.seconds > 0


@pytest.mark.parametrize("kind", [TextCNN, LSTMClassifier])
def test_a_toy_task_is_learned_and_predictions_keep_the_order_of_the_rows(kind):
    torch.manual_seed(0)
    model = kind(WORDS, dimensions=16)
    held_out = toy(100, seed=1)
    result = training.fit(
        model, toy(400), validation=held_out, num_epochs=8, learning_rate=0.01, batch_size=20
    )
    logits = training.predict(result.model, held_out)
    accuracy = (logits.argmax(1) == np.array(held_out["labels"])).mean()
    assert accuracy > 0.95
    assert result.validation[-1]["accuracy"] == pytest.approx(accuracy)
    assert [entry["epoch"] for entry in result.validation] == list(range(1, 9))
    assert result.validation[-1]["loss"] < result.validation[0]["loss"]


def test_two_evaluations_agree_and_do_not_depend_on_the_batch():
    dataset = toy(50, text=["another column"] * 50).select(range(7, 47))
    model = network(dropout=0.5)
    model.train()
    first = training.predict(model, dataset)
    assert np.array_equal(first, training.predict(model, dataset))
    assert first == pytest.approx(training.predict(model, dataset, batch_size=3), abs=1e-6)
    assert model.training  # a loop around it goes on as before
    assert not training.fit(model, dataset, **RATE).model.training


def test_validation_loss_is_the_mean_over_labels():
    dataset, held_out, model = toy(), toy(21, seed=1), network(dropout=0.5)
    result = training.fit(model, dataset, validation=held_out, batch_size=8, **RATE)
    logits = torch.tensor(training.predict(model, held_out))
    expected = nn.functional.cross_entropy(logits, torch.tensor(held_out["labels"][:]))
    assert result.validation[0]["loss"] == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(ValueError, match="validation dataset is empty"):
        training.fit(model, dataset, validation=held_out.select([]), **RATE)


def test_validation_does_not_change_training():
    plain = training.fit(network(dropout=0.5), toy(), num_epochs=2, learning_rate=0.01)
    watched = training.fit(
        network(dropout=0.5), toy(), num_epochs=2, learning_rate=0.01, validation=toy(20, seed=1)
    )
    assert watched.losses == plain.losses


def test_the_seed_decides_order_and_dropout():
    same, again, other = (
        training.fit(network(), toy(), seed=seed, batch_size=8, **RATE).losses for seed in (1, 1, 2)
    )
    assert same == again != other


def test_frozen_parameters_stay_as_they_are_to_the_bit():
    model = network(widths=(1,) * 11)
    before = weights(model)
    frozen = ["embedding", "convolutions.1", r"convolutions\.[56]\..*"]  # .1 is not .10
    training.fit(model, toy(), freeze=frozen, weight_decay=0.1, **RATE)
    still = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert still == {
        "embedding.weight",
        *(f"convolutions.{i}.{kind}" for i in (1, 5, 6) for kind in ("weight", "bias")),
    }


def test_learning_rate_groups_move_weights_in_proportion():
    model = network()
    before = weights(model)
    training.fit(
        model, toy(8), num_epochs=1, learning_rate=1e-3, batch_size=8, schedule="constant",
        learning_rate_groups={"embedding": 0.1, "convolutions": 0.5},
    )  # fmt: skip
    # AdamW's first step is the learning rate for every weight whose gradient is not tiny.
    moved = {n: (v - before[n]).abs().max().item() for n, v in model.state_dict().items()}
    assert moved["embedding.weight"] == pytest.approx(1e-4, rel=1e-2)
    assert moved["convolutions.0.weight"] == pytest.approx(5e-4, rel=1e-2)
    assert moved["head.weight"] == pytest.approx(1e-3, rel=1e-2)


def test_weight_decay_draws_matrices_to_zero_and_spares_biases():
    plain, decayed = network(), network()
    nn.init.ones_(plain.head.bias)
    nn.init.ones_(decayed.head.bias)
    before = weights(plain)
    one_step = {"num_epochs": 1, "learning_rate": 0.01, "batch_size": 40}
    training.fit(plain, toy(), **one_step)
    training.fit(decayed, toy(), weight_decay=0.1, **one_step)
    for name, value in decayed.state_dict().items():
        shrunk = 0.01 * 0.1 * before[name] if value.ndim > 1 else 0.0
        assert torch.allclose(value, plain.state_dict()[name] - shrunk, atol=1e-7), name


def test_layers_unfreeze_one_stage_an_epoch():
    model, trained = network(), []
    before = weights(model)["embedding.weight"]

    def note(step, model):
        trained.append({n for n, p in model.named_parameters() if p.requires_grad})

    training.fit(
        model, toy(), num_epochs=4, learning_rate=0.01, batch_size=40, on_step=note,
        unfreeze_schedule=[["head"], ["convolutions"], ["embedding"]],
    )  # fmt: skip
    layers = [sorted({name.split(".")[0] for name in names}) for names in trained]
    everything = ["convolutions", "embedding", "head"]
    assert layers == [["head"], ["convolutions", "head"], everything, everything]
    assert not torch.equal(model.embedding.weight, before)


def test_warm_up_starts_from_a_rate_of_zero():
    model = network()
    before = weights(model)
    training.fit(model, toy(8), num_epochs=1, learning_rate=0.1, batch_size=8, warmup_steps=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_bfloat16_rounds_the_products_and_neither_the_weights_nor_the_answers():
    plain, mixed = network(), network()
    training.fit(plain, toy(), **RATE)
    result = training.fit(mixed, toy(), precision="bfloat16", **RATE)
    assert {p.dtype for p in mixed.parameters()} == {torch.float32}
    assert not torch.equal(mixed.head.weight, plain.head.weight)
    assert torch.allclose(mixed.head.weight, plain.head.weight, atol=1e-2)
    exact = training.predict(result.model, toy(seed=1))
    rounded = training.predict(result.model, toy(seed=1), precision="bfloat16")
    assert rounded.dtype == np.float32 and not np.array_equal(exact, rounded)
    assert np.allclose(exact, rounded, atol=0.02)
    with pytest.raises(ValueError, match="'int8'"):
        training.predict(mixed, toy(), precision="int8")


@pytest.mark.parametrize(
    ("precision", "words", "fused"),
    [("bfloat16", 8, False), ("bfloat16", 300, True), ("float32", 8, True)],
)
def test_short_texts_in_bfloat16_do_without_the_fused_attention(precision, words, fused):
    model, seen = network(), []
    model.register_forward_pre_hook(
        lambda *_: seen.append(torch.backends.cuda.flash_sdp_enabled())  # despite its name
    )
    rows = Dataset.from_dict({"input_ids": [[3] * words] * 4, "labels": [0, 1] * 2})
    training.fit(model, rows, precision=precision, **RATE)
    assert seen == [fused] and torch.backends.cuda.flash_sdp_enabled()


def test_weights_held_in_bfloat16_are_not_trained():
    model = network().to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"embedding.weight is held in bfloat16.*model.float\(\)"):
        training.fit(model, toy(), **RATE)
    training.fit(model.float(), toy(), **RATE)


@pytest.mark.parametrize(
    ("killed_at", "precision"),
    [(9, "float32"), (10, "float32"), (13, "float32"), (13, "bfloat16"), (13, "float16")],
)
def test_an_interrupted_run_resumes_to_the_same_result(tmp_path, killed_at, precision):
    settings = {
        "num_epochs": 4, "learning_rate": 0.01, "batch_size": 8, "save_steps": 3,
        "validation": toy(20, seed=1), "precision": precision,
        "unfreeze_schedule": [["head", "convolutions"], ["embedding"]],
    }  # fmt: skip
    whole = training.fit(network(dropout=0.5), toy(), **settings)
    settings["output_dir"] = tmp_path
    with pytest.raises(KeyboardInterrupt):
        training.fit(network(dropout=0.5), toy(), on_step=Stop(killed_at), **settings)
    resumed = training.fit(network(seed=9), toy(), resume=True, **settings)
    assert resumed.steps == 20 - 3 * (killed_at // 3) and resumed.seconds_before > 0
    assert resumed.losses == whole.losses
    assert resumed.validation == whole.validation
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_checkpoint_leaves_out_what_is_frozen(tmp_path):
    settings = {"freeze": ["embedding"], "output_dir": tmp_path, **RATE}
    whole = training.fit(network(), toy(), **settings)
    [file] = tmp_path.glob("checkpoint-*/state.pt")
    assert "embedding.weight" not in torch.load(file)["weights"]
    again = training.fit(network(), toy(), resume=True, **settings)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


@pytest.mark.parametrize("cut_off", [True, False])
def test_resuming_passes_over_what_was_cut_off_and_repeats_nothing_else(tmp_path, cut_off):
    settings = {"num_epochs": 2, "learning_rate": 0.01, "batch_size": 8, "output_dir": tmp_path}
    whole = training.fit(network(), toy(), **settings)
    if cut_off:
        (tmp_path / "checkpoint-10" / "fit.json").unlink()
    resumed = training.fit(network(seed=9), toy(), resume=True, **settings)
    assert resumed.steps == (5 if cut_off else 0) and resumed.losses == whole.losses
    assert torch.equal(resumed.model.head.weight, whole.model.head.weight)


def test_checkpoints_are_neither_overwritten_nor_mixed(tmp_path):
    training.fit(network(), toy(), output_dir=tmp_path, **RATE)
    with pytest.raises(ValueError, match="Pass resume=True"):
        training.fit(network(), toy(), output_dir=tmp_path, **RATE)
    with pytest.raises(ValueError, match="learning_rate=0.01"):
        training.fit(
            network(), toy(), num_epochs=1, learning_rate=0.5, output_dir=tmp_path, resume=True
        )


def test_a_language_model_learns_a_sentence_that_repeats():
    vocabulary = Vocabulary.build([list("abcde")])
    windows = training.language_model_windows(["abcde" * 60], vocabulary, list, window=9)
    torch.manual_seed(0)
    model = LSTMLanguageModel(len(vocabulary), dimensions=8, hidden=16, dropout=0.0)
    result = training.fit(
        model, windows, validation=windows, num_epochs=20, learning_rate=0.02, batch_size=8
    )
    assert result.losses[0] > 1.5  # at most log 7 before anything is learned
    assert result.validation[-1]["loss"] < 0.3
    assert "accuracy" not in result.validation[-1]


def test_windows_predict_every_word_once():
    vocabulary = Vocabulary.build([["a", "b", "c", "d", "e", "f", "g", "h"]])
    windows = training.language_model_windows(["a b c d", "e f g h"], vocabulary, str.split, 3)
    assert windows["input_ids"][:] == windows["labels"][:] == [[2, 3, 4, 5], [5, 6, 7, 8]]
    with pytest.raises(ValueError, match="8 tokens do not fill a window of 8"):
        training.language_model_windows(["a b c d", "e f g h"], vocabulary, str.split, 8)


def test_a_tagger_trains_and_answers_token_by_token():
    dataset = toy(60)
    tags = [[int(word == 2) for word in text] for text in dataset["input_ids"]]
    dataset = dataset.remove_columns("labels").add_column("labels", tags)
    dataset = dataset.add_column("shape_ids", [[1] * len(tag) for tag in tags])
    torch.manual_seed(0)
    model = BiLSTMTagger(WORDS, 2, dimensions=8, hidden=8, num_shapes=2)
    training.fit(model, dataset, num_epochs=20, learning_rate=0.02, batch_size=10)
    answers = training.predict(model, dataset, batch_size=7)
    longest = max(map(len, tags))
    assert answers.shape == (60, longest, 2)
    flat = [
        (answers[i, j].argmax(), tag) for i, row in enumerate(tags) for j, tag in enumerate(row)
    ]
    assert np.mean([guess == tag for guess, tag in flat]) > 0.95


def test_images_train_too():
    images = np.random.default_rng(0).random((40, 8, 8)).astype(np.float32)
    images[1::2, 2:6, 2:6] += 2.0
    dataset = Dataset.from_dict({"pixel_values": images, "labels": [0, 1] * 20})
    torch.manual_seed(0)
    model = DigitsCNN(num_labels=2, filters=4)
    training.fit(model, dataset, num_epochs=10, learning_rate=0.01, batch_size=10)
    assert (training.predict(model, dataset).argmax(1) == dataset["labels"][:]).all()


def test_batches_are_padded_on_the_right_and_masked():
    rows = [{"input_ids": [5, 6], "labels": [1, 2]}, {"input_ids": [7], "labels": [3]}]
    batch = {name: value.tolist() for name, value in training.pad_batch(rows, pad_id=9).items()}
    assert batch == {
        "input_ids": [[5, 6], [7, 9]],
        "labels": [[1, 2], [3, -100]],
        "attention_mask": [[1, 1], [1, 0]],
    }


def in_batches(order, size):
    return [order[i : i + size] for i in range(0, len(order), size)]


@pytest.mark.parametrize(
    ("rows", "batch_size", "allowed"), [(100, 32, 0.6), (320, 32, 0.3), (1_000, 32, 0.2)]
)
def test_an_epochs_order_is_a_shuffle_that_groups_lengths(rows, batch_size, allowed):
    lengths = np.random.default_rng(0).integers(5, 60, size=rows).tolist()
    order = partial(training.epoch_order, lengths, batch_size)
    orders = [order(seed=0, epoch=epoch) for epoch in range(8)]
    assert all(sorted(found) == list(range(rows)) for found in orders)
    assert orders[0] == order(seed=0, epoch=0)
    different = {tuple(found) for found in [*orders, order(seed=1, epoch=0)]}
    assert len(different) == 9

    def padding(order):
        return sum(
            len(batch) * max(lengths[i] for i in batch) - sum(lengths[i] for i in batch)
            for batch in in_batches(order, batch_size)
        )

    grouped = np.mean([padding(found) for found in orders])
    plain = [order(seed=0, epoch=epoch, length_grouped=False) for epoch in range(8)]
    assert grouped < allowed * np.mean([padding(found) for found in plain])


@pytest.mark.parametrize("rows", [100, 320, 96])
def test_rows_meet_other_neighbours_in_another_epoch_and_batches_have_no_fixed_place(rows):
    lengths = np.random.default_rng(0).integers(5, 60, size=rows).tolist()
    epochs = [
        in_batches(training.epoch_order(lengths, 32, seed=0, epoch=epoch), 32)
        for epoch in range(100)
    ]
    for before, after in zip(epochs, epochs[1:], strict=False):
        assert {frozenset(batch) for batch in before} != {frozenset(batch) for batch in after}
    longest = int(np.argmax(lengths))
    neighbours = [set(batch) for epoch in epochs for batch in epoch if longest in batch]
    assert len(set.intersection(*neighbours)) < 16 and len(set.union(*neighbours)) > 40
    places = {place for epoch in epochs for place, batch in enumerate(epoch) if longest in batch}
    assert len(places) == len(epochs[0])


def test_a_batch_that_is_not_full_is_the_last_and_holds_rows_of_every_length():
    lengths = list(range(1, 101))
    last = [training.epoch_order(lengths, 32, seed=0, epoch=epoch)[96:] for epoch in range(60)]
    assert {len(rows) for rows in last} == {4}
    seen = {row for rows in last for row in rows}
    assert min(seen) < 10 and max(seen) > 90 and len(seen) > 30


def test_texts_are_encoded_cut_and_never_empty():
    vocabulary = Vocabulary.build([["good", "film"]])
    encoded = training.encode_texts(
        ["good bad film", "", "film film film film"], vocabulary, str.split, [1, 0, 1], max_length=3
    )
    assert encoded["input_ids"][:] == [[3, 1, 2], [1], [2, 2, 2]]
    assert encoded["labels"][:] == [1, 0, 1]
    assert training.encode_texts(["film"], vocabulary, str.split).column_names == ["input_ids"]


def test_a_loss_that_is_no_number_stops_with_the_step_and_a_remedy():
    with pytest.raises(FloatingPointError, match=r"at step [2-9] of 10.*Lower the rate"):
        training.fit(
            network(), toy(), num_epochs=2, learning_rate=1e30, batch_size=8, max_grad_norm=0
        )


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (toy().select([]), "train dataset is empty"),
        (toy().rename_column("labels", "label"), "labels; it has input_ids, label"),
        (toy().remove_columns("input_ids"), "input_ids or pixel_values"),
        (Dataset.from_dict({"input_ids": [[2], [3]], "labels": [1, 2]}), "1 to 2.* 2 classes"),
        (Dataset.from_dict({"input_ids": [[2], []], "labels": [1, 0]}), "Row 1 .* no token"),
    ],
)
def test_data_that_cannot_be_trained_on_is_explained(dataset, message):
    with pytest.raises(ValueError, match=message):
        training.fit(network(), dataset, **RATE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": ["emb"]}, "'emb'; there are embedding.weight, conv"),
        ({"freeze": "embedding"}, r"\['embedding'\]"),
        ({"freeze": ["embedding", "convolutions", "head"]}, "every parameter is frozen"),
        ({"learning_rate_groups": {"body": 0.1}}, "'body'"),
        ({"unfreeze_schedule": [["head"], ["embedding"]]}, "num_epochs is 1"),
        ({"schedule": "cosine"}, "'cosine'"),
        ({"precision": "int8"}, "'int8'"),
        ({"resume": True}, "output_dir"),
    ],
)
def test_settings_that_do_not_fit_are_explained(settings, message):
    with pytest.raises(ValueError, match=message):
        training.fit(network(), toy(), **RATE, **settings)


@pytest.mark.parametrize("as_list", [False, True])
def test_batches_by_length_are_read_in_evaluation_mode_which_is_then_restored(as_list):
    rows = Dataset.from_dict({"input_ids": [[5, 6, 7], [5], [6, 7], [8]]})
    model = network().train()
    seen = []
    with training.batches_by_length(model, list(rows) if as_list else rows, 2) as batches:
        for indices, batch in batches:
            assert not model.training and not torch.is_grad_enabled()
            lengths = [len(rows[i]["input_ids"]) for i in indices]
            assert batch["attention_mask"].sum(dim=1).tolist() == lengths
            seen += indices
    assert seen == [1, 3, 2, 0]
    assert model.training and torch.is_grad_enabled()
    model.forward = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError) as error:  # the traceback keeps all frames alive
        training.predict(model, rows)
    assert error and model.training and torch.is_grad_enabled()


def test_parameters_are_counted_once_when_tied_and_split_by_trainable():
    body, head = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    body.requires_grad_(False)
    model = torch.nn.ModuleList([body, head, head])
    assert training.count_parameters(model) == (10, 26)
