"""Heartbeats, and what ends a connection because of time, over real sockets."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sockets import (
    MORE_THAN_THE_KERNEL_TAKES,
    SECONDS,
    Net,
    Peer,
    Recorder,
    goodbye,
    network,
    text,
)
from wire import BINARY, CLOSE, KEY, PING, PONG, TEXT, frame
from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.limits import Limits
from wsfast.rfc6455 import State
from wsfast.wheel import TICK_SECONDS

#: As often as the wheel can.
OFTEN: dict[str, Any] = {"ping_interval_seconds": 0.06, "ping_jitter": 0}
TIMEOUT = (1011).to_bytes(2, "big") + b"keepalive ping timeout"


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def pings(peer: Peer) -> list[bytes]:
    return [payload for opcode, payload in peer.frames if opcode == PING]


def answer(peer: Peer, ping: bytes) -> None:
    peer.send(frame(PONG, ping, key=KEY))


def longest_pause(moments: list[float]) -> float:
    """Seconds between two of them: on a busy machine the loop may stand still for a while."""
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


# --- heartbeats --------------------------------------------------------------------------------


def test_a_silent_peer_is_pinged_and_lives_if_it_answers(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, dead_after_seconds=SECONDS, **OFTEN)
    assert ws.round_trip_seconds is None
    for n in range(4):
        net.until(lambda n=n: len(pings(peer)) > n)
        answer(peer, pings(peer)[-1])
    net.until(lambda: ws.round_trip_seconds)
    assert 0 < ws.round_trip_seconds < SECONDS
    assert len(set(pings(peer))) == len(pings(peer)), "each is another"
    assert ws.ready_state is State.OPEN
    assert handler.names() == ["open"], "pongs of heartbeats are not the handler's"
    assert ws.settings.stats["pings_sent"] == len(pings(peer))


def test_a_dead_peer_gets_a_last_close_and_on_close_1006(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, dead_after_seconds=0.1, **OFTEN)
    net.until(lambda: handler.closes)
    assert handler.closes == [(1006, "keepalive ping timeout")]
    assert ws.fd < 0 and ws.ready_state is State.CLOSED
    net.until(lambda: peer.ended)
    assert peer.error is None
    assert [opcode for opcode, _ in peer.frames] == [PING, CLOSE]
    assert peer.frames[-1] == (CLOSE, TIMEOUT)
    assert ws.settings.stats["dead_peers"] == ws.settings.stats["closed"] == 1


def test_on_close_of_a_dead_peer_may_do_anything(net: Net) -> None:
    results = []

    def ended(ws: Endpoint, close_code: int, close_reason: str) -> None:
        results.extend([ws.send("x"), ws.ping(), ws.close(), ws.disconnect()])

    handler = Recorder(close=ended)
    net.open(handler, dead_after_seconds=0.1, **OFTEN)
    net.until(lambda: handler.closes)
    assert results == [False, False, None, None]
    assert len(handler.closes) == 1


@pytest.mark.parametrize(
    "life",
    [text("x"), frame(PING, b"", key=KEY), frame(PONG, b"", key=KEY), text("half of it")[:1]],
    ids=["message", "ping", "pong", "part"],
)
def test_any_bytes_are_a_sign_of_life(net: Net, life: bytes) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, dead_after_seconds=SECONDS, **OFTEN)
    net.until(lambda: pings(peer))
    peer.send(life)
    net.until(lambda: len(pings(peer)) == 2)
    assert ws.ready_state is State.OPEN
    assert ws.round_trip_seconds is None


def test_no_ping_while_the_peer_talks(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, ping_interval_seconds=1, ping_jitter=0)
    said: list[float] = []

    def talk() -> None:
        peer.send(text("x"))
        said.append(time.monotonic())
        net.loop.selector.call_later(0.06, talk)

    talk()
    net.until(lambda: len(said) > 25)
    # A second in which none is read lasts no longer than two of the pauses between them.
    assert longest_pause(said) >= 0.5 or ws.settings.stats["pings_sent"] == len(pings(peer)) == 0


def test_pings_and_pongs_of_the_application_stay_its_own(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, **OFTEN)
    ws.ping(b"mine")
    net.until(lambda: len(pings(peer)) == 2)
    for ping in pings(peer):
        answer(peer, ping)
    answer(peer, b"unasked")
    net.until(lambda: len(handler.named("pong")) == 2)
    assert handler.named("pong") == [("pong", b"mine"), ("pong", b"unasked")]
    assert ws.round_trip_seconds


def test_a_pong_behind_a_slow_message_does_not_end_the_watch(net: Net) -> None:
    """The next ping is overdue when the pong is seen: it was read at the beginning of the turn."""

    class Slow(Recorder):
        def on_message(self, ws: Any, message: Any) -> None:
            time.sleep(0.4)

    handler = Slow()
    options = {"ping_interval_seconds": 0.2, "ping_jitter": 0}
    peer, ws = net.open(handler, dead_after_seconds=SECONDS, **options)
    net.until(lambda: pings(peer))
    peer.send(text("work") + frame(PONG, pings(peer)[-1], key=KEY))
    seen = len(pings(peer))
    net.until(lambda: len(pings(peer)) > seen)
    assert ws.ready_state is State.OPEN


@pytest.mark.parametrize(
    ("ends", "life"),
    [("dead_after_seconds", frame(PONG, b"", key=KEY)), ("idle_seconds", text("here"))],
)
def test_what_comes_while_another_callback_runs_is_a_sign_of_life(
    net: Net, ends: str, life: bytes
) -> None:
    """When the time is looked at, behind the callbacks of a turn, it waits to be read."""

    def work(ws: Endpoint, message: str) -> None:
        if message == "work":
            peer.send(life)
            time.sleep(1.1)

    handler = Recorder(message=work)
    begun = time.monotonic()
    server = net.server(handler, **{**OFTEN, ends: 1})
    peer, busy = net.peer(server).upgrade(), net.peer(server).upgrade()
    net.until(lambda: pings(peer))
    ws, _ = handler.endpoints
    busy.send(text("work"))
    while time.monotonic() < ws.deadline * TICK_SECONDS:
        pass  # in one turn the callback runs and the time is looked at
    net.until(lambda: handler.messages)
    if time.monotonic() - begun >= 1.1 + 1:
        pytest.skip("the machine paused, and its time was over before the turn began")
    assert ws.ready_state is State.OPEN


def test_pongs_do_not_put_off_the_idle_close(net: Net) -> None:
    """One may come when the time is over, and the tick that closes is yet to come."""
    handler = Recorder()
    options = {"ping_interval_seconds": 0.2, "ping_jitter": 0, "idle_seconds": 0.53}
    peer, ws = net.open(handler, dead_after_seconds=SECONDS, **options)

    def ended_or_answered() -> bool:
        if pings(peer) and not ws.settings.stats["idle_closed"]:
            answer(peer, pings(peer)[-1])
        return bool(ws.settings.stats["idle_closed"])

    net.until(ended_or_answered)
    net.until(lambda: peer.frames[-1] == (CLOSE, (1000).to_bytes(2, "big") + b"idle"))


@pytest.mark.parametrize("off", [0, None])
def test_heartbeats_can_be_off(net: Net, off: Any) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, ping_interval_seconds=off)
    assert ws.deadline == 0, "nothing is due, ever"
    peer.send(text("x"))
    net.until(lambda: handler.messages)
    assert ws.deadline == 0


@pytest.mark.parametrize("off", [0, None])
def test_death_can_be_off(net: Net, off: Any) -> None:
    peer, ws = net.open(Recorder(), dead_after_seconds=off, **OFTEN)
    net.until(lambda: len(pings(peer)) >= 4)
    assert ws.ready_state is State.OPEN


def test_a_client_pings_as_well(net: Net) -> None:
    handler, client = Recorder(), Recorder()
    server = net.server(handler, ping_interval_seconds=None)
    ws = net.client(server, client, **OFTEN)
    net.until(lambda: ws.round_trip_seconds)
    assert len(handler.named("ping")) >= 1
    assert server.stats()["pings_sent"] == 0
    assert client.names() == ["open"]


def test_a_client_gives_up_a_dead_server(net: Net) -> None:
    listening, url = net.listen()
    client = Recorder()
    limits = Limits(dead_after_seconds=0.1, **OFTEN)
    ws = connect(url, client, loop=net.loop, limits=limits)
    net.accept(listening)
    net.until(lambda: client.closes)
    assert client.closes == [(1006, "keepalive ping timeout")]
    assert ws.fd < 0


def test_a_peer_that_reads_nothing_and_says_nothing_is_dead(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, dead_after_seconds=0.1, **OFTEN)
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.until(lambda: handler.closes)
    assert handler.closes == [(1006, "keepalive ping timeout")]


def test_a_slow_reader_that_is_paused_lives_while_it_reads(net: Net) -> None:
    """Above high water we do not read from it, so what it acknowledges counts."""
    handler = Recorder()
    peer, ws = net.open(handler, dead_after_seconds=0.8, **OFTEN)
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    rounds: list[float] = []

    def read_some() -> None:
        for _ in range(64):
            with contextlib.suppress(BlockingIOError):
                peer.socket.recv(8192)
        rounds.append(time.monotonic())
        if len(rounds) < 20:
            net.loop.selector.call_later(0.06, read_some)

    read_some()
    net.until(lambda: len(rounds) == 20 or handler.closes)
    assert longest_pause([*rounds, time.monotonic()]) >= 0.4 or not handler.closes


def test_heartbeats_end_with_the_closing_handshake(net: Net) -> None:
    handler = Recorder(open=lambda ws: ws.close(1000, "bye"))
    peer, ws = net.open(handler, closing_seconds=0.3, dead_after_seconds=0.06, **OFTEN)
    net.until(lambda: handler.closes)
    assert handler.closes == [(1006, "")], "the closing deadline, not the ping's"
    assert not pings(peer)
    assert ws.settings.stats["dead_peers"] == 0


# --- idle, lifetime ------------------------------------------------------------------------------


def test_an_idle_connection_is_closed_with_1000(net: Net) -> None:
    handler = Recorder()
    turns = [time.monotonic()]
    peer, ws = net.open(handler, idle_seconds=1, **OFTEN)
    answered = 0

    def keep_alive() -> bool:
        nonlocal answered
        turns.append(time.monotonic())
        while answered < len(pings(peer)):
            answer(peer, pings(peer)[answered])
            answered += 1
        return any(opcode == CLOSE for opcode, _ in peer.frames)

    net.until(keep_alive)
    assert peer.frames[-1] == (CLOSE, (1000).to_bytes(2, "big") + b"idle")
    assert answered or longest_pause(turns) >= 0.5, "pings and pongs are no messages"
    peer.send(goodbye(1000))
    net.until(lambda: handler.closes)
    assert handler.closes == [(1000, "")]
    assert ws.settings.stats["idle_closed"] == 1


@pytest.mark.parametrize("talks", ["peer", "us"])
def test_messages_either_way_keep_it_from_being_idle(net: Net, talks: str) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, idle_seconds=1, ping_interval_seconds=None)
    rounds: list[float] = []

    def talk() -> None:
        rounds.append(time.monotonic())
        if talks == "us":
            ws.send("x")
        else:
            peer.send(text("x"))
        if len(rounds) < 20:
            net.loop.selector.call_later(0.06, talk)

    talk()
    net.until(lambda: len(rounds) == 20)
    assert longest_pause([*rounds, time.monotonic()]) >= 0.5 or ws.ready_state is State.OPEN
    net.until(lambda: ws.ready_state is not State.OPEN)
    assert ws.settings.stats["idle_closed"] == 1


def test_a_connection_that_is_too_old_is_closed_with_1001(net: Net) -> None:
    handler = Recorder(echo=True)
    peer, ws = net.open(handler, lifetime_seconds=0.2, lifetime_jitter=0.5)
    net.until(lambda: any(opcode == CLOSE for opcode, _ in peer.frames))
    assert peer.frames[-1] == (CLOSE, (1001).to_bytes(2, "big") + b"maximum lifetime")
    peer.send(goodbye(1001))
    net.until(lambda: handler.closes)
    assert handler.closes == [(1001, "")]
    assert ws.settings.stats["lifetime_closed"] == 1


def test_a_slow_reader_that_is_too_old_is_cut_at_the_closing_deadline(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(
        handler, lifetime_seconds=0.1, closing_seconds=0.1, ping_interval_seconds=None
    )
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.until(lambda: handler.closes)
    assert handler.closes == [(1006, "")]
    assert ws.settings.stats["lifetime_closed"] == 1


# --- counters ----------------------------------------------------------------------------------


def test_counters(net: Net) -> None:
    handler = Recorder(echo=True)
    peer, ws = net.open(handler)
    [server] = net.servers
    before = server.stats()
    peer.send(
        text("one") + text("tw", fin=False) + frame(0, b"o", key=KEY) + frame(PING, b"", key=KEY)
    )
    peer.expect((TEXT, b"one"), (TEXT, b"two"), (PONG, b""))
    ws.ping()
    stats = server.stats()
    assert stats is not before and all(type(value) is int for value in stats.values())
    assert stats["accepted"] == stats["opened"] == 1
    assert stats["messages_received"] == stats["messages_sent"] == 2
    assert stats["pings_sent"] == 1
    assert stats["bytes_received"] - before["bytes_received"] == 9 + 8 + 7 + 6
    assert stats["bytes_sent"] - before["bytes_sent"] == 5 + 5 + 2
    assert before["messages_received"] == 0 and before["bytes_received"] > 100
    peer.send(goodbye())
    net.until(lambda: handler.closes)
    net.peer(server).send(b"no request\r\n\r\n")
    net.until(lambda: server.stats()["refused"])
    net.peer(server).close()
    net.until(lambda: server.stats()["failed"])
    stats = server.stats()
    assert (stats["accepted"], stats["opened"], stats["closed"]) == (3, 1, 1)


def test_a_binary_message_that_is_large_counts_once(net: Net) -> None:
    peer, ws = net.open(Recorder(message=lambda ws, message: ws.send(bytes(200_000))))
    peer.send(text("more"))
    peer.expect((BINARY, bytes(200_000)))
    assert ws.settings.stats["messages_sent"] == 1
    assert ws.settings.stats["bytes_sent"] >= 200_010
