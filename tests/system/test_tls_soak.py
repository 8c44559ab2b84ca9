"""TLS connections that come and go: what OpenSSL held for them is given back, in both roles."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

from certificates import client, secure_peer, server
from sockets import Net, Recorder, heap_bytes, network
from wsfast.endpoint import Endpoint
from wsfast.server import Server

#: For more, pytest needs -o faulthandler_timeout=0 as well.
CYCLES = int(os.environ.get("WSFAST_CYCLES", "1600"))

#: One OpenSSL object takes at least this (9 KiB before its handshake): a leak of one for each of
#: CYCLES would come to six times BOUND.
BYTES_OF_A_SESSION = 8 * 1024
BOUND = 2 << 20

GARBAGE = b"\x16\x03\x01\x00\x05garbage, and more of it"


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Short:
    """A client's handler: says something and leaves; counts how it ended, keeps nothing."""

    def __init__(self) -> None:
        self.ended = 0
        self.kept: list[Any] | None = None

    def on_open(self, ws: Endpoint) -> None:
        ws.send("x")
        if self.kept is not None:
            self.kept.append(ws.tls)

    def on_message(self, ws: Endpoint, message: Any) -> None:
        ws.close()

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        self.ended += 1

    def on_connect_failed(self, ws: Endpoint, error: Exception) -> None:
        self.ended += 1


class Echo:
    def on_message(self, ws: Endpoint, message: Any) -> None:
        ws.send(message)


def cycle(net: Net, target: Server, short: Short, count: int) -> None:
    """Connect, one after another: three in four to the end, one broken off on the way."""
    tls = client()
    for number in range(count):
        before = short.ended
        ws = net.client(target, short, tls=tls)
        net.clients.clear()
        if number % 4 == 3:
            for _ in range(number // 4 % 4):
                net.loop.selector.select(0)
            ws.disconnect()
        del ws
        net.until(lambda before=before: short.ended > before)


def fail(net: Net, target: Server, count: int) -> None:
    """Handshakes that come to nothing: garbage, a reset, half a ClientHello."""
    for number in range(count):
        if number % 2:
            peer = net.peer(target)
            peer.send(GARBAGE[: 4 if number % 4 == 3 else None])
        else:
            peer = secure_peer(net, target)
        net.until(lambda: target.connections)
        peer.reset() if number % 3 else peer.close()
        net.peers.clear()
        net.until(lambda: not target.connections)


def growth(net: Net, target: Server, short: Short, count: int) -> int:
    """Bytes that so many cycles add, after some to warm up; nothing is left open."""
    kept, short.kept = short.kept, None
    cycle(net, target, short, 200)
    fail(net, target, 50)
    short.kept = kept
    gc.collect()
    before = heap_bytes()
    cycle(net, target, short, count)
    fail(net, target, count // 4)
    net.until(lambda: not target.connections)
    gc.collect()
    return heap_bytes() - before


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_connections_that_come_and_go(net: Net, version: str) -> None:
    tls = server(minimum_version=version, maximum_version=version)
    target = net.server(Echo(), tls=tls)
    assert growth(net, target, Short(), CYCLES) < BOUND < CYCLES * BYTES_OF_A_SESSION // 6 + 1
    assert tls.context.session_stats()["number"] == 0


@pytest.mark.slow
def test_a_leak_would_be_seen(net: Net) -> None:
    """The same with a client that forgets to let go of a quarter of its sessions' objects."""
    short = Short()
    short.kept = []
    count = CYCLES // 4
    assert growth(net, net.server(Echo(), tls=server()), short, count) > BOUND
    assert len(short.kept) >= count * 3 // 4
    short.kept.clear()


def test_sessions_without_a_ticket_are_kept_by_openssl(net: Net) -> None:
    """TLS 1.2 alone, and clients that take no tickets: up to 20480 for each context."""
    tls = server(maximum_version="1.2")
    target = net.server(Recorder(), tls=tls)
    for option, kept in ((0, 0), (0x4000, 3)):  # SSL_OP_NO_TICKET
        context = client().context
        context.options |= option
        for _ in range(3):
            peer = secure_peer(net, target, context=context).secure()
            peer.say_goodbye()
            net.until(lambda: not target.connections)
        assert tls.context.session_stats()["number"] == kept
