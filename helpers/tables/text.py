"""Read a user's file as text or as rows that know their line, and report all that is wrong in it.

A message lists the first places of each kind of problem, with its remedy.
"""

import codecs
import csv
import difflib
import io
import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Problems", "Row", "TableError", "check_characters", "list_places", "list_repeats"]
__all__ += ["read_delimited", "read_json_lines", "read_text", "shorten", "warn_of", "with_warnings"]

SHOWN = 5  # problems of one kind listed in a message; the rest are counted


class TableError(ValueError):
    """A file that cannot be used; the message names the file, the line, the value, the remedy."""


class Problems:
    """Collect what is wrong with one file, for a single error with the first few of each kind."""

    def __init__(self, path: Path):
        self.path = path
        self.by_remedy: dict[str, list[str]] = {}

    def add(self, place: str, what: str, remedy: str) -> None:
        """Note a problem and its value; `place` is "" for the whole file. Listed by remedy."""
        self.by_remedy.setdefault(remedy, []).append(f"{place}: {what}" if place else what)

    def raise_if_any(self) -> None:
        """Raise a TableError if anything was noted: every kind, its first places, its remedy."""
        if not self.by_remedy:
            return
        out = [f"{self.path.name} cannot be used as it is."]
        for remedy, found in self.by_remedy.items():
            out += [f"  {line}" for line in found[:SHOWN]]
            if len(found) > SHOWN:
                more = f"{len(found) - SHOWN:,} more like these ({len(found):,} in all)"
                out.append(f"  ... and {more}")
            out.append(f"  What to do: {remedy}")
        raise TableError("\n".join(out))

    def stop(self, place: str, what: str, remedy: str) -> None:
        """Note one problem and raise at once, when nothing after it can be read."""
        self.add(place, what, remedy)
        self.raise_if_any()


def check_characters(text: str, name: str, place: str, problems: Problems) -> None:
    """Note a NUL or a lone surrogate, both of which JSON escapes can put into a string."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        what = f"the {name} holds NUL or half a character: {shorten(text)}"
        problems.add(place, what, "Remove the \\u0000 or \\ud800-\\udfff escapes.")


def shorten(value: object, width: int = 60) -> str:
    """Show a value as Python writes it, so that spaces are visible, but no longer than `width`."""
    shown = repr(value)
    return shown if len(shown) <= width else shown[: width - 4] + "..." + shown[-1]


def list_places(places: Sequence[str]) -> str:
    """The first three places of many."""
    return ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")


def warn_of(what: str, places: Sequence[str], remedy: str) -> list[str]:
    """One warning that counts and names places, or none if there are none."""
    return [f"{what}: {len(places):,} ({list_places(places)}). {remedy}"] if places else []


def list_repeats(items: Iterable[Hashable], places: Sequence[str]) -> list[str]:
    """Report each item that occurred before: its place, and the place of the first."""
    seen: dict[Hashable, str] = {}
    firsts = [seen.setdefault(item, place) for item, place in zip(items, places, strict=True)]
    pairs = zip(places, firsts, strict=True)
    return [f"{place} repeats {first}" for place, first in pairs if place != first]


def with_warnings(lines: Sequence[str], warnings: Sequence[str]) -> str:
    """A report's lines, followed by the number of warnings and the warnings."""
    count = f"Warnings: {len(warnings) or 'none'}"
    return "\n".join([*lines, count, *(f"  - {warning}" for warning in warnings)])


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Read a file whole, or say why that fails; line ends stay, a UTF-8 byte order mark does not.

    Raises:
        TableError: if the file is missing, a folder, empty, in another encoding (the message
            names the byte, the line and an encoding that fits) or has NUL bytes.
    """
    problems = Problems(path)
    try:
        codec = codecs.lookup(encoding).name
    except LookupError:
        known = "Use a name that Python knows, such as utf-8, cp1252, latin-1 or utf-16."
        problems.stop("", f"There is no encoding called {encoding!r}.", known)
    try:
        data = path.read_bytes()
    except OSError as error:
        _explain_unreadable(path, problems, error)
    try:
        text = data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        guess = _guess_encoding(data)
        # UTF-16 must be cut at an even offset to stay readable.
        start, first = error.start, max(0, error.start - 12) // 2 * 2
        around = data[first : start + 12].decode(guess, errors="ignore")
        problems.stop(
            f"line {_line_of(data, start)}",
            f"byte 0x{data[start]:02x} at offset {start:,} is not {encoding}; "
            f"read as {guess} this place is {around!r}.",
            f'Save the file as UTF-8, or pass encoding="{guess}".',
        )
    if not text.strip():
        problems.stop("", "The file is empty.", "Check that it was saved, and that it is this one.")
    if "\0" in text:
        sample, offset, count = data[:2000], data.find(b"\0"), data.count(b"\0")
        remedy = "Export the file again as plain UTF-8 text, or remove these bytes."
        # Latin text in UTF-16 without a byte order mark has a zero in every second byte.
        if sample.count(0) > len(sample) // 4:
            guess = "utf-16-be" if sample[0::2].count(0) > sample[1::2].count(0) else "utf-16-le"
            remedy = f'This looks like UTF-16: save it as UTF-8, or pass encoding="{guess}".'
        what = f"NUL byte at offset {offset:,} ({count:,} in all)."
        problems.stop(f"line {_line_of(data, offset)}", what, remedy)
    return text


def _line_of(data: bytes, offset: int) -> int:
    return data[:offset].count(b"\n") + 1


def _explain_unreadable(path: Path, problems: Problems, error: OSError) -> None:
    if path.is_dir():
        problems.stop("", f"{path} is a folder.", "Give the path of a file in it.")
    if not isinstance(error, FileNotFoundError):
        problems.stop("", f"It cannot be opened: {error}.", "Check the file's permissions.")
    folder = path.absolute().parent
    what = f"There is no such file in {folder}."
    if not folder.is_dir():
        what += " That folder does not exist either."
    else:
        near = difflib.get_close_matches(path.name, sorted(p.name for p in folder.iterdir()), n=1)
        what += f" Did you mean {near[0]!r}?" if near else ""
    problems.stop("", what, "Check the path and its spelling.")


def _guess_encoding(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for candidate in ("utf-8", "cp1252"):
        try:
            data.decode(candidate)
        except UnicodeDecodeError:
            continue
        return candidate
    return "latin-1"


@dataclass(frozen=True)
class Row:
    """One record of a file; `line` is where it starts, `number` is the spreadsheet's; from 1."""

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
    problems, records = Problems(path), _records(path, text, delimiter)
    if not records:
        problems.stop("", "The file holds no header and no row.", "Check that it is this file.")
    (line, _, header), *records = records
    columns = [name.strip() for name in header]
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        where = {name: [i + 1 for i, c in enumerate(columns) if c == name] for name in repeated}
        shown = "; ".join(f"{name!r} heads columns {where[name]}" for name in repeated)
        problems.stop(f"line {line}", shown, "Give every column a name of its own.")
    if not records:
        problems.stop("", "The file has a header and no row under it.", "Add the rows.")
    kind = "comma" if delimiter == "," else "tab"
    remedy = f"Put double quotes round a field that holds a {kind}, and give every row all fields."
    rows = []
    for line, number, fields in records:
        row = Row(line, number, dict(zip(columns, fields, strict=False)))
        if len(fields) != len(columns):
            what = f"fields: {len(fields)}, where the header has {len(columns)}: "
            problems.add(row.place, what + shorten(delimiter.join(fields)), remedy)
        rows.append(row)
    problems.raise_if_any()
    return columns, rows


def _records(path: Path, text: str, delimiter: str) -> list[tuple[int, int, list[str]]]:
    """(line, number, fields) of each record that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    # csv's default limit, 131,072 characters, can be one long review with markup.
    limit = csv.field_size_limit(max(len(text) + 1, csv.field_size_limit()))
    start, records = 1, []
    try:
        for number, fields in enumerate(reader, start=1):
            if any(field.strip() for field in fields) or len(fields) > 1:
                records.append((start, number, fields))
            start = reader.line_num + 1
    except csv.Error as error:
        what = f"the double quotes of this row do not pair up (line {reader.line_num}: {error})."
        if "end of data" in str(error):
            what = (
                f"a double quote opens here and is not closed by line {reader.line_num}, the last."
            )
        remedy = (
            "Close the quote. Inside a quoted field write every double quote twice "
            '("She said ""no""."), or save the file as JSONL.'
        )
        Problems(path).stop(f"line {start}", what, remedy)
    finally:
        csv.field_size_limit(limit)
    return records


def read_json_lines(path: Path, text: str) -> list[Row]:
    """Read a JSON object per line, skipping blank ones; a TableError names the first bad lines."""
    problems, rows = Problems(path), []
    # Not splitlines(): JSON strings may contain U+2028 and others that it breaks at.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            value = json.loads(content, object_pairs_hook=_object)
            what = "" if isinstance(value, dict) else "JSON, and not an object"
        except json.JSONDecodeError as error:
            what = f"not JSON at column {error.colno} ({error.msg})"
        except (ValueError, RecursionError) as error:
            what = str(error)
        if what:
            remedy = 'Write one complete JSON object a line: {"key": "value", ...}'
            problems.add(f"line {line}", f"{what}: {shorten(content.strip())}", remedy)
        else:
            rows.append(Row(line, line, value))
    problems.raise_if_any()
    return rows


def _object(pairs: list[tuple[str, object]]) -> dict:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return dict(pairs)
