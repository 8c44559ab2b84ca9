"""Before the first frame, on real sockets: deadlines, refusals, and ends of the handshake."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from sockets import Net, Recorder, network, request_head
from wsfast.endpoint import Endpoint
from wsfast.errors import LocalProtocolError
from wsfast.listener import Listener
from wsfast.listening import listen
from wsfast.rfc6455 import Role, State
from wsfast.settings import Settings
from wsfast.upgrading import Upgrading


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def test_bytes_do_not_move_the_opening_deadline(net: Net) -> None:
    handler = Recorder()
    peer = net.peer(net.server(handler, opening_seconds=0.2, max_head_bytes=1 << 30))
    head = itertools.chain(request_head()[:-2], b"X-Filler: ", itertools.repeat(0x78))
    sent = 0

    def dribble() -> bool:
        nonlocal sent
        if not peer.ended and peer.error is None:
            peer.send(bytes([next(head)]))
            sent += 1
        return peer.ended or peer.error is not None

    net.until(dribble)
    assert sent > 1
    assert isinstance(handler.named("failed")[0][1], ConnectionError)
    assert handler.names() == ["failed"]


@pytest.mark.parametrize("sent", [b"", b"G", request_head()[:-1], request_head()[:40]])
def test_half_a_handshake_and_the_end(net: Net, sent: bytes) -> None:
    handler = Recorder()
    server = net.server(handler)
    peer = net.peer(server)
    peer.send(sent)
    peer.close()
    net.until(lambda: handler.events)
    assert handler.names() == ["failed"]
    assert not server.connections


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"])
def test_a_reset_inside_of_the_handshake(net: Net, sent: bytes) -> None:
    handler = Recorder()
    server = net.server(handler)
    peer = net.peer(server)
    peer.send(sent)
    net.until(lambda: server.connections)
    peer.reset()
    net.until(lambda: not server.connections)
    assert handler.names() == ["failed"]


def connecting(net: Net, opener: Any = object, handler: object = None) -> Endpoint:
    """A client's endpoint whose TCP connect is under way, to a raw socket that listens."""
    listening, _ = net.listen()
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(listening.getsockname())
    ws = Endpoint(Settings(net.loop, Role.CLIENT, handler, opener))
    ws.adopt(client.detach())
    net.clients.append(ws)
    return ws


def test_nothing_is_written_before_tcp_stands(net: Net) -> None:
    ws = connecting(net)
    assert isinstance(ws, Upgrading) and ws.ready_state is State.CONNECTING
    with pytest.raises(LocalProtocolError, match="TCP or TLS does not stand yet"):
        ws.write(b"GET")
    ws.disconnect()
    ws.write(b"GET")  # to nobody, and nobody minds
    assert ws.ready_state is State.CLOSED


def test_an_opener_that_raises_fails_the_connection(net: Net, caplog: Any) -> None:
    handler = Recorder()

    def opener() -> object:
        raise RuntimeError("no handshake today")

    ws = connecting(net, opener, handler)
    net.until(lambda: handler.events)
    assert handler.names() == ["failed"] and ws.fd < 0
    assert "no handshake today" in caplog.text


def test_a_refusal_leaves_and_ends_the_connection(net: Net) -> None:
    handler = Recorder()
    server = net.server(handler)
    peer = net.peer(server)
    peer.send(request_head().replace(b"13", b"12"))
    assert peer.take_head().startswith(b"HTTP/1.1 426 ")
    net.until(lambda: peer.ended)
    net.until(lambda: not server.connections)
    assert not handler.events


def test_refuse_and_open_after_the_end_do_nothing(net: Net) -> None:
    handler = Recorder()
    ws = connecting(net, handler=handler)
    ws.fail(ConnectionError("told to"))
    assert [str(event[1]) for event in handler.events] == ["told to"]
    ws.refuse(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    ws.open(None, b"")
    assert ws.ready_state is State.CLOSED and handler.names() == ["failed"]


class Counting:
    """An opening that answers every line with its number, and keeps the connection up to 3."""

    def __init__(self) -> None:
        self.answered: list[bytes] = []
        self.lines = 0

    def receive(self, endpoint: Any, data: bytes) -> bytes | None:
        line, end, rest = data.partition(b"\n")
        if not end:
            return None
        self.lines += 1
        endpoint.answer(b"%d" % self.lines + line, self.lines < 3)
        return rest

    def receive_eof(self, endpoint: Any) -> None:
        """Nothing is left."""

    def on_answered(self, response: bytes) -> None:
        self.answered.append(response)
        if response.startswith(b"2"):
            raise RuntimeError("it is logged")


def test_one_opening_answers_several_requests(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    """It gets back what it returns, and a fault in on_answered changes nothing."""
    made: list[Counting] = []

    def opener() -> Counting:
        made.append(Counting())
        return made[-1]

    handler = Recorder()
    settings = Settings(net.loop, Role.SERVER, handler, opener)
    [listening] = listen("127.0.0.1", 0)
    listener = Listener(settings, listening)
    peer = net.adopt(socket.create_connection(listener.address))
    peer.send(b"a\nb\n")
    net.until(lambda: peer.received == b"1a2b")
    assert [ws.ready_state for ws in settings.endpoints] == [State.CONNECTING]
    peer.send(b"c\nd\n")
    net.until(lambda: peer.ended)
    assert peer.received == b"1a2b3c" and peer.error is None
    [opening] = made
    assert opening.answered == [b"1a", b"2b", b"3c"] and "it is logged" in caplog.text
    assert settings.stats["pages"] == 3 and settings.stats["refused"] == 0
    peer.close()
    net.until(lambda: not settings.endpoints)
    assert not handler.events
    listener.close()


def test_an_answer_after_the_end_does_nothing(net: Net) -> None:
    handler = Recorder()
    ws = connecting(net, handler=handler)
    ws.disconnect()
    ws.answer(b"HTTP/1.1 200 OK\r\n\r\n", True)
    assert ws.ready_state is State.CLOSED and ws.settings.stats["pages"] == 0
