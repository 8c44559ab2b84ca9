"""What waits for a slow peer: order, water marks, bounds; and the path that does not copy."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
from collections.abc import Iterator

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
from wire import BINARY, CLOSE, KEY, PING, PONG, TEXT, frame
from wsfast.endpoint import Endpoint

PINGS = 200_000


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def slow(net: Net, handler: Recorder, **options: object) -> tuple[Peer, Endpoint]:
    """A peer that does not read, its small receive buffer, and its endpoint."""
    server = net.server(handler, **options)
    peer = net.peer(server, reading=False, receive_bytes=4096)
    peer.send(request_head())
    net.until(lambda: handler.endpoints)
    return peer, handler.endpoints[0]


def patterned(size: int, seed: int) -> bytes:
    """Bytes that show any loss, repetition or change of order."""
    return random.Random(seed).randbytes(size)


# --- addresses ---------------------------------------------------------------------------------


def test_addresses(net: Net) -> None:
    peer, ws = net.open(Recorder())
    assert ws.remote_address == peer.socket.getsockname()
    assert ws.local_address == net.servers[0].addresses[0] == peer.socket.getpeername()
    before = ws.fd
    assert socket.socket(fileno=before).detach() == before, "asking has not closed it"
    ws.disconnect()
    assert ws.remote_address is None
    assert ws.local_address is None


def test_address_of_a_socket_that_was_reset(net: Net) -> None:
    peer, ws = net.open(Recorder())
    peer.reset()
    assert ws.remote_address is None
    net.until(lambda: ws.fd < 0)


# --- order -----------------------------------------------------------------------------------


def test_sends_from_everywhere_leave_in_order(net: Net) -> None:
    """From its own turn, from another endpoint's, from a timer, and before any turn."""
    handler = Recorder()
    peer, ws = net.open(handler)
    other = net.peer(net.servers[0]).upgrade()
    ws.send("0")
    ws.send("1")
    peer.expect((TEXT, b"0"), (TEXT, b"1"))

    def publish(sender: Endpoint, message: str) -> None:
        for number in range(2):
            ws.send(f"{message}{number}")

    handler.hooks["message"] = publish
    other.send(text("other"))
    peer.send(text("own"))
    timer = net.loop.selector.call_later(0, lambda: (ws.send("t0"), ws.send("t1")))
    net.until(lambda: len(peer.frames) == 8)
    assert not timer.active
    sent = [payload for _, payload in peer.frames]
    assert sent[:2] == [b"0", b"1"]
    for name in (b"other", b"own", b"t"):
        assert [each for each in sent if each.startswith(name)] == [name + b"0", name + b"1"]


def test_sends_of_one_turn_are_one_segment(net: Net) -> None:
    handler = Recorder(message=lambda ws, message: [ws.send("x") for _ in range(100)])
    peer, _ = net.open(handler)
    peer.send(text("go"))
    while not peer.received:
        net.loop.selector.select(1)
    assert len(peer.received) == 300


@pytest.mark.parametrize("size", [100, 5000, 128 * 1024 - 1, 128 * 1024, 700_000])
@pytest.mark.parametrize("where", ["own turn", "outside"])
def test_no_byte_is_lost_or_moved_by_partial_sends(net: Net, size: int, where: str) -> None:
    """Small ones, and those from 128 KiB on, which are not copied, in a mixed row."""
    messages = [patterned(size + n, n) for n in range(min(3_000_000 // size, 3000))]
    messages += [b"", patterned(200_000, -1), b"end"]

    def send_all(ws: Endpoint, message: str = "") -> None:
        for each in messages:
            assert ws.send(each)

    handler = Recorder(message=send_all)
    peer, ws = slow(net, handler, max_queue_bytes=1 << 30)
    if where == "own turn":
        peer.send(text("go"))
        net.until(lambda: handler.messages)
    else:
        send_all(ws)
    net.settle()
    peer.read()
    peer.take_head()
    expected = sum(len(frame(BINARY, each)) for each in messages)
    net.until(lambda: len(peer.received) >= expected)
    assert [payload for _, payload in peer.frames] == messages
    assert ws.buffered_bytes == 0


def test_the_payload_may_change_after_send(net: Net) -> None:
    """What the kernel left of a large message was kept, not pointed at."""
    message = bytearray(patterned(3_000_000, 1))
    kept = bytes(message)

    def send(ws: Endpoint, text: str) -> None:
        ws.send(message)
        message[:] = bytes(len(message))

    handler = Recorder(message=send)
    peer, ws = slow(net, handler)
    peer.send(text("go"))
    net.until(lambda: handler.messages)
    peer.read()
    peer.take_head()
    peer.expect((BINARY, kept))


# --- water marks -----------------------------------------------------------------------------


def test_reading_stops_at_high_water_and_goes_on_at_low(net: Net) -> None:
    """An echo to a peer that sends on and on without reading: memory stays bounded."""
    handler = Recorder(echo=True)
    peer, ws = slow(net, handler, high_water_bytes=256 * 1024, low_water_bytes=64 * 1024)
    messages = [patterned(1000, n) for n in range(16_000)]
    peer.send(b"".join(frame(BINARY, each, key=KEY) for each in messages))
    highest = 0

    def is_stuck() -> bool:
        nonlocal highest
        highest = max(highest, ws.buffered_bytes)
        before = len(handler.events), len(peer.outgoing)
        net.settle()
        return before == (len(handler.events), len(peer.outgoing))

    # The kernel may pause in between, but until the mark there is more to come.
    net.poll(lambda: is_stuck() and ws.buffered_bytes > 256 * 1024)
    assert highest < 2 * 256 * 1024 + 300_000, "one read beyond the mark at most"
    assert len(handler.messages) < len(messages)
    assert not handler.named("drain")
    peer.read()
    peer.take_head()
    net.until(lambda: len(peer.received) == 1004 * len(messages), 30)
    assert [payload for _, payload in peer.frames] == messages
    assert handler.named("drain")
    assert ws.buffered_bytes == 0


def test_on_drain_comes_once_for_each_time_above_high_water(net: Net) -> None:
    levels: list[int] = []
    handler = Recorder(drain=lambda ws: levels.append(ws.buffered_bytes))
    peer, ws = slow(net, handler, high_water_bytes=100_000, low_water_bytes=50_000)
    for _ in range(2):
        ws.send(MORE_THAN_THE_KERNEL_TAKES)
        net.settle()
        assert ws.buffered_bytes > 100_000
        peer.read()
        peer.received.clear()
        net.until(lambda: not ws.buffered_bytes)
        peer.reading = False
        peer.update()
    assert len(levels) == 2
    assert max(levels) <= 50_000


def test_on_drain_that_sends_again_is_called_again(net: Net) -> None:
    left = [6]

    def more(ws: Endpoint) -> None:
        if left[0]:
            left[0] -= 1
            ws.send(bytes(1_000_000))

    handler = Recorder(drain=more)
    peer, ws = slow(net, handler)
    ws.send(bytes(1_000_000))
    peer.read()
    peer.take_head()
    net.until(lambda: len(peer.received) == 7 * 1_000_010)
    net.settle()
    assert len(handler.named("drain")) == 7


def test_small_backlogs_do_not_call_on_drain(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    ws.send(bytes(200_000))
    net.until(lambda: len(peer.received) > 200_000)
    assert not handler.named("drain")


def test_closing_or_disconnecting_during_drain(net: Net) -> None:
    for act in (Endpoint.disconnect, Endpoint.close):
        handler = Recorder(drain=lambda ws, act=act: act(ws))
        peer, ws = slow(net, handler)
        ws.send(MORE_THAN_THE_KERNEL_TAKES)
        net.settle()
        peer.read()
        peer.take_head()
        net.until(lambda peer=peer: peer.ended or peer.frames[-1:] == [(8, b"\x03\xe8")])
        peer.close()
        net.until(lambda handler=handler: handler.closes)
        net.settle()
        assert handler.names() == ["open", "drain", "close"]


def test_too_much_unread_aborts(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    handler = Recorder()
    peer, ws = slow(net, handler, max_queue_bytes=1_000_000)
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert ws.buffered_bytes > 1_000_000
    assert not ws.send("one more")
    assert not ws.send("and another")
    assert handler.closes == [(1006, "")]
    assert "left" in caplog.text and "unread" in caplog.text
    assert len(caplog.records) == 1
    assert not net.servers[0].connections


def test_a_client_that_sends_a_lot_at_once_and_an_echo(net: Net) -> None:
    """If both ends stopped reading at high water, neither would ever go on."""
    handler, client = Recorder(echo=True), Recorder()
    server = net.server(handler)
    ws = net.client(server, client)
    net.until(lambda: client.names() == ["open"])
    messages = [patterned(1_000_000, n) for n in range(15)]
    for each in messages:
        assert ws.send(each)
    net.until(lambda: len(client.messages) == len(messages), 30)
    assert client.messages == messages


# --- control frames --------------------------------------------------------------------------


def test_pings_to_a_peer_that_does_not_read(net: Net) -> None:
    """Only the newest pong waits (RFC 6455 5.5.3), and it arrives when the peer reads at last."""
    handler = Recorder()
    handler.keep = lambda ws, name, *details: None  # type: ignore[method-assign]
    peer, ws = slow(net, handler)
    pings = b"".join(frame(PING, b"%06d" % n + bytes(100), key=KEY) for n in range(PINGS))
    before = resident_bytes()
    peer.send(pings)
    del pings
    net.until(lambda: not peer.outgoing, 30)
    net.settle()
    assert ws.buffered_bytes < 600_000
    assert SANITIZED or resident_bytes() < before + 40_000_000
    peer.read()
    peer.take_head()
    newest = (PONG, b"%06d" % (PINGS - 1) + bytes(100))
    net.until(lambda: peer.received.endswith(newest[1]), 30)
    numbers = [int(payload[:6]) for opcode, payload in peer.frames if opcode == PONG]
    assert numbers == sorted(set(numbers))
    assert len(numbers) < PINGS
    assert peer.frames[-1] == newest


def test_the_pong_that_waited_leaves_before_the_close(net: Net) -> None:
    peer, ws = slow(net, Recorder(), high_water_bytes=16 << 20, max_queue_bytes=16 << 20)
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    peer.send(frame(PING, b"old", key=KEY) + frame(PING, b"new", key=KEY))
    net.settle()
    peer.read()
    peer.take_head()
    net.until(lambda: len(peer.frames) == 2)
    ws.close()
    net.until(lambda: len(peer.frames) == 3)
    assert [opcode for opcode, _ in peer.frames] == [BINARY, PONG, 8]
    assert peer.frames[1] == (PONG, b"new")


@pytest.mark.parametrize("ending", [goodbye(), b""], ids=["close", "nothing"])
def test_the_end_of_a_peer_that_still_reads_waits_for_the_queue(net: Net, ending: bytes) -> None:
    """It shuts down its sending side while we are paused: all answers leave, then our end."""
    handler = Recorder(message=lambda ws, message: ws.send(bytes(1 << 20)))
    peer, ws = net.open(handler, max_queue_bytes=16 << 20)
    peer.reading = False
    peer.update()
    peer.send(text("more") * 12 + ending)
    peer.socket.shutdown(socket.SHUT_WR)
    net.until(lambda: ws.buffered_bytes)
    net.settle()
    assert ws.fd >= 0
    peer.read()
    net.until(lambda: peer.ended)
    assert peer.error is None
    assert [len(payload) for opcode, payload in peer.frames if opcode == BINARY] == [1 << 20] * 12
    assert [opcode for opcode, _ in peer.frames[12:]] == [CLOSE] * bool(ending)
    assert handler.closes == [(1000, "") if ending else (1006, "")]


def test_a_peer_that_ends_and_reads_nothing_is_cut_at_the_deadline(net: Net) -> None:
    handler = Recorder(message=lambda ws, message: ws.send(MORE_THAN_THE_KERNEL_TAKES))
    peer, ws = net.open(
        handler, closing_seconds=0.1, high_water_bytes=1 << 26, max_queue_bytes=1 << 26
    )
    peer.reading = False
    peer.update()
    peer.send(text("more"))
    net.until(lambda: ws.buffered_bytes)
    peer.socket.shutdown(socket.SHUT_WR)
    net.until(lambda: handler.closes)
    assert handler.closes == [(1006, "")]
    assert ws.fd >= 0 and not ws.send("too late")
    net.until(lambda: ws.fd < 0)
    assert len(handler.closes) == 1


# --- a loop that ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", [False, True])
def test_a_selector_that_is_closed_closes_the_sockets_of_its_connections(waiting: bool) -> None:
    """Nobody else could, and the peer would wait for ever."""
    net = Net()
    handler = Recorder()
    server = net.server(handler)
    client = socket.create_connection(server.addresses[0])
    client.send(request_head())
    net.until(lambda: handler.endpoints)
    ws = handler.endpoints[0]
    if waiting:
        ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    server.stop_listening()
    net.loop.close()
    assert ws.fd < 0 and ws.buffered_bytes == 0
    client.settimeout(10)
    with client, contextlib.suppress(ConnectionResetError):
        while client.recv(1 << 20):
            pass
    ws.disconnect()
    assert handler.names()[:1] == ["open"]
