"""The house rules: a notebook that keeps them passes, and each rule refuses what breaks it."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from notebook_factory import ALT, good_notebook, place_of, stamp, write_course

from helpers.commands import template
from helpers.commands.lint import WARNINGS, lint, lint_markdown, lint_notebook
from helpers.commands.lint_prose import uncited_figures

HEAD, COLAB, SETUP, FIRST = 0, 1, 2, 5  # FIRST: the first code cell after the setup
FIGURE, CLAIM = 35, 36


def rules_of(tmp_path, notebook, kind="lesson", number=3):
    root = write_course(tmp_path, **{place_of(number, kind): notebook})
    path = root / "notebooks" / f"{place_of(number, kind)}.ipynb"
    return {problem.rule for problem in lint_notebook(path, root)}


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


def error_output():
    return new_output("error", ename="KeyError", evalue="'x'", traceback=[])


def lines(n):
    return "\n".join(f"a = {i}" for i in range(n))


MUTATIONS = [
    ("title", edit(HEAD, "# 3 ·", "# 4 ·")),
    ("title", edit(HEAD, "# 3 ·", "Welcome\n\n# 3 ·")),
    ("title", lambda nb: nb.cells.insert(0, new_code_cell("x = 1", execution_count=0))),
    ("head", edit(HEAD, "**What does a model know before it sees a label?**", "")),
    ("head", edit(HEAD, "- train a baseline\n", "")),
    ("head", edit(HEAD, "- read a corpus\n", "- a\n- b\n- c\n- read a corpus\n")),
    ("head", edit(HEAD, "40 minutes to read, 4.5 of compute on two cores", "")),
    ("head", edit(HEAD, "**Live** is", "This is")),
    ("head", edit(HEAD, "**reference**", "large")),
    ("badge", edit(HEAD, "blob/main/notebooks/03_topic", "blob/main/notebooks/04_topic")),
    ("setup", edit(COLAB, "--depth=1", "--depth=2")),
    ("setup", edit(SETUP, "notebook=3", "notebook=4")),
    ("section", edit(-8, "## What it changed, and what it cost", "## What it changed")),
    ("section", edit(-4, "## What we learned", "```\n# What we learned\n```")),
    ("section", edit(-3, "## References", "## Reading")),
    ("exercises", edit(-5, "check(", "print(")),
    ("expect", edit(CLAIM, "expect(", "print(")),
    ("cell-count", lambda nb: nb.cells.extend(new_markdown_cell("More.") for _ in range(40))),
    ("predict", lambda nb: [edit(i, "**Predict.**", "Guess.")(nb) for i in range(4, 32, 4)]),
    ("cell-limit", code(lines(26))),
    ("cell-length", code(lines(16))),
    ("imports", code("\n".join(f"import m{i}" for i in range(6)))),
    ("star-import", code("from helpers.data import *")),
    ("syntax", code("x = = 1")),
    ("alt-text", set_alt(None)),
    ("alt-text", set_alt("a figure")),
    ("alt-text", set_alt("<Figure size 640x480 with 1 Axes>")),
    ("alt-text", set_alt(ALT[:10], mime="image/svg+xml")),
    ("image-alt", text("![](../README.md)")),
    ("image-alt", text('<img src="../README.md">')),
    ("shell", code("!pip list")),
    ("shell", code("if True:\n    files = !ls")),
    ("shell", code("%%bash\nls")),
    ("shell", code("%pip install x")),
    ("shell", code("%%time\n!ls")),
    ("shell", code("import os\nos.system('ls')")),
    ("shell", code("import os\nos.popen('false')")),
    ("shell", code("import subprocess\nsubprocess.run(['false'])")),
    ("shell", code("import subprocess\nsubprocess.run('false', shell=True, check=False)")),
    ("shell", code("import subprocess\nsubprocess.call(['false'])")),
    ("nbval", code("# NBVAL_SKIP\nx = 1")),
    ("nbval", code("# NBVAL_RAISES_EXCEPTION\nx = 1")),
    ("nbval", code("x = 1  \n# NBVAL_IGNORE_OUTPUT")),
    ("nbval", code("x = 1", tags=["raises-exception"])),
    ("nbval", code("x = 1", tags=["nbval-skip"])),
    ("vacuous-check", code("# NBVAL_CHECK_OUTPUT\nprint(1)")),
    (
        "vacuous-check",
        code("# NBVAL_CHECK_OUTPUT\nx", new_output("stream", name="stderr", text="oh\n")),
    ),
    ("not-executed", lambda nb: nb.cells[FIRST].update(execution_count=None)),
    ("order", lambda nb: nb.cells[FIRST].update(execution_count=1)),
    ("stored-error", code("x", error_output())),
    ("log-wall", stream("line\n" * 61)),
    ("log-wall", stream("line\n" * 13, name="stderr")),
    (
        "log-wall",
        code("x", new_output("execute_result", data={"text/plain": "row\n" * 61})),
    ),
    ("progress-bar", stream("  5%|=   | 1/20\r 10%|==  | 2/20")),
    ("progress-bar", stream("20/20 [00:01, 15.2it/s]\n", name="stderr")),
    ("stored-warning", stream("FutureWarning: this will go\n", name="stderr")),
    ("widgets", lambda nb: nb.metadata.update(widgets={})),
    ("kernelspec", lambda nb: nb.metadata.kernelspec.update(name="course-venv")),
    ("uncited-figure", text("Fine-tuning reaches an accuracy of 0.87.")),
    ("link", text("[gone](../data/none.csv)")),
    ("link", text("[gone](#no-such-heading)")),
    ("link", text("[the file][1]\n\n[1]: missing.md")),
    ("machine-path", code('open("/home/ann/reviews.csv")')),
    ("machine-path", stream("saved to C:\\Users\\ann\\x.csv\n")),
    ("machine-path", stream("/opt/py/lib/python3.12/site-packages/torch/nn.py:3\n")),
    ("machine-path", text("Look into `/tmp/results`.")),
    ("registry-host", stream("from https://files.pythonhosted.org/packages/x.whl\n")),
    ("registry-host", code('options = ["--index-url", "https://mirror.example/simple"]')),
    ("words", text("This is simply a sum.")),
    ("words", text("It works!")),
    ("words", text("> **Interpret.** Of course they cross.")),
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
    notebook.cells[2].source = template.setup_source("solutions/topic")
    course = {"solutions/topic": stamp(notebook)}
    if has_bonus:
        course["bonus/topic"] = good_notebook(0, "bonus")
    root = write_course(tmp_path, **course)
    found = lint_notebook(root / "notebooks" / "solutions" / "topic.ipynb", root)
    assert {problem.rule for problem in found} == (set() if has_bonus else {"title"})


@pytest.mark.parametrize(("rule", "mutate"), MUTATIONS)
def test_each_broken_rule_is_found_and_nothing_else(tmp_path, rule, mutate):
    notebook = good_notebook(3)
    mutate(notebook)
    stamp(notebook)
    if rule == "title" and notebook.cells[HEAD].cell_type == "code":
        assert rule in rules_of(tmp_path, notebook)  # the setup cells have moved as well
    else:
        assert rules_of(tmp_path, notebook) == {rule}


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


@pytest.mark.parametrize("kind", ["lesson", "bonus", "solution"])
def test_a_notebook_without_stamp_is_refused(tmp_path, kind):
    notebook = good_notebook(3, kind)
    del notebook.metadata["course_stamp"]
    assert rules_of(tmp_path, notebook, kind) == {"stamp"}


@pytest.mark.parametrize(
    "source",
    [
        "answer = ...",
        "...",
        "def f(x):\n    return ...",
        "f(...)",
        "def f(x):\n    raise NotImplementedError",
        "def f(x):\n    raise NotImplementedError('yours')",
    ],
)
def test_a_stub_is_refused_in_a_solution_and_allowed_in_a_lesson(tmp_path, source):
    solution, lesson = good_notebook(3, "solution"), good_notebook(3)
    edit(4, "answer = 2", source)(solution)
    edit(-6, "answer = 2", source)(lesson)
    assert rules_of(tmp_path / "a", stamp(solution), "solution") == {"stub"}
    assert rules_of(tmp_path / "b", stamp(lesson)) == set()


@pytest.mark.parametrize(
    "source",
    [
        "import platform\nprint(platform.system())",
        'print("!ls and %pip and # NBVAL_SKIP")',
        "%matplotlib inline\nx = 1",
        "import subprocess\nsubprocess.run(['ls'], check=True)",
        "ratio = 3\nx = ratio != 2",
        'path = ROOT / "work" / "03.ipynb"',
        'url = "https://example.org/home/page"',
        "index = 'https://download.pytorch.org/whl/cpu'",
    ],
)
def test_code_that_only_looks_forbidden_passes(tmp_path, source):
    notebook = good_notebook(3)
    code(source)(notebook)
    assert rules_of(tmp_path, stamp(notebook)) == set()


@pytest.mark.parametrize(
    "source",
    [
        "> A reader wrote: simply the best film, just wonderful!",
        'The review says "it was just great!" and the label is positive.',
        "Compare `a != b` and `just`.",
        "```\nprint('simply!')\n```",
        "![Open](../README.md) is a picture.",
        "An adjustment, to justify it.",
        "[docs](https://example.org) and [mail](mailto:a@example.org)",
        "`[x](nowhere.md)` is how a link is written.",
        "Keep the folder `../work/` and `data/work/x`.",
    ],
)
def test_text_that_only_looks_forbidden_passes(tmp_path, source):
    notebook = good_notebook(3)
    text(source)(notebook)
    assert rules_of(tmp_path, notebook) == set()


def test_a_stored_text_makes_an_nbval_check_real(tmp_path):
    notebook = good_notebook(3)
    shown = new_output("execute_result", data={"text/plain": "3"})
    code("# NBVAL_CHECK_OUTPUT\n1 + 2", shown)(notebook)
    assert rules_of(tmp_path, stamp(notebook)) == set()


def test_a_check_mark_with_words_behind_it_is_refused(tmp_path):
    notebook = good_notebook(3)
    shown = new_output("execute_result", data={"text/plain": "3"})
    code("# NBVAL_CHECK_OUTPUT to be sure\n1 + 2", shown)(notebook)
    assert rules_of(tmp_path, stamp(notebook)) == {"nbval"}


def test_a_figure_is_compared_by_nothing_so_checking_it_is_vacuous(tmp_path):
    notebook = good_notebook(3)
    edit(FIGURE, "plots.", "# NBVAL_CHECK_OUTPUT\nplots.")(notebook)
    assert rules_of(tmp_path, stamp(notebook)) == {"vacuous-check"}


def test_a_bonus_needs_its_own_title_and_sections_but_no_claim(tmp_path):
    notebook = good_notebook(3, "bonus")
    edit(CLAIM, "expect(", "print(")(notebook)
    assert rules_of(tmp_path / "a", stamp(notebook), "bonus") == set()
    edit(HEAD, "# Bonus ·", "# 3 ·")(notebook)
    edit(-4, "What we learned", "The end")(notebook)
    assert rules_of(tmp_path / "b", notebook, "bonus") == {"title", "section"}


def test_a_file_name_without_number_is_refused(tmp_path):
    root = write_course(tmp_path, topic=good_notebook(0))
    problems = lint_notebook(root / "notebooks" / "topic.ipynb", root)
    assert [problem.rule for problem in problems] == ["title"]


def test_a_damaged_notebook_is_a_problem_and_not_a_crash(tmp_path):
    root = write_course(tmp_path)
    path = root / "notebooks" / "03_topic.ipynb"
    path.write_text("{", encoding="utf-8")
    assert [problem.rule for problem in lint_notebook(path, root)] == ["unreadable"]
    assert [p.rule for p in lint_notebook(path.with_name("04_gone.ipynb"), root)] == ["unreadable"]


def test_the_report_names_each_problem_on_one_line_and_counts(tmp_path):
    notebook = good_notebook(3)
    text("It works!\n\nAccuracy is 0.87.")(notebook)
    said = []
    assert lint(root=write_course(tmp_path, **{place_of(3): notebook}), echo=said.append) == 1
    last = len(notebook.cells) - 1
    assert len(said) == 3 and all("\n" not in line for line in said)
    assert f"03_topic.ipynb, cell {last}: error: [uncited-figure]" in said[0]
    assert f"03_topic.ipynb, cell {last}: warning: [words]" in said[1]
    assert said[2] == "2 files: 1 errors, 1 warnings."


def test_warnings_alone_do_not_fail(tmp_path):
    notebook = good_notebook(3)
    text("It works!")(notebook)
    root = write_course(tmp_path, **{place_of(3): notebook})
    said = []
    assert lint(root=root, echo=said.append) == 0
    assert said[-1] == "2 files: 0 errors, 1 warnings."
    assert "words" in WARNINGS


def test_the_readme_is_checked_too(tmp_path):
    root = write_course(tmp_path, **{place_of(3): good_notebook(3)})
    readme = root / "README.md"
    table = "<!-- notebooks -->\n| [3](notebooks/03_topic.ipynb) | 1.2 GB |\n<!-- /notebooks -->\n"
    readme.write_text(table, encoding="utf-8")
    assert lint_markdown(readme) == []
    readme.write_text(table.replace("03_topic", "05_gone"), encoding="utf-8")
    assert [problem.rule for problem in lint_markdown(readme)] == ["link"]
    assert lint(root=root, echo=lambda line: None) == 1


def test_named_files_only_are_checked_when_named(tmp_path):
    good, bad = good_notebook(3), good_notebook(4)
    text("[gone](none.md)")(bad)
    root = write_course(tmp_path, **{place_of(3): good, place_of(4): bad})
    folder = root / "notebooks"
    assert lint([folder / "03_topic.ipynb"], root, echo=lambda line: None) == 0
    assert lint([folder / "04_topic.ipynb"], root, echo=lambda line: None) == 1


def test_an_empty_course_is_not_a_green_one(tmp_path):
    assert lint(root=tmp_path, echo=lambda line: None) == 1


@pytest.mark.parametrize(
    "sentence",
    [
        "Fine-tuning reaches an accuracy of 0.87 on test.",
        "The model scores 87 % with all labels.",
        "With 100 labels accuracy is 74.2 per cent.",
        "F1 0.81 is what the tagger gets.",
        "Macro-F1 of 63 with three seeds.",
        "LoRA gains 3 points over the baseline.",
        "It wins by 2.5 percentage points.",
        "Perplexity falls to 31 after training.",
        "Training took 45 seconds on our machine.",
        "The run took about 6 minutes on two cores.",
        "The adapter weighs 1.2 MB.",
        "The adapter needs 12 seconds to load.",
        "It is 12x faster than full fine-tuning.",
        "In 2014 accuracy rose to 81.5.",
        "| method | accuracy |\n|---|---|\n| TextCNN | 0.761 |",
        "- GloVe: 72.4\n- counts (Kim, 2014): 81.5",
        "> **Interpret.** The curve flattens at .79, under the earlier one.",
        "With dropout accuracy is 0.78.",
        "The best model (BERT) reaches **0.93**.",
        "LoRA trains 0.6 % of the weights.",
        "A stray ` mark.\n\nWe measure 0.71.\n\nAnother ` mark.",
        "Kim (2014) wrote about it.\n\nWe measure 0.71.",
    ],
)
def test_a_result_without_source_is_found(sentence):
    assert len(uncited_figures(sentence)) == 1


@pytest.mark.parametrize(
    "sentence",
    [
        "Budgets are 32, 100, 320, 1,000 and 3,200 labels; compare accuracy at 100 and at 1,000.",
        "The corpus has 8,530 reviews; 1,066 held-out ones are test.",
        "MiniLM has 22.7M parameters, SmolLM2 135 million, the large one 0.4-1.7B.",
        "The bars show a 95 % interval (bootstrap over items), a 95 % confidence interval.",
        "We use dropout 0.1 and a learning rate of 0.001, 0.01 or 0.1, then 2.5e-5.",
        "TextCNN reaches 81.5 on this test (Kim, 2014).",
        "Devlin et al. 2019 report 93.5, and Pang and Lee (2005) 82.9 %.",
        "[Pang et al. 2002](https://example.org) found 82.9 %.",
        "| method | accuracy |\n|---|---|\n| NB-SVM (Wang and Manning 2012) | 79.4 |",
        "See section 2.3 of notebook 4; it needs Python 3.11 and transformers 5.15.",
        "The loss is $-\\sum_i 0.5 \\log p_i$ and `accuracy = 0.81`.",
        "```\naccuracy 0.81\n```",
        "Hu, E. et al. (2021). LoRA. arXiv 2106.09685.",
        "A model under the Apache 2.0 licence, beside GPT-3.5 and Llama 3.1, text CC BY 4.0.",
        "Guessing gives 0.5, as 50 % are positive.",
        "BERT masks 15 % of the tokens.",
        "You need 8 GB of memory; the download is 90 MB once.",
        "<!-- minutes -->40 to read, 4.5 minutes and 20 seconds<!-- /minutes -->",
        "# 3 · Word embeddings (2013-2015)\n\n## 3.2 Vectors as features",
        "In the 1990s counts ruled; half of the reviews are from 2004-2005.",
        "Version 1.2.3 came on 2024-05-01; torch>=2.9 is enough.",
        "We drop 3 layers, score 12 prompts, and reach 512 positions.",
    ],
)
def test_settings_sizes_and_cited_numbers_are_no_results(sentence):
    assert uncited_figures(sentence) == []
