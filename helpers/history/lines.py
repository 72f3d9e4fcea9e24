"""The lines of the history figure, named before they were drawn, one an era.

An era is represented by something that runs on a laptop today. A MiniLM tuned for similarity is not
BERT-base, and a model of 2024 that was taught to follow instructions is not GPT-2: every figure
says what stands for what.
"""

from dataclasses import dataclass

import numpy as np

from helpers.history.results import FILM_NER, REVIEWS, At, Results

__all__ = [
    "ASKED",
    "ERA_NAMES",
    "LINES",
    "NAMES",
    "SHORT",
    "SOURCE_LINES",
    "Curve",
    "Line",
    "curves",
    "newest",
    "points_of",
]

ERA_NAMES = {
    "classical": "before 2010",
    "pretraining": "2006-2015",
    "embeddings": "2013-2015",
    "bert": "2018",
    "gpt": "2018-2020",
    "lora": "since 2021",
}
"""How figures and tables call the eras of the ledger, in their order."""

ASKED = "decoder, zero-shot: review"
"""The decoder asked with the prompt that its tuning starts from: it has seen no label."""


SHORT = {
    ASKED: "asked",
    "decoder, zero-shot": "asked",
    "decoder, zero-shot, calibrated": "asked",
    "decoder, in context, calibrated": "shown examples",
    "decoder, top four": "GPT's top blocks",
    "decoder, linear probe": "GPT, frozen",
    "decoder, fine-tuned": "GPT, all blocks",
    "decoder, full fine-tuning": "GPT, all blocks",
    "decoder + LoRA": "LoRA",
    "encoder, fine-tuned": "MiniLM",
    "encoder, top three": "MiniLM, half",
    "encoder, top block": "MiniLM, top",
    "encoder, linear probe": "MiniLM, frozen",
    "LM-pre-trained LSTM": "LSTM",
    "TextCNN, tuned skip-gram": "TextCNN",
    "TextCNN, static skip-gram": "TextCNN, static",
    "averaged skip-gram": "mean vectors",
    "averaged GloVe": "mean GloVe",
    "TextCNN, source then target": "TextCNN from IMDB",
    "source only": "IMDB's counts",
    "source, then target": "IMDB's, tuned",
}
"""Names that fit beside a point; a method that is not here keeps its own."""


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Attributes:
        era: of the ledger.
        label: written on the line, for someone who has not read the text.
        stands: what represents the era here.
        method: the declared method it shows.
        start: another one that is its point at no label, if any.
    """

    era: str
    label: str
    stands: str
    method: str
    start: str = ""


LINES = (
    Line("classical", "until 2010: counts", "NB-SVM", "NB-SVM"),
    Line(
        "embeddings",
        "2014: word vectors",
        "a TextCNN on skip-gram vectors",
        "TextCNN, tuned skip-gram",
    ),
    Line(
        "pretraining",
        "2015: pre-trained LSTM",
        "an LSTM that read IMDB, no label, first",
        "LM-pre-trained LSTM",
    ),
    Line("bert", "2018: BERT", "MiniLM, fine-tuned", "encoder, fine-tuned"),
    Line(
        "gpt",
        "2018: GPT",
        "SmolLM2-135M, asked; then its top blocks tuned",
        "decoder, top four",
        start=ASKED,
    ),
    Line("lora", "2021: LoRA", "SmolLM2-135M with LoRA", "decoder + LoRA"),
)
"""Target labels only. Text without labels counts as no label."""

SOURCE_LINES = (
    Line(
        "classical",
        "counts, IMDB first",
        "a linear model pulled towards IMDB's weights",
        "source, then target",
        start="source only",
    ),
    Line(
        "pretraining",
        "TextCNN, IMDB first",
        "tuned from IMDB's labels",
        "TextCNN, source then target",
        start="TextCNN, source only",
    ),
)
"""With IMDB's labels as well: source, then target; source only is the point at no label."""

NAMES = (
    Line("classical", "2003: a CRF", "CRF on features", "CRF on features"),
    Line("embeddings", "2014: word vectors", "BiLSTM on GloVe", "BiLSTM, GloVe"),
    Line("bert", "2018: BERT", "MiniLM with a head at each word", "encoder, token head"),
    Line(
        "bert",
        "... told of capitals",
        "the same, told how words are spelled",
        "encoder, token head + capitals",
    ),
)
"""Names in film reviews, by span F1."""


@dataclass(frozen=True)
class Curve:
    """A line with what was measured: {labels: values, one a seed}, empty if nothing was."""

    line: Line
    values: dict[int, np.ndarray]

    @property
    def means(self) -> dict[int, float]:
        """Mean over seeds by budget."""
        return {labels: float(values.mean()) for labels, values in self.values.items()}


def curves(results: Results, lines: tuple[Line, ...] = LINES, task: str = REVIEWS) -> list[Curve]:
    """Look the lines of a figure up; one without rows comes back empty."""
    found = []
    for line in lines:
        values = {0: results.values(At(line.start, 0, task))} if line.start else {}
        for labels in results.budgets(line.method, task):
            values[labels] = results.values(At(line.method, labels, task))
        found.append(Curve(line, {n: some for n, some in values.items() if len(some)}))
    return found


def points_of(results: Results, lines: tuple[Line, ...] = LINES, task: str = REVIEWS):
    """Single results of these lines, to be drawn over them: [(line number, labels, value)]."""
    return [
        (number, labels, float(value))
        for number, curve in enumerate(curves(results, lines, task))
        for labels, values in curve.values.items()
        for value in values
    ]


def newest(results: Results) -> list[str]:
    """Eras of the ledger that have rows here, in their order."""
    present = {row["era"] for row in results.all if row["task"] in (REVIEWS, FILM_NER)}
    return [era for era in ERA_NAMES if era in present]
