"""Rates of one peer: what passes, what fails with 1008, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sockets import Net, Recorder, network, text
from wire import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, frame
from wsfast.limits import Limits
from wsfast.rates import RateLimits
from wsfast.rfc6455 import State


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def closed_with(reason: str) -> tuple[int, bytes]:
    return CLOSE, (1008).to_bytes(2, "big") + reason.encode()


class Granted:
    """What a rate allows from here on: the burst of one second, and what comes with the time."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.begun = time.monotonic()

    def allows(self, count: int) -> bool:
        """Whether so many are no more than that."""
        return self.rate <= count <= self.rate * (1 + time.monotonic() - self.begun)


@pytest.mark.parametrize("step", [0, 7])
def test_a_second_of_messages_may_come_at_once_and_no_more(net: Net, step: int) -> None:
    handler = Recorder()
    granted = Granted(5)
    peer, ws = net.open(handler, max_messages_per_second=5)
    peer.send(text("x") * 5)
    net.until(lambda: len(handler.messages) == 5)
    peer.send(text("x") * 200, step)
    net.until(lambda: peer.ended)
    reason = "more than 5 messages per second"
    assert peer.frames == [closed_with(reason)] and peer.error is None
    assert handler.closes == [(1008, reason)]
    assert granted.allows(len(handler.messages))
    assert ws.settings.stats["rate_limited"] == 1


def test_fragmented_messages_count_once_each(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler, max_messages_per_second=2)
    parts = text("a", fin=False) + frame(CONTINUATION, b"b", key=KEY, fin=False) * 5
    whole = parts + frame(CONTINUATION, b"c", key=KEY)
    peer.send(whole * 3)
    net.until(lambda: handler.closes)
    assert handler.messages == ["abbbbbc"] * 2
    assert handler.closes == [(1008, "more than 2 messages per second")]


def test_bytes_count_on_the_wire(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler, max_received_bytes_per_second=1000)
    peer.send(frame(BINARY, bytes(900), key=KEY))
    net.until(lambda: handler.messages)
    peer.send(frame(BINARY, bytes(50_000), key=KEY))
    net.until(lambda: peer.ended)
    assert peer.frames == [closed_with("more than 1000 bytes per second")]
    assert len(handler.messages) == 1


def test_pings_beyond_the_rate(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler, max_pings_per_second=3)
    peer.send(frame(PING, b"", key=KEY) * 10)
    net.until(lambda: peer.ended)
    assert [opcode for opcode, _ in peer.frames[:3]] == [PONG] * 3
    assert peer.frames[-1] == closed_with("more than 3 pings per second")
    assert len(handler.named("ping")) == 3
    assert len(handler.closes) == 1


def test_a_slow_rate_has_a_burst_of_one(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler, max_messages_per_second=0.01)
    peer.send(text("first"))
    net.until(lambda: handler.messages == ["first"])
    peer.send(text("second"))
    net.until(lambda: handler.closes)
    assert handler.closes == [(1008, "more than 0.01 messages per second")]


def test_who_keeps_to_the_rate_is_left_alone(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, max_messages_per_second=20)
    rounds: list[int] = []

    def talk() -> None:
        peer.send(text("x"))
        rounds.append(1)
        if len(rounds) < 24:
            net.loop.selector.call_later(0.06, talk)

    peer.send(text("burst") * 15)
    talk()
    net.until(lambda: len(handler.messages) == 39 or handler.closes)
    assert not handler.closes and ws.ready_state is State.OPEN


def test_each_rate_has_its_own_bucket(net: Net) -> None:
    handler = Recorder(echo=True)
    peer, _ = net.open(handler, max_messages_per_second=3, max_pings_per_second=3)
    peer.send((text("x") + frame(PING, b"", key=KEY)) * 3)
    peer.expect(*[(TEXT, b"x"), (PONG, b"")] * 3)
    assert not handler.closes


def test_each_connection_has_its_own(net: Net) -> None:
    handler = Recorder()
    server = net.server(handler, max_messages_per_second=3)
    for _ in range(4):
        net.peer(server).upgrade().send(text("x") * 3)
    net.until(lambda: len(handler.messages) == 12)
    assert not handler.closes


def test_who_is_not_read_from_may_send_on(net: Net) -> None:
    """What waited in the kernel comes in one piece: it was sent at the rate all the same."""
    handler = Recorder()
    peer, ws = net.open(handler, max_messages_per_second=20, max_pings_per_second=20)
    peer.send(text("x") * 15)
    net.until(lambda: len(handler.messages) == 15)
    ws.pause_reading()
    rounds: list[int] = []

    def talk() -> None:
        peer.send(text("x") + frame(PING, b"", key=KEY))
        rounds.append(1)
        if len(rounds) < 40:
            net.loop.selector.call_later(0.06, talk)

    talk()
    net.until(lambda: len(rounds) == 40)
    assert len(handler.messages) == 15
    ws.resume_reading()
    net.until(lambda: len(handler.messages) == 55 or handler.closes)
    assert not handler.closes


def test_a_pause_allows_no_more_than_its_time(net: Net) -> None:
    handler = Recorder()
    granted = Granted(20)
    peer, ws = net.open(handler, max_messages_per_second=20)
    ws.pause_reading()
    peer.send(text("x") * 2000)
    ticks: list[int] = []
    net.loop.selector.call_later(0.3, ticks.append, 1)
    net.until(lambda: ticks)
    ws.resume_reading()
    net.until(lambda: handler.closes)
    assert handler.closes == [(1008, "more than 20 messages per second")]
    assert len(handler.messages) > 20 and granted.allows(len(handler.messages))


def test_the_time_before_a_pause_allows_no_more_than_a_second(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, max_messages_per_second=50)
    ticks: list[int] = []
    net.loop.selector.call_later(1.5, ticks.append, 1)
    net.until(lambda: ticks)
    granted = Granted(50)
    ws.pause_reading()
    ws.resume_reading()
    peer.send(text("x") * 5000)
    net.until(lambda: handler.closes)
    assert granted.allows(len(handler.messages))


def test_buckets_stand_only_where_a_limit_is_set(net: Net) -> None:
    _, without = net.open(Recorder())
    _, with_one = net.open(Recorder(), max_pings_per_second=1)
    assert with_one.memory() - without.memory() == 32


def test_limits_without_rates_make_none() -> None:
    assert RateLimits.of(Limits()) is None
    assert RateLimits.of(Limits(max_messages_per_second=1)) is not None
    assert RateLimits.of(Limits(max_received_bytes_per_second=1)) is not None
    assert RateLimits.of(Limits(max_pings_per_second=0.1)) is not None
