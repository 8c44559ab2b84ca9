"""Pings and pongs (sections 5.5.2 and 5.5.3): all answered in order, bounded for a slow peer."""

from __future__ import annotations

import tracemalloc

import pytest

from wire import (
    CONTINUATION,
    KEY,
    PING,
    PONG,
    STEPS,
    TEXT,
    client,
    connection,
    feed,
    frame,
    frames_in,
    server,
)
from wsfast.events import Ping, Pong
from wsfast.rfc6455 import Role

#: Unsent bytes above which only the newest pong is kept, and one frame on top of it.
BACKLOG = 16 * 1024 + 131


def pong_payloads(sender):
    frames = frames_in(sender.data_to_send())
    assert all(each[:3] == (PONG, True, 0) for each in frames)
    return [payload for *_, payload in frames]


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.name)
@pytest.mark.parametrize("step", STEPS)
def test_ten_pings_get_ten_pongs_in_order(role, step):
    receiver, key = connection(role)
    payloads = [b"ping %d" % number for number in range(10)]
    stream = b"".join(frame(PING, payload, key=key) for payload in payloads)
    assert feed(receiver, stream, step) == [Ping(payload) for payload in payloads]
    assert pong_payloads(receiver) == payloads


def test_a_pong_asks_for_nothing():
    receiver = server()
    assert receiver.receive(frame(PONG, b"unasked", key=KEY)) == [Pong(b"unasked")]
    assert receiver.data_to_send() == b""


def test_a_pong_comes_behind_what_was_sent_before():
    receiver = server()
    receiver.send("first")
    receiver.receive(frame(PING, key=KEY))
    receiver.send("second")
    assert [each[0] for each in frames_in(receiver.data_to_send())] == [TEXT, PONG, TEXT]


def test_a_pong_goes_between_our_fragments():
    receiver = server()
    receiver.send_text("a", fin=False)
    receiver.receive(frame(PING, key=KEY))
    receiver.send_continuation("b", fin=True)
    opcodes = [each[0] for each in frames_in(receiver.data_to_send())]
    assert opcodes == [TEXT, PONG, CONTINUATION]


def test_the_client_masks_its_pongs():
    receiver = client()
    receiver.receive(frame(PING, b"x"))
    assert receiver.data_to_send() == frame(PONG, b"x", key=KEY)


def flood(receiver, count):
    """Numbered pings of 125 bytes, masked with zeros, in reads of a thousand."""
    head = frame(PING, bytes(125), key=bytes(4))[:6]
    for start in range(0, count, 1000):
        receiver.receive(b"".join(head + b"%0125d" % n for n in range(start, start + 1000)))


def test_200_000_pings_to_a_peer_that_takes_nothing():
    """The oldest pongs are there in order, then the newest; memory is bounded."""
    receiver = server()
    flood(receiver, 1000)  # so that caches of the interpreter are warm
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flood(receiver, 200_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 8192
    data = receiver.data_to_send()
    assert len(data) <= BACKLOG + 127
    numbers = [int(payload) for *_, payload in frames_in(data)]
    assert numbers[:100] == list(range(100))
    assert numbers[-1] == 199_999
    assert receiver.data_to_send() == b""


def test_the_newest_pong_waits_behind_a_long_message():
    receiver = server()
    receiver.send(bytes(20_000))
    for number in range(50):
        receiver.receive(frame(PING, b"%d" % number, key=KEY))
    frames = frames_in(receiver.data_to_send())
    assert [(each[0], each[3]) for each in frames[1:]] == [(PONG, b"49")]


def test_a_waiting_pong_leaves_before_the_close():
    receiver = server()
    receiver.send(bytes(20_000))
    receiver.receive(frame(PING, b"1", key=KEY) + frame(PING, b"2", key=KEY))
    receiver.send_close()
    frames = frames_in(receiver.data_to_send())
    assert [each[0] for each in frames] == [2, PONG, 8]
    assert frames[1][3] == b"2"


def test_a_waiting_pong_leaves_before_the_close_of_a_failure():
    receiver = server()
    receiver.send(bytes(20_000))
    receiver.receive(frame(PING, b"1", key=KEY) + b"\xff\xff")
    assert [each[0] for each in frames_in(receiver.data_to_send())] == [2, PONG, 8]


def test_every_ping_is_answered_again_once_the_peer_reads():
    receiver = server()
    receiver.send(bytes(20_000))
    receiver.receive(frame(PING, b"old", key=KEY))
    receiver.data_to_send()
    for payload in (b"a", b"b", b"c"):
        receiver.receive(frame(PING, payload, key=KEY))
    assert pong_payloads(receiver) == [b"a", b"b", b"c"]


def test_no_pong_after_the_end():
    receiver = server()
    receiver.send(bytes(20_000))
    receiver.receive(frame(PING, b"1", key=KEY))
    receiver.receive_eof()
    assert [each[0] for each in frames_in(receiver.data_to_send())] == [2]
