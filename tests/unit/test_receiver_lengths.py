"""Lengths that lie, wrap or are huge: judged at the header, nothing is allocated for them."""

from __future__ import annotations

import tracemalloc

import pytest

from wire import BINARY, CONTINUATION, KEY, STEPS, TEXT, connection, feed, frame, frames_in
from wsfast.events import Closed
from wsfast.rfc6455 import Role

pytestmark = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.name)

TOP_BIT = [2**63, 2**63 + 1, 2**64 - 14, 2**64 - 10, 2**64 - 1]
HUGE = [2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1, 2**32, 2**32 + 1, 2**62, 2**63 - 14, 2**63 - 1]
NOT_MINIMAL = [(0, 16), (1, 16), (125, 16), (0, 64), (125, 64), (126, 64), (65535, 64)]


def cut_everywhere(role, header, **options):
    """The last events of the header, cut in two at each byte, and fed byte by byte."""
    for cut in range(len(header) + 1):
        receiver, _ = connection(role, **options)
        yield receiver, receiver.receive(header[:cut]) + receiver.receive(header[cut:])
    receiver, _ = connection(role, **options)
    yield receiver, feed(receiver, header, 1)


def key_of(role):
    return KEY if role is Role.SERVER else None


@pytest.mark.parametrize("length", TOP_BIT)
@pytest.mark.parametrize("start", [b"", b"text "])
def test_the_top_bit_is_1002(role, length, start):
    key = key_of(role)
    before = frame(TEXT, start, fin=False, key=key) if start else b""
    opcode = CONTINUATION if start else BINARY
    header = before + frame(opcode, b"", length=length, key=key)
    for receiver, events in cut_everywhere(role, header):
        assert [event.close_code for event in events] == [1002]
        assert "top bit" in events[0].close_reason
        assert receiver.receive(bytes(1000)) == []


@pytest.mark.parametrize(("length", "form"), NOT_MINIMAL)
@pytest.mark.parametrize("limit", [1, 100, 1000, 2**40])
def test_a_length_that_is_not_minimal_is_1002(role, length, form, limit):
    """With any limit: a limit that the form alone would exceed does not make it 1009."""
    header = frame(BINARY, b"", length=length, form=form, key=key_of(role))
    for _, events in cut_everywhere(role, header, max_message_bytes=limit):
        assert [event.close_code for event in events] == [1002]
        assert "not minimal" in events[0].close_reason


@pytest.mark.parametrize("length", HUGE)
def test_a_huge_length_is_1009_at_its_header(role, length):
    header = frame(BINARY, b"", length=length, key=key_of(role))
    for receiver, events in cut_everywhere(role, header):
        assert events == [Closed(1009, "message exceeds 1048576 bytes")]
        assert frames_in(receiver.data_to_send())[0][3][:2] == b"\x03\xf1"


@pytest.mark.parametrize("length", HUGE)
def test_a_huge_continuation_is_1009_at_its_header(role, length):
    """What is there already plus the length must not wrap."""
    key = key_of(role)
    data = frame(BINARY, b"x" * 17, fin=False, key=key)
    data += frame(CONTINUATION, b"", length=length, key=key)
    for _, events in cut_everywhere(role, data):
        assert events == [Closed(1009, "message exceeds 1048576 bytes")]


@pytest.mark.parametrize("length", [each for each in HUGE if each < 2**62])
@pytest.mark.parametrize("step", STEPS)
def test_a_length_within_the_limit_is_not_allocated(role, length, step):
    receiver, key = connection(role, max_message_bytes=2**62 - 1)
    data = frame(BINARY, b"x" * 1000, length=length, key=key)
    tracemalloc.start()
    try:
        assert feed(receiver, data, step) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 65536
    assert receiver.receive_eof() == [Closed(1006, "")]


def test_no_limit_can_wrap(role):
    """The highest limit and the highest length, behind something that is held already."""
    receiver, key = connection(role, max_message_bytes=2**62 - 1)
    data = frame(BINARY, b"x" * 20, fin=False, key=key)
    data += frame(CONTINUATION, b"", length=2**62 - 1, key=key)
    assert [event.close_code for event in receiver.receive(data)] == [1009]


@pytest.mark.parametrize("size", range(14))
def test_a_header_may_stop_anywhere(role, size):
    """The stream ends inside a header: no event, no answer, then 1006."""
    receiver, key = connection(role, max_message_bytes=2**62 - 1)
    data = frame(TEXT, b"ok", key=key) + frame(BINARY, b"", length=2**40, key=key)[:size]
    assert feed(receiver, data, 1) == ["ok"]
    assert receiver.data_to_send() == b""
    assert receiver.receive_eof() == [Closed(1006, "")]


@pytest.mark.parametrize("size", [125, 126, 127, 300, 65535, 65536, 65537, 100_000])
def test_a_frame_cut_at_each_byte_of_its_header_arrives(role, size):
    key = key_of(role)
    payload = (b"0123456789" * 10_001)[:size]
    data = frame(TEXT, payload, key=key) + frame(TEXT, b"next", key=key)
    for cut in range(18):
        receiver, _ = connection(role)
        events = receiver.receive(data[:cut]) + receiver.receive(data[cut:])
        assert events == [payload.decode(), "next"]
