"""connect(): with a loop and without, what it asks for, and every way in which it fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import wsfast.client
from sockets import (
    CYCLES,
    SANITIZED,
    SECONDS,
    Net,
    Recorder,
    answer_handshake,
    network,
    resident_bytes,
)
from wire import BINARY, CLOSE, PING, TEXT, close_frame, frame
from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.errors import ConnectFailed, HandshakeRefused, InvalidURL, LocalProtocolError
from wsfast.limits import Limits
from wsfast.rfc6455 import State


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback that nobody listens on, and that nobody else can take."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


class Answering:
    """A server in a thread: answers one connection with given bytes, for a blocking connect."""

    def __init__(self, answer: bytes | None, then: bytes = b"") -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(SECONDS)
        self.url = f"ws://127.0.0.1:{self.listening.getsockname()[1]}/"
        self.answer, self.then = answer, then
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        connected, _ = self.listening.accept()
        connected.settimeout(SECONDS)
        with connected:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connected.recv(4096)
            connected.sendall((self.answer or answer_handshake(request)) + self.then)
            connected.shutdown(socket.SHUT_WR)
            while connected.recv(4096):
                pass

    def __enter__(self) -> Answering:
        self.thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.thread.join(SECONDS)
        self.listening.close()


# --- without a loop ------------------------------------------------------------------------------


def test_without_a_loop_it_returns_when_the_connection_has_ended() -> None:
    handler = Recorder(echo=True)
    with Answering(None, frame(TEXT, b"hi") + close_frame(3000, b"bye")) as server:
        ws = connect(server.url, handler)
    assert handler.events == [("open",), ("message", "hi"), ("close", 3000, "bye")]
    assert ws.ready_state is State.CLOSED and ws.fd == -1


def test_without_a_loop_a_refusal_is_raised_with_the_answer() -> None:
    answer = b"HTTP/1.1 403 Nope\r\nX-Why: because\r\nContent-Length: 4\r\n\r\nbody"
    handler = Recorder()
    with Answering(answer) as server, pytest.raises(HandshakeRefused, match="403") as raised:
        connect(server.url, handler)
    error = raised.value
    assert (error.status, error.body) == (403, b"body")
    assert ("x-why", "because") in error.headers
    assert isinstance(error, ConnectionError)
    assert handler.events == [], "connect raises, so on_connect_failed is not called"


def test_without_a_loop_a_refused_port_is_raised(closed_port: int) -> None:
    with pytest.raises(ConnectFailed, match=rf"127.0.0.1', {closed_port}\): Connection refused"):
        connect(f"ws://127.0.0.1:{closed_port}/", Recorder())


def test_without_a_loop_an_exception_of_a_callback_in_the_loop_closes_it() -> None:
    def interrupt(ws: Endpoint, message: str) -> None:
        raise KeyboardInterrupt

    handler = Recorder(message=interrupt)
    with Answering(None, frame(TEXT, b"x")) as server, pytest.raises(KeyboardInterrupt):
        connect(server.url, handler)
    assert handler.closes == [(1011, "internal error")]


# --- what fails at the call ----------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://a/", "ws://", "ws://a/#f", "ws://a:99999/", "nonsense"])
def test_an_invalid_url_raises_at_the_call(net: Net, url: str) -> None:
    with pytest.raises(InvalidURL):
        connect(url, Recorder(), loop=net.loop)


def test_wss_speaks_tls(net: Net) -> None:
    handler = Recorder()
    listening, url = net.listen()
    net.clients.append(connect(url.replace("ws:", "wss:"), handler, loop=net.loop))
    peer = net.accept(listening, upgrade=False)
    net.until(lambda: peer.received)
    assert peer.received[:2] == b"\x16\x03"  # a TLS handshake record (RFC 8446 5.1)


def test_options_that_cannot_be_sent_raise_at_the_call(net: Net) -> None:
    with pytest.raises(LocalProtocolError):
        connect("ws://127.0.0.1/", Recorder(), loop=net.loop, headers=[("Bad\n", "x")])
    with pytest.raises(TypeError):
        connect("ws://127.0.0.1/", Recorder(), loop=net.loop, no_such_option=1)


def test_a_name_that_does_not_resolve(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(wsfast.client.socket, "getaddrinfo", fail)
    with pytest.raises(ConnectFailed, match="cannot resolve 'nobody.invalid'"):
        connect("ws://nobody.invalid/", Recorder(), loop=net.loop)
    monkeypatch.undo()


def test_an_address_to_connect_from_that_is_not_ours(net: Net) -> None:
    with pytest.raises(ConnectFailed, match="cannot connect from"):
        net.client(net.server(Recorder()), Recorder(), local_address=("198.51.100.1", 0))


# --- what fails later ----------------------------------------------------------------------------


def failure(net: Net, client: Recorder) -> Exception:
    """The one error that on_connect_failed got; nothing else was called."""
    net.until(lambda: client.events)
    net.settle()
    assert client.names() == ["failed"]
    error: Exception = client.events[0][1]
    return error


def test_a_refused_port_on_a_loop(net: Net, closed_port: int) -> None:
    client = Recorder()
    ws = connect(f"ws://127.0.0.1:{closed_port}/", client, loop=net.loop)
    error = failure(net, client)
    assert isinstance(error, ConnectFailed) and not isinstance(error, HandshakeRefused)
    assert "127.0.0.1" in str(error) and "refused" in str(error)
    assert ws.ready_state is State.CLOSED
    ws.close()
    ws.disconnect()
    assert not ws.send("late")


def test_the_next_address_is_tried(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """localhost is ::1 first on many machines, and servers listen on 127.0.0.1."""
    server = net.server(Recorder(echo=True))
    port = server.addresses[0][1]
    hosts = [("127.0.0.9", port), ("127.0.0.8", port), ("127.0.0.1", port), ("127.0.0.7", port)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in hosts]
    monkeypatch.setattr(wsfast.client.socket, "getaddrinfo", lambda *args, **options: found)
    client = Recorder(open=lambda ws: ws.send("found"))
    net.client(server, client)
    net.until(lambda: client.messages == ["found"])
    del found[2]
    client = Recorder()
    connect(f"ws://several:{port}/", client, loop=net.loop)
    assert "127.0.0.7" in str(failure(net, client))
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "404"),
        (b"HTTP/1.1 301 Moved\r\nLocation: ws://a/\r\n\r\n", 301, "301"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, "Upgrade"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 0, ""),
        (b"HTTP/1.1 200 O", 0, "before it answered"),
        (b"", 0, "before it answered"),
    ],
)
def test_a_refused_handshake_on_a_loop(net: Net, answer: bytes, status: int, reason: str) -> None:
    listening, url = net.listen()
    client = Recorder()
    connect(url, client, loop=net.loop)
    server = net.accept(listening, upgrade=False)
    server.take_head()
    server.send(answer)
    server.socket.shutdown(socket.SHUT_WR)
    error = failure(net, client)
    assert isinstance(error, HandshakeRefused)
    assert error.status == status and reason in str(error)


def test_a_reset_before_the_answer(net: Net) -> None:
    listening, url = net.listen()
    client = Recorder()
    connect(url, client, loop=net.loop)
    server = net.accept(listening, upgrade=False)
    server.take_head()
    server.reset()
    assert isinstance(failure(net, client), ConnectFailed)


@pytest.mark.parametrize("dribble", [b"", b"HTTP/1.1 101 Switching"])
def test_a_server_that_does_not_answer_in_time(net: Net, dribble: bytes) -> None:
    listening, url = net.listen()
    client = Recorder()
    connect(url, client, loop=net.loop, limits=Limits(opening_seconds=0.1))
    net.accept(listening, upgrade=False).send(dribble)
    assert "longer than 0.1 s" in str(failure(net, client))


# --- what it asks for ----------------------------------------------------------------------------


def test_what_is_asked_reaches_the_server(net: Net) -> None:
    requests: list[Any] = []
    handler = Recorder(open=lambda ws: requests.append(ws.request))
    server = net.server(handler, subprotocols=["second"], origins=["https://example.com"])
    client = Recorder()
    ws = connect(
        net.url(server) + "path?query=1",
        client,
        loop=net.loop,
        headers=[("X-Token", "abc")],
        cookies={"name": "value"},
        origin="https://example.com",
        subprotocols=["first", "second"],
        local_address=("127.0.0.2", 0),
        limits=Limits(max_message_bytes=77),
    )
    net.clients.append(ws)
    net.until(lambda: client.names() == ["open"])
    [request] = requests
    assert (request.path, request.query) == ("/path", "query=1")
    assert request.header("x-token") == "abc"
    assert request.cookies == {"name": "value"}
    assert request.origin == "https://example.com"
    assert request.subprotocols == ["first", "second"]
    assert ws.subprotocol == handler.endpoints[0].subprotocol == "second"
    assert handler.endpoints[0].remote_address == ws.local_address
    assert ws.local_address[0] == "127.0.0.2"
    assert ws.settings.limits.max_message_bytes == 77
    assert ws.ready_state is State.OPEN


def test_frames_behind_the_101_are_kept(net: Net) -> None:
    listening, url = net.listen()
    client = Recorder()
    net.clients.append(connect(url, client, loop=net.loop))
    server = net.accept(listening, upgrade=False)
    server.send(answer_handshake(server.take_head()) + frame(TEXT, b"early") + frame(PING, b"p"))
    net.until(lambda: len(client.events) == 3)
    assert client.events == [("open",), ("message", "early"), ("ping", b"p")]
    net.until(lambda: server.frames)
    assert server.frames == [(10, b"p")]


def test_frames_are_masked_with_keys_that_differ(net: Net) -> None:
    listening, url = net.listen()
    client = Recorder()
    ws = connect(url, client, loop=net.loop)
    net.clients.append(ws)
    server = net.accept(listening)
    net.until(lambda: client.events)
    for _ in range(200):
        ws.send(b"\0" * 4)
    large = bytes(200_000)
    ws.send(large)
    net.until(lambda: len(server.frames) == 201)
    assert server.frames == [(BINARY, bytes(4))] * 200 + [(BINARY, large)]
    raw = [bytes(server.received[at : at + 10]) for at in range(0, 2000, 10)]
    keys = {each[2:6] for each in raw}
    assert all(each[1] == 0x84 and each[6:] == each[2:6] for each in raw)
    assert len(keys) > 196, "32 bits of the operating system's generator seldom repeat so soon"


def test_masked_frames_of_a_server_are_refused(net: Net) -> None:
    listening, url = net.listen()
    client = Recorder()
    net.clients.append(connect(url, client, loop=net.loop))
    server = net.accept(listening)
    server.send(frame(TEXT, b"x", key=b"abcd"))
    net.until(lambda: server.ended)
    assert server.frames[-1][0] == CLOSE
    assert server.frames[-1][1][:2] == (1002).to_bytes(2, "big")
    assert client.closes[0][0] == 1002


# --- how it ends ---------------------------------------------------------------------------------


def test_a_client_lets_the_server_end_tcp(net: Net) -> None:
    listening, url = net.listen()
    client = Recorder()
    ws = connect(url, client, loop=net.loop)
    server = net.accept(listening)
    server.send(close_frame(1000))
    net.until(lambda: client.closes)
    net.until(lambda: server.frames)
    assert ws.fd >= 0 and not server.ended
    assert server.frames == [(CLOSE, b"\x03\xe8")]
    server.close()
    net.until(lambda: ws.fd < 0)
    assert client.closes == [(1000, "")]


def test_a_server_that_never_ends_tcp_is_left(net: Net) -> None:
    listening, url = net.listen()
    client = Recorder()
    ws = connect(url, client, loop=net.loop, limits=Limits(closing_seconds=0.1))
    server = net.accept(listening)
    server.send(close_frame(1000))
    net.until(lambda: ws.fd < 0)
    assert client.closes == [(1000, "")]
    net.until(lambda: server.ended)
    assert server.frames == [(CLOSE, b"\x03\xe8")]


@pytest.mark.cycles
def test_connections_that_come_and_go_keep_nothing(net: Net) -> None:
    """Both ends in this process, ended from either side and in either way: memory stays flat.

    From many addresses, since a port that was closed first rests for a minute.
    """
    handler, client = Recorder(), Recorder()
    server = net.server(handler)
    url = net.url(server)
    base = 0
    for number in range(CYCLES // 20):
        source = (f"127.0.0.{2 + number % 200}", 0)
        opened = [connect(url, client, loop=net.loop, local_address=source) for _ in range(20)]
        net.until(lambda: len(handler.endpoints) == len(client.endpoints) == 20)
        for at, ws in enumerate(opened):
            other = handler.endpoints[at]
            [ws.close, ws.disconnect, other.close, other.disconnect][at % 4]()
        net.until(lambda ws=opened: not server.connections and all(each.fd < 0 for each in ws))
        assert len(handler.closes) == len(client.closes) == 20
        for each in (handler, client):
            each.events.clear()
            each.endpoints.clear()
        if number == 100:
            base = resident_bytes()
    assert SANITIZED or resident_bytes() < base + 1_000_000


def test_writing_before_tcp_stands_raises_and_breaks_nothing(net: Net) -> None:
    listening, url = net.listen()
    client = Recorder()
    ws = connect(url, client, loop=net.loop)
    net.clients.append(ws)
    with pytest.raises(LocalProtocolError, match="TCP"):
        ws.write(b"early")
    server = net.accept(listening, upgrade=False)
    assert server.take_head().startswith(b"GET / HTTP/1.1\r\n")
    assert ws.ready_state is State.CONNECTING and not client.events
