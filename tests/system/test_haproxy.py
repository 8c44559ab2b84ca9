"""Behind HAProxy: by HTTP with X-Forwarded-For, by PROXY headers, and these in front of TLS."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxies import CLIENT, BehindProxy, Proxied, needs, page, running, site
from sockets import Net, Peer, Recorder, network

CONFIG = """
global
    maxconn 128
defaults
    mode MODE
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel IDLEms
    timeout check 60s
frontend outside
    bind fd@LISTENING
    default_backend inside
backend inside
    OPTIONS
    server wsfast 127.0.0.1:SERVER SEND
"""


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class HAProxy(Proxied):
    """How it is started."""

    mode, send, options = "http", "", ""

    @contextlib.contextmanager
    def proxy(
        self, directory: Path, listening: socket.socket, port: int, idle_milliseconds: int
    ) -> Iterator[None]:
        """Pass a listening socket on by its number, as HAProxy has it."""
        haproxy = needs("haproxy")
        config = CONFIG
        for name, value in {
            "MODE": self.mode,
            "LISTENING": listening.fileno(),
            "IDLE": idle_milliseconds,
            "OPTIONS": self.options,
            "SERVER": port,
            "SEND": self.send,
        }.items():
            config = config.replace(name, str(value))
        (directory / "haproxy.cfg").write_text(config, encoding="utf-8")
        command = [haproxy, "-db", "-f", "haproxy.cfg"]
        with running(command, directory, pass_fds=[listening.fileno()]):
            yield


class TestHttp(HAProxy, BehindProxy):
    """As an HTTP proxy."""

    options = "option forwardfor\n    http-request set-header X-Forwarded-Host %[req.hdr(Host)]"


class ByProxyHeader(HAProxy, BehindProxy):
    """As a TCP proxy that says in a PROXY header for whom it speaks."""

    mode, options = "tcp", ""
    server_options = {"proxy_protocol": True}


class TestProxyHeader2(ByProxyHeader):
    """Version 2, with a checksum in it."""

    send = "send-proxy-v2 proxy-v2-options crc32c,unique-id"


class TestProxyHeader1(ByProxyHeader):
    """Version 1."""

    send = "send-proxy"


class TestTlsPassedOn(ByProxyHeader):
    """It passes TLS on as it is, with a header in clear in front of it."""

    send, scheme = "send-proxy-v2 proxy-v2-options crc32c,unique-id", "https"

    @pytest.fixture(autouse=True)
    def with_tls(self) -> None:
        certificates = pytest.importorskip("certificates", reason="trustme is not installed")
        self.server_options = {**ByProxyHeader.server_options, "tls": certificates.server()}
        self.client_options = {"tls": certificates.client()}
        self.peer = certificates.SecurePeer

    def connect(self, net: Net) -> Peer:
        """A raw client of the proxy, past its TLS handshake."""
        connected = socket.create_connection(self.address, source_address=(CLIENT, 0))
        return self.peer(net, connected).secure()

    def test_the_limit_of_an_address_is_that_of_the_client(self, net, behind):
        server = behind(Recorder(), max_connections_per_address=2)
        peers = [self.connect(net).upgrade() for _ in range(2)]
        third = self.peer(net, socket.create_connection(self.address, source_address=(CLIENT, 0)))
        net.until(lambda: third.ended)
        assert not third.established and server.stats()["turned_away_address"] == 1
        other = socket.create_connection(self.address, source_address=("127.0.0.6", 0))
        self.peer(net, other).secure().upgrade()
        peers[0].close()
        net.until(lambda: server.connections == 2)
        self.connect(net).upgrade()


class TestHealthChecks(HAProxy):
    """As HAProxy asks without being told anything more: by HTTP/1.0, without a Host."""

    options = "option httpchk GET /healthz"
    send = "check inter 50ms"

    def test_it_is_found_to_be_well(self, net, behind):
        server = behind(site())
        net.until(lambda: server.stats()["pages"] >= 3)
        assert page(net, self.address, "/healthz") == (200, "well")
        stats = server.stats()
        assert stats["refused"] == stats["failed"] == 0

    def test_a_server_that_drains_gets_no_more_clients(self, net, behind):
        """Its page answers 503, or it does not listen any more: either is seen in time."""
        server = behind(site())
        net.until(lambda: server.stats()["pages"] >= 3)
        held = self.connect(net).upgrade()
        server.drain(connections_per_second=0.1, limit_seconds=5)
        net.until(lambda: page(net, self.address, "/healthz")[0] == 503)
        held.close()


class TestHealthChecksOfTheSameVersion(TestHealthChecks):
    """By HTTP/1.1."""

    options = "option httpchk\n    http-check send meth HEAD uri /healthz ver HTTP/1.1 hdr Host a"


class TestKeptConnections(HAProxy):
    """`http-reuse always`: requests of several clients on one connection, a WebSocket the last."""

    options = "http-reuse always\n    option http-keep-alive"

    def test_one_connection_for_many_requests(self, net, behind):
        server = behind(site())
        for _ in range(10):
            assert page(net, self.address, "/healthz") == (200, "well")
        assert server.stats()["pages"] == 10 and server.stats()["accepted"] <= 2
        peer = self.connect(net).upgrade()
        peer.close()
        net.until(lambda: server.stats()["closed"] == 1)
        assert server.stats()["failed"] == 0
