"""One pre-trained decoder, prompted (zero-shot or with examples) or fine-tuned: 2018 to 2020.

It is SmolLM2-135M-Instruct in `cpu` and GPT-2 in `gpu`; the profile of a ledger row says which.
"""

from functools import partial

import numpy as np
from datasets import Dataset

from helpers import pretrained, training
from helpers.decoding import (
    FewShot,
    Prompt,
    few_shot_prompt,
    head_from_words,
    label_scores,
    prompt_rows,
)
from helpers.methods import Corpus, Fitted, Method, common, seeds

__all__ = ["NEUTRAL", "PROMPTS", "REVIEW", "TOP", "answer_with", "classifier", "decoder"]
__all__ += ["fitted", "rows_of", "shots", "sizes", "train", "tune", "tuned"]

TOP = 4  # blocks tuned in part; SmolLM2 has 30 and GPT-2 has 12
NEUTRAL = ("N/A", "[MASK]", "")  # texts that say nothing (Zhao et al. 2021)

REVIEW = Prompt(
    "review", "Review: {text}\nSentiment:", {"negative": "negative", "positive": "positive"}
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


def decoder(corpus: Corpus, weights: bool = True) -> pretrained.Pretrained:
    """The language model of this profile, loaded once; random weights with `weights=False`."""

    def load():
        return pretrained.load_decoder(profile=corpus.profile, pretrained=weights, echo=None)

    return corpus.once(f"decoder, weights {weights}", load)


def sizes(corpus: Corpus) -> list[pretrained.Pretrained]:
    """The decoders of this profile, smaller first: one in `cpu`, two in `gpu`."""

    def load():
        return pretrained.load_decoder(profile=corpus.profile, larger=True, echo=None)

    if corpus.profile.name != "gpu":
        return [decoder(corpus)]
    return [decoder(corpus), corpus.once("larger decoder", load)]


def shots(loaded: pretrained.Pretrained, prompt: Prompt, examples=()) -> FewShot:
    """A prompt with its examples, as a chat if it has an instruction and the model a chat template.

    `examples` are rows of a labelled split or (text, label) pairs; none for zero-shot.
    """
    pairs = [(e["text"], e["label"]) if isinstance(e, dict) else e for e in examples]
    chats = prompt.instruction and loaded.tokenizer.chat_template
    return few_shot_prompt(prompt, pairs, tokenizer=loaded.tokenizer if chats else None)


def answer_with(
    loaded: pretrained.Pretrained, prompt: Prompt, texts, examples=(), calibrated: bool = False
) -> np.ndarray:
    """Score the labels of texts by the likelihood of their words: (texts, labels).

    With `calibrated`, relative to their scores after the texts in `NEUTRAL`.
    """
    asked = shots(loaded, prompt, examples)
    return label_scores(
        loaded,
        [asked.fill(text) for text in texts],
        prompt.words,
        prefix=asked.prefix or None,
        calibrate=[asked.fill(text) for text in NEUTRAL] if calibrated else None,
    )


def classifier(corpus: Corpus, seed: int = 0, weights: bool = True) -> pretrained.Pretrained:
    """The decoder with a head on the last token of `REVIEW`, initialised from the label words."""
    loaded = pretrained.load_decoder(
        "classification",
        label_names=list(REVIEW.words),
        profile=corpus.profile,
        pretrained=weights,
        seed=seed,
        echo=None,
    )
    head_from_words(loaded, REVIEW)
    return loaded


def rows_of(loaded: pretrained.Pretrained, texts, labels=None) -> Dataset:
    """Tokenize texts in their prompt into rows for `training.fit` and `predict`."""
    return prompt_rows(loaded, [REVIEW.fill(text) for text in texts], labels)


def train(
    loaded: pretrained.Pretrained,
    labelled: Dataset,
    seed: int,
    blocks: int | str | None = None,
    **settings,
) -> training.FitResult:
    """Train a `classifier`, with an adapter or without, on labelled reviews in their prompt.

    It is changed in place. `blocks` and `settings` are those of `common.fine_tune`.
    """
    rows = rows_of(loaded, labelled["text"][:], labelled["label"][:])
    return common.fine_tune(loaded, rows, blocks, seed=seed, **settings)


def tune(
    corpus: Corpus,
    labelled: Dataset,
    seed: int,
    blocks: int | str,
    weights: bool = True,
    **settings,
) -> tuple[pretrained.Pretrained, training.FitResult]:
    """Load a `classifier` and `train` it."""
    loaded = classifier(corpus, seed, weights)
    return loaded, train(loaded, labelled, seed, blocks, **settings)


def fitted(loaded: pretrained.Pretrained) -> Fitted:
    """Wrap a classifier for the grid."""
    read = partial(rows_of, loaded)
    return common.fitted_classifier(loaded.model, read, 64, loaded.pad_id, loaded, loaded.precision)


def tuned(corpus, labelled, seed, blocks, **settings) -> Fitted:
    """Train the head and as many blocks as `blocks` says."""
    return fitted(tune(corpus, labelled, seed, blocks, **settings)[0])


BY_NAME = {prompt.name: prompt for prompt in PROMPTS}


def ask(corpus, labelled, seed, prompt, weights=True, calibrated=False) -> Fitted:
    """Answer by prompt, without training; labelled examples, if any, stand in it in drawn order."""
    loaded, chosen, examples = decoder(corpus, weights), BY_NAME[prompt], list(labelled)

    def predict(texts):
        return answer_with(loaded, chosen, texts, examples, calibrated).argmax(axis=1)

    asked = shots(loaded, chosen, examples)
    size = len(asked.whole("").encode("utf-8"))
    return Fitted(predict, 0, training.count_parameters(loaded.model)[1], size, loaded)


def _declare(name, fit, configurations, plan, weights) -> Method:
    fit, load = partial(fit, weights=weights), partial(decoder, weights=weights)
    return Method(name, "gpt", configurations, fit, plan, common.loads(load))


def _asked(name, *prompts, plan=seeds.NO_LABELS, weights=True, **configuration) -> Method:
    tried = common.combinations(prompt=tuple(prompt.name for prompt in prompts), **configuration)
    return _declare(name, ask, tried, plan, weights)


def _tuned(name, blocks, configurations, plan, weights=True) -> Method:
    return _declare(name, partial(tuned, blocks=blocks), configurations, plan, weights)


EXAMPLES = {4: 3, 8: 3}  # of reviews in a prompt
WHOLE = {320: 3}  # every block takes minutes a run: one size, one rate
TOP_TRIED = common.combinations(num_epochs=4, min_steps=40, learning_rate=(1e-4, 3e-4, 1e-3))
WHOLE_TRIED = common.combinations(num_epochs=3, learning_rate=1e-4)

METHODS = (
    *(_asked(f"decoder, zero-shot: {prompt.name}", prompt) for prompt in PROMPTS),
    _asked("decoder, zero-shot", *PROMPTS),
    _asked("decoder, zero-shot, calibrated", *PROMPTS, calibrated=True),
    _asked("decoder, zero-shot, random weights", REVIEW, weights=False),
    _tuned("decoder, top four", TOP, TOP_TRIED, seeds.UP_TO_1_000),
    _tuned("decoder, fine-tuned", "blocks", WHOLE_TRIED, WHOLE),
    _asked("decoder, in context", REVIEW, plan=EXAMPLES),
    _asked("decoder, in context, calibrated", REVIEW, plan=EXAMPLES, calibrated=True),
    _tuned("decoder, random weights", "all", WHOLE_TRIED, WHOLE, weights=False),
)
