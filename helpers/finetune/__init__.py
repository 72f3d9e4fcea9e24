"""Fine-tune on data of your own: the tool behind notebook 10, `course finetune` and `predict`.

`read` takes a file of texts and labels, tagged words, prose or chats; `inspect` looks at it,
`split` cuts it in three, `baseline` and `try_methods` train the cheapest first, `learning_curve`
and `advise` say what would pay, `test_once` opens the test, `save` leaves a folder with a model
card, and `answer` uses it. `finetune` does it all from an `Order`, the form of the command line.
"""

from helpers.finetune.answering import answer
from helpers.finetune.data import Data, guess_task, read
from helpers.finetune.folder import FolderError, load, open_folder, save
from helpers.finetune.looking import Look, inspect
from helpers.finetune.planning import Estimate, estimate
from helpers.finetune.predicting import predict, read_inputs
from helpers.finetune.running import Order, finetune
from helpers.finetune.settings import METHODS, default_settings
from helpers.finetune.splitting import Parts, split
from helpers.finetune.trained import (
    Score,
    Tested,
    Trained,
    baseline,
    judge,
    test_once,
    train,
)
from helpers.finetune.trying import Curve, advise, best, learning_curve, try_methods

__all__ = [
    "METHODS",
    "Curve",
    "Data",
    "Estimate",
    "FolderError",
    "Look",
    "Order",
    "Parts",
    "Score",
    "Tested",
    "Trained",
    "advise",
    "answer",
    "baseline",
    "best",
    "default_settings",
    "estimate",
    "finetune",
    "guess_task",
    "inspect",
    "judge",
    "learning_curve",
    "load",
    "open_folder",
    "predict",
    "read",
    "read_inputs",
    "save",
    "split",
    "test_once",
    "train",
    "try_methods",
]
