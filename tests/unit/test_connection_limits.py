"""Limits: on the right quantity, before the payload, and memory that follows what has arrived."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from wire import (
    BINARY,
    CONTINUATION,
    KEY,
    PING,
    STEPS,
    TEXT,
    connection,
    feed,
    frame,
    pieces,
    server,
)
from wsfast.events import Closed, Ping
from wsfast.rfc6455 import Role

LIMIT = 1000
TOO_BIG = Closed(1009, f"message exceeds {LIMIT} bytes")
roles = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.name)
steps = pytest.mark.parametrize("step", STEPS)
sizes = pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])

#: What the test itself holds beside the message: a list, an event, a feed.
SLACK = 64 * 1024


def expected(message):
    return [message] if len(message) <= LIMIT else [TOO_BIG]


@roles
@steps
@sizes
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_whole_message_around_the_limit(role, step, size, opcode):
    receiver, key = connection(role, max_message_bytes=LIMIT)
    data = frame(opcode, b"x" * size, key=key)
    assert feed(receiver, data, step) == expected("x" * size if opcode == TEXT else b"x" * size)


@roles
@steps
@sizes
@pytest.mark.parametrize("fragments", [2, 3, 250])
def test_a_fragmented_message_around_the_limit(role, step, size, fragments):
    receiver, key = connection(role, max_message_bytes=LIMIT)
    parts = list(pieces(b"x" * size, -(-size // fragments)))
    stream = b"".join(
        frame(CONTINUATION if at else BINARY, part, fin=at == len(parts) - 1, key=key)
        for at, part in enumerate(parts)
    )
    assert feed(receiver, stream, step) == expected(b"x" * size)


@steps
def test_an_empty_last_fragment_is_within_the_limit(step):
    receiver = server(max_message_bytes=LIMIT)
    stream = frame(BINARY, bytes(LIMIT), fin=False, key=KEY) + frame(CONTINUATION, key=KEY)
    assert feed(receiver, stream * 2, step) == [bytes(LIMIT)] * 2


def test_the_limit_counts_bytes_not_characters():
    assert server(max_message_bytes=4).receive(frame(TEXT, "éé".encode(), key=KEY)) == ["éé"]
    events = server(max_message_bytes=3).receive(frame(TEXT, "éé".encode(), key=KEY))
    assert events == [Closed(1009, "message exceeds 3 bytes")]


def test_the_limit_is_for_each_message():
    receiver = server(max_message_bytes=LIMIT)
    stream = frame(BINARY, bytes(LIMIT), key=KEY)
    stream += frame(BINARY, bytes(600), fin=False, key=KEY)
    stream += frame(CONTINUATION, bytes(400), key=KEY)
    assert [len(event) for event in receiver.receive(stream * 3)] == [LIMIT] * 6


def test_control_frames_do_not_count():
    receiver = server(max_message_bytes=1, max_fragments=2)
    stream = frame(TEXT, b"x", fin=False, key=KEY) + frame(PING, bytes(125), key=KEY) * 3
    events = receiver.receive(stream + frame(CONTINUATION, key=KEY))
    assert events == [Ping(bytes(125))] * 3 + ["x"]


@roles
def test_a_message_too_long_fails_at_its_header(role):
    """Not a byte of the payload is waited for, and what comes of it is ignored."""
    receiver, key = connection(role, max_message_bytes=LIMIT)
    header = frame(BINARY, b"", length=LIMIT + 1, key=key)
    assert feed(receiver, header[:-1], 1) == []
    assert receiver.receive(header[-1:]) == [TOO_BIG]
    assert receiver.receive(bytes(LIMIT)) == []


def test_a_fragment_too_many_bytes_fails_at_its_header():
    receiver = server(max_message_bytes=LIMIT)
    assert receiver.receive(frame(BINARY, bytes(LIMIT), fin=False, key=KEY)) == []
    assert receiver.receive(frame(CONTINUATION, b"", length=1, key=KEY)) == [TOO_BIG]


# --- max_fragments -------------------------------------------------------------------------------


@steps
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_limit_of_fragments(step, count):
    receiver = server(max_fragments=3)
    stream = b"".join(
        frame(CONTINUATION if at else TEXT, b"x", fin=at == count - 1, key=KEY)
        for at in range(count)
    )
    events = feed(receiver, stream, step)
    assert events == (
        ["x" * count] if count <= 3 else [Closed(1009, "message exceeds 3 fragments")]
    )


def test_the_limit_of_fragments_is_for_each_message():
    receiver = server(max_fragments=2)
    stream = frame(TEXT, b"a", fin=False, key=KEY) + frame(CONTINUATION, b"b", key=KEY)
    assert receiver.receive(stream * 5 + frame(TEXT, b"c", key=KEY)) == ["ab"] * 5 + ["c"]


@pytest.mark.parametrize("step", [0, 7, 4096])
def test_65536_fragments_are_a_legal_message(step):
    parts = [frame(TEXT, b"a", fin=False, key=KEY)]
    parts += [frame(CONTINUATION, b"b", fin=False, key=KEY)] * 65534
    stream = b"".join(parts) + frame(CONTINUATION, b"c", key=KEY)
    assert feed(server(), stream, step) == ["a" + "b" * 65534 + "c"]


# --- memory --------------------------------------------------------------------------------------


def peak_memory(feeds: Iterable[bytes]) -> tuple[int, list[int], int]:
    """Feed a server: (bytes retained with the message unfinished, event sizes, peak)."""
    receiver = server(max_message_bytes=64 << 20)
    lengths: list[int] = []
    retained = 0
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        for data in feeds:
            if lengths:
                raise AssertionError("the message ended too early")
            retained = max(retained, tracemalloc.get_traced_memory()[0] - start)
            lengths += [len(event) for event in receiver.receive(data)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return retained, lengths, peak - start


def repeated(data: bytes, count: int, last: bytes) -> Iterator[bytes]:
    """`count` copies in reads of about 64 KiB, then the last one."""
    batch = max(1, 65536 // len(data))
    block = data * batch
    for _ in range(count // batch):
        yield block
    yield data * (count % batch)
    yield last


FIRST = frame(BINARY, b"", fin=False, key=KEY)


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "one byte"])
def test_a_million_fragments_cost_their_bytes(payload):
    part = frame(CONTINUATION, payload, fin=False, key=KEY)
    feeds = [FIRST, *repeated(part, 1_000_000, frame(CONTINUATION, b"!", key=KEY))]
    held = sum(map(len, feeds[-1:]))
    retained, lengths, _ = peak_memory(feeds)
    assert lengths == [1_000_000 * len(payload) + 1]
    assert retained <= 2 * lengths[0] + SLACK + held


def test_one_frame_a_byte_a_feed():
    """300,000 bytes in as many reads; the peak holds the copy of the result, too."""
    data = frame(BINARY, bytes(300_000), key=KEY)
    retained, lengths, peak = peak_memory(data[at : at + 1] for at in range(len(data)))
    assert lengths == [300_000]
    assert retained <= 2 * 300_000 + SLACK
    assert peak <= 2 * 300_000 + SLACK


@pytest.mark.parametrize("length", [10_000_000, 60_000_000])
def test_memory_follows_what_has_arrived(length):
    """A header announces much; 100 KiB of it arrive."""
    head = frame(BINARY, b"", length=length, key=KEY)
    retained, lengths, peak = peak_memory([head, *[bytes(1024)] * 100, b""])
    assert lengths == []
    assert retained <= 2 * 102_400 + SLACK
    assert peak <= 2 * 102_400 + SLACK


def test_a_long_message_ends_in_one_block_of_its_size():
    """No copy beside it: what grew is what is handed on, and nothing is left over."""
    data = frame(BINARY, bytes(8 << 20), key=KEY)
    retained, lengths, peak = peak_memory(list(pieces(data, 65536)))
    assert lengths == [8 << 20]
    assert max(retained, peak) <= (8 << 20) + 512 * 1024


@pytest.mark.parametrize("end", ["failure", "eof", "dropped"])
def test_half_a_message_is_given_back(end):
    tracemalloc.start()
    try:
        receiver = server(max_message_bytes=64 << 20)
        half = frame(BINARY, bytes(4 << 20), fin=False, key=KEY)
        receiver.receive(half)
        held, _ = tracemalloc.get_traced_memory()
        if end == "failure":
            receiver.receive(b"\xff\xff")
        elif end == "eof":
            receiver.receive_eof()
        else:
            del receiver
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held - left >= 4 << 20
