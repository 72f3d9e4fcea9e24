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
from helpers.grid.missing import missing_cells, run_missing
from helpers.grid.registry import NETWORKS, PARTS, methods_of, pretrain
from helpers.methods import FILM_NER, REVIEWS, Corpus

__all__ = ["FILM_NER", "NETWORKS", "PARTS", "REVIEWS", "Corpus", "answer", "choose"]
__all__ += ["learning_curve", "methods_of", "missing_cells", "pretrain", "reference_choices"]
__all__ += ["reference_curve", "run_cell", "run_missing", "to_row", "to_rows"]
