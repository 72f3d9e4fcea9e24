"""Prompts as data, and their tokens: where a prompt ends and an answer begins.

A byte-level tokenizer writes a space into the word after it: " good" is one token and "good"
another. Two rules keep the parts consistent, so that their tokens are those of the joined text:

- Prompt and answer: spaces at the end of a prompt are removed, and the word gets one space in
  front, but none after a line break (as a chat template ends) or before white space of its own.
- Prefix and prompt: line breaks between them go to the side that leaves the tokens as in the joined
  text. If neither side does, that is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datasets import Dataset

from helpers.pretrained import Pretrained

__all__ = ["FewShot", "Prompt", "check_room", "encode_prompts", "encode_words", "few_shot_prompt"]
__all__ += ["label_words", "needs_no_space", "prompt_rows"]

GAP = "{text}"
BREAK = "\n\n"  # between instruction, examples and question
MARK = "\ufffc"  # stands for the text while a chat template is filled; no text holds it


@dataclass(frozen=True)
class Prompt:
    """A question about a text, and the words that count as each answer.

    Attributes:
        name: what figures call it.
        text: has `{text}` once, and ends where the answer begins.
        labels: label -> its word, or its words with the usual one first, in the order of the
            classes.
        instruction: stands once, above everything.

    Raises:
        ValueError: if the gap is missing or there twice, or a label has no word.
    """

    name: str
    text: str
    labels: Mapping[str, str | Sequence[str]]
    instruction: str = ""
    words: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.text.count(GAP) != 1:
            raise ValueError(
                f"The prompt {self.name!r} has {self.text.count(GAP)} places for the text; write "
                f"{GAP} once."
            )
        object.__setattr__(self, "words", label_words(self.labels))

    def fill(self, text: str) -> str:
        """Put a text into the gap, without surrounding white space."""
        return self.text.replace(GAP, text.strip())

    def answer(self, label: str | int) -> str:
        """Return the usual word for a label, given by its name or its number."""
        names = list(self.words)
        if isinstance(label, str) and label in names:
            return self.words[label][0]
        if not isinstance(label, str) and 0 <= label < len(names):
            return self.words[names[label]][0]
        raise ValueError(
            f"The prompt {self.name!r} has no label {label!r}; its labels are {', '.join(names)}, "
            f"0 to {len(names) - 1}."
        )


@dataclass(frozen=True)
class FewShot:
    """A prompt with its examples in place.

    `prefix` is what all questions share, read once by `label_scores(prefix=...)`; it may be empty.
    `before` and `after` surround the text that is asked about.
    """

    prefix: str
    before: str
    after: str

    def fill(self, text: str) -> str:
        """Return the question about a text without the prefix, for `label_scores`."""
        return f"{self.before}{text.strip()}{self.after}"

    def whole(self, text: str) -> str:
        """Return prefix and question, for `generate`."""
        return self.prefix + self.fill(text)


def few_shot_prompt(
    template: Prompt, examples: Sequence[tuple[str, str | int]] = (), *, tokenizer=None
) -> FewShot:
    """Put worked examples before a question, as for GPT-3 (Brown et al. 2020).

    Args:
        examples: (text, label) pairs in the order in which they are shown; none for zero-shot.
        tokenizer: of an instruction-tuned model, to write everything as a chat in its template: an
            example is then a user's question and the assistant's answer.

    Raises:
        ValueError: for an example with an unknown label, or a tokenizer without chat template.
    """
    shown = [(template.fill(text), template.answer(label)) for text, label in examples]
    if tokenizer is not None:
        return _as_chat(template, shown, tokenizer)
    top = [template.instruction] if template.instruction else []
    parts = [*top, *(question + spelled(question, word) for question, word in shown)]
    before, _, after = template.text.partition(GAP)
    return FewShot("".join(part + BREAK for part in parts), before, after)


def _as_chat(template: Prompt, shown: list[tuple[str, str]], tokenizer) -> FewShot:
    if not tokenizer.chat_template:
        raise ValueError(
            f"The tokenizer {tokenizer.name_or_path} has no chat template: its model was not "
            "taught to chat. Leave tokenizer out for a plain prompt."
        )
    top = template.instruction + BREAK if template.instruction else ""
    turns = []
    for question, word in [*shown, (template.fill(MARK), "")]:
        turns.append({"role": "user", "content": top + question})
        turns.append({"role": "assistant", "content": word})
        top = ""
    whole = tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
    prefix = ""
    if shown:
        prefix = tokenizer.apply_chat_template(turns[:-2], tokenize=False)
        if not whole.startswith(prefix):  # a template that writes the last turn otherwise
            prefix = ""
    before, _, after = whole[len(prefix) :].partition(MARK)
    return FewShot(prefix, before, after)


def prompt_rows(
    loaded: Pretrained, prompts: Sequence[str], labels: Sequence[int] | None = None
) -> Dataset:
    """Turn filled prompts into rows for `training.fit` and `predict` of a classifier.

    The tokens are those that `label_scores` reads. No prompt is cut: its end is the question.

    Raises:
        ValueError: if a prompt is empty, or longer than the model reads.
    """
    _, ids = encode_prompts(loaded.tokenizer, prompts)
    check_room(loaded.tokenizer, [], ids, 0, "Shorten its text.")
    return Dataset.from_dict({"input_ids": ids} | ({} if labels is None else {"labels": labels}))


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
