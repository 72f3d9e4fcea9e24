"""Your turn, guesses, things to move: what a learner is told, and what wrong answers earn."""

import inspect
import json
import re
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from helpers import lessons, notebooks, session
from helpers.lessons import Hint, check, explore, forget_guesses, guess, my_guesses, reveal
from helpers.lessons.comparing import difference, shown
from helpers.lessons.exercise import Exercise, Open, Slip
from helpers.lessons.exercises import every, find
from helpers.lessons.known_weights import with_known_weights
from helpers.runtime import PROFILES, Run

EXERCISES = list(every().values())
SLIPS = [(each, slip) for each in EXERCISES for slip in each.slips]
REFUSED = [(each, wrong) for each in EXERCISES for wrong in each.refused]
FREE = {"draws", "rng", "seed"}  # arguments that need not change a result


def ids_of(value):
    return value.id if isinstance(value, Exercise) else getattr(value, "hint", None)


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """A learner who has done nothing yet."""
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path))
    monkeypatch.setattr(session, "_begun", [])
    return tmp_path


@pytest.fixture
def in_solutions():
    session.begin(Run("solutions/x", PROFILES["smoke"], 0, "cpu", 1, strict_exercises=True))


# --- the declared exercises


@pytest.mark.parametrize("exercise", EXERCISES, ids=ids_of)
def test_the_course_s_own_answer_is_right_and_can_be_shown(exercise):
    assert exercise.problem(exercise.solution) is None
    assert exercise.praise and exercise.help
    assert exercise.shown_solution().startswith(("def ", "class ") if exercise.is_code else "")
    assert len({slip.hint for slip in exercise.slips}) == len(exercise.slips) >= 1


@pytest.mark.parametrize(("exercise", "slip"), SLIPS, ids=ids_of)
def test_every_hint_is_earned_by_its_wrong_answer(exercise, slip):
    assert exercise.problem(slip.wrong).hint == slip.hint


@pytest.mark.parametrize(("exercise", "wrong"), REFUSED, ids=ids_of)
def test_other_wrong_answers_are_refused(exercise, wrong):
    assert exercise.problem(wrong)


@pytest.mark.parametrize("exercise", EXERCISES, ids=ids_of)
def test_what_is_no_answer_at_all_gets_a_hint(exercise):
    def forgot_return(*arguments, **options):
        exercise.solution(*arguments, **options)

    nonsense = [object(), "?"]
    if inspect.isfunction(exercise.solution):
        assert "return" in exercise.problem(forgot_return).hint
        nonsense += [lambda *a, **k: "?", lambda *a, **k: np.zeros(2), exercise.solution.__name__]
    for answer in nonsense:
        assert exercise.problem(answer).hint


@pytest.mark.parametrize(
    "exercise", [each for each in EXERCISES if inspect.isfunction(each.solution)], ids=ids_of
)
def test_an_answer_that_ignores_an_argument_fails_in_some_case(exercise):
    def shows(place):
        for mine in exercise.cases:
            for other in exercise.cases:
                case = deepcopy(mine)
                changed = (*case[:place], deepcopy(other[place]), *case[place + 1 :])
                right = exercise.solution(*deepcopy(mine))
                try:
                    found = exercise.solution(*changed)
                except (ValueError, KeyError, IndexError):
                    return True
                if difference(found, right, exercise.rtol, exercise.atol):
                    return True
        return False

    names = list(inspect.signature(exercise.solution).parameters)
    assert [name for place, name in enumerate(names) if name not in FREE and not shows(place)] == []


# --- what `check` gives back and says


def softmax_of_real(scores, real):
    """Attention weights without padding."""
    return scores.masked_fill(~real, -torch.inf).softmax(dim=-1)


class Scale(nn.Module):
    """A layer with one weight per input."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), 2.0))

    def forward(self, x):
        """x (..., size) -> the same."""
        return self.weight * x


def use(layer, size, x):
    return layer(size)(x)


class Adapter(nn.Module):
    """A residual bottleneck with random weights."""

    def __init__(self, size, middle):
        super().__init__()
        self.down, self.up = nn.Linear(size, middle), nn.Linear(middle, size)

    def forward(self, x):
        """x (..., size) -> the same."""
        return x + self.up(torch.relu(self.down(x)))


def forward(layer, size, middle, x):
    return with_known_weights(layer(size, middle))(x)


def one_placeholder(prompt):
    return "" if prompt.count("{}") == 1 else "the prompt needs {} once"


SCORES = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]])
MADE = (
    Exercise("made.number", 62, "count the biases", slips=(Slip("the biases are missing", 60),)),
    Exercise(
        "made.mask",
        softmax_of_real,
        "fill with minus infinity before the softmax",
        cases=((SCORES, torch.tensor([True, False, True])),),
    ),
    Exercise("made.layer", Scale, "a parameter", cases=((3, torch.ones(2, 3)),), apply=use),
    Exercise("made.adapter", Adapter, "add x", cases=((4, 2, torch.ones(3, 4)),), apply=forward),
    Exercise("made.pair", ("no", 2), "two parts"),
    Exercise("made.list", [3, 1], "two numbers"),
    Exercise("made.prompt", "It is {}", "curly brackets", judge=one_placeholder),
)


@pytest.fixture
def made(monkeypatch):
    """Exercises of every kind of answer."""
    everything = {each.id: each for each in MADE}
    monkeypatch.setattr("helpers.lessons.exercises.every", lambda: everything)


def right_mask(scores, real):
    return torch.softmax(torch.where(real, scores, torch.tensor(-1e9)), -1)


class Twice(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.two = nn.Parameter(2 * torch.ones(size))

    def forward(self, x):
        return x * self.two


class MyAdapter(nn.Module):
    def __init__(self, size, middle):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(size, middle), nn.ReLU(), nn.Dropout(), nn.Linear(middle, size)
        )

    def forward(self, x):
        return self.body(x) + x


class NoResidual(MyAdapter):
    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("made.adapter", MyAdapter),
        ("made.number", 62),
        ("made.number", np.int64(62)),
        ("made.number", torch.tensor(62)),
        ("made.mask", right_mask),
        ("made.layer", Twice),
        ("made.list", (3, 1.0)),
        ("made.prompt", "{}: it was"),
    ],
)
def test_a_right_answer_comes_back_as_it_is(made, capsys, id, answer):
    assert check(id, answer) is answer
    said = capsys.readouterr().out
    assert f"{id}: correct" in said and "your answer" in said


def test_several_answers_come_back_as_several(made):
    word, number = check("made.pair", "No ", 2.0)
    assert (word, number) == ("No ", 2.0)
    assert check("made.pair", "no", ...) == ("no", 2)


def stub(scores, real):
    """A stub."""
    return ...


def body(scores, real): ...


def unwritten(scores, real):
    raise NotImplementedError


class StubLayer(nn.Module):
    def __init__(self, size):
        super().__init__()

    def forward(self, x): ...


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("made.number", ...),
        ("made.number", None),
        ("made.mask", stub),
        ("made.mask", body),
        ("made.mask", unwritten),
        ("made.mask", lambda scores, real: ... if len(real) else 0),
        ("made.layer", StubLayer),
        ("made.prompt", ...),
    ],
)
def test_an_open_answer_gives_the_course_s_in_a_line_and_is_no_attempt(
    made, capsys, results, id, answer
):
    found = check(id, answer)
    assert found == next(each.solution for each in MADE if each.id == id)
    said = capsys.readouterr().out
    assert "not attempted" in said and "course's answer" in said and said.count("\n") == 1
    assert not (results / "attempts.json").exists()


@pytest.mark.parametrize("answer", [..., 60])
def test_an_open_or_wrong_answer_is_an_error_in_solutions(made, in_solutions, answer):
    with pytest.raises(Hint, match="made.number in solutions/x"):
        check("made.number", answer)


def test_setup_tells_the_kit_that_these_are_solutions(made, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    from helpers import setup

    setup("solutions/0")
    with pytest.raises(Hint):
        check("made.number", 60)
    setup(0)
    assert check("made.number", 60) == 62


def test_hints_grow_with_other_answers_and_not_with_the_same_again(made, capsys):
    def said(answer):
        assert check("made.number", answer) == 62
        return capsys.readouterr().out

    first = said(60)
    assert "biases are missing" in first and "count the biases" not in first
    assert "62" not in first and said(60) == first
    second = said(61)
    assert "count the biases" in second and "62" not in second
    assert "62" in said(59)


def test_the_same_function_written_again_is_no_other_answer(made, capsys):
    for _ in range(3):

        def plain(scores, real):
            return scores.softmax(-1)

        check("made.mask", plain)
    assert "Second hint" not in capsys.readouterr().out


def test_a_third_wrong_function_shows_the_solution_s_code_and_the_case(made, capsys):
    for wrong in (lambda s, r: s * 2, lambda s, r: s * 3, lambda s, r: s * 4):
        assert check("made.mask", wrong) is softmax_of_real
    said = capsys.readouterr().out
    assert "scores = [[1., 2., 3.]," in said and "real = [ True, False,  True]" in said
    assert "your answer: [[" in said and "expected: [[" in said
    assert "return scores.masked_fill(~real, -torch.inf).softmax(dim=-1)" in said


def test_attempts_are_kept_over_sessions(made, results):
    check("made.number", 60)
    kept = json.loads((results / "attempts.json").read_text())
    assert kept["made.number"]["tries"] == 1 and not kept["made.number"]["solved"]
    check("made.number", 62)
    kept = json.loads((results / "attempts.json").read_text())
    assert kept["made.number"]["tries"] == 1 and kept["made.number"]["solved"]


def changes_input(scores, real):
    scores[:, ~real] = -torch.inf
    return scores.softmax(-1)


def forgets(scores, real):
    scores.softmax(-1)


def raises(scores, real):
    return scores @ real


@pytest.mark.parametrize(
    ("id", "answer", "hint"),
    [
        ("made.number", "62", "without quotes"),
        ("made.number", [62], "not one number"),
        ("made.number", max, "not a function"),
        ("made.mask", 3, "the function itself"),
        ("made.mask", forgets, "`return` missing"),
        ("made.mask", changes_input, "changed `scores`"),
        ("made.mask", raises, "in the line `return scores @ real`"),
        ("made.mask", lambda scores, real: softmax_of_real(scores, ~real), "mask is inverted"),
        ("made.mask", lambda scores, real: softmax_of_real(scores, real).numpy(), "give a tensor"),
        ("made.mask", lambda scores, real: softmax_of_real(scores, real).T, "columns are swapped"),
        ("made.mask", lambda scores, real: 3 * softmax_of_real(scores, real), "3 times"),
        ("made.mask", lambda scores, real: -softmax_of_real(scores, real), "sign"),
        ("made.mask", lambda scores, real: scores.softmax(0), "softmax over 1"),
        ("made.layer", Scale(3), "the class itself"),
        ("made.adapter", NoResidual, "not the right values"),
        ("made.adapter", Adapter(4, 2), "the class itself"),
        ("made.list", [3], "1 values"),
        ("made.list", [3, 2], "value 2"),
        ("made.prompt", "It is", "{} once"),
    ],
)
def test_hints_name_the_slip_without_being_declared(made, capsys, id, answer, hint):
    check(id, answer)
    assert hint.lower() in capsys.readouterr().out.lower()


def test_what_a_later_cell_does_to_the_course_s_answer_stays_there(made):
    check("made.list", ...).append(5)
    assert check("made.list", ...) == [3, 1]


def test_an_unknown_exercise_lists_those_of_its_lesson():
    with pytest.raises(KeyError, match=r"start\.leash"):
        check("start.leesh", 1)
    with pytest.raises(KeyError, match=r"embeddings\.cosine"):
        find("nowhere.x")


@pytest.mark.parametrize(
    ("got", "expected", "hint"),
    [
        (np.array([True, False]), np.array([False, True]), "swapped"),
        (np.ones(3), np.ones((3, 1)), r"shape \(3,\), not shape \(3, 1\)"),
        ([1.0, 2.0], np.array([1.0, 2.0]), "give an array"),
        ({"a": 1}, {"a": 1, "b": 2}, "missing .* 'b'"),
        ({"a": 1, "c": 0}, {"a": 1}, "too many .* 'c'"),
        ({"a": 2}, {"a": 1}, "under 'a'"),
        (3, "three", "text in quotes"),
        ("tree", "three", "another text"),
        (0, None, "should be None"),
        ("ab", ["a", "b"], "2 values in a list"),
        (np.inf, 1.0, "not this number"),
        ({1}, {1, 2}, "another set"),
    ],
)
def test_a_difference_is_said_in_words(got, expected, hint):
    assert difference(expected, expected) == ""
    assert re.search(hint, difference(got, expected))


def test_tolerances_and_infinities_are_compared_as_numbers():
    assert difference(torch.tensor([1.00001, -torch.inf]), torch.tensor([1, -torch.inf])) == ""
    assert difference(torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([1.0])) == ""
    assert difference(float("nan"), float("nan")) == ""


def test_a_large_value_is_shown_in_few_characters():
    assert len(shown(np.zeros((500, 500)))) < 320 and len(shown("x" * 5_000)) < 320


# --- guesses


def entry(results, id):
    return json.loads((results / "guesses.json").read_text())[id]


@pytest.mark.parametrize(
    ("given", "how", "result", "said"),
    [
        (3, {}, 0.68, "you: 3 % · measured: 0.68 % · 2.32 % too high"),
        (0.5, {}, 0.68, "0.18 % too low"),
        (np.float32(0.75), {}, np.float64(0.75), "that is it"),
        (2, {}, torch.tensor(1.0), "1 % too high"),
        ("b", {"choices": ("a", "b")}, np.array(["b"])[0], "you: b · measured: b · right"),
        ("a", {"choices": ("a", "b")}, "b", "not right"),
        (["x", "z", "y"], {"order": ("x", "y", "z")}, ["x", "y", "z"], "1 of 3 in their place"),
    ],
)
def test_a_guess_is_shown_beside_its_result(capsys, results, given, how, result, said):
    guess("lora.params", given, **how)
    assert "noted" in capsys.readouterr().out
    reveal("lora.params", result, "%" if not how else "")
    assert said in capsys.readouterr().out
    assert entry(results, "lora.params")["result"] == result


def test_a_stored_page_shows_nobody_s_guess(capsys, tmp_path, monkeypatch):
    guess("lora.params", 3)
    monkeypatch.setenv("COURSE_VERDICTS", str(tmp_path / "run" / "verdicts.jsonl"))
    guess("lora.params", ...)
    reveal("lora.params", 1)
    assert "you: no guess" in capsys.readouterr().out
    monkeypatch.delenv("COURSE_VERDICTS")
    reveal("lora.params", 1)
    assert "you: 3" in capsys.readouterr().out


def test_three_dots_are_no_guess(capsys, results):
    guess("lora.params", ...)
    reveal("lora.params", 0.68, "%")
    said = capsys.readouterr().out
    assert "No guess yet" in said and "no guess · measured: 0.68 %" in said
    assert not (results / "guesses.json").exists() and len(my_guesses()) == 0


@pytest.mark.parametrize(
    ("given", "how", "wanted"),
    [
        ("3", {}, "without quotes"),
        ([3], {}, "one number"),
        (True, {}, "one number"),
        ("c", {"choices": ("a", "b")}, "'a' or 'b'"),
        (1, {"choices": ("a", "b")}, "'a' or 'b'"),
        (["x", "x"], {"order": ("x", "y")}, "each once"),
        ("xy", {"order": ("x", "y")}, "a list of"),
    ],
)
def test_a_guess_of_another_kind_says_what_to_give(results, given, how, wanted):
    with pytest.raises(ValueError, match=wanted):
        guess("lora.params", given, **how)
    assert not (results / "guesses.json").exists()


@pytest.mark.parametrize("id", ["lora", "Lora.x", "7.x", "lora.", "a.b.c", 3])
def test_an_id_has_a_slug_and_a_name(id):
    for function in (guess, reveal):
        with pytest.raises(ValueError, match="slug"):
            function(id, 1)


def test_a_guess_counts_until_the_result_is_seen(capsys, results):
    guess("lora.params", 3)
    guess("lora.params", 4)
    reveal("lora.params", 1)
    guess("lora.params", 1)
    assert "your first guess, 4, stays" in capsys.readouterr().out
    assert entry(results, "lora.params")["guess"] == 4


def test_the_record_holds_all_lessons_and_can_be_cleared():
    guess("bert.best", "top", choices=("top", "all"))
    guess("lora.params", 3)
    reveal("lora.params", 1, "%")
    table = my_guesses()
    assert list(table["id"]) == ["bert.best", "lora.params"]
    assert list(table["slug"]) == ["bert", "lora"]
    assert table["off"].iloc[1] == 2 and table["unit"].iloc[1] == "%"
    forget_guesses("bert")
    assert list(my_guesses()["id"]) == ["lora.params"]
    forget_guesses()
    assert my_guesses().empty


def test_a_damaged_record_is_put_aside(results):
    (results / "guesses.json").write_text("{")
    guess("lora.params", 3)
    assert entry(results, "lora.params")["guess"] == 3
    assert (results / "guesses.damaged").exists()


def one_guess(number):
    guess(f"lora.g{number}", number)


@pytest.mark.slow
def test_notebooks_that_guess_at_once_lose_nothing(results):
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(one_guess, range(24)))
    assert len(json.loads((results / "guesses.json").read_text())) == 24


# --- things to move


def test_where_nobody_can_move_anything_fixed_settings_stand_side_by_side(capsys):
    explore(
        lambda word, n: word * n, [{"word": "ab", "n": 1}, {"word": "c", "n": 3}], word="x", n=2
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["ab", "ccc"]
    assert lines[0].startswith("word = 'ab', n = 1 ")


def test_without_settings_it_starts_where_the_controls_do(capsys):
    explore(lambda **chosen: print(chosen), word="good", rate=(0.0, 1.0), name=["a", "b"])
    assert "{'word': 'good', 'rate': 0.5, 'name': 'a'}" in capsys.readouterr().out


def test_figures_keep_their_description_in_a_page_that_does_not_move(monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    published = []
    shell = InteractiveShell.instance()
    monkeypatch.setattr(
        shell.display_pub,
        "publish",
        lambda data, metadata=None, **_: published.append((data, metadata)),
    )

    def draw(rate):
        data = {"image/svg+xml": f"<svg>{rate}</svg>", "text/plain": "a figure"}
        display(data, metadata={"image/svg+xml": {"alt": f"rate {rate}"}}, raw=True)

    explore(draw, [{"rate": 1}, {"rate": 2}], rate=(1, 3))
    plt.close("all")
    assert [metadata["image/svg+xml"]["alt"] for _, metadata in published] == ["rate 1", "rate 2"]


def test_in_a_notebook_the_function_answers_to_every_change(monkeypatch):
    seen, boxes = [], []
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    monkeypatch.delenv("COURSE_VERDICTS", raising=False)
    monkeypatch.setattr("helpers.lessons.controls._is_live", lambda: True)
    monkeypatch.setattr("helpers.lessons.controls.display", boxes.append)
    explore(lambda rate, word: seen.append((rate, word)), rate=(0, 10), word="good")
    slider, text = boxes[0].children[:2]
    assert not slider.continuous_update and not text.continuous_update
    slider.value, text.value = 7, "bad"
    assert seen[-1] == (7, "bad")


def test_the_kit_is_what_notebooks_import():
    assert {"check", "guess", "reveal", "explore"} <= set(lessons.__all__)
    with pytest.raises(Open):
        every()["start.leash"].problem(...)


CHECKED = re.compile(r"""\bcheck\(\s*["']([^"']+)["']""")


def test_every_exercise_that_a_notebook_asks_for_is_declared():
    assert CHECKED.findall('a = check("bert.layer", a)') == ["bert.layer"]
    for path in notebooks.find():
        asked = CHECKED.findall(notebooks.code_of(notebooks.peek(path)))
        assert set(asked) <= set(every()), path.name
