"""The thirteen claims: what is said of fine-tuning, in the order in which it is said.

The statements are those of a short article on fine-tuning large language models (2023), in our
words. How each is tested was fixed with the lessons: comparisons at 320 labels, unless a claim
names another number. Published figures stand beside ours; their splits, sizes and models differ.
"""

from helpers.history.claims_early import EARLY
from helpers.history.claims_late import LATE

__all__ = ["CLAIMS"]

CLAIMS = (*EARLY, *LATE)
