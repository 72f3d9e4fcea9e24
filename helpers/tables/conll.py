"""Entities: tags in four schemes, the spans that they mark, and the user's own CoNLL file.

In IOB1 (Ramshaw and Marcus, 1995) `B-` only separates adjacent entities of one type; in IOB2 every
entity starts with `B-`; BIOES and BILOU also mark the last token (`E-`, `L-`) and single tokens
(`S-`, `U-`). If the scheme is ignored, the difference counts as errors of the model.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from datasets import Dataset, Features, List, Value

from helpers.tables.text import (
    Problems,
    TableError,
    list_repeats,
    read_text,
    shorten,
    warn_of,
    with_warnings,
)

__all__ = ["TAG", "NerTable", "load_ner", "spans", "to_iob2"]

# Per scheme: the prefixes that explicitly open an entity, continue it, and close it.
SCHEMES = {
    "IOB1": ("B", "I", ""),
    "IOB2": ("B", "I", ""),
    "BIOES": ("BS", "IE", "ES"),
    "BILOU": ("BU", "IL", "LU"),
}
TAG = re.compile(r"O|[BIESLU]-.+")
LONG = 300  # tokens; most longer "sentences" lack a blank line
FEW = 5  # entities of a type


def spans(tags: list[str]) -> list[tuple[str, int, int]]:
    """(type, start, end) of the entities in a sentence's IOB2 tags, in order; end is exclusive.

    An `I-` that continues nothing starts an entity, as in the CoNLL scorer (Tjong Kim Sang and De
    Meulder, 2003).

    Raises:
        TableError: for a tag that is not O, B-TYPE or I-TYPE.
    """
    found: list[tuple[str, int, int]] = []
    for i, tag in enumerate(to_iob2(tags, "IOB2")):
        if tag.startswith("B-"):
            found.append((tag[2:], i, i + 1))
        elif tag != "O":
            kind, start, _ = found.pop()
            found.append((kind, start, i + 1))
    return found


def to_iob2(tags: list[str], scheme: str) -> list[str]:
    """Rewrite one sentence's tags as IOB2; a tag that continues nothing becomes `B-`.

    Raises:
        TableError: for a scheme or a tag that does not exist; the message names it.
    """
    if scheme.upper() not in SCHEMES:
        raise TableError(f"There is no scheme {scheme!r}. Use one of {', '.join(SCHEMES)}.")
    return _convert(tags, scheme.upper())[0]


def _convert(tags: list[str], scheme: str) -> tuple[list[str], list[int]]:
    """IOB2 tags of one sentence, and positions (from 0) that break the rules of its own scheme."""
    opening, going_on, closing = SCHEMES[scheme]
    out: list[str] = []
    odd: set[int] = set()
    entity = None  # the type of the entity that the next token may continue
    last = None  # the type of the previous token, for IOB1's rule
    for i, tag in enumerate(tags):
        prefix, kind = tag[:1], tag[2:]
        if tag != "O" and not (TAG.fullmatch(tag) and prefix in opening + going_on):
            allowed = ", ".join(f"{prefix}-TYPE" for prefix in opening + going_on)
            raise TableError(f"The tag {tag!r} is not {scheme}. Use O, {allowed}.")
        continues = tag != "O" and prefix in going_on and kind == entity
        if closing and entity and not continues:
            odd.add(i - 1)  # the previous entity was never closed
        if tag == "O":
            out.append("O")
            entity = last = None
            continue
        if scheme == "IOB1":
            if prefix == "B" and kind != last:
                odd.add(i)
        elif prefix in going_on and not continues:
            odd.add(i)
        out.append(("I-" if continues else "B-") + kind)
        entity, last = (None if prefix in closing else kind), kind
    if closing and entity:
        odd.add(len(tags) - 1)
    return out, sorted(odd)


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


def load_ner(path: str | Path, *, encoding: str = "utf-8") -> NerTable:
    """Load tagged sentences from a CoNLL file as IOB2, or say exactly what to mend in it.

    One token per line, with the token in the first column and its tag in the last, separated by
    spaces or tabs, and a blank line after each sentence. -DOCSTART- lines are skipped, and so are
    lines that start with "# " before a sentence. The scheme is told from the tags.

    Raises:
        TableError: if the file cannot be read, has one column or a changing number, a tag without
            a known prefix, or no entity. Up to five places are named.
    """
    path = Path(path)
    problems = Problems(path)
    sentences = _sentences(read_text(path, encoding), problems)
    scheme = _scheme(sentences, problems)
    tags, odd = [], []
    for sentence in sentences:
        converted, positions = _convert([token.tag for token in sentence], scheme)
        tags.append(converted)
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
    counts = Counter(kind for sentence in tags for kind, _, _ in spans(sentence))
    tokens = [[token.columns[0] for token in sentence] for sentence in sentences]
    warnings += _warn(counts, tokens, [sentence[0].place for sentence in sentences])
    strings = List(Value("string"))
    features = Features({"tokens": strings, "tags": strings})
    dataset = Dataset.from_dict({"tokens": tokens, "tags": tags}, features=features)
    return NerTable(dataset, sorted(counts), scheme, warnings, path.name)


def _columns(line: str) -> list[str]:
    # Only spaces and tabs separate columns: a token may contain another kind of space.
    return line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def _comment(line: str) -> bool:
    # "# O" is the token "#" with its tag; "# text = ..." is a comment.
    return line == "#" or (line.startswith("# ") and not TAG.fullmatch(_columns(line)[-1]))


def _sentences(content: str, problems: Problems) -> list[list[_Token]]:
    sentences: list[list[_Token]] = [[]]
    for number, raw in enumerate(content.split("\n"), start=1):
        line = raw.rstrip("\r")
        if not line.strip(" \t"):
            sentences.append([])
        elif not line.startswith("-DOCSTART-") and not (_comment(line) and not sentences[-1]):
            sentences[-1].append(_Token(number, _columns(line)))
    sentences = [sentence for sentence in sentences if sentence]
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


def _scheme(sentences: list[list[_Token]], problems: Problems) -> str:
    """The scheme of a file, from its tags; a TableError for tags of none, or of two."""
    first: dict[str, _Token] = {}
    for token in chain(*sentences):
        if TAG.fullmatch(token.tag):
            first.setdefault(token.tag[0], token)
        else:
            what = f"the tag of {shorten(token.columns[0])} is {token.tag!r}"
            remedy = "Write O, or a prefix and a type as in B-PER or I-PER "
            problems.add(token.place, what, remedy + "(S-, E-, L- and U- are read as well).")
    problems.raise_if_any()
    if set(first) == {"O"}:
        what = "No token is tagged as an entity: every tag is O."
        problems.stop("", what, "Check that the last column holds the tags.")
    bioes, bilou = ("".join(p for p in pair if p in first) for pair in ("ES", "LU"))
    if bioes and bilou:
        one, other = (f"{t.tag!r} ({t.place})" for t in (first[bioes[0]], first[bilou[0]]))
        what = f"The tags are of two schemes, BIOES and BILOU: {one} and {other}."
        problems.stop("", what, "Write S- and E- throughout, or U- and L- throughout.")
    if bioes or bilou:
        return "BIOES" if bioes else "BILOU"
    # Each scheme forbids what the other needs, so choose the one with fewer violations.
    tags = [[token.tag for token in sentence] for sentence in sentences]
    breaches = {s: sum(len(_convert(t, s)[1]) for t in tags) for s in ("IOB2", "IOB1")}
    return min(breaches, key=breaches.get)


def _warn(counts: Counter, tokens: list[list[str]], places: list[str]) -> list[str]:
    warnings = []
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
    long = [place for place, words in zip(places, tokens, strict=True) if len(words) > LONG]
    remedy = "Put an empty line after each sentence: a model reads only the start of a long one."
    warnings += warn_of(f"Sentences of more than {LONG} tokens", long, remedy)
    repeats = list_repeats(map(tuple, tokens), places)
    remedy = "Keep them on one side of the split, or delete them."
    return warnings + warn_of("Sentences that repeat an earlier one", repeats, remedy)
