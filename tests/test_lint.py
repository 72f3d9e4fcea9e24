"""The house rules: a notebook that keeps them passes, and each rule refuses what breaks it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_factory import ALT, good_notebook, place_of, stamp, write_course

from helpers.commands.lint import lint, problems_of
from helpers.commands.sync import FOLDED, setup_cell

HEAD, COLAB, SETUP, FIRST = 0, 1, 2, 5  # FIRST: the first code cell after the setup
FIGURE, CLAIM = 35, 36


def rules_of(tmp_path, notebook, kind="lesson", number=3):
    root = write_course(tmp_path, **{place_of(number, kind): notebook})
    path = root / "notebooks" / f"{place_of(number, kind)}.ipynb"
    return {problem.rule for problem in problems_of(path, root)}


def edit(index, old, new):
    """A mutation: replace a piece of one cell's source."""

    def mutate(notebook):
        assert old in notebook.cells[index].source
        notebook.cells[index].source = notebook.cells[index].source.replace(old, new)

    return mutate


def code(source, *outputs, **metadata):
    """A mutation: put this in the place of the first code cell."""

    def mutate(notebook):
        count = notebook.cells[FIRST].execution_count
        notebook.cells[FIRST] = new_code_cell(
            source, outputs=list(outputs), execution_count=count, metadata=metadata
        )

    return mutate


def stream(text, name="stdout"):
    return code("print(curve)", new_output("stream", name=name, text=text))


def text(source):
    """A mutation: put this in the place of the last Markdown cell."""

    def mutate(notebook):
        notebook.cells[-1] = new_markdown_cell(source)

    return mutate


def set_alt(alt, mime="image/png"):
    data = {mime: "x", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    metadata = {} if alt is None else {mime: {"alt": alt}}
    return code("plot()", new_output("display_data", data=data, metadata=metadata))


SHOWN = new_output("execute_result", data={"text/plain": "3"})
MINUTES = "<!-- minutes -->40 minutes to read, 4.5 of compute on two cores<!-- /minutes -->"
MUTATIONS = [
    ("title", edit(HEAD, "# 3 ·", "# 4 ·")),
    ("title", edit(HEAD, "# 3 ·", "Welcome\n\n# 3 ·")),
    ("head", edit(HEAD, "label?", "label")),
    ("head", edit(HEAD, "- train a baseline\n", "")),
    ("head", edit(HEAD, MINUTES, "")),
    ("head", edit(HEAD, "**Live** is", "This is")),
    ("head", edit(HEAD, "blob/main/notebooks/03_topic", "blob/main/notebooks/04_topic")),
    ("setup", edit(COLAB, "--depth=1", "--depth=2")),
    ("setup", edit(SETUP, "notebook=3", "notebook=4")),
    ("section", edit(-8, "## What it changed, and what it cost", "## What it changed")),
    ("section", edit(-4, "## What we learned", "```\n# What we learned\n```")),
    ("section", edit(-5, "check(", "print(")),
    ("section", edit(CLAIM, "expect(", "print(")),
    ("predict", lambda nb: [edit(i, "**Predict.**", "Guess.")(nb) for i in range(4, 32, 4)]),
    ("cell-limit", code("\n".join(f"a = {i}" for i in range(26)))),
    ("alt-text", set_alt(None)),
    ("alt-text", set_alt("a figure")),
    ("alt-text", set_alt(ALT[:10], mime="image/svg+xml")),
    ("alt-text", text("![](../README.md)")),
    ("alt-text", text('<img src="../README.md">')),
    ("untested", code("!pip list")),
    ("untested", code("if True:\n    files = !ls")),
    ("untested", code("%pip install x")),
    ("untested", code("x = 1  \n# NBVAL_IGNORE_OUTPUT")),
    ("untested", code("x = 1", tags=["raises-exception"])),
    ("untested", code("# NBVAL_CHECK_OUTPUT\nprint(1)")),
    ("untested", code("# NBVAL_CHECK_OUTPUT to be sure\n1 + 2", SHOWN)),
    ("untested", code("# NBVAL_CHECK_OUTPUT\nx", new_output("stream", name="stderr", text="oh\n"))),
    ("untested", edit(FIGURE, "plots.", "# NBVAL_CHECK_OUTPUT\nplots.")),
    ("order", lambda nb: nb.cells[FIRST].update(execution_count=None)),
    ("order", lambda nb: nb.cells[FIRST].update(execution_count=1)),
    ("stored-noise", code("x", new_output("error", ename="E", evalue="x", traceback=[]))),
    ("stored-noise", stream("line\n" * 61)),
    ("stored-noise", stream("line\n" * 13, name="stderr")),
    ("stored-noise", stream("  5%|=   | 1/20\r 10%|==  | 2/20")),
    ("stored-noise", stream("FutureWarning: this will go\n", name="stderr")),
    ("stamp", lambda nb: nb.metadata.update(widgets={})),
    ("stamp", lambda nb: nb.metadata.kernelspec.update(name="course-venv")),
    ("uncited-result", text("Fine-tuning reaches an accuracy of 0.87.")),
    ("link", text("[gone](../data/none.csv)")),
    ("link", text("[gone](#no-such-heading)")),
    ("link", text("[the file][1]\n\n[1]: missing.md")),
    ("machine-path", code('open("/home/ann/reviews.csv")')),
    ("machine-path", stream("/opt/py/lib/python3.12/site-packages/torch/nn.py:3\n")),
    ("machine-path", text("Look into `/tmp/results`.")),
]
LOOKS_FORBIDDEN = [
    code('print("!ls and %pip and # NBVAL_SKIP")'),
    code("%matplotlib inline\nx = 1"),
    code("ratio = 3\nx = ratio != 2"),
    code('path = ROOT / "work" / "03.ipynb"'),
    code('url = "https://example.org/home/page"'),
    code("# NBVAL_CHECK_OUTPUT\n1 + 2", SHOWN),
    text("![Open](../README.md) is a picture, with [mail](mailto:a@example.org)."),
    text("`[x](nowhere.md)` is how a link is written, and $0.5 \\log p$ a formula."),
    text("Keep the folder `../work/` and `data/work/x`."),
]


@pytest.mark.parametrize(
    ("number", "kind"), [(0, "lesson"), (3, "lesson"), (0, "bonus"), (3, "solution")]
)
def test_a_notebook_that_keeps_the_rules_has_no_problems(tmp_path, number, kind):
    assert rules_of(tmp_path, good_notebook(number, kind), kind, number) == set()


@pytest.mark.parametrize("has_bonus", [True, False])
def test_solutions_without_a_number_are_those_of_a_bonus(tmp_path, has_bonus):
    notebook = good_notebook(3, "solution")
    notebook.cells[0].source = "# Bonus · A topic: solutions"
    notebook.cells[2].source = setup_cell("solutions/topic")
    course = {"solutions/topic": stamp(notebook)}
    if has_bonus:
        course["bonus/topic"] = good_notebook(0, "bonus")
    root = write_course(tmp_path, **course)
    found = problems_of(root / "notebooks" / "solutions" / "topic.ipynb", root)
    assert {problem.rule for problem in found} == (set() if has_bonus else {"title"})


@pytest.mark.parametrize(("rule", "mutate"), MUTATIONS)
def test_each_broken_rule_is_found_and_nothing_else(tmp_path, rule, mutate):
    notebook = good_notebook(3)
    mutate(notebook)
    assert rules_of(tmp_path, stamp(notebook)) == {rule}


@pytest.mark.parametrize("mutate", LOOKS_FORBIDDEN)
def test_what_only_looks_forbidden_passes(tmp_path, mutate):
    notebook = good_notebook(3)
    mutate(notebook)
    assert rules_of(tmp_path, stamp(notebook)) == set()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"code": "0" * 16}, "stamp"),
        ({"profile": "smoke"}, "stamp"),
        ({"helpers": "0" * 12}, "stale-helpers"),
    ],
)
def test_outputs_of_other_code_or_another_profile_are_refused(tmp_path, changes, rule):
    assert rules_of(tmp_path, stamp(good_notebook(3), **changes)) == {rule}


def test_a_notebook_without_stamp_is_refused(tmp_path):
    notebook = good_notebook(3)
    del notebook.metadata["course_stamp"]
    assert rules_of(tmp_path, notebook) == {"stamp"}


@pytest.mark.parametrize(
    "source",
    [
        "answer = ...",
        "f(...)",
        "def f(x):\n    raise NotImplementedError('yours')",
    ],
)
def test_a_stub_is_refused_in_a_solution_and_allowed_in_a_lesson(tmp_path, source):
    solution, lesson = good_notebook(3, "solution"), good_notebook(3)
    edit(4, "answer = 2", source)(solution)
    edit(-6, "answer = 2", source)(lesson)
    assert rules_of(tmp_path / "a", stamp(solution), "solution") == {"stub"}
    assert rules_of(tmp_path / "b", stamp(lesson)) == set()


def test_a_bonus_needs_its_own_title_and_sections_but_no_claim(tmp_path):
    notebook = good_notebook(3, "bonus")
    edit(CLAIM, "expect(", "print(")(notebook)
    assert rules_of(tmp_path / "a", stamp(notebook), "bonus") == set()
    edit(HEAD, "# Bonus ·", "# 3 ·")(notebook)
    edit(-4, "What we learned", "The end")(notebook)
    assert rules_of(tmp_path / "b", notebook, "bonus") == {"title", "section"}


def test_a_damaged_notebook_or_one_without_number_is_a_problem_and_not_a_crash(tmp_path):
    root = write_course(tmp_path, topic=good_notebook(0))
    found = problems_of(root / "notebooks" / "topic.ipynb", root)
    assert "title" in {problem.rule for problem in found}
    path = root / "notebooks" / "03_topic.ipynb"
    path.write_text("{", encoding="utf-8")
    assert [problem.rule for problem in problems_of(path, root)] == ["unreadable"]
    assert [p.rule for p in problems_of(path.with_name("04_gone.ipynb"), root)] == ["unreadable"]
    nbformat.write(new_notebook(), path)
    assert "title" in {problem.rule for problem in problems_of(path, root)}


def test_the_report_is_a_line_for_each_problem_and_warnings_alone_do_not_fail(tmp_path):
    def report(source):
        notebook, said = good_notebook(3), []
        text(source)(notebook)
        stamp(notebook, helpers="0" * 12)
        root = write_course(tmp_path, **{place_of(3): notebook})
        return lint(root=root, echo=said.append), said

    code, said = report("Accuracy is 0.87.")
    assert code == 1 and len(said) == 3
    assert "03_topic.ipynb: warning: [stale-helpers]" in said[0]
    assert "03_topic.ipynb, cell 44: error: [uncited-result]" in said[1]
    assert said[2] == "2 files: 1 errors, 1 warnings."
    code, said = report("Accuracy is printed above.")
    assert code == 0 and said[-1] == "2 files: 0 errors, 1 warnings."


def test_the_readme_is_checked_too(tmp_path):
    root = write_course(tmp_path, **{place_of(3): good_notebook(3)})
    readme = root / "README.md"
    table = "<!-- notebooks -->\n| [3](notebooks/03_topic.ipynb) | 1.2 GB |\n<!-- /notebooks -->\n"
    readme.write_text(table, encoding="utf-8")
    assert problems_of(readme) == []
    readme.write_text(table.replace("03_topic", "05_gone"), encoding="utf-8")
    assert [problem.rule for problem in problems_of(readme)] == ["link"]
    assert lint(root=root, echo=lambda line: None) == 1


def test_named_files_only_are_checked_when_named_and_an_empty_course_is_not_green(tmp_path):
    bad = good_notebook(4)
    text("[gone](none.md)")(bad)
    root = write_course(tmp_path, **{place_of(3): good_notebook(3), place_of(4): bad})
    for number, code in {3: 0, 4: 1}.items():
        path = root / "notebooks" / f"{place_of(number)}.ipynb"
        assert lint([path], root, echo=lambda line: None) == code
    assert lint(root=tmp_path / "empty", echo=lambda line: None) == 1


@pytest.mark.parametrize(
    ("sentence", "passes"),
    [
        ("Fine-tuning reaches an accuracy of 0.87 on test.", False),
        ("With 100 labels accuracy is 74.2 per cent.", False),
        ("| method | accuracy |\n|---|---|\n| TextCNN | 0.761 |", False),
        ("- GloVe: 72.4\n- counts (Kim, 2014): 81.5", False),
        ("> **Interpret.** The curve flattens at .79, under the earlier one.", False),
        ("Kim (2014) wrote about it.\n\nWe measure 0.71.", False),
        ("The bars show a 95 % interval.", True),
        ("TextCNN reaches 81.5 on this test (Kim, 2014).", True),
        ("| method | accuracy |\n|---|---|\n| NB-SVM (Wang and Manning 2012) | 79.4 |", True),
        ("See section 2.3 of notebook 4; it needs Python 3.11 to 3.14.", True),
        ("```\naccuracy 0.81\n```", True),
        ("<!-- minutes -->40 to read, 4.5 minutes<!-- /minutes -->", True),
        ("## 3.2 Vectors as features", True),
        ("[a file](../README.md?v=1.5) and https://example.org/0.5", True),
    ],
)
def test_a_result_in_prose_needs_a_source(tmp_path, sentence, passes):
    notebook = good_notebook(3)
    text(sentence)(notebook)
    assert rules_of(tmp_path, notebook) == (set() if passes else {"uncited-result"})


# --- lessons with guesses and folded answers

ANSWER = (
    "<details><summary>Our reading</summary>\n<p>They cross: counts need labels.</p>\n</details>"
)


def kit_notebook():
    """A good notebook of the newer kind: every Interpret answered, one guess and its result."""
    notebook = good_notebook(3)
    notebook.metadata.course = {"kit": 2}
    notebook.cells[COLAB].metadata |= FOLDED
    for cell in notebook.cells:
        if "**Interpret.**" in cell.source:
            cell.source += f"\n\n{ANSWER}"
    notebook.cells[FIRST].source = 'guess("topic.best", ...)'
    shown = notebook.cells[FIRST + 4]
    shown.source, shown.metadata.tags = 'reveal("topic.best", 3)', ["hide-output"]
    for index, id in ((-6, "topic.warm-up"), (-5, "topic.core")):
        notebook.cells[index].source = f'answer = check("{id}", 2)'
    return notebook


def in_next_cell(notebook):
    """The answer under the first Interpret moves into a cell of its own."""
    place = next(i for i, cell in enumerate(notebook.cells) if ANSWER in cell.source)
    edit(place, ANSWER, "")(notebook)
    notebook.cells.insert(place + 1, new_markdown_cell(ANSWER))


def between(notebook):
    """A cell that shows the result comes before the one that reveals it."""
    notebook.cells[FIRST + 1] = new_code_cell(
        "print(3)", outputs=[new_output("stream", text="3\n")], execution_count=4
    )
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count


KIT = [
    ("folded-answer", edit(6, ANSWER, "")),
    ("folded-answer", edit(6, "<p>", "")),
    ("folded-answer", edit(6, "</summary>\n", "</summary>\n\n")),
    ("folded-answer", edit(6, "</details>", "")),
    ("folded-answer", edit(6, "<summary>Our reading</summary>", "")),
    ("guess-and-result", edit(FIRST + 4, "topic.best", "topic.worst")),
    ("guess-and-result", lambda nb: nb.cells[FIRST + 4].metadata.pop("tags")),
    ("guess-and-result", edit(FIRST, 'guess("topic.best", ...)', "curve = 3")),
    ("guess-and-result", between),
    ("ids", edit(-5, "topic.core", "topic.warm-up")),
    ("ids", edit(-5, '"topic.core"', 'run, "1"')),
    ("ids", edit(-5, "topic.core", "core")),
    ("colab-folded", lambda nb: nb.cells[COLAB].metadata.clear()),
]


@pytest.mark.parametrize("mutate", [lambda nb: None, in_next_cell])
def test_a_lesson_with_answers_and_guesses_has_no_problems(tmp_path, mutate):
    notebook = kit_notebook()
    mutate(notebook)
    assert rules_of(tmp_path, stamp(notebook)) == set()


@pytest.mark.parametrize(("rule", "mutate"), KIT)
def test_each_broken_rule_of_such_a_lesson_is_found_and_older_ones_are_left(tmp_path, rule, mutate):
    notebook = kit_notebook()
    mutate(notebook)
    assert rules_of(tmp_path / "a", stamp(notebook)) == {rule}
    notebook.metadata.pop("course")
    assert rules_of(tmp_path / "b", stamp(notebook)) == set()


def test_a_placeholder_in_the_place_of_the_address_is_a_warning(tmp_path):
    root = write_course(tmp_path, **{place_of(3): good_notebook(3)})
    readme = root / "README.md"
    readme.write_text("git clone https://github.com/OWNER/finetuning-history", encoding="utf-8")
    [problem] = problems_of(readme, root)
    assert (problem.rule, problem.fails) == ("placeholder", False)
