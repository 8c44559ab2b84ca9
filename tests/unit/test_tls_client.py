"""TLS of our client over real sockets; the other end is the ssl module's, or speaks no TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from certificates import SecurePeer, client, server
from sockets import SECONDS, Net, Recorder, answer_handshake, network
from wire import CLOSE, STEPS, TEXT, frame
from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.errors import ConnectFailed, LocalProtocolError, TlsFailed


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def failures(handler: Recorder) -> list[Exception]:
    return [event[1] for event in handler.named("failed")]


def begin(net: Net, url: str, handler: Recorder, **options: object) -> Endpoint:
    """A client of ours on its way to a raw server."""
    options = {"tls": client(), **options}
    ws = connect(url.replace("ws:", "wss:"), handler, loop=net.loop, **options)
    net.clients.append(ws)
    return ws


def accepted(net: Net, handler: Recorder, *, step: int = 0, **options: object) -> SecurePeer:
    """The server's end, by the standard library, of a client of ours."""
    listening, url = net.listen()
    begin(net, url, handler, **options)
    listening.settimeout(SECONDS)
    return SecurePeer(net, listening.accept()[0], server_side=True, step=step)


@pytest.mark.parametrize("step", STEPS)
def test_a_client_talks(net: Net, step: int) -> None:
    handler = Recorder(open=lambda ws: ws.send("hello"))
    peer = accepted(net, handler, step=step).secure()
    peer.send(answer_handshake(peer.take_head()) + frame(TEXT, b"with the 101"))
    peer.expect((TEXT, b"hello"))
    net.until(lambda: handler.messages)
    assert handler.messages == ["with the 101"]
    (ws,) = handler.endpoints
    assert ws.tls.peer_certificate["subjectAltName"]
    assert ws.secure
    ws.close()
    net.until(lambda: len(peer.frames) == 2)
    peer.send(frame(CLOSE, peer.frames[1][1]))
    peer.say_goodbye()
    peer.socket.shutdown(socket.SHUT_WR)
    net.until(lambda: handler.closes)
    assert handler.closes == [(1000, "")]


def test_a_client_and_a_server_of_ours(net: Net) -> None:
    served = Recorder(echo=True)
    target = net.server(served, tls=server())
    handler = Recorder(open=lambda ws: [ws.send("x" * size) for size in (1, 1000, 300_000)])
    ws = net.client(target, handler, tls=client())
    net.until(lambda: len(handler.messages) == 3)
    assert [len(message) for message in handler.messages] == [1, 1000, 300_000]
    ws.close()
    net.until(lambda: handler.closes and served.closes)
    assert handler.closes == served.closes == [(1000, "")]


def test_nothing_is_written_before_tls_stands(net: Net) -> None:
    handler = Recorder()
    ws = net.client(net.server(Recorder(), tls=server()), handler, tls=client())
    with pytest.raises(LocalProtocolError, match="TLS"):
        ws.write(b"GET")
    net.until(lambda: ws.remote_address is not None and handler.named("open"))


def test_closing_during_the_handshake(net: Net) -> None:
    handler = Recorder()
    peer = accepted(net, handler)
    (ws,) = net.clients
    ws.close()
    assert isinstance(failures(handler)[0], ConnectFailed)
    net.until(lambda: peer.ended)


def test_a_server_that_speaks_no_tls(net: Net) -> None:
    handler = Recorder()
    listening, url = net.listen()
    begin(net, url, handler)
    peer = net.accept(listening, upgrade=False)
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    net.until(lambda: failures(handler))
    assert isinstance(failures(handler)[0], TlsFailed)


def test_a_server_that_leaves_during_the_handshake(net: Net) -> None:
    handler = Recorder()
    listening, url = net.listen()
    begin(net, url, handler)
    net.accept(listening, upgrade=False).close()
    net.until(lambda: failures(handler))
    assert isinstance(failures(handler)[0], ConnectFailed)
