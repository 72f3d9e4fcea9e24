"""The grid of the comparison: methods x budgets of labels x seeds, each cell computed one way.

`choose` freezes a configuration, `run_cell` trains and answers, `to_row` makes a ledger row, and
`run_missing` does all this for whatever a ledger lacks.
"""

from helpers.grid.cells import (
    answer,
    choose,
    learning_curve,
    reference_choices,
    reference_curve,
    run_cell,
    to_row,
    to_rows,
)
from helpers.grid.parts import PARTS, methods_of, missing_cells, network_of, run_missing
from helpers.methods import FILM_NER, REVIEWS, Corpus

__all__ = ["FILM_NER", "PARTS", "REVIEWS", "Corpus", "answer", "choose", "learning_curve"]
__all__ += ["methods_of", "missing_cells", "network_of", "reference_choices", "reference_curve"]
__all__ += ["run_cell", "run_missing", "to_row", "to_rows"]
