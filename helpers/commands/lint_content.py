"""House rules on what a reader sees: text, links, figures and stored outputs.

A rule is a generator of (index of a cell, or None for the file; message with the remedy) under
`@RULES.add(...)`, which names the kinds of pages it applies to.
"""

import re
from urllib.parse import unquote

from helpers.commands.lint_page import IMAGES, LINK, NOTEBOOK, Findings, Page, Rules, output_text

__all__ = ["RULES"]

RULES = Rules()
ALL = (*NOTEBOOK, "page")
OUTPUT_LINES, STDERR_LINES, ALT_LENGTH = 60, 12, 20
GENERATED = re.compile(r"<!-- (minutes|notebooks) -->.*?<!-- /\1 -->|<!--.*?-->", re.S)
BLOCK = re.compile(r"\n\s*\n|\n(?=[\s>]*(?:[-*+]|\d+[.)])\s)|\n(?=\s*\|)|\n(?=#)")
RESULT = re.compile(r"(?<![\w.,])(?:\d*\.\d+(?![\w.]*\d)|(?!95\b)\d+\s?(?:%|per cent))")
NAMED = re.compile(r"(?:Python|CC BY|Apache|CUDA|sections?|notebooks?|#+)[\s-]*[\d., or]+\d")
YEAR = re.compile(r"\b(?:19|20)\d\d[a-z]?\b")
MACHINE = re.compile(
    r"(?<![\w.~$}/-])/(?:home|root|Users|tmp|work|var/folders)/\w[^\s\"'<>]*"
    r"|\b[A-Za-z]:\\+Users\b[^\s\"'<>]*|[^\s\"'<>]*[/\\]site-packages[^\s\"'<>]*"
)


@RULES.add(NOTEBOOK)
def stored_error(page: Page) -> Findings:
    """No error is stored."""
    for index, output in page.outputs:
        if output.output_type == "error":
            yield index, f"stored error {output.ename}: {output.evalue[:80]}; mend, then run again"


@RULES.add(NOTEBOOK)
def stored_noise(page: Page) -> Findings:
    """Outputs are short, without progress bars and warnings."""
    for index, output in page.outputs:
        text, stderr = output_text(output), output.get("name") == "stderr"
        lines, limit = text.strip().count("\n") + 1, STDERR_LINES if stderr else OUTPUT_LINES
        if lines > limit:
            yield index, f"{lines} lines of output, at most {limit}; show a few, or a sum"
        if re.search(r"\r(?!\n)|\d+%\|", text):
            yield index, "a progress bar is stored; switch it off while outputs are stored"
        if stderr and "Warning" in text:
            yield index, "a warning is stored; mend its cause, or explain it in the text"


@RULES.add(ALL)
def alt_text(page: Page) -> Findings:
    """Every figure and image has a description in words."""
    for index, output in page.outputs:
        for mime in IMAGES & set(output.get("data", {})):
            alt = str(output.get("metadata", {}).get(mime, {}).get("alt") or "").strip()
            if len(alt) < ALT_LENGTH or re.match(r"<?figure(\s+size\b|\W*\d*$)", alt, re.I):
                yield index, f"alt text of the {mime} is {alt!r}; say what the figure shows"
    for index, text in page.text:
        for found in [m for m in LINK.finditer(text) if m["image"] and not m["text"].strip()]:
            yield index, f"image {found['target']} has no alt text; say what it shows"
        for tag in re.findall(r"<img\b[^>]*>", text):
            if not re.search(r"\balt=[\"']\s*[^\"'\s]", tag):
                yield index, f"{tag} has no alt text; say what it shows"


@RULES.add(ALL)
def link(page: Page) -> Findings:
    """Links inside the repository lead somewhere; external links are not checked."""
    for index, target in page.links:
        if target.startswith("#") and not page.has_heading(unquote(target)):
            yield index, f"{target} is no heading of this file; use one that exists"
        elif not re.match(r"[a-zA-Z][\w+.-]+:|//|#", target):
            file = page.path.parent / unquote(re.split(r"[#?]", target)[0])
            if not file.exists():
                yield index, f"{target} does not exist beside this file; correct the path"


@RULES.add(ALL)
def uncited_result(page: Page) -> Findings:
    """A decimal or percentage in prose has its source beside it: results are printed, not typed."""
    for index, text in page.text:
        words = LINK.sub(r"\g<text>", re.sub(r"https?://\S+", "", GENERATED.sub("", text)))
        for block in BLOCK.split(words):
            found = RESULT.findall(NAMED.sub("", block))
            if found and not YEAR.search(block):
                source = "put (Author, year) beside it, or write a setting as `code`"
                yield index, f"{', '.join(found)}: print a result in a cell, {source}"


@RULES.add(ALL)
def machine_path(page: Page) -> Findings:
    """Nothing names a folder of the machine it was made on."""
    texts = [(index, cell.source) for index, cell in enumerate(page.notebook.cells)]
    texts += [(index, output_text(output)) for index, output in page.outputs]
    for index, text in texts:
        if found := MACHINE.search(text):
            yield index, f"{found[0]} exists on one machine only; use a relative path"
