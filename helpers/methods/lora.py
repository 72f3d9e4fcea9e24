"""Methods of 2021 and after: one decoder, fine-tuned with LoRA and in full, on an equal budget.

Both start from the head that answers as zero-shot does (notebook 6), take the same steps in the
same batches, and choose their own learning rate among three. What the decoder still knows is then
measured on news (perplexity), minimal pairs (grammar) and types of names.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import data, decoding, ledger, training
from helpers.adapters import add_adapter, hold_base
from helpers.methods import Corpus, Fitted, Measurement, Method, common, decoders, seeds
from helpers.pretrained import Pretrained, body_of
from helpers.runtime import measure

__all__ = ["ALPHA", "METHODS", "NAMES", "RANK", "STEPS", "TASKS", "name_questions", "news_losses"]
__all__ += ["right_pairs", "right_types", "tune_adapter", "tuned_language_model"]

RANK, ALPHA = 8, 16.0
# Small batches are of one length, so little of them is padding: half the time of batches of 32.
STEPS = {"num_epochs": 2, "min_steps": 80, "batch_size": 8}


def tune_adapter(
    corpus: Corpus, labelled: Dataset, seed: int, **settings
) -> tuple[Pretrained, training.FitResult]:
    """Tune a LoRA adapter on the decoder; `settings` are arguments of `common.fine_tune`."""
    loaded = add_adapter(decoders.classifier(corpus, seed), rank=RANK, alpha=ALPHA, seed=seed)
    hold_base(loaded)
    settings["min_steps"] = corpus.profile.floor(settings.get("min_steps", 0))
    return loaded, decoders.train(loaded, labelled, seed, **settings)


def linear_probe(corpus, labelled, seed, C) -> Fitted:
    """Logistic regression on the untouched decoder's last state of each review in its prompt."""
    loaded = corpus.once("untouched classifier", lambda: decoders.classifier(corpus))

    def states(texts) -> np.ndarray:  # not kept, so that timings include all reading
        return common.pooled_states(loaded, decoders.rows_of(loaded, texts))

    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=5_000))
    given = training.count_parameters(decoders.decoder(corpus).model)[1]
    return common.probe(states, labelled, model, given)


def adapter(corpus, labelled, seed, **settings) -> Fitted:
    """LoRA on the four attention matrices of every block."""
    return decoders.fitted(tune_adapter(corpus, labelled, seed, **settings)[0])


def untouched(corpus, labelled, seed) -> Fitted:
    """The classifier before any training."""
    loaded = decoders.classifier(corpus, seed)
    loaded.model.requires_grad_(False)
    hold_base(loaded)
    return decoders.fitted(loaded)


# --- what it still knows --------------------------------------------------------------------------

NEWS_TOKENS = 256
NAMES = 200  # names asked about; the first ones of the test sentences
TYPE_WORDS = {
    "CHAR": ("character",),
    "LOC": ("place", "city", "country"),
    "ORG": ("company", "organization"),
    "PER": ("person", "actor", "director"),
    "WORK": ("film", "movie", "book"),
}


@contextmanager
def tuned_language_model(corpus: Corpus, tuned: Pretrained) -> Iterator[Pretrained]:
    """Put the body of a tuned classifier under the profile's language model, inside a `with` block.

    Word vectors are shared with the base, so this is fair only where they were not trained.
    """
    base = decoders.decoder(corpus)
    if tuned.model is base.model:
        yield base
        return
    name = base.model.base_model_prefix
    own = getattr(base.model, name)
    setattr(base.model, name, body_of(tuned.model))
    try:
        yield replace(base, name=f"{base.name}, tuned")
    finally:
        setattr(base.model, name, own)


def news_losses(corpus: Corpus, loaded: Pretrained) -> np.ndarray:
    """`[nll, tokens]` of each of the news' test items, at most 50: (items, 2)."""
    texts = data.load_news()["test"]["text"][: corpus.profile.heldout_rows]
    return decoding.document_losses(loaded, texts, max_tokens=NEWS_TOKENS)


def right_pairs(corpus: Corpus, loaded: Pretrained) -> np.ndarray:
    """Whether the grammatical sentence of each minimal pair is the more likely one: (pairs,)."""
    profile = corpus.profile if corpus.profile.name == "smoke" else None
    return decoding.prefers_good(loaded, data.load_minimal_pairs(profile))


def name_questions(corpus: Corpus) -> tuple[list[str], list[int]]:
    """Prompts that ask for the type of names in test sentences, and indices of the right types."""
    questions, answers = [], []
    for row in corpus.names["test"]:
        for span in row["spans"]:
            name = row["text"][span["start"] : span["end"]]
            questions.append(
                f'Sentence: {row["text"]}\nIn this sentence, "{name}" is the name of a'
            )
            answers.append(data.NER_TYPES.index(span["type"]))
    return questions[:NAMES], answers[:NAMES]


def right_types(corpus: Corpus, loaded: Pretrained) -> np.ndarray:
    """Whether the most likely of five words names the type of each name: (names,)."""
    questions, answers = name_questions(corpus)
    words = {kind: TYPE_WORDS[kind] for kind in data.NER_TYPES}
    return decoding.label_scores(loaded, questions, words).argmax(axis=1) == np.array(answers)


MEASURES: dict[str, tuple[Callable, Callable]] = {
    "news": (news_losses, ledger.perplexity_row),
    "minimal_pairs": (right_pairs, ledger.pairs_row),
    "film_ner_types": (right_types, ledger.accuracy_row),
}
TASKS = tuple(MEASURES)


def general_knowledge(corpus: Corpus, fitted: Fitted) -> list[Measurement]:
    """Measure what a tuned decoder still knows, once for each of `TASKS`."""
    found = []
    with tuned_language_model(corpus, fitted.model) as loaded:
        for task, (look, to_row) in MEASURES.items():
            with measure() as cost:
                outcomes = look(corpus, loaded)
            found.append(Measurement(task, to_row, outcomes, cost))
    return found


# --- the methods ----------------------------------------------------------------------------------


def _declare(name, fit, configurations, plan, measured_at=()) -> Method:
    options = {"afterwards": dict.fromkeys(measured_at, general_knowledge), "chosen_at": (320,)}
    load = common.loads(decoders.decoder)
    return Method(name, "lora", configurations, fit, plan, load, **options)


IN_ORDER = {320: 3, 100: 3, 32: 3, 1_000: 3}  # the budget of the claims first
UP_TO_ALL = {**IN_ORDER, "all": 1}
PROBE = common.combinations(C=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2))
LORA = common.combinations(**STEPS, learning_rate=(3e-4, 1e-3, 3e-3))
FULL = partial(decoders.tuned, blocks="blocks")
FULL_TRIED = common.combinations(**STEPS, learning_rate=(3e-5, 1e-4, 3e-4))
METHODS = (
    _declare("decoder, untouched", untouched, ({},), seeds.NO_LABELS, measured_at=(0,)),
    _declare("decoder, linear probe", linear_probe, PROBE, IN_ORDER),
    _declare("decoder + LoRA", adapter, LORA, UP_TO_ALL, measured_at=(320,)),
    _declare("decoder, full fine-tuning", FULL, FULL_TRIED, {320: 3, 1_000: 1}, measured_at=(320,)),
)
