"""Drawings of notebooks 7 to 11: adapters, instructions, preferences, rewards, the whole course."""

from collections.abc import Sequence

from helpers.plots.curves import stacked_bars
from helpers.plots.diagrams import (
    ABSENT,
    FROZEN,
    LEARNED,
    NEW,
    PLAIN,
    SMALL,
    TRAINED,
    Diagram,
    drawing,
)
from helpers.plots.showing import GREY

__all__ = [
    "beside_lora",
    "chat_template",
    "eras",
    "lora",
    "memory",
    "own_data",
    "rewards",
    "stages",
]


@drawing
def lora(rank: int = 8, width: int = 576):
    """Notebook 7: a matrix and its correction of low rank, to scale."""
    d = Diagram(f"LoRA to scale: a {width} × {width} matrix, a correction of rank {rank}", 5.4)
    side, thin, low = 2.9, max(2.9 * rank / width, 0.03), 0.8
    middle, x, each = low + side / 2, 6.6, rank * width
    d.box(1.15, low, side, side, f"W\n{width} × {width}\n{width**2:,} parameters", FROZEN)
    d.size((1.15, low + side + 0.55), (1.15 + side, low + side + 0.55), f"{width} numbers in")
    d.arrow((1.15 + side / 2, low + side + 0.45), (1.15 + side / 2, low + side))
    d.text(0.42, middle, f"{width} numbers out", SMALL, color=GREY, va="center", rotation=90)
    d.arrow((1.15, middle), (0.62, middle))
    d.text(4.42, middle, "+", 27)
    d.box(x, low, side, side, "B A\nas large as W,\nbut never stored", ABSENT)
    d.box(x, low + side + 0.12, side, thin, fill=NEW, lw=0)
    d.box(x - 0.12 - thin, low, thin, side, fill=NEW, lw=0)
    d.text(x, 4.4, "A", 18, weight="bold")
    d.text(x + 0.22, 4.4, f"{rank} × {width} = {each:,} parameters, random at first", SMALL, "left")
    left = x - 0.25 - thin
    d.text(left, middle + 0.85, "B", 18, "right", weight="bold")
    words = f"{width} × {rank}\n= {each:,}\nparameters,\nzero at first"
    d.text(left, middle, words, SMALL, "right")
    d.text(10.25, middle + 0.2, f"A and B:\n{2 * each:,}\nparameters", weight="bold")
    d.text(10.25, middle - 0.62, f"{2 * rank / width:.1%} of W")
    d.tell(f"W, {width} × {width}, is copied and frozen: {width**2:,} parameters")
    d.tell(f"A ({rank} × {width}, random at first) and B ({width} × {rank}, zero at first) are new")
    d.tell(f"Together they have {2 * each:,} parameters, {2 * rank / width:.1%} of W")
    d.tell("Their product is as large as W, but never stored")
    d.legend(FROZEN, NEW, ABSENT)
    return d


@drawing
def beside_lora():
    """Notebook 7 and the bonuses: where LoRA, an adapter, a prefix and a prompt sit in a block."""
    d = Diagram("Four small things to train in a frozen block", 5.7)
    names = (
        ("LoRA (2021)", "beside the matrices"),
        ("Adapter (2019)", "after each part"),
        ("Prefix (2021)", "before the keys and values"),
        ("Soft prompt (2021)", "before the text"),
    )
    for column, (name, where) in enumerate(names):
        x = 0.35 + 2.68 * column
        left, middle, wide = x + 0.6, x + 1.3, 1.4
        d.text(x + 1.15, 4.9, name, weight="bold")
        d.text(x + 1.15, 4.56, where, SMALL, color=GREY)
        d.text(middle, 0.76, "token vectors", SMALL)
        d.arrow((middle, 0.94), (middle, 1.2))
        d.box(left, 1.2, wide, 0.6, "attention", FROZEN)
        second = 2.84 if column == 1 else 2.2
        if column == 1:
            for y in (1.98, 3.62):
                d.box(left, y, wide, 0.4, "adapter", NEW)
            d.arrow((middle, 1.8), (middle, 1.98))
            d.arrow((middle, 2.38), (middle, second))
            d.arrow((middle, 3.44), (middle, 3.62))
            d.arrow((middle, 4.02), (middle, 4.28))
        else:
            d.arrow((middle, 1.8), (middle, second))
            d.arrow((middle, second + 0.6), (middle, second + 0.9))
        d.box(left, second, wide, 0.6, "feed-forward", FROZEN)
        if column == 0:
            for y in (1.2, second):
                d.box(x, y, 0.42, 0.6, "B A", NEW)
                d.arrow((x + 0.42, y + 0.3), (left, y + 0.3))
        if column >= 2:
            y = 1.3 if column == 2 else 0.56
            d.box(x - 0.06, y, 0.46, 0.4, "", NEW)
            if column == 2:
                d.arrow((x + 0.4, y + 0.2), (left, y + 0.2))
        d.tell(f"{name}: parts {where} ({NEW}), the block ({FROZEN})")
    d.legend(FROZEN, NEW)
    return d


STAGES = (
    ("Pre-training", "any text", "to guess the\nnext token"),
    ("Domain text", "texts of one field,\nno labels", "the words and\nfacts of a field"),
    ("Instructions\n(SFT)", "questions with\ngood answers", "to imitate\nthe answers"),
    ("Preferences\n(DPO)", "a better and a\nworse answer", "to prefer\nthe better"),
    ("Rewards\n(GRPO)", "questions, and a\nscoring program", "to earn\npoints"),
)


@drawing
def stages(now: Sequence[int] = (1, 2, 3, 4)):
    """Notebooks 8 and 9: from text to an assistant.

    Args:
        now: stages that the notebook is about; the others are shown as done before or absent.
    """
    d = Diagram("From a language model to an assistant: each stage copies the one before", 4.9)
    for i, (name, rows, learns) in enumerate(STAGES):
        x = 0.3 + 2.15 * i
        fill = NEW if i == 0 else TRAINED if i in now else FROZEN if i < max(now) else ABSENT
        d.text(x + 0.87, 4.0 if "\n" in name else 3.9, name, weight="bold")
        d.box(x, 2.75, 1.75, 0.7, rows)
        d.arrow((x + 0.87, 2.75), (x + 0.87, 2.3))
        d.box(x, 1.1, 1.75, 1.2, f"model learns\n{learns}", fill)
        if i:
            d.arrow((x - 0.4, 1.7), (x, 1.7))
        d.tell(f"{name}: from {rows}, the model ({fill}) learns {learns}")
    d.text(9.55, 0.82, "scored answers are its own", SMALL, color=GREY)
    d.legend(note="arrow between models: copy")
    return d


CHAT = (
    ("<|im_start|>system\nYou are a helpful AI assistant ... <|im_end|>", False),
    ("<|im_start|>user\nPositive or negative? A joy from start to finish. <|im_end|>", False),
    ("<|im_start|>assistant", False),
    ("positive <|im_end|>", True),
)


@drawing
def chat_template(parts: Sequence[tuple[str, bool]] = CHAT):
    """Notebook 8: a conversation as the model reads it, and what it learns from.

    Args:
        parts: text, and whether its tokens count in the loss; a line break begins a line.
    """
    tall = [0.3 + 0.27 * text.count("\n") for text, _ in parts]
    d = Diagram("A chat template: the model reads all of it and learns from the green part",
                1.6 + sum(tall) + 0.14 * len(parts))  # fmt: skip
    y = d.figure.get_figheight() - 0.6
    for (text, learned), height in zip(parts, tall, strict=True):
        y -= height + 0.14
        d.box(
            0.4, y, 7.9, height + 0.06, fill=LEARNED if learned else PLAIN, lw=2.2 if learned else 1
        )
        d.text(0.6, y + height / 2 + 0.02, text, SMALL, "left", family="monospace",
               weight="bold" if learned else "normal")  # fmt: skip
        said = "counts in the loss" if learned else "read only (label –100)"
        d.text(8.5, y + height / 2 + 0.02, said, SMALL, "left", color=GREY)
        d.tell(f"{text}: {said}")
    d.legend(LEARNED, note="<|...|>: one special token")
    return d


@drawing
def rewards():
    """Notebook 9: one step of learning from rewards (GRPO)."""
    d = Diagram("Rewards: write several answers, score them, do more of what was better", 5.2)
    answers = (("positive", 1.2), ("It is a film.", 0.0), ("negative", 0.2), ("negative", 0.2))
    mean = sum(points for _, points in answers) / len(answers)
    d.box(0.3, 2.35, 1.75, 0.75, "“Never dull.”\nOne word!")
    d.arrow((2.05, 2.72), (2.5, 2.72))
    d.box(2.5, 2.25, 1.35, 0.95, "model", TRAINED)
    for x, name in ((5.3, "its answers"), (7.25, "reward"), (9.2, "advantage")):
        d.text(x, 4.42, name, weight="bold")
    for i, (answer, points) in enumerate(answers):
        y = 3.7 - 0.68 * i
        d.arrow((3.85, 2.72), (4.45, y + 0.2))
        d.box(4.45, y, 1.7, 0.42, answer)
        d.arrow((6.15, y + 0.21), (6.85, y + 0.21))
        d.box(6.85, y, 0.8, 0.42, f"{points:.1f}")
        d.arrow((7.65, y + 0.21), (8.7, y + 0.21), "– mean" if i == 0 else "")
        good = points > mean
        d.box(
            8.7,
            y,
            1.0,
            0.42,
            f"{points - mean:+.1f}".replace("-", "−"),
            lw=3 if good else 1.4,
        )
        d.text(9.8, y + 0.21, "more of it" if good else "less", SMALL, "left", color=GREY)
        d.tell(f"Answer {answer}: reward {points}, advantage {points - mean:+.1f}")
    d.text(
        7.25, 1.3, "a program: 1 for the right word,\n0.2 for the form asked for", SMALL, color=GREY
    )
    d.arrow((9.2, 1.66), (9.2, 0.72), ends="-")
    d.arrow((9.2, 0.72), (3.17, 0.72), "one step of gradient ascent", ends="-")
    d.arrow((3.17, 0.72), (3.17, 2.25))
    d.box(0.3, 1.2, 1.9, 0.62, "reference: limits\nhow far it moves", FROZEN)
    d.arrow((2.2, 1.51), (2.75, 2.25))
    d.tell(f"One gradient step moves the model ({TRAINED})")
    d.tell(f"The model it began from ({FROZEN}) limits how far")
    d.legend(FROZEN, TRAINED)
    return d


ERAS = (
    ("before 2010", "counts", ABSENT, "linear model", NEW),
    ("2014", "word vectors", FROZEN, "TextCNN", NEW),
    ("2015", "LSTM that\nread text", TRAINED, "head", NEW),
    ("2018: BERT", "Transformer\nencoder", TRAINED, "head", NEW),
    ("2018: GPT", "Transformer\ndecoder", TRAINED, "next token", TRAINED),
    ("2021: LoRA", "Transformer\ndecoder", FROZEN, "thin matrices", NEW),
)


@drawing
def eras():
    """Notebook 10: what each era copied, and what it trained."""
    d = Diagram("Six eras: what was copied, and what was trained for the task", 4.3)
    d.text(0.3, 2.72, "for the\ntask", SMALL, "left", weight="bold")
    d.text(0.3, 1.45, "known\nbefore", SMALL, "left", weight="bold")
    for i, (name, body, copied, head, trained) in enumerate(ERAS):
        x = 1.3 + 1.62 * i
        d.text(x + 0.72, 3.4, name, 13, weight="bold")
        d.box(x, 2.42, 1.44, 0.6, head, trained)
        d.arrow((x + 0.72, 1.95), (x + 0.72, 2.42))
        d.box(x, 0.95, 1.44, 1.0, "nothing" if copied == ABSENT else body, copied)
        d.tell(f"{name}: {body} ({copied}), {head} ({trained})")
    d.legend()
    return d


@drawing
def own_data():
    """Notebook 11: from your file to a model in a folder."""
    d = Diagram("Your own data: three parts, three models, one folder", 5.0)
    d.box(0.3, 2.3, 1.6, 0.9, "your file:\ntexts, labels")
    parts = (("train", "to learn"), ("validation", "to choose"), ("test", "to report, once"))
    models = (("counts +\nlinear model", NEW), ("frozen encoder\n+ linear model", FROZEN),
              ("encoder or LoRA,\nfine-tuned", TRAINED))  # fmt: skip
    for i, ((name, use), (model, fill)) in enumerate(zip(parts, models, strict=True)):
        y = 3.45 - 1.15 * i
        d.arrow((1.9, 2.75), (2.75, y + 0.35))
        d.box(2.75, y, 1.75, 0.7, f"{name}\n{use}")
        d.box(5.5, y, 1.95, 0.7, model, fill)
        d.arrow((4.5, 3.8), (5.5, y + 0.35))
        d.arrow((7.45, y + 0.35), (8.6, 2.75))
        d.tell(f"{name}: {use}. {model} ({fill})")
    d.box(
        8.6,
        2.2,
        2.05,
        1.1,
        "folder: the model,\na card with its test\nresult and limits",
    )
    d.text(9.6, 1.85, "chosen on validation", SMALL, color=GREY)
    d.tell("The model that is best on validation goes into a folder, with a card")
    d.legend()
    return d


def memory(
    parameters: float = 134.5e6, adapter: float = 2.4e6, activations: Sequence[float] = ()
) -> None:
    """Notebook 7: what fills the memory in training, by the bytes of each number.

    Args:
        parameters: of the model; an adapter's are `adapter`.
        activations: megabytes measured for full fine-tuning, LoRA and QLoRA; without them the
            caption says that they come on top.
    """
    ways = (
        ("full fine-tuning", 4, parameters),
        ("LoRA", 4, adapter),
        ("QLoRA, 4 bits", 0.5, adapter),
    )
    bars = {}
    for name, size, trained in ways:
        held = (size * parameters + (4 * adapter if trained == adapter else 0)) / 1e6
        bars[name] = {
            "weights": held,
            "gradients": 4 * trained / 1e6,
            "Adam's two means": 8 * trained / 1e6,
        }
    for bar, amount in zip(bars.values(), activations, strict=bool(activations)):
        bar["activations"] = amount
    caption = f"{parameters / 1e6:.1f} million parameters; 4 bytes for a weight (half a byte where "
    caption += "it has 4 bits), 4 for a gradient, 8 for Adam's two means of it."
    caption += "" if activations else " The activations of a batch come on top, in all three alike."
    stacked_bars(bars, title="Memory while training", unit="MB", caption=caption)
