"""wsaccel's names with ours behind them: where it is installed, and where it is not."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from random import Random
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from wsfast import speedups
from wsfast.speedups import library, masker, validator, wsaccel
from wsfast.speedups.selftest import Mismatch
from wsfast.speedups.wsaccel import TARGET

NAMES = ("wsaccel", "wsaccel.xormask", "wsaccel.utf8validator")


def loaded() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.copy().items() if name in NAMES}


def in_another_process(code: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def absent() -> Iterator[None]:
    """As if wsaccel were not installed."""

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            if name.partition(".")[0] == "wsaccel":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def version_of(target: Any) -> str | None:
        return None if target.library == "wsaccel" else genuine(target)

    genuine = library.version_of
    with mock.patch.dict(sys.modules), mock.patch.object(library, "version_of", version_of):
        for name in NAMES:
            sys.modules.pop(name, None)
        with mock.patch.object(sys, "meta_path", [Finder, *sys.meta_path]):
            yield


# --- not installed -----------------------------------------------------------------------------


def test_imports_find_ours_where_it_is_absent(absent: None) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("wsaccel")
    with speedups.installed("wsaccel", strict=True):
        import wsaccel as package
        from wsaccel import utf8validator
        from wsaccel.xormask import XorMaskerNull, XorMaskerSimple, createXorMasker

        assert utf8validator.Utf8Validator is validator.Utf8Validator
        assert XorMaskerNull is masker.XorMaskerNull
        assert (XorMaskerSimple, createXorMasker) == (
            masker.XorMaskerSimple,
            masker.createXorMasker,
        )
        assert package.patch_autobahn is wsaccel.patch_autobahn
        assert package.patch_ws4py is wsaccel.patch_ws4py
        assert package.__version__ == "0.6.7"
    assert not loaded()


def test_the_modules_look_like_modules(absent: None) -> None:
    with speedups.installed("wsaccel", strict=True):
        for name in NAMES:
            module = sys.modules[name]
            spec = importlib.util.find_spec(name)
            assert spec is module.__spec__ and spec.name == module.__name__ == name
            assert module.__package__ == "wsaccel" and "wsfast.speedups.wsaccel" in repr(module)
        with pytest.raises(ModuleNotFoundError, match=r"wsaccel\.other"):
            import wsaccel.other  # noqa: F401


def test_status_where_it_is_absent(absent: None) -> None:
    (before,) = speedups.status("wsaccel")
    assert (before.state, before.version, before.slots) == ("not-installed", "", ())
    with speedups.installed("wsaccel", strict=True):
        speedups.install("wsaccel")
        (report,) = speedups.status("wsaccel")
        assert (report.state, report.level, report.slots) == ("active", "kernels", NAMES)
    assert speedups.status("wsaccel") == (before,)


def test_a_module_that_is_there_stays(absent: None) -> None:
    theirs = ModuleType("wsaccel")
    sys.modules["wsaccel"] = theirs
    with speedups.installed("wsaccel"):
        assert speedups.status("wsaccel")[0].state != "active"
        assert loaded() == {"wsaccel": theirs}
    with pytest.raises(speedups.SpeedupsError, match="wsaccel"):
        speedups.install("wsaccel", strict=True)
    speedups.uninstall("wsaccel")
    assert loaded() == {"wsaccel": theirs}


def test_what_others_have_put_in_its_place_stays(absent: None) -> None:
    speedups.install("wsaccel", strict=True)
    theirs = sys.modules["wsaccel.xormask"] = ModuleType("wsaccel.xormask")
    speedups.uninstall("wsaccel")
    assert loaded() == {"wsaccel.xormask": theirs}


def test_nobody_gets_it_unasked(absent: None) -> None:
    with speedups.installed():
        assert speedups.status("wsaccel")[0].state == "not-installed"
        assert not loaded()


WITHOUT = """
import importlib.metadata, sys
genuine = importlib.metadata.version
def version(name):
    if name == "wsaccel":
        raise importlib.metadata.PackageNotFoundError(name)
    return genuine(name)
importlib.metadata.version = version
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "wsaccel":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("prefix", ["", WITHOUT], ids=["installed", "absent"])
@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        ("geventwebsocket", "geventwebsocket.websocket", "Utf8Validator"),
        ("lomond", "lomond.frame_parser", "Utf8Validator"),
        ("eventlet", "eventlet.websocket", "utf8validator.Utf8Validator"),
        ("websocket", "websocket._abnf", "XorMaskerSimple"),
        ("websocket", "websocket._utils", "Utf8Validator"),
    ],
)
def test_libraries_that_look_for_wsaccel_find_ours(
    prefix: str, package: str, module: str, name: str
) -> None:
    pytest.importorskip(package)
    if not prefix:
        pytest.importorskip("wsaccel")
    code = "from wsfast import speedups\nspeedups.install('wsaccel', strict=True)\n"
    code = f"{prefix}{code}import {module} as module\nprint(module.{name}.__module__)\n"
    (found,) = in_another_process(code)
    assert found.startswith("wsfast.speedups.")


# --- installed ---------------------------------------------------------------------------------


@pytest.fixture
def real() -> Any:
    package = pytest.importorskip("wsaccel")
    pytest.importorskip("wsaccel.xormask")
    pytest.importorskip("wsaccel.utf8validator")
    return package


def members(package: Any) -> list[Any]:
    return [
        *(package.patch_autobahn, package.patch_ws4py, package.utf8validator.Utf8Validator),
        *(package.xormask.XorMaskerNull, package.xormask.XorMaskerSimple),
        package.xormask.createXorMasker,
    ]


OURS = [
    *(wsaccel.patch_autobahn, wsaccel.patch_ws4py, validator.Utf8Validator),
    *(masker.XorMaskerNull, masker.XorMaskerSimple, masker.createXorMasker),
]


def test_the_real_one_gives_way_and_comes_back(real: Any) -> None:
    before, modules = members(real), loaded()
    with speedups.installed("wsaccel", strict=True):
        assert members(real) == OURS
        (report,) = speedups.status("wsaccel")
        assert report.state == "active" and len(report.slots) == 6
    assert members(real) == before and loaded() == modules


def test_install_without_names_leaves_it_alone(real: Any) -> None:
    before = members(real)
    with speedups.installed():
        assert members(real) == before
        assert speedups.status("wsaccel")[0].state == "inactive"
    assert not TARGET.by_default


@pytest.mark.parametrize(
    "first", ["speedups.install('wsaccel')", "import wsaccel.xormask, wsaccel.utf8validator"]
)
def test_before_and_after_the_import(real: Any, first: str) -> None:
    code = f"from wsfast import speedups\n{first}\n"
    code += "import wsaccel.xormask, wsaccel.utf8validator\n"
    code += "speedups.install('wsaccel', strict=True)\n"
    code += "print(wsaccel.xormask.XorMaskerSimple.__module__, wsaccel.patch_ws4py.__module__)\n"
    code += "speedups.uninstall()\nprint(wsaccel.xormask.XorMaskerSimple.__module__)"
    assert in_another_process(code) == [
        "wsfast.speedups.masker",
        "wsfast.speedups.wsaccel",
        "wsaccel.xormask",
    ]


def test_who_has_imported_it_before_is_told(real: Any) -> None:
    holder = ModuleType("holder_of_wsaccel")
    holder.Validator = real.utf8validator.Utf8Validator  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"holder_of_wsaccel": holder}):
        with speedups.installed("wsaccel", strict=True):
            assert "holder_of_wsaccel.Validator" in speedups.status("wsaccel")[0].stale


def test_the_selftest_agrees_and_sees(real: Any) -> None:
    with speedups.installed("wsaccel", strict=True):
        state = speedups.registry.library("wsaccel")
        for seed in range(40):
            state.selftest(Random(seed))
        with mock.patch.object(real.xormask, "createXorMasker", lambda *given: real.XorMaskerNull):
            with pytest.raises((Mismatch, AttributeError)):
                state.selftest(Random(1))
        with mock.patch.object(real.utf8validator, "Utf8Validator", Lenient):
            with pytest.raises(Mismatch, match="validate"):
                state.selftest(Random(1))


class Lenient(validator.Utf8Validator):
    def validate(self, ba: Any) -> tuple[bool, bool, int, int]:
        return (True, True, len(ba), len(ba))


def test_workloads_run(real: Any) -> None:
    for work in TARGET.workloads():
        assert work.run()


# --- its functions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "name"),
    [(wsaccel.patch_autobahn, "autobahn"), (wsaccel.patch_ws4py, "ws4py")],
)
def test_patch_functions_install_speedups(patch: Any, name: str) -> None:
    try:
        patch()
        assert speedups.status(name)[0].state in ("active", "pending", "not-installed")
        assert speedups.registry.library(name).wish is not None
    finally:
        speedups.uninstall(name)
