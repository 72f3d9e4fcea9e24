"""Methods of the GPT series: a small one that we pre-train ourselves, and one of GPT-2's size.

The pre-trained decoder is asked, shown examples, and fine-tuned.
"""

from functools import partial

from helpers import evaluation
from helpers.methods import tiny_gpt
from helpers.methods.base import NO_LABELS, UP_TO_1_000, Fitted, Method
from helpers.methods.common import combinations
from helpers.methods.decoders import (
    PROMPTS,
    REVIEW,
    TOP,
    answer_with,
    decoder,
    fitted_classifier,
    shots,
    tune,
)

__all__ = ["METHODS", "ask"]

BY_NAME = {prompt.name: prompt for prompt in PROMPTS}


def ask(corpus, labelled, seed, prompt, weights=True, calibrated=False) -> Fitted:
    """Ask without training; labelled examples, if any, are shown in the prompt in drawn order."""
    loaded, chosen, examples = decoder(corpus, weights), BY_NAME[prompt], list(labelled)

    def predict(texts):
        return answer_with(loaded, chosen, texts, examples, calibrated).argmax(axis=1)

    asked = shots(loaded, chosen, examples)
    size = len((asked.prefix + asked.before + asked.after).encode("utf-8"))
    return Fitted(predict, 0, evaluation.count_parameters(loaded.model)[1], size, loaded)


def tuned(corpus, labelled, seed, blocks, **settings) -> Fitted:
    """The head, and as many blocks as `tune` is told to train."""
    return fitted_classifier(tune(corpus, labelled, seed, blocks, **settings)[0])


def _load(corpus, weights=True, **configuration) -> None:
    decoder(corpus, weights)


LOAD_RANDOM = partial(_load, weights=False)


def _asked(name, *prompts, fit=ask, prepare=_load, **configuration) -> Method:
    names = tuple(prompt.name for prompt in prompts)
    tried = combinations(prompt=names, **configuration)
    return Method(name, "gpt", tried, fit, NO_LABELS, prepare)


def _shown(name, **configuration) -> Method:
    tried = combinations(prompt=REVIEW.name, **configuration)
    return Method(name, "gpt", tried, ask, EXAMPLES, _load)


def _tuned(name, blocks, configurations, plan, **options) -> Method:
    return Method(
        name,
        "gpt",
        configurations,
        partial(tuned, blocks=blocks, **options),
        plan,
        partial(_load, **options),
    )


EXAMPLES = {4: 3, 8: 3}  # of reviews in a prompt
WHOLE = {320: 3}  # every block takes minutes a run: one size, one rate
TOP_TRIED = combinations(num_epochs=4, min_steps=40, learning_rate=(1e-4, 3e-4, 1e-3))
WHOLE_TRIED = combinations(num_epochs=3, learning_rate=1e-4)

METHODS = (
    *tiny_gpt.METHODS,
    *(_asked(f"decoder, zero-shot: {prompt.name}", prompt) for prompt in PROMPTS),
    _asked("decoder, zero-shot", *PROMPTS),
    _asked("decoder, zero-shot, calibrated", *PROMPTS, calibrated=True),
    _asked(
        "decoder, zero-shot, random weights",
        REVIEW,
        fit=partial(ask, weights=False),
        prepare=LOAD_RANDOM,
    ),
    _tuned("decoder, top four", TOP, TOP_TRIED, UP_TO_1_000),
    _tuned("decoder, fine-tuned", "blocks", WHOLE_TRIED, WHOLE),
    _shown("decoder, in context"),
    _shown("decoder, in context, calibrated", calibrated=True),
    _tuned("decoder, random weights", "all", WHOLE_TRIED, WHOLE, weights=False),
)
