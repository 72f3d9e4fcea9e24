"""A training that is killed half-way, for tests of resuming."""

from transformers import TrainerCallback

__all__ = ["Stop"]


class Stop(TrainerCallback):
    """Stand for a run that is killed after so many steps."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt
