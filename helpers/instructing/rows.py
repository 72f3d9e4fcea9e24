"""Texts and conversations as rows of tokens, with a label where the loss counts and -100 elsewhere.

A label stands at the place of its own token, as transformers has it: the loss compares it with what
the model expected one place before.
"""

from collections.abc import Iterable, Sequence

from datasets import Dataset

from helpers.decoding import document_rows
from helpers.networks import IGNORED

__all__ = ["chat_prompts", "chat_rows", "preference_pairs", "text_rows"]


def text_rows(tokenizer, texts: Sequence[str], max_tokens: int) -> Dataset:
    """Turn texts into rows for a language model: the beginning of each, after a start token.

    These are the tokens that `decoding.document_losses` reads, so that the mean loss over all
    labels is the logarithm of the perplexity that it gives.

    Args:
        tokenizer: of a decoder.
        texts: documents; none may be empty.
        max_tokens: predicted tokens of a text; what follows is left out.

    Returns:
        Rows with `input_ids` and `labels`, the first label -100.

    Raises:
        ValueError: as `decoding.document_rows`.
    """
    rows = document_rows(tokenizer, texts, max_tokens)
    return Dataset.from_dict({"input_ids": rows, "labels": [[IGNORED, *row[1:]] for row in rows]})


def chat_rows(
    tokenizer,
    chats: Iterable[Sequence[dict]],
    prompt_loss: bool = False,
    max_length: int | None = None,
) -> Dataset:
    """Turn conversations into rows whose loss is that of the assistant's answers.

    An answer's tokens have labels, its end token too, since the model must learn to stop, and what
    the template writes behind that (a line break, as a rule). The question has none: it will
    always be given. What follows the last answer is left out.

    Args:
        tokenizer: one with a chat template.
        chats: lists of messages, `role` and `content`.
        prompt_loss: give every token a label, the question's too.
        max_length: longer rows are cut to so many tokens, and may keep no label.

    Returns:
        Rows with `input_ids` and `labels`, one a conversation.

    Raises:
        ValueError: if there is no chat template, a conversation has no answer, the template writes
            a message otherwise once another follows, or a row is longer than the model reads and
            not to be cut; the message names the row.
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
        if prompt_loss:
            row["labels"] = row["input_ids"]
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
    """Write each conversation without its last answer, up to where that begins: for `generate`."""
    return [
        tokenizer.apply_chat_template(list(chat)[:-1], tokenize=False, add_generation_prompt=True)
        for chat in chats
    ]


def preference_pairs(rows) -> Dataset:
    """Take from instructions what learning from preferences needs: two answers to one question.

    Args:
        rows: of `data.load_instructions`; those without a rejected answer are left out.

    Returns:
        Rows with `prompt`, `chosen` and `rejected`, each a list of messages.
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
