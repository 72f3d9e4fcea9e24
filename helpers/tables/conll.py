"""Read the user's own entities from a CoNLL file, in any of four schemes, which its tags tell."""

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from datasets import Dataset, Features, List, Value

from helpers.tables.iob import SCHEMES, TAG, convert, known_scheme, spans
from helpers.tables.text import (
    Problems,
    list_repeats,
    read_text,
    shorten,
    warn_of,
    with_warnings,
)

__all__ = ["NerTable", "load_ner"]

LONG = 300  # tokens; most longer "sentences" lack a blank line
FEW = 5  # entities of a type


@dataclass(frozen=True)
class NerTable:
    """Sentences with IOB2 tags, and what to know about them before training.

    Attributes:
        dataset: columns `tokens` and `tags`, each a list of strings of the same length.
        entity_types: sorted, without prefix.
        scheme: of the file: "IOB1", "IOB2", "BIOES" or "BILOU".
        warnings: what was repaired, and what may mislead a training.
    """

    dataset: Dataset
    entity_types: list[str]
    scheme: str
    warnings: list[str] = field(default_factory=list)
    source: str = "table"

    def report(self) -> str:
        """Summarise the file: sentences, tokens, entities of each type, warnings."""
        tags = self.dataset["tags"][:]
        counts = Counter(kind for sentence in tags for kind, _, _ in spans(sentence))
        lines = [
            f"{self.source}: {len(tags):,} sentences, {sum(map(len, tags)):,} tokens, "
            f"{sum(counts.values()):,} entities ({self.scheme} in the file, IOB2 here)"
        ]
        lines += [f"  {kind}: {count:,} entities" for kind, count in counts.most_common()]
        return with_warnings(lines, self.warnings)


@dataclass(frozen=True)
class _Token:
    line: int
    columns: list[str]

    @property
    def tag(self) -> str:
        return self.columns[-1]

    @property
    def place(self) -> str:
        return f"line {self.line}"


def load_ner(path: str | Path, *, scheme: str = "auto", encoding: str = "utf-8") -> NerTable:
    """Load tagged sentences from a CoNLL file as IOB2, or say exactly what to mend in it.

    One token per line, with the token in the first column and its tag in the last, separated by
    spaces or tabs, and a blank line after each sentence. -DOCSTART- lines are skipped, and so are
    lines that start with "# " before a sentence.

    Args:
        scheme: "IOB1", "IOB2", "BIOES", "BILOU", or "auto" to tell it from the tags.

    Raises:
        TableError: if the file cannot be read, has one column or a changing number, a tag without
            a known prefix, or no entity. Up to five places are named.
    """
    path = Path(path)
    wanted = None if scheme == "auto" else known_scheme(scheme)
    content = read_text(path, encoding)
    sentences = _sentences(path, content)
    _check_tags(path, sentences, wanted)
    scheme = wanted or _detect(path, sentences)
    tags, warnings = _convert_all(sentences, scheme)
    tokens = [[token.columns[0] for token in sentence] for sentence in sentences]
    types = sorted({kind for sentence in tags for kind, _, _ in spans(sentence)})
    warnings += _warn(sentences, tokens, tags)
    strings = List(Value("string"))
    features = Features({"tokens": strings, "tags": strings})
    dataset = Dataset.from_dict({"tokens": tokens, "tags": tags}, features=features)
    return NerTable(dataset, types, scheme, warnings, path.name)


def _columns(line: str) -> list[str]:
    # Only spaces and tabs separate columns: a token may contain another kind of space.
    return line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def _sentences(path: Path, content: str) -> list[list[_Token]]:
    sentences: list[list[_Token]] = [[]]
    for number, raw in enumerate(content.split("\n"), start=1):
        line = raw.rstrip("\r")
        if not line.strip(" \t"):
            sentences.append([])
        elif not line.startswith("-DOCSTART-") and not (_comment(line) and not sentences[-1]):
            sentences[-1].append(_Token(number, _columns(line)))
    sentences = [sentence for sentence in sentences if sentence]
    problems = Problems(path)
    if not sentences:
        problems.stop("", "The file holds no token.", "Check that it is this file.")
    widths = Counter(len(token.columns) for token in chain(*sentences))
    usual = widths.most_common(1)[0][0]
    if usual == 1:
        example = shorten(sentences[0][0].columns[0])
        what = f"every line should hold a token and a tag, and holds one column: {example}"
        remedy = "Write the token, a space or tab, and the tag (no commas between them)."
        problems.stop(sentences[0][0].place, what, remedy)
    remedy = "Give every token the same columns; part sentences with an empty line."
    for token in chain(*sentences):
        if len(token.columns) != usual:
            what = f"columns: {len(token.columns)}, where most lines have {usual}"
            problems.add(token.place, f"{what}: {shorten(' '.join(token.columns))}", remedy)
        elif not token.columns[0].strip(" "):
            problems.add(token.place, "the token is empty", "Write the token, or delete it.")
    problems.raise_if_any()
    return sentences


def _comment(line: str) -> bool:
    # "# O" is the token "#" with its tag; "# text = ..." is a comment.
    return line == "#" or (line.startswith("# ") and not TAG.fullmatch(_columns(line)[-1]))


def _check_tags(path: Path, sentences: list[list[_Token]], wanted: str | None) -> None:
    problems = Problems(path)
    allowed = "".join(SCHEMES[wanted][:2]) if wanted else "BIESLU"
    remedy = "Write O, or a prefix and a type as in B-PER or I-PER"
    remedy += f" ({wanted} was asked for)." if wanted else " (S-, E-, L- and U- are read as well)."
    for token in chain(*sentences):
        if not TAG.fullmatch(token.tag) or token.tag[0] not in allowed + "O":
            what = f"the tag of {shorten(token.columns[0])} is {token.tag!r}"
            problems.add(token.place, what, remedy)
    problems.raise_if_any()
    if all(token.tag == "O" for token in chain(*sentences)):
        what = "No token is tagged as an entity: every tag is O."
        problems.stop("", what, "Check that the last column holds the tags.")


def _detect(path: Path, sentences: list[list[_Token]]) -> str:
    first: dict[str, _Token] = {}
    for token in chain(*sentences):
        first.setdefault(token.tag[0], token)
    bioes, bilou = ("".join(p for p in pair if p in first) for pair in ("ES", "LU"))
    if bioes and bilou:
        one, other = (f"{t.tag!r} ({t.place})" for t in (first[bioes[0]], first[bilou[0]]))
        what = f"The tags are of two schemes, BIOES and BILOU: {one} and {other}."
        Problems(path).stop("", what, "Write S- and E- throughout, or U- and L- throughout.")
    if bioes or bilou:
        return "BIOES" if bioes else "BILOU"
    # Each scheme forbids what the other needs, so choose the one with fewer violations.
    tags = [[token.tag for token in sentence] for sentence in sentences]
    breaches = {s: sum(len(convert(t, s)[1]) for t in tags) for s in ("IOB2", "IOB1")}
    return min(breaches, key=breaches.get)


def _convert_all(sentences: list[list[_Token]], scheme: str) -> tuple[list[list[str]], list[str]]:
    out, odd = [], []
    for sentence in sentences:
        tags, positions = convert([token.tag for token in sentence], scheme)
        out.append(tags)
        odd += [sentence[i] for i in positions]
    warnings = []
    if odd:
        warnings.append(
            f"Tags that break the rules of {scheme}: {len(odd):,}, first {odd[0].tag!r} on "
            f"{odd[0].place}. They were read as the nearest entity: a tag that continues nothing "
            "starts one, and an entity ends where it stops. Check some of them."
        )
    if scheme == "IOB1" and not any(token.tag.startswith("B-") for token in chain(*sentences)):
        warnings.append(
            "The file has I- tags and no B-: two entities of one type that touch are read as one. "
            "Mark the start of the second with B- where that happens."
        )
    return out, warnings


def _warn(
    sentences: list[list[_Token]], tokens: list[list[str]], tags: list[list[str]]
) -> list[str]:
    warnings = []
    counts = Counter(kind for sentence in tags for kind, _, _ in spans(sentence))
    folded: dict[str, list[str]] = {}
    for kind in sorted(counts):
        folded.setdefault(kind.strip().casefold(), []).append(kind)
    for names in (names for names in folded.values() if len(names) > 1):
        shown = " and ".join(repr(name) for name in names)
        warnings.append(f"The types {shown} differ only in case: write one of them throughout.")
    few = [f"{kind} {count}" for kind, count in counts.items() if count < FEW]
    if few:
        warnings.append(
            f"Fewer than {FEW} entities: {', '.join(few[:5])}. Tag more, or join types."
        )
    places = [sentence[0].place for sentence in sentences]
    long = [place for place, words in zip(places, tokens, strict=True) if len(words) > LONG]
    remedy = (
        "Put an empty line after each sentence: a model reads only the beginning of a long one."
    )
    warnings += warn_of(f"Sentences of more than {LONG} tokens", long, remedy)
    repeats = list_repeats(map(tuple, tokens), places)
    remedy = "Keep them on one side of the split, or delete them."
    return warnings + warn_of("Sentences that repeat an earlier one", repeats, remedy)
