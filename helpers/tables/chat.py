"""Read and write the user's own instructions: chat JSONL, as fine-tuning services take it.

Each line is one conversation: {"messages": [{"role": "user", "content": "..."}, {"role":
"assistant", "content": "..."}]}. A system message may open it; then user and assistant alternate,
and the assistant comes last, because its answers are what the model learns.
"""

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from datasets import Dataset, Features, List, Value

from helpers.files import write_text
from helpers.tables.text import (
    Problems,
    check_characters,
    list_places,
    list_repeats,
    read_json_lines,
    read_text,
    shorten,
    warn_of,
    with_warnings,
)

__all__ = ["ChatTable", "load_chat", "write_chat"]

ROLES = ("system", "user", "assistant")
KEYS = ("role", "content")
ALIASES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
FORMAT = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", ...}]}'
# Keys of other common layouts, and how to convert them.
OTHER_LAYOUTS = {
    "conversations": 'ShareGPT: rename "from" to "role" and "value" to "content"',
    "instruction": 'Alpaca: instruction and input become the user, output the "assistant"',
    "prompt": "prompt and completion: they become one user and one assistant message",
    "role": "single messages: put those of one conversation into one list",
}


@dataclass(frozen=True)
class ChatTable:
    """Conversations for a chat template: a list of {"role", "content"} in each row's `messages`."""

    dataset: Dataset
    warnings: list[str] = field(default_factory=list)
    source: str = "chat"

    def report(self) -> str:
        """Summarise the file: conversations, turns, answer lengths, warnings."""
        chats = self.dataset["messages"][:]
        answers = [m["content"] for chat in chats for m in chat if m["role"] == "assistant"]
        words = [len(answer.split()) for answer in answers]
        systems = sum(chat[0]["role"] == "system" for chat in chats)
        lines = [
            f"{self.source}: {len(chats):,} conversations, {len(answers):,} answers",
            f"  with a system message: {systems:,}",
            f"  words in an answer: median {median(words):g}, longest {max(words):,}",
        ]
        return with_warnings(lines, self.warnings)


def load_chat(path: str | Path, *, encoding: str = "utf-8") -> ChatTable:
    """Load conversations from chat JSONL, or say exactly what to mend in them.

    Keys other than role and content are left out, with a warning.

    Raises:
        TableError: if the file cannot be read or a conversation is malformed. The message names
            line and message, counted from messages[0], for up to five of each kind.
    """
    path = Path(path)
    rows = read_json_lines(path, read_text(path, encoding))
    problems = Problems(path)
    for row in rows:
        _check_conversation(row.values, row.place, problems)
    problems.raise_if_any()
    chats = [
        [{key: message[key] for key in KEYS} for message in row.values["messages"]] for row in rows
    ]
    places = [row.place for row in rows]
    repeats = list_repeats([json.dumps(chat, sort_keys=True) for chat in chats], places)
    warnings = _warn_keys([row.values for row in rows], places) + warn_of(
        "Conversations that repeat an earlier one",
        repeats,
        "Delete them: what stands twice is learned by heart.",
    )
    features = Features({"messages": List({key: Value("string") for key in KEYS})})
    dataset = Dataset.from_dict({"messages": chats}, features=features)
    return ChatTable(dataset, warnings, path.name)


def write_chat(path: str | Path, conversations: Iterable[list[dict] | dict]) -> Path:
    """Write conversations as chat JSONL that `load_chat` and fine-tuning services accept.

    Nothing is written unless every conversation is valid, and an earlier file stays until the new
    one is complete. The folder is made if it is missing.

    Args:
        conversations: lists of {"role", "content"} messages, or dicts with a key `messages`.

    Raises:
        TableError: if there is none, or one is malformed or has other keys.
    """
    path = Path(path)
    problems = Problems(path)
    chats = [c if isinstance(c, dict) else {"messages": c} for c in conversations]
    if not chats:
        problems.stop("", "There is no conversation to write.", "Give at least one.")
    places = [f"conversation {number}" for number in range(1, len(chats) + 1)]
    for chat, place in zip(chats, places, strict=True):
        _check_conversation(chat, place, problems)
    problems.raise_if_any()
    for unknown in _warn_keys(chats, places):
        problems.add("", unknown, "Leave these keys out of what you write.")
    problems.raise_if_any()
    lines = "".join(json.dumps(chat, ensure_ascii=False) + "\n" for chat in chats)
    write_text(path, lines)
    return path


def _check_conversation(chat: dict, place: str, problems: Problems) -> None:
    messages = chat.get("messages")
    if "messages" not in chat:
        near = difflib.get_close_matches("messages", [str(key) for key in chat], n=1)
        other = next((hint for key, hint in OTHER_LAYOUTS.items() if key in chat), None)
        remedy = f"Write each line as {FORMAT}."
        if near:
            remedy = f'Rename {near[0]!r} to "messages".'
        elif other:
            remedy += f" This looks like {other}."
        what = f'there is no "messages"; the keys are {shorten(list(chat))}'
        problems.add(place, what, remedy)
    elif not isinstance(messages, list) or not messages:
        what = f'"messages" should be a list with at least one message: {shorten(messages)}'
        problems.add(place, what, f"Write each line as {FORMAT}.")
    else:
        roles = [
            _check_message(m, f"{place}, messages[{i}]", problems) for i, m in enumerate(messages)
        ]
        if None not in roles:
            _check_order(roles, place, problems)


def _check_message(message: object, place: str, problems: Problems) -> str | None:
    """Note what is wrong with a message; return its role if that is one of the three."""
    if not isinstance(message, dict):
        what = f"a message should be an object: {shorten(message)}"
        problems.add(place, what, 'Write {"role": "user", "content": "..."}.')
        return None
    for key in KEYS:
        if key not in message:
            what = f'there is no "{key}"; the keys are {shorten(list(message))}'
            problems.add(place, what, 'Give every message a "role" and a "content".')
    role, content = message.get("role"), message.get("content", "none")
    if "role" in message and role not in ROLES:
        name = str(role).strip().lower()
        near = difflib.get_close_matches(name, ROLES, n=1)
        guess = ALIASES.get(name, near[0] if near else None)
        remedy = "Use the roles system, user and assistant."
        remedy += f" Write {guess!r} for {role!r}." if guess else ""
        problems.add(place, f"the role is {shorten(role)}", remedy)
    if not isinstance(content, str):
        what = f"the content is a {type(content).__name__} and not a string: {shorten(content)}"
        remedy = "Write the content as one string; images cannot be used here."
        problems.add(place, what, remedy)
    elif not content.strip():
        what = f"the content is empty: {content!r}"
        problems.add(place, what, "Fill it in, or delete the line.")
    else:
        check_characters(content, "content", place, problems)
    return role if role in ROLES else None


def _check_order(roles: list[str], place: str, problems: Problems) -> None:
    start = 1 if roles[0] == "system" else 0
    remedy = (
        "Order each conversation as system (optional, once, first), user, assistant, user, "
        "assistant ...; join two messages of one speaker into one."
    )
    for i, role in enumerate(roles[start:], start=start):
        expected = ("user", "assistant")[(i - start) % 2]
        if role != expected:
            what = f"the role is {role!r} where {expected!r} should speak"
            problems.add(f"{place}, messages[{i}]", what, remedy)
            return
    if roles[-1] != "assistant":
        what = f"the last role is {roles[-1]!r}: there is no answer to learn from"
        remedy = "End every conversation with an assistant message, or delete the line."
        problems.add(f"{place}, messages[{len(roles) - 1}]", what, remedy)


def _warn_keys(chats: list[dict], places: list[str]) -> list[str]:
    unknown: dict[str, list[str]] = {}
    for chat, place in zip(chats, places, strict=True):
        for key in chat:
            if key != "messages":
                unknown.setdefault(f"Key {key!r} beside messages", []).append(place)
        for i, message in enumerate(chat["messages"]):
            for key in message:
                if key not in KEYS:
                    what = f"Key {key!r} in a message"
                    unknown.setdefault(what, []).append(f"{place}, messages[{i}]")
    return [
        f"{what} is not used ({len(found):,}: {list_places(found)})."
        for what, found in unknown.items()
    ]
