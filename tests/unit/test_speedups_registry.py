"""All libraries together: install and uninstall, blocks, threads, forks, the environment."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fake_library import CHECK, MASK, PARSE, SERIALIZE, SHOUT, Fake, fake_library
from wsfast.speedups.library import SpeedupsError, Wish
from wsfast.speedups.registry import LIBRARIES, Registry

ALL = {MASK, SERIALIZE, PARSE, CHECK}

#: Longer than anything takes that does not hang.
PATIENCE = 60


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "site", monkeypatch) as made:
        yield made


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "other", monkeypatch, "other-ws") as made:
        yield made


@pytest.fixture
def both(fake: Fake, other: Fake) -> Iterator[Registry]:
    """A registry that knows two libraries."""
    made = Registry([fake.target(), other.target()])
    yield made
    made.uninstall()


@pytest.fixture
def gate() -> Iterator[Any]:
    """A module that a library imports to say where it is, and to wait there."""
    made: Any = ModuleType("fake_gate")
    made.begun, made.go = threading.Event(), threading.Event()
    sys.modules["fake_gate"] = made
    yield made
    made.go.set()
    del sys.modules["fake_gate"]


def in_threads(*calls: Callable[[], Any]) -> list[BaseException]:
    """Run each call in a thread of its own; the errors, a thread that hangs among them."""
    errors: list[BaseException] = []

    def run(call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(each,), daemon=True) for each in calls]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
        if each.is_alive():
            errors.append(TimeoutError("a thread hangs"))
    return errors


# --- install and uninstall -------------------------------------------------------------------


def test_what_is_imported_before_and_after_is_replaced(fake: Fake) -> None:
    fake.load()
    fake.registry.install()
    assert fake.replaced == ALL
    fake.load("legacy")
    assert fake.replaced == ALL | {SHOUT}
    fake.registry.uninstall()
    assert not fake.replaced


def test_an_importer_sees_ours_from_the_start(fake: Fake) -> None:
    fake.registry.install()
    copies = fake.load("copies")
    assert copies.mask is fake.load().mask is copies.copied["mask"]
    assert hasattr(copies.mask, "__wsfast__")


def test_installing_imports_nothing_of_the_library(fake: Fake) -> None:
    fake.registry.install()
    fake.registry.install("fake-ws", strict=True)
    assert fake.report.state == "pending"
    assert not fake.loaded()


def test_names_choose(both: Registry, fake: Fake, other: Fake) -> None:
    fake.load()
    other.load()
    both.install("other-ws")
    assert (fake.replaced, other.replaced) == (set(), ALL)
    both.install("Fake_WS")
    assert (fake.replaced, other.replaced) == (ALL, ALL)
    both.uninstall("other-ws")
    assert (fake.replaced, other.replaced) == (ALL, set())


def test_levels_can_differ(both: Registry, fake: Fake, other: Fake) -> None:
    both.install("fake-ws", level="kernels")
    both.install("other-ws", level="frames")
    fake.load()
    other.load()
    assert (fake.replaced, other.replaced) == ({MASK}, ALL)
    both.install(level="kernels")
    assert (fake.replaced, other.replaced) == ({MASK}, {MASK})


def test_what_is_not_taken_by_default_is_taken_by_name(fake: Fake) -> None:
    registry = fake.tell(by_default=False)
    fake.load()
    registry.install()
    assert not fake.replaced
    registry.install("fake-ws")
    assert fake.replaced == ALL


def test_wrong_words_are_errors_and_change_nothing(fake: Fake) -> None:
    fake.load()
    with pytest.raises(ValueError, match="'bogus' is no library that wsfast speeds up: fake-ws"):
        fake.registry.install("fake-ws", "bogus")
    with pytest.raises(ValueError, match="level is 'kernels' or 'frames', not 'mask'"):
        fake.registry.install(level="mask")  # type: ignore[arg-type]
    for call in (fake.registry.uninstall, fake.registry.status, fake.registry.library):
        with pytest.raises(ValueError, match="'bogus' is no library"):
            call("bogus")
    with pytest.raises(ValueError, match="'bogus' is no library"):
        with fake.registry.installed("bogus"):
            pytest.fail("went in")
    assert not fake.replaced
    assert fake.report.state == "inactive"


def test_uninstall_without_an_install_is_nothing(fake: Fake) -> None:
    finders = list(sys.meta_path)
    fake.registry.uninstall()
    fake.registry.uninstall("fake-ws")
    assert sys.meta_path == finders


def test_the_hook_is_there_as_long_as_it_is_needed(both: Registry) -> None:
    finders = list(sys.meta_path)
    both.install()
    assert len(sys.meta_path) == len(finders) + 1
    both.uninstall("fake-ws")
    assert len(sys.meta_path) == len(finders) + 1
    both.uninstall()
    assert sys.meta_path == finders


def test_what_is_uninstalled_is_not_waited_for(fake: Fake) -> None:
    fake.registry.install()
    fake.registry.uninstall()
    fake.load()
    assert not fake.replaced


# --- imports ---------------------------------------------------------------------------------


def test_a_reload_of_a_trigger_is_replaced_again(fake: Fake) -> None:
    fake.registry.install()
    frames = fake.load()
    for _ in range(3):
        importlib.reload(frames)
        assert fake.replaced == ALL
    fake.registry.uninstall()
    assert not fake.replaced
    assert "replaced" not in frames.mask.__code__.co_name


@pytest.mark.parametrize("first", ["frames", "circle"])
def test_circular_imports(fake: Fake, first: str) -> None:
    fake.write_module("frames.py", "from . import circle\ndef mask(data, key):\n    return data\n")
    fake.write_module("circle.py", "from . import frames\nseen = hasattr(frames, 'mask')\n")
    part = fake.part(slots=lambda: [fake.slot(MASK)])
    fake.tell(part).install(strict=True)
    fake.load(first)
    assert fake.load("circle").seen is (first == "circle")
    assert hasattr(fake.load().mask, "__wsfast__")


def test_an_import_that_fails_leaves_the_hook_usable(fake: Fake) -> None:
    fake.registry.install("fake-ws", strict=True)
    fake.write_module("frames.py", "import no_such_module_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        fake.load()
    assert fake.report.state == "pending"
    fake.write()
    fake.load()
    assert fake.replaced == ALL


def test_installing_while_the_trigger_is_imported_in_this_thread(fake: Fake) -> None:
    """It is under way further up: replaced as soon as anything of ours hears or is asked."""
    made: Any = ModuleType("fake_installer")
    made.install = fake.registry.install
    fake.write_module("frames.py", "import fake_installer\nfake_installer.install()\n" + SOURCE)
    fake.tell(fake.part(slots=lambda: [fake.slot(MASK)]), fake.legacy_part())
    made.install = fake.registry.install
    sys.modules["fake_installer"] = made
    try:
        fake.load()
        fake.load("legacy")
    finally:
        del sys.modules["fake_installer"]
    assert fake.replaced == {MASK, SHOUT}


SOURCE = (
    "def mask(data, key):\n    return data[:0] + bytes(a ^ b for a, b in zip(data, key * 9))\n"
)


def test_an_error_of_ours_never_breaks_an_import(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("ours")

    fake.registry.install()
    monkeypatch.setattr("wsfast.speedups.library.version_of", broken)
    assert fake.load().mask(b"a", bytes(4)) == b"a"
    monkeypatch.undo()
    assert "RuntimeError: ours" in caplog.text
    assert not fake.replaced


# --- strict ----------------------------------------------------------------------------------


def test_strict_raises_at_the_call_and_changes_nothing(fake: Fake) -> None:
    fake.wrong = {"frames"}
    fake.load()
    with pytest.raises(SpeedupsError, match="fake-ws: ValueError: wrong at frames"):
        fake.registry.install("fake-ws", strict=True)
    assert not fake.replaced
    assert fake.report.state == "inactive"
    fake.forget()
    fake.load()
    assert not fake.replaced


def test_strict_raises_at_the_import(fake: Fake) -> None:
    fake.wrong = {"frames"}
    fake.registry.install("fake-ws", strict=True)
    for _ in range(2):
        with pytest.raises(SpeedupsError, match="wrong at frames"):
            fake.load()
        assert "fakews.frames" not in sys.modules
    fake.wrong.clear()
    fake.load()
    assert fake.replaced == ALL


def test_strict_failing_restores_what_was_installed_before(fake: Fake) -> None:
    fake.load()
    fake.registry.install(level="kernels")
    fake.wrong = {"frames"}
    with pytest.raises(SpeedupsError):
        fake.registry.install("fake-ws", level="frames", strict=True)
    assert fake.replaced == {MASK}
    assert fake.registry.library("fake-ws").wish == Wish("kernels")


def test_strict_takes_back_the_libraries_before_the_one_that_failed(
    both: Registry, fake: Fake, other: Fake
) -> None:
    fake.load()
    other.load()
    other.wrong = {"kernels", "frames"}
    with pytest.raises(SpeedupsError, match="other-ws"):
        both.install("fake-ws", "other-ws", strict=True)
    assert not fake.replaced and not other.replaced


def test_strict_says_what_is_absent(fake: Fake) -> None:
    registry = Registry([fake.target()._replace(library="no-such-library")])
    with pytest.raises(SpeedupsError, match="no-such-library is not installed"):
        registry.install("no-such-library", strict=True)
    registry.install(strict=True)  # nothing is named
    registry.uninstall()


# --- blocks ----------------------------------------------------------------------------------


def test_a_block_restores_nothing_installed(fake: Fake) -> None:
    frames = fake.load()
    original = frames.mask
    finders = list(sys.meta_path)
    with fake.registry.installed():
        assert fake.replaced == ALL
    assert frames.mask is original
    assert sys.meta_path == finders
    assert fake.report.state == "inactive"


def test_a_block_restores_after_an_error(fake: Fake) -> None:
    fake.load()
    with pytest.raises(KeyError), fake.registry.installed():
        raise KeyError
    assert not fake.replaced


@pytest.mark.parametrize("outer", ["kernels", "frames"])
@pytest.mark.parametrize("inner", ["kernels", "frames"])
def test_a_block_restores_the_level_before(fake: Fake, outer: Any, inner: Any) -> None:
    expected = {"kernels": {MASK}, "frames": ALL}
    fake.load()
    fake.registry.install(level=outer)
    with fake.registry.installed(level=inner):
        assert fake.replaced == expected[inner]
        with fake.registry.installed(level=outer):
            assert fake.replaced == expected[outer]
        assert fake.replaced == expected[inner]
    assert fake.replaced == expected[outer]
    fake.load("legacy")
    assert fake.replaced == expected[outer] | {SHOUT}


def test_a_block_restores_what_was_waited_for(fake: Fake) -> None:
    with fake.registry.installed():
        fake.load()
        assert fake.replaced == ALL
    fake.load("legacy")
    assert not fake.replaced


def test_a_block_that_allows_untested_versions_takes_them_back(fake: Fake) -> None:
    fake.write("3.0")
    fake.load()
    fake.registry.install()
    with fake.registry.installed(allow_untested=True):
        assert fake.replaced == ALL
    assert not fake.replaced
    assert fake.report.state == "skipped"


def test_a_block_leaves_other_libraries_alone(both: Registry, fake: Fake, other: Fake) -> None:
    fake.load()
    other.load()
    with both.installed("fake-ws"):
        both.install("other-ws", level="kernels")
        assert (fake.replaced, other.replaced) == (ALL, {MASK})
    assert (fake.replaced, other.replaced) == (set(), {MASK})


def test_a_block_undoes_what_happened_to_its_libraries(fake: Fake) -> None:
    fake.load()
    with fake.registry.installed():
        fake.registry.install(level="kernels")
    assert not fake.replaced
    with fake.registry.installed():
        fake.registry.uninstall()
        assert not fake.replaced
    assert not fake.replaced


def test_blocks_that_overlap_end_in_the_state_before(fake: Fake) -> None:
    """As those of two threads do: the first one ends while the second one still runs."""
    fake.load()
    for before, level in ((None, None), ("kernels", "kernels"), ("kernels", "frames")):
        if before:
            fake.registry.install(level=before)  # type: ignore[arg-type]
        at_first = fake.replaced
        first = fake.registry.installed(level="frames")
        second = fake.registry.installed(level=level)  # type: ignore[arg-type]
        first.__enter__()
        second.__enter__()
        inside = fake.replaced
        first.__exit__(None, None, None)
        assert fake.replaced == inside != set()
        second.__exit__(None, None, None)
        assert fake.replaced == at_first


# --- the environment -------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["off", "0", "No", "false", "off,fake-ws"])
def test_off_wins_over_the_code(fake: Fake, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", value)
    finders = list(sys.meta_path)
    fake.load()
    fake.registry.install()
    fake.registry.install("fake-ws", strict=True, level="kernels")
    with fake.registry.installed("fake-ws"):
        assert not fake.replaced
    assert sys.meta_path == finders
    assert (fake.report.state, fake.report.note) == (
        "inactive",
        "WSFAST_SPEEDUPS turns everything off",
    )


def test_off_does_not_keep_anybody_from_uninstalling(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.load()
    fake.registry.install()
    monkeypatch.setenv("WSFAST_SPEEDUPS", "off")
    fake.registry.uninstall()
    assert not fake.replaced


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", (ALL, ALL)),
        ("all", (ALL, ALL)),
        ("kernels", ({MASK}, {MASK})),
        ("other-ws", (set(), ALL)),
        ("kernels,other-ws", (set(), {MASK})),
        ("all,kernels", ({MASK}, {MASK})),
    ],
)
def test_the_environment_gives_the_defaults(
    both: Registry,
    fake: Fake,
    other: Fake,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    expected: Any,
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", value)
    fake.load()
    other.load()
    both.install()
    assert (fake.replaced, other.replaced) == expected


def test_the_code_wins_over_the_defaults(
    both: Registry, fake: Fake, other: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", "kernels,other-ws")
    fake.load()
    other.load()
    both.install("fake-ws", level="frames")
    assert (fake.replaced, other.replaced) == (ALL, set())


def test_all_and_one_that_is_not_taken_by_default(
    fake: Fake, other: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", "all,other-ws")
    registry = Registry([fake.target(), other.target(by_default=False)])
    fake.load()
    other.load()
    registry.install()
    assert (fake.replaced, other.replaced) == (ALL, ALL)
    registry.uninstall()


@pytest.mark.parametrize("value", ["bogus", "fake-ws,bogus", "frames,kernels"])
def test_a_wrong_word_in_the_environment_is_an_error(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", value)
    for call in (fake.registry.install, fake.registry.status):
        with pytest.raises(ValueError, match="^WSFAST_SPEEDUPS: "):
            call()
    assert not fake.registry.library("fake-ws").wish


def test_untested_versions_by_the_environment(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write("3.0")
    fake.load()
    monkeypatch.setenv("WSFAST_SPEEDUPS_UNTESTED", "1")
    fake.registry.install(allow_untested=False)
    assert not fake.replaced
    fake.registry.install()
    assert fake.replaced == ALL


# --- threads ---------------------------------------------------------------------------------


def test_threads_that_install_uninstall_and_import_at_once(
    both: Registry, fake: Fake, other: Fake
) -> None:
    frames = fake.load()
    originals = frames.mask, vars(frames.Frame)["parse"]
    rounds = 60

    def change() -> None:
        for number in range(rounds):
            both.install(level="kernels" if number % 2 else "frames")
            both.uninstall("fake-ws" if number % 3 else "other-ws")
            both.status()

    def block() -> None:
        for _ in range(rounds):
            with both.installed("fake-ws", level="kernels"):
                assert fake.load().mask(b"a", bytes(4)) == b"a"

    def load() -> None:
        for _ in range(rounds):
            for name in ("frames", "copies", "legacy", "ring"):
                assert other.load(name).__name__ == f"otherws.{name}"
            for each in ("frames", "copies", "legacy"):
                sys.modules.pop(f"otherws.{each}", None)

    with switching_often():
        assert not in_threads(change, change, block, block, load)
    both.uninstall()
    assert (frames.mask, vars(frames.Frame)["parse"]) == originals
    assert not fake.replaced and not other.replaced
    both.install()
    assert fake.replaced == ALL


@contextlib.contextmanager
def switching_often() -> Iterator[None]:
    """Let the interpreter change threads a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def test_many_threads_that_install_at_once_install_once(fake: Fake) -> None:
    frames = fake.load()
    original = frames.mask
    together = threading.Barrier(8)

    def install() -> None:
        together.wait(PATIENCE)
        fake.registry.install()

    assert not in_threads(*[install] * 8)
    assert fake.selftests == ["frames"]
    assert frames.mask.__wrapped__ is original


def test_an_import_does_not_wait_for_the_lock(fake: Fake, gate: Any) -> None:
    """The thread with the lock needs a module that the importing thread is still importing.

    Legacy is under way in one thread, and has imported frames. The other one fills another part
    and imports legacy for it: it has the lock, and waits for the first one, which must not wait.
    """
    text = "import fake_gate\nfake_gate.begun.set()\nfake_gate.go.wait()\nfrom . import frames\n"
    fake.write_module("legacy.py", text + "def shout(text):\n    return text\n")
    fake.load("copies")
    fake.forget()

    def slots() -> Any:
        gate.go.set()
        fake.load("legacy")
        return [fake.slot("ring:circular", lambda original: original)]

    ring = fake.part("ring", slots=slots, selftest=lambda *arguments: None)
    registry = fake.tell(fake.part(), ring)
    fake.load("ring")

    def install() -> None:
        assert gate.begun.wait(PATIENCE)
        registry.install()

    assert not in_threads(install, lambda: fake.load("legacy"))
    assert fake.replaced == ALL


def test_the_news_of_an_import_are_handled_by_who_holds_the_lock(fake: Fake) -> None:
    """Without that, an import during another thread's install would stay as it is for ever."""
    loaded = threading.Event()

    def load() -> None:
        fake.load()
        loaded.set()

    def slots() -> Any:
        thread = threading.Thread(target=load)
        thread.start()
        assert loaded.wait(PATIENCE)
        thread.join(PATIENCE)
        assert not fake.replaced
        return []

    ring = fake.part("ring", slots=slots)
    registry = fake.tell(ring, fake.part())
    fake.load("ring")
    fake.tell(ring, fake.part()).install()
    assert fake.replaced == ALL
    del registry


def test_an_error_meant_for_another_thread_is_not_raised_in_this_one(
    fake: Fake, other: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = threading.Event()

    def slots() -> Any:
        thread = threading.Thread(target=lambda: (fake.load(), loaded.set()))
        thread.start()
        assert loaded.wait(PATIENCE)
        thread.join(PATIENCE)
        return []

    fake.wrong = {"frames"}
    other.load("ring")
    registry = Registry([fake.target(), other.target(other.part("ring", slots=slots))])
    registry.install("fake-ws", strict=True)
    registry.install("other-ws")
    (report,) = registry.status("fake-ws")
    assert (report.state, report.note) == ("refused", "ValueError: wrong at frames")
    assert "wrong at frames" in caplog.text
    registry.uninstall()


def test_a_module_under_way_in_another_thread_is_waited_for(fake: Fake, gate: Any) -> None:
    """Its import began before we watched, so nobody would tell of its end."""
    text = "import fake_gate\nfake_gate.begun.set()\nfake_gate.go.wait()\n"
    fake.write_module("frames.py", text + SOURCE)
    registry = fake.tell(fake.part(slots=lambda: [fake.slot(MASK)]))

    def install() -> None:
        assert gate.begun.wait(PATIENCE)
        gate.go.set()
        registry.install()

    assert not in_threads(fake.load, install)
    assert fake.replaced == {MASK}


def test_a_log_handler_that_imports_does_not_hang(fake: Fake, other: Fake) -> None:
    """It holds its own lock, which a thread of ours wants to warn of something."""

    class Importing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            other.load()

    fake.write("3.0")
    fake.load()
    registry = Registry([fake.target(), other.target()])
    handler = Importing()
    logger = logging.getLogger("wsfast.speedups")
    logger.addHandler(handler)
    try:
        assert not in_threads(registry.install, lambda: logger.warning("wait"), registry.install)
    finally:
        logger.removeHandler(handler)
    assert other.replaced == ALL
    registry.uninstall()


# --- forks and interpreters ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_child_forked_while_another_thread_installs_can_go_on(fake: Fake) -> None:
    inside, go = threading.Event(), threading.Event()

    def selftest(*arguments: Any) -> None:
        inside.set()
        assert go.wait(PATIENCE)

    registry = fake.tell(fake.part(selftest=selftest), fake.legacy_part())
    frames = fake.load()
    original = frames.mask
    thread = threading.Thread(target=registry.install, daemon=True)
    thread.start()
    assert inside.wait(PATIENCE)
    child = os.fork()
    if child == 0:  # no pytest from here on
        code = 1
        try:
            go.set()
            fake.load("legacy")
            registry.install("fake-ws")
            held = fake.replaced == ALL | {SHOUT}
            registry.uninstall()
            code = 0 if held and frames.mask is original and not fake.replaced else 2
        finally:
            os._exit(code)
    go.set()
    thread.join(PATIENCE)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fake.replaced == ALL


def test_another_interpreter_of_the_process_has_its_own(fake: Fake, root: Path) -> None:
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    interpreters = pytest.importorskip(name)
    fake.load()
    fake.registry.install()
    code = f"""
import sys
sys.path[:0] = [{str(fake.directory)!r}, {str(root)!r}]
import wsfast.speedups
wsfast.speedups.install()
assert all(each.state in ("pending", "not-installed", "inactive", "skipped")
           for each in wsfast.speedups.status()), wsfast.speedups.status()
import fakews.frames
assert not hasattr(fakews.frames.mask, "__wsfast__")
wsfast.speedups.uninstall()
"""
    number = interpreters.create()
    try:
        failure = interpreters.run_string(number, code)  # raises before 3.13
        assert failure is None, failure.formatted
    finally:
        interpreters.destroy(number)
    assert fake.replaced == ALL


# --- the real ones ---------------------------------------------------------------------------


def test_every_library_is_told_of() -> None:
    registry = Registry()
    found = [each.library for each in registry.status()]
    assert tuple(found) == LIBRARIES
    for name in found:
        assert registry.library(name).target.library == name
