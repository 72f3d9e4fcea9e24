"""Methods of 2018 to 2023 with one pre-trained decoder: asked, shown examples, fine-tuned.

The decoder is SmolLM2-135M-Instruct in `cpu` and GPT-2 in `gpu`; the profile of a ledger's row says
which.
"""

import numpy as np

from helpers import evaluation, pretrained
from helpers.decoding import (
    FewShot,
    Prompt,
    few_shot_prompt,
    head_from_words,
    label_scores,
    prompt_rows,
)
from helpers.methods.base import NO_LABELS, UP_TO_1_000, Corpus, Fitted, Method
from helpers.methods.blocks import as_fitted, tune_blocks

__all__ = [
    "METHODS",
    "NEUTRAL",
    "PROMPTS",
    "REVIEW",
    "answer_with",
    "classifier",
    "decoder",
    "rows_of",
    "shots",
    "sizes",
    "tune",
]

NEUTRAL = ("N/A", "[MASK]", "")  # texts that say nothing (Zhao et al. 2021)
TOP = 4  # blocks tuned of the decoder; SmolLM2 has 30 and GPT-2 has 12

REVIEW = Prompt(
    "review",
    "Review: {text}\nSentiment:",
    {"negative": "negative", "positive": "positive"},
)
PROMPTS = (
    REVIEW,
    Prompt(
        "question",
        "{text}\n\nIs this movie review positive or negative?\nAnswer:",
        {"negative": ("negative", "Negative"), "positive": ("positive", "Positive")},
    ),
    Prompt(
        "the movie was",
        "{text}\nThe movie was",
        {"negative": ("bad", "terrible"), "positive": ("good", "great")},
    ),
    Prompt(
        "yes or no",
        "Review: {text}\nQuestion: Did the critic like the film?\nAnswer:",
        {"negative": ("no", "No"), "positive": ("yes", "Yes")},
    ),
    Prompt(
        "chat",
        "{text}",
        {"negative": ("Negative", "negative"), "positive": ("Positive", "positive")},
        instruction="Is the sentiment of this movie review positive or negative? Answer with one "
        "word.",
    ),
)
"""Five ways to ask, fixed before any two were compared."""
BY_NAME = {prompt.name: prompt for prompt in PROMPTS}


def decoder(corpus: Corpus, weights: bool = True) -> pretrained.Pretrained:
    """The language model of this profile, loaded once; `weights=False` for its random twin."""

    def load():
        return pretrained.load_decoder(profile=corpus.profile, pretrained=weights, echo=None)

    return corpus.once(f"decoder, weights {weights}", load)


def sizes(corpus: Corpus) -> list[pretrained.Pretrained]:
    """The decoders of this profile, smaller first: one in `cpu`, and in `gpu` a larger one too."""

    def load():
        return pretrained.load_decoder(profile=corpus.profile, larger=True, echo=None)

    if corpus.profile.name != "gpu":
        return [decoder(corpus)]
    return [decoder(corpus), corpus.once("larger decoder", load)]


def shots(loaded: pretrained.Pretrained, prompt: Prompt, examples=()) -> FewShot:
    """A prompt with examples in place: as a chat where it is one and the model was taught to chat.

    Args:
        loaded: the decoder.
        prompt: one of `PROMPTS`, or another; one with an instruction is written as a chat.
        examples: rows of a labelled split, or (text, label) pairs; none for zero-shot.
    """
    pairs = [(e["text"], e["label"]) if isinstance(e, dict) else e for e in examples]
    chats = bool(prompt.instruction and loaded.tokenizer.chat_template)
    return few_shot_prompt(prompt, pairs, tokenizer=loaded.tokenizer if chats else None)


def answer_with(
    loaded: pretrained.Pretrained, prompt: Prompt, texts, examples=(), calibrated: bool = False
) -> np.ndarray:
    """Score the labels of texts by the likelihood of their words: (texts, labels).

    With `calibrated` they are compared with the scores of the texts in `NEUTRAL`.
    """
    asked = shots(loaded, prompt, examples)
    neutral = [asked.fill(text) for text in NEUTRAL] if calibrated else None
    return label_scores(
        loaded,
        [asked.fill(text) for text in texts],
        prompt.words,
        prefix=asked.prefix or None,
        calibrate=neutral,
    )


def ask(corpus, labelled, seed, prompt, weights=True, calibrated=False):
    """Ask without training; labelled examples, if any, are shown in the prompt in drawn order."""
    loaded, examples = decoder(corpus, weights), list(labelled)

    def predict(texts):
        return answer_with(loaded, BY_NAME[prompt], texts, examples, calibrated).argmax(axis=1)

    asked = shots(loaded, BY_NAME[prompt], examples)
    size = len((asked.prefix + asked.before + asked.after).encode("utf-8"))
    return Fitted(predict, 0, evaluation.count_parameters(loaded.model)[1], size, loaded)


def ask_random(corpus, labelled, seed, prompt):
    """Ask the same network with random weights: the control."""
    return ask(corpus, labelled, seed, prompt, weights=False)


def classifier(corpus: Corpus, seed: int = 0, weights: bool = True) -> pretrained.Pretrained:
    """The decoder with a head on the last token of `REVIEW`, which starts from the label words."""
    loaded = pretrained.load_decoder(
        "classification", label_names=list(REVIEW.words), profile=corpus.profile,
        pretrained=weights, seed=seed, echo=None,
    )  # fmt: skip
    head_from_words(loaded, REVIEW)
    return loaded


def rows_of(loaded: pretrained.Pretrained, texts, labels=None):
    """Texts in their prompt as rows of tokens, for `training.fit` and `predict`."""
    return prompt_rows(loaded, [REVIEW.fill(text) for text in texts], labels)


def tune(corpus, labelled, seed, blocks: int | str, *, weights: bool = True, **settings):
    """Tune the top blocks of the decoder; returns the `Pretrained` and what `fit` returns.

    Args:
        corpus, labelled, seed: as for every method.
        blocks: trained from the top, and `"all"` with the word vectors, as for `tune_blocks`.
        weights: False for the random twin.
        settings: further arguments of `tune_blocks`.
    """
    loaded = classifier(corpus, seed, weights)
    rows = rows_of(loaded, labelled["text"][:], labelled["label"][:])
    return loaded, tune_blocks(loaded, rows, blocks, seed=seed, **settings)


def _tuned(corpus, labelled, seed, blocks, weights=True, **settings) -> Fitted:
    loaded, _ = tune(corpus, labelled, seed, blocks, weights=weights, **settings)
    return as_fitted(loaded, lambda texts: rows_of(loaded, texts))


def top_blocks(corpus, labelled, seed, **settings):
    """The top four blocks and the head."""
    depth = decoder(corpus).model.config.num_hidden_layers
    return _tuned(corpus, labelled, seed, min(TOP, depth), **settings)


def fine_tuned(corpus, labelled, seed, **settings):
    """All blocks and the head; word vectors stay."""
    depth = decoder(corpus).model.config.num_hidden_layers
    return _tuned(corpus, labelled, seed, depth, **settings)


def random_weights(corpus, labelled, seed, **settings):
    """The same network from random weights, word vectors trained too: the control."""
    return _tuned(corpus, labelled, seed, "all", weights=False, **settings)


def _load(corpus, **configuration) -> None:
    decoder(corpus)


def _load_random(corpus, **configuration) -> None:
    decoder(corpus, weights=False)


def _settings(rates, **steps) -> tuple[dict, ...]:
    return tuple({"num_epochs": 4, **steps, "learning_rate": rate} for rate in rates)


def _declare(name, fit, configurations, plan, prepare=_load) -> Method:
    return Method(name, "gpt", configurations, fit, plan, prepare)


def _asked(name, prompts, fit=ask, prepare=_load, **configuration) -> Method:
    tried = tuple({"prompt": prompt.name, **configuration} for prompt in prompts)
    return _declare(name, fit, tried, NO_LABELS, prepare)


def _shown(name, **configuration) -> Method:
    tried = ({"prompt": REVIEW.name, **configuration},)
    return _declare(name, ask, tried, EXAMPLES)


EXAMPLES = {4: 3, 8: 3}  # of reviews in a prompt
WHOLE = {320: 3}  # every block takes minutes a run: one size, one rate

METHODS = (
    *(_asked(f"decoder, zero-shot: {prompt.name}", (prompt,)) for prompt in PROMPTS),
    _asked("decoder, zero-shot", PROMPTS),
    _asked("decoder, zero-shot, calibrated", PROMPTS, calibrated=True),
    _asked("decoder, zero-shot, random weights", (REVIEW,), ask_random, _load_random),
    _declare(
        "decoder, top four",
        top_blocks,
        _settings((1e-4, 3e-4, 1e-3), min_steps=40),
        UP_TO_1_000,
    ),
    _declare("decoder, fine-tuned", fine_tuned, _settings((1e-4,), num_epochs=3), WHOLE),
    _shown("decoder, in context"),
    _shown("decoder, in context, calibrated", calibrated=True),
    _declare(
        "decoder, random weights",
        random_weights,
        _settings((1e-4,), num_epochs=3),
        WHOLE,
        _load_random,
    ),
)
