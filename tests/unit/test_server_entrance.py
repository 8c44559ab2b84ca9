"""wsfast.server and what stands before a request: PROXY headers, trusted proxies, admission."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from sockets import Net, Peer, Recorder, network, request_head, text
from wire import TEXT
from wsfast.endpoint import Endpoint
from wsfast.proxy import crc32c
from wsfast.server import Server
from wsfast.settings import Settings

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ADDRESSES = bytes([1, 2, 3, 4, 10, 0, 0, 1]) + struct.pack(">HH", 5678, 443)
ZERO_CHECKSUM = b"\x03\x00\x04\0\0\0\0"
BINARY = SIGNATURE + b"\x21\x11" + struct.pack(">H", 12 + 7) + ADDRESSES + ZERO_CHECKSUM
BINARY = BINARY[:-4] + crc32c(BINARY)
LINE = b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n"
CLIENT = ("1.2.3.4", 5678)


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Asking(Recorder):
    """A recorder that keeps the requests."""

    def __init__(self) -> None:
        super().__init__(echo=True)
        self.requests = []

    def on_upgrade(self, request):
        self.requests.append(request)

    @property
    def addresses(self):
        return [request.client_address for request in self.requests]


def behind(net: Net, handler: object, **options) -> Server:
    return net.server(handler, proxy_protocol=True, trusted_proxies=["127.0.0.0/8"], **options)


def expect_echo(peer: Peer) -> None:
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    peer.expect((TEXT, b"hi"))


def expect_closed_without_an_answer(peer: Peer, server: Server) -> None:
    peer.net.until(lambda: peer.ended)
    assert peer.received == b""
    assert not server.connections


# --- whose address -------------------------------------------------------------------------------


def test_by_default_it_is_the_sockets(net):
    handler = Asking()
    peer = net.peer(net.server(handler)).upgrade("X-Forwarded-For: 9.9.9.9")
    assert handler.addresses == [peer.socket.getsockname()]


def test_a_unix_socket_has_no_address(net, tmp_path):
    handler = Asking()
    server = Server(handler, unix=str(tmp_path / "socket"), loop=net.loop)
    net.servers.append(server)
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(str(tmp_path / "socket"))
    net.adopt(connected).upgrade("X-Forwarded-For: 9.9.9.9")
    assert handler.addresses == [None]


def test_a_unix_socket_may_be_trusted(net, tmp_path):
    handler = Asking()
    path = str(tmp_path / "socket")
    server = Server(handler, unix=path, loop=net.loop, trusted_proxies="unix")
    net.servers.append(server)
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(path)
    net.adopt(connected).upgrade("X-Forwarded-For: 9.9.9.9")
    assert handler.addresses == [("9.9.9.9", 0)]


def test_a_trusted_proxy_says_it(net):
    handler = Asking()
    server = net.server(handler, trusted_proxies=["127.0.0.1"])
    lines = ["X-Forwarded-For: 6.6.6.6, 9.9.9.9", "X-Forwarded-Proto: https"]
    net.peer(server).upgrade(*lines, "X-Forwarded-Host: example.com")
    (request,) = handler.requests
    assert (request.client_address, request.scheme) == (("9.9.9.9", 0), "https")
    assert request.host == "example.com"


@pytest.mark.parametrize(
    ("host", "status"), [("example.com", b"101"), ("other.example", b"403"), (None, b"403")]
)
def test_the_same_origin_is_that_of_the_forwarded_host(net, host, status):
    server = net.server(Asking(), trusted_proxies=["127.0.0.1"], origins="same")
    lines = [] if host is None else [f"X-Forwarded-Host: {host}"]
    peer = net.peer(server)
    peer.send(request_head("Origin: https://example.com", *lines))
    assert peer.take_head().startswith(b"HTTP/1.1 " + status)


# --- PROXY headers -------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [BINARY, LINE])
@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
def test_header_handshake_and_message_however_cut(net, header, step):
    handler = Asking()
    peer = net.peer(behind(net, handler))
    peer.send(header + request_head() + text("hi"), step)
    expect_echo(peer)
    assert handler.addresses == [CLIENT]


def test_the_header_may_come_first_alone(net):
    handler = Asking()
    peer = net.peer(behind(net, handler))
    peer.send(BINARY)
    net.settle()
    assert not handler.requests
    peer.send(request_head() + text("hi"))
    expect_echo(peer)
    assert handler.addresses == [CLIENT]


def test_a_proxy_may_speak_for_itself(net):
    handler = Asking()
    peer = net.peer(behind(net, handler))
    peer.send(SIGNATURE + b"\x20\x00\x00\x00" + request_head())
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    assert handler.addresses == [peer.socket.getsockname()]


@pytest.mark.parametrize("step", [0, 1, 3])
def test_a_missing_header_is_no_answer(net, step):
    handler = Asking()
    server = behind(net, handler)
    peer = net.peer(server)
    peer.send(request_head()[: step or None], 0)
    expect_closed_without_an_answer(peer, server)
    assert isinstance(handler.named("failed")[0][1], ConnectionError)
    assert not handler.requests


@pytest.mark.parametrize("at", [12, 13, 15, 17, len(BINARY) - 1])
def test_a_malformed_header_is_no_answer(net, at):
    handler = Asking()
    server = behind(net, handler)
    peer = net.peer(server)
    peer.send(BINARY[:at] + bytes([BINARY[at] ^ 0x40]) + BINARY[at + 1 :] + request_head())
    if at == 15:  # a longer header: it waits for the rest, which the request is taken for
        peer.send(bytes(64))
    expect_closed_without_an_answer(peer, server)
    assert not handler.requests


def test_a_header_of_somebody_else_is_no_answer(net):
    handler = Asking()
    server = net.server(handler, proxy_protocol=True, trusted_proxies=["10.0.0.0/8"])
    peer = net.peer(server)
    peer.send(BINARY + request_head())
    expect_closed_without_an_answer(peer, server)
    assert not handler.requests


def test_half_a_header_is_cut_at_the_deadline(net):
    server = behind(net, Asking(), opening_seconds=0.03)
    peer = net.peer(server)
    peer.send(BINARY[:-1])
    expect_closed_without_an_answer(peer, server)


def test_a_header_that_is_not_asked_for_is_no_request(net):
    peer = net.peer(net.server(Asking()))
    peer.send(LINE + request_head())
    assert peer.take_head().startswith(b"HTTP/1.1 400 ")


def test_it_needs_somebody_to_trust(net):
    with pytest.raises(ValueError, match="needs trusted_proxies"):
        Server(Asking(), port=0, loop=net.loop, proxy_protocol=True)
    with pytest.raises(ValueError, match="trusted proxy"):
        Server(Asking(), port=0, loop=net.loop, trusted_proxies=["proxy.example"])


# --- admission -----------------------------------------------------------------------------------


def refused(net: Net, server: Server, *lines: str) -> bytes:
    peer = net.peer(server)
    peer.send(request_head(*lines))
    head = peer.take_head()
    assert b"\r\nRetry-After: " in head
    net.until(lambda: peer.ended)
    assert peer.error is None
    peer.close()
    return head


def test_beyond_the_limit_it_is_503_until_one_leaves(net):
    handler = Asking()
    server = net.server(handler, max_connections=2)
    admission = server.entrance.admission
    peers = [net.peer(server).upgrade() for _ in range(2)]
    for _ in range(3):
        assert refused(net, server).startswith(b"HTTP/1.1 503 ")
    assert len(handler.requests) == 2, "the application is not asked"
    peers[0].close()
    net.until(lambda: admission.connections == 1)
    net.peer(server).upgrade()
    assert admission.counters["admitted"] == 3
    stats = server.stats()
    assert (stats["admitted"], stats["refused_connections"], stats["refused_rate"]) == (3, 3, 0)


def test_connections_of_one_address(net):
    options = {"max_connections_per_address": 1, "trusted_proxies": ["127.0.0.1"]}
    server = net.server(Asking(), **options)
    admission = server.entrance.admission
    first = net.peer(server).upgrade("X-Forwarded-For: 2001:db8::1")
    assert refused(net, server, "X-Forwarded-For: 2001:db8::2").startswith(b"HTTP/1.1 429 ")
    net.peer(server).upgrade("X-Forwarded-For: 2001:db8:0:1::1")
    first.reset()
    net.until(lambda: admission.connections == 1)
    net.peer(server).upgrade("X-Forwarded-For: 2001:db8::2")


def test_handshakes_of_one_address(net):
    server = net.server(Asking(), max_handshakes_per_second_per_address=0.001)
    admission = server.entrance.admission
    net.peer(server).upgrade().close()
    assert b"\r\nRetry-After: 1000\r\n" in refused(net, server)
    net.until(lambda: admission.connections == 0)


def test_whatever_ends_a_connection_frees_its_place(net):
    """Refused by its origin, left during the handshake, reset, closed, cut by us."""
    handler = Asking()
    server = net.server(handler, max_connections=100, max_connections_per_address=100)
    admission = server.entrance.admission
    foreign = net.peer(server)
    foreign.send(request_head("Origin: https://evil.example"))
    foreign.take_head()
    half = net.peer(server)
    half.send(request_head()[:-2])
    opened = [net.peer(server).upgrade() for _ in range(4)]
    net.settle()
    foreign.close()
    half.close()
    opened[0].close()
    opened[1].reset()
    handler.endpoints[2].close()
    handler.endpoints[3].disconnect()
    opened[3].close()
    net.until(lambda: server.connections == 1)
    opened[2].close()
    net.until(lambda: server.connections == 0)
    assert (admission.connections, admission.remembered_addresses) == (0, 0)
    assert admission.counters["admitted"] == 5


def test_at_close_of_a_closed_endpoint_is_now(net):
    called = []
    server = net.server(Recorder())
    endpoint = Endpoint(Settings(net.loop, server.settings.role, Recorder(), lambda: None))
    endpoint.at_close(lambda: called.append(1))
    assert called == [1]


def test_what_the_application_asks_for_at_close_does_not_replace_the_count(net, caplog):
    """Or a server with a limit would be full for ever."""
    called = []

    def fail():
        called.append("first")
        raise ZeroDivisionError

    handler = Recorder()
    server = net.server(handler, max_connections=1)
    for _ in range(3):
        peer = net.peer(server).upgrade()
        handler.endpoints[-1].at_close(fail)
        handler.endpoints[-1].at_close(lambda: called.append("second"))
        peer.close()
        net.until(lambda: not server.connections)
    assert called == ["first", "second"] * 3
    assert server.entrance.admission.connections == 0
    assert caplog.text.count("end of a connection failed") == 3
    caplog.clear()  # its tracebacks hold the endpoints
