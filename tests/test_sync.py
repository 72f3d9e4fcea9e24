"""`course sync`: what is known in one place is shown everywhere, and nothing else is touched."""

import pytest
from nbformat.v4 import new_code_cell, new_output
from notebook_factory import ADDRESS, good_notebook, place_of, stamp, write_course

from helpers import notebooks
from helpers.commands.lint import lint
from helpers.commands.sync import sync

OTHER = "https://github.com/an-author/renamed-course"
README = """\
# A course

```sh
git clone https://github.com/old/place && cd place
```

Or `git clone --depth=1 https://github.com/old/place`, as you like.

<!-- notebooks -->
stale
<!-- /notebooks -->

    @misc{course, url = {https://github.com/old/place}, year = {2026}}
"""
LESSON, BONUS, SOLUTION = (place_of(3, kind) for kind in ("lesson", "bonus", "solution"))


@pytest.fixture
def course(tmp_path):
    """A course in which everything shown is up to date."""
    made = {place_of(3, kind): good_notebook(3, kind) for kind in ("lesson", "bonus", "solution")}
    for notebook in made.values():
        notebook.metadata.course_plan = {"reading": 35, "exercises": 20, "t4_factor": 0.5}
    root = write_course(tmp_path, **made)
    (root / "README.md").write_text(README, encoding="utf-8")
    run(root)
    return root


def contents(root) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.*")}


def run(root, **choices) -> tuple[int, list[str]]:
    lines = []
    return sync(root=root, echo=lines.append, **choices), lines


def move(root, address: str = OTHER) -> None:
    path = root / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(ADDRESS, address), encoding="utf-8")


def test_a_synced_course_is_left_alone_and_a_slash_ends_no_address(course):
    before = contents(course)
    assert run(course, check=True) == run(course) == (0, [])
    assert contents(course) == before
    move(course, ADDRESS + "/")
    assert run(course, check=True) == (0, [])


def test_check_names_every_place_that_differs_and_changes_nothing(course):
    move(course)
    before = contents(course)
    shown = [f"notebooks/{place}.ipynb" for place in (LESSON, BONUS, SOLUTION)] + ["README.md"]
    lines = [f"differs: {name}" for name in shown] + ["Run `course sync`."]
    assert run(course, check=True) == (1, lines)
    assert contents(course) == before


def test_another_address_is_written_everywhere_as_the_house_rules_want_it(course):
    move(course)
    assert run(course)[0] == 0
    blob = "https://colab.research.google.com/github/an-author/renamed-course/blob/main"
    for place in (LESSON, BONUS, SOLUTION):
        path = course / "notebooks" / f"{place}.ipynb"
        text = path.read_text(encoding="utf-8")
        assert "someone/some-course" not in text
        assert f'\\"--depth=1\\", \\"{OTHER}\\"' in text
        assert (f"({blob}/notebooks/{place}.ipynb)" in text) == (place != SOLUTION)
        assert lint([path], course, echo=lambda line: None) == 0
    readme = (course / "README.md").read_text(encoding="utf-8")
    assert "someone/some-course" not in readme
    assert f"git clone {OTHER} && cd place" in readme
    assert f"Or `git clone --depth=1 {OTHER}`, as you like." in readme
    assert f"url = {{{OTHER}}}, year" in readme
    assert run(course, check=True) == (0, [])


def test_nothing_else_of_a_notebook_changes(course):
    path = course / "notebooks" / f"{LESSON}.ipynb"
    before = notebooks.read(path)
    move(course)
    run(course)
    after = notebooks.read(path)
    assert after.metadata == before.metadata
    pairs = enumerate(zip(before.cells, after.cells, strict=True))
    assert [index for index, (old, new) in pairs if old != new] == [0, 1]  # badge, Colab cell
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    # The Colab cell is no part of what a notebook computes: its outputs stay valid.
    assert notebooks.code_hash(after) == before.metadata.course_stamp.code


def test_minutes_and_memory_come_from_the_stamp_and_the_plan(course):
    path = course / "notebooks" / f"{LESSON}.ipynb"
    notebook = stamp(notebooks.read(path), seconds=144.0, peak_memory_bytes=3 * 2**29)
    notebooks.write(path, notebook)
    assert run(course, check=True)[0] == 1
    run(course)
    line = "35 minutes to read, 20 for the exercises; "
    line += "2.4 of compute on two cores, 1.2 on a T4 (estimated)"
    head = notebooks.read(path).cells[0].source
    assert f"**Minutes:** <!-- minutes -->{line}<!-- /minutes -->\n" in head
    readme = (course / "README.md").read_text(encoding="utf-8")
    rows = readme.split("<!-- notebooks -->\n")[1].split("<!-- /notebooks -->")[0].splitlines()
    assert len(rows) == 4  # head, rule, a lesson, a bonus; solutions are not listed
    name, *cells, badge = [cell.strip() for cell in rows[2].strip("|").split("|")]
    assert name == f"[3 · A topic (2013-2015)](notebooks/{LESSON}.ipynb)"
    assert cells == ["35 min", "20 min", "2.4 min", "1.2 min", "1.6 GB"]
    assert f"blob/main/notebooks/{LESSON}.ipynb" in badge
    assert rows[3].startswith(f"| [Bonus · A topic](notebooks/{BONUS}.ipynb) |")
    assert len({row.count("|") for row in rows}) == 1


def test_a_notebook_without_stamp_and_plan_shows_question_marks(course):
    path = course / "notebooks" / f"{LESSON}.ipynb"
    notebook = notebooks.read(path)
    del notebook.metadata["course_stamp"], notebook.metadata["course_plan"]
    notebooks.write(path, notebook)
    run(course)
    line = "? minutes to read, ? for the exercises; ? of compute on two cores, ? on a T4"
    assert line in notebooks.read(path).cells[0].source


def test_the_colab_cell_of_a_lesson_with_the_kit_is_folded_and_no_other_cell(course):
    path = course / "notebooks" / f"{LESSON}.ipynb"
    notebook = notebooks.read(path)
    notebook.metadata.course = {"kit": 2}
    notebooks.write(path, notebook)
    run(course)
    folded = [cell.metadata.get("jupyter") for cell in notebooks.read(path).cells]
    assert folded[1] == {"source_hidden": True} and not any(folded[:1] + folded[2:])
    assert notebooks.read(path).cells[1].metadata["cellView"] == "form"


@pytest.mark.parametrize(
    ("mime", "data", "name", "stored"),
    [
        ("image/svg+xml", '<svg role="img"><path d="M 0 0"/></svg>', "front.svg", None),
        ("image/png", "iVBORw0KGgo=", "front.png", b"\x89PNG\r\n\x1a\n"),
    ],
)
def test_the_picture_on_the_front_page_is_the_one_the_notebook_stores(
    course, mime, data, name, stored
):
    path, alt = course / "notebooks" / "09_whole_history.ipynb", "Two panels of test accuracy."
    picture = new_output("display_data", data={mime: data}, metadata={mime: {"alt": alt}})
    lesson = good_notebook(9)
    lesson.metadata.course_plan = {"reading": 35, "exercises": 20, "t4_factor": 0.5}
    lesson.cells.append(new_code_cell("pictures.history_figure(target)", outputs=[picture]))
    notebooks.write(path, lesson)
    page = course / "README.md"
    page.write_text(README + "\n![old words](notebooks/front.png)\n", encoding="utf-8")
    run(course)
    assert f"\n![{alt}](notebooks/{name})\n" in page.read_text(encoding="utf-8")
    assert (course / "notebooks" / name).read_bytes() == (stored or data.encode())
    assert run(course, check=True)[0] == 0
