"""Prompts as data: a text with a gap, and the words that answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from datasets import Dataset

from helpers.decoding.tokens import (
    check_room,
    encode_prompts,
    encode_words,
    label_words,
    needs_no_space,
    spelled,
)
from helpers.pretrained import Pretrained, body_of

__all__ = ["FewShot", "Prompt", "few_shot_prompt", "head_from_words", "prompt_rows"]

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
        separator: between instruction, examples and question; line breaks.

    Raises:
        ValueError: if the gap is missing or there twice, a label has no word, or the separator is
            not line breaks.
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


def head_from_words(loaded: Pretrained, prompt: Prompt) -> None:
    """Set a classifier's head to the vectors of a prompt's usual label words, in place.

    A language model with tied word vectors scores the next word by the product of the word's vector
    and the last state. A head with these vectors therefore starts with the answers of zero-shot,
    and fine-tuning continues from there (with prompts, Gao et al. 2021).

    Raises:
        ValueError: if the model does not predict with its input vectors, the number of labels
            differs, or a word is more than one token.
    """
    model = loaded.model
    if not body_of(model).config.tie_word_embeddings:
        raise ValueError(
            f"{loaded.name} predicts words with other vectors than it reads them with, and a "
            "classifier has only the latter. Leave its head as it is."
        )
    if len(prompt.words) != model.num_labels:
        raise ValueError(
            f"The prompt {prompt.name!r} has {len(prompt.words)} labels and the model "
            f"{model.num_labels}; load it with label_names={list(prompt.words)}."
        )
    usual = {label: words[:1] for label, words in prompt.words.items()}
    encoded = encode_words(loaded.tokenizer, usual, needs_no_space(prompt.text))
    long = [usual[label][0] for label, ids in encoded if len(ids) > 1]
    if long:
        raise ValueError(f"{long[0]!r} is more than one token of {loaded.name}; give a short word.")
    vectors = body_of(model).get_input_embeddings().weight
    with torch.no_grad():
        model.head.weight.copy_(vectors[[ids[0] for _, ids in encoded]])
        model.head.bias.zero_()
