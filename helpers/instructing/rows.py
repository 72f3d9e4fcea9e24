"""Texts and conversations as rows of tokens, with a label where the loss counts and -100 elsewhere.

A label stands at the place of its own token, as transformers has it: the loss compares it with what
the model expected one place before.
"""

from collections.abc import Iterable, Sequence

from helpers.decoding import document_rows
from helpers.networks import IGNORED

__all__ = ["chat_prompts", "chat_rows", "preference_pairs", "text_rows"]


def text_rows(tokenizer, texts: Sequence[str], max_tokens: int):
    """Turn texts into rows for a language model: the beginning of each, after a start token.

    These are the tokens that `decoding.document_losses` reads, so that the mean loss over all
    labels is the logarithm of the perplexity that it gives.

    Args:
        tokenizer: of a decoder.
        texts: documents; none may be empty.
        max_tokens: predicted tokens of a text; what follows is left out.

    Returns:
        A Dataset with `input_ids` and `labels`, the first label -100.

    Raises:
        ValueError: if there is no text, one without a token, or one that is longer than the model
            reads; if the tokenizer has no token to begin with, or `max_tokens` is below 1.
    """
    from datasets import Dataset

    if not len(texts):
        raise ValueError("There is no text; give at least one.")
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; give at least 1.")
    rows = document_rows(tokenizer, list(texts), max_tokens)
    labels = [[IGNORED, *row[1:]] for row in rows]
    return Dataset.from_dict({"input_ids": rows, "labels": labels})


def chat_rows(tokenizer, chats: Iterable[Sequence[dict]], prompt_loss: bool = False):
    """Turn conversations into rows whose loss is that of the assistant's answers.

    An answer's tokens have labels, its end token too, since the model must learn to stop, and what
    the template writes behind that (a line break, as a rule). The question has none: it will
    always be given.

    Args:
        tokenizer: one with a chat template.
        chats: lists of messages, `role` and `content`; an answer of the assistant is the last one.
        prompt_loss: give every token a label, the question's too.

    Returns:
        A Dataset with `input_ids` and `labels`.

    Raises:
        ValueError: if there is no chat template, a conversation does not end with the assistant,
            the template writes a question otherwise once it is answered, or a row is longer than
            the model reads; the message names the row.
    """
    from datasets import Dataset

    if not tokenizer.chat_template:
        raise ValueError(
            "The tokenizer has no chat template: its model was not taught to chat. Load one that "
            "was, or set tokenizer.chat_template."
        )
    rows = [_chat_row(tokenizer, list(chat), f"Row {i}") for i, chat in enumerate(chats)]
    if prompt_loss:
        rows = [{"input_ids": row["input_ids"], "labels": row["input_ids"]} for row in rows]
    return Dataset.from_list(rows)


def chat_prompts(tokenizer, chats: Iterable[Sequence[dict]]) -> list[str]:
    """Write each conversation without its last answer, up to where that begins: for `generate`."""
    return [
        tokenizer.apply_chat_template(list(chat)[:-1], tokenize=False, add_generation_prompt=True)
        for chat in chats
    ]


def preference_pairs(rows):
    """Take from instructions what learning from preferences needs: two answers to one question.

    Args:
        rows: of `data.load_instructions`; those without a rejected answer are left out.

    Returns:
        A Dataset with `prompt`, `chosen` and `rejected`, each a list of messages.
    """
    from datasets import Dataset

    def said(answer: str) -> list[dict]:
        return [{"role": "assistant", "content": answer}]

    return Dataset.from_list(
        [
            {
                "prompt": row["messages"][:-1],
                "chosen": said(row["answer"]),
                "rejected": said(row["rejected"]),
            }
            for row in rows
            if row["rejected"]
        ]
    )


def _chat_row(tokenizer, chat: list[dict], place: str) -> dict:
    if not chat or chat[-1]["role"] != "assistant":
        raise ValueError(f"{place} does not end with the assistant: there is nothing to learn.")
    ids = _tokens(tokenizer, chat)
    if len(ids) > tokenizer.model_max_length:
        raise ValueError(
            f"{place} has {len(ids):,} tokens; the model reads {tokenizer.model_max_length:,}. "
            "Shorten its text."
        )
    labels = [IGNORED] * len(ids)
    for i, message in enumerate(chat):
        if message["role"] == "assistant":
            before = _tokens(tokenizer, chat[:i], add_generation_prompt=True)
            after = _tokens(tokenizer, chat[: i + 1])
            if ids[: len(before)] != before or ids[: len(after)] != after:
                raise ValueError(
                    f"{place}: the chat template writes what comes before an answer otherwise once "
                    "the answer is there. Give such conversations one answer each, or mend the "
                    "template."
                )
            labels[len(before) : len(after)] = ids[len(before) : len(after)]
    return {"input_ids": ids, "labels": labels}


def _tokens(tokenizer, chat: list[dict], **options) -> list[int]:
    return list(tokenizer.apply_chat_template(chat, return_dict=True, **options)["input_ids"])
