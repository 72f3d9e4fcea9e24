"""Words and their numbers, and sub-word tokens learned by byte-level byte-pair encoding."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from helpers.files import write_text
from helpers.word_tokenizer import MARKS

__all__ = ["END", "UNKNOWN", "Vocabulary", "read_byte_pairs", "save_byte_pairs", "train_byte_pairs"]

UNKNOWN = 1
FIRST_WORDS = ["<pad>", "<unk>"]


class Vocabulary:
    """Number the words of a corpus: 0 is padding, 1 any unknown word, `words[i]` has id i."""

    def __init__(self, words: Iterable[str]):
        self.words = [*FIRST_WORDS, *words]
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
        kept = [word for word, n in ranked if n >= min_count and word not in FIRST_WORDS]
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
            raise ValueError(
                f"{path} is not a saved vocabulary: it does not begin with {FIRST_WORDS}."
            )
        return cls(json.loads(text)[2:])


END = "<|endoftext|>"
FIRST_TOKENS = ("<pad>", END)  # ids 0 and 1


def train_byte_pairs(texts: Iterable[str], size: int = 4_096):
    """Learn a sub-word vocabulary: the most frequent pair becomes one token, again and again.

    Compression by Gage (1994), for words by Sennrich et al. (2016), on bytes by Radford et al.
    (2019), so that there is no unknown token. Texts are lower-cased, without HTML breaks and
    without spaces before punctuation: "It's fun.<br />", as in a review, and "it's fun .", as in a
    snippet, become the same. `size` counts the 256 bytes, padding (id 0) and `END` (id 1) too.

    Returns:
        A `transformers.PreTrainedTokenizerFast`. Called on a text it puts `END` before and after
        it; `decode` gives the text back as it was read.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=size, special_tokens=list(FIRST_TOKENS), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer)


def save_byte_pairs(tokenizer, path: Path) -> None:
    """Write a tokenizer as one JSON file."""
    write_text(Path(path), tokenizer.backend_tokenizer.to_str() + "\n")


def read_byte_pairs(path: Path):
    """Read what `save_byte_pairs` wrote; a ValueError says if the file is something else."""
    text = Path(path).read_text(encoding="utf-8")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path} is not a saved tokenizer ({error}); make it anew.") from error
    wrong = [piece for i, piece in enumerate(FIRST_TOKENS) if tokenizer.token_to_id(piece) != i]
    if wrong:
        raise ValueError(f"{path} lacks {wrong[0]} at its place; it belongs to another network.")
    return _wrapped(tokenizer)


def _normalizer():
    plain = [normalizers.Replace(mark, written) for mark, written in MARKS.items()]
    return normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"<br\s*/?>"), " "),
            *plain,
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Replace(Regex(r" (?=[.,!?;:)])"), ""),
            normalizers.Strip(),
        ]
    )


def _wrapped(tokenizer):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A {END}", special_tokens=[(END, FIRST_TOKENS.index(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=FIRST_TOKENS[0], bos_token=END, eos_token=END
    )
