"""The course's own data as `datasets` objects; all eras read the same splits and label budgets."""

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
from helpers.data.stored import (
    FIELDS,
    INSTRUCTION_KINDS,
    NER_TAGS,
    NER_TYPES,
    film_ner_reviews,
    instruction_reviews,
    iob2_tags,
    load_film_ner,
    load_instructions,
    load_minimal_pairs,
    stored_rows,
    token_spans,
)

__all__ = ["FIELDS", "HELD_OUT_PER_LABEL", "INSTRUCTION_KINDS", "LABEL_NAMES", "NER_TAGS"]
__all__ += ["NER_TYPES", "SOURCES", "film_ner_reviews", "instruction_reviews", "iob2_tags"]
__all__ += ["label_budget", "load_film_ner", "load_imdb", "load_instructions", "load_minimal_pairs"]
__all__ += ["load_news", "load_reviews", "normalise", "ranked_by_hash", "raw_rows", "split_rows"]
__all__ += ["splits_of", "stored_rows", "text_hash", "token_spans"]
