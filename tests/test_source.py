"""The rules of the sources: linters, budgets, banned words. A tool that is absent skips."""

from __future__ import annotations

import ast
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.source

ROOT = Path(__file__).resolve().parent.parent
CODE = ("wsfast", "src_c")
CHECKS = ("tests", "bench", "wheels")

#: Budgets of lines; see CONTRIBUTING.md.
FILE, FUNCTION, USUAL_FUNCTION, MEDIAN_FUNCTION = 500, 100, 40, 10
SMALL_FILES = {"setup.py": 60, "Makefile": 60}

#: In pieces, so that this file does not hold what it bans.
BANNED = {
    "unfinished work": r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b",
    "a stub": "NotImplemented" + "Error",
    "a path of one machine": r"(?<![\w.~])/(?:work|root|farm|home/\w+)/",
    "a package registry": r"\b(?:pypi|registry|files)\.(?:org|npmjs|pythonhosted|python)\b",
}


class Function(NamedTuple):
    """A function and how many lines it spans."""

    place: str
    size: int


def files(*patterns: str, under: tuple[str, ...] = CODE + CHECKS) -> list[Path]:
    """Source files below the given directories, none of them built."""
    found = {path for top in under for glob in patterns for path in (ROOT / top).rglob(glob)}
    return sorted(path for path in found if "__pycache__" not in path.parts)


def name(path: Path) -> str:
    """The path from the top of the checkout, for messages."""
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def count_lines(paths: list[Path]) -> int:
    return sum(len(read(path).splitlines()) for path in paths)


def run_tool(module: str, *arguments: str) -> None:
    """Run `python -m module`; skip if it is absent, fail with its output if it complains."""
    pytest.importorskip(module, reason=f"{module} is not installed")
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def python_functions(path: Path) -> Iterator[Function]:
    """Every def, methods and nested ones included, without their decorators."""
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            last = node.end_lineno or node.lineno
            yield Function(f"{name(path)}:{node.lineno} {node.name}", last - node.lineno + 1)


def cython_functions(path: Path) -> Iterator[Function]:
    """Every def and cdef with a body: it ends at the last line that is indented further."""
    lines = read(path).splitlines()
    start = re.compile(
        r"( *)(?:async )?(?:c|cp)?def (?!class|struct|enum|extern|packed|union)[^=]*$"
    )
    for number, line in enumerate(lines):
        found = start.match(line)
        if found and (last := cython_end(lines, number, len(found[1]))) > number:
            signature = line.strip().split("(")[0]
            yield Function(f"{name(path)}:{number + 1} {signature}", last - number + 1)


def cython_end(lines: list[str], start: int, indent: int) -> int:
    """Index of the last line of the body of the function whose first line is `start`."""
    last = start
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip():
            closes = re.match(r" *\)[^:]*:$", line) and last > start
            if len(line) - len(line.lstrip()) <= indent and not closes:
                break
            last = number
    return last


def c_functions(path: Path) -> Iterator[Function]:
    """Every function of a .c or .h file: from its signature to the brace in the first column."""
    lines = read(path).splitlines()
    opened = None
    for number, line in enumerate(lines):
        if opened is None and re.match(r"[a-z_].*\)\s*\{$|[a-z_].*\([^;]*$", line):
            opened = number
        elif opened is not None and line.startswith("}"):
            yield Function(f"{name(path)}:{opened + 1} {lines[opened][:50]}", number - opened + 1)
            opened = None
        elif opened is not None and line.rstrip().endswith(";") and not line.startswith(" "):
            opened = None


def functions_of(top: str) -> list[Function]:
    """All functions below a directory, whatever the language."""
    found: list[Function] = []
    for pattern, reader in (
        ("*.py", python_functions),
        ("*.pyx", cython_functions),
        ("*.[ch]", c_functions),
    ):
        for path in files(pattern, under=(top,)):
            found += reader(path)
    return found


# --- the linters -----------------------------------------------------------------------------


def test_ruff_check() -> None:
    run_tool("ruff", "check", ".")


def test_ruff_format() -> None:
    run_tool("ruff", "format", "--check", "--diff", ".")


@pytest.mark.slow
def test_mypy_strict() -> None:
    run_tool("mypy")


def test_c_compiles_without_a_warning(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("neither gcc nor clang is installed")
    flags = "-std=c11 -O3 -Wall -Wextra -Wconversion -Wshadow -Wpedantic -Werror".split()
    for path in files("*.c", under=("src_c",)):
        command = [compiler, *flags, "-c", "-o", str(tmp_path / "out.o"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_cython_has_no_warning_and_no_performance_hint(tmp_path: Path) -> None:
    pytest.importorskip("Cython", reason="Cython is not installed")
    sources = [name(path) for path in files("*.pyx", under=("wsfast",))]
    command = [sys.executable, "-m", "cython", "--working", str(ROOT), "-o", str(tmp_path)]
    done = subprocess.run([*command, *sources], capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not re.findall(r"^(?:warning|performance hint): .*", said, re.M), said
    assert len(list(tmp_path.rglob("*.c"))) == len(sources)


def test_headers_of_the_interpreter_are_there() -> None:
    """The build needs them: without them every other failure would mislead."""
    assert (Path(sysconfig.get_path("include")) / "Python.h").exists()


# --- the budgets -----------------------------------------------------------------------------


@pytest.mark.parametrize("top", CODE + CHECKS)
def test_files_are_short(top: str) -> None:
    sizes = {name(path): count_lines([path]) for path in files("*.py*", "*.[ch]", under=(top,))}
    long = {path: size for path, size in sizes.items() if size > FILE}
    assert not long, f"over {FILE} lines: {long}"


@pytest.mark.parametrize("path", sorted(SMALL_FILES))
def test_recipes_are_short(path: str) -> None:
    assert count_lines([ROOT / path]) <= SMALL_FILES[path]


@pytest.mark.parametrize("top", CODE + CHECKS)
def test_functions_are_short(top: str) -> None:
    found = functions_of(top)
    if not found:
        pytest.skip(f"{top}/ holds no function")
    long = [each for each in found if each.size > FUNCTION]
    assert not long, f"over {FUNCTION} lines: {long}"
    over = [each for each in found if each.size > USUAL_FUNCTION]
    assert len(over) * 10 <= len(found), f"over {USUAL_FUNCTION} lines: {over}"


def test_the_median_function_is_short() -> None:
    sizes = [each.size for top in CODE for each in functions_of(top)]
    assert statistics.median(sizes) <= MEDIAN_FUNCTION


def test_tests_are_as_long_as_the_code() -> None:
    code = count_lines(files("*.py", "*.pyx", "*.pxd", "*.[ch]", under=CODE))
    tests = count_lines(files("*.py", "*.pyx", "*.md", under=("tests",)))
    assert tests >= code, f"{tests} lines of tests for {code} lines of code"


# --- the words -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", sorted(BANNED))
def test_banned_words(what: str) -> None:
    texts = files("*.py*", "*.[ch]", "*.sh", "*.md") + sorted(ROOT.glob("*.md"))
    texts += [ROOT / "Makefile", ROOT / "setup.py", ROOT / "pyproject.toml", ROOT / ".ci/run"]
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in texts
        if path.suffix != ".pyc" and path.exists()
        for number, line in enumerate(read(path).splitlines(), 1)
        if re.search(BANNED[what], line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


def test_no_commented_out_code() -> None:
    """A comment that parses as a Python statement with a call, an assignment or an import."""
    telling = ast.Assign | ast.AugAssign | ast.Import | ast.ImportFrom | ast.Return | ast.Raise
    found = []
    for path in files("*.py", "*.pyx", "*.pxd"):
        for number, line in enumerate(read(path).splitlines(), 1):
            comment = re.fullmatch(r"\s*# ?([a-z_][\w.]*\s*(?:[(=]| import | \S).*)", line)
            if comment and any(isinstance(node, telling) for node in parse(comment[1])):
                found.append(f"{name(path)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", files("*.py", under=("wsfast",)), ids=name)
def test_no_error_is_swallowed(path: Path) -> None:
    """`except Exception: pass` hides what nobody thought of; contextlib.suppress names errors."""
    wide = {None, "Exception", "BaseException"}
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.ExceptHandler) and isinstance(node.body[0], ast.Pass):
            caught = ast.unparse(node.type) if node.type else None
            assert caught not in wide, f"{name(path)}:{node.lineno}"


def parse(text: str) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except SyntaxError:
        return []


@pytest.mark.parametrize("path", files("*.py", under=("wsfast",)), ids=name)
def test_python_module_says_what_it_is_and_exports(path: Path) -> None:
    tree = ast.parse(read(path))
    assert ast.get_docstring(tree), "its first line says what it is"
    if path.name == "__main__.py":
        return
    exported = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    ]
    assert exported, "it has an __all__"


@pytest.mark.parametrize("path", files("*.pyx", under=("wsfast",)), ids=name)
def test_cython_module_states_its_directives(path: Path) -> None:
    first, second = read(path).splitlines()[:2]
    assert first.startswith("# cython: language_level=3, freethreading_compatible=True")
    assert second.startswith(("# ", '"""')), "the reason of the directives stands on the next line"
    assert re.search(r'^"""\S', read(path), re.M), "its docstring says what it is"
    assert re.search(r"^__all__ = ", read(path), re.M), "it has an __all__"


@pytest.mark.parametrize("path", files("*.pyx", "*.pxd", under=("wsfast",)), ids=name)
def test_cython_style(path: Path) -> None:
    text = read(path)
    wrong = {
        "cpdef": r"^\s*cpdef\b",
        "DEF": r"^\s*DEF\s+\w+\s*=",
        "include": r"^\s*include\s+['\"]",
        "a typed memoryview in a signature": r"^\s*(?:c?def)\b.*\b\w+\[[:, 1]*:[:, 1]*\]\s+\w+",
        "a float division of integers": r"<(?:u?int\d*_t|size_t|Py_ssize_t)>\w+\s/\s",
    }
    found = {what: re.findall(bad, text, re.M) for what, bad in wrong.items()}
    assert not any(found.values()), {what: lines for what, lines in found.items() if lines}
    long = [number for number, line in enumerate(text.splitlines(), 1) if len(line) > 99]
    assert not long, f"lines over 99 columns: {long}"


def test_no_built_file_is_tracked() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    command = ["git", "-C", str(ROOT), "ls-files"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if listed.returncode != 0 or not listed.stdout:
        pytest.skip(f"git lists no file: {listed.stderr.strip()}")
    built = r"\.(?:so|pyd|o|a|pyc|whl|html)$|^(?:build|dist|\.venv)/|^wsfast/.*\.c$"
    tracked = [each for each in listed.stdout.splitlines() if re.search(built, each)]
    assert not tracked


# --- the readers above -----------------------------------------------------------------------


def test_the_readers_find_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that finds nothing would pass everything."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    pyx = tmp_path / "sample.pyx"
    pyx.write_text(
        "cdef struct Row:\n    int a\n\n"
        "cdef int walk(\n    int a,\n) except -1:\n    return a\n\n\n"
        "cdef class Thing:\n    def one(self):\n        return 1\n\n    cdef int x\n",
        encoding="utf-8",
    )
    assert [each.size for each in cython_functions(pyx)] == [4, 2]
    source = tmp_path / "sample.c"
    source.write_text(
        "static int one(int a) {\n    return a;\n}\n\nint two(int a,\n        int b) {\n"
        "    return a;\n}\nint three(int a);\n",
        encoding="utf-8",
    )
    assert [each.size for each in c_functions(source)] == [3, 4]
