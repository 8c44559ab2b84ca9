"""What belongs together is together: .pyx, .pxd and .pyi, module and test, stub and binary."""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.source

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wsfast"
UNIT = ROOT / "tests" / "unit"

#: Modules whose test stands elsewhere: (the test file below tests/, why).
TESTED_ELSEWHERE: dict[str, tuple[str, str]] = {}

#: Test files of tests/unit that belong to no module of their name: why.
TESTS_OF_NO_MODULE: dict[str, str] = {}

#: What every Cython class has and no stub should promise.
ALLOWED = r"""
wsfast\..*\.__reduce_cython__
wsfast\..*\.__setstate_cython__
"""

#: The slot of the buffer protocol has a name in Python from 3.12 on.
ALLOWED_BEFORE_312 = r"""
wsfast\..*\.__(release_)?buffer__
"""


def dotted(path: Path) -> str:
    """The module name of a source file: wsfast/echo/__init__.py is wsfast.echo."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


CYTHON = sorted(PACKAGE.rglob("*.pyx"))
PYTHON = sorted(
    path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py" and path.stat().st_size
)
MODULES = sorted(dotted(path) for path in CYTHON + PYTHON)


def has_code(path: Path) -> bool:
    """Whether there is a function or a class: an empty __init__.py needs no test."""
    return any(
        isinstance(node, ast.FunctionDef | ast.ClassDef)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
    )


TESTED = sorted(dotted(path) for path in PYTHON if path.stem != "__init__" or has_code(path))
TESTED += sorted(dotted(path) for path in CYTHON)


def test_stems(module: str) -> set[str]:
    """Names under which a module's tests are looked for: test_cli or test_loadgen_cli."""
    parts = module.split(".")[1:]
    return {"test_" + parts[-1], "test_" + "_".join(parts)} if parts else set()


test_stems.__test__ = False  # type: ignore[attr-defined]


def belongs(stem: str, module: str) -> bool:
    """Whether a test file is one of the module's: test_mask.py, or test_mask_copy.py beside it."""
    return any(stem == each or stem.startswith(f"{each}_") for each in test_stems(module))


def public_names(path: Path) -> dict[str, set[str]]:
    """Public top-level names of a stub, each with the public members of its class."""
    names: dict[str, set[str]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = {n for child in node.body for n in targets(child) if n[0] != "_"}
        else:
            names.update({name: set() for name in targets(node)})
    return {name: members for name, members in names.items() if not name.startswith("_")}


def targets(node: ast.stmt) -> list[str]:
    """The names that one statement of a stub defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def exported(path: Path) -> list[str]:
    """The literal __all__ of a stub."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and targets(node) == ["__all__"]:
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def test_there_are_modules() -> None:
    assert len(CYTHON) >= 5
    assert len(PYTHON) >= 5


@pytest.mark.parametrize("path", CYTHON, ids=dotted)
def test_cython_module_has_pxd_and_pyi(path: Path) -> None:
    assert path.with_suffix(".pxd").exists(), "the .pxd is its contract for cimport"
    assert path.with_suffix(".pyi").exists(), "the .pyi is its contract for Python"
    assert not path.with_suffix(".py").exists(), "one module, one source"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.p[xy][di]")), ids=dotted)
def test_declarations_have_their_module(path: Path) -> None:
    assert path.with_suffix(".pyx").exists(), f"{path.name} describes a module that is not there"


@pytest.mark.parametrize("path", CYTHON, ids=dotted)
def test_pxd_functions_and_fields_carry_a_comment(path: Path) -> None:
    """A comment stands on the line of a declaration, or above it in the same paragraph."""
    lines = path.with_suffix(".pxd").read_text(encoding="utf-8").splitlines()
    bare, explained, inline = [], False, False
    for number, line in enumerate(lines, 1):
        if line and line[0] not in " )":
            inline = line.startswith("cdef inline")  # its body holds locals and a docstring
        explained = bool(line.strip()) and (explained or "#" in line)
        if re.match(r" *cdef (?!class)[^:(]*(\(|$)", line) and not inline and not explained:
            bare.append(f"{path.stem}.pxd:{number}: {line.strip()}")
    assert not bare, "\n".join(bare)


@pytest.mark.parametrize("module", TESTED)
def test_module_has_a_test_file_of_its_name(module: str) -> None:
    if module in TESTED_ELSEWHERE:
        where, reason = TESTED_ELSEWHERE[module]
        assert reason
        assert (ROOT / "tests" / where).exists()
        return
    found = [path.name for path in UNIT.glob("test_*.py") if path.stem in test_stems(module)]
    assert found, f"{module} has none of {sorted(test_stems(module))} in tests/unit"


@pytest.mark.parametrize("path", sorted(UNIT.glob("test_*.py")), ids=lambda path: path.stem)
def test_test_file_has_its_module(path: Path) -> None:
    if path.stem in TESTS_OF_NO_MODULE:
        return
    assert any(belongs(path.stem, module) for module in MODULES), f"{path.name} tests no module"


def test_exceptions_are_still_needed() -> None:
    assert set(TESTED_ELSEWHERE) <= set(MODULES)
    assert {f"{stem}.py" for stem in TESTS_OF_NO_MODULE} <= {p.name for p in UNIT.glob("*.py")}


@pytest.mark.parametrize("path", CYTHON, ids=dotted)
def test_binary_is_built_from_cython(path: Path) -> None:
    file = importlib.import_module(dotted(path)).__file__ or ""
    assert file.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)), file


@pytest.mark.parametrize("path", CYTHON, ids=dotted)
def test_stub_names_are_in_the_binary(path: Path) -> None:
    module = importlib.import_module(dotted(path))
    stub = path.with_suffix(".pyi")
    for name, members in public_names(stub).items():
        assert hasattr(module, name), f"{stub.name}: {name}"
        missing = {member for member in members if not hasattr(getattr(module, name), member)}
        assert not missing, f"{stub.name}: {name} has no {sorted(missing)}"
    assert exported(stub) == module.__all__


@pytest.mark.parametrize("path", CYTHON, ids=dotted)
def test_public_callables_have_a_docstring(path: Path) -> None:
    module = importlib.import_module(dotted(path))
    bare = [
        name
        for name in module.__all__
        if callable(getattr(module, name)) and not getattr(module, name).__doc__
    ]
    assert not bare, f"{module.__name__}: no docstring on {bare}"


@pytest.mark.parametrize("module", MODULES)
def test_all_names_exist_and_are_sorted_once(module: str) -> None:
    loaded = importlib.import_module(module)
    names = loaded.__all__
    assert len(names) == len(set(names)), "a name stands twice"
    missing = [name for name in names if not hasattr(loaded, name)]
    assert not missing


def test_version_stands_once() -> None:
    wsfast = importlib.import_module("wsfast")
    assert f'version = "{wsfast.__version__}"\n' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.slow
def test_stubs_agree_with_the_binaries(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    allowed = tmp_path / "allowed"
    old = sys.version_info < (3, 12)
    allowed.write_text(ALLOWED + (ALLOWED_BEFORE_312 if old else ""), encoding="utf-8")
    command = [sys.executable, "-m", "mypy.stubtest", *(dotted(path) for path in CYTHON)]
    command += ["--mypy-config-file", "pyproject.toml", "--allowlist", str(allowed)]
    command += ["--ignore-unused-allowlist", "--ignore-disjoint-bases", "--concise"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
