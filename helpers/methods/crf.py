"""Names by hand-made features and a conditional random field (Lafferty, McCallum & Pereira 2001).

Each word is described by string features; the field weighs each feature for each tag, and each
pair of neighbouring tags, so that a sentence is tagged as a whole.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycrfsuite

__all__ = ["CRF", "train_crf", "word_features", "word_shape"]

QUOTES = {'"', "“", "”", "«", "»", "\x93", "\x94"}
AFFIXES = (2, 3, 4)
NEIGHBOURS = (-2, -1, 1, 2)
MOST_ITERATIONS = 300


def word_shape(word: str) -> str:
    """Keep how a word is spelled and drop what it says: `Jake` Xx, `U.S.` X.X., `1999` dd.

    Capitals become X, small letters x, digits d. Runs of capitals or digits are cut to two signs,
    runs of small letters to one.
    """
    kinds = "".join(
        "X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word
    )
    return re.sub(r"x+|X{2,}|d{2,}", lambda run: run[0][: 1 if run[0][0] == "x" else 2], kinds)


def word_features(tokens: Sequence[str]) -> list[list[str]]:
    """List the features of each word, as taggers before 2010 had them, such as `"-1:shape=Xx"`.

    Of the word: itself in lower case, its first and last letters, its shape, whether it begins with
    a capital, stands between quotes, or opens the sentence. Of two words to each side: themselves
    and their shapes. No tag is among them.
    """
    words, shapes = [token.lower() for token in tokens], [word_shape(token) for token in tokens]
    quoted = _between_quotes(tokens)
    rows = []
    for i, (token, word) in enumerate(zip(tokens, words, strict=True)):
        row = ["always", f"word={word}", f"shape={shapes[i]}"]
        row += [f"prefix{n}={word[:n]}" for n in AFFIXES if len(word) > n]
        row += [f"suffix{n}={word[-n:]}" for n in AFFIXES if len(word) > n]
        facts = {"capital": token[:1].isupper(), "quoted": quoted[i], "first": i == 0}
        row += [name for name, true in facts.items() if true]
        for offset in NEIGHBOURS:
            if 0 <= i + offset < len(words):
                row.append(f"{offset:+d}:word={words[i + offset]}")
                row.append(f"{offset:+d}:shape={shapes[i + offset]}")
            else:
                row.append(f"{offset:+d}:outside")
        rows.append(row)
    return rows


def _between_quotes(tokens: Sequence[str]) -> list[bool]:
    """Mark what stands between two quotation marks; an unpaired one opens nothing."""
    marks = [i for i, token in enumerate(tokens) if token in QUOTES]
    inside = [False] * len(tokens)
    for opening, closing in zip(marks[::2], marks[1::2], strict=False):
        inside[opening + 1 : closing] = [True] * (closing - opening - 1)
    return inside


@dataclass(frozen=True)
class CRF:
    """A trained field: the content of its model file, and the number of its weights."""

    model: bytes
    num_weights: int
    _tagger: Any  # reads `model` in place, which must live as long

    def tag(self, tokens: Sequence[str]) -> list[str]:
        """Return the most probable tags of a sentence, one per token."""
        return self._tagger.tag(word_features(tokens))

    def weights(self) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
        """Return what was learned: {(feature, tag): weight} and {(tag, next tag): weight}."""
        known = self._tagger.info()
        return dict(known.state_features), dict(known.transitions)


def train_crf(
    token_lists: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]],
    c1: float = 0.0,
    c2: float = 1.0,
) -> CRF:
    """Fit a field to tagged sentences by L-BFGS, until it converges or for 300 iterations.

    Args:
        c1: weight of the L1 penalty; above 0 it sets many weights to 0.
        c2: weight of the L2 penalty.
    """
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params({"c1": c1, "c2": c2, "max_iterations": MOST_ITERATIONS})
    # Also weigh tag pairs that never occur, so that they can become improbable.
    trainer.set_params({"feature.possible_transitions": True})
    for tokens, row in zip(token_lists, tags, strict=True):
        trainer.append(word_features(tokens), row)
    with tempfile.TemporaryDirectory(prefix="crf-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "model"
        trainer.train(str(path))
        model = path.read_bytes()
    tagger = pycrfsuite.Tagger()
    tagger.open_inmemory(model)
    known = tagger.info()
    return CRF(model, len(known.state_features) + len(known.transitions), tagger)
