"""A score, its interval, and whether two methods differ.

Each method leaves one outcome per test item: right or wrong for accuracy, `[tp, fp, fn]` for span
F1, the loss of a text for perplexity. Comparing two methods item by item shows much smaller
differences than comparing their averages.
"""

from helpers.evaluation.intervals import (
    DRAWS,
    Difference,
    Interval,
    bits_to_hex,
    bootstrap_interval,
    hex_to_bits,
    paired_difference,
    paired_relative_change,
    wilson_interval,
)
from helpers.evaluation.scores import (
    accuracy,
    bootstrap_f1,
    gain,
    macro_f1,
    paired_f1_difference,
    paired_perplexity_change,
    perplexity,
    perplexity_interval,
    span_counts,
    span_f1,
)

__all__ = ["DRAWS", "Difference", "Interval", "accuracy", "bits_to_hex", "bootstrap_f1"]
__all__ += ["bootstrap_interval", "gain", "hex_to_bits", "macro_f1"]
__all__ += ["paired_difference", "paired_f1_difference", "paired_perplexity_change"]
__all__ += ["paired_relative_change", "perplexity", "perplexity_interval", "span_counts", "span_f1"]
__all__ += ["wilson_interval"]
