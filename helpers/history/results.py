"""Measured results: a ledger's rows by method and budget, and the lines that show one era each.

Each era is represented by something that runs on a laptop today. A MiniLM tuned for similarity is
not BERT-base, and an instruction-tuned model of 2024 is not GPT-2: every figure says what
represents what.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from helpers import evaluation, grid, ledger

__all__ = ["ERA_NAMES", "FILM_NER", "LINES", "METRICS", "NAMES", "REVIEWS", "SHORT"]
__all__ += ["SOURCE_LINES", "ZERO_SHOT", "At", "Curve", "Results", "curves", "is_control"]
__all__ += ["points_of"]

REVIEWS, FILM_NER = grid.REVIEWS.name, grid.FILM_NER.name
METRICS = {
    REVIEWS: grid.REVIEWS.metric,
    FILM_NER: grid.FILM_NER.metric,
    "news": "perplexity",
    "imdb_text": "perplexity",
    "news_text": "perplexity",
    "minimal_pairs": "minimal_pairs",
    "film_ner_types": "accuracy",
}
"""The tasks that this history draws on, and the metric of their rows."""

YEARS = ("before 2010", "2006-2015", "2013-2015", "2018", "2018-2020", "since 2021")
ERA_NAMES = dict(zip(ledger.ERAS, YEARS, strict=True))
"""How figures and tables call the eras of the ledger, in their order."""

ZERO_SHOT = "decoder, zero-shot: review"
"""The decoder asked with the prompt that its tuning starts from: it has seen no label."""

SHORT = {
    ZERO_SHOT: "asked",
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


def is_control(method: str) -> bool:
    """Whether a name is no method of an era, but a control or a single prompt."""
    return any(part in method for part in ("random", "from scratch", "zero-shot: ", "untouched"))


class At(NamedTuple):
    """A place in the grid: a method, its number of labels, and the task that it answered.

    With several names, the first that has rows counts: two notebooks may have recorded the same
    model under different names.
    """

    method: str | tuple[str, ...]
    labels: int
    task: str = REVIEWS


class Results:
    """The rows of one ledger in one profile and one precision.

    A missing row is `None` everywhere, never an error: the page can be drawn before everything was
    measured.

    Args:
        rows: of `ledger.load`, or dicts, of any profiles and tasks.
        profile, precision: other rows are not comparable with these, and are left out.
        draws: for every bootstrap on these rows.
    """

    def __init__(
        self, rows, profile: str = "cpu", draws: int = evaluation.DRAWS, precision: str = "float32"
    ):
        records = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
        self.profile, self.draws = profile, draws
        self.all = ledger.comparable(records, profile, precision)
        self.compared = {}  # what `compare` found before: a bootstrap takes a while
        self._rows = defaultdict(list)
        for row in self.all:
            if METRICS.get(row["task"]) == row["metric"]:
                self._rows[row["task"], row["method"], row["labels"]].append(row)

    def __len__(self) -> int:
        return len(self.all)

    def rows(self, at: At) -> list[dict]:
        """Rows of a place, ordered by seed; empty where nothing was measured."""
        names = (at.method,) if isinstance(at.method, str) else at.method
        found = [self._rows.get((at.task, name, at.labels), []) for name in names]
        return sorted(next(filter(None, found), []), key=lambda row: row["seed"])

    def values(self, at: At) -> np.ndarray:
        """The metric's value for each seed: (seeds,)."""
        return np.array([row["value"] for row in self.rows(at)])

    def budgets(self, method: str, task: str = REVIEWS) -> list[int]:
        """Budgets at which a method was measured, smallest first."""
        return sorted(n for other, name, n in self._rows if (other, name) == (task, method))

    def methods(self, task: str = REVIEWS) -> list[str]:
        """Names of the methods that answered a task, in the order of their rows."""
        return list(dict.fromkeys(name for other, name, _ in self._rows if other == task))

    def mean(self, at: At, key: str) -> float | None:
        """Mean over seeds of any number of a row, such as `"trainable_parameters"`."""
        rows = self.rows(at)
        return float(np.mean([row[key] for row in rows])) if rows else None

    def median(self, at: At, key: str) -> float | None:
        """Median over seeds, for seconds and memory: one disturbed run must not set the price."""
        rows = self.rows(at)
        return float(np.median([row[key] for row in rows])) if rows else None

    def pair(self, first: At, second: At) -> tuple[np.ndarray, np.ndarray] | None:
        """Outcomes of two places on the seeds that both have: (seeds, items, ...) each.

        Seed k draws the same labels for every method. A single row (zero-shot, or a run too long to
        repeat) is repeated for every seed of the other. None if one of the two was not measured or
        their items differ.
        """
        one, other = self.rows(first), self.rows(second)
        if min(len(one), len(other)) > 1:
            shared = {row["seed"] for row in one} & {row["seed"] for row in other}
            one, other = ([r for r in rows if r["seed"] in shared] for rows in (one, other))
        a, b = _stacked(one), _stacked(other)
        if a is None or b is None or a.shape[1] != b.shape[1]:
            return None
        seeds = max(len(a), len(b))
        return tuple(np.repeat(x, seeds, axis=0) if len(x) == 1 else x for x in (a, b))


def _stacked(rows: list[dict]) -> np.ndarray | None:
    """Stored outcomes of rows; None if they did not answer the same items."""
    if not rows or any(not row["correct"] for row in rows):
        return None
    same = len({ledger.items_of(row) for row in rows}) == 1
    return ledger.outcomes(rows) if same else None


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Attributes:
        label: written on the line, for someone who has not read the text.
        represented_by: what stands for the era here.
        start: the method that gives its point at 0 labels, if another one.
    """

    era: str
    label: str
    represented_by: str
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
        start=ZERO_SHOT,
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
    """A line with its measurements: {labels: values, one per seed}, empty without rows."""

    line: Line
    values: dict[int, np.ndarray]

    @property
    def means(self) -> dict[int, float]:
        """Mean over seeds by budget."""
        return {labels: float(values.mean()) for labels, values in self.values.items()}


def curves(results: Results, lines: tuple[Line, ...] = LINES, task: str = REVIEWS) -> list[Curve]:
    """Look up the lines of a figure; a line without rows comes back empty."""
    found = []
    for line in lines:
        values = {0: results.values(At(line.start, 0, task))} if line.start else {}
        for labels in results.budgets(line.method, task):
            values[labels] = results.values(At(line.method, labels, task))
        found.append(Curve(line, {n: some for n, some in values.items() if len(some)}))
    return found


def points_of(
    results: Results, lines: tuple[Line, ...] = LINES, task: str = REVIEWS
) -> list[tuple[int, int, float]]:
    """Single results of these lines, to be drawn over them: (line number, labels, value)."""
    return [
        (number, labels, float(value))
        for number, curve in enumerate(curves(results, lines, task))
        for labels, values in curve.values.items()
        for value in values
    ]
