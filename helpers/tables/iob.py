"""Entity tags: four schemes converted to one, IOB2, and the spans that they mark.

In IOB1 (Ramshaw and Marcus, 1995) `B-` only separates adjacent entities of one type; in IOB2 every
entity starts with `B-`; BIOES and BILOU also mark the last token (`E-`, `L-`) and single tokens
(`S-`, `U-`). If the scheme is ignored, the difference counts as errors of the model.
"""

import re

from helpers.tables.text import TableError

__all__ = ["SCHEMES", "TAG", "convert", "known_scheme", "spans", "to_iob2"]

# Per scheme: the prefixes that explicitly open an entity, continue it, and close it.
SCHEMES = {
    "IOB1": ("B", "I", ""),
    "IOB2": ("B", "I", ""),
    "BIOES": ("BS", "IE", "ES"),
    "BILOU": ("BU", "IL", "LU"),
}
TAG = re.compile(r"O|[BIESLU]-.+")


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
    return convert(tags, known_scheme(scheme))[0]


def known_scheme(scheme: str) -> str:
    """The name of a scheme in capitals, or a TableError that lists the known ones."""
    if str(scheme).upper() not in SCHEMES:
        raise TableError(f"There is no scheme {scheme!r}. Use one of {', '.join(SCHEMES)}.")
    return scheme.upper()


def convert(tags: list[str], scheme: str) -> tuple[list[str], list[int]]:
    """IOB2 tags of one sentence, and positions (from 0) that break the rules of its own scheme.

    Raises:
        TableError: for a tag that the scheme does not have.
    """
    opening, going_on, closing = SCHEMES[scheme]
    out: list[str] = []
    odd: set[int] = set()
    entity = None  # the type of the entity that the next token may continue
    last = None  # the type of the previous token, for IOB1's rule
    for i, tag in enumerate(tags):
        prefix, kind = _split(tag, scheme)
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


def _split(tag: str, scheme: str) -> tuple[str, str]:
    prefixes = "".join(SCHEMES[scheme][:2])
    if tag != "O" and not (TAG.fullmatch(tag) and tag[0] in prefixes):
        allowed = ", ".join(f"{prefix}-TYPE" for prefix in prefixes)
        raise TableError(f"The tag {tag!r} is not {scheme}. Use O, {allowed}.")
    return tag[0], tag[2:]
