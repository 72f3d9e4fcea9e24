"""`check`: the learner's answer if it is right, else the course's, with hints that grow."""

import hashlib
import inspect
import textwrap
from types import CodeType

from helpers import session
from helpers.lessons import records
from helpers.lessons.exercise import Exercise, Open, Problem
from helpers.lessons.exercises import find
from helpers.lessons.hint import Hint
from helpers.lessons.numbered import check_numbered
from helpers.runtime import Run

__all__ = ["check"]

ATTEMPTS = "attempts"  # of `records`


def check(id: str, *answer):
    """Check an answer and give back what the next cells use.

    A hint names the slip and shows a case; a second wrong answer gets a stronger hint, a third one
    the solution. Attempts are remembered in `results/attempts.json`. In the notebooks of solutions
    an open or wrong answer is an error.

    Args:
        id: of the exercise, `slug.name`. Older notebooks: `check(run, "1", answer)`.
        answer: the value, function or class; several, where the exercise asks for several. `...`,
            None and code without a body count as not attempted.

    Returns:
        The answer if it is right, else the course's; a tuple for several.

    Raises:
        Hint: in a solution only.
        KeyError: if there is no such exercise; the message lists those that there are.
    """
    if isinstance(id, Run):
        return check_numbered(id, *answer)
    exercise, given = find(id), answer[0] if len(answer) == 1 else answer
    try:
        problem = exercise.problem(given)
    except Open:
        _refuse_in_solutions(id, Problem("not attempted"))
        print(f"{id}: not attempted yet. The next cells use the course's answer.")
        return exercise.course_answer()
    if problem:
        _refuse_in_solutions(id, problem)
        _tell(exercise, problem, _note(id, given))
        return exercise.course_answer()
    before = records.load(ATTEMPTS).get(id, {"tries": 0})
    records.change(ATTEMPTS, {id: before | {"solved": True}})
    print(f"{id}: correct. {exercise.praise}".rstrip())
    print("The next cells use your answer.")
    return given


def _refuse_in_solutions(id: str, problem: Problem) -> None:
    if session.is_strict():
        raise Hint(f"{id} in {session.name()}: {problem.hint}\n{problem.case}") from problem.error


def _note(id: str, answer) -> int:
    """Remember a wrong answer; how many different ones in a row this makes."""
    before, mark = records.load(ATTEMPTS).get(id, {"tries": 0}), _fingerprint(answer)
    tries = before["tries"] + (before.get("last") != mark)
    records.change(ATTEMPTS, {id: {"tries": tries, "last": mark, "solved": False}})
    return tries


def _tell(exercise: Exercise, problem: Problem, tries: int) -> None:
    print(f"{exercise.id}: not yet. {problem.hint[:1].upper()}{problem.hint[1:]}.")
    if problem.case:
        print(textwrap.indent(problem.case, "    "))
    if tries > 1:
        print(f"Second hint: {exercise.help}")
    if tries > 2:
        print("The course's answer:\n" + textwrap.indent(exercise.shown_solution(), "    "))
    print("Until yours is right, the next cells use the course's answer.")


def _fingerprint(answer) -> str:
    """The same for the same answer, also in another session."""
    parts = answer if isinstance(answer, tuple) else (answer,)
    content = b"".join(map(_content, parts))
    return hashlib.sha256(content).hexdigest()[:12]


def _content(answer) -> bytes:
    methods = vars(answer).values() if inspect.isclass(answer) else (answer,)
    codes = [part.__code__ for part in methods if inspect.isfunction(part)]
    return b"".join(map(_code, codes)) if codes else repr(answer).encode()


def _code(code: CodeType) -> bytes:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    plain = [each for each in code.co_consts if not isinstance(each, CodeType)]
    own = code.co_code + repr((code.co_names, code.co_varnames, plain)).encode()
    return own + b"".join(map(_code, inner))
