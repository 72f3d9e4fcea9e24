"""The course's own data as `datasets` objects; all eras read the same splits and label budgets."""

from helpers.data.film_ner import (
    NER_TAGS,
    NER_TYPES,
    film_ner_reviews,
    film_ner_rows,
    iob2_tags,
    load_film_ner,
    token_spans,
)
from helpers.data.instructions import (
    FIELDS,
    INSTRUCTION_KINDS,
    instruction_reviews,
    instruction_rows,
    load_instructions,
)
from helpers.data.minimal_pairs import load_minimal_pairs
from helpers.data.reviews import (
    HELD_OUT_PER_LABEL,
    LABEL_NAMES,
    SOURCES,
    label_budget,
    load_imdb,
    load_news,
    load_reviews,
    normalise,
    ranked_by_hash,
    raw_rows,
    split_rows,
    splits_of,
    text_hash,
)

__all__ = [
    "FIELDS",
    "HELD_OUT_PER_LABEL",
    "INSTRUCTION_KINDS",
    "LABEL_NAMES",
    "NER_TAGS",
    "NER_TYPES",
    "SOURCES",
    "film_ner_reviews",
    "film_ner_rows",
    "instruction_reviews",
    "instruction_rows",
    "iob2_tags",
    "label_budget",
    "load_film_ner",
    "load_imdb",
    "load_instructions",
    "load_minimal_pairs",
    "load_news",
    "load_reviews",
    "normalise",
    "ranked_by_hash",
    "raw_rows",
    "split_rows",
    "splits_of",
    "text_hash",
    "token_spans",
]
