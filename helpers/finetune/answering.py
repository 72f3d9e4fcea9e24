"""Answers of a finished model to texts or chats."""

from collections.abc import Iterator
from pathlib import Path

from helpers.data import token_spans
from helpers.finetune.folder import load, open_folder
from helpers.tables import spans

__all__ = ["answer", "answer_in_parts", "check_inputs"]

# Inputs of a task; what is computed for them is let go, and can be kept, before the next. A kill
# should lose little of what is written slowly; fewer would be padded more, being of unlike lengths.
AT_ONCE = {"classification": 256, "ner": 256, "text": 64, "chat": 64}


def answer(
    folder: Path | str, inputs: list, base: str | None = None, max_new_tokens: int = 60
) -> list[dict]:
    """Answer texts (or chats) with the model in a folder.

    Args:
        folder: the `--output` of `course finetune`.
        inputs: texts; for a chat model also lists of messages.
        base: as for `load`.
        max_new_tokens: where a written answer is cut.

    Returns:
        One dict an input: `label` and `probability`; `entities` (dicts of `text`, `type`, `start`,
        `end`, counted in characters); or `generated`. Each has its `text` first.

    Raises:
        FolderError: if the folder does not hold a finished model.
        ValueError: if an input is empty; the message says which.
    """
    parts = answer_in_parts(folder, inputs, base, max_new_tokens)
    return [found for part in parts for found in part]


def answer_in_parts(
    folder: Path | str, inputs: list, base: str | None = None, max_new_tokens: int = 60
) -> Iterator[list[dict]]:
    """Answer as `answer` does, and give the answers some at a time, as they are found."""
    card = open_folder(folder)
    check_inputs(inputs)
    model = load(folder, base) if inputs else None
    size = AT_ONCE[card["task"]]
    for start in range(0, len(inputs), size):
        yield _answers(model, card, inputs[start : start + size], max_new_tokens)


def check_inputs(inputs: list) -> None:
    """Raise a ValueError that says which input is empty, if one is."""
    for i, item in enumerate(inputs):
        if not item or (isinstance(item, str) and not item.strip()):
            raise ValueError(f"Text {i + 1} is empty; give it words, or take it out.")


def _answers(model, card: dict, inputs: list, max_new_tokens: int) -> list[dict]:
    if card["task"] == "classification":
        table = model.probabilities(inputs)
        return [
            {"text": text, "label": card["label_names"][row.argmax()],
             "probability": round(float(row.max()), 6)}
            for text, row in zip(inputs, table, strict=True)
        ]  # fmt: skip
    if card["task"] == "ner":
        places = [token_spans(text) for text in inputs]
        words = [[text[a:b] for a, b in row] for text, row in zip(inputs, places, strict=True)]
        tags = model.tags(words)
        return [
            {"text": text, "entities": _entities(text, row, found)}
            for text, row, found in zip(inputs, places, tags, strict=True)
        ]
    shown = [item if isinstance(item, str) else item[-1]["content"] for item in inputs]
    written = model.write(inputs, max_new_tokens)
    return [{"text": t, "generated": w} for t, w in zip(shown, written, strict=True)]


def _entities(text: str, places: list[tuple[int, int]], tags: list[str]) -> list[dict]:
    return [
        {"text": text[places[start][0] : places[end - 1][1]], "type": kind,
         "start": places[start][0], "end": places[end - 1][1]}
        for kind, start, end in spans(tags)
    ]  # fmt: skip
