"""`course predict` and `answer`: use a finished model on texts, or on a file of them."""

import csv
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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
    if not inputs:
        return []
    parts = _in_parts(load_model(folder, card, base), card, inputs, max_new_tokens)
    return [found for part in parts for found in part]


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
    echo: Callable[[str], object] = print,
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
    output = None if output is None else _free_output(Path(output))
    card, inputs = open_folder(folder), Inputs([text], [{}])
    if file is not None:
        inputs = _read(Path(file), column, card["task"], encoding)
    _check_inputs(inputs.items)
    answers, journal = [], None
    if output and card["task"] in LANGUAGE_TASKS:
        journal = output.with_name(f"{output.name}.part")
        answers = _begin(journal, _fingerprint(folder, inputs.items, max_new_tokens))
    if answers:
        echo(f"{len(answers):,} of {len(inputs.items):,} answers are in {journal} already.")
    model, left = load_model(folder, card, base), inputs.items[len(answers) :]
    parts = _in_parts(model, card, left, max_new_tokens)
    if output is None:
        for found in itertools.chain.from_iterable(parts):
            echo(_in_words(found, alone=file is None))
        return 0
    answers += _collect(parts, len(left), journal)
    write_text(output, _as_table(inputs.beside(answers), output.suffix.lower()))
    if journal:
        journal.unlink()
    echo(f"{len(answers):,} answers written to {output}.")
    return 0


def _free_output(output: Path) -> Path:
    if output.suffix.lower() not in (".csv", ".jsonl"):
        raise ValueError(f"The output {output} is neither .csv nor .jsonl; name it so.")
    if output.exists():
        raise ValueError(f"There is a file {output} already. Choose another --output.")
    return output


def _collect(parts: Iterable[list[dict]], count: int, journal: Path | None) -> list[dict]:
    """All answers; a journal receives each batch before the next is computed."""
    answers = []
    with tqdm(total=count, desc="answering", unit="text", leave=False,
              disable=not shows_progress()) as bar:  # fmt: skip
        for part in parts:
            answers += part
            bar.update(len(part))
            if journal:
                with open(journal, "a", encoding="utf-8") as kept:
                    kept.write(_json_lines(part))
    return answers


def _fingerprint(folder: Path | str, items: list, max_new_tokens: int) -> dict:
    """What must be equal for a run to be resumed."""
    model = hashlib.sha256((Path(folder) / CARD).read_bytes()).hexdigest()
    texts = hashlib.sha256(json.dumps(items).encode()).hexdigest()
    return {"model": model, "texts": texts, "max_new_tokens": max_new_tokens}


def _begin(journal: Path, run: dict) -> list[dict]:
    """Answers kept by an earlier, killed call of the same run; the journal is ready for more."""
    answers = []
    if may_resume(journal, run):
        for line in journal.read_text(encoding="utf-8").splitlines()[1:]:
            try:
                answers.append(json.loads(line))
            except ValueError:
                break  # killed while writing it
    write_text(journal, _json_lines([run, *answers]))
    return answers


@dataclass(frozen=True)
class Inputs:
    """What a file asks."""

    items: list  # texts, or chats
    rows: list[dict]  # the columns of each, as they are in the file
    with_text: bool = False  # whether the text is one of those columns

    def beside(self, answers: list[dict]) -> list[dict]:
        """The rows with their answers; no column of the file is overwritten."""
        taken, found = {name for row in self.rows for name in row}, []
        for row, answer in zip(self.rows, answers, strict=True):
            new = {k: v for k, v in answer.items() if k != "text" or not self.with_text}
            found.append(row | {_free(name, taken): value for name, value in new.items()})
        return found


def _free(name: str, taken: set[str]) -> str:
    while name in taken:  # the file may itself be another model's answers
        name = f"predicted_{name}"
    return name


def _read(path: Path, column: str, task: str, encoding: str) -> Inputs:
    content, suffix = read_text(path, encoding), path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        lines = passages(content) if task == "text" else content.splitlines()
        texts = [line.strip() for line in lines if line.strip()]
        return Inputs(texts, [{} for _ in texts])
    if suffix in (".csv", ".tsv"):
        columns, rows = read_delimited(path, content, "," if suffix == ".csv" else "\t")
    else:
        rows = read_json_lines(path, content)
        columns = list(dict.fromkeys(key for row in rows for key in row.values))
        if task == "chat" and "messages" in columns:
            return Inputs([_question(row, path) for row in rows], [row.values for row in rows])
    if column not in columns:
        raise TableError(
            f"{path.name} has no column {column!r}; it has {', '.join(columns)}. Name the one with "
            "the texts: --text NAME."
        )
    texts = [row.values.get(column) for row in rows]
    for row, text in zip(rows, texts, strict=True):
        if not isinstance(text, str) or not text.strip():
            raise TableError(
                f"{path.name}, {row.place}: the text is empty. Fill it in, or delete the row."
            )
    return Inputs(texts, [row.values for row in rows], with_text=True)


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


def _in_parts(model, card: dict, inputs: list, max_new_tokens: int) -> Iterator[list[dict]]:
    size = AT_ONCE[card["task"]]
    for start in range(0, len(inputs), size):
        yield _answers(model, card, inputs[start : start + size], max_new_tokens)


def _answers(model, card: dict, inputs: list, max_new_tokens: int) -> list[dict]:
    if card["task"] == "classification":
        table = model.probabilities(inputs)
        best = [(card["label_names"][row.argmax()], round(float(row.max()), 6)) for row in table]
        return [
            {"text": text, "label": label, "probability": probability}
            for text, (label, probability) in zip(inputs, best, strict=True)
        ]
    if card["task"] == "ner":
        places = [token_spans(text) for text in inputs]
        words = [[text[a:b] for a, b in row] for text, row in zip(inputs, places, strict=True)]
        return [
            {"text": text, "entities": _entities(text, row, tags)}
            for text, row, tags in zip(inputs, places, model.tags(words), strict=True)
        ]
    shown = [item if isinstance(item, str) else item[-1]["content"] for item in inputs]
    written = model.write(inputs, max_new_tokens)
    return [{"text": t, "generated": w} for t, w in zip(shown, written, strict=True)]


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


def _as_table(rows: list[dict], suffix: str) -> str:
    if suffix == ".jsonl":
        return _json_lines(rows)
    out = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(out, list(names), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        nested = {k: v for k, v in row.items() if isinstance(v, list | dict)}
        flat = {k: json.dumps(v, ensure_ascii=False) for k, v in nested.items()}
        writer.writerow(row | flat)
    return out.getvalue()


def _json_lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
