"""A turn of the selector while its callbacks register, remove, close, raise and ask for more."""

from __future__ import annotations

import gc
import os
import selectors
import socket
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from backends import drain_socket, socket_pair
from wsfast.callback import CallbackStream
from wsfast.selector import EpollSelector
from wsfast.wheel import TICK_SECONDS

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture
def ready() -> Iterator[list[socket.socket]]:
    """Six sockets that have something to read."""
    pairs = [socket_pair() for _ in range(6)]
    for _, right in pairs:
        right.send(b"x")
    yield [left for left, _ in pairs]
    for left, right in pairs:
        left.close()
        right.close()


Ready = list[socket.socket]


def streams_over(
    selector: EpollSelector, ready: Ready, callback: Callable[[int, int], object]
) -> list[CallbackStream]:
    """A stream for each socket, whose callback gets its number and the events."""
    return [
        CallbackStream(selector, left.fileno(), READ, lambda events, n=n: callback(n, events))
        for n, left in enumerate(ready)
    ]


def test_streams_are_called_and_files_returned(selector: EpollSelector, ready: Ready) -> None:
    called: list[int] = []
    streams_over(selector, ready[:3], lambda n, events: called.append(n))
    keys = [selector.register(left, READ) for left in ready[3:]]
    returned = selector.select(1)
    assert sorted(called) == [0, 1, 2]
    assert len(returned) == 3 and all((key, READ) in returned for key in keys)


def test_dispatching_is_set_while_callbacks_run(selector: EpollSelector, ready: Ready) -> None:
    states: list[bool] = []
    stream = CallbackStream(
        selector,
        ready[0].fileno(),
        READ,
        lambda events: (states.append(selector.dispatching), stream.at_turn_end()),
        on_turn_end=lambda: states.append(selector.dispatching),
        on_deadline=lambda: states.append(selector.dispatching),
    )
    selector.call_threadsafe(lambda: states.append(selector.dispatching))
    assert not selector.dispatching
    selector.select(1)
    assert states == [True] * 3 and not selector.dispatching


def test_whoever_is_first_removes_all_others(selector: EpollSelector, ready: Ready) -> None:
    called: list[int] = []

    def remove_the_others(number: int, events: int) -> None:
        called.append(number)
        for other, stream in enumerate(streams):
            if other != number:
                stream.remove()

    streams = streams_over(selector, ready, remove_the_others)
    for turns in range(1, 4):
        selector.select(1)
        assert len(called) == turns and set(called) == {called[0]}


def test_a_stream_may_remove_itself_and_die(selector: EpollSelector, ready: Ready) -> None:
    alive: list[weakref.ref[object]] = []

    class Handler:
        def __init__(self, left: socket.socket) -> None:
            self.stream = CallbackStream(selector, left.fileno(), READ, self.on_ready)

        def on_ready(self, events: int) -> None:
            handlers.remove(self)
            self.stream.remove()
            del self.stream

    handlers = [Handler(left) for left in ready]
    alive = [weakref.ref(handler) for handler in handlers]
    selector.select(1)
    assert not handlers
    gc.collect()
    assert not any(handler() for handler in alive)
    assert selector.select(0) == []


def test_removed_streams_live_until_the_turn_ends(selector: EpollSelector, ready: Ready) -> None:
    log: list[str] = []

    class Owned:
        def __del__(self) -> None:
            log.append("gone")

        def on_ready(self, events: int) -> None:
            raise AssertionError("a removed stream was called")

    def remove(events: int) -> None:
        victims.pop().remove()
        gc.collect()
        log.append("removed")
        first.remove()

    victims = [CallbackStream(selector, ready[1].fileno(), 0, Owned().on_ready)]
    first = CallbackStream(selector, ready[0].fileno(), READ, remove)
    selector.select(1)
    assert log == ["removed", "gone"]


def test_an_event_does_not_reach_the_next_stream(selector: EpollSelector, ready: Ready) -> None:
    """The first one called gives the descriptors of all others to new streams, with no data."""
    called: list[str] = []
    quiet = [socket_pair() for _ in ready]

    def replace_the_others(number: int, events: int) -> None:
        called.append("old")
        for other, stream in enumerate(streams):
            if other != number:
                fd = stream.fd
                stream.remove()
                os.dup2(quiet[other][0].fileno(), fd)
                CallbackStream(selector, fd, READ, lambda events: called.append("new"))
        streams[number].remove()

    streams = streams_over(selector, ready, replace_the_others)
    selector.select(1)
    assert called == ["old"]
    selector.select(0)
    assert called == ["old"]
    for _, right in quiet:
        right.send(b"x")
    selector.select(1)
    assert called == ["old"] + ["new"] * 5
    selector.close()
    for left, right in quiet:
        left.close()
        right.close()


def test_an_event_does_not_reach_the_same_stream_elsewhere(
    selector: EpollSelector, ready: Ready
) -> None:
    """A stream that is registered again in the turn has had no event for its new descriptor."""
    called: list[int] = []
    quiet = socket_pair()

    def move_the_other(number: int, events: int) -> None:
        called.append(number)
        other = streams[1 - number]
        if len(called) == 1:
            other.remove()
            other.__init__(  # type: ignore[misc]
                selector, quiet[0].fileno(), READ, lambda events: called.append(100)
            )

    streams = streams_over(selector, ready[:2], move_the_other)
    selector.select(1)
    assert called in ([0], [1])
    selector.close()
    quiet[0].close()
    quiet[1].close()


def test_streams_added_in_a_turn_are_served_by_the_next(
    selector: EpollSelector, ready: Ready
) -> None:
    called: list[str] = []

    def add(events: int) -> None:
        called.append("first")
        first.remove()
        CallbackStream(selector, ready[1].fileno(), READ, lambda events: called.append("second"))

    first = CallbackStream(selector, ready[0].fileno(), READ, add)
    selector.select(1)
    assert called == ["first"]
    selector.select(1)
    assert called == ["first", "second"]


def test_an_exception_ends_the_turn_and_loses_nothing(
    selector: EpollSelector, ready: Ready
) -> None:
    log: list[object] = []

    def callback(number: int, events: int) -> None:
        log.append(number)
        streams[number].at_turn_end()
        drain_socket(ready[number])
        if len(log) == 3:
            raise ZeroDivisionError

    streams = [
        CallbackStream(
            selector,
            left.fileno(),
            READ,
            lambda events, n=n: callback(n, events),
            on_turn_end=lambda n=n: log.append(("end", n)),
        )
        for n, left in enumerate(ready)
    ]
    selector.call_threadsafe(log.append, "call")
    with pytest.raises(ZeroDivisionError):
        selector.select(1)
    assert log[3:] == [("end", n) for n in log[:3]]  # what was queued left all the same
    assert not selector.dispatching
    while len(log) < 13:
        assert selector.select(1) == []
    assert sorted(n for n in log if isinstance(n, int)) == list(range(6))
    assert sorted(n for n in log if isinstance(n, tuple)) == [("end", n) for n in range(6)]
    assert log.count("call") == 1


def test_an_exception_at_a_turn_end_leaves_the_others(
    selector: EpollSelector, ready: Ready
) -> None:
    ended: list[int] = []

    def end(number: int) -> None:
        ended.append(number)
        if number == 1:
            raise ZeroDivisionError

    streams = [
        CallbackStream(selector, left.fileno(), 0, on_turn_end=lambda n=n: end(n))
        for n, left in enumerate(ready)
    ]
    for stream in streams:
        stream.at_turn_end()
    with pytest.raises(ZeroDivisionError):
        selector.select(0)
    assert ended == [0, 1]
    assert selector.select() == []  # does not block
    assert ended == list(range(6))


def test_turn_ends_come_in_order_and_may_ask_again(selector: EpollSelector) -> None:
    log: list[object] = []

    def first_end() -> None:
        log.append("first")
        second.at_turn_end()
        if log.count("first") < 3:
            first.at_turn_end()

    first = CallbackStream(selector, -1, on_turn_end=first_end)
    second = CallbackStream(selector, -1, on_turn_end=lambda: log.append("second"))
    first.at_turn_end()
    selector.flush()
    assert log == ["first", "second", "first", "second", "first", "second"]
    selector.flush()
    assert len(log) == 6


def test_turn_ends_from_outside_come_before_the_wait(selector: EpollSelector) -> None:
    """And the wait does not block: what they did may have given the host something to do."""
    ends: list[float] = []
    stream = CallbackStream(selector, -1, on_turn_end=lambda: ends.append(time.monotonic()))
    stream.at_turn_end()
    start = time.monotonic()
    assert selector.select(30) == [] and len(ends) == 1
    assert time.monotonic() - start < 20


def test_a_stream_that_always_asks_again_does_not_stop_the_loop(
    selector: EpollSelector, ready: Ready
) -> None:
    ends: list[int] = []

    def ask_again() -> None:
        ends.append(1)
        restless.at_turn_end()

    restless = CallbackStream(selector, -1, on_turn_end=ask_again)
    restless.at_turn_end()
    key = selector.register(ready[0], READ)
    assert selector.select() == [(key, READ)]
    drain_socket(ready[0])
    before = len(ends)
    assert selector.select() == []  # does not block: there is something left to do
    assert before < len(ends) < 1000
    restless.remove()
    selector.select(0)
    assert selector.select(0.02) == []


def test_no_turn_end_for_a_removed_stream(selector: EpollSelector) -> None:
    ends: list[str] = []
    stream = CallbackStream(selector, -1, on_turn_end=lambda: ends.append("removed"))
    other = CallbackStream(selector, -1, on_turn_end=lambda: ends.append("kept"))
    stream.at_turn_end()
    other.at_turn_end()
    stream.remove()
    selector.flush()
    assert ends == ["kept"]


def test_flush_inside_a_callback(selector: EpollSelector, ready: Ready) -> None:
    log: list[str] = []

    def callback(events: int) -> None:
        other.at_turn_end()
        selector.flush()
        log.append("flushed")
        drain_socket(ready[0])

    CallbackStream(selector, ready[0].fileno(), READ, callback)
    other = CallbackStream(selector, -1, on_turn_end=lambda: log.append("end"))
    selector.select(1)
    assert log == ["end", "flushed"]


def test_flush_inside_a_turn_end(selector: EpollSelector) -> None:
    log: list[int] = []

    def end(number: int) -> None:
        log.append(number)
        selector.flush()

    streams = [CallbackStream(selector, -1, on_turn_end=lambda n=n: end(n)) for n in range(20)]
    for stream in streams:
        stream.at_turn_end()
    selector.flush()
    assert log == list(range(20))


def test_deadlines_come_after_what_was_received(selector: EpollSelector, ready: Ready) -> None:
    log: list[str] = []

    def callback(events: int) -> None:
        log.append("ready")
        stream.clear_deadline()
        drain_socket(ready[0])

    stream = CallbackStream(selector, -1, on_deadline=lambda: log.append("never"))
    stream.set_deadline(0)
    receiving = CallbackStream(selector, -1, on_deadline=lambda: log.append("deadline"))
    receiving.set_deadline(0)
    CallbackStream(selector, ready[0].fileno(), READ, callback)
    while time.monotonic_ns() < receiving.deadline * TICK_SECONDS * 1e9:
        pass  # all is due when the turn begins
    while len(log) < 2:  # unless the kernel's timer lags behind its clock: then in the next one
        selector.select(1)
    assert log == ["ready", "deadline"]


def test_a_deadline_may_remove_those_due_with_it(selector: EpollSelector) -> None:
    due: list[int] = []

    def expire(number: int) -> None:
        due.append(number)
        for stream in streams:
            stream.remove()

    streams = [CallbackStream(selector, -1, on_deadline=lambda n=n: expire(n)) for n in range(5)]
    for stream in streams:
        stream.set_deadline(0)
    while not due:
        selector.select(1)
    selector.select(0.1)
    assert len(due) == 1


def test_a_deadline_may_move_itself_and_others(selector: EpollSelector) -> None:
    due: list[int] = []

    def expire(number: int) -> None:
        due.append(number)
        if due.count(number) < 3:
            streams[number].set_deadline(0)

    streams = [CallbackStream(selector, -1, on_deadline=lambda n=n: expire(n)) for n in range(4)]
    for stream in streams:
        stream.set_deadline(0)
    turns = 0
    while len(due) < 12:
        selector.select(1)
        turns += 1
    assert sorted(due) == sorted([0, 1, 2, 3] * 3)
    assert turns >= 3  # one that is set by a deadline never comes in the same turn


@pytest.mark.parametrize("where", ["ready", "deadline", "turn end", "call"])
def test_close_inside_any_callback(selector: EpollSelector, ready: Ready, where: str) -> None:
    called: list[str] = []

    def callback(name: str) -> None:
        called.append(name)
        if name == where:
            selector.close()

    streams = [
        CallbackStream(
            selector,
            left.fileno(),
            READ,
            lambda events: callback("ready"),
            on_deadline=lambda: callback("deadline"),
            on_turn_end=lambda: callback("turn end"),
        )
        for left in ready[:4]
    ]
    selector.register(ready[4], READ)
    for stream in streams:
        stream.set_deadline(0)
        stream.at_turn_end()
    selector.call_threadsafe(callback, "call")
    selector.call_threadsafe(callback, "call")
    while not selector.closed:
        selector.select(1)
    assert called.count(where) >= 1 and called[-1] == where
    assert [stream.fd for stream in streams] == [-1] * 4
    with pytest.raises(ValueError, match="closed"):
        selector.select(0)
    for left in ready:  # the descriptors are their owners'
        assert drain_socket(left) > 0


def test_a_descriptor_closed_before_its_stream_is_removed(selector: EpollSelector) -> None:
    """Against the contract: the stream is not called any more, and nothing crashes."""
    called: list[str] = []
    left, right = socket_pair()
    number = left.fileno()
    copy = os.dup(number)  # what a forked child would hold
    stream = CallbackStream(selector, number, READ, lambda events: called.append("old"))
    left.close()
    right.send(b"x")
    stream.remove()
    del stream
    gc.collect()
    selector.select(0)
    os.close(copy)
    selector.select(0)
    assert called == []
    right.close()


def test_two_selectors_do_not_take_each_others_streams(
    selector: EpollSelector, ready: Ready
) -> None:
    with EpollSelector() as other:
        stream = CallbackStream(selector, ready[0].fileno(), READ)
        foreign = CallbackStream(other, ready[1].fileno(), READ)
        called: list[str] = []
        move = CallbackStream(
            selector, ready[2].fileno(), READ, lambda events: called.append("moved")
        )
        move.remove()
        move.__init__(other, ready[2].fileno(), READ, lambda events: called.append("other"))  # type: ignore[misc]
        selector.select(0)
        assert called == []
        other.select(1)
        assert called == ["other"]
        assert stream.fd == ready[0].fileno() and foreign.fd == ready[1].fileno()
