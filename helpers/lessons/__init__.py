"""Instant checks of the exercises, one file a notebook.

In a lesson an open exercise prints "not attempted" and a wrong one a hint: nobody is stopped. In
`notebooks/solutions/` both are errors, so that a solution that is not one fails its test.
"""

import importlib
import inspect

from helpers.runtime import Run

__all__ = ["Hint", "check"]


class Hint(Exception):
    """Raised by a check when an answer is not right yet; its message helps without telling."""


def check(run: Run, exercise: str, answer) -> None:
    """Look at an answer and say at once whether it is right.

    Args:
        run: of the notebook; its name chooses the checks: `nb03.py` for a lesson that begins
            with `03`, `nb_slug.py` for `bonus/slug`; solutions use those of what they solve.
        exercise: the exercise's key, for example `"1"` or `"2b"`.
        answer: the learner's value or function; `...`, or a function that still says
            `return ...`, is an exercise not attempted.

    Raises:
        Hint: in a solution only, when the answer is open or wrong.
        KeyError: if the exercise does not exist; the message lists those that do.
    """
    slug = run.notebook.rpartition("/")[2]
    number = slug.partition("_")[0]
    module = f"nb{number}" if number.isdecimal() else f"nb_{slug}"
    checks = importlib.import_module(f"helpers.lessons.{module}").CHECKS
    if exercise not in checks:
        raise KeyError(f"No exercise {exercise!r} here; there are {', '.join(checks)}.")
    try:
        if _is_open(answer):
            raise Hint("not attempted")
        praise = checks[exercise](answer)
    except Hint as hint:
        if run.strict_exercises:
            raise Hint(f"Exercise {exercise} in {run.notebook}: {hint}") from None
        print(f"Exercise {exercise}: {hint}")
    except Exception as error:
        if run.strict_exercises:
            raise
        # A learner's own code failed inside the check: its message is the help they need.
        print(f"Exercise {exercise}: your code raised {type(error).__name__}: {error}")
    else:
        print(f"Exercise {exercise}: correct. {praise}")


def _is_open(answer) -> bool:
    if inspect.isfunction(answer):
        code = answer.__code__
        return ... in code.co_consts and len(code.co_code) == len(_stub.__code__.co_code)
    return answer is ... or answer is None


def _stub():
    return ...
