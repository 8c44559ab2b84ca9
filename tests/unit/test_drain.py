"""The drain: told at a pace, answered or cut at a limit, and never refused half way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

import certificates
import wsfast.drain
from sockets import Net, Peer, Recorder, goodbye, network, request_head
from wire import CLOSE
from wsfast.drain import Drain
from wsfast.loop import Loop
from wsfast.selector import EpollSelector
from wsfast.server import Server
from wsfast.wheel import TICK_SECONDS

GOING_AWAY = (CLOSE, b"\x03\xe9server shutdown")


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def connected(net: Net, count: int, **options: Any) -> tuple[Server, list[Peer]]:
    """A server with so many open connections."""
    server = net.server(Recorder(), **options)
    return server, [net.peer(server).upgrade() for _ in range(count)]


def answer(peers: list[Peer]) -> None:
    """Answer the Close of every peer that got one, once."""
    for peer in peers:
        if len(peer.frames) == 1:
            peer.send(goodbye(1001))
            peer.received += b"\x8a\x00"  # from now on two frames: answered


def told(peers: list[Peer]) -> int:
    return sum(bool(peer.frames) for peer in peers)


# --- at once -------------------------------------------------------------------------------------


def test_all_are_told_and_on_done_comes_in_a_turn(net: Net) -> None:
    server, peers = connected(net, 5, closing_seconds=60)
    done: list[Drain] = []
    drain = server.drain(on_done=done.append)
    assert server.draining and drain.connections == 5 and server.addresses == []
    net.until(lambda: told(peers) == 5)
    assert {peer.frames[0] for peer in peers} == {GOING_AWAY}
    assert not done and server.draining
    answer(peers)
    net.until(lambda: done)
    assert done == [drain] and drain.done and drain.cut == 0
    assert not server.draining and not server.connections


def figures(server: Server) -> tuple[int, ...]:
    stats = server.stats()
    return tuple(stats[name] for name in ("connections", "listening", "draining"))


def test_the_figures_say_so(net: Net) -> None:
    server, peers = connected(net, 2)
    assert figures(server) == (2, 1, 0)
    assert server.stats()["accepted"] == server.stats()["opened"] == 2
    server.drain()
    assert figures(server) == (2, 0, 1)
    for peer in peers:
        peer.close()
    net.until(lambda: not server.draining)
    assert figures(server) == (0, 0, 0)
    assert server.stats()["closed"] == 2


def test_code_and_reason(net: Net) -> None:
    server, [peer] = connected(net, 1)
    server.drain(close_code=1012, close_reason="back soon")
    net.until(lambda: peer.frames)
    assert peer.frames == [(CLOSE, b"\x03\xf4back soon")]


def test_whoever_asks_is_told_when_it_is_done(net: Net) -> None:
    server, [peer] = connected(net, 1, closing_seconds=60)
    done: list[Drain] = []
    drain = server.drain(on_done=done.append)
    assert server.drain_once(1012) is drain, "as it was begun"
    drain.when_done(done.append)
    net.until(lambda: peer.frames)
    assert peer.frames == [GOING_AWAY] and not done
    peer.close()
    net.until(lambda: not server.draining)
    assert done == [drain] * 2
    drain.when_done(done.append)
    assert done == [drain] * 3, "it is over: at once"
    assert server.drain_once() is not drain


def test_without_connections_it_is_over_with_the_next_turn(net: Net) -> None:
    server = net.server(Recorder())
    done: list[Drain] = []
    drain = server.drain(on_done=done.append)
    assert not done, "never inside the call"
    net.until(lambda: done)
    assert drain.connections == 0


def test_the_blocking_form_waits_for_no_timer(net: Net) -> None:
    """Servers without connections: a tick of the timer for each would be 60 ms."""
    taken = []
    for _ in range(20):
        server = net.server(Recorder())
        begun = time.monotonic()
        server.close()
        taken.append(time.monotonic() - begun)
    assert sorted(taken)[5] < TICK_SECONDS / 2, taken


def test_a_second_drain_is_refused_and_the_blocking_close_joins(net: Net) -> None:
    server, [peer] = connected(net, 1, closing_seconds=0.1)
    server.drain(close_code=1012)
    with pytest.raises(RuntimeError, match="draining already"):
        server.drain()
    server.close()
    assert peer.frames[0][1][:2] == b"\x03\xf4", "as it was begun"
    server.drain()  # and after it is over nothing is in the way


@pytest.mark.parametrize("host", ["asyncio", "guest", "uvloop"])
def test_in_other_loops_it_goes_on_by_itself(host: str) -> None:
    """Inside asyncio's own select(), and as a guest that a loop polls."""
    selector = EpollSelector()
    server = Server(Recorder(), "127.0.0.1", 0, loop=Loop(selector))
    if host == "asyncio":
        loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop(selector)
    else:
        loop = asyncio.new_event_loop()
        if host == "uvloop":
            loop.close()
            uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")
            loop = uvloop.new_event_loop()
        loop.add_reader(selector.fileno(), selector.select, 0)

    async def main() -> list[bytes]:
        done = loop.create_future()
        streams = [await asyncio.open_connection(*server.addresses[0]) for _ in range(6)]
        for reader, writer in streams:
            writer.write(request_head())
            await reader.readuntil(b"\r\n\r\n")
        server.drain(connections_per_second=100, on_done=done.set_result)
        said = []
        for reader, writer in streams:
            said.append(await reader.readexactly(2 + len(GOING_AWAY[1])))
            writer.write(goodbye(1001))
            assert await reader.read() == b""
            writer.close()
        drain = await asyncio.wait_for(done, 10)
        assert drain.connections == 6 and drain.cut == 0
        return said

    try:
        frames = loop.run_until_complete(asyncio.wait_for(main(), 20))
    finally:
        loop.close()
        selector.close()
    assert {frame[2:] for frame in frames} == {GOING_AWAY[1]}


# --- at a pace -----------------------------------------------------------------------------------


def test_the_pace(net: Net) -> None:
    """20 at 40 a second take half a second, give or take the jitter and the wheel's ticks.

    A machine that stalls can only make it longer; in no turn are more told than are due.
    """
    server, peers = connected(net, 20)
    begun = time.monotonic()
    server.drain(connections_per_second=40, jitter=0.5)
    net.settle()
    assert told(peers) >= 1, "the first at once"

    def step() -> bool:
        answer(peers)
        late = time.monotonic() - begun
        assert told(peers) <= 1 + late * 40 * 2, "twice the pace at most, by the jitter"
        return told(peers) == 20

    net.until(step)
    assert time.monotonic() - begun > 0.25


def test_they_are_told_in_no_order_that_a_client_knows(net: Net) -> None:
    firsts = set()
    for _ in range(7):
        handler = Recorder()
        server = net.server(handler)
        peers = [net.peer(server).upgrade() for _ in range(24)]
        server.drain(connections_per_second=0.001)
        net.until(lambda peers=peers: told(peers))
        [first] = [number for number, peer in enumerate(peers) if peer.frames]
        firsts.add(first)
        server.end_now()
        net.until(lambda server=server: not server.connections)
    assert len(firsts) > 1, "or chance has it so, once in 190 million times"


def test_one_that_leaves_by_itself_is_not_told(net: Net) -> None:
    server, peers = connected(net, 3)
    drain = server.drain(connections_per_second=0.001)
    net.until(lambda: told(peers) == 1)
    for peer in peers:
        peer.close()
    net.until(lambda: drain.done)
    assert drain.cut == 0


# --- opening handshakes --------------------------------------------------------------------------


def test_an_opening_handshake_is_finished_and_then_closed(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsfast.drain, "_OPENING_SECONDS", 60.0)
    server = net.server(Recorder())
    peer = net.peer(server)
    head = request_head()
    peer.send(head[:20])
    net.until(lambda: server.connections == 1)
    server.drain()
    peer.send(head[20:])
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    net.until(lambda: peer.frames)
    assert peer.frames == [GOING_AWAY]


def test_one_that_takes_too_long_gets_503(net: Net) -> None:
    server = net.server(Recorder())
    peer = net.peer(server)
    peer.send(request_head()[:-4])
    net.until(lambda: server.connections == 1)
    drain = server.drain()
    head = peer.take_head()
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 5\r\n" in head
    net.until(lambda: peer.ended)
    peer.close()
    net.until(lambda: drain.done)
    assert peer.error is None and drain.cut == 0


# --- the limit -----------------------------------------------------------------------------------


def test_peers_that_never_answer_are_cut_at_the_limit(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    """The closing deadline is longer; those who had no turn yet are told before they are cut."""
    handler = Recorder()
    server = net.server(handler, closing_seconds=60)
    peers = [net.peer(server).upgrade() for _ in range(8)]
    half = net.peer(server)
    half.send(b"GET / HTTP/1.1\r\n")
    net.until(lambda: server.connections == 9)
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING, "wsfast"):
        drain = server.drain(connections_per_second=1, limit_seconds=0.3)
        net.until(lambda: drain.done)
    assert 0.3 <= time.monotonic() - begun < 30, "long before the closing deadline"
    assert drain.cut == 9 and "9 of 9 connections are cut" in caplog.text
    net.until(lambda: all(peer.ended for peer in [*peers, half]))
    assert {peer.frames[0] for peer in peers} == {GOING_AWAY}
    assert half.received.startswith(b"HTTP/1.1 503 ")
    assert handler.closes == [(1006, "")] * 8


def test_end_now_cuts_what_is_left(net: Net) -> None:
    server, peers = connected(net, 4, closing_seconds=60)
    server.end_now()
    net.settle()
    assert server.connections == 4, "without a drain nothing happens"
    drain = server.drain()
    drain.end_now()
    net.until(lambda: drain.done)
    assert drain.cut == 4
    drain.end_now()
    net.until(lambda: all(peer.ended for peer in peers))


def test_a_blocked_peer_is_cut_as_well(net: Net) -> None:
    handler = Recorder()
    server = net.server(handler, closing_seconds=60, max_queue_bytes=64 << 20)
    peer = net.peer(server, reading=False)
    peer.send(request_head())
    net.until(lambda: handler.endpoints)
    handler.endpoints[0].send(bytes(32 << 20))
    net.settle()
    drain = server.drain(limit_seconds=0.2)
    net.until(lambda: drain.done)
    assert handler.closes == [(1006, "")]


def test_a_tls_handshake_that_hangs_is_broken_off(net: Net) -> None:
    """Nothing can be said to it: neither after a second nor at the limit."""
    for options in ({}, {"limit_seconds": 0.1}):
        handler = Recorder()
        server = net.server(handler, tls=certificates.server())
        peers = [net.peer(server), certificates.secure_peer(net, server).secure()]
        net.until(lambda server=server: server.connections == 2)
        drain = server.drain(**options)
        net.until(lambda drain=drain: drain.done)
        net.until(lambda peers=peers: all(peer.ended for peer in peers))
        assert not peers[0].received
        assert peers[1].received.startswith(b"HTTP/1.1 503 ")
        assert "refused before the TLS handshake was over" in str(handler.named("failed")[0][1])


# --- misuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"close_code": 1005}, "close_code 1005 must not be sent"),
        ({"close_reason": "é" * 62}, "exceeds 123 bytes"),
        ({"connections_per_second": 0}, "connections_per_second is 0, not above 0"),
        ({"connections_per_second": float("inf")}, "connections_per_second is inf"),
        ({"jitter": 1.5}, "jitter is 1.5, not in 0..1"),
        ({"limit_seconds": -1}, "limit_seconds is -1"),
        ({"limit_seconds": float("nan")}, "limit_seconds is nan"),
    ],
)
def test_options_that_are_none_raise_and_change_nothing(
    net: Net, options: dict[str, Any], message: str
) -> None:
    server, [peer] = connected(net, 1)
    with pytest.raises(ValueError, match=message):
        server.drain(**options)
    net.settle()
    assert server.addresses and not server.draining and not peer.frames
