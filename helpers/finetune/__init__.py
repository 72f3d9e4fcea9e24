"""Fine-tune on your own data: the tool behind notebook 10, `course finetune` and `course predict`.

In the order of use: `read`, `inspect`, `split`, `baseline`, `try_methods`, `learning_curve`,
`advise`, `test_once`, `save`, `answer`; `finetune` does all of it from an `Order`.
"""

from helpers.finetune.comparison import Curve, advise, best, learning_curve, try_methods
from helpers.finetune.data import Data, guess_task, read
from helpers.finetune.fitting import Score, Trained, baseline, test_once, train
from helpers.finetune.folder import FolderError, load, save
from helpers.finetune.pipeline import Order, finetune
from helpers.finetune.predicting import answer, predict
from helpers.finetune.settings import estimate
from helpers.finetune.splitting import inspect, near_copies, split

__all__ = ["Curve", "Data", "FolderError", "Order", "Score", "Trained", "advise", "answer"]
__all__ += ["baseline", "best", "estimate", "finetune", "guess_task", "inspect", "learning_curve"]
__all__ += ["load", "near_copies", "predict", "read", "save", "split", "test_once", "train"]
__all__ += ["try_methods"]
