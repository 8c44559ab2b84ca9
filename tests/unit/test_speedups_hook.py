"""The import hook: what it hears of, and that nobody else notices."""

from __future__ import annotations

import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import pkgutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fake_library import Fake, fake_library
from wsfast.speedups.hook import ImportHook, is_imported, namespace, wait_for_import


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "site", monkeypatch) as made:
        yield made


class Heard:
    """A hook and what it told."""

    def __init__(self, fake: Fake, *modules: str) -> None:
        self.told: list[str] = []
        self.hook = ImportHook(self.told.append)
        self.hook.watch(frozenset(f"{fake.package}.{each}" for each in modules))


@pytest.fixture
def heard(fake: Fake) -> Iterator[Heard]:
    made = Heard(fake, "frames", "circular")
    yield made
    made.hook.watch(frozenset())


@pytest.fixture
def finder() -> Iterator[list[Any]]:
    """What is put in here stands in sys.meta_path during the test."""
    added: list[Any] = []
    yield added
    for each in added:
        sys.meta_path.remove(each)


# --- telling ---------------------------------------------------------------------------------


def test_an_import_of_a_watched_module_is_told_once(fake: Fake, heard: Heard) -> None:
    fake.load()
    fake.load()
    assert heard.told == ["fakews.frames"]


def test_other_imports_are_not_told(fake: Fake, heard: Heard) -> None:
    fake.load("legacy")
    assert not heard.told
    assert heard.hook.find_spec("fakews.legacy", None) is None


def test_it_is_told_when_the_code_has_run_and_before_the_import_ends(fake: Fake) -> None:
    seen: list[Any] = []

    def look(name: str) -> None:
        seen.append((sys.modules[name].mask(b"a", b"\0" * 4), is_imported(name)))

    hook = ImportHook(look)
    hook.watch(frozenset({"fakews.frames"}))
    fake.load()
    hook.watch(frozenset())
    assert seen == [(b"a", False)]


def test_a_reload_is_told_again(fake: Fake, heard: Heard) -> None:
    importlib.reload(fake.load())
    assert heard.told == ["fakews.frames"] * 2


def test_an_import_after_a_removal_is_told_again(fake: Fake, heard: Heard) -> None:
    fake.load()
    fake.forget()
    fake.load()
    assert heard.told == ["fakews.frames"] * 2


def test_a_circular_import_is_told_at_its_end(fake: Fake, heard: Heard) -> None:
    assert fake.load("ring").circular.whole()
    assert heard.told == ["fakews.circular"]


def test_what_is_imported_by_a_copier_is_told(fake: Fake, heard: Heard) -> None:
    fake.load("copies")
    assert heard.told == ["fakews.frames"]


def test_an_error_of_the_listener_is_the_error_of_the_import(fake: Fake) -> None:
    def refuse(name: str) -> None:
        raise RuntimeError(f"no {name}")

    hook = ImportHook(refuse)
    hook.watch(frozenset({"fakews.frames"}))
    with pytest.raises(RuntimeError, match=r"no fakews\.frames"):
        fake.load()
    assert "fakews.frames" not in sys.modules
    hook.watch(frozenset())
    assert fake.load().mask(b"a", bytes(4)) == b"a"


# --- errors of the library -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_module_anywhere", ModuleNotFoundError),
        ("from . import nothing_like_that", ImportError),
        ("raise KeyError('its own')", KeyError),
        ("raise SystemExit(3)", SystemExit),
        ("def f(:", SyntaxError),
    ],
)
def test_an_error_of_the_library_comes_through(
    fake: Fake, heard: Heard, source: str, error: type[BaseException]
) -> None:
    fake.write_module("frames.py", source + "\n")
    with pytest.raises(error) as raised:
        fake.load()
    assert type(raised.value) is error
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    assert not heard.told
    assert "fakews.frames" not in sys.modules
    fake.write_module("frames.py", "mended = True  # and longer than what was there before\n")
    assert fake.load().mended
    assert heard.told == ["fakews.frames"]


def test_a_module_that_is_not_there_is_not_found(heard: Heard) -> None:
    heard.hook.watch(frozenset({"fakews.nowhere"}))
    with pytest.raises(ModuleNotFoundError, match="No module named 'fakews.nowhere'") as raised:
        importlib.import_module("fakews.nowhere")
    assert raised.value.name == "fakews.nowhere"
    assert importlib.util.find_spec("fakews.nowhere") is None


# --- what others see -------------------------------------------------------------------------


def test_the_module_looks_as_without_the_hook(fake: Fake, heard: Heard) -> None:
    frames = fake.load()
    assert type(frames.__loader__) is importlib.machinery.SourceFileLoader
    assert frames.__spec__.loader is frames.__loader__
    assert frames.__spec__.origin == frames.__file__
    assert frames.__cached__ and frames.__spec__.cached == frames.__cached__
    assert "XOR" in inspect.getsource(frames.mask)
    assert pkgutil.get_data("fakews", "frames.py")


def test_the_module_sees_its_own_loader_while_it_runs(fake: Fake, heard: Heard) -> None:
    fake.write_module("frames.py", "seen = type(__loader__), type(__spec__.loader)\n")
    assert fake.load().seen == (importlib.machinery.SourceFileLoader,) * 2


def test_a_spec_can_be_looked_at_without_an_import(fake: Fake, heard: Heard) -> None:
    spec = importlib.util.find_spec("fakews.frames")
    assert spec is not None and spec.loader is not None
    assert spec.loader.get_code("fakews.frames") is not None  # type: ignore[attr-defined]
    assert spec.loader.path == spec.origin  # type: ignore[attr-defined]
    assert copy.copy(spec.loader).get_filename() == spec.origin  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = spec.loader.nothing_like_that  # type: ignore[attr-defined]
    assert not heard.told


def test_a_module_that_replaces_itself_stays_replaced(fake: Fake, heard: Heard) -> None:
    text = "import sys, types\nmade = types.ModuleType(__name__)\nmade.other = True\n"
    fake.write_module("frames.py", text + "sys.modules[__name__] = made\n")
    assert fake.load().other
    assert heard.told == ["fakews.frames"]


def test_a_module_that_renames_itself_is_told_by_its_name(fake: Fake, heard: Heard) -> None:
    fake.write_module("frames.py", "__name__ = 'renamed'\n")
    fake.load()
    assert heard.told == ["fakews.frames"]


def test_a_lazy_module_is_told_when_it_is_used(fake: Fake, heard: Heard) -> None:
    spec = importlib.util.find_spec("fakews.frames")
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules["fakews.frames"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not is_imported("fakews.frames")
    assert not wait_for_import("fakews.frames")
    assert not heard.told
    assert module.mask(b"a", bytes(4)) == b"a"
    assert heard.told == ["fakews.frames"]
    assert is_imported("fakews.frames")


# --- among other finders ---------------------------------------------------------------------


class Asking(importlib.abc.MetaPathFinder):
    """Asks all finders, as the hooks of tracers do, with a guard against its own question."""

    def __init__(self) -> None:
        self.busy = False
        self.asked = 0

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if self.busy or not name.startswith("fakews."):
            return None
        self.asked += 1
        self.busy = True
        try:
            return importlib.util.find_spec(name)
        finally:
            self.busy = False


@pytest.mark.parametrize("place", [0, 1])
def test_it_gets_on_with_a_finder_that_asks_all(
    fake: Fake, heard: Heard, finder: list[Any], place: int
) -> None:
    finder.append(Asking())
    sys.meta_path.insert(place, finder[0])
    fake.load()
    assert finder[0].asked == 1
    assert set(heard.told) == {"fakews.frames"}


def test_two_hooks_get_on_with_each_other(fake: Fake, heard: Heard) -> None:
    other = Heard(fake, "frames")
    frames = fake.load()
    other.hook.watch(frozenset())
    assert heard.told == other.told == ["fakews.frames"]
    assert type(frames.__spec__.loader) is importlib.machinery.SourceFileLoader


def test_a_finder_of_the_old_kind_is_passed_by(
    fake: Fake, heard: Heard, finder: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    finder.append(object())
    sys.meta_path.append(finder[0])
    assert importlib.util.find_spec("fakews.frames") is not None


def test_a_loader_of_the_old_kind_is_left_alone(fake: Fake, heard: Heard) -> None:
    class Loader:
        def load_module(self, name: str) -> ModuleType:
            raise AssertionError

    class Finder:
        def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
            if name == "fakews.frames":
                return importlib.machinery.ModuleSpec(name, Loader())  # type: ignore[arg-type]
            return None

    sys.meta_path.insert(1, Finder())  # type: ignore[arg-type]
    try:
        spec = importlib.util.find_spec("fakews.frames")
    finally:
        del sys.meta_path[1]
    assert spec is not None and type(spec.loader) is Loader


def test_an_error_of_another_finder_comes_through_and_does_no_harm(
    fake: Fake, heard: Heard, finder: list[Any]
) -> None:
    class Failing:
        def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
            if name == "fakews.frames":
                raise OSError("its own")

    finder.append(Failing())
    sys.meta_path.insert(1, finder[0])
    with pytest.raises(OSError, match="its own"):
        fake.load()
    sys.meta_path.remove(finder.pop())
    fake.load()
    assert heard.told == ["fakews.frames"]


# --- watching --------------------------------------------------------------------------------


def test_it_stands_in_front_while_it_watches() -> None:
    hook = ImportHook(lambda name: None)
    before = list(sys.meta_path)
    for names in ({"a"}, {"b", "c"}):
        hook.watch(frozenset(names))
        assert sys.meta_path == [hook, *before]
    hook.watch(frozenset())
    hook.watch(frozenset())
    assert sys.meta_path == before


def test_who_walks_the_finders_while_it_leaves_skips_none() -> None:
    """Importing threads walk `sys.meta_path` without a lock and without a copy."""
    hook = ImportHook(lambda name: None)
    before = list(sys.meta_path)
    hook.watch(frozenset({"a"}))
    walk = iter(sys.meta_path)
    assert next(walk) is hook
    hook.watch(frozenset())
    assert list(walk) == before


def test_only_what_is_watched_now_is_told(fake: Fake, heard: Heard) -> None:
    heard.hook.watch(frozenset({"fakews.legacy"}))
    fake.load()
    fake.load("legacy")
    assert heard.told == ["fakews.legacy"]


# --- is_imported and wait_for_import ---------------------------------------------------------


def test_what_is_not_in_sys_modules_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_imported("no_such_module_anywhere")
    assert not wait_for_import("no_such_module_anywhere")
    monkeypatch.setitem(sys.modules, "no_such_module_anywhere", None)  # type: ignore[arg-type]
    assert not is_imported("no_such_module_anywhere")


@pytest.mark.parametrize("module", [ModuleType("made"), object(), type("Odd", (), {"a": 1})()])
def test_what_was_put_there_by_hand_counts(
    monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    monkeypatch.setitem(sys.modules, "made_by_hand", module)  # type: ignore[arg-type]
    assert is_imported("made_by_hand")
    assert wait_for_import("made_by_hand")


def test_the_namespace_of_a_module_that_looks_otherwise() -> None:
    class Odd(ModuleType):
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise AssertionError("this one imports everything when it is looked at")

    odd = Odd("odd")
    odd.field = 1  # type: ignore[attr-defined]
    assert namespace(odd)["field"] == 1


def test_a_module_under_way_in_this_thread_is_not_waited_for(fake: Fake) -> None:
    fake.write_module(
        "frames.py",
        "from wsfast.speedups.hook import is_imported, wait_for_import\n"
        "seen = is_imported(__name__), wait_for_import(__name__)\n",
    )
    assert fake.load().seen == (False, False)
    assert is_imported("fakews.frames")


@pytest.mark.parametrize("ending", ["done = True", "raise ImportError('its own')"])
def test_a_module_under_way_in_another_thread_is_waited_for(fake: Fake, ending: str) -> None:
    fake.write_module(
        "frames.py", f"from fake_gate import begun, go\nbegun.set()\ngo.wait()\n{ending}\n"
    )
    gate: Any = ModuleType("fake_gate")
    gate.begun, gate.go = threading.Event(), threading.Event()
    sys.modules["fake_gate"] = gate

    def load() -> None:
        try:
            fake.load()
        except ImportError:
            pass

    found: list[bool] = []
    importer = threading.Thread(target=load)
    waiter = threading.Thread(target=lambda: found.append(wait_for_import("fakews.frames")))
    try:
        importer.start()
        assert gate.begun.wait(30)
        assert not is_imported("fakews.frames")
        waiter.start()
        gate.go.set()
    finally:
        gate.go.set()
        importer.join(30)
        waiter.join(30)
        del sys.modules["fake_gate"]
    assert found == [ending == "done = True"]
