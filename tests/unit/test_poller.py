"""Waiting: timeouts, signals, many descriptors, the wake-up, and what another loop can poll."""

from __future__ import annotations

import errno
import io
import os
import resource
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from backends import BACKENDS
from wsfast.selector import EpollSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
HAS_EPOLL = hasattr(select, "epoll")


Pair = tuple[socket.socket, socket.socket]


def test_select_without_files(selector: EpollSelector) -> None:
    assert selector.select(timeout=0) == []
    assert selector.select(timeout=0.001) == []


def test_no_timeout_does_not_wait(selector: EpollSelector, pair: Pair) -> None:
    selector.register(pair[0], READ)
    start = time.monotonic()
    for timeout in (0, -1, 0.0, -1e300, float("-inf")):
        assert selector.select(timeout) == []
    assert time.monotonic() - start < 25
    selector.modify(pair[0], WRITE)
    assert len(selector.select(0)) == len(selector.select(-1)) == 1


@pytest.mark.parametrize("timeout", [0.0001, 0.0123, 0.05])
def test_a_timeout_is_never_cut_short(selector: EpollSelector, timeout: float) -> None:
    start = time.monotonic()
    assert selector.select(timeout) == []
    assert timeout <= time.monotonic() - start < timeout + 25


def test_timeouts_that_are_none(selector: EpollSelector) -> None:
    with pytest.raises(ValueError, match="not a number"):
        selector.select(float("nan"))
    with pytest.raises(TypeError):
        selector.select("1")  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [None, 1e7, 1e300, float("inf")])
def test_long_waits_end_with_an_event(selector: EpollSelector, timeout: float | None) -> None:
    timer = threading.Timer(0.01, selector.wakeup)
    timer.start()
    assert selector.select(timeout) == []
    timer.join()


class Interrupted(Exception):
    pass


@pytest.fixture
def alarm() -> Iterator[None]:
    """SIGALRM again and again, for the handler that the test sets: `ring` begins it.

    Not once: a signal between the last look of the interpreter and the system call interrupts
    nothing, and one may come before the wait begins.
    """
    previous = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def ring(handler: Callable[[], object], seconds: float = 0.02) -> None:
    """Call the handler for every SIGALRM, the first of which comes after `seconds`."""
    signal.signal(signal.SIGALRM, lambda number, frame: handler())
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)


def is_waiting(selector: EpollSelector) -> bool:
    """Whether the signal handler that asks was called inside of select()."""
    try:
        selector.select(0)
    except RuntimeError:  # it is at work
        return True
    return False


@pytest.mark.usefixtures("alarm")
def test_a_signal_handler_that_raises_ends_the_wait(selector: EpollSelector, pair: Pair) -> None:
    def handler() -> None:
        if is_waiting(selector):
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Interrupted

    selector.register(pair[0], READ)
    start = time.monotonic()
    ring(handler)
    with pytest.raises(Interrupted):
        selector.select(30)
    assert time.monotonic() - start < 25
    pair[1].send(b"x")
    assert len(selector.select(1)) == 1


@pytest.mark.usefixtures("alarm")
def test_after_a_quiet_signal_the_wait_goes_on(selector: EpollSelector, pair: Pair) -> None:
    calls: list[bool] = []
    selector.register(pair[0], READ)
    ring(lambda: calls.append(is_waiting(selector)))
    limit = time.monotonic() + 30
    while sum(calls) < 2:  # signals that come together are one, and some come in between
        start = time.monotonic()
        assert selector.select(0.15) == []
        assert start + 0.15 <= time.monotonic() < limit


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("timeout", [30, None])
def test_a_signal_handler_can_end_the_wait(selector: EpollSelector, timeout: int | None) -> None:
    start = time.monotonic()
    ring(lambda: is_waiting(selector) and selector.wakeup())
    assert selector.select(timeout) == []
    assert time.monotonic() - start < 25


@pytest.mark.usefixtures("alarm")
@pytest.mark.skipif(not HAS_EPOLL, reason="this platform has no epoll")
def test_a_signal_handler_can_close_the_selector(pair: Pair) -> None:
    selector = EpollSelector()
    selector.register(pair[0], READ)
    ring(lambda: selector.closed or (is_waiting(selector) and selector.close()))
    assert selector.select(30) == []
    assert selector.closed


def raised_limit() -> int:
    """Lift the soft limit of descriptors to the hard one, at most 4096 more than FD_SETSIZE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 5120) if hard != resource.RLIM_INFINITY else 5120
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return max(soft, wanted)


@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_more_files_than_fd_setsize_in_one_select(
    backend: type[selectors.BaseSelector] | None, pair: Pair
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(raised_limit() - 100, 4000)
    if count < 1500:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        pytest.skip(f"only {count} descriptors are left")
    copies: list[int] = []
    try:
        with EpollSelector(backend=backend) as selector:
            for _ in range(count):
                copies.append(os.dup(pair[0].fileno()))
                selector.register(copies[-1], WRITE)
            ready = selector.select()
            assert sorted(key.fd for key, _ in ready) == sorted(copies)
    finally:
        for copy in copies:
            os.close(copy)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_wakeups_before_the_wait_count_once(selector: EpollSelector) -> None:
    for _ in range(3):
        selector.wakeup()
    start = time.monotonic()
    assert selector.select() == []
    assert selector.select(0.03) == []
    assert 0.03 <= time.monotonic() - start < 25


def test_a_flood_of_wakeups_never_blocks(selector: EpollSelector) -> None:
    for _ in range(20_000):
        selector.wakeup()
    assert selector.select(None) == []


def test_wakeup_of_a_closed_selector_is_nothing(selector: EpollSelector) -> None:
    selector.close()
    selector.wakeup()


def test_fileno_is_what_the_kernel_polls() -> None:
    with EpollSelector() as selector:
        number = selector.fileno()
        assert isinstance(number, int) and number >= 0
        assert not os.get_inheritable(number)


def test_fileno_of_a_backend_without_one() -> None:
    with EpollSelector(backend=selectors.SelectSelector) as selector:
        with pytest.raises(io.UnsupportedOperation, match="SelectSelector has no descriptor"):
            selector.fileno()


@pytest.mark.skipif(not HAS_EPOLL, reason="this platform has no epoll")
def test_the_descriptor_is_readable_for_all_that_is_to_be_done(pair: Pair) -> None:
    def readable(timeout: float) -> bool:
        return bool(select.select([selector.fileno()], [], [], timeout)[0])

    with EpollSelector() as selector:
        called: list[str] = []
        assert not readable(0)
        selector.call_later(0, called.append, "timer")
        assert readable(5) and selector.select(0) == []
        assert called == ["timer"] and not readable(0)
        selector.call_threadsafe(called.append, "thread")
        assert readable(0) and selector.select(0) == []
        assert called == ["timer", "thread"] and not readable(0)
        selector.register(pair[0], READ)
        pair[1].send(b"x")
        assert readable(0) and len(selector.select(0)) == 1


def test_an_idle_loop_sleeps() -> None:
    with EpollSelector() as selector:
        selector.call_later(0, int)
        while selector.select(0.2):
            pass
        before = resource.getrusage(resource.RUSAGE_SELF)
        selector.select(0.2)
        after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 0.1
    assert after.ru_nvcsw - before.ru_nvcsw < 20


EXHAUSTED = """
import os, resource, sys
from wsfast.selector import EpollSelector
held = []
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    while True:
        held.append(os.dup(0))
except OSError:
    for _ in range(int(sys.argv[2])):
        os.close(held.pop())
try:
    EpollSelector()
except OSError as error:
    print(error.errno)
count = 0
try:
    while True:
        os.dup(0)
        count += 1
except OSError:
    print(count)
"""


@pytest.mark.skipif(not HAS_EPOLL, reason="this platform has no epoll")
@pytest.mark.parametrize("left", [0, 1, 2])
def test_out_of_descriptors(left: int, root: os.PathLike[str]) -> None:
    """Whichever of its three descriptors is refused: OSError, and none of the others leaks."""
    run = subprocess.run(
        [sys.executable, "-c", EXHAUSTED, "64", str(left)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.split() == [str(errno.EMFILE), str(left)], run.stderr


def test_a_backend_that_cannot_be_made() -> None:
    def refuse() -> selectors.BaseSelector:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        EpollSelector(backend=refuse)
    with pytest.raises(TypeError):
        EpollSelector(selectors.SelectSelector)  # type: ignore[misc]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_that_closes_it_takes_nothing_from_the_parent(pair: Pair) -> None:
    with EpollSelector() as selector:
        key = selector.register(pair[0], READ)
        child = os.fork()
        if not child:
            selector.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        pair[1].send(b"x")
        assert selector.select(1) == [(key, READ)]
