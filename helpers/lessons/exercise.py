"""How an exercise is declared: the course's answer, hidden cases, and wrong answers with hints."""

import dis
import inspect
import textwrap
import traceback
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property

from helpers.lessons.comparing import difference, shown
from helpers.lessons.hint import Hint

__all__ = ["Exercise", "Open", "Problem", "Slip", "is_open"]


class Open(Hint):
    """Raised for an answer that is not there yet."""

    def __init__(self):
        super().__init__("not attempted")


@dataclass(frozen=True)
class Slip:
    """A wrong answer that we expect, and the hint that it earns.

    Attributes:
        wrong: such an answer; tests give it.
        found: whether another answer makes the same slip. Without it: whether it gives what `wrong`
            gives, in every case.
    """

    hint: str
    wrong: object
    found: Callable[[object], bool] | None = None


@dataclass(frozen=True)
class Problem:
    """Why an answer is not right: in a sentence, and on which case; `error` if its code raised."""

    hint: str
    case: str = ""
    error: Exception | None = None


@dataclass(frozen=True)
class Exercise:
    """A cell that the learner fills in.

    Attributes:
        id: `slug.name`; it stands in `helpers/lessons/exercises/slug.py`.
        solution: the course's answer: a value, a tuple of several, a function, or a class.
        help: the stronger hint, from the second wrong answer on; the third shows the solution.
        cases: for a function or class, the arguments of each call; hidden until one fails.
            Every argument differs somewhere, so that a wrong rule shows.
        slips: the first that fits names the slip.
        refused: other wrong answers for the tests, such as the code of the notebook above it.
        judge: where many answers are right: says what is wrong with one, or "".
        apply: what is compared: `apply(answer, *case)`; by default the answer is called.
    """

    id: str
    solution: object
    help: str
    praise: str = ""
    cases: tuple[tuple, ...] = ()
    slips: tuple[Slip, ...] = ()
    refused: tuple = ()
    judge: Callable[[object], str] | None = None
    apply: Callable | None = None
    rtol: float = 1e-4
    atol: float = 1e-6

    def problem(self, answer) -> Problem | None:
        """What is wrong with an answer, or None; raises `Open` where there is none yet."""
        if is_open(answer):
            raise Open
        found = self._compared(answer)
        if found:
            fitting = (slip.hint for slip in self.slips if self._makes(slip, answer))
            found = replace(found, hint=next(fitting, found.hint))
        return found

    def course_answer(self):
        """The solution for later cells, which may change it."""
        return self.solution if self.is_code else deepcopy(self.solution)

    @cached_property
    def is_code(self) -> bool:
        """Whether the answer is a function or a class."""
        return inspect.isroutine(self.solution) or inspect.isclass(self.solution)

    def shown_solution(self) -> str:
        """The solution as one would write it."""
        source = inspect.getsource(self.solution) if self.is_code else repr(self.solution)
        return textwrap.dedent(source).rstrip()

    def _compared(self, answer) -> Problem | None:
        if self.judge:
            text = self.judge(answer)
            return Problem(text) if text else None
        if not self.is_code:
            text = difference(answer, self.solution, self.rtol, self.atol)
            return Problem(text, f"your answer: {shown(answer)}") if text else None
        if not callable(answer) or inspect.isclass(answer) != inspect.isclass(self.solution):
            what = "class" if inspect.isclass(self.solution) else "function"
            return Problem(f"give the {what} itself, by its name, without brackets")
        return next(filter(None, (self._on_case(answer, case) for case in self.cases)), None)

    def _on_case(self, answer, case: tuple) -> Problem | None:
        given, ours = deepcopy(case), deepcopy(case)
        expected = self._call(self.solution, ours)
        try:
            got = self._call(answer, given)
        except (Open, NotImplementedError):
            raise Open from None
        except Exception as error:
            hint = f"your code raised {type(error).__name__}: {error}{_line(error)}"
            return Problem(hint, self._inputs(case), error)
        if text := difference(got, expected, self.rtol, self.atol):
            told = [f"your answer: {shown(got)}", f"expected: {shown(expected)}"]
            return Problem(text, "\n".join([self._inputs(case), *told]))
        for name, mine, kept in zip(self._names(), given, ours, strict=False):
            plain = hasattr(kept, "dtype") or isinstance(kept, list | dict)
            if plain and difference(mine, kept):
                hint = f"your code changed `{name}`, which it was given: work on a copy"
                return Problem(hint, self._inputs(case))
        return None

    def _call(self, answer, case: tuple):
        found = self.apply(answer, *case) if self.apply else answer(*case)
        if found is ...:
            raise Open
        return found

    def _makes(self, slip: Slip, answer) -> bool:
        try:
            if slip.found:
                return bool(slip.found(answer))
            if self.judge or not self.is_code:
                return not difference(answer, slip.wrong, self.rtol, self.atol)
            return not any(
                difference(*(self._call(one, deepcopy(case)) for one in (answer, slip.wrong)))
                for case in self.cases
            )
        except Exception:  # not this slip, then
            return False

    def _names(self) -> list[str]:
        """What the parts of a case are called."""
        if self.apply:
            return list(inspect.signature(self.apply).parameters)[1:]
        return list(inspect.signature(self.solution).parameters)

    def _inputs(self, case: tuple) -> str:
        pairs = zip(self._names(), case, strict=False)
        return "\n".join(f"{name} = {shown(value)}" for name, value in pairs)


def _line(error: Exception) -> str:
    """Where in the learner's own code an error arose."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame.line for frame in frames if frame.filename != __file__ and frame.line]
    return f", in the line `{inside[0]}`" if inside else ""


def is_open(answer) -> bool:
    """Whether an answer is `...`, None, or code without a body."""
    if answer is ... or answer is None:
        return True
    if isinstance(answer, tuple):
        return any(map(is_open, answer))
    if inspect.isclass(answer):
        return any(map(_is_empty, filter(inspect.isfunction, vars(answer).values())))
    return inspect.isfunction(answer) and _is_empty(answer)


def _is_empty(function: Callable) -> bool:
    """Whether a function only returns `...` or None: it has no body, or that of a stub."""
    steps = [
        step for step in dis.get_instructions(function) if step.opname not in ("RESUME", "NOP")
    ]
    constant = all("CONST" in step.opname or step.opname == "RETURN_VALUE" for step in steps)
    return constant and steps[0].argval in (None, ...)
