"""Fine-tune on your own data: the tool behind notebook 10, `course finetune` and `course predict`.

In the order of use: `read`, `inspect`, `split`, `baseline`, `try_methods`, `learning_curve`,
`advise`, `test_once`, `save`, `answer`; `finetune` does all of it from an `Order`.
"""

from helpers.finetune.comparison import Curve, advise, best, learning_curve, try_methods
from helpers.finetune.data import Data, guess_task, read
from helpers.finetune.folder import FolderError, load, open_folder, save
from helpers.finetune.inspection import Inspection, inspect
from helpers.finetune.pipeline import Order, baseline, finetune, test_once, train
from helpers.finetune.predicting import answer, predict
from helpers.finetune.results import Score, Tested, Trained, judge
from helpers.finetune.settings import METHODS, Estimate, estimate
from helpers.finetune.splitting import Parts, near_copies, split

__all__ = [
    "METHODS",
    "Curve",
    "Data",
    "Estimate",
    "FolderError",
    "Inspection",
    "Order",
    "Parts",
    "Score",
    "Tested",
    "Trained",
    "advise",
    "answer",
    "baseline",
    "best",
    "estimate",
    "finetune",
    "guess_task",
    "inspect",
    "judge",
    "learning_curve",
    "load",
    "near_copies",
    "open_folder",
    "predict",
    "read",
    "save",
    "split",
    "test_once",
    "train",
    "try_methods",
]
