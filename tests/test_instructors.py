"""INSTRUCTORS.md: what it names exists, what it shows is what was measured."""

import argparse
import re
import tomllib

import pytest
from notebook_factory import good_notebook, place_of, stamp, write_course

from helpers import notebooks
from helpers.commands import cli
from helpers.commands.lint import problems_of
from helpers.commands.sync import DAYS, Stop, sync, synced_page, timetable
from helpers.runtime import ROOT

PAGE = ROOT / "INSTRUCTORS.md"
TEXT = PAGE.read_text(encoding="utf-8")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def commands() -> list[list[str]]:
    """Every `course ...` and `make ...` that stands in code, as words."""
    code = "\n".join(CODE.findall(TEXT))
    return [found.split() for found in re.findall(r"\b(?:course|make) [a-z][^\n`]*", code)]


def subcommands() -> dict[str, argparse.ArgumentParser]:
    [action] = [a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return action.choices


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_can_be_given_as_it_stands(words):
    program, name, *options = words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{name}:", makefile, re.M) and not options
        return
    assert name in subcommands()
    cli._parser().parse_args([name, *options])  # SystemExit if an option is unknown


def test_options_named_alone_belong_to_prefetch():
    assert {words[1] for words in commands()} >= {"prefetch", "doctor", "reset", "lab", "sync"}
    shown = subcommands()["prefetch"].format_help()
    alone = re.findall(r"`(--[a-z-]+)[^`]*`", TEXT)
    assert alone and all(option in shown for option in alone)


def test_every_file_that_it_names_or_links_exists_and_its_text_keeps_the_house_rules():
    assert [str(problem) for problem in problems_of(PAGE)] == []
    for name in re.findall(r"`((?:helpers|notebooks|data|tests)/[\w./]+)`", TEXT):
        if "NN" not in name and "slug" not in name:
            assert (ROOT / name).exists(), name


def test_every_lesson_and_bonus_has_an_entry_on_what_people_predict():
    for path in notebooks.find(kinds=("lesson", "bonus")):
        title = notebooks.read(path).cells[0].source.splitlines()[0].lstrip("# ")
        title = title.partition(" (")[0]  # years
        if not title.startswith("Bonus"):  # a lesson's number is name enough
            title = title.partition("·")[0] + "· "
        assert re.search(rf"^\*\*{re.escape(title)}[^*]*\*\* \*\"", TEXT, re.M), title


def test_the_sections_that_it_sends_people_to_exist():
    entries = re.findall(r"^\*\*(\d+) · [^*]+\*\*(.*)$", TEXT, re.M)
    assert len(entries) == 11
    for number, entry in entries:
        for path in (ROOT / "notebooks").glob(f"{int(number):02d}_*.ipynb"):
            text = "\n".join(c.source for c in notebooks.read(path).cells)
            for section in re.findall(r"[Ss]ection (\d+)", entry):
                assert re.search(rf"^## {section} · ", text, re.M), (path.stem, section)


def test_minutes_and_memory_are_those_of_the_stored_runs():
    assert synced_page(TEXT) == TEXT, "run `course sync`"


@pytest.mark.parametrize(("name", "minutes"), [("half-day", 240), ("one-day", 480)])
def test_a_day_is_on_the_page_and_no_longer_than_it_says(name, minutes):
    assert timetable(name) in TEXT
    *_, last = timetable(name).splitlines()
    assert int(re.search(r"(\d+) \|$", last)[1]) <= minutes


def test_the_python_versions_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.15"
    assert "Python 3.11 to 3.14" in TEXT


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one stored lesson (61 s), and a day of it and of one that is not written."""
    lesson = good_notebook(3)
    lesson.metadata.course_plan = {"reading": 35, "exercises": 20, "t4_factor": 0.5}
    root = write_course(tmp_path, **{place_of(3): lesson})
    pause, again = Stop("pause", minutes=10), Stop("03_topic", exercises=False)
    monkeypatch.setitem(DAYS, "short", (Stop("03_topic"), pause, Stop("04_absent"), again))
    page = "<!-- minutes -->\n<!-- short -->\nold\n<!-- /minutes -->\n"
    (root / "INSTRUCTORS.md").write_text(page, encoding="utf-8")
    return root


def test_a_stop_adds_up_and_a_lesson_without_a_stored_run_is_a_question_mark(course):
    link = "[03_topic](notebooks/03_topic.ipynb)"
    assert timetable("short", course).splitlines()[2:] == [
        f"| 0:00 | {link} | 35 | 20 | 2 | 57 |",
        "| 0:57 | *pause* | | | | 10 |",
        "| 1:07 | 04_absent (no stored run yet) | ? | ? | ? | ? |",
        f"| 1:07 | {link} | 35 | none | 2 | 37 |",
        "| 1:44 | *end* | | | | at least 104 |",
    ]


def test_sync_writes_the_page_and_notices_when_a_run_changes_it(course):
    said = []
    assert sync(check=True, root=course, echo=said.append) == 1
    assert "differs: INSTRUCTORS.md" in said
    assert sync(root=course, echo=said.append) == 0
    page = (course / "INSTRUCTORS.md").read_text(encoding="utf-8")
    assert page == (
        f"<!-- minutes -->\n<!-- short -->\n{timetable('short', course)}<!-- /minutes -->\n"
    )
    assert sync(check=True, root=course, echo=said.append) == 0
    path = course / "notebooks" / "03_topic.ipynb"
    notebooks.write(path, stamp(notebooks.read(path), seconds=200.0))
    assert sync(check=True, root=course, echo=said.append) == 1
