"""Fingerprint of the code behind a result, which shows whether a stored result is stale."""

import ast
import hashlib
import io
import tokenize
from functools import cache
from pathlib import Path

__all__ = ["modules_behind", "revision"]

PACKAGE = Path(__file__).resolve().parent
NO_RESULTS = ("__init__", "commands", "lessons", "notebooks", "plots", "revision")
"""Modules that draw, check, or run what others compute: no result depends on them."""


def revision(code: str, package: Path = PACKAGE) -> str:
    """Fingerprint of what a piece of code uses of `helpers`, for ledger rows and stamps.

    It changes exactly when a module changes that the code reaches through its imports; comments,
    docstrings and blank lines do not count. It hashes contents, not a commit, and is therefore the
    same in a clone, a zip file and on Colab. The code may be that of a notebook.
    """
    digest = hashlib.sha256()
    for path in sorted(modules_behind(code, package)):
        digest.update(f"{path.relative_to(package).as_posix()}\n{_code_of(path)}\n".encode())
    return digest.hexdigest()[:12]


def modules_behind(code: str, package: Path = PACKAGE) -> set[Path]:
    """List the files of `helpers` that a piece of code reaches, from module to module.

    A name that a package re-exports (`from helpers.pretrained import load_encoder`, or
    `pretrained.load_encoder`) leads to the module that defines it, not to all of the package.
    """
    found: set[Path] = set()
    todo = [package / "runtime.py", *_used(ast.parse(code), package)]
    while todo:
        path = todo.pop()
        first = path.relative_to(package).with_suffix("").parts[0]
        if path not in found and first not in NO_RESULTS:
            found.add(path)
            todo += _used(_tree(path), package)
    return found


def _used(tree: ast.AST, package: Path) -> set[Path]:
    """Files whose names a syntax tree imports, or reads as attributes of an imported package."""
    used, packages = set(), {}
    for module, name, bound in _imports(tree):
        target = _resolve(module, name, package)
        if target.name == "__init__.py" and target.parent.name == name:
            packages[bound] = f"{module}.{name}"
        elif target.exists():
            used.add(target)
    for node in ast.walk(tree):
        named = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if named and node.value.id in packages:
            used.add(_resolve(packages[node.value.id], node.attr, package))
    return used


def _imports(tree: ast.AST) -> list[tuple[str, str, str]]:
    """`(module, name, bound as)` of each name that is imported out of `helpers`."""
    return [
        (node.module, alias.name, alias.asname or alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("helpers.")
        for alias in node.names
    ]


def _resolve(module: str, name: str, package: Path) -> Path:
    """The file that defines a name of a module; for a package, its `__init__.py`."""
    place = package.joinpath(*module.split(".")[1:])
    for path in (place / f"{name}.py", place / name / "__init__.py"):
        if path.exists():
            return path
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if path.name == "__init__.py" and path.exists():
        for source, original, bound in _imports(_tree(path)):
            if bound == name:
                return _resolve(source, original, package)
    return path


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _code_of(path: Path) -> str:
    """The text of a module without comments, docstrings and blank lines."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(_tree(path)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            lines[first.lineno - 1 : first.end_lineno] = [""] * (
                first.end_lineno - first.lineno + 1
            )
    return "\n".join(line.rstrip() for line in lines if line.strip())
