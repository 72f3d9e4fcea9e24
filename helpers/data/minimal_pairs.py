"""Grammar in pairs of sentences: one is right, the other differs by a word and is wrong.

A model that gives the right sentence the higher probability knows the rule, even if it was never
taught to follow instructions. `data/minimal_pairs/README.md` says how the pairs were made.
"""

from collections import Counter

from datasets import Dataset

from helpers.data.stored import stored_rows
from helpers.runtime import Profile

__all__ = ["load_minimal_pairs"]


def load_minimal_pairs(profile: Profile | None = None) -> Dataset:
    """Load the pairs that test whether a language model kept its grammar, in a fixed order.

    120 pairs with the columns `phenomenon` (12, with 10 pairs each), `good` and `bad` (sentences).
    A profile's `heldout_rows` cuts the list (for tests), as evenly among the phenomena as possible.
    """
    pairs = stored_rows("minimal_pairs", "pairs")
    if profile and profile.heldout_rows is not None:
        seen, ranks = Counter(), []
        for i, pair in enumerate(pairs):
            ranks.append((seen[pair["phenomenon"]], i))
            seen[pair["phenomenon"]] += 1
        pairs = [pairs[i] for i in sorted(i for _, i in sorted(ranks)[: profile.heldout_rows])]
    return Dataset.from_list(pairs)
