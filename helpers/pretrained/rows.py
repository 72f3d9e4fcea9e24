"""From texts and tagged words to the sub-word tokens that a model reads, and back to words."""

from collections.abc import Callable, Sequence

import numpy as np
from datasets import Dataset

from helpers.networks import IGNORED

__all__ = ["encode_texts", "encode_words", "reads_words", "word_predictions"]

NO_WORD = -1  # in `word_ids`: a special token


def encode_texts(
    tokenizer, texts: Sequence[str], labels: Sequence | None = None, max_length: int = 128, *,
    label_names: Sequence[str] | None = None, echo: Callable[[str], object] | None = print,
) -> Dataset:  # fmt: skip
    """Turn texts into rows (`input_ids`, `labels` if given) for `training.fit` and `predict`.

    Args:
        labels: one per text: numbers, or names from `label_names`.
        max_length: longer texts are cut to this many tokens, special tokens included.
        label_names: name of each class, in the order of the model's outputs.
        echo: told once how many texts were cut, if any; None for silence.

    Raises:
        ValueError: for an empty text, an unknown label or a length the model cannot read; the
            message names the row and what to do.
    """
    if isinstance(texts, str):
        raise ValueError(f"Give a list of texts, not one text: {texts[:40]!r}.")
    texts = list(texts)
    _check_length(tokenizer, max_length)
    for i, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"Text {i} is {text!r}; give text that is not empty, or drop the row.")
    ids = tokenizer(texts, verbose=False)["input_ids"]
    longer = [i for i, row in enumerate(ids) if len(row) > max_length]
    for i in longer:
        ids[i] = tokenizer(texts[i], truncation=True, max_length=max_length)["input_ids"]
    columns = {"input_ids": ids}
    if labels is not None:
        columns["labels"] = [_number(y, label_names, f"text {i}") for i, y in enumerate(labels)]
    if longer and echo:
        echo(_cut(longer, texts, "text", max_length))
    return Dataset.from_dict(columns)


def encode_words(
    tokenizer, token_lists: Sequence[Sequence[str]], tags: Sequence[Sequence] | None = None,
    max_length: int = 128, *, label_names: Sequence[str] | None = None,
    echo: Callable[[str], object] | None = print,
) -> Dataset:  # fmt: skip
    """Turn tagged words into rows of sub-words, with each tag on the first sub-word of its word.

    All other sub-words are labelled -100, so that a long word counts once in the loss.

    Args:
        tokenizer: a fast one.
        tags: one per word: numbers, or names from `label_names`.
        max_length: longer sentences are cut to this many tokens, special tokens included.
        label_names: name of each tag, in the order of the model's outputs; `O` is the first.
        echo: told once how many sentences were cut, if any; None for silence.

    Returns:
        Rows with `input_ids`, `labels` if there are tags, `word_ids` (the word number of each
        sub-word, -1 for special tokens) and `num_words`.

    Raises:
        ValueError: for an empty sentence or word, tags that do not fit, or a tokenizer that would
            split words differently from what the encoder learned.
    """
    sentences = [list(words) for words in token_lists]
    for i, words in enumerate(sentences):
        if not words or not all(word.strip() for word in words):
            raise ValueError(f"Sentence {i} is {words}; every sentence needs words, none empty.")
    _check_length(tokenizer, max_length)
    if not reads_words(tokenizer):
        raise ValueError(
            f"{type(tokenizer).__name__} cuts a word given alone otherwise than inside a text. "
            'Load it with add_prefix_space=True, as load_encoder(task="tokens") does.'
        )
    encoded = tokenizer(
        sentences, is_split_into_words=True, truncation=True, max_length=max_length, verbose=False
    )
    word_ids = [
        [NO_WORD if word is None else word for word in encoded.word_ids(i)]
        for i in range(len(sentences))
    ]
    columns = {"input_ids": encoded["input_ids"], "word_ids": word_ids}
    columns["num_words"] = [len(words) for words in sentences]
    if tags is not None:
        numbers = _tag_numbers(sentences, tags, label_names)
        columns["labels"] = [
            _sub_word_labels(row, known) for row, known in zip(word_ids, numbers, strict=True)
        ]
    lost = [len(words) - 1 - max(row) for words, row in zip(sentences, word_ids, strict=True)]
    cut = [i for i, row in enumerate(word_ids) if lost[i] and len(row) >= max_length]
    if cut and echo:
        unread = sum(lost[i] for i in cut)
        echo(f"{_cut(cut, sentences, 'sentence', max_length)} Words not read, each an O: {unread}.")
    return Dataset.from_dict(columns)


def word_predictions(logits: np.ndarray, rows: Dataset) -> list[list[int]]:
    """Give every word of every sentence one tag: that of its first sub-word.

    A word that was cut off, or of which the tokenizer left nothing, gets 0 (`O`). `logits` are
    (rows, sub-words, tags), as `training.predict` returns them for rows of `encode_words`.

    Raises:
        ValueError: if the logits are not those of these rows.
    """
    word_ids, sizes = rows["word_ids"][:], rows["num_words"][:]
    longest = max(map(len, word_ids))
    if logits.ndim != 3 or len(logits) != len(sizes) or logits.shape[1] < longest:
        raise ValueError(
            f"Logits of shape {logits.shape} are not those of {len(sizes)} rows of up to {longest} "
            "tokens; pass what training.predict gave for these rows."
        )
    best = logits.argmax(axis=2)
    predicted = [[0] * size for size in sizes]
    for i, row in enumerate(word_ids):
        for place in _word_starts(row):
            predicted[i][row[place]] = int(best[i, place])
    return predicted


def reads_words(tokenizer) -> bool:
    """Tell whether a word given alone becomes the same sub-words as inside a text.

    Byte-level BPE (GPT-2, RoBERTa) marks a word by the space before it, which a word given alone
    lacks unless the tokenizer adds it.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} is a slow tokenizer, which does not say which sub-word "
            "belongs to which word; take an encoder whose folder has a tokenizer.json."
        )
    split = tokenizer(["a", "b"], is_split_into_words=True)["input_ids"]
    return split == tokenizer("a b")["input_ids"]


def _word_starts(word_ids: list[int]) -> list[int]:
    before = [NO_WORD, *word_ids]
    return [i for i, word in enumerate(word_ids) if word not in (NO_WORD, before[i])]


def _sub_word_labels(word_ids: list[int], tags: list[int]) -> list[int]:
    labels = [IGNORED] * len(word_ids)
    for place in _word_starts(word_ids):
        labels[place] = tags[word_ids[place]]
    return labels


def _tag_numbers(sentences, tags, label_names) -> list[list[int]]:
    for i, (words, row) in enumerate(zip(sentences, tags, strict=True)):
        if len(words) != len(row):
            raise ValueError(
                f"Sentence {i} has {len(words)} words and {len(row)} tags; give one for each."
            )
    return [
        [_number(tag, label_names, f"word {k} of sentence {i}") for k, tag in enumerate(row)]
        for i, row in enumerate(tags)
    ]


def _number(label, names, where: str) -> int:
    if isinstance(label, str):
        if names is not None and label in names:
            return list(names).index(label)
        known = "pass label_names to number it" if names is None else f"known: {', '.join(names)}"
        raise ValueError(f"The label of {where} is {label!r}; {known}.")
    highest = float("inf") if names is None else len(names) - 1
    if not isinstance(label, int | np.integer) or not 0 <= label <= highest:
        known = "are numbers from 0 upwards" if names is None else f"go from 0 to {highest}"
        raise ValueError(f"The label of {where} is {label!r}; labels {known}.")
    return int(label)


def _check_length(tokenizer, max_length: int) -> None:
    if not 3 <= max_length <= tokenizer.model_max_length:
        raise ValueError(
            f"max_length is {max_length}; this model reads 3 to {tokenizer.model_max_length} "
            "tokens at once."
        )


def _cut(longer, items, kind: str, max_length: int) -> str:
    verb = "was" if len(longer) == 1 else "were"
    return (
        f"{len(longer)} of {len(items)} {kind}s {verb} longer than {max_length} tokens and "
        f"{verb} cut."
    )
