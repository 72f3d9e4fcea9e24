"""What a decoder still knows after it was fine-tuned on film reviews: general English, measured.

Three questions that have nothing to do with sentiment: how surprised it is by news, which of two
sentences it finds better, and of which kind a name is. The tuned body is put back under the word
vectors it came with, which no method here trains.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from helpers import data, decoding, ledger
from helpers.decoding import label_scores
from helpers.methods import decoders
from helpers.methods.base import Corpus, Fitted, Measurement
from helpers.pretrained import Pretrained, body_of
from helpers.runtime import measure

__all__ = [
    "NAMES",
    "TASKS",
    "general_knowledge",
    "name_questions",
    "news_losses",
    "right_pairs",
    "right_types",
    "spoken_through",
]

TASKS = ("news", "minimal_pairs", "film_ner_types")
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
def spoken_through(corpus: Corpus, tuned: Pretrained) -> Iterator[Pretrained]:
    """Let the profile's language model speak with the body of a tuned classifier, for a while.

    Word vectors are shared with the base, so this is fair only where they were not trained.
    """
    spoken = decoders.decoder(corpus)
    if tuned.model is spoken.model:
        yield spoken
        return
    name = spoken.model.base_model_prefix
    own = getattr(spoken.model, name)
    setattr(spoken.model, name, body_of(tuned.model))
    try:
        yield replace(spoken, name=f"{spoken.name}, tuned")
    finally:
        setattr(spoken.model, name, own)


def news_losses(corpus: Corpus, loaded: Pretrained) -> np.ndarray:
    """`[nll, tokens]` of each of the 50 test items of the news: (items, 2)."""
    texts = data.load_news()["test"]["text"][: corpus.profile.heldout_rows]
    return decoding.document_losses(loaded, texts, max_tokens=NEWS_TOKENS)


def right_pairs(corpus: Corpus, loaded: Pretrained) -> np.ndarray:
    """Whether the grammatical sentence of each minimal pair is the likelier one: (pairs,)."""
    profile = corpus.profile if corpus.profile.name == "smoke" else None
    return decoding.prefers_good(loaded, data.load_minimal_pairs(profile))


def name_questions(corpus: Corpus) -> tuple[list[str], list[int]]:
    """Ask for the type of marked names in test sentences: prompts, and numbers of the answers."""
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
    """Whether the likeliest of five words names the type of each name: (names,)."""
    questions, answers = name_questions(corpus)
    words = {kind: TYPE_WORDS[kind] for kind in data.NER_TYPES}
    return label_scores(loaded, questions, words).argmax(axis=1) == np.array(answers)


MEASURES: dict[str, tuple[Callable, Callable]] = {
    "news": (news_losses, ledger.perplexity_row),
    "minimal_pairs": (right_pairs, ledger.pairs_row),
    "film_ner_types": (right_types, ledger.accuracy_row),
}


def general_knowledge(corpus: Corpus, fitted: Fitted) -> list[Measurement]:
    """What a tuned decoder still knows, one measurement for each of `TASKS`."""
    found = []
    with spoken_through(corpus, fitted.model) as loaded:
        for task, (look, to_row) in MEASURES.items():
            with measure() as cost:
                outcomes = look(corpus, loaded)
            found.append(Measurement(task=task, to_row=to_row, outcomes=outcomes, cost=cost))
    return found
