"""Drawings of notebooks 0 to 3: counts, networks from scratch and copied, word vectors."""

from matplotlib.patches import Circle, Rectangle

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
from helpers.plots.showing import GREY

__all__ = ["counts", "language_model", "skipgram", "textcnn", "three_bars"]

BLUE, ORANGE = "#1f4e79", "#b86e00"


@drawing
def three_bars():
    """Notebook 0: target only, source only, source then target."""
    d = Diagram("Three ways to start, one test", 4.7)
    for x, y, name in ((1.7, 3.05, "good at\nthe source"), (3.1, 1.95, "good at\nthe target")):
        d.axes.add_patch(Circle((x, y), 0.85, fc="#f4f4f4", ec="#808080", ls=":"))
        d.text(x, y + 0.42, name, SMALL, color=GREY)
    start, one, two, three = (0.6, 0.95), (2.05, 1.25), (1.6, 2.75), (3.0, 1.7)
    for begin, end, color in ((start, one, ORANGE), (start, two, ORANGE), (two, three, BLUE)):
        d.arrow(begin, end, color=color)
    for (x, y), name, side in ((one, "1", 0.18), (two, "2", -0.24), (three, "3", 0.22)):
        d.text(x + side, y, name, 17, weight="bold")
    d.text(1.0, 0.72, "random start", SMALL)
    d.text(7.75, 3.88, "source task\nmany labels")
    d.text(9.9, 3.88, "target task\nfew labels")
    rows = (
        ("1   target only", ("not used", ABSENT), ("trained", NEW)),
        ("2   source only", ("trained", NEW), ("used as it is", FROZEN)),
        ("3   source, then target", ("trained", NEW), ("trained further", TRAINED)),
    )
    for y, (name, source, target) in zip((2.95, 2.1, 1.25), rows, strict=True):
        d.text(4.25, y + 0.28, name, ha="left", weight="bold")
        d.box(6.9, y, 1.7, 0.56, *source)
        d.box(9.05, y, 1.7, 0.56, *target)
        d.arrow((8.6, y + 0.28), (9.05, y + 0.28))
        d.tell(f"{name[4:]}: source {source[0]}, target {target[0]} ({target[1]})")
    d.text(8.83, 0.86, "all three are tested on the target task", SMALL, color=GREY)
    d.legend()
    return d


@drawing
def counts():
    """Notebook 1: a linear model on counts, whose weights start from another task's."""
    d = Diagram("Counted words, and weights that start from another task", 5.1)
    words, counted = ("dull", "great", "film"), (2, 0, 1)
    weights, prior = (-1.2, 1.5, 0.1), (-0.8, 1.4, 0.0)
    score = sum(n * w for n, w in zip(counted, weights, strict=True))
    rows = (4.0, 1.75)  # tops of the grids

    def signed(weight):
        return f"{weight:+.1f}".replace("-", "−") if weight else "0.0"

    d.box(0.3, 3.05, 1.75, 0.65, "“A dull film,\ndull as dust.”")
    d.arrow((2.05, 3.37), (2.65, 3.37))
    for i, word in enumerate(words):
        d.text(3.35, rows[0] - 0.21 - 0.42 * i, word, SMALL, "right")
        d.text(5.85, rows[1] - 0.21 - 0.42 * i, word, SMALL, "right")
    for x, y, numbers, fill, name in (
        (3.45, rows[0], [str(n) for n in counted], PLAIN, "counts"),
        (5.95, rows[0], [signed(w) for w in weights], TRAINED, "weights"),
        (5.95, rows[1], [signed(w) for w in prior], FROZEN, ""),
    ):
        d.grid(x, y, [[(n, fill)] for n in numbers], 0.9)
        d.text(x + 0.45, y + 0.22, name, weight="bold")
    d.text(5.15, 3.37, "×", 24)
    d.arrow((6.85, 3.37), (7.65, 3.37), "add up")
    total = f"2 × ({signed(weights[0])}) + 0.1 = {signed(score)}\nnegative"
    d.box(7.65, 3.05, 2.75, 0.65, total)
    d.arrow((6.4, rows[1]), (6.4, rows[0] - 1.26))
    d.text(6.6, 2.25, "start here; a penalty pulls back", SMALL, "left", color=GREY)
    d.text(7.0, 1.12, "weights of IMDB,\nlearned from many labels", SMALL, "left")
    d.text(0.3, 1.45, "to be made small:", SMALL, "left", weight="bold")
    aim = "mistakes on the snippets\n+ λ × (distance from IMDB's weights)²"
    d.text(0.3, 0.97, aim, SMALL, "left")
    d.tell("A text becomes counts of words; each count is multiplied with the weight of its word")
    for word, n, weight, before in zip(words, counted, weights, prior, strict=True):
        d.tell(f"{word}: count {n}, weight {weight:+} ({TRAINED}), on IMDB {before:+} ({FROZEN})")
    d.tell(f"The sum is {score:+.1f}, negative")
    d.legend(FROZEN, TRAINED)
    return d


@drawing
def language_model():
    """Notebook 2: an LSTM that read unlabelled text, copied into a classifier."""
    d = Diagram("Read first, classify later: an LSTM", 6.05)
    names = ("word vectors\none per word", "LSTM: reads word by word,\nkeeps a memory")
    few, head = "few labels:\nthe film was never dull", "new head:\n2 labels"
    read, guess = "no labels:\nthe film was never", "next word: any\nof the vocabulary"
    columns = (
        ("Language model", read, NEW, guess, "dull"),
        ("Copied, then fine-tuned", few, TRAINED, head, "positive"),
        ("From scratch", few, NEW, head, "positive"),
    )
    parts = [
        (name, words, [*((part, fill) for part in names), (head, NEW)], answer)
        for name, words, fill, head, answer in columns
    ]
    middles = d.columns(parts, (0.35, 4.15, 7.95), 2.7)
    for y in middles[:2]:
        d.arrow((3.05, y), (4.15, y), "copy")
    d.legend(note="the head for the next word is left behind")
    return d


@drawing
def textcnn():
    """Notebook 2: a TextCNN, whose filters look at three words at a time."""
    d = Diagram("TextCNN: each filter looks for a short phrase, anywhere in the text", 5.3)
    words = ("the", "plot", "is", "never", "dull", "or", "slow")
    found = ((0.1, 0.0, 0.9, 0.2, 0.0), (0.0, 0.3, 0.1, 0.0, 0.7), (0.2, 0.1, 0.0, 0.1, 0.1))
    for i, word in enumerate(words):
        d.text(1.0, 4.0 - 0.4 * i, word, SMALL, "right")
    d.grid(1.1, 4.2, [[("", TRAINED)] * 4] * 7, 0.34, 0.4)
    d.text(1.78, 1.08, "one vector\nper word", SMALL)
    d.axes.add_patch(Rectangle((1.04, 2.17), 1.48, 1.26, fill=False, ec="#f0a040", lw=5, zorder=4))
    for i, numbers in enumerate(found):
        y, most = 3.5 - 1.1 * i, max(numbers)
        d.arrow((2.55, 2.8), (3.35, y + 0.3))
        d.box(3.35, y, 1.55, 0.62, f"filter {i + 1}\n3 words wide", NEW)
        d.arrow((4.9, y + 0.31), (5.3, y + 0.31))
        d.row(
            5.3,
            y + 0.1,
            [f"{n}" for n in numbers],
            [READ if n == most else PLAIN for n in numbers],
            0.48,
        )
        d.arrow((7.7, y + 0.31), (8.1, y + 0.31))
        d.box(8.1, y + 0.1, 0.55, 0.42, f"{most}", READ)
        d.arrow((8.65, y + 0.31), (9.1, y + 0.31))
        d.tell(f"Filter {i + 1} (new) gives {', '.join(map(str, numbers))}; the largest is {most}")
    d.text(6.5, 4.38, "how well it fits at each place", SMALL)
    d.text(8.38, 4.38, "largest", SMALL)
    d.box(9.1, 1.2, 1.5, 2.95, "new head:\n2 labels", NEW)
    d.arrow((9.85, 1.2), (9.85, 0.92))
    d.text(9.85, 0.74, "positive", SMALL, weight="bold")
    d.tell(f"Each word is a vector (copied and trained): {' '.join(words)}")
    d.tell("The head (new) says positive")
    d.legend(TRAINED, NEW)
    return d


@drawing
def skipgram():
    """Notebook 3: the window of skip-gram, and averaged vectors under a linear model."""
    d = Diagram("Word vectors: learned from neighbours, then averaged", 6.1)
    words, centre = ("the", "plot", "is", "never", "dull", "or", "slow"), 3
    near = [i for i in range(len(words)) if 0 < abs(i - centre) <= 2]
    fills = [READ if i == centre else PLAIN if i in near else ABSENT for i in range(len(words))]
    middles = d.row(0.35, 4.35, words, fills, 0.8, gap=0.06)
    d.size((middles[1] - 0.4, 5.0), (middles[5] + 0.4, 5.0), "window: 2 words on each side")
    for i in near:
        d.arrow((middles[centre], 4.35), (middles[i], 3.8), color=GREY)
    pairs = [f"({words[centre]}, {words[i]})" for i in near]
    d.text(middles[centre], 3.55, "four pairs (centre, context)", SMALL)
    d.text(middles[centre], 3.2, "  ".join(pairs), SMALL, weight="bold")
    d.box(6.75, 4.65, 1.65, 0.6, "v: vector of\nthe centre word", NEW)
    d.box(6.75, 3.75, 1.65, 0.6, "u: vector of a\ncontext word", NEW)
    d.arrow((8.4, 4.95), (9.0, 4.6))
    d.arrow((8.4, 4.05), (9.0, 4.4))
    d.box(9.0, 4.2, 1.7, 0.6, "product u · v")
    d.text(8.75, 3.3, "large for pairs from the text,\nsmall for pairs drawn at random", SMALL)
    d.axes.plot((0.35, 10.65), (2.78, 2.78), color="#c4c4c4", lw=1, marker="", ls="-")
    shown = words[1:5]
    d.row(0.35, 1.55, shown, [PLAIN] * 4, 0.8, gap=0.06)
    d.arrow((3.8, 1.76), (4.3, 1.76))
    d.grid(4.3, 2.6, [[("", FROZEN)] * 5] * 4, 0.3, 0.42)
    d.arrow((5.8, 1.76), (6.6, 1.76), "mean")
    d.grid(6.6, 1.97, [[("", FROZEN)] * 5], 0.3, 0.42)
    d.arrow((8.1, 1.76), (8.6, 1.76))
    d.box(8.6, 1.45, 1.3, 0.62, "linear\nmodel", NEW)
    d.arrow((9.9, 1.76), (10.2, 1.76))
    d.text(10.25, 1.76, "label", SMALL, "left")
    d.text(5.05, 0.68, "v of each word, copied", SMALL, color=GREY)
    d.text(7.35, 1.3, "v of the text", SMALL, color=GREY)
    d.tell(f"In {' '.join(words)}, the pairs of the centre word are {', '.join(pairs)}")
    d.tell("Vectors v and u (new) get a large product for these, a small one for random pairs")
    d.tell("Then v is copied and frozen, averaged over a text, and read by a linear model (new)")
    d.legend(FROZEN, NEW)
    return d
