"""What has to hold before an attribute is touched: version, place, signature, source.

The modules for that are imported when something is judged: a process that only waits for its
libraries to be imported does not pay for them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .target import Slot, Target

if TYPE_CHECKING:
    import ast

__all__ = [
    "Refused",
    "find",
    "fingerprint",
    "judge",
    "judge_all",
    "unwrapped",
    "version_of",
    "version_problem",
]

#: Fields of the syntax tree that do not change what a function does, or that only some
#: interpreters have.
IRRELEVANT = frozenset({"annotation", "returns", "type_comment", "type_params", "kind"})


class Refused(Exception):
    """A part cannot be filled at a level; says why."""


def version_of(target: Target) -> str | None:
    """The installed version, read from the metadata without importing the library."""
    import importlib.metadata

    try:
        return importlib.metadata.version(target.library) or None
    except (importlib.metadata.PackageNotFoundError, KeyError):  # the latter: a broken METADATA
        return None


def version_problem(target: Target, version: str) -> str | None:
    """Why this version may not be patched; None if it was tested."""
    oldest, first_untested = target.tested
    if _numbers(oldest) <= _numbers(version) < _numbers(first_untested):
        return None
    return f"untested version {version} (tested: {oldest} <= version < {first_untested})"


def _numbers(version: str) -> tuple[int, ...]:
    """1.9.2rc1 -> (1, 9, 2): enough for a range whose ends are plain numbers."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(each) for each in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def find(where: str) -> tuple[Any, str, Any]:
    """The owner, the name and the value in the owner's own __dict__, of "module:Class.name".

    Raises:
        Refused: it is not there; the module is not imported for it.
    """
    module, _, path = where.partition(":")
    owner: Any = sys.modules.get(module)
    if owner is None:
        raise Refused(f"{where}: {module} is not imported")
    *classes, name = path.split(".")
    for each in classes:
        owner = vars(owner).get(each)
        if owner is None:
            raise Refused(f"{where}: {each} is gone")
    if name not in vars(owner):
        raise Refused(f"{where} is gone")
    return owner, name, vars(owner)[name]


def judge(slot: Slot, original: object) -> None:
    """Compare signature and source with what was tested.

    Raises:
        Refused: naming what differs.
    """
    if hasattr(_plain(original), "__wrapped__"):  # inspect would look through it
        raise Refused(f"{slot.where}: somebody else has wrapped it")
    if slot.parameters is not None:
        import inspect

        found = tuple(inspect.signature(unwrapped(original)).parameters)
        if found != slot.parameters:
            told = f"({', '.join(found)}), tested with ({', '.join(slot.parameters)})"
            raise Refused(f"{slot.where}: its parameters are {told}")
    if slot.fingerprints:
        mark = fingerprint(original)
        if mark not in slot.fingerprints:
            told = f"its source (fingerprint {mark}) was not tested" if mark else "has no source"
            raise Refused(f"{slot.where}: {told}")


def judge_all(sources: Mapping[str, str]) -> None:
    """Judge what a replacement stands for beside the function in whose place it is put.

    Args:
        sources: by the place of each function the fingerprints that were tested, between spaces.

    Raises:
        Refused: naming the first whose source is another.
    """
    for where, known in sources.items():
        slot = Slot(where, lambda same: same, fingerprints=frozenset(known.split()))
        judge(slot, find(where)[2])


def unwrapped(original: Any) -> Any:
    """The function in a classmethod or staticmethod; anything else as it is."""
    return original.__func__ if isinstance(original, classmethod | staticmethod) else original


def _plain(original: Any) -> Any:
    """The library's own function, also where it is replaced by ours already."""
    function = unwrapped(original)
    while _is_ours(function):
        function = unwrapped(function.__wrapped__)
    return function


def _is_ours(function: Any) -> bool:
    """Not so a tracer's wrapper around ours: it copies or forwards the marks, and wraps ours."""
    marked = getattr(function, "__wsfast__", None)
    return marked is not None and marked is getattr(function, "__wrapped__", None)


def fingerprint(original: object) -> str:
    """12 hexadecimal digits of what a function's source does; "" where there is no source.

    Names, calls, constants and structure count; layout, comments, docstrings and annotations do
    not. The same source has the same fingerprint under every supported interpreter.
    """
    import ast
    import hashlib
    import inspect

    function = inspect.unwrap(unwrapped(original))
    try:
        body = _quickly_parsed(function) or _parsed(inspect.getsource(function))
    except (OSError, TypeError):
        return ""
    tree = ast.Module(body=body, type_ignores=[])
    return hashlib.sha256(repr(_essence(tree)).encode()).hexdigest()[:12]


def _quickly_parsed(function: Any) -> list[ast.stmt]:
    """The syntax tree of a function, without the tokens that inspect looks at; [] if unsure.

    The function ends before the next line that is indented as it is and begins a statement. Where
    that is wrong, in the middle of a string, what is left is no Python.
    """
    import ast
    import inspect
    import textwrap

    if not inspect.isfunction(function):
        return []
    lines, start = inspect.findsource(function)
    source = "".join(lines[start : start + _height(lines[start:])])
    try:
        body: list[ast.stmt] = ast.parse(textwrap.dedent(source)).body
    except SyntaxError:
        return []
    return body if len(body) == 1 else []


def _height(lines: list[str]) -> int:
    """How many lines belong to the function, decorators included, that begins with the first."""
    indent = len(lines[0]) - len(lines[0].lstrip())
    seen = False
    for number, line in enumerate(lines):
        statement = line.lstrip()
        deeper = len(line) - len(statement) > indent
        if deeper or not statement or statement[0] in "#)]}":
            continue
        if seen:
            return number
        seen = statement.startswith(("def ", "async def "))
    return len(lines)


def _parsed(source: str) -> list[ast.stmt]:
    import ast
    import textwrap

    try:
        return ast.parse(textwrap.dedent(source)).body
    except IndentationError:  # a string or a comment in it stands further left
        body: list[ast.stmt] = getattr(ast.parse(f"if 1:\n{source}").body[0], "body", [])
        return body


def _essence(node: object) -> object:
    import ast

    if isinstance(node, list):
        return [_essence(each) for each in node]
    if not isinstance(node, ast.AST):
        return node
    fields = {
        name: value for name, value in ast.iter_fields(node) if name not in IRRELEVANT and value
    }
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        fields["body"] = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if isinstance(node, ast.JoinedStr):  # CPython 3.12 ends a format with an empty string
        fields["values"] = [each for each in node.values if getattr(each, "value", None) != ""]
    if isinstance(node, ast.Constant):
        fields["value"] = (type(node.value).__name__, repr(node.value))
    return type(node).__name__, [(name, _essence(value)) for name, value in fields.items()]
