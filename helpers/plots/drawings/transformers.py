"""Drawings of notebooks 4 to 6: Transformers, what is copied of them, and what a word may read."""

from collections.abc import Sequence

from helpers.plots.diagrams import (
    ABSENT,
    FROZEN,
    NEW,
    PLAIN,
    READ,
    SMALL,
    TRAINED,
    Diagram,
    drawing,
)
from helpers.plots.showing import GREY, INK

__all__ = ["attention", "bert", "gpt", "masks", "token_head"]


def _million(parameters: float) -> str:
    return f"{parameters / 1e6:.1f} million"


@drawing
def bert(blocks: int = 6, width: int = 384, vocabulary: int = 30_522, positions: int = 512):
    """Notebook 4: a body, pre-trained once and copied under new heads (sizes of MiniLM)."""
    body = f"{blocks} Transformer blocks\n{_million(blocks * (12 * width**2 + 13 * width))}"
    table = f"token vectors\n{_million((vocabulary + positions + 2) * width + 2 * width)}"
    head, text = f"new head: 2 labels\n{2 * (width + 1):,}", "the film was\nnever dull"
    guess, hidden = f"any of {vocabulary:,}\ntokens", "the film was\n[MASK] dull"
    columns = [
        (name, words, [(table, fill), (body, fill), (top, NEW)], answer)
        for name, words, fill, top, answer in (
            ("Pre-training", hidden, NEW, guess, "never"),
            ("Fine-tuned", text, TRAINED, head, "positive"),
            ("Linear probe", text, FROZEN, head, "positive"),
            ("Control", text, NEW, head, "positive"),
        )
    ]
    d = Diagram("BERT: one body, pre-trained once, copied under new heads", 5.9)
    y = d.columns(columns, (0.3, 3.1, 5.8, 8.5))[1]
    d.arrow((2.5, y), (3.1, y), "copy")
    d.legend(note="numbers: parameters; control: random start")
    return d


@drawing
def masks():
    """Notebooks 4 and 6: which words a word may read in BERT and in GPT."""
    d = Diagram("Attention: in each row, a word may read the grey words", 4.9)
    words = ["the", "film", "was", "never", "dull"]
    for left, name, causal in ((1.0, "masked (BERT)", False), (6.25, "causal (GPT)", True)):
        shown = words if causal else [*words[:3], "[MASK]", words[4]]
        targets = [*words[1:], "."] if causal else ["", "", "", "never", ""]
        d.text(left + 1.8, 4.12, name, weight="bold")
        for i, word in enumerate(shown):
            y, seen = 3.15 - 0.5 * i, i + 1 if causal else 5
            d.grid(left, y + 0.25, [[("", READ)] * seen + [("", ABSENT)] * (5 - seen)], 0.72, 0.5)
            d.text(left + 0.36 + 0.72 * i, 3.62, word, SMALL)
            d.text(left - 0.1, y, word, SMALL, "right")
            told = f", predicts {targets[i]}" if targets[i] else ""
            d.tell(f"{name}: {word} reads {' '.join(shown[:seen])}{told}")
            if targets[i]:
                d.arrow((left + 3.6, y), (left + 3.9, y))
                d.text(left + 3.98, y, targets[i], SMALL, "left", weight="bold")
    d.legend(READ, ABSENT, note="bold: the word it must predict")
    return d


def attention(words: Sequence[str], weights, title: str = "Attention") -> None:
    """Show attention weights of shape (words, words): grey cells, one row per reading word."""
    n, cell = len(words), min(0.95, 9 / len(words))
    d = Diagram(title, 1.5 + 0.45 * n)
    for i, (word, row) in enumerate(zip(words, weights, strict=True)):
        y = 0.25 + 0.45 * (n - 1 - i)
        d.text(1.4, y + 0.22, word, SMALL, "right")
        d.text(1.5 + cell * (i + 0.5), 0.45 + 0.45 * n, word, SMALL)
        for j, weight in enumerate(row):
            look = {"fc": str(1 - 0.6 * float(weight)), "ec": "white", "ls": "-"}
            number = f"{weight:.2f}".lstrip("0") if weight >= 0.05 else ""
            d.box(1.5 + cell * j, y, cell, 0.45, number, READ, **look)
        most = max(range(n), key=lambda j, row=row: row[j])
        d.tell(f"{word} reads most from {words[most]} ({row[most]:.2f})")
    d.show()


@drawing
def token_head(width: int = 384, tags: int = 11):
    """Notebook 5: a head at each token; the first piece of a word carries its tag."""
    d = Diagram("A tag per word: one head, used at every token", 5.05)
    words = (("Kubrick", 2), ("filmed", 1), ("The", 1), ("Shining", 1))
    pieces = ("ku", "##brick", "filmed", "the", "shining")
    answers = ("B-PER", "not scored", "O", "B-WORK", "I-WORK")
    x, step, wide = 2.2, 1.7, 1.45
    middles = [x + wide / 2 + step * i for i in range(len(pieces))]
    rows = (("words", 0.8), ("sub-word tokens", 1.4), ("body", 2.3), ("head", 3.24), ("tags", 4.1))
    for name, y in rows:
        d.text(0.3, y, name, SMALL, "left", weight="bold")
    first = 0
    for word, many in words:
        d.text(sum(middles[first : first + many]) / many, 0.8, word)
        first += many
    d.row(x, 1.19, pieces, [PLAIN] * 5, wide, gap=step - wide)
    d.box(
        x,
        1.98,
        step * 4 + wide,
        0.64,
        "6 Transformer blocks: every token reads all others",
        TRAINED,
    )
    for i, (middle, piece, answer) in enumerate(zip(middles, pieces, answers, strict=True)):
        scored, left = not piece.startswith("##"), x + step * i
        d.arrow((middle, 1.61), (middle, 1.98))
        d.arrow((middle, 2.62), (middle, 2.99))
        d.box(
            left, 2.99, wide, 0.5, f"{tags} tags" if scored else "–100", NEW if scored else ABSENT
        )
        d.arrow((middle, 3.49), (middle, 3.86))
        d.text(
            middle, 4.1, answer, weight="bold" if scored else None, color=INK if scored else GREY
        )
        d.tell(f"{piece}: {answer}")
    d.tell(f"The body ({TRAINED}) is the same for all tokens, and so is the head ({NEW})")
    d.legend(
        TRAINED, NEW, ABSENT, note=f"head: {tags * (width + 1):,} parameters, the same everywhere"
    )
    return d


@drawing
def gpt(blocks: int = 30, width: int = 576, inner: int = 1_536, keys: int = 192,
        vocabulary: int = 49_152):  # fmt: skip
    """Notebook 6: a decoder pre-trained, tuned, asked, and shown examples (sizes of SmolLM2)."""
    block = 2 * width**2 + 2 * width * keys + 3 * width * inner + 2 * width
    body = f"{blocks} Transformer blocks\n{_million(blocks * block)}"
    table = f"token vectors\n{_million(vocabulary * width)}"
    asked = "“Never dull.”\nThis review is"
    columns = [
        (name, words, [(table, fill), (body, fill), ("next token", fill)], answer)
        for name, words, fill, answer in (
            ("Pre-training", "the film was never\n\n", NEW, "dull"),
            ("Tuned, all blocks", f"{asked}\n", TRAINED, "positive"),
            ("Zero-shot", f"{asked}\n", FROZEN, "positive"),
            ("In context", f"“So slow.” … negative\n{asked}", FROZEN, "positive"),
        )
    ]
    d = Diagram("GPT: the next word is the answer", 5.9)
    y = d.columns(columns, (0.3, 3.1, 5.8, 8.5))[1]
    d.arrow((2.5, y), (3.1, y), "copy")
    d.legend(note="numbers: parameters")
    return d
