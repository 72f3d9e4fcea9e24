"""House rules for text: results without a source, dead links, missing alt text, filler words.

Markdown is treated by regular expressions: what is not prose (code, mathematics, comments, link
targets) is taken out first, and the rules look at what remains. A rule yields pairs
`(rule name, message)`; `helpers.commands.lint` knows which rules are errors.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

__all__ = ["headings", "prose_findings", "strip_code", "uncited_figures"]

# What `course sync` writes from measured runs cannot drift.
GENERATED = re.compile(r"<!-- (?P<name>minutes|notebooks) -->.*?<!-- /(?P=name) -->", re.S)
COMMENT = re.compile(r"<!--.*?-->", re.S)
FENCE = re.compile(r"^[ \t>]*(?P<mark>```+|~~~+).*?(?:^[ \t>]*(?P=mark)[ \t]*$|\Z)", re.M | re.S)
CODE_SPAN = re.compile(r"(`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)\1(?!`)", re.S)
MATH = re.compile(
    r"\$\$.*?\$\$|\\\[.*?\\\]|\\\(.*?\\\)"
    r"|(?<![\\\w])\$(?!\s)[^$\n]*(?:\n[^$\n]+)?(?<!\s)\$(?!\d)",
    re.S,
)
IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(\s*<?(?P<target>[^)\s>]*)>?[^)]*\)")
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\(\s*<?(?P<target>[^)\s>]*)>?[^)]*\)")
LINK_DEFINITION = re.compile(r"^[ ]{0,3}\[[^\]]+\]:\s*<?(?P<target>[^\s>]+).*$", re.M)
HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.I)
HTML_TARGET = re.compile(r"<(?:img|a)\b[^>]*?\b(?:src|href)=[\"'](?P<target>[^\"']+)[\"']", re.I)
HTML_ALT = re.compile(r"\balt=[\"']\s*[^\"'\s]", re.I)
HTML_TAG = re.compile(r"</?[a-zA-Z][^>]*>")
URL = re.compile(r"https?://\S+")
HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.M)

# A number as results are written: 0.81, .81, 87.3, 1,024, 12.
DECIMAL = r"(?<![\w.,])\d*\.\d+(?![\w.]*\d)"
NUMBER = r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d*\.\d+|\d+)(?!\.?\d)"
PERCENT = r"\s*(?:%|per\s?cent\b)"
BYTES, SECONDS = r"\s*[KMGT]i?B\b", r"\s*(?:ms|s|secs?|seconds?)\b"
POINTS = r"[\s-]*(?:(?:percentage\s+)?points?|pp)\b"
NUMBERS = rf"{NUMBER}(?:{PERCENT})?(?:\s*(?:,|and|or|to|-|–)\s*{NUMBER}(?:{PERCENT})?)*"
MEASURE = r"(?:accurac\w+|(?:macro-|micro-|span )?F1|perplexit\w+|BLEU|ROUGE(?:-\w)?)"
OUTCOME = (
    rf"(?:{MEASURE}|precision|recall|loss|error|scores?|reach\w*|gain\w*|drops?|falls?|rises?)"
)
# Numbers that the author of an experiment chooses.
SETTING = (
    r"(?:drop-?out|learning[- ]rates?|step sizes?|weight decay|momentum|temperature|threshold"
    r"|top-[pk]|alphas?|betas?|epsilon|gamma|lambda|sigma|warm[- ]?up|smoothing|with probability"
    r"|margin|exponent|power of|ratio|clip\w*|scal(?:e|ed|ing)|decay|initiali[sz]\w+|chance"
    r"|coin \w+|guess\w*|mask\w*|limit|budget)"
)
HARDWARE = r"(?:download\w*|wheels?|disk|RAM|memory|cards?|GPUs?|T4|laptop|machine|needs?)"
COUNTED = (
    r"(?:labels?|labelled|examples?|reviews?|rows?|sentences?|tokens?|words?|documents?|parameters?"
    r"|seeds?|classes|items?|steps?|epochs?|characters?|dimensions?|layers?|heads?|positions?)"
)
NAMES = (
    r"(?:Python|CUDA|PyTorch|torch|transformers|datasets|peft|scikit-learn|NumPy|pandas|gensim"
    r"|nbval|JupyterLab|Jupyter|Ubuntu|macOS|Windows|GPT|Llama|Qwen|Gemma|Phi|Mistral|Claude|Gemini"
    r"|SmolLM|Apache|CC[ -]BY(?:-\w+)?|versions?|release|v\.?|sections?|notebooks?|chapters?"
    r"|figures?|tables?|equations?|eqs?\.|appendix|steps?|parts?|exercises?|lessons?|questions?)"
)
NOT_RESULTS = [
    re.compile(pattern, re.I)
    for pattern in (
        r"\d+(?:\.\d+)?e-?\d+",
        r"arXiv[:\s]*\d{4}\.\d{4,5}(?:v\d+)?|(?<!\d)\d{4}\.\d{4,5}(?!\d)",
        r"\b(?:doi[:\s]*)?10\.\d{4,}/\S+",
        r"\bv?\d+(?:\.\d+){2,}\w*",  # versions, and dates with two dots
        rf"\b{NAMES}[\s:]*[<>=~≥]*\s*\d+(?:\.\d+)*(?:\s*(?:,|and|or|to|-|–)\s*\d+(?:\.\d+)+)*",
        r"(?<=[A-Za-z]-)\d+(?:\.\d+)*\w*|[<>=~]=\s*\d+(?:\.\d+)*",  # GPT-3.5, torch>=2.9
        rf"\b(?:19|20)\d\ds?\b(?!\.\d|{PERCENT}|{BYTES}|{POINTS})",
        r"(?:\d[\d.,]*\s*[-–]\s*)?\d[\d.,]*[\s-]*(?:[MBk]\b|(?:million|billion|thousand)s?\b)",
        rf"\d+(?:\.\d+)?{PERCENT}[\s-]*(?:\w+[\s-]+){{0,3}}?(?:intervals?|confidence|bootstrap)",
        rf"confidence\s+(?:\w+\s+){{0,3}}\d+(?:\.\d+)?{PERCENT}",
        rf"(?<![\w.,])50{PERCENT}|(?<![\w.,-])(?:0\.0|0\.5|1\.0)(?!\.?\d|{PERCENT}|{POINTS})",
        rf"\b{SETTING}\b(?:(?!\b{OUTCOME}\b)[^.;:?!\d]){{0,30}}{NUMBERS}",
        rf"{NUMBERS}\s+(?:of\s+)?(?:the\s+|its\s+|all\s+)?(?:{SETTING}|{COUNTED}|time)\b",
        rf"\b{HARDWARE}\b[^.;:?!\d]{{0,30}}{NUMBERS}{BYTES}(?:\s+(?:and|or)\s+{NUMBER}{BYTES})*",
        rf"{NUMBERS}{BYTES}\s+(?:\w+\s+){{0,2}}{HARDWARE}\b",
        r"\bp\s*[<>=≤]\s*0?\.\d+",
        r"(?<![\w.,])\d[\d,]*\s+(?!(?:with|for|on|at|from|after|in|by|and|%)\b)[a-z-]+\s+"
        rf"{COUNTED}\b",  # 1,066 held-out reviews
        rf"\b(?:32|100|320|1,?000|3,?200)\b(?!\.\d|{PERCENT}|{POINTS}|{SECONDS}|{BYTES})",
    )
]
LINKING = (
    r"(?:(?:of|is|was|are|at|to|by|only|above|below|near|about|around|over|under|[=:≈~])\s*){0,3}"
)
RESULTS = [
    re.compile(pattern, re.I)
    for pattern in (
        rf"{NUMBER}(?:{PERCENT}|{POINTS}|{SECONDS}|{BYTES}|\s+bytes\b)",
        rf"\b(?:took|takes?|ran|runs?|trained|trains|finish\w*)\s+(?:\w+\s+){{0,2}}?{NUMBER}"
        r"\s*(?:minutes?|hours?)\b",
        rf"{NUMBER}\s*(?:x|×|times)\s+(?:faster|slower|smaller|larger|fewer|more|less|cheaper"
        r"|better|as\s+(?:fast|slow|small|large|much|good))\b",
        rf"\b{MEASURE}\s+{LINKING}(?=\d\d){NUMBER}",
        rf"\b(?:falls?|fell|drops?|dropped|rises?|rose|climbs?|climbed)\s+(?:from|to)\s+{NUMBER}",
        rf"\b(?:reach(?:es|ed)?|scor(?:es|ed))\s+(?=\d\d){NUMBER}(?!\s+[a-z-]+s\b)",
        DECIMAL,
    )
]

YEAR = r"(?:19|20)\d\d[a-z]?\b"
NOT_AUTHORS = (
    r"(?!(?:In|Since|By|From|Until|Of|During|Before|After|The|Year|Around|About|January|February|March"
    r"|April|May|June|July|August|September|October|November|December)\b)"
)
AUTHOR = rf"\b{NOT_AUTHORS}[A-ZÀ-Þ][\w'’-]*"
CITATIONS = [
    re.compile(pattern)
    for pattern in (
        rf"et al\.?,?\s*\(?{YEAR}",
        rf"{AUTHOR}\.?,?\s*\({YEAR}",
        rf"\([^()]*?{AUTHOR},?\s+{YEAR}",
        rf"{AUTHOR}\s+(?:and|&)\s+{AUTHOR},?\s+{YEAR}",
        rf"\[[^\]]*?{AUTHOR}[^\]]*?{YEAR}[^\]]*\]\(",
    )
]
ROW_CITATION = re.compile(rf"{AUTHOR},?\s+{YEAR}")  # a table has no room for brackets

TITLE = re.compile(r"(?<![*\w])\*[^*\n]+\*(?!\*)")
FILLERS = re.compile(r"\b(simply|just|obviously|of course)\b|(?<=[^\s!])!+(?=[\s\"'”)*_]|$)", re.I)
QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”]*”|«[^»]*»|(?<!\w)'[^'\n]*'(?!\w)")
PROMPTS = ("**predict", "**interpret")


def strip_code(text: str) -> str:
    """Markdown without fenced code, inline code, mathematics and comments: what a reader reads."""
    for pattern in (GENERATED, COMMENT, FENCE, CODE_SPAN, MATH):
        text = pattern.sub(" ", text)
    return text


def headings(text: str) -> list[str]:
    """The headings of a piece of Markdown, without their marks; code comments do not count."""
    return HEADING.findall(FENCE.sub("", COMMENT.sub("", text)))


def prose_findings(text: str, folder: Path, anchors: str) -> Iterator[tuple[str, str]]:
    """Check one piece of Markdown against every rule for text.

    Args:
        text: the Markdown source.
        folder: where the file lies; relative links start there.
        anchors: all Markdown of the same file, whose headings a `#link` may name.

    Yields:
        Pairs of rule name and message.
    """
    yield from _links(text, folder, anchors)
    for figures in uncited_figures(text):
        yield (
            "uncited-figure",
            f"{', '.join(figures)}: a result stands in prose without a source; print it in a code "
            "cell, or put the citation, (Author, year), in the same paragraph",
        )
    found = [match.group().strip() for match in FILLERS.finditer(_own_words(text))]
    if found:
        yield "words", f"{', '.join(map(repr, found))}: take it out, the sentence says more without"


def uncited_figures(text: str) -> list[list[str]]:
    """Numbers that read like measured results and have no citation beside them.

    Settings (dropout 0.1), sizes, label budgets, versions, dates and section numbers do not count.

    Returns:
        One list of numbers for each paragraph, list item or table row that has any.
    """
    found = []
    for block in _blocks(strip_code(text)):
        row = block.lstrip().startswith("|")
        if any(c.search(block) for c in CITATIONS) or (row and ROW_CITATION.search(block)):
            continue
        block = _visible(block)
        for pattern in NOT_RESULTS:
            block = pattern.sub(" # ", block)
        hits = sorted(match.span() for pattern in RESULTS for match in pattern.finditer(block))
        if hits:
            found.append([block[a:b].strip() for a, b in _outermost(hits)])
    return found


def _outermost(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge overlapping spans, so that one number is named once."""
    merged = [spans[0]]
    for start, end in spans[1:]:
        if start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _blocks(text: str) -> list[str]:
    """Split Markdown into paragraphs, list items, table rows and headings."""
    text = LINK_DEFINITION.sub("", re.sub(r"^[ \t]*>[ \t]?", "", text, flags=re.M))
    starts = r"\n\s*\n|\n(?=\s*(?:[-*+]|\d+[.)])\s)|\n(?=\s*\|)|\n(?=#)|(?<=\n)(?=#)"
    blocks = []
    for block in re.split(starts, text):
        if re.match(r"\s{0,3}#{1,6}\s", block):
            heading, _, block = block.partition("\n")
            blocks.append(re.sub(r"^\s*#+\s*\d+(?:\.\d+)*\.?\s", "", heading))
        block = re.sub(r"^\s*\d+[.)]\s", "", block)  # the number of a list item
        blocks.append(re.sub(r"\s+", " ", block))
    return [block for block in blocks if block.strip()]


def _visible(text: str) -> str:
    text = LINK.sub(r"\g<text>", IMAGE.sub(" ", text))
    text = URL.sub(" ", HTML_TAG.sub(" ", text))
    return re.sub(r"\*\*|__|\*(?=\w)|(?<=\w)\*", "", text)


def _own_words(text: str) -> str:
    """The prose that is ours: without quotations and titles in italics, which may say anything."""
    paragraphs = re.split(r"\n\s*\n", strip_code(text))
    ours = []
    for paragraph in paragraphs:
        # Predict and Interpret are set as block quotes but are not quotations.
        quoted = paragraph.lstrip().startswith(">")
        if not quoted or any(mark in paragraph.lower() for mark in PROMPTS):
            ours.append(TITLE.sub(" ", paragraph))
    return QUOTED.sub(" ", _visible("\n\n".join(ours)))


def _links(text: str, folder: Path, anchors: str) -> Iterator[tuple[str, str]]:
    for pattern in (COMMENT, FENCE, CODE_SPAN):
        text = pattern.sub(" ", text)
    for image in IMAGE.finditer(text):
        if not image["alt"].strip():
            yield "image-alt", f"image {image['target']} has no alt text; say what it shows"
    for tag in HTML_IMAGE.findall(text):
        if not HTML_ALT.search(tag):
            yield "image-alt", f"{tag} has no alt text; add alt='what it shows'"
    targets = [match["target"] for match in IMAGE.finditer(text)]
    for pattern in (LINK, LINK_DEFINITION, HTML_TARGET):
        targets += [match["target"] for match in pattern.finditer(IMAGE.sub("image", text))]
    for target in targets:
        yield from _check_target(target, folder, anchors)


def _check_target(target: str, folder: Path, anchors: str) -> Iterator[tuple[str, str]]:
    if re.match(r"[a-zA-Z][\w+.-]+:|//", target):
        return  # an address; only the network could tell
    if target.startswith("#"):
        ids = re.findall(r"\b(?:id|name)=[\"']([^\"']+)", anchors)
        known = {_slug(name) for name in headings(anchors) + ids}
        if _slug(unquote(target)) not in known:
            yield "link", f"{target} is no heading of this file; use one that exists"
        return
    file = unquote(re.split(r"[#?]", target)[0])
    if not target or Path(file).is_absolute() or not (folder / file).exists():
        yield (
            "link",
            f"{target or 'an empty link'} does not exist beside this file; correct the path",
        )


def _slug(heading: str) -> str:
    """Letters and digits only: GitHub and JupyterLab treat the rest of an anchor differently."""
    return re.sub(r"[\W_]", "", _visible(heading)).lower()
