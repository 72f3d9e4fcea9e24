"""Instructions for a film assistant: 500 questions about reviews, with the answers wanted.

`data/instructions/` holds what was written for the course, and each review only by the sha256 of
its text. This module checks every row against its review and joins the two.
`data/instructions/README.md` says how they were made.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from helpers.data.reviews import LABEL_NAMES, held_out_texts
from helpers.data.stored import json_object, stored_lines
from helpers.runtime import ROOT, Profile

__all__ = [
    "INSTRUCTION_KINDS",
    "check_instructions",
    "instruction_reviews",
    "instruction_rows",
    "load_instructions",
]

FOLDER = ROOT / "data" / "instructions"
SPLITS = ("train", "validation", "test")
INSTRUCTION_KINDS = ("json", "sentiment", "question", "refuse", "rewrite")
KEYS = ("review", "kind", "instruction", "answer")
PREFERRED = ("question", "refuse")  # kinds that have a rejected answer, too
FIELDS = ("people", "titles")
REFUSAL = "The review does not say"
COPIED = 7  # words in a row that count as a copy of the review
COLUMNS = ("review", "text", *KEYS[1:], "rejected")


def instruction_rows(name: str, folder: Path = FOLDER) -> list[dict]:
    """Read one file of instructions as it stands, without the reviews' texts.

    Args:
        name: `"train"`, `"validation"` or `"test"`.
        folder: where the files lie.

    Returns:
        One dict a row: `review` (sha256 of the review's text), `kind`, `instruction`, `answer`,
        and `rejected` where the kind has one.

    Raises:
        FileNotFoundError: if there is no such file; the message names it.
        ValueError: if a line is not a JSON object; the message names file and line.
    """
    path = folder / f"{name}.jsonl"
    lines = stored_lines(path, "instructions")
    return [json_object(line, f"{path}, line {number}") for number, line in lines]


def instruction_reviews() -> frozenset[str]:
    """Name the reviews that the instructions are about, so that other texts can avoid them.

    Returns:
        The sha256 of each review's text, as `text_hash` gives it.
    """
    return frozenset(row["review"] for split in SPLITS for row in instruction_rows(split))


def check_instructions(
    rows: list[dict], texts: Mapping[str, tuple[str, int]], place: str = "instructions"
) -> None:
    """Refuse rows that would teach a form nobody wants, or that copy a review.

    Args:
        rows: as `instruction_rows` gives them.
        texts: sha256 of a review -> its text, and its label (1 is positive).
        place: what the rows came from, for the message.

    Raises:
        ValueError: if a row is not sound; the message names the line, what is wrong, and what to
            do.
    """
    seen: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows, start=1):
        wrong = _wrong_in(row, texts)
        if not wrong:
            first = seen.setdefault((row["review"], row["kind"]), number)
            if first != number:
                wrong = f"the same review and kind as line {first}; keep one of them"
        if wrong:
            raise ValueError(f"{place}, line {number}: {wrong}.")


def load_instructions(profile: Profile | None = None, folder: Path = FOLDER):
    """Load the instructions with the reviews they are about, as columns and as conversations.

    Args:
        profile: if given, its `train_rows` and `heldout_rows` cut the splits (for tests).
        folder: where the files lie.

    Returns:
        A DatasetDict with `train`, `validation` and `test`; no review is in two of them. Columns:
        `review` (sha256), `text`, `kind` (of `INSTRUCTION_KINDS`), `instruction`, `answer`,
        `rejected` (a worse answer, empty where there is none) and `messages` (what the user says,
        instruction and review, and what the assistant answers).

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a row is bad; the message names file, line and remedy.
        assets.AssetError: if the reviews are not cached and cannot be fetched.
    """
    from datasets import Dataset, DatasetDict, Features, List, Value

    message = {"role": Value("string"), "content": Value("string")}
    features = Features(dict.fromkeys(COLUMNS, Value("string")) | {"messages": List(message)})
    texts, loaded, owner = held_out_texts(), DatasetDict(), {}
    for split in SPLITS:
        rows = instruction_rows(split, folder)
        check_instructions(rows, texts, str(folder / f"{split}.jsonl"))
        for row in rows:
            first = owner.setdefault(row["review"], split)
            if first != split:
                raise ValueError(
                    f"{folder / f'{split}.jsonl'}: the review {row['review']} is in {first}, too; "
                    "keep it in one of them, or the test has been read before."
                )
        if profile:
            rows = rows[: profile.train_rows if split == "train" else profile.heldout_rows]
        examples = [_example(row, texts[row["review"]][0]) for row in rows]
        loaded[split] = Dataset.from_list(examples, features=features)
    return loaded


def _example(row: dict, text: str) -> dict:
    question = f"{row['instruction']}\n\nReview: {text}"
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": row["answer"]},
    ]
    return {"rejected": "", **row, "text": text, "messages": messages}


def _wrong_in(row: dict, texts: Mapping[str, tuple[str, int]]) -> str | None:
    """Say what is wrong with one row and how to mend it, the first thing only."""
    kind = row.get("kind")
    if kind not in INSTRUCTION_KINDS:
        return f"the kind is {kind!r}; use one of {', '.join(INSTRUCTION_KINDS)}"
    wanted = [*KEYS, *(["rejected"] if kind in PREFERRED else [])]
    if set(row) != set(wanted):
        return f"the keys are {', '.join(row)}; a row of kind {kind} has {', '.join(wanted)}"
    for key in wanted:
        value = row[key]
        if not isinstance(value, str) or not value or value != value.strip():
            return f"{key} is {value!r}; give text without spaces around it"
    if row["review"] not in texts:
        return f"no held-out review has the sha256 {row['review']}; take another review"
    text, label = texts[row["review"]]
    for key in wanted[2:]:
        copied = None if (kind, key) == ("json", "answer") else _copied(row[key], text)
        if copied:
            return f"{key} copies {copied!r} from the review; say it in other words"
    if kind == "json":
        return _wrong_in_names(row["answer"], text)
    return _wrong_in_form(row, kind, label)


def _wrong_in_form(row: dict, kind: str, label: int) -> str | None:
    answer = row["answer"]
    if kind == "sentiment":
        verdict = LABEL_NAMES[label].capitalize()
        if not re.fullmatch(rf"{verdict}\. \S.*\.", answer):
            return f"the answer is {answer!r}; write '{verdict}. ', the writer's rating, and why"
    refuses = answer.startswith(REFUSAL)
    if refuses != (kind == "refuse"):
        return f"the answer of a {kind} row is {answer!r}; only refuse begins with {REFUSAL!r}"
    if kind in PREFERRED and refuses == row["rejected"].startswith(REFUSAL):
        return f"answer and rejected differ in nothing but words; one begins with {REFUSAL!r}"
    return None


def _wrong_in_names(answer: str, text: str) -> str | None:
    try:
        names = json.loads(answer)
    except json.JSONDecodeError as error:
        return f"the answer is not JSON ({error}); write it with json.dumps"
    if not isinstance(names, dict) or list(names) != list(FIELDS):
        return f"the answer is {answer}; give an object with {' and '.join(FIELDS)}, in this order"
    if json.dumps(names, ensure_ascii=False) != answer:
        return "the answer is spelled otherwise; write it with json.dumps(..., ensure_ascii=False)"
    for field, found in names.items():
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            return f"{field} is {found!r}; give a list of names"
        if len(set(found)) < len(found):
            return f"{field} has a name twice: {found}; keep the first"
        places = [text.find(name) for name in found]
        if -1 in places:
            return f"{found[places.index(-1)]!r} is not in the review; spell it as there"
        if places != sorted(places):
            return f"{field} is out of order: {found}; order names by their first mention"
    return None


def _copied(written: str, text: str) -> str | None:
    """Give the first words of a text that stand in a row in the review, too."""
    mine, theirs = (re.findall(r"\w+", each.lower()) for each in (written, text))
    runs = {tuple(theirs[i : i + COPIED]) for i in range(len(theirs) - COPIED + 1)}
    for i in range(len(mine) - COPIED + 1):
        if tuple(mine[i : i + COPIED]) in runs:
            return " ".join(mine[i : i + COPIED])
    return None
