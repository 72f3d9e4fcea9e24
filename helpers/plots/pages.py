"""Figures that sum up: when the ideas came, what was claimed and what came out, what to use."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt

from helpers.history import SHORT, Advice, Verdict
from helpers.plots import SHADES, show
from helpers.plots.history import settle

__all__ = ["decisions_figure", "timeline_figure", "verdicts_figure"]


class Work(NamedTuple):
    """A publication: its era, its year, the authors, and what it contributed."""

    era: str
    year: int
    who: str
    what: str


SPANS = {
    "classical": (1993, 2012),
    "pretraining": (2006, 2018),
    "embeddings": (2013, 2016),
    "bert": (2017, 2020),
    "gpt": (2018, 2020),
    "lora": (2021, 2024),
}
"""From its first to its last work, by the year in which it was posted: LoRA in 2021."""

WORKS = (
    Work("classical", 1993, "Pratt", "weights of another task"),
    Work("classical", 1997, "Caruana", "tasks learned together"),
    Work("classical", 2001, "Lafferty et al.", "CRF"),
    Work("classical", 2004, "Chelba & Acero", "pulled towards a source"),
    Work("classical", 2012, "Wang & Manning", "NB-SVM"),
    Work("pretraining", 2006, "Hinton et al.", "layer by layer"),
    Work("pretraining", 2014, "Yosinski et al.", "what transfers"),
    Work("pretraining", 2015, "Dai & Le", "language model first"),
    Work("pretraining", 2018, "Howard & Ruder", "ULMFiT"),
    Work("embeddings", 2013, "Mikolov et al.", "word2vec"),
    Work("embeddings", 2014, "Pennington et al.", "GloVe"),
    Work("embeddings", 2014, "Kim", "TextCNN"),
    Work("embeddings", 2016, "Lample et al.", "names"),
    Work("bert", 2017, "Vaswani et al.", "attention"),
    Work("bert", 2019, "Devlin et al.", "BERT"),
    Work("bert", 2020, "Wang et al.", "MiniLM"),
    Work("gpt", 2018, "Radford et al.", "fine-tune it"),
    Work("gpt", 2019, "Radford et al.", "ask it"),
    Work("gpt", 2020, "Brown et al.", "show it examples"),
    Work("lora", 2022, "Hu et al.", "LoRA"),
    Work("lora", 2022, "Ouyang et al.", "instructions"),
    Work("lora", 2023, "Dettmers et al.", "QLoRA"),
    Work("lora", 2024, "Biderman et al.", "learns less, forgets less"),
)
"""In the order of eras and years; LoRA was first posted in 2021 (Hu et al. 2022)."""

TITLES = {
    "classical": "before 2010: counted words",
    "pretraining": "2006-2015: pre-training",
    "embeddings": "2013-2015: word vectors",
    "bert": "2018: BERT",
    "gpt": "2018-2020: the GPT series",
    "lora": "since 2021: LoRA and instructions",
}
YEARS = (1992.5, 2025)
BAR = {"color": SHADES[3], "linewidth": 9, "linestyle": "-", "marker": "", "zorder": 1}
BAR["solid_capstyle"] = "round"
SIDES = {"whole": ("o", "-", "black"), "mean": ("D", "--", "#555555"), "no": ("s", ":", "#888888")}


def timeline_figure() -> None:
    """Draw the eras over the years, with the works that made them."""
    figure, axes = plt.subplots(figsize=(9, 7.8))
    for row, (era, (first, last)) in enumerate(SPANS.items()):
        works = [work for work in WORKS if work.era == era]
        axes.plot([first, last], [-row, -row], **BAR)
        axes.plot([w.year for w in works], [-row] * len(works), "o", color=SHADES[0], markersize=8)
        text = textwrap.fill("; ".join(f"{w.who} {w.year}: {w.what}" for w in works), 98)
        axes.text(1993, 0.17 - row, TITLES[era], fontsize=12, fontweight="bold")
        axes.text(1993, -0.17 - row, text, va="top", fontsize=10, linespacing=1.3)
        axes.axhline(0.48 - row, color="#dddddd", linewidth=0.8, linestyle="-", marker="")
    axes.set(xlim=YEARS, ylim=(0.4 - len(SPANS), 0.6), yticks=[])
    axes.set_title("Thirty years of starting from what is already known")
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    show(
        figure,
        "A timeline in six rows. "
        + " ".join(f"{TITLES[era]}, {a} to {b}." for era, (a, b) in SPANS.items())
        + " Eras overlap: word vectors and pre-trained networks grew up side by side.",
        "Dots: the works named below each bar, by year of publication.",
    )


def verdicts_figure(verdicts: Sequence[Verdict]) -> None:
    """Draw the interval of every deciding comparison, against the limit that the claim sets."""
    found = [
        (v.claim.id, each) for v in verdicts for each in v.deciding if each.measured is not None
    ]
    rows = max(len(found), 1)
    figure, axes = plt.subplots(figsize=(8.6, 1.2 + 0.46 * rows), layout="constrained")
    described = []
    for row, (name, each) in enumerate(found):
        interval, border = each.measured.interval, each.test.above
        border = each.test.below if border is None else border
        marker, line, shade = SIDES[each.side]
        ends = [100 * interval.low, 100 * interval.high]
        axes.plot(ends, [-row, -row], color=shade, linestyle=line, marker="|", linewidth=2.5)
        axes.plot(100 * interval.value, -row, marker=marker, color=shade, markersize=7)
        axes.plot(100 * border, -row, marker="|", color=SHADES[2], markersize=22, markeredgewidth=3)
        side = "right of" if each.test.below is None else "left of"
        described.append(f"{name} {each}, claimed {side} {100 * border:+.0f}: {each.side}")
    names = [textwrap.fill(f"{name}  {each.test.what}", 46) for name, each in found]
    axes.set_yticks([-row for row in range(len(found))], names, fontsize=9.5)
    axes.set_ylim(0.4 - rows, 0.6)
    axes.axvline(0, color="#444444", linewidth=0.8)
    axes.set_xlabel("points; for perplexity, percent")
    axes.set_title("What decided the claims")
    settle(figure)
    show(
        figure,
        f"Intervals of {len(found)} comparisons, and the border of each claim: "
        f"{'; '.join(described)}.",
        "95 % paired intervals; the tall bar is the border. Disc: all of the interval on the "
        "claim's side; diamond: its mean only; square: not.\nC1 and C11, perplexity: the claim is "
        "left of the bar; all others: right of it.",
    )


def decisions_figure(
    rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[Advice]], *, items: int
) -> None:
    """Draw a chart of advice: budgets of labels down, conditions across, both in words.

    `items` is the number of test items behind each accuracy.
    """
    figure, axes = plt.subplots(figsize=(2.0 * len(columns), 0.72 * len(rows)))
    best = [[cell.best.accuracy if cell.best else float("nan") for cell in row] for row in cells]
    axes.pcolormesh(best, cmap="Greys", vmin=0.55, vmax=1.2, edgecolor="white", linewidth=3)
    described = []
    for i, row in enumerate(cells):
        for j, advice in enumerate(row):
            text = _advice(advice)
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=10)
            described.append(f"{rows[i]}, {columns[j]}: {text}".replace("\n", ", "))
    axes.set_xticks([j + 0.5 for j in range(len(columns))], columns, fontsize=10.5)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], rows, fontsize=10.5)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    show(
        figure,
        f"A chart of advice. {'; '.join(described)}.",
        "First line: best mean accuracy on test of what fits the column (darker is better), each "
        "method at the largest budget\nit was measured at, up to the row's.\n"
        "Second: where that takes more than seconds to train, the fastest that is not clearly "
        f"worse (paired, n = {items:,}).\nReference ledger, on its machine; what was learned from "
        "another task's labels before is not counted as training.",
    )


def _advice(advice: Advice) -> str:
    if advice.best is None:
        return "nothing fits"
    lines = [
        f"{SHORT.get(option.method, option.method)} {option.accuracy:.2f}"
        for option in dict.fromkeys((advice.best, advice.enough))
    ]
    return "\nor ".join(lines)
