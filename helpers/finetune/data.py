"""One form for the data of every task: labelled texts, tagged words, prose and chats."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from helpers.data import normalise, text_hash
from helpers.tables import TableError, load_chat, load_ner, load_table
from helpers.tables.conll import TAG
from helpers.tables.text import read_text

__all__ = ["Data", "guess_task", "passages", "read"]

TASKS = ("classification", "ner", "text", "chat")
FEWEST_PER_CLASS = 5  # one for test, one for validation, the rest for folds
FEWEST_ITEMS = 20  # of the other tasks
FEW_BLOCKS = 10  # a text with fewer blank lines is read line by line
CHAT_KEYS = {"messages", "conversations", "instruction", "prompt"}


@dataclass(frozen=True)
class Data:
    """Examples of one task, in the order of the file.

    Attributes:
        items: texts; for `ner` lists of words, for `chat` lists of messages.
        labels: class numbers; for `ner` lists of IOB2 tags; None for `text` and `chat`.
        label_names: of the classes, or of the tags with `O` first; empty for `text` and `chat`.
    """

    task: str
    items: list
    labels: list | None = None
    label_names: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    source: str = "data"
    summary: str = ""

    def __len__(self) -> int:
        return len(self.items)

    def take(self, indices: Sequence[int]) -> "Data":
        """The examples with these numbers, in the given order."""
        labels = None if self.labels is None else [self.labels[i] for i in indices]
        return replace(self, items=[self.items[i] for i in indices], labels=labels)

    def texts(self) -> list[str]:
        """Each example as one string."""
        if self.task == "chat":
            return ["\n".join(message["content"] for message in chat) for chat in self.items]
        return [" ".join(words) for words in self.items] if self.task == "ner" else self.items

    def hashes(self) -> list[str]:
        """Sha256 of each example, ignoring case and spacing: equal for copies."""
        return [text_hash(normalise(text)) for text in self.texts()]

    @property
    def groups(self) -> list[int]:
        """The class of each example; 0 for all where the task has no classes."""
        return self.labels if self.task == "classification" else [0] * len(self)

    def counts(self) -> dict[str, int]:
        """Examples per class (for `ner`, entities per type), the largest first."""
        if self.task == "classification":
            found = Counter(self.labels)
            return {self.label_names[label]: n for label, n in found.most_common()}
        tags = (tag for row in self.labels or () for tag in row)
        return dict(Counter(tag[2:] for tag in tags if tag.startswith("B-")).most_common())

    @property
    def most_common_share(self) -> float:
        """Share of the largest class: the accuracy of always answering it."""
        return max(self.counts().values()) / len(self)


def guess_task(
    path: str | Path, text: str = "text", label: str = "label", encoding: str = "utf-8"
) -> str:
    """Tell the task from a file's name and beginning.

    Lines that end in entity tags are `"ner"`, JSON lines of messages `"chat"`, other .txt and .md
    files `"text"`, all else `"classification"`.
    """
    path = Path(path)
    content, suffix = read_text(path, encoding), path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return "classification"
    if suffix in (".jsonl", ".ndjson"):
        first = next((line for line in content.split("\n") if line.strip()), "")
        try:
            keys = set(json.loads(first))
        except (ValueError, TypeError):
            keys = set()
        return "chat" if keys & CHAT_KEYS and not {text, label} <= keys else "classification"
    lines = [line.split() for line in content.splitlines()[:400] if line.strip()]
    tagged = sum(len(columns) > 1 and bool(TAG.fullmatch(columns[-1])) for columns in lines)
    if tagged > 0.8 * len(lines):
        return "ner"
    return "text" if suffix in (".txt", ".md", "") else "classification"


def read(
    path: str | Path,
    task: str | None = None,
    *,
    text: str = "text",
    label: str = "label",
    encoding: str = "utf-8",
) -> Data:
    """Read a file for fine-tuning, or say exactly what to mend in it.

    Args:
        path: .csv, .tsv or .jsonl with texts and labels; CoNLL with tagged words; .txt with prose;
            .jsonl with chats.
        task: one of `TASKS`; without it, what `guess_task` says.
        text, label: column names, for classification.

    Raises:
        TableError: naming the places in the file and the remedy; also for too few examples.
        ValueError: for an unknown task.
    """
    task, path = task or guess_task(path, text, label, encoding), Path(path)
    if task not in TASKS:
        raise ValueError(f"Unknown task {task!r}; choose one of {', '.join(TASKS)}.")
    if task == "text":
        items = passages(read_text(path, encoding))
        words = sum(len(block.split()) for block in items)
        summary = f"{path.name}: {len(items):,} passages, {words:,} words"
        data = Data(task, items, source=path.name, summary=summary)
    else:
        columns, names = ("messages", None), []
        if task == "classification":
            table = load_table(path, text, label, min_per_class=FEWEST_PER_CLASS, encoding=encoding)
            columns, names = ("text", "label"), table.label_names
        elif task == "ner":
            table, columns = load_ner(path, encoding=encoding), ("tokens", "tags")
            names = ["O", *(f"{p}-{kind}" for kind in table.entity_types for p in "BI")]
        else:
            table = load_chat(path, encoding=encoding)
        items, labels = (table.dataset[name][:] if name else None for name in columns)
        data = Data(task, items, labels, names, table.warnings, table.source, table.report())
    if task != "classification" and len(data) < FEWEST_ITEMS:
        raise TableError(
            f"{data.source} holds {len(data)} examples for {task!r}; to train, validate and test "
            f"it needs {FEWEST_ITEMS} or more. Add some, or choose another --task."
        )
    return data


def passages(content: str) -> list[str]:
    """Cut running text at blank lines, or at every line if blank lines are few."""
    blocks = [block.strip() for block in re.split(r"\n[ \t\r]*\n", content) if block.strip()]
    if len(blocks) < FEW_BLOCKS:
        blocks = [line.strip() for line in content.splitlines() if line.strip()]
    return blocks
