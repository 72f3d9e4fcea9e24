"""What a word is in this course."""

import re

__all__ = ["MARKS", "recipe", "tokenize"]

# Both corpora contain undecoded cp1252, where \x91-\x97 are quotes and dashes.
MARKS = {"\x85": "...", "\x91": "'", "\x92": "'", "\x93": '"', "\x94": '"', "\x96": "--"}
MARKS |= {"\x97": "--", "‘": "'", "’": "'", "´": "'", "`": "'", "“": '"', "”": '"'}
MARKS |= {"–": "--", "—": "--", "…": "..."}
BREAKS = re.compile(r"<br\s*/?>|(?<=[^\W_])-(?=[^\W_])")
# In order: "is" of "isn't", "n't", endings ('s 're 'll ...), other words ("o'brien" is one), "...",
# "--", and any other mark alone.
ENDS = r"(?:s|m|re|ve|ll|d)\b"
WORD = r"[^\W_]+"
TOKENS = re.compile(rf"{WORD}(?=n't\b)|n't\b|'{ENDS}|{WORD}(?:'(?!{ENDS}){WORD})*|\.\.\.|--|\S")


def tokenize(text: str) -> list[str]:
    """Cut a text into the lower-case tokens that GloVe 6B was counted on, as far as possible.

    Endings are tokens as in the Penn Treebank ("isn't" -> "is", "n't"; "film's" -> "film", "'s"),
    marks are tokens, compounds are split ("well-acted" -> "well", "acted"), HTML breaks dropped.
    """
    text = BREAKS.sub(" ", text.lower()).translate(str.maketrans(MARKS))
    return TOKENS.findall(re.sub(r"-{2,}", "--", re.sub(r"\.{2,}", "...", text)))


def recipe() -> list:
    """Everything that decides how `tokenize` cuts, for the names of files that depend on it."""
    return [TOKENS.pattern, BREAKS.pattern, MARKS]
