"""What the course annotated and wrote itself, stored in `data/` and joined with its reviews here.

- film_ner: names in 1,200 sentences of film reviews;
- instructions: 500 questions about reviews for a film assistant, with the intended answers;
- minimal_pairs: pairs of sentences of which one is right, and the other, a word away, is wrong.
  A model that gives the right one the higher probability knows the rule, even if it was never
  taught to follow instructions.

No review is stored there: the files name it by the sha256 of its text, and a sentence or a name by
its offsets. The `README.md` of each folder says how it was made.
"""

import json
import re
from collections.abc import Callable

from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from helpers.data.reviews import held_out_text
from helpers.runtime import ROOT, Profile

__all__ = ["FIELDS", "INSTRUCTION_KINDS", "NER_TAGS", "NER_TYPES", "film_ner_reviews"]
__all__ += ["instruction_reviews", "iob2_tags", "load_film_ner", "load_instructions"]
__all__ += ["load_minimal_pairs", "stored_rows", "token_spans"]

SPLITS = ("train", "validation", "test")
NER_TYPES = ("CHAR", "LOC", "ORG", "PER", "WORK")
NER_TAGS = ["O", *(f"{prefix}-{kind}" for kind in NER_TYPES for prefix in "BI")]

# A possessive 's is a token, because it never belongs to a name; abbreviations with full stops
# (U.S.) are one token; other punctuation, also a hyphen, is a token, because a name may end at it
# (pro-Franco).
TOKEN = re.compile(
    r"""
      ['’´`][sS]\b                                       # 's
    | (?:[^\W\d_]\.){2,}                                 # F.B.I.
    | \w+ (?: ['’](?![sS]\b) \w+ )*                      # don't, O'Brien
    | [^\w\s]                                            # one sign
    """,
    re.VERBOSE,
)

INSTRUCTION_KINDS = ("json", "sentiment", "question", "refuse", "rewrite")
FIELDS = ("people", "titles")
"""What an answer of kind `json` lists, in this order."""
COLUMNS = ("review", "text", "kind", "instruction", "answer", "rejected")


def stored_rows(folder: str, name: str) -> list[dict]:
    """Read `data/{folder}/{name}.jsonl` as it is, without the reviews' texts.

    Names are those of the splits; `film_ner` also has `first_pass` and `second_pass`, 150 sentences
    that were annotated twice. A FileNotFoundError says how to restore a missing file.
    """
    path = ROOT / "data" / folder / f"{name}.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}. It is part of the repository: `git checkout "
            f"data/{folder}` brings it back; in an unpacked zip, unpack it again."
        )
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _joined(
    folder: str, example: Callable, features: Features, profile: Profile | None
) -> DatasetDict:
    """The splits of a folder with the reviews' texts, cut to the sizes of a profile."""
    loaded = DatasetDict()
    for split in SPLITS:
        rows = stored_rows(folder, split)
        if profile:
            rows = rows[: profile.train_rows if split == "train" else profile.heldout_rows]
        loaded[split] = Dataset.from_list([example(row) for row in rows], features=features)
    return loaded


def film_ner_reviews() -> frozenset[str]:
    """Sha256 of the reviews that the sentences come from, so that other texts avoid them."""
    every = [row for split in SPLITS for row in stored_rows("film_ner", split)]
    return frozenset(row["review"] for row in every)


def token_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of the words and punctuation marks; every annotated name is whole tokens."""
    return [match.span() for match in TOKEN.finditer(text)]


def iob2_tags(tokens: list[tuple[int, int]], spans: list[tuple[int, int, str]]) -> list[str]:
    """Write names as one tag per token: B-TYPE where a name starts, I-TYPE inside it, O elsewhere.

    Args:
        tokens: (start, end) of each token, in order.
        spans: (start, end, type) of each name, with the same offsets; each name is whole tokens,
            and no two overlap.
    """
    starts = {start: i for i, (start, _) in enumerate(tokens)}
    ends = {end: i for i, (_, end) in enumerate(tokens)}
    tags = ["O"] * len(tokens)
    for start, end, kind in spans:
        for i in range(starts[start], ends[end] + 1):
            tags[i] = f"I-{kind}"
        tags[starts[start]] = f"B-{kind}"
    return tags


def load_film_ner(profile: Profile | None = None) -> DatasetDict:
    """Load the tagging task: names of five types in sentences from film reviews.

    The types are PER (real people), CHAR (fictional beings), WORK (titles), LOC and ORG. The
    `train_rows` and `heldout_rows` of a profile cut the splits (for tests).

    Returns:
        600 `train`, 200 `validation` and 400 `test` sentences, each from a different review.
        Columns: `text` (the sentence), `tokens`, `tags` (ids of `NER_TAGS`, one per token), `spans`
        (dicts of `start`, `end`, `type`, offsets in `text`), `review` (sha256).

    Raises:
        ValueError, assets.AssetError: as `held_out_text`.
    """
    span = {"start": Value("int32"), "end": Value("int32"), "type": Value("string")}
    features = Features(
        {
            "text": Value("string"),
            "tokens": List(Value("string")),
            "tags": List(ClassLabel(names=NER_TAGS)),
            "spans": List(span),
            "review": Value("string"),
        }
    )
    return _joined("film_ner", _film_ner_example, features, profile)


def _film_ner_example(row: dict) -> dict:
    offset = row["start"]
    text = held_out_text(row["review"])[offset : row["end"]]
    spans = [(start - offset, end - offset, kind) for start, end, kind in row["spans"]]
    tokens = token_spans(text)
    return {
        "text": text,
        "tokens": [text[start:end] for start, end in tokens],
        "tags": [NER_TAGS.index(tag) for tag in iob2_tags(tokens, spans)],
        "spans": [{"start": s, "end": e, "type": kind} for s, e, kind in spans],
        "review": row["review"],
    }


def instruction_reviews() -> frozenset[str]:
    """Sha256 of the reviews that the instructions are about, so that other texts avoid them."""
    every = [row for split in SPLITS for row in stored_rows("instructions", split)]
    return frozenset(row["review"] for row in every)


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
    return _joined("instructions", _instruction_example, features, profile)


def _instruction_example(row: dict) -> dict:
    text = held_out_text(row["review"])
    messages = [
        {"role": "user", "content": f"{row['instruction']}\n\nReview: {text}"},
        {"role": "assistant", "content": row["answer"]},
    ]
    return {"rejected": "", **row, "text": text, "messages": messages}


def load_minimal_pairs(profile: Profile | None = None) -> Dataset:
    """Load the pairs that test whether a language model kept its grammar, in a fixed order.

    120 pairs with the columns `phenomenon` (12, with 10 pairs each), `good` and `bad` (sentences).
    A profile's `heldout_rows` cuts the list (for tests), as evenly among the phenomena as possible.
    """
    pairs = stored_rows("minimal_pairs", "pairs")
    if profile and profile.heldout_rows is not None:
        # Ten pairs of each phenomenon stand together.
        kept = sorted(range(len(pairs)), key=lambda i: i % 10)[: profile.heldout_rows]
        pairs = [pairs[i] for i in sorted(kept)]
    return Dataset.from_list(pairs)
