"""A PROXY header in front of TLS: from a balancer that passes TCP on, to the request behind it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from certificates import SecurePeer, client, server
from sockets import SECONDS, Net, Peer, Recorder, network, request_head, text
from wire import STEPS, TEXT
from wsfast.errors import TlsFailed
from wsfast.head import Request
from wsfast.server import Server

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ADDRESSES = bytes([1, 2, 3, 4, 10, 0, 0, 1]) + struct.pack(">HH", 5678, 443)
NOTHING = b"\x04\x00\xff" + bytes(255)  # a TLV that stands for nothing (2.2.5)
BINARY = SIGNATURE + b"\x21\x11" + struct.pack(">H", 12 + len(NOTHING)) + ADDRESSES + NOTHING
LINE = b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
CLIENT = ("1.2.3.4", 5678)


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Asking(Recorder):
    """A recorder that keeps the requests."""

    def __init__(self) -> None:
        super().__init__(echo=True)
        self.requests: list[Request] = []

    def on_upgrade(self, request: Request) -> None:
        self.requests.append(request)


class Balanced(SecurePeer):
    """A TLS client behind a balancer: its header comes first, in clear.

    Args:
        header: what the balancer says, sent in one segment with the ClientHello.
        cut: bytes of which each of the first segments consists; 0: all of it is one segment.
    """

    def __init__(self, net: Net, target: Server, header: bytes, *, cut: int = 0, **options: Any):
        self.header, self.cut = header, cut
        connected = socket.create_connection(target.addresses[0][:2], SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(net, connected, **options)

    def send_records(self, records: bytes) -> None:
        header, self.header = self.header, b""
        if header and self.cut:
            Peer.send(self, header + records, self.cut)
        else:
            super().send_records(header + records)


def behind(net: Net, handler: object, **options: Any) -> Server:
    options = {"trusted_proxies": ["127.0.0.0/8"], "tls": server(), **options}
    return net.server(handler, proxy_protocol=True, **options)


def expect_closed_without_an_answer(net: Net, peer: Peer, target: Server) -> None:
    net.until(lambda: peer.ended)
    assert peer.received == b""
    net.until(lambda: not target.connections)


@pytest.mark.parametrize("net", [None, selectors.PollSelector], indirect=True)
@pytest.mark.parametrize("header", [BINARY, LINE])
@pytest.mark.parametrize("cut", STEPS)
def test_header_handshake_and_message_however_cut(net: Net, header: bytes, cut: int) -> None:
    handler = Asking()
    peer = Balanced(net, behind(net, handler), header, cut=cut).secure()
    peer.upgrade()
    peer.send(text("hi"))
    peer.expect((TEXT, b"hi"))
    (request,) = handler.requests
    assert request.client_address == CLIENT
    assert request.secure and handler.endpoints[0].tls.established
    assert handler.endpoints[0].request.client_address == CLIENT


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("step", STEPS)
def test_records_cut_behind_the_header(net: Net, version: str, step: int) -> None:
    handler = Asking()
    target = behind(net, handler, tls=server(minimum_version=version, maximum_version=version))
    peer = Balanced(net, target, BINARY, step=step).secure()
    peer.upgrade()
    peer.send(text("hi"))
    peer.expect((TEXT, b"hi"))
    assert handler.endpoints[0].tls.version == f"TLSv{version}"


def test_the_header_may_come_first_alone(net: Net) -> None:
    handler = Asking()
    target = behind(net, handler)
    connected = socket.create_connection(target.addresses[0])
    connected.sendall(BINARY)
    net.until(lambda: target.connections)
    net.settle()
    assert not handler.events
    SecurePeer(net, connected).secure().upgrade()
    assert [request.client_address for request in handler.requests] == [CLIENT]


def test_a_balancer_may_speak_for_itself(net: Net) -> None:
    handler = Asking()
    peer = Balanced(net, behind(net, handler), LOCAL).secure()
    peer.upgrade()
    assert [request.client_address for request in handler.requests] == [peer.socket.getsockname()]


def test_bytes_are_counted_once(net: Net) -> None:
    target = behind(net, Asking())
    peer = Balanced(net, target, BINARY).secure()
    peer.upgrade()
    assert target.stats()["bytes_received"] == len(BINARY) + len(request_head())


def test_over_a_unix_socket(net: Net, tmp_path: Any) -> None:
    handler = Asking()
    path = str(tmp_path / "socket")
    options = {"tls": server(), "proxy_protocol": True, "trusted_proxies": "unix"}
    net.servers.append(Server(handler, unix=path, loop=net.loop, **options))
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(path)
    for byte in BINARY[:20]:
        connected.sendall(bytes([byte]))
    connected.sendall(BINARY[20:])
    SecurePeer(net, connected).secure().upgrade()
    assert [request.client_address for request in handler.requests] == [CLIENT]


def test_forwarded_headers_behind_it(net: Net) -> None:
    """A balancer before reverse proxies: whom the header names is trusted in turn."""
    handler = Asking()
    target = behind(net, handler, trusted_proxies=["127.0.0.0/8", "1.2.3.4"])
    Balanced(net, target, LINE).secure().upgrade("X-Forwarded-For: 9.9.9.9")
    assert [request.client_address for request in handler.requests] == [("9.9.9.9", 0)]


# --- what is no header ---------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_tls_without_a_header_is_no_answer(net: Net, cut: int) -> None:
    handler = Asking()
    target = behind(net, handler)
    with contextlib.suppress(OSError):  # it is closed at the first byte; the others may meet that
        peer = Balanced(net, target, b"\x16", cut=cut)
    expect_closed_without_an_answer(net, net.peers[-1] if cut else peer, target)
    assert "begins no PROXY header" in str(handler.named("failed")[0][1])


@pytest.mark.parametrize("data", [request_head(), b"\0", b"PROXY  \r\n", BINARY[:12] + b"\x31"])
def test_a_malformed_header_is_no_answer(net: Net, data: bytes) -> None:
    handler = Asking()
    target = behind(net, handler)
    peer = net.peer(target)
    peer.send(data + bytes(8))
    expect_closed_without_an_answer(net, peer, target)
    assert "proxy-protocol.txt" in str(handler.named("failed")[0][1])


def test_a_header_of_somebody_else_is_no_answer(net: Net) -> None:
    handler = Asking()
    target = behind(net, handler, trusted_proxies=["10.0.0.0/8"])
    peer = net.peer(target)
    peer.send(BINARY)
    expect_closed_without_an_answer(net, peer, target)
    assert "no trusted proxy" in str(handler.named("failed")[0][1])


def test_a_second_header_is_no_tls(net: Net) -> None:
    handler = Asking()
    target = behind(net, handler)
    peer = net.peer(target)
    peer.send(BINARY + BINARY)
    net.until(lambda: handler.named("failed"))
    assert isinstance(handler.named("failed")[0][1], TlsFailed)


def test_plain_http_behind_the_header_gets_an_answer_in_plain(net: Net) -> None:
    peer = net.peer(behind(net, Asking()))
    peer.send(BINARY + request_head())
    net.until(lambda: peer.ended)
    assert peer.received.startswith(b"HTTP/1.1 400 ")


def test_a_header_that_is_not_asked_for_is_no_tls(net: Net) -> None:
    handler = Asking()
    peer = net.peer(net.server(handler, tls=server()))
    peer.send(BINARY)
    net.until(lambda: peer.ended)
    assert isinstance(handler.named("failed")[0][1], TlsFailed)


@pytest.mark.parametrize("size", [0, 1, 15, len(BINARY) - 1, len(BINARY), len(BINARY) + 20])
def test_the_deadline_holds_wherever_it_stops(net: Net, size: int) -> None:
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client().context.wrap_bio(ssl.MemoryBIO(), hello, False, "127.0.0.1").do_handshake()
    handler = Asking()
    target = behind(net, handler, opening_seconds=0.05)
    peer = net.peer(target)
    peer.send((BINARY + hello.read())[:size])
    expect_closed_without_an_answer(net, peer, target)
    assert "took longer than 0.05 s" in str(handler.named("failed")[0][1])


@pytest.mark.parametrize("size", [0, 1, 40, len(BINARY), len(BINARY) + 20])
def test_leaving_wherever_it_stops(net: Net, size: int) -> None:
    handler = Asking()
    target = behind(net, handler)
    peer = net.peer(target)
    peer.send((BINARY + b"\x16\x03\x01\x02\x00\x01" + bytes(200))[:size])
    peer.close()
    net.until(lambda: handler.events)
    assert handler.names() == ["failed"]
    assert ("TLS" in str(handler.events[0][1])) is (size >= len(BINARY))
    assert not target.connections


def test_a_megabyte_behind_the_header_is_not_kept(net: Net) -> None:
    """What follows the header stays in the kernel until the session takes it, in its turn."""
    handler = Asking()
    peer = net.peer(behind(net, handler))
    peer.send(BINARY + b"\x16\x03\x01\x40\x00" + bytes(1 << 20))
    net.until(lambda: handler.events)
    assert isinstance(handler.named("failed")[0][1], TlsFailed)


def test_what_tracers_see_is_the_request(net: Net) -> None:
    heard: list[Any] = []

    class Spy:
        def on_handshake_start(self, ws: Any) -> None:
            heard.append(ws.tls.established)

        def on_handshake_end(self, ws: Any, handshake: Any) -> None:
            heard.append(handshake)

    handler = Asking()
    target = behind(net, handler, tracers=[Spy()])
    Balanced(net, target, BINARY).secure().upgrade()
    assert heard[0] is True, "the header is not the request's first byte"
    assert heard[1][:3] == ("GET", "/", 101)
    assert heard[1].request.client_address == CLIENT


def test_a_drain_ends_those_that_have_said_nothing(net: Net) -> None:
    target = behind(net, Asking())
    peer = net.peer(target)
    peer.send(BINARY[:5])
    net.until(lambda: target.connections)
    target.close(limit_seconds=0.05)
    net.until(lambda: peer.ended)
    assert not target.connections


def test_a_storm_of_them(net: Net) -> None:
    handler = Asking()
    target = behind(net, handler)
    peers = [Balanced(net, target, BINARY) for _ in range(100)]
    for peer in peers:
        peer.secure().upgrade()
    assert len(handler.requests) == 100
    assert {request.client_address for request in handler.requests} == {CLIENT}
