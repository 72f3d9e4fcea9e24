"""How many seeds a method is run with at each budget of labels, in running order."""

__all__ = ["EVERY", "HEAVY", "NO_LABELS", "SENTENCES", "SENTENCES_HEAVY", "SENTENCES_SETTLED"]
__all__ += ["SETTLED", "UP_TO_1_000"]

EVERY = {32: 5, 100: 5, 320: 5, 1_000: 3, 3_200: 3, "all": 3}
"""The plan of most methods that read reviews."""
SETTLED = {**EVERY, "all": 1}
"""For a method without random numbers: trained on all labels, it is the same under every seed."""
HEAVY = {32: 3, 100: 3, 320: 3, 1_000: 3, 3_200: 1, "all": 1}
"""For a method that trains for minutes."""
UP_TO_1_000 = {32: 3, 100: 3, 320: 3, 1_000: 3}
NO_LABELS = {0: 1}
"""For a method that sees no label of the task."""

SENTENCES = {32: 5, 100: 5, 320: 5, "all": 3}
"""The same for methods that tag the names in sentences."""
SENTENCES_SETTLED = {**SENTENCES, "all": 1}
SENTENCES_HEAVY = {32: 3, 100: 3, 320: 3, "all": 3}
