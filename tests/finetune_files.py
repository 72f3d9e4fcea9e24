"""Small files for `course finetune`, one a task, and the command itself in the smoke profile."""

import csv
import json
import random

from helpers.commands.cli import main

__all__ = ["FILES", "course", "write_files"]

FILLER = "the film story actor scene plot music ending was is very rather quite of and".split()
MARKS = {"good": "superb lovely fine great".split(), "bad": "awful dull poor weak".split()}
FILES = {
    "linear": ("two.csv", ["--method", "linear"]),
    "encoder": ("two.csv", ["--method", "encoder"]),
    "lora": ("stars.jsonl", ["--method", "lora", "--text", "review", "--label", "stars"]),
    "ner": ("names.conll", []),
    "text": ("prose.txt", []),
    "chat": ("chat.jsonl", []),
}


def texts_and_labels(count=80):
    """Texts of a class each, told by one word; no two alike."""
    rng = random.Random(0)
    rows = []
    for i in range(count):
        label = ("good", "bad")[i % 2]
        words = rng.choices(FILLER, k=rng.randint(4, 12)) + rng.choices(MARKS[label], k=3)
        rows.append((f"{' '.join(words)} {''.join(rng.choices('abcdefghij', k=6))}", label))
    return rows


def write_files(folder):
    """Write all of them into a folder, and give it back."""
    rng, rows = random.Random(1), texts_and_labels()
    with open(folder / "two.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    stars = (json.dumps({"review": t, "stars": 1 + i % 3}) for i, (t, _) in enumerate(rows))
    (folder / "stars.jsonl").write_text("\n".join(stars) + "\n", encoding="utf-8")
    sentences = []
    for i in range(40):
        words = f"we saw Anna{i % 7} Smith in Rome{i} and {rng.choice(FILLER)} .".split()
        tags = {2: "B-PER", 3: "I-PER", 5: "B-LOC"}
        sentences.append("\n".join(f"{w} {tags.get(k, 'O')}" for k, w in enumerate(words)))
    (folder / "names.conll").write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    prose = "\n\n".join(f"{' '.join(rng.choices(FILLER, k=25))} {i}." for i in range(40))
    (folder / "prose.txt").write_text(prose, encoding="utf-8")
    chats = (
        {"messages": [
            {"role": "user", "content": f"how was film {i}, {rng.choice(FILLER)}?"},
            {"role": "assistant", "content": f"It was {rng.choice(MARKS['good'])}."},
        ]}
        for i in range(30)
    )  # fmt: skip
    (folder / "chat.jsonl").write_text("\n".join(map(json.dumps, chats)), encoding="utf-8")
    return folder


def course(*arguments) -> int:
    """Run a `course` command in this process."""
    return main([str(argument) for argument in arguments])
