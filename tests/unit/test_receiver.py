"""Frames to messages: the rules of sections 5.1, 5.2, 5.4 and 5.5, for both roles and any cut."""

from __future__ import annotations

import pytest

from wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    STEPS,
    TEXT,
    close_frame,
    connection,
    feed,
    frame,
    frames_in,
)
from wsfast.events import Closed, Ping, Pong
from wsfast.receiver import Receiver
from wsfast.rfc6455 import Role

pytestmark = [
    pytest.mark.parametrize("role", list(Role), ids=lambda role: role.name),
    pytest.mark.parametrize("step", STEPS),
]

PAYLOADS = [b"", b"a", b"Hello", b"x" * 125, b"y" * 126, b"z" * 127, b"w" * 65535, b"v" * 65536]


def outcome(role, step, build, **options):
    """What a connection makes of frames: (events, frames that it answers)."""
    receiver, key = connection(role, **options)
    data = b"".join(build(lambda *args, **more: frame(*args, key=key, **more)))
    events = feed(receiver, data, step)
    return events, frames_in(receiver.data_to_send())


def refused(events, answers, rule):
    """The events before the failure, after a look at the failure itself."""
    closed = events[-1]
    assert isinstance(closed, Closed), events
    assert closed.close_code == 1002
    assert rule in closed.close_reason
    assert answers[-1] == (CLOSE, True, 0, b"\x03\xea" + closed.close_reason.encode())
    return events[:-1]


@pytest.mark.parametrize("payload", PAYLOADS, ids=len)
def test_a_message_in_one_frame(role, step, payload):
    events, answers = outcome(role, step, lambda f: [f(TEXT, payload), f(BINARY, payload)])
    assert events == [payload.decode(), payload]
    assert [type(event) for event in events] == [str, bytes]
    assert answers == []


@pytest.mark.parametrize("payload", PAYLOADS, ids=len)
def test_a_message_in_three_fragments(role, step, payload):
    third = len(payload) // 3

    def build(f):
        for opcode in (TEXT, BINARY):
            yield f(opcode, payload[:third], fin=False)
            yield f(CONTINUATION, payload[third:-third] if third else payload, fin=False)
            yield f(CONTINUATION, payload[-third:] if third else b"")

    events, _ = outcome(role, step, build)
    assert events == [payload.decode(), payload]


def test_empty_fragments(role, step):
    def build(f):
        yield f(TEXT, fin=False)
        yield f(CONTINUATION, fin=False)
        yield f(CONTINUATION)
        yield f(BINARY, fin=False)
        yield f(CONTINUATION, b"x", fin=False)
        yield f(CONTINUATION)

    assert outcome(role, step, build)[0] == ["", b"x"]


def test_every_size_around_the_boundaries_in_one_stream(role, step):
    sizes = [*range(0, 20), *range(120, 132), 255, 256, 257, 1000]
    texts = ["é" * (size // 2) + "a" * (size % 2) for size in sizes]
    events, _ = outcome(role, step, lambda f: [f(TEXT, text.encode()) for text in texts])
    assert events == texts


def test_payload_with_every_masking_key_phase(role, step):
    receiver, key = connection(role)
    keys = (
        [None] * 4 if key is None else [b"\1\2\3\4", b"\0\0\0\0", b"\xff\0\xff\0", b"\0\0\0\x80"]
    )
    data = bytes(range(256))
    stream = b"".join(
        frame(BINARY, data, key=each, fin=False) + frame(CONTINUATION, data, key=each)
        for each in keys
    )
    assert feed(receiver, stream, step) == [data + data] * 4


def test_control_frames_between_fragments(role, step):
    def build(f):
        yield f(TEXT, b"Hel", fin=False)
        yield f(PING, b"1")
        yield f(PONG, b"2")
        yield f(CONTINUATION, b"lo", fin=False)
        yield f(PING)
        yield f(CONTINUATION)

    events, answers = outcome(role, step, build)
    assert events == [Ping(b"1"), Pong(b"2"), Ping(b""), "Hello"]
    assert answers == [(PONG, True, 0, b"1"), (PONG, True, 0, b"")]


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("size", [0, 1, 124, 125])
def test_control_frames_carry_up_to_125_bytes(role, step, opcode, size):
    payload = bytes(range(size))
    events, answers = outcome(role, step, lambda f: [f(opcode, payload), f(TEXT, b"on")])
    assert events == [(Ping if opcode == PING else Pong)(payload), "on"]
    assert answers == ([(PONG, True, 0, payload)] if opcode == PING else [])


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("size", [126, 127, 65535, 65536])
def test_a_longer_control_frame_is_refused(role, step, opcode, size):
    events, answers = outcome(role, step, lambda f: [f(TEXT, b"ok"), f(opcode, bytes(size))])
    assert refused(events, answers, "at most 125 bytes (RFC 6455 5.5)") == ["ok"]


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_fragmented_control_frame_is_refused(role, step, opcode):
    events, answers = outcome(role, step, lambda f: [f(TEXT, b"ok"), f(opcode, fin=False)])
    assert refused(events, answers, "must not be fragmented (RFC 6455 5.5)") == ["ok"]


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("fragmented", [False, True])
def test_reserved_opcodes_are_refused(role, step, opcode, fragmented):
    def build(f):
        yield f(TEXT, b"ok", fin=not fragmented)
        yield f(opcode, b"some payload that nobody reads")

    events, answers = outcome(role, step, build)
    before = refused(events, answers, f"reserved opcode {opcode:#x} (RFC 6455 5.2)")
    assert before == ([] if fragmented else ["ok"])


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])
def test_rsv_bits_without_extension_are_refused(role, step, rsv, opcode):
    def build(f):
        yield f(TEXT, b"ok", fin=opcode != CONTINUATION)
        yield f(opcode, b"", rsv=rsv)

    events, answers = outcome(role, step, build)
    before = refused(events, answers, f"RSV bits {rsv:03b} were not negotiated")
    assert before == ([] if opcode == CONTINUATION else ["ok"])


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_the_wrong_masking_is_refused(role, step, opcode):
    receiver, key = connection(role)
    wrong = KEY if key is None else None
    events = feed(receiver, frame(TEXT, b"ok", key=key) + frame(opcode, key=wrong), step)
    rule = "a client must mask" if role is Role.SERVER else "a server must not mask"
    assert refused(events, frames_in(receiver.data_to_send()), rule) == ["ok"]


@pytest.mark.parametrize("fin", [True, False])
def test_a_continuation_without_a_start_is_refused(role, step, fin):
    for earlier in ([], [(TEXT, True)], [(TEXT, False), (CONTINUATION, True)]):

        def build(f, earlier=earlier):
            yield from (f(opcode, fin=end) for opcode, end in earlier)
            yield f(CONTINUATION, b"x", fin=fin)

        events, answers = outcome(role, step, build)
        refused(events, answers, "a continuation without a message")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
def test_a_new_message_inside_a_fragmented_one_is_refused(role, step, opcode, fin):
    for parts in (0, 2):

        def build(f, parts=parts):
            yield f(TEXT, b"one", fin=False)
            yield from [f(CONTINUATION, b"", fin=False)] * parts
            yield f(opcode, b"two", fin=fin)

        events, answers = outcome(role, step, build)
        assert refused(events, answers, "a new message inside of a fragmented one") == []


def test_the_good_frames_before_a_bad_one_count(role, step):
    def build(f):
        yield f(TEXT, b"one")
        yield f(PING, b"p")
        yield f(BINARY, b"two", fin=False)
        yield f(CONTINUATION, b"!")
        yield f(11)
        yield f(TEXT, b"never")
        yield f(PING, b"never")

    events, answers = outcome(role, step, build)
    assert refused(events, answers, "reserved opcode") == ["one", Ping(b"p"), b"two!"]
    assert [opcode for opcode, *_ in answers] == [PONG, CLOSE]


def test_nothing_is_read_after_close(role, step):
    receiver, key = connection(role)
    data = close_frame(1000, key=key) + frame(TEXT, b"x", key=key) + frame(PING, key=key)
    assert feed(receiver, data, step) == [Closed(1000, "")]
    assert receiver.close_received
    assert receiver.receive(b"\xff" * 100) == []
    assert len(frames_in(receiver.data_to_send())) == 1


def test_the_parser_by_itself_takes_no_part(role, step):
    """Receiver is a base class: what it allows is readable, and it has no way in."""
    receiver, _ = connection(role, max_message_bytes=77, max_fragments=5)
    assert isinstance(receiver, Receiver)
    assert (receiver.max_message_bytes, receiver.max_fragments) == (77, 5)
    assert receiver.is_server == (role is Role.SERVER)
    assert receiver.extension is None
    assert not hasattr(Receiver, "receive")
    assert step in STEPS
