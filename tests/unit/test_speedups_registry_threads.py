"""All libraries together, from many threads, in forked children and in other interpreters."""

from __future__ import annotations

import contextlib
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
from wsfast.speedups.registry import Registry

ALL = {MASK, SERIALIZE, PARSE, CHECK}
SOURCE = (
    "def mask(data, key):\n    return data[:0] + bytes(a ^ b for a, b in zip(data, key * 9))\n"
)

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
    inside = threading.Event()
    # An Event has a lock of its own: forked while the thread takes it, the child would not get it.
    closed = threading.Lock()
    closed.acquire()

    def selftest(*arguments: Any) -> None:
        inside.set()
        assert closed.acquire(timeout=PATIENCE)
        closed.release()

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
            closed.release()
            fake.load("legacy")
            registry.install("fake-ws")
            held = fake.replaced == ALL | {SHOUT}
            registry.uninstall()
            code = 0 if held and frames.mask is original and not fake.replaced else 2
        finally:
            os._exit(code)
    closed.release()
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
