"""Edge-triggered streams: told once, told again on demand, and never lost."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest

from backends import BACKENDS, drain_socket, full_socket, selector_over, socket_pair
from wsfast.callback import EDGE, CallbackStream
from wsfast.selector import EpollSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
HANGUP = 4


@pytest.fixture(params=BACKENDS[:1])
def epoll(request: pytest.FixtureRequest) -> Iterator[EpollSelector]:
    """Only epoll knows edges; over a selector of the standard library EDGE changes nothing."""
    for made in selector_over(request):
        if made.fileno() < 0:
            pytest.skip("this platform has no epoll")
        yield made
    request.node.funcargs.pop("epoll", None)


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket_pair() for _ in range(4)]
    yield made
    for pair in made:
        for side in pair:
            side.close()


Pairs = list[tuple[socket.socket, socket.socket]]


def test_what_is_still_so_is_reported_once(epoll: EpollSelector, pairs: Pairs) -> None:
    called: list[int] = []
    CallbackStream(epoll, pairs[0][0].fileno(), READ | EDGE, called.append)
    pairs[0][1].send(b"x")
    for _ in range(3):
        epoll.select(0)
    assert called == [READ]
    pairs[0][1].send(b"y")
    epoll.select(0)
    assert called == [READ, READ]


def test_ask_again_reports_what_was_left(epoll: EpollSelector, pairs: Pairs) -> None:
    read: list[bytes] = []

    def take(events: int) -> None:
        read.append(pairs[0][0].recv(1))
        stream.ask_again()

    stream = CallbackStream(epoll, pairs[0][0].fileno(), READ | EDGE, take)
    pairs[0][1].send(b"abc")
    for _ in range(6):
        epoll.select(0)
    assert read == [b"a", b"b", b"c"]


def test_a_new_interest_reports_what_holds(selector: EpollSelector, pairs: Pairs) -> None:
    called: list[int] = []
    stream = CallbackStream(selector, pairs[0][0].fileno(), READ | EDGE, called.append)
    pairs[0][1].send(b"x")
    selector.select(0)
    stream.set_events(EDGE)
    called.clear()
    selector.select(0)
    assert called == []
    stream.set_events(READ | EDGE)
    selector.select(0)
    assert called == [READ]


def test_room_to_write_is_an_edge(selector: EpollSelector, pairs: Pairs) -> None:
    called: list[int] = []
    left, right = pairs[0]
    CallbackStream(selector, left.fileno(), WRITE | EDGE, called.append)
    full_socket(left)
    selector.select(0)
    called.clear()
    drain_socket(right)
    selector.select(0)
    assert called == [WRITE]


def test_the_end_behind_data_is_told_with_it(epoll: EpollSelector, pairs: Pairs) -> None:
    called: list[int] = []
    left, right = pairs[0]
    CallbackStream(epoll, left.fileno(), READ | EDGE, called.append)
    right.send(b"x")
    right.shutdown(socket.SHUT_WR)
    epoll.select(0)
    assert called == [READ | HANGUP]


def test_an_exception_loses_no_edge(selector: EpollSelector, pairs: Pairs) -> None:
    called: set[int] = set()

    def take(number: int) -> None:
        pairs[number][0].recv(1)
        called.add(number)
        raise KeyError(number)

    for number, (left, _) in enumerate(pairs):
        CallbackStream(selector, left.fileno(), READ | EDGE, lambda events, n=number: take(n))
    for _, right in pairs:
        right.send(b"x")
    for _ in pairs:
        with pytest.raises(KeyError):
            selector.select(1)
    assert called == {0, 1, 2, 3}
    assert selector.select(0) == []


def test_whoever_raised_is_told_again(selector: EpollSelector, pairs: Pairs) -> None:
    left, right = pairs[0]
    tries: list[int] = []

    def take(events: int) -> None:
        tries.append(events)
        if len(tries) == 1:
            raise KeyError("before it has read")
        left.recv(1)

    CallbackStream(selector, left.fileno(), READ | EDGE, take)
    right.send(b"x")
    with pytest.raises(KeyError):
        selector.select(1)
    selector.select(1)
    assert tries == [READ, READ]
    selector.select(0)
    assert len(tries) == 2


def test_ask_again_of_a_removed_stream(selector: EpollSelector, pairs: Pairs) -> None:
    stream = CallbackStream(selector, pairs[0][0].fileno(), READ | EDGE)
    stream.remove()
    with pytest.raises(ValueError, match="not registered"):
        stream.ask_again()
