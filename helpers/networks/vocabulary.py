"""Words and their numbers."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from helpers.files import write_text

__all__ = ["UNKNOWN", "Vocabulary"]

UNKNOWN = 1
SPECIAL = ["<pad>", "<unk>"]


class Vocabulary:
    """Number the words of a corpus: 0 is padding, 1 any unknown word, `words[i]` has id i."""

    def __init__(self, words: Iterable[str]):
        self.words = [*SPECIAL, *words]
        self.ids = {word: i for i, word in enumerate(self.words)}
        if len(self.ids) != len(self.words):
            twice = Counter(self.words).most_common(1)[0][0]
            raise ValueError(f"The word {twice!r} stands twice in the vocabulary; keep one.")

    @classmethod
    def build(
        cls, token_lists: Iterable[list[str]], min_count: int = 1, max_size: int | None = None
    ) -> "Vocabulary":
        """Keep the most frequent words of tokenized texts, in that order, ties alphabetically.

        A word seen less than `min_count` times becomes unknown; `max_size` does not count padding
        and unknown.
        """
        counts = Counter(token for tokens in token_lists for token in tokens)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [word for word, n in ranked if n >= min_count and word not in SPECIAL]
        return cls(kept[:max_size])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self.ids

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the id of each token; 1 for an unknown word."""
        return [self.ids.get(token, UNKNOWN) for token in tokens]

    def save(self, path: Path) -> None:
        """Write the words as JSON."""
        write_text(Path(path), json.dumps(self.words, ensure_ascii=False))

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read what `save` wrote; a ValueError says if the file is something else."""
        text = Path(path).read_text(encoding="utf-8")
        if not text.startswith('["<pad>", "<unk>"'):
            raise ValueError(f"{path} is not a saved vocabulary: it does not begin with {SPECIAL}.")
        return cls(json.loads(text)[2:])
