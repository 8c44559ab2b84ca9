"""The package's face: `install`, `uninstall`, `installed`, `status`; and what installing costs."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wsfast.speedups
from fake_library import CHECK, MASK, PARSE, SERIALIZE, Fake, fake_library
from wsfast.speedups import Report, SpeedupsError, install, installed, status, uninstall
from wsfast.speedups.registry import LIBRARIES, Registry

ALL = {MASK, SERIALIZE, PARSE, CHECK}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A library that `wsfast.speedups` itself knows, and no other one."""
    with fake_library(tmp_path / "site", monkeypatch) as made:
        monkeypatch.setattr(wsfast.speedups, "registry", made.registry)
        yield made


# --- the four functions ----------------------------------------------------------------------


def test_install_and_uninstall(fake: Fake) -> None:
    assert install() is None  # type: ignore[func-returns-value]
    fake.load()
    assert fake.replaced == ALL
    assert uninstall() is None  # type: ignore[func-returns-value]
    assert not fake.replaced


def test_every_option_is_handed_on(fake: Fake) -> None:
    fake.write("3.0")
    fake.load()
    install("fake-ws", level="kernels", allow_untested=True)
    assert fake.replaced == {MASK}
    uninstall("fake-ws")
    with pytest.raises(SpeedupsError, match="untested version 3.0"):
        install("fake-ws", strict=True)
    with installed("fake-ws", level="kernels", strict=True, allow_untested=True):
        assert fake.replaced == {MASK}
    assert not fake.replaced


def test_a_block(fake: Fake) -> None:
    fake.load()
    with installed() as nothing:
        assert nothing is None
        assert fake.replaced == ALL
    assert not fake.replaced


def test_a_block_around_a_function(fake: Fake) -> None:
    fake.load()

    @installed("fake-ws", level="kernels")  # type: ignore[operator]
    def inside() -> set[str]:
        return fake.replaced

    assert inside() == inside() == {MASK}
    assert not fake.replaced


def test_status_has_a_report_for_each(fake: Fake) -> None:
    (report,) = status()
    assert isinstance(report, Report)
    assert (report.library, report.version, report.state) == ("fake-ws", "1.5", "inactive")
    install()
    fake.load()
    (report,) = status("fake_ws")
    assert (report.state, report.level, len(report.slots)) == ("active", "frames", 4)


@pytest.mark.parametrize("call", [install, uninstall, status, lambda name: installed(name)])
def test_an_unknown_library_is_named_with_those_there_are(fake: Fake, call: Any) -> None:
    with pytest.raises(ValueError, match="'websocket' is no library .*: fake-ws"):
        entered = call("websocket")
        entered.__enter__()


def test_options_are_keywords() -> None:
    for each in (install, installed):
        parameters = inspect.signature(each).parameters
        kinds = {name: parameter.kind.name for name, parameter in parameters.items()}
        assert kinds.pop("libraries") == "VAR_POSITIONAL"
        assert set(kinds.values()) == {"KEYWORD_ONLY"}
        method = inspect.signature(getattr(wsfast.speedups.registry, each.__name__))
        assert parameters == method.parameters


def test_errors_are_runtime_errors() -> None:
    assert issubclass(SpeedupsError, RuntimeError)


def test_the_registry_is_one_object_for_the_process() -> None:
    assert isinstance(wsfast.speedups.registry, Registry)
    module = importlib.import_module("wsfast.speedups.registry")
    assert module.Registry is Registry
    assert importlib.import_module("wsfast.speedups").registry is wsfast.speedups.registry


# --- what it costs ---------------------------------------------------------------------------

#: What install() may import of the standard library; everything else waits for a use.
CHEAP = (
    *("__future__", "abc", "collections.abc", "contextlib", "functools", "importlib.machinery"),
    *("itertools", "os", "re", "struct", "zlib", "sys", "threading", "types", "typing", "weakref"),
)

COST = """
import importlib, json, sys, time
for name in sys.argv[2].split():
    importlib.import_module(name)
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
start = time.perf_counter()
import wsfast.speedups
wsfast.speedups.install()
seconds = time.perf_counter() - start
found = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - before}
print(json.dumps({"seconds": seconds, "modules": found}))
"""


@pytest.fixture(scope="module")
def cost(root: Path) -> Any:
    """What `import wsfast.speedups; install()` does in a fresh interpreter."""
    environment = {"PATH": ""}
    command = [sys.executable, "-S", "-c", COST, str(root), " ".join(CHEAP)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_installing_imports_nothing_that_is_dear(cost: Any) -> None:
    """A bound on time would fail on a busy machine; what is imported is what takes the time."""
    dear = sorted(name for name in cost["modules"] if name.split(".")[0] != "wsfast")
    assert not dear, f"imported by install() although nothing is patched yet: {dear}"


def test_installing_loads_nothing_compiled(cost: Any) -> None:
    files = {name: file for name, file in cost["modules"].items() if name.startswith("wsfast")}
    assert not {name for name, file in files.items() if file and not file.endswith(".py")}


def test_installing_imports_what_is_told_of_each_library_and_not_its_selftest(cost: Any) -> None:
    told = {f"wsfast.speedups.{each.replace('-', '_')}" for each in LIBRARIES}
    assert told <= set(cost["modules"])


def test_the_libraries_are_not_imported(cost: Any) -> None:
    packages = {
        wsfast.speedups.registry.library(each).target.package.split(".")[0] for each in LIBRARIES
    }
    assert not packages & set(cost["modules"])


def test_an_import_that_is_not_watched_costs_a_look_into_a_set() -> None:
    code = (
        "import sys, wsfast.speedups\n"
        "wsfast.speedups.install()\n"
        "before = set(sys.modules)\n"
        "import json\n"
        "print(*(name for name in set(sys.modules) - before if name.startswith('wsfast')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("\n", "")
