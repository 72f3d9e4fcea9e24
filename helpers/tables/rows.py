"""Split a user's CSV, TSV or JSONL text into rows that know their line, for messages."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from helpers.tables.text import Problems, shorten

__all__ = ["Row", "read_delimited", "read_json_lines"]


@dataclass(frozen=True)
class Row:
    """One record of a file: its first `line`, and its `number` as a spreadsheet row, from 1."""

    line: int
    number: int
    values: dict

    @property
    def place(self) -> str:
        """The row in words; both line and row if they differ because of quoted newlines."""
        row = "" if self.line == self.number else f" (spreadsheet row {self.number})"
        return f"line {self.line}{row}"


def read_delimited(path: Path, text: str, delimiter: str) -> tuple[list[str], list[Row]]:
    """Read CSV or TSV text: stripped column names, and rows with the line on which they start.

    Blank lines are skipped.

    Raises:
        TableError: on an unclosed quote, a repeated column name, no rows, or rows whose number
            of fields is not the header's.
    """
    records = _records(path, text, delimiter)
    problems = Problems(path)
    if not records:
        problems.stop("", "The file holds no header and no row.", "Check that it is this file.")
    header, *records = records
    columns = [name.strip() for name in header.values["fields"]]
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        where = {name: [i + 1 for i, c in enumerate(columns) if c == name] for name in repeated}
        shown = "; ".join(f"{name!r} heads columns {where[name]}" for name in repeated)
        problems.stop(f"line {header.line}", shown, "Give every column a name of its own.")
    if not records:
        problems.stop("", "The file has a header and no row under it.", "Add the rows.")
    kind = "comma" if delimiter == "," else "tab"
    remedy = f"Put double quotes round a field that holds a {kind}, and give every row all fields."
    rows = []
    for record in records:
        fields = record.values["fields"]
        if len(fields) != len(columns):
            what = f"fields: {len(fields)}, where the header has {len(columns)}: "
            problems.add(record.place, what + shorten(delimiter.join(fields)), remedy)
        rows.append(Row(record.line, record.number, dict(zip(columns, fields, strict=False))))
    problems.raise_if_any()
    return columns, rows


def _records(path: Path, text: str, delimiter: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    # csv's default limit, 131,072 characters, can be one long review with markup.
    limit = csv.field_size_limit(max(len(text) + 1, csv.field_size_limit()))
    start, records = 1, []
    try:
        for number, fields in enumerate(reader, start=1):
            if any(field.strip() for field in fields) or len(fields) > 1:
                records.append(Row(start, number, {"fields": fields}))
            start = reader.line_num + 1
    except csv.Error as error:
        _explain_quotes(path, start, reader.line_num, error)
    finally:
        csv.field_size_limit(limit)
    return records


def _explain_quotes(path: Path, start: int, end: int, error: csv.Error) -> None:
    remedy = (
        "Close the quote. Inside a quoted field write every double quote twice "
        '("She said ""no""."), or save the file as JSONL.'
    )
    if "end of data" in str(error):
        what = f"a double quote opens in this row and is not closed by line {end}, the last."
    else:
        what = f"the double quotes of this row do not pair up (noticed on line {end}: {error})."
    Problems(path).stop(f"line {start}", what, remedy)


def read_json_lines(path: Path, text: str) -> list[Row]:
    """Read a JSON object per line, skipping blank ones; a TableError names the first bad lines."""
    problems, rows = Problems(path), []
    remedy = 'Write one complete JSON object a line: {"key": "value", ...}'
    # Not splitlines(): JSON strings may contain U+2028 and others that it breaks at.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            value = json.loads(content, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            what = f"not JSON at column {error.colno} ({error.msg}): {shorten(content.strip())}"
        except (ValueError, RecursionError) as error:
            what = f"{error}: {shorten(content.strip())}"
        else:
            if isinstance(value, dict):
                rows.append(Row(line, line, value))
                continue
            what = f"JSON, and not an object: {shorten(value)}"
        problems.add(f"line {line}", what, remedy)
    problems.raise_if_any()
    return rows


def _object(pairs: list[tuple[str, object]]) -> dict:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return dict(pairs)
