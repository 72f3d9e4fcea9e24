"""The files around the code: they agree, and the package keeps its own order."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from helpers.commands.wheelhouse import PLATFORMS
from helpers.runtime import ROOT

FILES = ("pyproject.toml", "environment.yml", "requirements.lock")
MODULES = sorted((ROOT / "helpers").rglob("*.py"))
ORDER = (
    "runtime files revision notebooks session __init__ speed assets data tables word_tokenizer "
    "features embeddings networks lora training pretrained adapters decoding evaluation ledger "
    "instructing methods grid history plots lessons finetune commands"
).split()
"""A module imports only what stands before its package here."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def ranges(lines) -> dict[str, SpecifierSet]:
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each.specifier for each in found}


def direct() -> dict[str, SpecifierSet]:
    return ranges([*project()["dependencies"], *project()["optional-dependencies"]["test"]])


def conda() -> tuple[list[str], list[str]]:
    """What conda installs, and what pip installs."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    listed = yaml.safe_load(text)["dependencies"]
    [pip] = [item["pip"] for item in listed if isinstance(item, dict)]
    return [item for item in listed if isinstance(item, str)], pip


def locked(machine: dict[str, str] | None = None) -> dict[str, str]:
    """Package -> the one version pinned for a machine, by default this one."""
    pins: dict[str, str] = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(machine):
            continue
        [pin] = requirement.specifier
        assert pin.operator == "==" and "*" not in pin.version, line
        name = canonicalize_name(requirement.name)
        assert name not in pins, f"{name} is pinned twice for this Python"
        pins[name] = pin.version
    return pins


def test_conda_users_get_the_requirements_of_the_project_file_and_the_course_itself():
    *packages, last = conda()[1]
    wanted = [*project()["dependencies"], *project()["optional-dependencies"]["test"]]
    assert set(map(Requirement, packages)) == set(map(Requirement, wanted))
    assert last == "--editable ."


def test_conda_s_torch_without_cuda_is_of_the_range_of_torch():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    [line] = re.findall(r"# - pytorch-cpu(\S+)\n", text)
    assert SpecifierSet(line) == direct()["torch"]
    yaml.safe_load(text.replace("# - pytorch", "- pytorch"))


def test_the_range_of_python_is_the_same_everywhere():
    [python] = [line for line in conda()[0] if line.startswith("python")]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(project()["requires-python"])
    from helpers.commands.venv import NEWEST, OLDEST

    allowed = SpecifierSet(project()["requires-python"])
    minors = [minor for minor in range(30) if f"3.{minor}.5" in allowed]
    assert ((3, minors[0]), (3, minors[-1])) == (OLDEST, NEWEST)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_lock_pins_for_each_python_and_system_what_is_asked_for_in_its_range(python, platform):
    machine = PLATFORMS[platform]
    machine |= {"python_version": python, "python_full_version": f"{python}.9"}
    pins, wrong = locked(machine), {}
    for line in conda()[1][:-1]:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(machine):
            pin = pins.get(canonicalize_name(wanted.name), "none")
            if pin == "none" or pin not in wanted.specifier:
                wrong[wanted.name] = pin
    assert wrong == {}
    # gensim has no wheel for 3.14; it alone asks for the other two.
    only_before = {"gensim", "smart-open", "wrapt"}
    assert only_before & set(pins) == (set() if python == "3.14" else only_before)


def test_the_two_libraries_whose_names_move_are_held_to_one_release():
    minor = re.compile(r"<(\d+)\.(\d+)")
    for name in ("transformers", "trl", "peft"):
        [upper] = minor.findall(str(direct()[name]))
        have = locked()[name].split(".")
        assert (have[0], int(have[1]) + 1) == (upper[0], int(upper[1])), name


def test_the_lock_holds_the_build_backend_and_the_torch_the_results_were_made_with():
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [requirement] = map(Requirement, whole["build-system"]["requires"])
    assert locked()[requirement.name] in requirement.specifier
    assert locked()["torch"] == "2.13.0"


def of_a_gpu(name: str) -> bool:
    return name.startswith(("nvidia", "cuda", "triton"))


def test_the_lock_works_without_a_gpu():
    assert [name for name in locked() if of_a_gpu(name)] == []


def test_the_lock_leaves_no_version_to_the_day_of_installation():
    pins, loose = locked(), set()
    for name in pins:
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # an environment with fewer packages
            continue
        for requirement in map(Requirement, needed):
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and not of_a_gpu(requirement.name):
                loose.add(canonicalize_name(requirement.name))
    assert sorted(loose - set(pins)) == []


@pytest.mark.parametrize("name", FILES)
def test_no_package_index_is_named(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"index-url|find-links|trusted-host|pythonhosted|pypi\.org", text)
    hosts = set(re.findall(r"https?://([^/\s\"']+)", text))
    assert hosts <= {"github.com"}


def test_what_a_run_makes_is_not_in_git():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {"work/", "results/", ".venv/"} <= set(ignored)


def test_the_licence_names_one_for_code_and_one_for_text():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in text
    assert re.search(r"CC[ -]BY[ -]4\.0", text)
    assert project()["license"] == "MIT AND CC-BY-4.0"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short_enough_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def lines_of_code(function: ast.AST, lines: list[str]) -> int:
    """Lines of a function that are not blank and not its docstring; comments count."""
    docstring = set()
    if ast.get_docstring(function, clean=False) is not None:
        first = function.body[0]
        docstring = set(range(first.lineno, first.end_lineno + 1))
    span = range(function.lineno, function.end_lineno + 1)
    return sum(bool(lines[n - 1].strip()) and n not in docstring for n in span)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_function_fits_a_screen(path):
    text = path.read_text(encoding="utf-8")
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {node.name: lines_of_code(node, text.splitlines()) for node in functions}
    assert {name: length for name, length in lengths.items() if length > 40} == {}


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Packages of `helpers` that a file imports, each with whether a function does it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: write imports from the top, `helpers.x`"
            names = [node.module]
            if node.module == "helpers":
                names = [f"helpers.{alias.name}" for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names]
        found += [(part[1], id(node) in inside) for part in parts if part[0] == "helpers"]
    return found


def package_of(path: Path) -> str:
    return path.relative_to(ROOT / "helpers").with_suffix("").parts[0]


def test_every_module_has_its_place_in_the_order():
    assert {package_of(path) for path in MODULES} <= set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way_and_stand_at_the_top(path):
    allowed = ORDER[: ORDER.index(package_of(path)) + 1]
    lazy = name_of(path) == "helpers/commands/cli.py"  # `course --help` is instant
    wrong = [
        package
        for package, in_function in imports_of(path)
        if package not in allowed or (in_function and not lazy)
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    circles = TopologicalSorter({name_of(path): files_imported(path) for path in MODULES})
    circles.prepare()  # a CycleError names the files


def files_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("helpers."):
            place = ROOT.joinpath(*node.module.split("."))
            for name in (alias.name for alias in node.names):
                homes = [place / f"{name}.py", place / name / "__init__.py"]
                homes += [place.with_suffix(".py"), place / "__init__.py"]
                found.add(name_of(next(home for home in homes if home.exists())))
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_function_takes_at_most_a_dozen_parameters(path):
    wide = {"fit", "load_encoder", "load_decoder"}  # options by keyword, as in `TrainingArguments`
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and len(node.args.args) + len(node.args.kwonlyargs) > 12
    ]
    assert set(found) <= wide


LOADERS = {"from_pretrained", "from_config"}


@pytest.mark.parametrize(
    "path", [*MODULES, *sorted((ROOT / "tests" / "benchmarks").glob("*.py"))], ids=name_of
)
def test_no_model_is_loaded_with_code_of_its_own(path):
    text, loose = path.read_text(encoding="utf-8"), []
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") in LOADERS):
            continue
        given = {each.arg: ast.unparse(each.value) for each in node.keywords}
        # An adapter is numbers beside a model that is there already; peft has no such option.
        is_adapter = ast.unparse(node.func).startswith("PeftModel.")
        if not is_adapter and given.get("trust_remote_code") != "False":
            loose.append(f"{node.lineno}: {ast.unparse(node.func)}")
    assert loose == []


def repository_files() -> list[Path]:
    """Files git has or would add; in an unpacked zip, every file that is not made by a run."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        names = listed.stdout.decode("utf-8").split("\0")
        paths = [ROOT / name for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        made = {".venv", "work", "results", ".git", "__pycache__", ".ruff_cache"}
        paths = [p for p in ROOT.rglob("*") if not made & set(p.relative_to(ROOT).parts)]
    return [path for path in paths if path.is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # weights and the like
        return ""


def test_no_file_leads_to_a_place_that_a_clone_lacks():
    # Put together here, so that this file holds neither.
    outside = ("../" + "shared", "design" + ".md")
    found = [
        f"{name_of(path)}: {word}"
        for path in repository_files()
        for word in outside
        if word in text_of(path)
    ]
    assert found == []


def test_no_file_holds_a_home_directory():
    home = re.compile(
        r"(?<![\w.~$}/-])/(?:home|Users)/\w+|(?<![\w./])/root/\w+|[A-Z]:\\+Users\\+\w"
    )
    # The tests of this very rule show it what to refuse.
    examples = {"tests/test_lint.py", "tests/test_project_files.py"}
    found = [
        f"{name_of(path)}: {match[0]}"
        for path in repository_files()
        if name_of(path) not in examples
        for match in home.finditer(text_of(path))
    ]
    assert found == []


def test_the_search_for_home_directories_sees_the_examples():
    assert "/home/" in text_of(ROOT / "tests" / "test_lint.py")
    assert ROOT / "tests" / "test_lint.py" in repository_files()


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")])
def test_the_code_is_linted_and_formatted(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "--quiet", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
