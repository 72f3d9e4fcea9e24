"""Read the user's own texts and labels from a CSV, TSV or JSONL file."""

import difflib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from datasets import ClassLabel, Dataset, Features, Value

from helpers.tables.labels import clean_labels, find_missing_labels, sort_labels, warn_mixed_words
from helpers.tables.text import (
    Problems,
    Row,
    check_characters,
    read_delimited,
    read_json_lines,
    read_text,
    shorten,
    warn_of,
    with_warnings,
)

__all__ = ["Table", "load_table"]

FORMATS = {".csv": ",", ".tsv": "\t", ".jsonl": None, ".ndjson": None}
LONG = 2_000  # words; encoders of this course read at most a few hundred tokens
FEW = 30  # rows of a class; with fewer, a test score is mostly chance


@dataclass(frozen=True)
class Table:
    """Texts and labels that are ready to train on, and what to know about them first.

    Attributes:
        dataset: columns `text` (string) and `label` (ClassLabel); other columns are dropped.
        label_names: the integer in `label` is a position in this list.
        warnings: what does not stop a training but may mislead it.
        rows_read: rows in the file, without header and blank lines.
    """

    dataset: Dataset
    label_names: list[str]
    warnings: list[str] = field(default_factory=list)
    rows_read: int = 0
    source: str = "table"

    def report(self) -> str:
        """Summarise the table: size, classes, text lengths, warnings."""
        counts = Counter(self.dataset["label"][:])
        words = [len(text.split()) for text in self.dataset["text"][:]]
        lines = [f"{self.source}: {self.rows_read:,} rows, {len(self.label_names)} classes"]
        for index, count in counts.most_common(10):
            share = count / len(words)
            lines.append(f"  {self.label_names[index]!r}: {count:,} rows ({share:.1%})")
        if len(counts) > 10:
            lines.append(f"  ... and {len(counts) - 10} smaller classes")
        lines.append(f"  words in a text: median {median(words):g}, longest {max(words):,}")
        return with_warnings(lines, self.warnings)


def load_table(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    *,
    min_per_class: int = 2,
    encoding: str = "utf-8",
) -> Table:
    """Load a file of labelled texts for classification, or say exactly what to mend in it.

    Texts stay as in the file; labels lose the spaces around them.

    Args:
        path: a .csv, .tsv, .jsonl or .ndjson file; CSV and TSV start with a header line.
        text, label: columns, or JSON keys.
        encoding: of the file; a UTF-8 byte order mark is accepted.

    Raises:
        TableError: naming up to five places of each kind of problem.
    """
    path = Path(path)
    problems = Problems(path)
    columns, rows = _read(path, encoding)
    _check_columns(columns, text, label, problems)
    _check_texts(rows, text, problems)
    find_missing_labels(rows, label, problems)
    problems.raise_if_any()
    labels = clean_labels(rows, label, min_per_class, problems)
    texts = [row.values[text] for row in rows]
    warnings = [
        *_warn_swallowed(rows, texts, labels),
        *_warn_duplicates(rows, texts, labels),
        *warn_mixed_words(rows, labels),
        *_warn_counts(labels),
        *warn_of(
            f"Texts longer than {LONG:,} words",
            [row.place for row in rows if len(row.values[text].split()) > LONG],
            "A model reads only their beginning: split them, or keep what decides the label.",
        ),
    ]
    names = sort_labels(labels)
    ids = {name: index for index, name in enumerate(names)}
    dataset = Dataset.from_dict(
        {"text": texts, "label": [ids[name] for name in labels]},
        features=Features({"text": Value("string"), "label": ClassLabel(names=names)}),
    )
    return Table(dataset, names, warnings, len(rows), path.name)


def _read(path: Path, encoding: str) -> tuple[list[str], list[Row]]:
    suffix = path.suffix.lower()
    if path.is_file() and suffix not in FORMATS:
        what = f"A table cannot be read from a {suffix or 'nameless'} file."
        remedy = "Save it as .csv or .tsv (with a header line), or as .jsonl (.ndjson)."
        Problems(path).stop("", what, remedy)
    content = read_text(path, encoding)
    if FORMATS.get(suffix):
        return read_delimited(path, content, FORMATS[suffix])
    rows = read_json_lines(path, content)
    return list(dict.fromkeys(key for row in rows for key in row.values)), rows


def _check_columns(columns: list[str], text: str, label: str, problems: Problems) -> None:
    if text == label:
        what = f"Text and label are both to come from column {text!r}."
        problems.stop("", what, "Name two different columns with text=... and label=...")
    lower = {name.lower(): name for name in columns}
    for option, wanted in (("text", text), ("label", label)):
        if wanted in columns:
            continue
        near = difflib.get_close_matches(wanted.lower(), lower, n=1)
        guess = lower[near[0]] if near else "NAME"
        listed = ", ".join(shorten(name) for name in columns[:20]) or "none"
        remedy = f'Pass {option}="{guess}"' + ("." if near else ", with the column that holds it.")
        other = [sign for sign in (";", "\t", ",", "|") if sign in "".join(columns)]
        if len(columns) == 1 and other:
            remedy = f"The header looks separated by {other[0]!r}; save it as comma-separated CSV."
        problems.add("", f"There is no column {wanted!r}. The columns are: {listed}.", remedy)
    problems.raise_if_any()


def _check_texts(rows: list[Row], column: str, problems: Problems) -> None:
    for row in rows:
        value = row.values.get(column)
        if value is None or (isinstance(value, str) and not value.strip()):
            remedy = "Fill these texts in, or delete the rows."
            problems.add(row.place, f"the text is empty ({column}: {value!r})", remedy)
        elif not isinstance(value, str):
            what = f"the text is a {type(value).__name__} and not a string: {shorten(value)}"
            problems.add(row.place, what, "Put these texts in double quotes, or delete the rows.")
        else:
            check_characters(value, "text", row.place, problems)


def _warn_swallowed(rows: list[Row], texts: list[str], labels: list[str]) -> list[str]:
    """Find texts that seem to contain whole rows, after a quote that closed too late."""
    names = "|".join(re.escape(name) for name in set(labels))
    ending = re.compile(rf"[,\t] *(?:{names}) *(?:\r\n|\r|\n)")
    places = [row.place for row, text in zip(rows, texts, strict=True) if ending.search(text)]
    what = "Texts that hold lines with a label at the end, like rows of their own"
    return warn_of(what, places, "Check for an unclosed double quote there.")


def _warn_duplicates(rows: list[Row], texts: list[str], labels: list[str]) -> list[str]:
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(" ".join(text.lower().split()), []).append(index)
    repeated = [group for group in groups.values() if len(group) > 1]
    split = [group for group in repeated if len({labels[i] for i in group}) > 1]
    warnings = []
    if repeated:
        pairs = "; ".join(f"{rows[g[0]].place} and {rows[g[1]].place}" for g in repeated[:3])
        warnings.append(
            f"Rows that repeat an earlier text, up to case and spaces: "
            f"{sum(len(g) - 1 for g in repeated):,} ({pairs}). "
            "Delete them: a text in both train and test flatters the score."
        )
    for group in split[:3]:
        first = group[0]
        other = next(i for i in group if labels[i] != labels[first])
        warnings.append(
            f"One text has two labels: {labels[first]!r} ({rows[first].place}) and "
            f"{labels[other]!r} ({rows[other].place}): {shorten(texts[first])}. Decide on one. "
            f"Texts like this: {len(split):,}."
        )
    return warnings


def _warn_counts(labels: list[str]) -> list[str]:
    counts = Counter(labels).most_common()
    (most, top), (least, bottom) = counts[0], counts[-1]
    warnings = []
    if top > 0.8 * len(labels) or top > 10 * bottom:
        warnings.append(
            f"The classes are unbalanced: {top:,} rows of {most!r} ({top / len(labels):.0%}), "
            f"{bottom:,} of {least!r}. Report macro-F1 beside accuracy: always answering {most!r} "
            "already scores that share."
        )
    few = [f"{name!r} {count}" for name, count in counts if count < FEW]
    if few:
        warnings.append(
            f"Fewer than {FEW} rows: {', '.join(few[:5])}{', ...' if len(few) > 5 else ''}. "
            "Label more, and expect wide intervals."
        )
    return warnings
