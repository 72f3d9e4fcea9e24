"""Where a prompt ends and an answer begins, so that their tokens are those of the joined text.

A byte-level tokenizer writes a space into the word after it: " good" is one token and "good"
another. Two rules keep the parts consistent:

- Prompt and answer: spaces at the end of a prompt are removed, and the word gets one space in
  front, but none after a line break (as a chat template ends) or before white space of its own.
- Prefix and prompt: line breaks between them go to the side that leaves the tokens as in the joined
  text. If neither side does, that is an error.
"""

import inspect
from collections.abc import Mapping, Sequence

from helpers.pretrained import unwrapped

__all__ = ["check_decoder", "check_room", "encode_prompts", "encode_words"]
__all__ += ["label_words", "needs_no_space", "spelled"]


def check_decoder(loaded) -> None:
    """Refuse a tokenizer that cannot pad, and a model that cannot read from a cache."""
    if loaded.tokenizer.pad_token_id is None:
        raise ValueError(
            "The tokenizer has no padding token, so prompts cannot share a batch. Load it with "
            "load_decoder, or set tokenizer.pad_token = tokenizer.eos_token."
        )
    model = unwrapped(loaded.model)
    taken = inspect.signature(model.forward).parameters
    lacking = {"position_ids", "past_key_values", "logits_to_keep"} - set(taken)
    if lacking:
        raise ValueError(
            f"A {type(model).__name__} takes no {' and no '.join(sorted(lacking))}, so it "
            'cannot be asked. Load a language model with load_decoder("lm"): GPT-2, Llama, Qwen.'
        )


def label_words(labels) -> dict[str, tuple[str, ...]]:
    """Return {label: its words} for a list of words, or for label -> word or words."""
    if isinstance(labels, str) or not labels:
        raise ValueError(f"The labels are {labels!r}; give a list of words or label -> words.")
    if not isinstance(labels, Mapping):
        given = list(labels)
        labels = {word: word for word in given}
        if len(labels) < len(given):
            raise ValueError(f"A label is there twice in {given}; each has one column of scores.")
    words = {
        label: (given,) if isinstance(given, str) else tuple(given)
        for label, given in labels.items()
    }
    for label, given in words.items():
        if not given or not all(isinstance(word, str) and word.strip() for word in given):
            raise ValueError(
                f"The label {label!r} has the words {list(given)}; an empty answer has no "
                "likelihood. Give each label at least one word, and no empty one."
            )
    return words


def needs_no_space(prompt: str) -> bool:
    """Tell whether a word follows this prompt without a space: after a line break."""
    return prompt.rstrip(" ")[-1:].isspace()


def spelled(prompt: str, word: str) -> str:
    """Write a word as it follows a prompt without trailing spaces."""
    return word if word[0].isspace() or needs_no_space(prompt) else f" {word}"


def encode_prompts(
    tokenizer, prompts: Sequence[str], prefix: str | None = None
) -> tuple[list[int], list[list[int]]]:
    """Turn a shared prefix and prompts into tokens, which joined are those of the joined text.

    Only the first prompt is checked: the others come from the same template.
    """
    if isinstance(prompts, str) or not len(prompts):
        raise ValueError(f"The prompts are {prompts!r}; give a list of at least one text.")
    prompts = [prompt.rstrip(" ") for prompt in prompts]
    if not prefix:
        first, rows = [], _tokens(tokenizer, prompts, starts=True)
    else:
        prefix, prompts = _parted(tokenizer, prefix, prompts)
        first = _tokens(tokenizer, [prefix], starts=True)[0] if prefix else []
        rows = _tokens(tokenizer, prompts, starts=not prefix)
    for i, row in enumerate(rows):
        if not row:
            raise ValueError(
                f"Prompt {i} is empty: there is no token to predict the next one from. Give it "
                "text, such as a template that is filled with an empty text."
            )
    return first, rows


def encode_words(
    tokenizer, words: Mapping[str, tuple[str, ...]], bare: bool
) -> list[tuple[str, list[int]]]:
    """Turn all labels' words into [(label, tokens)]; `bare` if the prompt ends in a line break."""
    encoded, seen = [], {}
    for label, given in words.items():
        for word in given:
            text = spelled("\n" if bare else "", word)
            if _adds_space(tokenizer):
                text = text.removeprefix(" ")
            ids = _tokens(tokenizer, [text], starts=False)[0]
            if not ids:
                raise ValueError(
                    f"The tokenizer leaves nothing of the word {word!r}; give another."
                )
            other = seen.setdefault(tuple(ids), (label, word))
            if other != (label, word) or (label, ids) in encoded:
                raise ValueError(
                    f"{word!r} of the label {label!r} and {other[1]!r} of {other[0]!r} are the "
                    "same tokens, so that their scores are the same. Give another word."
                )
            encoded.append((label, ids))
    return encoded


def check_room(
    tokenizer, prefix: list[int], rows: list[list[int]], answer: int, remedy: str
) -> None:
    """Refuse prompts that, with prefix and answer, are longer than the model can read."""
    limit = tokenizer.model_max_length - len(prefix) - answer
    long = [i for i, row in enumerate(rows) if len(row) > limit]
    if long:
        size = len(rows[long[0]])
        others = f" So are {len(long) - 1} others." if len(long) > 1 else ""
        raise ValueError(
            f"Prompt {long[0]} is too long: {size:,} tokens, after {len(prefix):,} of the prefix "
            f"and before {answer:,} of the answer, where the model reads "
            f"{tokenizer.model_max_length:,} in all.{others} {remedy}"
        )


def _tokens(tokenizer, texts: list[str], starts: bool) -> list[list[int]]:
    """Encode parts of a text; the first part gets the tokenizer's start tokens."""
    if not starts:
        return tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    begin, end = tokenizer.bos_token, tokenizer.eos_token_id
    written = bool(begin) and texts[0].startswith(begin)  # chat templates write it themselves
    rows = tokenizer(texts, add_special_tokens=not written, verbose=False)["input_ids"]
    plain = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    # Some tokenizers also add an end token, but a prompt goes on.
    return [
        row[:-1] if row[-1:] == [end] and inner[-1:] != [end] else row
        for row, inner in zip(rows, plain, strict=True)
    ]


def _parted(tokenizer, prefix: str, prompts: list[str]) -> tuple[str, list[str]]:
    """Move white space between prefix and prompts to the side where the tokens stay the same."""
    joined = _tokens(tokenizer, [prefix + prompts[0]], starts=True)[0]
    head = prefix.rstrip()
    for part in (head, prefix):
        moved = prefix[len(part) :]
        left = _tokens(tokenizer, [part], starts=True)[0] if part else []
        if left + _tokens(tokenizer, [moved + prompts[0]], starts=not part)[0] == joined:
            return part, [moved + prompt for prompt in prompts]
    raise ValueError(
        f"The prefix ends in {prefix[-20:]!r} and the first prompt begins with "
        f"{prompts[0][:20]!r}: apart they are other tokens than together. End the prefix with a "
        "line break, as few_shot_prompt does."
    )


def _adds_space(tokenizer) -> bool:
    """Tell whether the tokenizer itself puts a space before a text, as Llama 2's does."""
    first = tokenizer.convert_ids_to_tokens(_tokens(tokenizer, ["a"], starts=False)[0])[0]
    return first.startswith(("▁", "Ġ"))
