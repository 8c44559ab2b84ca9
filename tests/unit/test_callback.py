"""CallbackStream: the Python door to the streams of a selector."""

from __future__ import annotations

import selectors
import socket

import pytest

from backends import drain_socket, full_socket, socket_pair
from wsfast.callback import CallbackStream
from wsfast.selector import EpollSelector, Stream

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
HANGUP = 4


Pair = tuple[socket.socket, socket.socket]


def test_readiness_is_called_not_returned(selector: EpollSelector, pair: Pair) -> None:
    events: list[int] = []
    stream = CallbackStream(selector, pair[0].fileno(), READ, events.append)
    assert isinstance(stream, Stream) and stream.fd == pair[0].fileno()
    assert selector.select(0) == [] and not events
    pair[1].send(b"x")
    assert selector.select(1) == [] and events == [READ]
    assert selector.select(1) == [] and events == [READ, READ]  # level-triggered
    drain_socket(pair[0])
    assert selector.select(0) == [] and len(events) == 2


def test_a_stream_is_no_file(selector: EpollSelector, pair: Pair) -> None:
    CallbackStream(selector, pair[0].fileno(), READ)
    assert len(selector.get_map()) == 0
    with pytest.raises(KeyError):
        selector.get_key(pair[0])


def test_set_events(selector: EpollSelector, pair: Pair) -> None:
    events: list[int] = []
    stream = CallbackStream(selector, pair[0].fileno(), 0, events.append)
    pair[1].send(b"x")
    assert selector.select(0) == [] and not events
    for wanted in (WRITE, READ, READ | WRITE, 0, READ):
        stream.set_events(wanted)
        stream.set_events(wanted)
        selector.select(0)
        assert events == ([wanted] if wanted else [])
        events.clear()


def test_writable_after_the_peer_has_read(selector: EpollSelector, pair: Pair) -> None:
    events: list[int] = []
    sent = full_socket(pair[0])
    CallbackStream(selector, pair[0].fileno(), READ | WRITE, events.append)
    selector.select(0)
    assert not events
    assert drain_socket(pair[1]) == sent
    selector.select(1)
    assert events == [WRITE]


def test_a_peer_that_leaves_is_reported(selector: EpollSelector, pair: Pair) -> None:
    events: list[int] = []
    CallbackStream(selector, pair[0].fileno(), READ, events.append)
    pair[1].close()
    selector.select(1)
    assert len(events) == 1 and events[0] & ~HANGUP == READ


def test_epoll_reports_a_hangup_to_a_stream_that_waits_for_nothing(pair: Pair) -> None:
    events: list[int] = []
    with EpollSelector() as selector:
        CallbackStream(selector, pair[0].fileno(), 0, events.append)
        pair[1].close()
        selector.select(0.05)
    if not events:
        pytest.skip("this platform's selector knows no hang-up")
    assert events == [HANGUP]


def test_removal(selector: EpollSelector, pair: Pair) -> None:
    events: list[int] = []
    stream = CallbackStream(selector, pair[0].fileno(), READ, events.append)
    pair[1].send(b"x")
    stream.remove()
    stream.remove()
    assert stream.fd == -1
    assert selector.select(0) == [] and not events
    for refused in (lambda: stream.set_events(READ), lambda: stream.set_deadline(1)):
        with pytest.raises(ValueError, match="is not registered with this selector"):
            refused()
    selector.register(pair[0], READ)  # the descriptor is free again


def test_invalid_arguments(selector: EpollSelector, pair: Pair) -> None:
    with pytest.raises(ValueError, match="invalid interest: 4"):
        CallbackStream(selector, pair[0].fileno(), HANGUP)
    stream = CallbackStream(selector, pair[0].fileno(), READ)
    with pytest.raises(ValueError, match="invalid interest: 16"):
        stream.set_events(16)
    with pytest.raises(KeyError, match="must be removed before its descriptor is closed"):
        CallbackStream(selector, pair[0].fileno(), READ)
    with pytest.raises(ValueError, match="is registered already"):
        stream.__init__(selector, pair[1].fileno(), READ)  # type: ignore[misc]
    with pytest.raises(TypeError):
        CallbackStream(None, pair[1].fileno(), READ)  # type: ignore[arg-type]
    assert stream.fd == pair[0].fileno()
    selector.close()
    with pytest.raises(ValueError, match="closed selector"):
        CallbackStream(selector, pair[1].fileno(), READ)


def test_a_descriptor_that_the_kernel_refuses() -> None:
    left, right = socket_pair()
    number = left.fileno()
    left.close()
    right.close()
    with EpollSelector() as selector:
        for _ in range(2):  # the first refusal left nothing behind
            with pytest.raises(OSError):
                CallbackStream(selector, number, READ)


def test_deadlines(selector: EpollSelector, pair: Pair) -> None:
    due: list[str] = []
    stream = CallbackStream(
        selector, pair[0].fileno(), READ, on_deadline=lambda: due.append("stream")
    )
    loose = CallbackStream(selector, -1, on_deadline=lambda: due.append("loose"))
    stream.set_deadline(0)
    loose.set_deadline(10)
    loose.set_deadline(0)
    assert stream.deadline and loose.deadline
    while len(due) < 2:
        assert selector.select(5) == []
    assert sorted(due) == ["loose", "stream"]
    assert not stream.deadline and not loose.deadline
    stream.set_deadline(0)
    stream.clear_deadline()
    stream.clear_deadline()
    loose.set_deadline(0)
    loose.remove()
    assert selector.select(0.1) == [] and len(due) == 2
    with pytest.raises(ValueError, match="not a number"):
        stream.set_deadline(float("nan"))


def test_callbacks_are_optional(selector: EpollSelector, pair: Pair) -> None:
    stream = CallbackStream(selector, pair[0].fileno(), READ)
    stream.set_deadline(0)
    stream.at_turn_end()
    pair[1].send(b"x")
    while stream.deadline:
        assert selector.select(1) == []


def test_turn_ends(selector: EpollSelector, pair: Pair) -> None:
    log: list[str] = []

    def ready(events: int) -> None:
        log.append("ready")
        stream.at_turn_end()
        stream.at_turn_end()
        drain_socket(pair[0])

    stream = CallbackStream(
        selector, pair[0].fileno(), READ, ready, on_turn_end=lambda: log.append("turn end")
    )
    pair[1].send(b"x")
    selector.select(1)
    assert log == ["ready", "turn end"]
    selector.select(0)
    assert log == ["ready", "turn end"]
    stream.at_turn_end()
    assert len(log) == 2
    selector.select(0)
    assert log == ["ready", "turn end", "turn end"]
