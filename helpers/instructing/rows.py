"""Texts and conversations as rows of tokens, with -100 as label where the loss does not count.

As in transformers, a label has the index of its own token: the loss compares it with the prediction
made one position before.
"""

from collections.abc import Iterable, Sequence

from datasets import Dataset

from helpers.decoding import document_rows
from helpers.networks import IGNORED

__all__ = ["chat_prompts", "chat_rows", "preference_pairs", "text_rows"]


def text_rows(tokenizer, texts: Sequence[str], max_tokens: int) -> Dataset:
    """Turn texts into rows for a language model: up to `max_tokens` of each, after a start token.

    The tokens are those of `decoding.document_losses`, so that the mean loss over all labels is the
    logarithm of its perplexity. Rows have `input_ids` and `labels`, the first label -100.

    Raises:
        ValueError: as for `decoding.document_rows`.
    """
    rows = document_rows(tokenizer, texts, max_tokens)
    return Dataset.from_dict({"input_ids": rows, "labels": [[IGNORED, *row[1:]] for row in rows]})


def chat_rows(
    tokenizer,
    chats: Iterable[Sequence[dict]],
    max_length: int | None = None,
) -> Dataset:
    """Turn conversations into rows (`input_ids`, `labels`) with a loss on the assistant's answers.

    An answer's tokens have labels, and so has its end token (the model must learn to stop) with
    what the template writes after it (usually a line break). Questions have none, since they will
    be given. What follows the last answer is left out.

    Args:
        tokenizer: must have a chat template.
        chats: lists of messages with `role` and `content`.
        max_length: longer rows are cut to so many tokens, and may keep no label.

    Raises:
        ValueError: if there is no chat template, a conversation has no answer, the template changes
            a message once another follows, or a row is too long for the model and `max_length` is
            None; the message names the row.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            "The tokenizer has no chat template: its model was not taught to chat. Load one that "
            "was, or set tokenizer.chat_template."
        )
    rows = []
    for i, chat in enumerate(chats):
        row = _chat_row(tokenizer, list(chat), f"Row {i}")
        if max_length is None and len(row["input_ids"]) > tokenizer.model_max_length:
            raise ValueError(
                f"Row {i} has {len(row['input_ids']):,} tokens; the model reads "
                f"{tokenizer.model_max_length:,}. Shorten its text, or give max_length to cut it."
            )
        rows.append({name: values[:max_length] for name, values in row.items()})
    return Dataset.from_list(rows)


def _chat_row(tokenizer, chat: list[dict], place: str) -> dict[str, list[int]]:
    """Tokens and labels of one conversation, up to its last answer."""
    ids: list[int] = []
    labels: list[int] = []
    for i, message in enumerate(chat):
        if message["role"] != "assistant":
            continue
        before = _tokens(tokenizer, chat[:i], add_generation_prompt=True)
        whole = _tokens(tokenizer, chat[: i + 1])
        if whole[: len(before)] != before or before[: len(ids)] != ids:
            raise ValueError(
                f"{place}: the chat template of this decoder writes a message otherwise once "
                "another follows, so answers cannot be told from questions. Give such "
                "conversations one answer each, or choose another decoder."
            )
        labels += [IGNORED] * (len(before) - len(labels)) + whole[len(before) :]
        ids = whole
    if not ids:
        raise ValueError(f"{place} has no answer of the assistant: there is nothing to learn.")
    return {"input_ids": ids, "labels": labels}


def _tokens(tokenizer, chat: list[dict], **options) -> list[int]:
    return list(tokenizer.apply_chat_template(chat, return_dict=True, **options)["input_ids"])


def chat_prompts(tokenizer, chats: Iterable[Sequence[dict]]) -> list[str]:
    """Write each conversation up to the start of its last answer, for `generate`."""
    return [
        tokenizer.apply_chat_template(list(chat)[:-1], tokenize=False, add_generation_prompt=True)
        for chat in chats
    ]


def preference_pairs(rows) -> Dataset:
    """Select the two answers to each question that preference learning needs.

    Returns the rows of `data.load_instructions` that have a rejected answer, with `prompt`,
    `chosen` and `rejected` as lists of messages.
    """
    return Dataset.from_list(
        [
            {
                "prompt": row["messages"][:-1],
                "chosen": [{"role": "assistant", "content": row["answer"]}],
                "rejected": [{"role": "assistant", "content": row["rejected"]}],
            }
            for row in rows
            if row["rejected"]
        ]
    )
