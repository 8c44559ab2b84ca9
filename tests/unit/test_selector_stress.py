"""Many streams, at once and one after the other: none starves, leaks, or gets another's event."""

from __future__ import annotations

import gc
import os
import selectors
import socket
import sys
from pathlib import Path

import pytest

from backends import socket_pair
from wsfast.callback import CallbackStream
from wsfast.selector import EpollSelector

READ = selectors.EVENT_READ


def test_many_streams_are_all_served(selector: EpollSelector) -> None:
    """More than one batch of epoll_wait: nobody starves."""
    served: set[int] = set()
    left, right = socket_pair()
    copies = [os.dup(left.fileno()) for _ in range(900)]
    for copy in copies:
        CallbackStream(selector, copy, READ, lambda events, fd=copy: served.add(fd))
    right.send(b"x")
    for _ in range(3):
        selector.select(1)
    assert served == set(copies)
    selector.close()
    for copy in copies:
        os.close(copy)
    left.close()
    right.close()


def resident_bytes() -> int:
    """How much memory of this process is in RAM."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def churn(selector: EpollSelector, fd: int, count: int) -> None:
    """Register, time and remove a stream over and over, sometimes turning the loop."""
    for number in range(count):
        stream = CallbackStream(selector, fd, READ)
        stream.set_deadline(30)
        stream.at_turn_end()
        stream.remove()
        if not number % 100:
            selector.select(0)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc/self/statm")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="ASan keeps what is freed")
def test_two_hundred_thousand_streams_in_flat_memory() -> None:
    left, right = socket_pair()
    with EpollSelector() as selector:
        churn(selector, left.fileno(), 5_000)
        gc.collect()
        blocks, memory = sys.getallocatedblocks(), resident_bytes()
        churn(selector, left.fileno(), 200_000)
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 200
        assert resident_bytes() - memory < 1 << 20
    left.close()
    right.close()


def test_descriptors_reused_again_and_again(selector: EpollSelector) -> None:
    """In every turn the first stream closes all others and opens new ones on their numbers."""
    calls: list[int] = []
    open_now: dict[int, tuple[CallbackStream, socket.socket, socket.socket]] = {}

    def open_one(generation: int) -> None:
        left, right = socket_pair()
        right.send(b"x")
        stream = CallbackStream(
            selector, left.fileno(), READ, lambda events: callback(generation, left.fileno())
        )
        assert left.fileno() not in open_now
        open_now[left.fileno()] = stream, left, right

    def callback(generation: int, fd: int) -> None:
        assert generation == turn, "an event reached a stream that is younger than it"
        calls.append(fd)
        for stream, left, right in open_now.values():
            stream.remove()
            left.close()
            right.close()
        open_now.clear()
        for _ in range(8):
            open_one(turn + 1)

    turn = 0
    for _ in range(8):
        open_one(0)
    for turn in range(300):
        selector.select(1)
        assert len(calls) == turn + 1
    selector.close()
    for _, left, right in open_now.values():
        left.close()
        right.close()
