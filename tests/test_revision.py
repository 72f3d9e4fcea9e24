"""The fingerprint of the code behind a result: it moves with that code, and with nothing else."""

import pytest

from helpers import notebooks
from helpers.revision import modules_behind, revision
from helpers.runtime import ROOT

FILES = {
    "__init__.py": "from helpers.plots import draw",
    "runtime.py": "SEED = 0",
    "models/__init__.py": (
        "from helpers.models.encoder import load\nfrom helpers.models.decoder import read"
    ),
    "models/encoder.py": "from helpers import tables\n\ndef load():\n    return tables.rows()",
    "models/decoder.py": "def read():\n    return 2",
    "tables/__init__.py": "from helpers.tables.rows import rows",
    "tables/rows.py": "def rows():\n    'Give rows.'\n    return 1  # one",
    "plots.py": "def draw(): ...",
}


@pytest.fixture
def package(tmp_path):
    """A package of eight files, and how to rewrite one of them in a copy of its own."""

    def write(copy: str, **changes: str):
        root = tmp_path / copy / "helpers"
        for name, text in (FILES | changes).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(text.encode())
        return root

    return write


@pytest.mark.parametrize(
    "code",
    ["from helpers.models import load", "from helpers import models as m\nm.load()"],
)
def test_a_name_leads_to_the_modules_behind_it_and_to_no_other_of_its_package(package, code):
    root = package("plain")
    found = {path.relative_to(root).as_posix() for path in modules_behind(code, root)}
    assert found == {"runtime.py", "models/encoder.py", "tables/rows.py"}


@pytest.mark.parametrize(
    ("file", "text", "moves"),
    [
        ("tables/rows.py", "def rows():\n    return 2", True),
        ("runtime.py", "SEED = 1", True),
        ("tables/rows.py", FILES["tables/rows.py"].replace("\n", "\r\n"), False),
        ("tables/rows.py", FILES["tables/rows.py"].replace("# one", "# the one"), False),
        ("tables/rows.py", FILES["tables/rows.py"].replace("Give", "Return"), False),
        ("tables/rows.py", "\n\n" + FILES["tables/rows.py"], False),
        ("models/decoder.py", "def read():\n    return 3", False),
        ("plots.py", "def draw():\n    print()", False),
    ],
)
def test_it_moves_with_the_code_behind_a_result_alone(package, file, text, moves):
    code = "from helpers.models import load"
    before, after = package("before"), package("after", **{file: text})
    assert (revision(code, before) != revision(code, after)) == moves


def names_behind(notebook: str) -> set[str]:
    read = notebooks.read(ROOT / "notebooks" / f"{notebook}.ipynb")
    helpers = ROOT / "helpers"
    found = modules_behind(notebooks.code_of(read))
    return {path.relative_to(helpers).as_posix() for path in found}


def test_the_tool_for_your_own_data_stands_behind_its_notebook_alone():
    assert any(name.startswith("finetune/") for name in names_behind("10_your_own_data"))
    assert not any(name.startswith("finetune/") for name in names_behind("04_bert"))


def test_no_result_depends_on_figures_checks_or_commands():
    for notebook in ("00_start_here", "07_lora", "09_whole_history"):
        packages = {name.partition("/")[0] for name in names_behind(notebook)}
        assert packages.isdisjoint({"plots", "lessons", "commands"}) and "runtime.py" in packages
