"""Methods of the GPT series: a tiny GPT that we pre-train, and a pre-trained decoder.

The decoder is prompted (zero-shot or with examples) and fine-tuned.
"""

from functools import partial

from helpers import evaluation
from helpers.methods import common, decoders, tiny_gpt
from helpers.methods.base import NO_LABELS, UP_TO_1_000, Fitted, Method

__all__ = ["METHODS", "ask"]

BY_NAME = {prompt.name: prompt for prompt in decoders.PROMPTS}


def ask(corpus, labelled, seed, prompt, weights=True, calibrated=False) -> Fitted:
    """Answer by prompt, without training; labelled examples, if any, stand in it in drawn order."""
    loaded, chosen, examples = decoders.decoder(corpus, weights), BY_NAME[prompt], list(labelled)

    def predict(texts):
        return decoders.answer_with(loaded, chosen, texts, examples, calibrated).argmax(axis=1)

    asked = decoders.shots(loaded, chosen, examples)
    size = len((asked.prefix + asked.before + asked.after).encode("utf-8"))
    return Fitted(predict, 0, evaluation.count_parameters(loaded.model)[1], size, loaded)


def _declare(name, fit, configurations, plan, weights) -> Method:
    fit, load = partial(fit, weights=weights), partial(decoders.decoder, weights=weights)
    return Method(name, "gpt", configurations, fit, plan, common.loads(load))


def _asked(name, *prompts, plan=NO_LABELS, weights=True, **configuration) -> Method:
    tried = common.combinations(prompt=tuple(prompt.name for prompt in prompts), **configuration)
    return _declare(name, ask, tried, plan, weights)


def _tuned(name, blocks, configurations, plan, weights=True) -> Method:
    return _declare(name, partial(decoders.tuned, blocks=blocks), configurations, plan, weights)


EXAMPLES = {4: 3, 8: 3}  # of reviews in a prompt
WHOLE = {320: 3}  # every block takes minutes a run: one size, one rate
TOP_TRIED = common.combinations(num_epochs=4, min_steps=40, learning_rate=(1e-4, 3e-4, 1e-3))
WHOLE_TRIED = common.combinations(num_epochs=3, learning_rate=1e-4)

METHODS = (
    *tiny_gpt.METHODS,
    *(_asked(f"decoder, zero-shot: {prompt.name}", prompt) for prompt in decoders.PROMPTS),
    _asked("decoder, zero-shot", *decoders.PROMPTS),
    _asked("decoder, zero-shot, calibrated", *decoders.PROMPTS, calibrated=True),
    _asked("decoder, zero-shot, random weights", decoders.REVIEW, weights=False),
    _tuned("decoder, top four", decoders.TOP, TOP_TRIED, UP_TO_1_000),
    _tuned("decoder, fine-tuned", "blocks", WHOLE_TRIED, WHOLE),
    _asked("decoder, in context", decoders.REVIEW, plan=EXAMPLES),
    _asked("decoder, in context, calibrated", decoders.REVIEW, plan=EXAMPLES, calibrated=True),
    _tuned("decoder, random weights", "all", WHOLE_TRIED, WHOLE, weights=False),
)
