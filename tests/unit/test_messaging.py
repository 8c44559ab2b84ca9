"""What a handler may do with an open connection: fragments, memory, and sends to slow peers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from sockets import (
    MORE_THAN_THE_KERNEL_TAKES,
    SANITIZED,
    Net,
    Peer,
    Recorder,
    goodbye,
    network,
    request_head,
    resident_bytes,
    text,
)
from wire import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, frame
from wsfast.endpoint import Endpoint
from wsfast.errors import LocalProtocolError
from wsfast.messaging import Messaging
from wsfast.rfc6455 import State

SLOW_CLOSE = (CLOSE, (1013).to_bytes(2, "big") + b"slow consumer")


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def stuck(net: Net, handler: Recorder, **options: Any) -> tuple[Peer, Endpoint]:
    """A peer that does not read, and its endpoint, with the kernel's buffers full."""
    server = net.server(handler, **options)
    peer = net.peer(server, reading=False, receive_bytes=4096)
    peer.send(request_head())
    net.until(lambda: handler.endpoints)
    ws = handler.endpoints[0]
    filler = bytes(16384)
    while not ws.buffered_bytes:
        ws.send(filler)
        net.settle()
    return peer, ws


def told(peer: Peer) -> list[str]:
    """The text messages that arrived, without the filler."""
    return [payload.decode() for opcode, payload in peer.frames if opcode == TEXT]


def read_all(net: Net, peer: Peer, ws: Endpoint) -> None:
    """Let the peer read all that waits for it."""
    if not peer.reading:
        peer.read()
        peer.take_head()
    net.until(lambda: not ws.buffered_bytes, 30)
    ws.ping(b"the end")
    net.until(lambda: (PING, b"the end") in peer.frames, 30)
    net.settle()


# --- fragments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "frames"),
    [
        (["a", "b", "c"], [(TEXT, b"a"), (CONTINUATION, b"b"), (CONTINUATION, b"c")]),
        ([b"a", bytearray(b"b")], [(BINARY, b"a"), (CONTINUATION, b"b")]),
        (["one"], [(TEXT, b"one")]),
        ([], [(BINARY, b"")]),
        ([""], [(TEXT, b"")]),
        ("str", [(TEXT, b"s"), (CONTINUATION, b"t"), (CONTINUATION, b"r")]),
    ],
)
def test_each_part_is_a_frame(net: Net, parts: Any, frames: list[tuple[int, bytes]]) -> None:
    peer, ws = net.open(Recorder())
    assert ws.send_fragments(iter(parts)) is True
    ws.send("next")
    peer.expect(*frames, (TEXT, b"next"))
    fins = [byte for byte in peer.received if byte & 0xF0 == 0x80]
    assert len(fins) == 2


def test_fragments_arrive_as_one_message(net: Net) -> None:
    client = Recorder()
    handler = Recorder(open=lambda ws: ws.send_fragments(str(n) for n in range(1000)))
    net.client(net.server(handler), client)
    net.until(lambda: client.messages)
    assert client.messages == ["".join(str(n) for n in range(1000))]
    assert net.servers[0].stats()["messages_sent"] == 1


def test_control_frames_may_come_between(net: Net) -> None:
    peer, ws = net.open(Recorder())

    def parts() -> Iterable[bytes]:
        yield b"1"
        yield b"2"
        ws.ping(b"!")
        yield b"3"

    assert ws.send_fragments(parts())
    peer.expect((BINARY, b"1"), (PING, b"!"), (CONTINUATION, b"2"), (CONTINUATION, b"3"))


def test_another_message_may_not(net: Net) -> None:
    peer, ws = net.open(Recorder())

    def parts() -> Iterable[str]:
        yield "1"
        yield "2"
        with pytest.raises(LocalProtocolError, match="not finished"):
            ws.send("between")
        with pytest.raises(LocalProtocolError, match="not finished"):
            ws.send_fragments(["between"])
        yield "3"

    assert ws.send_fragments(parts())
    peer.expect((TEXT, b"1"), (CONTINUATION, b"2"), (CONTINUATION, b"3"))


def test_a_close_between_ends_it(net: Net) -> None:
    peer, ws = net.open(Recorder())

    def parts() -> Iterable[str]:
        yield "1"
        yield "2"
        ws.close(1000)
        yield "3"

    assert ws.send_fragments(parts()) is False
    net.until(lambda: len(peer.frames) == 2)
    assert [opcode for opcode, _ in peer.frames] == [TEXT, CLOSE]


def test_parts_that_raise_fail_what_was_begun(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)

    def parts() -> Iterable[str]:
        yield from ("1", "2", "3")
        raise KeyError("no more")

    with pytest.raises(KeyError):
        ws.send_fragments(parts())
    peer.expect_close(1011)
    assert handler.closes == [(1011, "internal error")]


@pytest.mark.parametrize("parts", [[1], [None], 5, [b"a", "b"], ["a", 1]])
def test_parts_that_are_none_raise(net: Net, parts: Any) -> None:
    peer, ws = net.open(Recorder())
    with pytest.raises(TypeError):
        ws.send_fragments(parts)
    begun = isinstance(parts, list) and len(parts) > 1
    assert ws.ready_state is (State.CLOSED if begun else State.OPEN)


def test_fragments_of_a_connection_that_ended_go_nowhere(net: Net) -> None:
    peer, ws = net.open(Recorder())
    ws.disconnect()
    assert ws.send_fragments(["x"]) is False


# --- memory --------------------------------------------------------------------------------------


def test_memory_of_an_idle_connection(net: Net) -> None:
    _, ws = net.open(Recorder())
    assert isinstance(ws, Messaging)
    assert 300 < ws.memory() < 1024


def test_memory_of_a_frame_that_is_cut_is_there_while_it_is(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    idle = ws.memory()
    message, ping = frame(BINARY, b"abc", key=KEY), frame(PING, bytes(125), key=KEY)
    for whole, cut in ((message, 1), (message, 5), (ping, 1), (ping, 130)):
        peer.send(whole[:cut])
        net.until(lambda: ws.memory() > idle)
        assert ws.memory() - idle < 256
        peer.send(whole[cut:])
        net.until(lambda: ws.memory() == idle)
    assert handler.messages == [b"abc"] * 2


def test_memory_counts_what_waits(net: Net) -> None:
    peer, ws = net.open(Recorder(), max_message_bytes=1 << 22)
    idle = ws.memory()
    peer.send(frame(BINARY, bytes(3_000_000), key=KEY)[:2_000_000])
    net.until(lambda: ws.memory() - idle > 1_999_000)
    assert ws.memory() - idle < 2_400_000
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert ws.memory() - idle > 1_999_000 + ws.buffered_bytes
    ws.disconnect()
    assert ws.memory() < 1024


# --- policies for slow consumers -----------------------------------------------------------------


def test_a_policy_of_no_name_is_refused(net: Net) -> None:
    with pytest.raises(ValueError, match="slow_consumer is 'drop', not one of"):
        net.server(Recorder(), slow_consumer="drop")


def test_wait_aborts_beyond_the_bound(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    handler = Recorder()
    peer, ws = stuck(net, handler, high_water_bytes=65536, low_water_bytes=0)
    sent = 0
    while ws.send(bytes(65536)):
        sent += 1
    assert 14 < sent < 20
    assert handler.closes == [(1006, "")] and ws.fd < 0
    assert ws.settings.stats["slow_closed"] == 1
    assert ws.settings.stats["dropped_messages"] == 0
    assert net.loop.buffered_bytes == 0


def test_close_says_1013(net: Net) -> None:
    handler = Recorder()
    peer, ws = stuck(net, handler, slow_consumer="close", closing_seconds=60)
    while ws.send(bytes(65536)):
        pass
    assert ws.ready_state is State.CLOSING and not handler.closes
    assert ws.settings.stats["slow_closed"] == 1
    peer.read()
    peer.take_head()
    net.until(lambda: peer.received.endswith(SLOW_CLOSE[1]) or handler.closes, 30)
    assert peer.frames[-1] == SLOW_CLOSE
    peer.send(goodbye(1013))
    net.until(lambda: handler.closes)
    assert handler.closes == [(1013, "")]


def test_close_cuts_who_does_not_read_even_then(net: Net) -> None:
    handler = Recorder()
    peer, ws = stuck(net, handler, slow_consumer="close", closing_seconds=0.1)
    while ws.send(bytes(65536)):
        pass
    net.until(lambda: handler.closes)
    assert handler.closes == [(1006, "")]
    assert net.loop.buffered_bytes == 0


def test_drop_oldest_keeps_the_newest_in_order(net: Net) -> None:
    handler = Recorder()
    peer, ws = stuck(net, handler, slow_consumer="drop-oldest", max_queue_bytes=300_000)
    for n in range(5000):
        assert ws.send(f"{n:06d}" + "x" * 494)
        assert ws.buffered_bytes < 302_000
    ws.ping(b"not dropped")
    read_all(net, peer, ws)
    numbers = [int(each[:6]) for each in told(peer)]
    assert numbers == list(range(5000 - len(numbers), 5000)), "the newest, all in order"
    assert 100 < len(numbers) < 600
    stats = ws.settings.stats
    assert stats["dropped_messages"] == 5000 - len(numbers)
    assert (PING, b"not dropped") in peer.frames
    assert not handler.closes and stats["slow_closed"] == 0
    assert ws.send("and on") and net.loop.buffered_bytes == 0


def test_drop_oldest_drops_nothing_of_who_reads(net: Net) -> None:
    handler, client = Recorder(), Recorder()
    server = net.server(handler, slow_consumer="drop-oldest")
    net.client(server, client)
    net.until(lambda: handler.endpoints)
    for n in range(3000):
        handler.endpoints[0].send(str(n))
        if n % 100 == 0:
            net.settle()
    net.until(lambda: len(client.messages) == 3000)
    assert client.messages == [str(n) for n in range(3000)]
    assert server.stats()["dropped_messages"] == 0


def test_one_message_beyond_the_bound_is_not_dropped(net: Net) -> None:
    peer, ws = stuck(net, Recorder(), slow_consumer="drop-oldest", max_queue_bytes=300_000)
    for _ in range(3):
        assert ws.send(b"y" * 1_000_000)
    read_all(net, peer, ws)
    sizes = [len(payload) for opcode, payload in peer.frames if payload[:1] == b"y"]
    assert sizes == [1_000_000]
    assert ws.settings.stats["dropped_messages"] == 2


def test_newest_per_key_keeps_one_of_each_in_the_order_of_sending(net: Net) -> None:
    peer, ws = stuck(net, Recorder(), slow_consumer="newest-per-key")
    for n in range(10_000):
        assert ws.send(f"{n % 7}={n}", key=n % 7)
    assert ws.send("no key") and ws.send("no key either")
    assert ws.send("3=last", key=3)
    assert ws.buffered_bytes < 300_000
    read_all(net, peer, ws)
    last = [f"{n % 7}={n}" for n in range(9993, 10_000) if n % 7 != 3]
    assert told(peer) == [*last, "no key", "no key either", "3=last"]
    assert ws.settings.stats["dropped_messages"] == 9993 + 1


def test_newest_per_key_with_too_many_keys_is_closed(net: Net) -> None:
    handler = Recorder()
    peer, ws = stuck(
        net, handler, slow_consumer="newest-per-key", max_queue_bytes=300_000, closing_seconds=0.1
    )
    sent = 0
    while ws.send("x" * 1000, key=sent):
        sent += 1
    assert 50 < sent < 300
    assert ws.settings.stats["slow_closed"] == 1
    net.until(lambda: handler.closes)
    assert net.loop.buffered_bytes == 0


def test_a_message_waits_as_it_was_when_it_was_sent(net: Net) -> None:
    peer, ws = stuck(net, Recorder(), slow_consumer="drop-oldest")
    changing = bytearray(b"y then")
    ws.send(changing)
    changing[:] = b"y now!"
    with pytest.raises(TypeError):
        ws.send(5)
    with pytest.raises(UnicodeEncodeError):
        ws.send("\ud800")
    ws.send("\u00e9")
    read_all(net, peer, ws)
    assert (BINARY, b"y then") in peer.frames
    assert told(peer) == ["\u00e9"]


def test_what_waits_leaves_before_our_close(net: Net) -> None:
    handler = Recorder()
    peer, ws = stuck(net, handler, slow_consumer="drop-oldest", closing_seconds=20)
    for n in range(10):
        ws.send(str(n))
    ws.close(1000, "bye")
    assert not ws.send("too late")
    peer.read()
    peer.take_head()
    net.until(lambda: peer.received.endswith(b"bye") or handler.closes, 30)
    assert told(peer) == [str(n) for n in range(10)]
    peer.send(goodbye())
    net.until(lambda: handler.closes)
    assert handler.closes == [(1000, "")]


def test_closing_does_nothing_when_the_peer_has_ended(net: Net, caplog: Any) -> None:
    """In on_close, say: what waits in the backlog can go nowhere, and that is no error."""
    handler = Recorder(close=lambda ws, *details: ws.close())
    peer, ws = stuck(net, handler, slow_consumer="drop-oldest")
    ws.send("waits")
    peer.socket.shutdown(socket.SHUT_WR)
    net.until(lambda: handler.closes)
    ws.close()
    assert handler.closes == [(1006, "")] and not caplog.records


def test_fragments_come_behind_what_waits(net: Net) -> None:
    peer, ws = stuck(net, Recorder(), slow_consumer="drop-oldest")

    def parts() -> Iterable[str]:
        yield "b"
        yield "c"
        with pytest.raises(LocalProtocolError):
            ws.send("between")
        yield "d"

    ws.send("a")
    assert ws.send_fragments(parts())
    ws.send("e")
    read_all(net, peer, ws)
    shown = [payload for opcode, payload in peer.frames if opcode in (TEXT, CONTINUATION)]
    assert shown == [b"a", b"b", b"c", b"d", b"e"]


def test_on_drain_comes_when_the_backlog_is_gone(net: Net) -> None:
    held: list[int] = []
    handler = Recorder(drain=lambda ws: held.append(ws.buffered_bytes))
    peer, ws = stuck(net, handler, slow_consumer="drop-oldest")
    for _ in range(900):
        ws.send("x" * 1000)
    read_all(net, peer, ws)
    assert len(held) == 1 and held[0] <= ws.settings.limits.low_water_bytes


def test_pongs_go_past_the_backlog(net: Net) -> None:
    peer, ws = stuck(net, Recorder(), slow_consumer="drop-oldest")
    for n in range(100):
        ws.send(f"{n}" * 1000)
    peer.send(frame(PING, b"alive?", key=KEY))
    net.settle()
    read_all(net, peer, ws)
    assert (PONG, b"alive?") in peer.frames


# --- the budget of a loop ------------------------------------------------------------------------


def test_hundreds_of_slow_readers_stay_within_the_budget(net: Net) -> None:
    handler = Recorder()
    server = net.server(handler, max_buffered_bytes=4 << 20, closing_seconds=0.2)
    peers = []
    for _ in range(200):
        peer = net.peer(server, reading=False, receive_bytes=4096)
        peer.send(request_head())
        peers.append(peer)
    net.until(lambda: len(handler.endpoints) == 200)
    before = resident_bytes()
    message, most = bytes(65536), 0
    for _ in range(80):
        for ws in handler.endpoints:
            ws.send(message)
        net.settle()
        most = max(most, net.loop.buffered_bytes)
    assert most < (4 << 20) + 200 * 65536 + (1 << 20)
    stats = server.stats()
    assert stats["over_budget"] == stats["slow_closed"] > 150
    assert SANITIZED or resident_bytes() < before + (64 << 20)
    net.until(lambda: not server.connections or not net.loop.buffered_bytes, 20)


def test_who_reads_is_not_closed_over_the_budget_of_others(net: Net) -> None:
    handler, client = Recorder(), Recorder()
    server = net.server(handler, max_buffered_bytes=1 << 20)
    net.client(server, client)
    net.until(lambda: handler.endpoints)
    good = handler.endpoints.pop()
    slow = net.peer(server, reading=False, receive_bytes=4096)
    slow.send(request_head())
    net.until(lambda: handler.endpoints)
    handler.endpoints[0].send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert net.loop.buffered_bytes > 1 << 20
    for n in range(50):
        assert good.send(str(n)) and good.send("again")
    net.until(lambda: len(client.messages) == 100)
    assert not handler.closes
    assert not handler.endpoints[0].send("more") and server.stats()["over_budget"] == 1


def test_over_the_budget_who_has_answers_queued_is_not_read(net: Net) -> None:
    handler = Recorder(message=lambda ws, message: ws.send(bytes(16384)))
    server = net.server(handler, max_buffered_bytes=1000)
    peer = net.peer(server, reading=False, receive_bytes=4096)
    peer.send(request_head())
    net.until(lambda: handler.endpoints)
    ws = handler.endpoints[0]
    while not ws.buffered_bytes:
        ws.send(bytes(16384))
        net.settle()
    peer.send(text("unread"))
    net.settle()
    assert not handler.messages
    peer.read()
    net.until(lambda: handler.messages == ["unread"])
    assert not handler.closes
