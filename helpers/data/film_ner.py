"""Names in film reviews: 1,200 sentences, stored as offsets and joined with their texts here.

`data/film_ner/` has no text: a review is named by its text's sha256, a sentence and its names by
offsets. `data/film_ner/README.md` says how they were annotated.
"""

import re

from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from helpers.data.reviews import held_out_text
from helpers.data.stored import stored_rows
from helpers.runtime import Profile

__all__ = [
    "NER_TAGS",
    "NER_TYPES",
    "film_ner_reviews",
    "film_ner_rows",
    "iob2_tags",
    "load_film_ner",
    "token_spans",
]

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


def film_ner_rows(name: str) -> list[dict]:
    """Read one file of annotations as it is, without any text.

    Args:
        name: `"train"`, `"validation"` or `"test"`; also `"first_pass"` or `"second_pass"`, the
            150 sentences that were annotated twice.

    Returns:
        One dict per sentence: `review` (sha256 of the review's text), `start` and `end` (characters
        in that text), `drawn` (`"capital"` or `"random"`), `spans` (a list of [start, end, type],
        offsets in the review's text as well).
    """
    return stored_rows("film_ner", name)


def film_ner_reviews() -> frozenset[str]:
    """Sha256 of the reviews that the sentences come from, so that other texts avoid them."""
    return frozenset(row["review"] for split in SPLITS for row in film_ner_rows(split))


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
    loaded = DatasetDict()
    for split in SPLITS:
        rows = film_ner_rows(split)
        if profile:
            rows = rows[: profile.train_rows if split == "train" else profile.heldout_rows]
        loaded[split] = Dataset.from_list([_example(row) for row in rows], features=features)
    return loaded


def _example(row: dict) -> dict:
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
