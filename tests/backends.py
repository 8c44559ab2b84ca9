"""What an EpollSelector can work over; its tests run over each of them."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest

from wsfast.selector import EpollSelector

__all__ = ["BACKENDS", "drain_socket", "full_socket", "selector_over", "socket_pair"]


def named(name: str) -> object:
    """The parameter for one selector class of the standard library, skipped where it is absent."""
    factory = getattr(selectors, name, None)
    skip = pytest.mark.skipif(factory is None, reason=f"this platform has no selectors.{name}")
    return pytest.param(factory, id=name, marks=skip)


#: None is what the platform has; the others are what stands in where there is no epoll.
BACKENDS = [
    pytest.param(None, id="native"),
    named("DefaultSelector"),
    named("PollSelector"),
    named("SelectSelector"),
]


def selector_over(request: pytest.FixtureRequest) -> Iterator[EpollSelector]:
    """The body of a fixture named `selector` with the parameters BACKENDS."""
    with EpollSelector(backend=request.param) as made:
        yield made
    # The item keeps its arguments to its end; whoever counts live selectors comes before that.
    request.node.funcargs.pop("selector", None)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that do not block."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


def full_socket(sender: socket.socket) -> int:
    """Send until the kernel takes no more; how many bytes that was."""
    sent = 0
    while True:
        try:
            sent += sender.send(b"\0" * 65536)
        except BlockingIOError:
            return sent


def drain_socket(receiver: socket.socket) -> int:
    """Receive all that is there; how many bytes that was."""
    received = 0
    while True:
        try:
            received += len(receiver.recv(65536))
        except BlockingIOError:
            return received
