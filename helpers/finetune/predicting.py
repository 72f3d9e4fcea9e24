"""`course predict`: one text, or a file whose answers are kept while they are found."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.files import write_text
from helpers.finetune.answering import answer_in_parts, check_inputs
from helpers.finetune.data import passages
from helpers.finetune.folder import CARD, open_folder
from helpers.runtime import shows_progress
from helpers.tables import TableError
from helpers.tables.chat import KEYS
from helpers.tables.rows import read_delimited, read_json_lines
from helpers.tables.text import read_text

__all__ = ["predict", "read_inputs"]


def predict(
    folder: Path | str, text: str | None = None, file: Path | str | None = None,
    output: Path | str | None = None, *, column: str = "text", base: str | None = None,
    encoding: str = "utf-8", max_new_tokens: int = 60,
    echo: Callable[[str], object] = print,
) -> int:  # fmt: skip
    """Answer one text or a file, and print or write the answers; returns an exit code.

    With an output, answers are kept in OUTPUT.part as they are found. The same call after a kill
    goes on from there, and the output appears when it is whole. It has all columns of the file; a
    column of the file that is named as one of the answer keeps its name, and the answer's is
    called `predicted_...`.

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
        ValueError: if neither or both of text and file are given, the output has another suffix,
            is there already, or its .part belongs to another run.
        TableError: if the file cannot be read or lacks the column.
    """
    if (text is None) == (file is None):
        raise ValueError('Give a text, as in `course predict out "a text"`, or --file, not both.')
    output = output and Path(output)
    if output and output.suffix.lower() not in (".csv", ".jsonl"):
        raise ValueError(f"The output {output} is neither .csv nor .jsonl; name it so.")
    if output and output.exists():
        raise ValueError(f"There is a file {output} already. Choose another --output.")
    task = open_folder(folder)["task"]
    asked = Asked([text], [{}]) if file is None else _read(file, column, task, encoding)
    if output:
        answers = _kept_as_found(folder, asked.items, output, base, max_new_tokens, echo)
        write_text(output, _as_table(asked.beside(answers), output.suffix.lower()))
        _part(output).unlink()
        echo(f"{len(answers):,} answers written to {output}.")
        return 0
    for part in answer_in_parts(folder, asked.items, base, max_new_tokens):
        for found in part:
            echo(_in_words(found, alone=file is None))
    return 0


@dataclass(frozen=True)
class Asked:
    """What a file asks.

    Attributes:
        items: texts, or chats.
        rows: the columns of each, as they are in the file.
        with_text: whether the text is one of those columns.
    """

    items: list
    rows: list[dict]
    with_text: bool = False

    def beside(self, answers: list[dict]) -> list[dict]:
        """The rows with their answers; a column of the file is never written over."""
        taken = {name for row in self.rows for name in row}
        return [
            row | {_free(name, taken): value for name, value in found.items()
                   if name != "text" or not self.with_text}
            for row, found in zip(self.rows, answers, strict=True)
        ]  # fmt: skip


def read_inputs(
    path: Path | str, column: str = "text", task: str = "classification", encoding: str = "utf-8"
) -> list:
    """Read the texts of a file: a column of a table, or the lines (`text`: passages) of a .txt.

    Raises:
        TableError: if the file cannot be read, or has no such column.
    """
    return _read(path, column, task, encoding).items


def _read(path: Path | str, column: str, task: str, encoding: str) -> Asked:
    path = Path(path)
    content, suffix = read_text(path, encoding), path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        lines = passages(content) if task == "text" else content.splitlines()
        texts = [line.strip() for line in lines if line.strip()]
        return Asked(texts, [{} for _ in texts])
    if suffix in (".csv", ".tsv"):
        columns, rows = read_delimited(path, content, "," if suffix == ".csv" else "\t")
    else:
        rows = read_json_lines(path, content)
        columns = list(dict.fromkeys(key for row in rows for key in row.values))
        if task == "chat" and "messages" in columns:
            chats = [_question(row, f"{path.name}, {row.place}") for row in rows]
            return Asked(chats, [row.values for row in rows])
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
    return Asked(texts, [row.values for row in rows], with_text=True)


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


def _free(name: str, taken: set[str]) -> str:
    while name in taken:  # a file of answers may be asked again, of another model
        name = f"predicted_{name}"
    return name


def _part(output: Path) -> Path:
    return output.with_name(f"{output.name}.part")


def _kept_as_found(folder, items: list, output: Path, base, max_new_tokens: int, echo) -> list:
    """All answers; those that are found are written down before the next are looked for."""
    from tqdm.auto import tqdm

    check_inputs(items)
    part, asked = _part(output), json.dumps([items, max_new_tokens])
    mark = hashlib.sha256((Path(folder) / CARD).read_bytes() + asked.encode()).hexdigest()
    answers = _answers_before(part, mark)
    if answers:
        echo(f"{len(answers):,} of {len(items):,} answers are in {part} already; going on.")
    lines = [json.dumps(line) for line in ({"run": mark}, *answers)]
    write_text(part, "\n".join(lines) + "\n")  # without a line that was cut off
    bar = tqdm(total=len(items), initial=len(answers), disable=not shows_progress(),
               desc="answering", unit="text", leave=False)  # fmt: skip
    with bar, open(part, "a", encoding="utf-8") as file:
        for found in answer_in_parts(folder, items[len(answers) :], base, max_new_tokens):
            file.write("".join(json.dumps(line) + "\n" for line in found))
            file.flush()
            answers += found
            bar.update(len(found))
    return answers


def _answers_before(part: Path, mark: str) -> list[dict]:
    """What a run of the same model on the same texts had found before it was killed."""
    if not part.exists():
        return []
    found = []
    for line in part.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break  # the kill came while it was written
    if found[:1] != [{"run": mark}]:
        raise ValueError(
            f"{part} holds answers of another model or to other texts. Delete it, or choose "
            "another --output."
        )
    return found[1:]


def _in_words(found: dict, alone: bool) -> str:
    if "label" in found:
        said = f"{found['label']}\t{found['probability']:.3f}"
    elif "entities" in found:
        said = ", ".join(f"{e['text']} ({e['type']})" for e in found["entities"]) or "no names"
    else:
        said = found["generated"]
    return said if alone else f"{said}\t{' '.join(found['text'].split())[:80]}"


def _as_table(rows: list[dict], suffix: str) -> str:
    if suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    out = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(out, list(names), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {k: json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v
                for k, v in row.items()}  # fmt: skip
        writer.writerow(flat)
    return out.getvalue()
