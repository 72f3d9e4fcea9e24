"""`course predict`: answers of a finished model, one text or a whole file."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from helpers.course.finetune.data import passages
from helpers.course.finetune.folder import load, open_folder
from helpers.data import tokenise
from helpers.files import write_text
from helpers.tables import TableError, spans
from helpers.tables.chat import KEYS
from helpers.tables.rows import read_delimited, read_json_lines
from helpers.tables.text import read_text

__all__ = ["answer", "predict", "read_inputs"]

AT_ONCE = 256  # inputs; what is computed for them is let go before the next


def answer(
    folder: Path | str, inputs: list, base: str | None = None, max_new_tokens: int = 60
) -> list[dict]:
    """Answer texts (or chats) with the model in a folder.

    Args:
        folder: the `--output` of `course finetune`.
        inputs: texts; for a chat model also lists of messages.
        base: as for `load`.
        max_new_tokens: where a written answer is cut.

    Returns:
        One dict an input: `label` and `probability`; `entities` (dicts of `text`, `type`, `start`,
        `end`, counted in characters); or `generated`. Each has its `text` first.

    Raises:
        FolderError: if the folder does not hold a finished model.
        ValueError: if an input is empty; the message says which.
    """
    card = open_folder(folder)
    for i, item in enumerate(inputs):
        if not item or (isinstance(item, str) and not item.strip()):
            raise ValueError(f"Text {i + 1} is empty; give it words, or take it out.")
    model, answers = load(folder, base), []
    for start in range(0, len(inputs), AT_ONCE):
        chunk = inputs[start : start + AT_ONCE]
        answers += _answers(model, card, chunk, max_new_tokens)
    return answers


def predict(
    folder: Path | str, text: str | None = None, file: Path | str | None = None,
    output: Path | str | None = None, *, column: str = "text", base: str | None = None,
    encoding: str = "utf-8", max_new_tokens: int = 60,
    echo: Callable[[str], object] = print,
) -> int:  # fmt: skip
    """Answer one text or a file, and print or write the answers; returns an exit code.

    Args:
        folder: the `--output` of `course finetune`.
        text: one text.
        file: .csv, .tsv or .jsonl with a column of texts, or .txt with one text a line.
        output: where to write: .csv or .jsonl; without it answers are printed.
        column: of the texts.
        base: as for `load`.
        encoding: of the file.
        max_new_tokens: where a written answer is cut.
        echo: told each answer.

    Raises:
        ValueError: if neither or both of text and file are given, the output has another suffix, or
            it exists.
        TableError: if the file cannot be read or lacks the column.
    """
    if (text is None) == (file is None):
        raise ValueError('Give a text, as in `course predict out "a text"`, or --file, not both.')
    if output and Path(output).suffix.lower() not in (".csv", ".jsonl"):
        raise ValueError(f"The output {output} is neither .csv nor .jsonl; name it so.")
    if output and Path(output).exists():
        raise ValueError(f"There is a file {output} already. Choose another --output.")
    task = open_folder(folder)["task"]
    inputs = [text] if file is None else read_inputs(file, column, task, encoding)
    answers = answer(folder, inputs, base, max_new_tokens)
    if output:
        write_text(Path(output), _as_table(answers, Path(output).suffix.lower()))
        echo(f"{len(answers):,} answers written to {output}.")
        return 0
    for found in answers:
        echo(_in_words(found, alone=file is None))
    return 0


def read_inputs(
    path: Path | str, column: str = "text", task: str = "classification", encoding: str = "utf-8"
) -> list:
    """Read the texts of a file: a column of a table, or the lines (`text`: passages) of a .txt.

    Raises:
        TableError: if the file cannot be read, or has no such column.
    """
    path = Path(path)
    content, suffix = read_text(path, encoding), path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        if task == "text":
            return passages(content)
        return [line.strip() for line in content.splitlines() if line.strip()]
    if suffix in (".csv", ".tsv"):
        columns, rows = read_delimited(path, content, "," if suffix == ".csv" else "\t")
    else:
        rows = read_json_lines(path, content)
        columns = list(dict.fromkeys(key for row in rows for key in row.values))
        if task == "chat" and "messages" in columns:
            return [_question(row, f"{path.name}, {row.place}") for row in rows]
    if column not in columns:
        raise TableError(
            f"{path.name} has no column {column!r}; it has {', '.join(columns)}. Name the one with "
            "the texts: --text NAME."
        )
    texts = [row.values.get(column) for row in rows]
    for row, text in zip(rows, texts, strict=True):
        if not isinstance(text, str) or not text.strip():
            raise TableError(f"{path.name}, {row.place}: the text is empty. Fill it in, or delete "
                             "the row.")  # fmt: skip
    return texts


def _question(row, place: str) -> list[dict]:
    """A chat up to where the assistant's turn is; an answer that is there is not shown."""
    chat = row.values.get("messages")
    whole = isinstance(chat, list) and all(
        isinstance(message, dict) and all(isinstance(message.get(key), str) for key in KEYS)
        for message in chat
    )
    if not whole or not chat:
        raise TableError(
            f'{place}: "messages" is no list of messages with "role" and "content". Write it as in '
            "the file that the model was trained on."
        )
    return chat[:-1] if chat[-1]["role"] == "assistant" else chat


def _answers(model, card: dict, inputs: list, max_new_tokens: int) -> list[dict]:
    if card["task"] == "classification":
        table = model.probabilities(inputs)
        return [
            {"text": text, "label": card["label_names"][row.argmax()],
             "probability": round(float(row.max()), 6)}
            for text, row in zip(inputs, table, strict=True)
        ]  # fmt: skip
    if card["task"] == "ner":
        places = [tokenise(text) for text in inputs]
        words = [[text[a:b] for a, b in row] for text, row in zip(inputs, places, strict=True)]
        tags = model.tags(words)
        return [
            {"text": text, "entities": _entities(text, row, found)}
            for text, row, found in zip(inputs, places, tags, strict=True)
        ]
    shown = [item if isinstance(item, str) else item[-1]["content"] for item in inputs]
    written = model.write(inputs, max_new_tokens)
    return [{"text": t, "generated": w} for t, w in zip(shown, written, strict=True)]


def _entities(text: str, places: list[tuple[int, int]], tags: list[str]) -> list[dict]:
    return [
        {"text": text[places[start][0] : places[end - 1][1]], "type": kind,
         "start": places[start][0], "end": places[end - 1][1]}
        for kind, start, end in spans(tags)
    ]  # fmt: skip


def _in_words(found: dict, alone: bool) -> str:
    if "label" in found:
        said = f"{found['label']}\t{found['probability']:.3f}"
    elif "entities" in found:
        said = ", ".join(f"{e['text']} ({e['type']})" for e in found["entities"]) or "no names"
    else:
        said = found["generated"]
    return said if alone else f"{said}\t{' '.join(found['text'].split())[:80]}"


def _as_table(answers: list[dict], suffix: str) -> str:
    if suffix == ".jsonl":
        return "".join(json.dumps(found, ensure_ascii=False) + "\n" for found in answers)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(answers[0]), lineterminator="\n")
    writer.writeheader()
    for found in answers:
        flat = {k: json.dumps(v, ensure_ascii=False) if isinstance(v, list) else v
                for k, v in found.items()}  # fmt: skip
        writer.writerow(flat)
    return out.getvalue()
