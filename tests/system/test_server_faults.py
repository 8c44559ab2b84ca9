"""Faults of handlers and of crowds: raising, closing and blocking anywhere; half handshakes."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hosted import ASYNC_HOSTINGS, hosted
from sockets import (
    CYCLES,
    MORE_THAN_THE_KERNEL_TAKES,
    SANITIZED,
    SECONDS,
    Net,
    Recorder,
    goodbye,
    network,
    request_head,
    resident_bytes,
    text,
)
from wire import BINARY, KEY, PING, PONG, TEXT, frame
from wsfast.app import App
from wsfast.endpoint import Endpoint
from wsfast.handshake import Refusal, Request
from wsfast.logs import AccessLog, JsonFormatter
from wsfast.server import Server

EVENTS = ("open", "message", "ping", "pong", "drain", "close")


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Oops(Exception):
    pass


def fail(*args: Any) -> None:
    raise Oops


def provoke(net: Net, handler: Recorder, event: str) -> Any:
    """Have one kind of callback called, on a route of an app; returns the peer."""
    app = App(origins="any")
    app.websocket("/{room}")(handler)
    reading = event != "drain"
    peer = net.peer(net.server(app, closing_seconds=0.5), reading=reading)
    early = {
        "message": text("m") + text("n"),
        "ping": frame(PING, b"p", key=KEY) + text("n"),
        "pong": frame(PONG, b"p", key=KEY) + text("n"),
        "close": goodbye(1000),
    }
    peer.send(request_head(target="/r") + early.get(event, b""))
    if event == "drain":
        net.until(lambda: handler.endpoints)
        handler.endpoints[0].send(bytes(MORE_THAN_THE_KERNEL_TAKES)[: 12 << 20])
        peer.read()
    return peer


@pytest.mark.parametrize("event", EVENTS)
def test_raising_in_every_callback(net: Net, event: str, caplog: pytest.LogCaptureFixture) -> None:
    handler = Recorder(**{event: fail})
    peer = provoke(net, handler, event)
    net.until(lambda: peer.ended and handler.closes, 30)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [Oops]
    assert handler.names().count("close") == 1
    if event != "close":
        assert handler.closes == [(1011, "internal error")]
    peer.close()
    net.until(lambda: not net.servers[0].connections)
    caplog.clear()


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("how", ["close", "disconnect", "both"])
def test_closing_in_every_callback(net: Net, event: str, how: str) -> None:
    def leave(ws: Endpoint, *details: Any) -> None:
        if how != "disconnect":
            ws.close(4000, "here")
        if how != "close":
            ws.disconnect()
        assert ws.send("too late") is False

    handler = Recorder(**{event: leave})
    peer = provoke(net, handler, event)
    net.until(lambda: handler.closes, 30)
    peer.send(goodbye(4000)) if how == "close" else None
    net.until(lambda: peer.ended or peer.error, 30)
    assert handler.names().count("close") == 1
    assert handler.names()[-1] == "close"
    net.until(lambda: not net.servers[0].connections)


@pytest.mark.parametrize("event", ["open", "message", "ping", "close"])
def test_blocking_in_a_callback_loses_nobody(net: Net, event: str) -> None:
    """While a handler blocks nobody is served; afterwards everybody is, deadlines included."""

    def block(ws: Endpoint, *details: Any) -> None:
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            os.sched_yield()

    handler = Recorder(echo=True, **{event: block})
    other = Recorder(echo=True)
    app = App(origins="any")
    app.websocket("/other")(other)
    app.websocket("/blocking")(handler)
    server = net.server(app, opening_seconds=0.2)
    others = [net.peer(server) for _ in range(20)]
    for peer in others:
        peer.send(request_head(target="/other"))  # it is there when its deadline begins
    for peer in others:
        peer.take_head()
    half = net.peer(server)
    half.send(b"GET ")
    blocking = net.peer(server)
    early = {"close": goodbye(), "ping": frame(PING, key=KEY)}.get(event, text("x"))
    for peer in others:
        peer.send(text("x"))
    blocking.send(request_head(target="/blocking") + early)
    for peer in others:
        peer.expect((TEXT, b"x"))
    net.until(lambda: event in handler.names() and half.ended)


def test_raising_inside_on_upgrade_of_many(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    app = App(origins="any", on_upgrade=fail)
    app.websocket("/")(Recorder())
    server = net.server(app)
    peers = [net.peer(server) for _ in range(50)]
    for peer in peers:
        peer.send(request_head() + text("early"))
    for peer in peers:
        assert peer.take_head().startswith(b"HTTP/1.1 500 ")
    assert len(caplog.records) == 50
    caplog.clear()


# --- crowds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request_head()[:-2]])
def test_2000_half_handshakes_are_cut_while_others_are_served(net: Net, sent: bytes) -> None:
    app = App(origins="any")
    app.websocket("/")(Recorder(echo=True))
    server = net.server(app, opening_seconds=1.0)
    served = net.peer(server).upgrade()
    started = time.monotonic()
    halves = [half_handshake(server.addresses[0], sent) for _ in range(2000)]
    try:
        echoes = 0
        while server.connections > 1 or server.stats()["accepted"] <= 2000:
            served.send(text("x"))
            net.until(lambda: served.frames)
            served.received.clear()
            echoes += 1
            assert time.monotonic() - started < 30
        assert echoes > 10, "it was served on, while they were accepted at the least"
        assert {end_of(each) for each in halves} == {b""}
    finally:
        for each in halves:
            each.close()


def half_handshake(address: Any, sent: bytes) -> socket.socket:
    connected = socket.create_connection(address)
    connected.sendall(sent)
    return connected


def end_of(connected: socket.socket) -> bytes:
    connected.settimeout(SECONDS)
    with contextlib.suppress(ConnectionResetError):  # cut before what it sent was read
        return connected.recv(100)
    return b""


def cycle(net: Net, server: Any, count: int) -> None:
    """Connect, upgrade, say something and leave in one of four ways, count times."""
    address = server.addresses[0]
    head, hello = request_head(target="/chat/room"), text("hello")
    for number in range(count):
        connected = socket.create_connection(address)
        net.loop.selector.select(0)
        connected.send(head + hello)
        net.loop.selector.select(0)
        if number % 4 == 1:
            connected.send(goodbye())
            net.loop.selector.select(0)
        if number % 4 == 2:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connected.close()
        net.loop.selector.select(0)


def flat(net: Net, server: Any, count: int) -> None:
    """The same number of cycles twice: what the second one adds is next to nothing."""
    cycle(net, server, count // 4)
    net.until(lambda: not server.connections)
    gc.collect()
    before = resident_bytes()
    cycle(net, server, count)
    net.until(lambda: not server.connections)
    gc.collect()
    assert SANITIZED or resident_bytes() - before < max(512 * 1024, 2 * count)


class Counting:
    """A handler that uses what a connection has; counts which of its callbacks came how often."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def on_upgrade(self, request: Request) -> None:
        self.counts["upgrade"] += 1
        request.headers.append(("x-seen", "by on_upgrade"))

    def on_open(self, ws: Endpoint) -> None:
        self.counts["open"] += 1
        ws.state = [ws.path_params]

    def on_message(self, ws: Endpoint, message: str) -> None:
        ws.send(message + ws.request.path)

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        self.counts["close"] += 1


def served(net: Net, form: str, handler: Counting, log: AccessLog) -> Server:
    """The handler by itself; or on a route of an app, with on_upgrade and an access log."""
    if form == "handler":
        return net.server(handler)
    app = App(origins="any")
    app.websocket("/chat/{room}")(handler)
    app.websocket("/")(Recorder())
    return net.server(app, tracers=[log])


class Formatting(logging.Handler):
    """Writes nothing, so that nothing is kept: pytest's own handlers keep every record."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.counts = counts

    def emit(self, record: logging.LogRecord) -> None:
        assert self.format(record)
        self.counts["logged"] += 1


@contextlib.contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    """The access log is on, and goes to this handler alone."""
    log = logging.getLogger("wsfast.access")
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    yield
    log.removeHandler(handler)
    log.setLevel(before[0])
    log.propagate = before[1]


@pytest.mark.skipif(SANITIZED, reason="memory is not given back at once")
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc/self/statm")
@pytest.mark.parametrize("form", ["handler", "app"])
@pytest.mark.cycles
@pytest.mark.slow
def test_connect_and_close_with_flat_memory(net: Net, form: str) -> None:
    handler, log = Counting(), AccessLog()
    with logging_to(Formatting(handler.counts)):
        flat(net, served(net, form, handler, log), CYCLES)
    counts = handler.counts
    assert counts["open"] == counts["close"] > CYCLES * 0.9
    assert counts["upgrade"] >= counts["open"]
    assert (counts["logged"] >= 2 * counts["open"]) is (form == "app")
    assert not log._begun and not log._open


def test_refusals_with_flat_memory(net: Net) -> None:
    app = App(origins=["https://a.example"], on_upgrade=lambda request: Refusal(401))
    app.websocket("/chat/{room}")(Recorder())
    flat(net, net.server(app), 2000)


# --- asyncio -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hosting", ASYNC_HOSTINGS)
@pytest.mark.parametrize("event", ["open", "message", "close"])
@pytest.mark.parametrize("act", ["raise", "close", "disconnect"])
def test_coroutines_that_raise_or_close(
    hosting: str, event: str, act: str, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    def acting(name: str) -> Callable[..., Any]:
        async def callback(self: Any, ws: Endpoint, *details: Any) -> None:
            log.append(name)
            if name == event and act == "raise":
                raise Oops
            if name == event:
                ws.close(4000) if act == "close" else ws.disconnect()

        return callback

    handler = type("Handler", (), {f"on_{name}": acting(name) for name in EVENTS})()
    with hosted(hosting, handler) as serving:
        wire = serving.connect().upgrade(early=text("m") + frame(BINARY, b"n", key=KEY))
        wire.socket.shutdown(socket.SHUT_WR)
        wire.rest()
        wire.leave()
        serving.wait(lambda: "close" in log and not serving.server.connections)
        serving.wait(lambda: not serving._serving.tasks)
    assert log.count("close") == 1 and log[-1] == "close" and log[0] == "open"
    assert len(caplog.records) == (act == "raise")
    caplog.clear()
