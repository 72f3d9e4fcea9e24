"""House rules for code cells and their stored outputs.

A rule yields triples `(cell index or None, rule name, message)`; `helpers.commands.lint` knows
which rules are errors. Code is judged by its syntax tree, after IPython has turned `!` and `%`
lines into calls, so that a word in a string or a comment cannot trip a rule.
"""

import ast
import re
from collections.abc import Iterator

from helpers.notebooks import is_setup_cell

__all__ = ["Finding", "code_findings", "count_calls", "machine_findings", "output_text", "parse"]

Finding = tuple[int | None, str, str]

LINES_LIMIT, LINES_HABIT, IMPORTS_HABIT = 25, 15, 5
STDERR_LINES, OUTPUT_LINES = 12, 60
ALT_LENGTH = 20
IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
WIDGET = "application/vnd.jupyter.widget-view+json"

SHELL_CALLS = {
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.call", "subprocess.Popen",
}  # fmt: skip
IPYTHON_CALLS = {"system", "getoutput"}
SHELL_MAGICS = {
    "!", "sx", "system", "sc", "bash", "sh", "script", "cmd", "pip", "conda", "mamba", "micromamba",
}  # fmt: skip
NBVAL_MARK = re.compile(r"^\s*#+\s*((?:NBVAL|PYTEST_VALIDATE)_\w+)\b[ \t]*(.*)$", re.M)
NBVAL_REFUSED = {
    "RAISES_EXCEPTION": "nbval's lax mode passes even when nothing is raised; catch the error in "
    "the cell and assert that it came",
    "SKIP": "a skipped cell is an untested cell; make it run in the smoke profile",
    "IGNORE_OUTPUT": "lax mode ignores outputs already; take the mark off",
}
PROGRESS = re.compile(r"\r(?!\n)|(?<![A-Za-z])(?:it/s|s/it)\b|\d+%\|")
MACHINE_PATHS = re.compile(
    r"(?<![\w.~$}/-])/(?:home|root|Users|tmp|work|var/folders)/\w[^\s\"'<>]*"
    r"|\b[A-Za-z]:\\+Users\b[^\s\"'<>]*"
    r"|(?:(?<![\w.~$}/-])/|\b[A-Za-z]:\\)[^\s\"'<>]{0,200}?site-packages[^\s\"'<>]*"
)
REGISTRY = re.compile(
    r"files\.pythonhosted\.org|pypi\.org/simple|Looking in (?:indexes|links):.*"
    r"|download\.pytorch\.org/whl(?!/cpu\b)[\w/]*"
    r"|--(?:extra-)?index-url[=\s\"',]+(?!https://download\.pytorch\.org/whl/cpu\b)\w+:\S+"
)


def parse(source: str) -> list[ast.AST]:
    """All syntax nodes of a cell, with `!` and `%` lines as the calls that IPython makes of them.

    Raises:
        SyntaxError: if the cell is not Python even then.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    nodes = list(ast.walk(ast.parse(TransformerManager().transform_cell(source))))
    for node in list(nodes):
        # %%time and its like hold a whole cell in a string.
        if _called(node) == "run_cell_magic" and _text(node.args[0]) in ("time", "capture"):
            nodes += parse(_text(node.args[2]))
    return nodes


def count_calls(source: str, name: str) -> int:
    """How often a cell calls a function of this name, as `name(...)` or `module.name(...)`."""
    try:
        return sum(_called(node) == name for node in parse(source))
    except SyntaxError:
        return 0


def output_text(output) -> str:
    """Everything a stored output shows as text, whatever its kind."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return "\n".join([output.ename, output.evalue, *output.traceback])
    # An SVG's text is drawing commands.
    shown = [v for k, v in output.get("data", {}).items() if k not in IMAGES]
    return "\n".join(value if isinstance(value, str) else str(value) for value in shown)


def machine_findings(text: str) -> Iterator[tuple[str, str]]:
    """Traces of the machine a text was made on: absolute paths and package indexes."""
    for match in MACHINE_PATHS.finditer(text):
        yield "machine-path", f"{match[0]} exists on one machine only; use a relative path"
        return
    for match in REGISTRY.finditer(text):
        yield "registry-host", f"{match[0]}: leave the package index to the reader's own settings"
        return


def code_findings(notebook, kind: str) -> Iterator[Finding]:
    """Check every code cell of a notebook and its stored outputs.

    Args:
        notebook: as `notebooks.read` returns it.
        kind: "lesson", "bonus" or "solution"; only a solution may hold no stubs.

    Yields:
        One finding for each broken rule.
    """
    last_count = 0
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        for rule, message in [
            *_source_findings(cell, stubs_allowed=kind != "solution"),
            *_nbval_findings(cell),
            *_output_findings(cell.outputs),
        ]:
            yield index, rule, message
        count = cell.execution_count
        if count is None:
            yield index, "not-executed", "no stored run; `course run --store` executes the notebook"
        elif count <= last_count:
            yield index, "order", f"executed as [{count}] after [{last_count}]; run top to bottom"
        last_count = count or last_count


def _source_findings(cell, stubs_allowed: bool) -> Iterator[tuple[str, str]]:
    source = cell.source.strip()
    if is_setup_cell(cell):
        return  # compared with the template byte by byte
    lines = source.count("\n") + 1
    if lines > LINES_LIMIT:
        yield "cell-limit", f"{lines} lines, the limit is {LINES_LIMIT}; split the cell"
    elif lines > LINES_HABIT:
        yield "cell-length", f"{lines} lines, the habit is {LINES_HABIT}; one idea a cell"
    try:
        nodes = parse(source)
    except SyntaxError as error:
        yield "syntax", f"not Python: {error.msg}, line {error.lineno} of the cell"
        return
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    if len(imports) > IMPORTS_HABIT:
        yield "imports", f"{len(imports)} imports in one cell; import where a name is first used"
    if any(alias.name == "*" for node in imports for alias in node.names):
        yield "star-import", "a star import hides where names come from; name them"
    shell = [name for name in map(_shell_name, nodes) if name]
    if shell:
        yield (
            "shell",
            f"{', '.join(shell)}: a failing shell line passes the tests unseen; use "
            "subprocess.run([...], check=True)",
        )
    if not stubs_allowed and _is_stub(nodes):
        yield "stub", "a solution still holds `...` or NotImplementedError; write the answer"


def _called(node: ast.AST | None) -> str:
    """Name of the function that a node calls, without its module; empty if it calls none."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _text(node: ast.AST) -> str:
    value = getattr(node, "value", "")
    return value if isinstance(value, str) else ""


def _shell_name(node: ast.AST) -> str:
    name = _called(node)
    if name in ("run_line_magic", "run_cell_magic") and node.args:
        magic = _text(node.args[0])
        return f"%{magic}" if magic in SHELL_MAGICS else ""
    owner = getattr(getattr(node, "func", None), "value", None)
    if name in IPYTHON_CALLS and _called(owner) == "get_ipython":
        return "!"
    dotted = f"{getattr(owner, 'id', '')}.{name}"
    if dotted == "subprocess.run":
        checked = any(
            k.arg == "check" and getattr(k.value, "value", 0) is True for k in node.keywords
        )
        return "" if checked else "subprocess.run() without check=True"
    return f"{dotted}()" if dotted in SHELL_CALLS else ""


def _is_stub(nodes: list[ast.AST]) -> bool:
    # In `x[..., 0]` and `tuple[int, ...]` the dots are syntax, not a gap.
    inside = [n for s in nodes if isinstance(s, ast.Subscript) for n in ast.walk(s.slice)]
    subscripts = {id(node) for node in inside}
    return any(
        (isinstance(node, ast.Constant) and node.value is Ellipsis and id(node) not in subscripts)
        or getattr(node, "id", "") == "NotImplementedError"
        for node in nodes
    )


def _nbval_findings(cell) -> Iterator[tuple[str, str]]:
    marks = {mark.split("_", 1)[1].removeprefix("VALIDATE_"): rest.strip()
             for mark, rest in NBVAL_MARK.findall(cell.source)}  # fmt: skip
    for tag in cell.metadata.get("tags", []):
        name = tag.upper().replace("-", "_")
        if tag.startswith("nbval-") or tag == "raises-exception":
            marks[name.removeprefix("NBVAL_")] = ""
    for mark, rest in marks.items():
        if mark in NBVAL_REFUSED:
            yield "nbval", f"{mark}: {NBVAL_REFUSED[mark]}"
        elif rest and not mark.startswith("TEST_NAME"):
            yield "nbval", f"{mark} counts only when alone on its line; move {rest!r} elsewhere"
    if "CHECK_OUTPUT" in marks and not any(map(_is_compared, cell.outputs)):
        yield (
            "vacuous-check",
            "NBVAL_CHECK_OUTPUT without a stored text to compare always passes; print what is "
            "checked and store the output, or take the mark off",
        )


def _is_compared(output) -> bool:
    if output.output_type == "stream":
        return output.name == "stdout" and bool(output.text.strip())
    data = output.get("data", {})
    # Beside an image the text is only the name of its class.
    return bool(data) and not any(mime in data for mime in IMAGES)


def _output_findings(outputs: list) -> Iterator[tuple[str, str]]:
    stderr = "".join(o.text for o in outputs if o.get("name") == "stderr")
    texts = [output_text(output) for output in outputs]
    everything = "\n".join(texts)
    for output in outputs:
        if output.output_type == "error":
            yield "stored-error", f"stored error {output.ename}: {output.evalue[:80]}; mend, rerun"
        yield from _image_findings(output)
    if _lines(stderr) > STDERR_LINES:
        yield "log-wall", f"{_lines(stderr)} lines of stderr; quieten the library that writes them"
    streams = "".join(o.text for o in outputs if o.get("name") == "stdout")
    plain = [o.get("data", {}).get("text/plain", "") for o in outputs]
    longest = max(map(_lines, [streams, *plain]))
    if longest > OUTPUT_LINES:
        yield "log-wall", f"{longest} lines of output, at most {OUTPUT_LINES}; show a few, or a sum"
    if PROGRESS.search(everything) or any(WIDGET in o.get("data", {}) for o in outputs):
        yield "progress-bar", "a progress bar is stored; switch it off while outputs are stored"
    if "Warning" in stderr:
        yield "stored-warning", "a warning is stored; mend its cause, or explain it in the text"
    yield from machine_findings(everything)


def _lines(text: str) -> int:
    return len(text.strip("\n").split("\n")) if text.strip() else 0


def _image_findings(output) -> Iterator[tuple[str, str]]:
    for mime in IMAGES:
        if mime not in output.get("data", {}):
            continue
        alt = str(output.get("metadata", {}).get(mime, {}).get("alt") or "").strip()
        if len(alt) < ALT_LENGTH or re.match(r"<?figure(\s+size\b|\W*\d*$)", alt, re.I):
            yield (
                "alt-text",
                f"alt text of the {mime} is {alt!r}; say in {ALT_LENGTH} characters or more what "
                "the figure shows",
            )
