"""Prompts as data: a text with a gap, the words that answer it, and examples before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from helpers.decoding.tokens import label_words, spelled

__all__ = ["FewShot", "Prompt", "few_shot_prompt"]

GAP = "{text}"
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
        separator: between instruction, examples and question.

    Raises:
        ValueError: if the gap is missing or there twice, or a label has no word.
    """

    name: str
    text: str
    labels: Mapping[str, str | Sequence[str]]
    instruction: str = ""
    separator: str = "\n\n"
    words: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.text.count(GAP) != 1:
            raise ValueError(
                f"The prompt {self.name!r} has {self.text.count(GAP)} places for the text; write "
                f"{GAP} once."
            )
        if not self.separator.strip("\n") == "" or not self.separator:
            raise ValueError(
                f"The separator of {self.name!r} is {self.separator!r}; examples are told apart by "
                "line breaks."
            )
        object.__setattr__(self, "words", label_words(self.labels))

    def fill(self, text: str) -> str:
        """Put a text into the gap, without the white space around it."""
        return self.text.replace(GAP, text.strip())

    def answer(self, label: str | int) -> str:
        """Give the usual word for a label, by its name or its number.

        Raises:
            ValueError: if there is no such label.
        """
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
    """A prompt with its examples in place: what all questions share, and what differs.

    Attributes:
        prefix: shared by all questions; `label_scores(prefix=...)` runs it once. May be empty.
        before: what stands between the prefix and the text.
        after: what stands between the text and the answer.
    """

    prefix: str
    before: str
    after: str

    def fill(self, text: str) -> str:
        """Give the question about a text, without the prefix: for `label_scores`."""
        return f"{self.before}{text.strip()}{self.after}"

    def whole(self, text: str) -> str:
        """Give the prefix and the question: for `generate`, or to look at."""
        return self.prefix + self.fill(text)


def few_shot_prompt(
    template: Prompt, examples: Sequence[tuple[str, str | int]] = (), *, tokenizer=None
) -> FewShot:
    """Put worked examples before a question, as GPT-3 is shown its task (Brown et al. 2020).

    Args:
        template: the question.
        examples: (text, label) pairs in the order in which they are shown; none for zero-shot.
        tokenizer: of an instruction-tuned model, to write everything as a chat in its template:
            an example is then a question of the user and an answer of the assistant.

    Returns:
        A FewShot; `prompts = [shots.fill(text) for text in texts]`.

    Raises:
        ValueError: for an example with an unknown label, or a tokenizer without chat template.
    """
    shown = [(template.fill(text), template.answer(label)) for text, label in examples]
    if tokenizer is not None:
        return _as_chat(template, shown, tokenizer)
    top = [template.instruction] if template.instruction else []
    parts = [*top, *(question + spelled(question, word) for question, word in shown)]
    before, _, after = template.text.partition(GAP)
    return FewShot("".join(part + template.separator for part in parts), before, after)


def _as_chat(template: Prompt, shown: list[tuple[str, str]], tokenizer) -> FewShot:
    if not tokenizer.chat_template:
        raise ValueError(
            f"The tokenizer {tokenizer.name_or_path} has no chat template: its model was not "
            "taught to chat. Leave tokenizer out for a plain prompt."
        )
    top = template.instruction + template.separator if template.instruction else ""
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
