"""Asking a decoder: the scores of a plain computation, whatever is shared, padded or batched."""

import dataclasses
import types

import numpy as np
import pytest
import torch
from tiny_decoders import CONTEXT, END, save_gpt2, save_llama

from helpers.decoding import Prompt, few_shot_prompt, generate, label_scores, parse_label
from helpers.decoding.prompts import encode_prompts
from helpers.pretrained import load_decoder

LABELS = {"negative": "negative", "positive": "positive"}  # a token each, after a space
UNEVEN = ["positive", "so good", "bad man"]  # 1, 2 and more tokens
SEVERAL = {"negative": ["negative", "bad"], "positive": ["positive", "good film", "of a man"]}
PROMPTS = [
    "Review: a good film\nSentiment:",
    "Review: bad, bad, and of a man who films a man\nSentiment:",
    "Review: man\nSentiment: ",
    "Review: a film of a good man of a good film\nSentiment:",
    "Review: 12 bad films\nSentiment:",
]
PREFIX = "Review: a good man\nSentiment: positive\n\nReview: a bad man\nSentiment: negative\n\n"


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return load_decoder(source=save_llama(tmp_path_factory.mktemp("chat") / "llama"), echo=None)


def plain(loaded, prompt: str, word: str) -> tuple[float, int]:
    """Score one word after one prompt in the plainest way: (log-likelihood, tokens).

    The joined text is cut into tokens at once, without padding, cache or batch.
    """
    context = loaded.tokenizer(prompt.rstrip(" "))["input_ids"]
    space = "" if prompt.endswith("\n") else " "
    ids = loaded.tokenizer(f"{prompt.rstrip(' ')}{space}{word}")["input_ids"]
    assert ids[: len(context)] == context
    with torch.no_grad():
        logits = loaded.model(torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
    steps = range(len(context), len(ids))
    return sum(float(logits[i - 1, ids[i]]) for i in steps), len(ids) - len(context)


def plain_scores(loaded, prompts, labels, per_token=False):
    if not isinstance(labels, dict):
        labels = {word: word for word in labels}
    scores = np.zeros((len(prompts), len(labels)))
    for i, prompt in enumerate(prompts):
        for j, words in enumerate(labels.values()):
            found = [
                plain(loaded, prompt, w) for w in ([words] if isinstance(words, str) else words)
            ]
            chances = [np.exp(score / (size if per_token else 1)) for score, size in found]
            scores[i, j] = np.log(sum(chances))
    return scores


# --- scores --------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [LABELS, UNEVEN, SEVERAL], ids=["one", "uneven", "several"])
@pytest.mark.parametrize("prefix", [None, PREFIX], ids=["alone", "after a prefix"])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_scores_are_those_of_each_example_by_itself(loaded, labels, prefix, batch_size):
    expected = plain_scores(loaded, [(prefix or "") + prompt for prompt in PROMPTS], labels)
    found = label_scores(loaded, PROMPTS, labels, prefix=prefix, batch_size=batch_size)
    assert found.shape == (len(PROMPTS), len(labels))
    assert np.abs(found - expected).max() < 1e-4
    assert np.ptp(expected, axis=0).min() > 0.01  # the prompts do make a difference


def test_labels_that_begin_with_the_same_token_are_told_apart(loaded):
    labels = ["bad man", "bad film"]
    first, second = (loaded.tokenizer(f" {label}")["input_ids"] for label in labels)
    assert first[0] == second[0] and first != second
    found = label_scores(loaded, PROMPTS, labels)
    assert np.abs(found - plain_scores(loaded, PROMPTS, labels)).max() < 1e-4
    assert np.abs(found[:, 0] - found[:, 1]).min() > 1e-3


@pytest.mark.parametrize("labels", [UNEVEN, SEVERAL], ids=["uneven", "several"])
def test_scores_by_token(loaded, labels):
    found = label_scores(loaded, PROMPTS, labels, normalise="tokens", prefix=PREFIX)
    whole = [PREFIX + prompt for prompt in PROMPTS]
    assert np.abs(found - plain_scores(loaded, whole, labels, per_token=True)).max() < 1e-4


@pytest.mark.parametrize("prefix", [None, PREFIX], ids=["alone", "after a prefix"])
def test_calibration_divides_by_what_says_nothing(loaded, prefix):
    neutral = [f"Review: {text}\nSentiment:" for text in ("N/A", "[MASK]", "")]
    found = label_scores(loaded, PROMPTS, UNEVEN, calibrate=neutral, prefix=prefix)
    start = prefix or ""
    chances = np.exp(plain_scores(loaded, [start + prompt for prompt in PROMPTS], UNEVEN))
    empty = np.exp(plain_scores(loaded, [start + prompt for prompt in neutral], UNEVEN))
    shares = (empty / empty.sum(axis=1, keepdims=True)).mean(axis=0)
    assert np.abs(found - np.log(chances / shares)).max() < 1e-4


def test_after_a_line_break_a_word_has_no_space(loaded):
    prompts = ["Review: a good film\n", PROMPTS[0], "Review: bad\n"]
    found = label_scores(loaded, prompts, UNEVEN)
    assert np.abs(found - plain_scores(loaded, prompts, UNEVEN)).max() < 1e-4


def test_a_prefix_is_read_once_and_logits_are_few(loaded):
    seen = []
    head = loaded.model.get_output_embeddings()
    words = loaded.model.get_input_embeddings()
    hooks = [
        words.register_forward_hook(lambda _, given, __: seen.append([tuple(given[0].shape)])),
        head.register_forward_hook(lambda _, given, __: seen[-1].append(given[0].shape[1])),
    ]
    label_scores(loaded, PROMPTS, LABELS, prefix=PREFIX, batch_size=2)
    for hook in hooks:
        hook.remove()
    shared, rows = encode_prompts(loaded.tokenizer, PROMPTS, PREFIX)
    lengths = sorted(map(len, rows))
    read = [(1, len(shared)), (2, lengths[1]), (2, lengths[3]), (1, lengths[4])]
    assert seen == [[shape, 1] for shape in read]


# --- where parts meet ----------------------------------------------------------------------------


@pytest.mark.parametrize("breaks", ["\n", "\n\n", "\n\n\n"])
def test_prefix_and_prompt_are_cut_as_the_joined_text_is(loaded, breaks):
    prefix = f"Sentiment: positive{breaks}"
    shared, rows = encode_prompts(loaded.tokenizer, PROMPTS, prefix)
    joined = [loaded.tokenizer(prefix + prompt.rstrip(" "))["input_ids"] for prompt in PROMPTS]
    assert [shared + row for row in rows] == joined
    assert shared


def test_a_start_token_stands_once_before_the_first_part(tmp_path):
    from tokenizers.processors import TemplateProcessing

    loaded = load_decoder(source=save_llama(tmp_path / "llama"), echo=None)
    start = ("<|im|>", 1)
    loaded.tokenizer.bos_token = start[0]
    loaded.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{start[0]} $A", special_tokens=[start]
    )
    shared, rows = encode_prompts(loaded.tokenizer, PROMPTS, PREFIX)
    assert shared[0] == 1 and 1 not in [*shared[1:], *rows[0]]
    _, rows = encode_prompts(loaded.tokenizer, PROMPTS)
    assert all(row[0] == 1 and 1 not in row[1:] for row in rows)
    _, rows = encode_prompts(loaded.tokenizer, [f"{start[0]}user\na film"])  # as a chat begins
    assert rows[0].count(1) == 1


# --- what cannot be scored -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"labels": {"good": "film", "fine": "film"}}, "'film'.* 'fine' .*'film' .*'good'"),
        ({"labels": {"good": ["film", "film"]}}, "'film'"),
        ({"labels": {"good": "film", "fine": " film"}}, "'film'"),
        ({"labels": ["good", "  "]}, "'  '"),
        ({"labels": {"good": []}}, "'good'"),
        ({"labels": ["good", "bad", "good"]}, "twice"),
        ({"labels": []}, "list of words"),
        ({"labels": "good"}, "list of words"),
        ({"normalise": "length"}, "'length'; choose none or tokens"),
        ({"calibrate": []}, "calibrate"),
        ({"prompts": [PROMPTS[0], " "]}, "Prompt 1"),
        ({"prompts": []}, "at least one text"),
        ({"prompts": "Review: a film"}, "at least one text"),
        ({"prompts": ["tive\nSentiment:"], "prefix": "Sentiment: posi"}, "'Sentiment: posi'"),
        ({"prompts": [PROMPTS[0], "1 2 " * 70, "1 2 " * 80]}, f"Prompt 1 .*{CONTEXT} .*1 other"),
        ({"prompts": ["1 2 " * 40], "prefix": PREFIX + "1 2 " * 30 + "\n"}, r"after \d+ of the"),
    ],
)
def test_what_cannot_be_scored_is_named(loaded, settings, named):
    given = {"prompts": PROMPTS, "labels": LABELS} | settings
    with pytest.raises(ValueError, match=named):
        label_scores(loaded, **given)


def test_what_cannot_be_asked_is_refused_with_what_to_load(loaded, tmp_path):
    bare = dataclasses.replace(loaded, tokenizer=types.SimpleNamespace(pad_token_id=None))
    classifier = load_decoder("classification", source=save_gpt2(tmp_path / "gpt2"), echo=None)
    for model, named in ((bare, "padding token"), (classifier, "LastTokenClassifier")):
        with pytest.raises(ValueError, match=f"{named}.*load_decoder"):
            label_scores(model, PROMPTS, LABELS)
        with pytest.raises(ValueError, match=f"{named}.*load_decoder"):
            generate(model, PROMPTS, max_new_tokens=2)


# --- templates -----------------------------------------------------------------------------------

QUESTION = Prompt("plain", "Review: {text}\nSentiment:", SEVERAL, instruction="Judge.")
EXAMPLES = [(" a good film ", "positive"), ("a bad {text}", 0)]


def test_a_few_shot_prompt_reads_like_its_examples():
    shots = few_shot_prompt(QUESTION, EXAMPLES)
    assert shots.prefix == (
        "Judge.\n\nReview: a good film\nSentiment: positive\n\n"
        "Review: a bad {text}\nSentiment: negative\n\n"
    )
    assert shots.fill(" a man\n") == QUESTION.fill("a man") == "Review: a man\nSentiment:"
    assert shots.whole("a man") == shots.prefix + "Review: a man\nSentiment:"
    assert few_shot_prompt(QUESTION).prefix == "Judge.\n\n"
    assert few_shot_prompt(dataclasses.replace(QUESTION, instruction="")).prefix == ""


def test_a_chat_is_written_in_the_models_template(llama):
    shots = few_shot_prompt(QUESTION, EXAMPLES[:1], tokenizer=llama.tokenizer)
    turns = [
        {"role": "user", "content": "Judge.\n\nReview: a good film\nSentiment:"},
        {"role": "assistant", "content": "positive"},
        {"role": "user", "content": "Review: a man\nSentiment:"},
    ]
    whole = llama.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert shots.whole("a man") == whole
    assert shots.prefix.endswith(f"positive{END}\n")
    assert shots.fill("a man").startswith("<|im|>user\nReview: a man")
    zero = few_shot_prompt(QUESTION, tokenizer=llama.tokenizer)
    assert zero.prefix == "" and "Judge.\n\nReview: a man" in zero.fill("a man")


def test_a_chat_is_scored_as_its_joined_text(llama):
    shots = few_shot_prompt(QUESTION, EXAMPLES, tokenizer=llama.tokenizer)
    texts = ["a man", "a bad film"]
    found = label_scores(llama, [shots.fill(t) for t in texts], SEVERAL, prefix=shots.prefix)
    expected = plain_scores(llama, [shots.whole(text) for text in texts], SEVERAL)
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text": "Sentiment:"}, "{text} once"),
        ({"text": "{text} {text}"}, "2 places"),
        ({"labels": {"good": ""}}, "empty answer"),
    ],
)
def test_prompts_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(QUESTION, **settings)


def test_examples_and_tokenizers_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="'fine'.*negative, positive"):
        few_shot_prompt(QUESTION, [("a film", "fine")])
    with pytest.raises(ValueError, match="no label 2"):
        few_shot_prompt(QUESTION, [("a film", 2)])
    gpt2 = load_decoder(source=save_gpt2(tmp_path / "gpt2"), echo=None)
    with pytest.raises(ValueError, match="chat template"):
        few_shot_prompt(QUESTION, tokenizer=gpt2.tokenizer)


# --- generation ----------------------------------------------------------------------------------


def greedy(loaded, prompt: str, steps: int) -> str:
    """Write by hand: the likeliest token, one by one, the whole text read anew each time."""
    ids = loaded.tokenizer(prompt.rstrip(" "))["input_ids"]
    start = len(ids)
    for _ in range(steps):
        with torch.no_grad():
            best = int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax())
        if best == loaded.tokenizer.eos_token_id:
            break
        ids.append(best)
    return loaded.tokenizer.decode(ids[start:])


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_greedy_texts_are_those_of_each_prompt_alone(loaded, batch_size):
    expected = [greedy(loaded, prompt, 8) for prompt in PROMPTS]
    assert generate(loaded, PROMPTS, max_new_tokens=8, batch_size=batch_size) == expected
    assert len(set(expected)) > 1


def test_draws_depend_on_the_seed_and_leave_the_global_generator_alone(loaded):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, again, other = (
        generate(loaded, PROMPTS, max_new_tokens=8, temperature=1.0, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(2), expected)
    assert first == again != other


def test_a_checkpoints_own_taste_is_not_used(loaded, monkeypatch):
    expected = generate(loaded, PROMPTS, max_new_tokens=8)
    drawn = generate(loaded, PROMPTS, max_new_tokens=8, temperature=1.0)
    own = loaded.model.generation_config
    for name, value in {"do_sample": True, "temperature": 0.1, "top_k": 1, "top_p": 0.01,
                        "repetition_penalty": 3.0, "no_repeat_ngram_size": 1}.items():  # fmt: skip
        monkeypatch.setattr(own, name, value)
    assert generate(loaded, PROMPTS, max_new_tokens=8) == expected
    assert generate(loaded, PROMPTS, max_new_tokens=8, temperature=1.0) == drawn


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 200}, "Prompt 0 .*200 of the answer"),
        ({"temperature": -1.0}, "temperature"),
    ],
)
def test_generation_settings_that_make_no_sense(loaded, settings, message):
    with pytest.raises(ValueError, match=message):
        generate(loaded, PROMPTS, **({"max_new_tokens": 4} | settings))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" Positive.", "positive"),
        ("It is bad, not positive", "negative"),
        ("a good film about the negative", "positive"),
        ("negatively", None),
        ("", None),
        ("unbad", None),
        ("so-so", None),
    ],
)
def test_an_answer_is_parsed_by_its_first_label_word(text, label):
    assert parse_label(text, SEVERAL) == label
