"""nginx and HAProxy before a server: started here, and what both have to let through.

A proxy gets its listening socket from us, as a descriptor: so the port is free for certain, and
whoever connects before the proxy runs waits in the backlog.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sockets import Net, Peer, Recorder, request_head, text
from wire import CLOSE, TEXT
from wsfast.client import connect
from wsfast.server import Server
from wsfast.site import Route, Site

__all__ = ["CLIENT", "BehindProxy", "Proxied", "needs", "running"]

#: Clients come from here and proxies from 127.0.0.1, so that the two can be told apart.
CLIENT = "127.0.0.5"

ENDS_SECONDS = 10.0


def needs(program: str) -> str:
    """The path of a program; the test skips if it is not installed."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@contextlib.contextmanager
def running(command: Sequence[str], directory: Path, **options: Any) -> Iterator[None]:
    """A program from here to the end, its output in a file that a failing test shows."""
    with (directory / "output").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **options,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(ENDS_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            output.seek(0)
            print(output.read())  # pytest shows it if the test fails


def site() -> Site:
    """A page for health checks, and a WebSocket beside it."""
    made = Site()
    made.add_page("/healthz", lambda request: "well")
    route = Route("/", origins="any")
    route(Recorder(echo=True))
    made.add_route(route)
    return made


def page(net: Net, address: Any, path: str) -> tuple[int, str]:
    """Status and body of a page, over a connection of its own."""
    peer = net.adopt(socket.create_connection(address, source_address=(CLIENT, 0)))
    peer.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    net.until(lambda: peer.ended)
    head, _, body = peer.received.decode().partition("\r\n\r\n")
    return int(head.split(" ")[1]), body


class Proxied:
    """A server with a proxy before it; subclasses say how theirs is started."""

    #: How a server has to be made to understand the proxy.
    server_options: dict[str, Any] = {}

    #: What a page's origin begins with, and our client's options: of TLS, if it goes through.
    scheme, client_options = "http", {}

    @contextlib.contextmanager
    def proxy(
        self, directory: Path, listening: socket.socket, port: int, idle_milliseconds: int
    ) -> Iterator[None]:
        """Pass on what comes to `listening` to a port of 127.0.0.1, and end what is idle."""
        raise AssertionError("a subclass starts its proxy")
        yield

    @pytest.fixture
    def behind(
        self, net: Net, tmp_path: Path, request: pytest.FixtureRequest
    ) -> Iterator[Callable[..., Server]]:
        """behind(handler, **options) makes a server with a proxy before it; see `connect`."""
        with contextlib.ExitStack() as stack:

            def start(handler: object, idle_milliseconds: int = 60000, **options: Any) -> Server:
                listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                server = net.server(
                    handler, trusted_proxies=["127.0.0.1"], **options, **self.server_options
                )
                self.address = listening.getsockname()
                port = server.addresses[0][1]
                stack.enter_context(self.proxy(tmp_path, listening, port, idle_milliseconds))
                return server

            yield start
        request.node.funcargs.pop("behind", None)  # it holds the net; see sockets.network

    def connect(self, net: Net) -> Peer:
        """A raw client of the proxy."""
        connected = socket.create_connection(self.address, source_address=(CLIENT, 0))
        return net.adopt(connected)

    def client(self, net: Net, handler: object) -> Any:
        """Our client, through the proxy."""
        url = f"{self.scheme.replace('http', 'ws')}://127.0.0.1:{self.address[1]}/"
        options = {"loop": net.loop, "local_address": (CLIENT, 0), **self.client_options}
        ws = connect(url, handler, **options)
        net.clients.append(ws)
        return ws


class BehindProxy(Proxied):
    """What has to work behind any proxy."""

    def test_upgrade_and_messages(self, net, behind):
        behind(Recorder(echo=True))
        peer = self.connect(net).upgrade()
        peer.send(text("through"))
        peer.expect((TEXT, b"through"))

    @pytest.mark.parametrize("size", [125, 126, 65536, 1000000])
    def test_messages_of_any_size_both_ways(self, net, behind, size):
        behind(Recorder(echo=True))
        mine = Recorder(open=lambda ws: ws.send(bytes(size)))
        self.client(net, mine)
        net.until(lambda: mine.messages)
        assert mine.messages == [bytes(size)]

    def test_the_address_of_the_client(self, net, behind):
        seen = []
        handler = Recorder()
        handler.on_upgrade = lambda request: seen.append(request)
        behind(handler)
        peer = self.connect(net).upgrade()
        ((host, port),) = [request.client_address for request in seen]
        assert (host, port in (0, peer.socket.getsockname()[1])) == (CLIENT, True)

    def test_what_the_client_makes_up_is_not_believed(self, net, behind):
        seen = []
        handler = Recorder()
        handler.on_upgrade = lambda request: seen.append(request)
        behind(handler)
        self.connect(net).upgrade("X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6")
        assert [request.client_address[0] for request in seen] == [CLIENT]

    def test_the_same_origin_is_that_of_the_proxy(self, net, behind):
        behind(Recorder(), origins="same")
        host = f"127.0.0.1:{self.address[1]}"
        for origin, status in (
            (f"{self.scheme}://{host}", b"101"),
            ("https://evil.example", b"403"),
        ):
            peer = self.connect(net)
            head = request_head(f"Origin: {origin}")
            peer.send(head.replace(b"Host: 127.0.0.1\r", b"Host: " + host.encode() + b"\r"))
            assert peer.take_head().startswith(b"HTTP/1.1 " + status)

    def test_a_server_that_closes_says_so_through_the_proxy(self, net, behind):
        server = behind(Recorder())
        mine = Recorder()
        self.client(net, mine)
        net.until(lambda: mine.named("open"))
        server.close()
        net.until(lambda: mine.closes)
        assert mine.closes == [(1001, "server shutdown")]

    def test_a_client_that_leaves_is_seen_to_leave(self, net, behind):
        handler = Recorder()
        behind(handler)
        peer = self.connect(net).upgrade()
        peer.close()
        net.until(lambda: handler.closes)
        assert handler.closes[0][0] == 1006

    def test_the_proxy_ends_what_is_idle(self, net, behind):
        """Without heartbeats; which shows that the next test tests something."""
        handler = Recorder()
        behind(handler, idle_milliseconds=1000, ping_interval_seconds=None)
        peer = self.connect(net).upgrade()
        net.until(lambda: handler.closes and peer.ended)
        assert handler.closes[0][0] == 1006
        assert CLOSE not in [opcode for opcode, _ in peer.frames]

    def test_heartbeats_keep_an_idle_connection_open(self, net, behind):
        """For more than twice as long as the proxy lets be idle."""
        handler = Recorder()
        behind(
            handler,
            idle_milliseconds=2000,  # longer than a busy machine stalls
            ping_interval_seconds=0.1,
            dead_after_seconds=None,  # a busy machine is no dead peer
        )
        mine = Recorder()
        ws = self.client(net, mine)
        started = time.monotonic()
        net.until(lambda: mine.closes or time.monotonic() > started + 4.5)
        assert not mine.closes and not handler.closes
        assert mine.named("ping")
        handler.endpoints[0].send("awake")
        ws.send("awake")
        net.until(lambda: mine.messages and handler.messages)
