"""`course predict` and `answer`: use a finished model on texts, or on a file of them."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm.auto import tqdm

from helpers.data import token_spans
from helpers.files import write_text
from helpers.finetune.data import passages
from helpers.finetune.folder import CARD, load_model, may_resume, open_folder
from helpers.finetune.settings import LANGUAGE_TASKS
from helpers.runtime import shows_progress
from helpers.tables import TableError, spans
from helpers.tables.chat import KEYS
from helpers.tables.text import Row, read_delimited, read_json_lines, read_text

__all__ = ["answer", "predict"]

# Inputs answered together: all that is in memory, and for generation all that a kill can lose.
AT_ONCE = {"classification": 256, "ner": 256, "text": 64, "chat": 64}


def answer(
    folder: Path | str, inputs: list, base: str | None = None, max_new_tokens: int = 60
) -> list[dict]:
    """Answer texts, or for a chat model also lists of messages, with the model in a folder.

    `folder` is the `--output` of `course finetune`; `base` is as for `load`.

    Returns:
        One dict per input: `text`, then `label` and `probability`; or `entities` (dicts of `text`,
        `type`, `start`, `end`, in characters); or `generated`.

    Raises:
        FolderError: if the folder does not hold a finished model.
        ValueError: if an input is empty; the message says which.
    """
    card = open_folder(folder)
    _check_inputs(inputs)
    return list(_answers(folder, card, inputs, base, max_new_tokens))


def predict(
    folder: Path | str,
    text: str | None = None,
    file: Path | str | None = None,
    output: Path | str | None = None,
    *,
    column: str = "text",
    base: str | None = None,
    encoding: str = "utf-8",
    max_new_tokens: int = 60,
) -> int:
    """Answer one text or a file, and print or write the answers; returns an exit code.

    The output file is written whole, at the end. Generated texts are kept in OUTPUT.part meanwhile,
    and the same call resumes from it. The output has all columns of the file; where an answer's
    column has a name that is taken, it is called `predicted_...`.

    Args:
        text, file: one of them: a text, or a .csv, .tsv or .jsonl file with a column of texts, or
            a .txt file with one text per line.
        output: .csv or .jsonl; without it answers are printed.

    Raises:
        ValueError: if neither or both of text and file are given, the output has another suffix or
            exists already, or its .part belongs to another run.
        TableError: if the file cannot be read or lacks the column.
    """
    if (text is None) == (file is None):
        raise ValueError('Give a text, as in `course predict out "a text"`, or --file, not both.')
    output = _new_file(output)
    card, inputs, rows = open_folder(folder), [text], [{"text": text}]
    if file is not None:
        inputs, rows = _read(Path(file), column, card["task"], encoding)
    _check_inputs(inputs)
    answers, journal = [], None
    if output and card["task"] in LANGUAGE_TASKS:
        journal = output.with_name(f"{output.name}.part")
        answers = _begin(journal, folder, inputs, max_new_tokens)
    if answers:
        print(f"{len(answers):,} of {len(inputs):,} answers are in {journal} already.")
    left = inputs[len(answers) :]
    found = _answers(folder, card, left, base, max_new_tokens)
    if output is None:
        for each in found:
            print(_in_words(each, alone=file is None))
        return 0
    answers += _kept(found, len(left), journal)
    write_text(output, _as_table(rows, answers, output.suffix.lower()))
    if journal:
        journal.unlink()
    print(f"{len(answers):,} answers written to {output}.")
    return 0


def _kept(found: Iterable[dict], total: int, journal: Path | None) -> list[dict]:
    """All answers, each written to the journal as soon as it is there."""
    answers = []
    bar = {"desc": "answering", "unit": "text", "leave": False, "disable": not shows_progress()}
    for each in tqdm(found, total=total, **bar):
        answers.append(each)
        if journal:
            with open(journal, "a", encoding="utf-8") as kept:
                kept.write(_json_lines([each]))
    return answers


def _new_file(output: Path | str | None) -> Path | None:
    if output is None:
        return None
    output = Path(output)
    if output.suffix.lower() not in (".csv", ".jsonl"):
        raise ValueError(f"The output {output} is neither .csv nor .jsonl; name it so.")
    if output.exists():
        raise ValueError(f"There is a file {output} already. Choose another --output.")
    return output


def _begin(journal: Path, folder: Path | str, inputs: list, max_new_tokens: int) -> list[dict]:
    """Answers kept by an earlier, killed call of the same run; the journal is ready for more."""
    model = hashlib.sha256((Path(folder) / CARD).read_bytes()).hexdigest()
    texts = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
    run = {"model": model, "texts": texts, "max_new_tokens": max_new_tokens}
    answers = []
    if may_resume(journal, run):
        for line in journal.read_text(encoding="utf-8").splitlines()[1:]:
            try:
                answers.append(json.loads(line))
            except ValueError:
                break  # killed while writing it
    write_text(journal, _json_lines([run, *answers]))
    return answers


def _read(path: Path, column: str, task: str, encoding: str) -> tuple[list, list[dict]]:
    """What a file asks (texts or chats), and beside it the columns of each, its text among them."""
    content, suffix = read_text(path, encoding), path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        lines = passages(content) if task == "text" else content.splitlines()
        texts = [line.strip() for line in lines if line.strip()]
        return texts, [{"text": text} for text in texts]
    if suffix in (".csv", ".tsv"):
        columns, rows = read_delimited(path, content, "," if suffix == ".csv" else "\t")
    else:
        rows = read_json_lines(path, content)
        columns = list(dict.fromkeys(key for row in rows for key in row.values))
        if task == "chat" and "messages" in columns:
            chats, name = [_question(row, path) for row in rows], _free("text", columns)
            shown = [row.values | {name: _shown(c)} for row, c in zip(rows, chats, strict=True)]
            return chats, shown
    if column not in columns:
        raise TableError(
            f"{path.name} has no column {column!r}; it has {', '.join(columns)}. Name the one with "
            "the texts: --text NAME."
        )
    for row in rows:
        text = row.values.get(column)
        if not isinstance(text, str) or not text.strip():
            raise TableError(
                f"{path.name}, {row.place}: the text is empty. Fill it in, or delete the row."
            )
    return [row.values[column] for row in rows], [row.values for row in rows]


def _free(name: str, taken: Iterable[str]) -> str:
    while name in taken:  # the file may itself be another model's answers
        name = f"predicted_{name}"
    return name


def _question(row: Row, path: Path) -> list[dict]:
    """A chat without its last message, if that is an answer of the assistant."""
    chat = row.values.get("messages")
    whole = isinstance(chat, list) and all(
        isinstance(message, dict) and all(isinstance(message.get(key), str) for key in KEYS)
        for message in chat
    )
    if not whole or not chat:
        raise TableError(
            f'{path.name}, {row.place}: "messages" is no list of messages with "role" and '
            '"content". Write it as in the file that the model was trained on.'
        )
    return chat[:-1] if chat[-1]["role"] == "assistant" else chat


def _check_inputs(inputs: list) -> None:
    for i, item in enumerate(inputs):
        if not item or (isinstance(item, str) and not item.strip()):
            raise ValueError(f"Text {i + 1} is empty; give it words, or take it out.")


def _answers(
    folder: Path | str, card: dict, inputs: list, base: str | None, max_new_tokens: int
) -> Iterator[dict]:
    """Answer inputs with the model in a checked folder, `AT_ONCE` of them together."""
    names, size = card["label_names"], AT_ONCE[card["task"]]
    model = load_model(folder, card, base) if inputs else None
    for start in range(0, len(inputs), size):
        batch = inputs[start : start + size]
        if card["task"] == "classification":
            for text, row in zip(batch, model.probabilities(batch), strict=True):
                best = row.argmax()
                yield {
                    "text": text,
                    "label": names[best],
                    "probability": round(float(row[best]), 6),
                }
        elif card["task"] == "ner":
            places = [token_spans(text) for text in batch]
            words = [[text[a:b] for a, b in row] for text, row in zip(batch, places, strict=True)]
            for text, row, tags in zip(batch, places, model.tags(words), strict=True):
                yield {"text": text, "entities": _entities(text, row, tags)}
        else:
            for item, written in zip(batch, model.write(batch, max_new_tokens), strict=True):
                yield {"text": _shown(item), "generated": written}


def _shown(item: str | list[dict]) -> str:
    return item if isinstance(item, str) else item[-1]["content"]


def _entities(text: str, places: list[tuple[int, int]], tags: list[str]) -> list[dict]:
    found = []
    for kind, first, end in spans(tags):
        start, stop = places[first][0], places[end - 1][1]
        found.append({"text": text[start:stop], "type": kind, "start": start, "end": stop})
    return found


def _in_words(found: dict, alone: bool) -> str:
    if "label" in found:
        said = f"{found['label']}\t{found['probability']:.3f}"
    elif "entities" in found:
        said = ", ".join(f"{e['text']} ({e['type']})" for e in found["entities"]) or "no names"
    else:
        said = found["generated"]
    return said if alone else f"{said}\t{' '.join(found['text'].split())[:80]}"


def _as_table(rows: list[dict], answers: list[dict], suffix: str) -> str:
    """Rows with their answers as CSV or JSON lines; no column of the file is overwritten."""
    taken = {name for row in rows for name in row}
    table = [
        row | {_free(name, taken): value for name, value in answer.items() if name != "text"}
        for row, answer in zip(rows, answers, strict=True)
    ]
    if suffix == ".jsonl":
        return _json_lines(table)
    out = io.StringIO()
    names = dict.fromkeys(name for row in table for name in row)
    writer = csv.DictWriter(out, list(names), lineterminator="\n")
    writer.writeheader()
    for row in table:
        nested = {k: v for k, v in row.items() if isinstance(v, list | dict)}
        flat = {k: json.dumps(v, ensure_ascii=False) for k, v in nested.items()}
        writer.writerow(row | flat)
    return out.getvalue()


def _json_lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
