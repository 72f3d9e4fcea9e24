"""Instructions for a film assistant: 500 questions about reviews, with the intended answers.

`data/instructions/` has each review only as the sha256 of its text; this module joins the two.
`data/instructions/README.md` says how they were written.
"""

from datasets import Dataset, DatasetDict, Features, List, Value

from helpers.data.reviews import held_out_text
from helpers.data.stored import stored_rows
from helpers.runtime import Profile

__all__ = [
    "FIELDS",
    "INSTRUCTION_KINDS",
    "instruction_reviews",
    "instruction_rows",
    "load_instructions",
]

SPLITS = ("train", "validation", "test")
INSTRUCTION_KINDS = ("json", "sentiment", "question", "refuse", "rewrite")
FIELDS = ("people", "titles")
"""What an answer of kind `json` lists, in this order."""
COLUMNS = ("review", "text", "kind", "instruction", "answer", "rejected")


def instruction_rows(name: str) -> list[dict]:
    """Read `"train"`, `"validation"` or `"test"` as it is, without the reviews' texts.

    Returns:
        One dict per row: `review` (sha256 of the review's text), `kind`, `instruction`, `answer`,
        and `rejected` where the kind has one.
    """
    return stored_rows("instructions", name)


def instruction_reviews() -> frozenset[str]:
    """Sha256 of the reviews that the instructions are about, so that other texts avoid them."""
    return frozenset(row["review"] for split in SPLITS for row in instruction_rows(split))


def load_instructions(profile: Profile | None = None) -> DatasetDict:
    """Load the instructions with their reviews, as columns and as conversations.

    The `train_rows` and `heldout_rows` of a profile cut the splits (for tests).

    Returns:
        `train`, `validation` and `test`; no review is in two of them. Columns: `review` (sha256),
        `text`, `kind` (of `INSTRUCTION_KINDS`), `instruction`, `answer`, `rejected` (a worse
        answer, or empty) and `messages` (user: instruction and review; assistant: answer).

    Raises:
        ValueError, assets.AssetError: as `held_out_text`.
    """
    message = {"role": Value("string"), "content": Value("string")}
    features = Features(dict.fromkeys(COLUMNS, Value("string")) | {"messages": List(message)})
    loaded = DatasetDict()
    for split in SPLITS:
        rows = instruction_rows(split)
        if profile:
            rows = rows[: profile.train_rows if split == "train" else profile.heldout_rows]
        loaded[split] = Dataset.from_list([_example(row) for row in rows], features=features)
    return loaded


def _example(row: dict) -> dict:
    text = held_out_text(row["review"])
    messages = [
        {"role": "user", "content": f"{row['instruction']}\n\nReview: {text}"},
        {"role": "assistant", "content": row["answer"]},
    ]
    return {"rejected": "", **row, "text": text, "messages": messages}
