"""A training that is killed half-way, for tests of resuming."""

__all__ = ["Stop"]


class Stop:
    """Stand for a run that is killed in the step after so many: `fit(on_step=Stop(9))`."""

    def __init__(self, step: int):
        self.step = step

    def __call__(self, step: int, model) -> None:
        if step > self.step:
            raise KeyboardInterrupt
