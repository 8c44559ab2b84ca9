"""The layers of ARCHITECTURE.md: an import points down, never up. Every one of them is read."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.source

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wsfast"

#: From the ground up; what stands in one row may import its own row and every row below.
LAYERS = [
    {"rfc6455", "errors", "limits"},
    {"cpu", "mask", "utf8", "frame"},
    {"scan"},
    {"buffer"},
    {"events", "receiver", "connection", "deflate"},
    {"url", "headers", "head", "headreader", "refusal", "requirements", "handshake"}
    | {"routing", "response", "record"},
    {"admission", "auth", "credentials", "entrance", "forwarded", "origin", "proxy", "session"}
    | {"coroutines", "line"},
    {"poller", "wheel", "files", "callback", "selector"},
    {"tls", "tlsbudget", "tlsconfig"},
    {"timetable", "rates", "backlog", "loop", "settings", "traffic"},
    {"transport", "opened", "upgrading", "messaging", "endpoint"},
    {"descriptors", "signals", "listening", "listener", "tracing", "drain", "server", "client"}
    | {"site", "tasks", "opening", "hosting"},
    {"worker", "supervisor", "activation", "logs", "metrics"},
    {"runoptions", "running", "hosted", "app"},
    {"asyncio", "integrations"},
    {"loadgen", "echo", "serve"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

#: Sans-I/O: everything below the selector.
PROTOCOL = {name for name, level in LEVEL.items() if level < LEVEL["selector"]}

#: Beside the layers: these may import exactly that.
BESIDE = {"speedups": {"mask", "utf8", "frame", "connection", "events", "rfc6455", "errors"}}

#: Rows that stand above others and still must not see them.
BLIND = {
    "scan": {"frame", "rfc6455", "errors"},
    **dict.fromkeys(LAYERS[LEVEL["selector"]], LAYERS[LEVEL["selector"]]),  # knows no WebSocket
}

#: The programs, and what hangs on other libraries: imported by nobody but themselves.
NOBODY_IMPORTS = {"loadgen", "echo", "serve", "speedups", "integrations"}

#: External packages, and the parts of wsfast that may use them. Everybody else lives without.
EXTERNAL = {
    "numpy": {"scan", "loadgen"},
    "rich": {"loadgen", "echo"},
    "click": {"loadgen", "echo"},
    "hdrh": {"loadgen"},
    "prometheus_client": {"loadgen"},
    "tomli": {"loadgen"},
    "httptools": {"headreader", "handshake"},
}


class Import(NamedTuple):
    """One import statement's target, as read from a file."""

    path: Path
    line: int
    target: str
    late: bool


def part_of(module: str) -> str:
    """The row of a dotted module name: wsfast.loadgen.cli is loadgen, wsfast itself is ''."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def module_of(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    """Whether wsfast has a module or package of this dotted name."""
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or any(path.with_suffix(end).exists() for end in (".py", ".pyx", ".pxd"))


def resolve(path: Path, base: str, dots: int, names: list[str]) -> list[str]:
    """The modules that `from base import names` reads, with relative dots resolved."""
    if dots:
        package = module_of(path).split(".")
        package = package if path.name.startswith("__init__.") else package[:-1]
        base = ".".join([*package[: len(package) - dots + 1], *([base] if base else [])])
    if base.split(".")[0] != "wsfast":
        return [base]
    return [f"{base}.{name}" if is_module(f"{base}.{name}") else base for name in names]


def python_imports(path: Path) -> Iterator[Import]:
    """Imports of a .py file; inside a function they are late, under TYPE_CHECKING no imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            targets = resolve(path, node.module or "", node.level, names)
        else:
            continue
        for target in targets:
            yield Import(path, node.lineno, target, node in late)


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines of Cython that start an import: (line number, indented text in one line)."""
    lines = [line.split("#")[0].rstrip() for line in text.split("\n")]
    for number, line in enumerate(lines, 1):
        if not re.match(r"\s*(from\s+[\w.]+\s+c?import|c?import)\s", line):
            continue
        rest = iter(lines[number:])
        while line.count("(") > line.count(")") or line.endswith("\\"):
            line = line.rstrip("\\") + " " + next(rest)
        yield number, line


def cython_imports(path: Path) -> Iterator[Import]:
    """Imports and cimports of a .pyx or .pxd file; an indented one is late."""
    for number, line in statements(path.read_text(encoding="utf-8")):
        late = line[0].isspace()
        found = re.match(r"\s*from\s+(\.*)([\w.]*)\s+c?import\s+(.*)", line)
        if found:
            names = re.findall(r"(\w+)(?:\s+as\s+\w+)?", found[3])
            targets = resolve(path, found[2], len(found[1]), names)
        else:
            rest = re.sub(r"^\s*c?import\s+", "", line)
            targets = [name.split()[0] for name in rest.split(",")]
        for target in targets:
            yield Import(path, number, target, late)


def all_imports() -> list[Import]:
    """Every import and cimport in wsfast/**; a .pxd is joined to its module by name."""
    found = [each for path in sorted(PACKAGE.rglob("*.py")) for each in python_imports(path)]
    for end in ("*.pyx", "*.pxd"):
        found += [each for path in sorted(PACKAGE.rglob(end)) for each in cython_imports(path)]
    return found


IMPORTS = all_imports()


def internal() -> Iterator[tuple[str, str, Import]]:
    """(importer's row, target's row, import), for imports from one row of wsfast in another."""
    for each in IMPORTS:
        if each.target.split(".")[0] == "wsfast":
            importer, target = part_of(module_of(each.path)), part_of(each.target)
            if importer != target:
                yield importer, target, each


def verdict(importer: str, target: str) -> str | None:
    """Why the row `importer` may not import the row `target`; None if it may."""
    if target in NOBODY_IMPORTS:
        return f"nobody imports {target}"
    if importer in BESIDE:
        return None if target in BESIDE[importer] else f"{importer} stands beside the layers"
    if importer in BLIND and target not in BLIND[importer]:
        return f"{importer} must not know {target}"
    top = len(LAYERS)
    if importer and target and LEVEL.get(target, top) > LEVEL.get(importer, top):
        return f"{importer} is below {target}"
    return None


def where(each: Import) -> str:
    """path:line of an import, for messages."""
    return f"{each.path.relative_to(ROOT)}:{each.line}"


def test_every_module_has_its_row() -> None:
    rows = {part_of(module_of(path)) for path in PACKAGE.rglob("*.p*") if path.suffix != ".pyc"}
    known = LEVEL.keys() | BESIDE.keys() | {"", "py"}
    assert rows <= known, f"not in the table of layers: {sorted(rows - known)}"


def test_architecture_names_every_part() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    parts = {part_of(module_of(path)) for path in PACKAGE.rglob("*.py*") if path.suffix != ".pyc"}
    missing = {part for part in parts if not re.search(rf"\b{part}\b", text)}
    assert not missing, f"ARCHITECTURE.md does not say what these are: {sorted(missing)}"


def test_the_imports_were_read() -> None:
    """A reader that finds nothing would let everything pass."""
    pairs = {(importer, target) for importer, target, _ in internal()}
    assert {("scan", "frame"), ("endpoint", "selector"), ("endpoint", "connection")} <= pairs


def test_imports_point_down() -> None:
    wrong = [
        f"{where(each)}: {reason}"
        for importer, target, each in internal()
        if (reason := verdict(importer, target))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_protocol_knows_no_socket() -> None:
    io = {"socket", "ssl", "select", "selectors", "asyncio", "posix", "threading"}
    wrong = [
        f"{where(each)}: {each.target}"
        for each in IMPORTS
        if part_of(module_of(each.path)) in PROTOCOL and each.target.split(".")[0] in io
    ]
    assert not wrong, wrong


def test_no_module_waits_for_itself() -> None:
    """No cycle of imports at module level, within a row neither."""
    graph: dict[str, set[str]] = {}
    for each in IMPORTS:
        importer = module_of(each.path)
        if each.target.startswith("wsfast.") and each.target != importer and not each.late:
            graph.setdefault(importer, set()).add(each.target)
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_packages_do_not_pull_in_everything() -> None:
    """`import wsfast` is the door to every part, so it opens none of the heavy ones."""
    wrong = [
        where(each)
        for importer, target, each in internal()
        if importer == "" and not each.late and target in NOBODY_IMPORTS | {"scan"}
    ]
    assert not wrong, wrong


@pytest.mark.parametrize("package", sorted(EXTERNAL))
def test_external_package_stays_where_it_belongs(package: str) -> None:
    wrong = [
        where(each)
        for each in IMPORTS
        if each.target.split(".")[0] == package
        and part_of(module_of(each.path)) not in EXTERNAL[package]
    ]
    assert not wrong, f"{package} outside of {sorted(EXTERNAL[package])}: {wrong}"


def test_external_packages_are_the_listed_ones() -> None:
    """A new dependency is a decision: it gets a row in EXTERNAL, and one in pyproject.toml."""
    known = set(sys.stdlib_module_names) | set(EXTERNAL) | {"wsfast"}
    known |= {"cython", "libc", "cpython", "posix"}  # Cython's own .pxd files
    free = {"speedups", "integrations"}  # these exist for the sake of another library
    wrong = [
        f"{where(each)}: {each.target}"
        for each in IMPORTS
        if each.target.split(".")[0] not in known and part_of(module_of(each.path)) not in free
    ]
    assert not wrong, wrong


def test_public_pxd_files_need_no_private_header() -> None:
    """Public .pxd files hold no `cdef extern`: it would ask a foreign build for src_c/."""
    for name in ("mask", "utf8", "frame"):
        text = (PACKAGE / f"{name}.pxd").read_text(encoding="utf-8")
        assert "cdef extern" not in text, f"wsfast/{name}.pxd"


def test_kernels_know_no_python() -> None:
    for path in sorted((ROOT / "src_c").iterdir()):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"#\s*include\s*[<\"]Python\.h|\b(?:malloc|calloc|realloc)\s*\(", text)
        assert not found, f"{path.name}: {found}"


BLOCKED_IMPORT = """
import importlib, importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
        return None

sys.meta_path.insert(0, Blocked())
for name in {modules!r}:
    importlib.import_module(name)
print("imported")
"""


def import_without(blocked: list[str], modules: list[str]) -> None:
    """Import the modules in a process of their own in which the blocked packages are absent."""
    code = BLOCKED_IMPORT.format(blocked=set(blocked), modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "imported", done.stderr


def test_the_engine_imports_without_the_extras() -> None:
    modules = ["wsfast", "wsfast.connection", "wsfast.server", "wsfast.client", "wsfast.echo"]
    import_without(["numpy", "rich", "click", "hdrh"], modules)


def test_the_engine_core_imports_without_anything() -> None:
    names = ("mask", "utf8", "frame", "scan", "buffer", "connection", "rfc6455", "errors")
    modules = [f"wsfast.{name}" for name in names]
    import_without(["numpy", "rich", "click", "hdrh", "httptools", "asyncio"], modules)


def test_a_cimport_is_parsed_in_every_form(tmp_path: Path) -> None:
    source = tmp_path / "sample.pyx"
    source.write_text(
        "from libc.string cimport memcpy\n"
        "cimport cython, posix.unistd as unistd\n"
        "from wsfast.frame cimport (\n"
        "    FrameHeader,  # a comment, with (a bracket\n"
        "    parse_header as parse,\n"
        ")\n"
        "from wsfast cimport mask, \\\n"
        "    utf8\n"
        "def late():\n"
        "    import numpy\n",
        encoding="utf-8",
    )
    found = [(each.line, each.target, each.late) for each in cython_imports(source)]
    assert found == [
        (1, "libc.string", False),
        (2, "cython", False),
        (2, "posix.unistd", False),
        (3, "wsfast.frame", False),
        (3, "wsfast.frame", False),
        (7, "wsfast.mask", False),
        (7, "wsfast.utf8", False),
        (10, "numpy", True),
    ]


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("endpoint", "selector", True),
        ("selector", "endpoint", False),
        ("selector", "rfc6455", False),
        ("connection", "selector", False),
        ("server", "client", True),
        ("server", "loadgen", False),
        ("loadgen", "echo", False),
        ("echo", "loadgen", False),
        ("speedups", "mask", True),
        ("speedups", "server", False),
    ],
)
def test_the_verdict(importer: str, target: str, allowed: bool) -> None:
    assert (verdict(importer, target) is None) is allowed
