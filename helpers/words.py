"""What a word is in this course."""

import re

__all__ = ["MARKS", "recipe", "tokenize"]

# Windows code page 1252 sits undecoded in both corpora: \x91-\x97 are quotes and dashes there.
MARKS = {"\x85": "...", "\x91": "'", "\x92": "'", "\x93": '"', "\x94": '"', "\x96": "--"}
MARKS |= {"\x97": "--", "‘": "'", "’": "'", "´": "'", "`": "'", "“": '"', "”": '"'}
MARKS |= {"–": "--", "—": "--", "…": "..."}
BREAKS = re.compile(r"<br\s*/?>|(?<=[^\W_])-(?=[^\W_])")
# In order: "is" of "isn't", "n't", the ends 's 're 'll ..., other words ("o'brien" is one), "...",
# "--", and any other mark by itself.
ENDS = r"(?:s|m|re|ve|ll|d)\b"
WORD = r"[^\W_]+"
TOKENS = re.compile(rf"{WORD}(?=n't\b)|n't\b|'{ENDS}|{WORD}(?:'(?!{ENDS}){WORD})*|\.\.\.|--|\S")


def tokenize(text: str) -> list[str]:
    """Cut a text into the lower-case tokens that GloVe 6B was counted on, as far as possible.

    Endings stand alone as in the Penn Treebank ("isn't" -> "is", "n't"; "film's" -> "film", "'s"),
    compounds fall apart ("well-acted" -> "well", "acted"), marks are tokens, HTML breaks go.
    """
    text = BREAKS.sub(" ", text.lower()).translate(str.maketrans(MARKS))
    return TOKENS.findall(re.sub(r"-{2,}", "--", re.sub(r"\.{2,}", "...", text)))


def recipe() -> list:
    """Everything that decides how `tokenize` cuts, for the names of files that depend on it."""
    return [TOKENS.pattern, BREAKS.pattern, MARKS]
