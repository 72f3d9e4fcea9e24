"""Read a user's text file whole, and report all that is wrong with it in one readable error."""

import codecs
import difflib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

__all__ = [
    "Problems",
    "TableError",
    "list_places",
    "list_repeats",
    "read_text",
    "shorten",
    "storable",
    "warn_of",
    "with_warnings",
]

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


def shorten(value: object, width: int = 60) -> str:
    """Show a value as Python writes it, so that spaces are visible, but no longer than `width`."""
    shown = repr(value)
    return shown if len(shown) <= width else shown[: width - 4] + "..." + shown[-1]


def list_places(places: Iterable[str]) -> str:
    """The first three places of many."""
    places = list(places)
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


def storable(text: str) -> bool:
    """False for a NUL or a lone surrogate, both of which JSON escapes can put into a string."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


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
        _explain_encoding(problems, data, error.start, encoding)
    if not text.strip():
        problems.stop("", "The file is empty.", "Check that it was saved, and that it is this one.")
    if "\0" in text:
        _explain_nul(problems, data)
    return text


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


def _explain_encoding(problems: Problems, data: bytes, start: int, encoding: str) -> None:
    line = data[:start].count(b"\n") + 1
    guess = _guess_encoding(data)
    # UTF-16 must be cut at an even offset to stay readable.
    first = max(0, start - 12) // 2 * 2
    around = data[first : start + 12].decode(guess, errors="ignore")
    problems.stop(
        f"line {line}",
        f"byte 0x{data[start]:02x} at offset {start:,} is not {encoding}; "
        f"read as {guess} this place is {around!r}.",
        f'Save the file as UTF-8, or pass encoding="{guess}".',
    )


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


def _explain_nul(problems: Problems, data: bytes) -> None:
    sample, offset = data[:2000], data.find(b"\0")
    remedy = "Export the file again as plain UTF-8 text, or remove these bytes."
    # Latin text in UTF-16 without a byte order mark has a zero in every second byte.
    if sample.count(0) > len(sample) // 4:
        guess = "utf-16-be" if sample[0::2].count(0) > sample[1::2].count(0) else "utf-16-le"
        remedy = f'This looks like UTF-16: save it as UTF-8, or pass encoding="{guess}".'
    line = data[:offset].count(b"\n") + 1
    count = data.count(b"\0")
    problems.stop(f"line {line}", f"NUL byte at offset {offset:,} ({count:,} in all).", remedy)
