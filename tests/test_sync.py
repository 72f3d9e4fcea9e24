"""`course sync`: what is known in one place is shown everywhere, and nothing else is touched."""

import nbformat
import pytest
from notebook_factory import ADDRESS, good_notebook, place_of, stamp, write_course

from helpers import notebooks
from helpers.commands.lint import lint
from helpers.commands.sync import minutes_line, sync

OTHER = "https://github.com/an-author/renamed-course"
PLAN = {"reading": 35, "exercises": 20, "t4_factor": 0.5}
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
LESSON, BONUS, SOLUTION = place_of(3), place_of(3, "bonus"), place_of(3, "solution")


@pytest.fixture
def course(tmp_path):
    """A course in which everything shown is up to date."""
    made = {place_of(3, kind): good_notebook(3, kind) for kind in ("lesson", "bonus", "solution")}
    for notebook in made.values():
        notebook.metadata.course_plan = PLAN
    root = write_course(tmp_path, **made)
    (root / "README.md").write_text(README, encoding="utf-8")
    sync(root=root, echo=lambda line: None)
    return root


def contents(root) -> dict[str, bytes]:
    files = [*root.rglob("*.ipynb"), *root.rglob("*.md"), *root.rglob("*.toml")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def run(root, **choices) -> tuple[int, list[str]]:
    lines = []
    return sync(root=root, echo=lines.append, **choices), lines


def move(root, address: str = OTHER) -> None:
    path = root / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(ADDRESS, address), encoding="utf-8")


def test_a_synced_course_is_left_alone(course):
    before = contents(course)
    assert run(course, check=True) == (0, [])
    assert run(course) == (0, [])
    assert contents(course) == before


def test_another_address_makes_every_place_differ_and_check_changes_nothing(course):
    move(course)
    before = contents(course)
    code, lines = run(course, check=True)
    assert code == 1
    shown = [f"notebooks/{place}.ipynb" for place in (LESSON, BONUS, SOLUTION)] + ["README.md"]
    assert lines == [f"differs: {name}" for name in shown] + ["Run `course sync`."]
    assert contents(course) == before


def test_sync_writes_another_address_everywhere(course):
    move(course)
    assert run(course)[0] == 0
    for place in (LESSON, BONUS, SOLUTION):
        text = (course / "notebooks" / f"{place}.ipynb").read_text(encoding="utf-8")
        assert "someone/some-course" not in text
        assert f'\\"--depth=1\\", \\"{OTHER}\\"' in text
    for place in (LESSON, BONUS):
        head = notebooks.read(course / "notebooks" / f"{place}.ipynb").cells[0].source
        blob = "https://colab.research.google.com/github/an-author/renamed-course/blob/main"
        assert f"({blob}/notebooks/{place}.ipynb)" in head
    readme = (course / "README.md").read_text(encoding="utf-8")
    assert "someone/some-course" not in readme
    assert f"git clone {OTHER} && cd place" in readme
    assert f"Or `git clone --depth=1 {OTHER}`, as you like." in readme
    assert f"url = {{{OTHER}}}, year" in readme
    assert f"github/an-author/renamed-course/blob/main/notebooks/{LESSON}.ipynb" in readme
    assert run(course, check=True) == (0, [])


def test_a_slash_at_the_end_of_the_address_is_left_out(course):
    move(course, ADDRESS + "/")
    assert run(course, check=True) == (0, [])


@pytest.mark.parametrize(("place", "kind"), [(LESSON, "lesson"), (BONUS, "bonus")])
def test_what_sync_writes_the_house_rules_accept(course, place, kind):
    move(course)
    run(course)
    said = []
    path = course / "notebooks" / f"{place}.ipynb"
    assert lint([path, course / "README.md"], course, echo=said.append) == 0, said


def test_nothing_else_of_a_notebook_changes(course):
    path = course / "notebooks" / f"{LESSON}.ipynb"
    before = notebooks.read(path)
    move(course)
    run(course)
    after = notebooks.read(path)
    assert after.metadata == before.metadata
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    pairs = enumerate(zip(before.cells, after.cells, strict=True))
    changed = [index for index, (old, new) in pairs if old != new]
    assert changed == [0, 1]  # the head with its badge, and the Colab cell
    assert [c.get("outputs") for c in after.cells] == [c.get("outputs") for c in before.cells]
    # The Colab cell is no part of what a notebook computes: its outputs stay valid.
    assert notebooks.code_hash(after) == before.metadata.course_stamp.code


def test_minutes_come_from_the_stamp_and_the_plan(course):
    path = course / "notebooks" / f"{LESSON}.ipynb"
    notebook = stamp(notebooks.read(path), seconds=144.0)
    notebooks.write(path, notebook)
    assert run(course, check=True)[0] == 1
    run(course)
    head = notebooks.read(path).cells[0].source
    wanted = (
        "35 minutes to read, 20 for the exercises; "
        "2.4 of compute on two cores, 1.2 on a T4 (estimated)"
    )
    assert f"**Minutes:** <!-- minutes -->{wanted}<!-- /minutes -->\n" in head


def test_a_notebook_without_stamp_and_plan_shows_question_marks():
    line = minutes_line(nbformat.v4.new_notebook())
    assert line == (
        "? minutes to read, ? for the exercises; ? of compute on two cores, ? on a T4 (estimated)"
    )


def test_the_readme_lists_lessons_and_bonuses_with_their_costs(course):
    path = course / "notebooks" / f"{LESSON}.ipynb"
    notebook = stamp(notebooks.read(path), seconds=240.0, peak_memory_bytes=3 * 2**29)
    notebooks.write(path, notebook)
    run(course)
    readme = (course / "README.md").read_text(encoding="utf-8")
    rows = readme.split("<!-- notebooks -->\n")[1].split("<!-- /notebooks -->")[0].splitlines()
    assert len(rows) == 4  # head, rule, a lesson, a bonus; solutions are not listed
    cells = [cell.strip() for cell in rows[2].strip("|").split("|")]
    assert cells[:6] == [
        f"[3 · A topic (2013-2015)](notebooks/{LESSON}.ipynb)",
        "35 min",
        "20 min",
        "4.0 min",
        "2.0 min",
        "1.6 GB",
    ]
    assert f"blob/main/notebooks/{LESSON}.ipynb" in cells[6]
    assert rows[3].startswith(f"| [Bonus · A topic](notebooks/{BONUS}.ipynb) |")
    assert len({row.count("|") for row in rows}) == 1
    assert run(course, check=True) == (0, [])
