"""An endpoint whose opening takes its time, and one that is given up from outside."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sockets import Net, Peer, Recorder, network, text
from wire import TEXT, frame
from wsfast.endpoint import Endpoint
from wsfast.listener import Listener
from wsfast.rfc6455 import Role
from wsfast.settings import Settings


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Opening:
    """An opening handshake that is called again when somebody says so."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    def receive(self, endpoint: Endpoint, data: bytes) -> None:
        self.calls.append(data)
        if data == b"":
            endpoint.write(b"late")
            endpoint.open(None, text("early"))

    def receive_eof(self, endpoint: Endpoint) -> None: ...


def opening_peer(net: Net, handler: Recorder, opening: Opening) -> Peer:
    """A raw peer of a server whose connection is opened by this."""
    server = net.server(handler)
    settings = Settings(net.loop, Role.SERVER, handler, lambda: opening)
    server.settings = settings
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    server._listeners.append(Listener(settings, listening))
    return net.adopt(socket.create_connection(listening.getsockname()))


def test_an_opening_that_continues_does_so_in_a_turn(net: Net) -> None:
    handler, opening = Recorder(echo=True), Opening()
    peer = opening_peer(net, handler, opening)
    peer.send(b"now")
    net.until(lambda: opening.calls == [b"now"])
    [endpoint] = net.servers[0].settings.endpoints
    endpoint.continue_opening()
    endpoint.continue_opening()
    net.until(lambda: len(peer.received) == 11)
    assert opening.calls == [b"now", b""]
    assert peer.received == b"late" + frame(TEXT, b"early")
    endpoint.continue_opening()  # it is over: nothing happens
    net.settle()
    assert len(opening.calls) == 2


def test_a_flush_inside_of_a_turn_begins_no_other_turn(net: Net) -> None:
    """Two turns would share one cork: the one's answer would go to the other's peer."""

    def answer(ws: Endpoint, message: str) -> None:
        ws.send("for me")
        waiting.continue_opening()
        net.loop.selector.flush()
        ws.send("and more")

    opening = Opening()
    peer, ws = net.open(Recorder(message=answer))
    other = opening_peer(net, Recorder(echo=True), opening)
    other.send(b"now")
    net.until(lambda: opening.calls == [b"now"])
    [waiting] = net.servers[-1].settings.endpoints
    peer.send(text("go"))
    net.until(lambda: len(peer.frames) == 2 and len(other.received) == 11)
    assert peer.frames == [(TEXT, b"for me"), (TEXT, b"and more")]
    assert other.received == b"late" + frame(TEXT, b"early")


@pytest.mark.parametrize("inside", [False, True])
def test_fail_ends_an_open_connection_with_1011(net: Net, inside: bool) -> None:
    handler = Recorder(message=lambda ws, message: ws.fail(RuntimeError()))
    peer, ws = net.open(handler)
    if inside:
        peer.send(text("a") + text("b"))
    else:
        ws.fail(RuntimeError())
    peer.expect_close(1011)
    assert handler.messages == ["a"] * inside
    assert handler.closes == [(1011, "internal error")]
    ws.fail(RuntimeError())  # once is enough
    assert len(handler.closes) == 1
