"""Checks by notebook and number, `check(run, "1", answer)`: notebooks that are not rewritten yet.

An open exercise prints "not attempted" and a wrong one a hint. In `notebooks/solutions/` both are
errors, so that a wrong solution fails its test.
"""

import functools
from collections.abc import Callable

from helpers.lessons import (
    nb01,
    nb02,
    nb04,
    nb05,
    nb06,
    nb07,
    nb08,
    nb09,
    nb10,
    nb_inside_bert,
    nb_lora_choices,
)
from helpers.lessons.exercise import Exercise, Open, is_open
from helpers.lessons.exercises import embeddings, start
from helpers.lessons.hint import Hint
from helpers.runtime import Run

__all__ = ["CHECKS", "check_numbered"]


def _by_number(exercises: tuple[Exercise, ...]) -> dict[str, Callable[[object], str]]:
    """Exercises of the newer kind as checks that raise a hint or return the praise."""

    def checked(exercise: Exercise) -> Callable[[object], str]:
        def run(answer) -> str:
            if problem := exercise.problem(answer):
                raise Hint("; ".join([problem.hint, *problem.case.split("\n")]).rstrip("; "))
            return exercise.praise

        return run

    return {str(number): checked(each) for number, each in enumerate(exercises, 1)}


CHECKS = {
    "00": _by_number(start.EXERCISES),
    "01": nb01.CHECKS,
    "02": nb02.CHECKS,
    "03": _by_number(embeddings.EXERCISES),
    "04": nb04.CHECKS,
    "05": nb05.CHECKS,
    "06": nb06.CHECKS,
    "07": nb07.CHECKS,
    "08": nb08.CHECKS,
    "09": nb09.CHECKS,
    "10": nb10.CHECKS,
    "inside_bert": nb_inside_bert.CHECKS,
    "lora_choices": nb_lora_choices.CHECKS,
}
"""The checks of a notebook, by its number or by the name of a bonus."""


def check_numbered(run: Run, exercise: str, answer) -> None:
    """Check an answer and say at once whether it is right.

    Args:
        run: its notebook's name chooses the checks; solutions use those of their lesson.
        exercise: the exercise's key, for example `"1"` or `"2b"`.
        answer: the learner's value or function; `...`, None, or a function that returns `...`
            counts as not attempted.

    Raises:
        Hint: in a solution only, when the answer is open or wrong.
        KeyError: if the exercise does not exist; the message lists those that do.
    """
    slug = run.notebook.rpartition("/")[2]
    checks = CHECKS[slug if slug in CHECKS else slug.partition("_")[0]]
    if exercise not in checks:
        raise KeyError(f"No exercise {exercise!r} here; there are {', '.join(checks)}.")
    try:
        praise = checks[exercise](_attempted(answer))
    except Hint as hint:
        if run.strict_exercises:
            raise Hint(f"Exercise {exercise} in {run.notebook}: {hint}") from None
        print(f"Exercise {exercise}: {hint}")
    except Exception as error:
        if run.strict_exercises:
            raise
        # The learner's own code failed inside the check: its message helps most.
        print(f"Exercise {exercise}: your code raised {type(error).__name__}: {error}")
    else:
        print(f"Exercise {exercise}: correct. {praise}")


def _attempted(answer):
    """The answer itself; a function that returns `...`, as a stub does, stops its check."""
    if is_open(answer):
        raise Open
    if not callable(answer):
        return answer

    @functools.wraps(answer)
    def function(*arguments, **options):
        found = answer(*arguments, **options)
        if found is ...:
            raise Open
        return found

    return function
