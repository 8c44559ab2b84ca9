"""StreamBuffer beside wsproto's Buffer: the same bytes in and out, and nothing copied twice."""

from __future__ import annotations

import copy
import pickle
import random
import sys
import time
from typing import Any

import pytest

pytest.importorskip("wsproto")

from wsproto.frame_protocol import Buffer, FrameDecoder

from growth import assert_linear
from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome
from wsfast.speedups.wsproto_buffer import StreamBuffer

KEY = b"\x01\x02\x03\x04"


def test_any_order_of_calls_is_the_librarys() -> None:
    chance = random.Random(1)
    for _ in range(300):
        ours, theirs = StreamBuffer(Buffer), Buffer()
        for _ in range(30):
            name = chance.choice(("feed", "feed", "at_most", "exactly", "commit", "rollback"))
            size = chance.choice((0, 1, 2, 5, 40, 5000))
            data = chance.choice((bytes, bytearray, memoryview))(chance.randbytes(size))
            arguments: Any = {"feed": (data,), "at_most": (size,), "exactly": (size,)}
            name = {"at_most": "consume_at_most", "exactly": "consume_exactly"}.get(name, name)
            given = arguments.get(name.removeprefix("consume_"), ())
            assert outcome(getattr(ours, name), *given) == outcome(getattr(theirs, name), *given)
            assert len(ours) == len(theirs)
            assert ours.bytes_used == theirs.bytes_used
            assert ours.buffer == theirs.buffer and type(ours.buffer) is bytearray


@pytest.mark.parametrize("data", ["text", None, 5, [1], memoryview(b"abcd")[::2]])
def test_what_cannot_be_fed_is_refused_alike(data: Any) -> None:
    ours, theirs = StreamBuffer(Buffer), Buffer()
    assert outcome(ours.feed, data) == outcome(theirs.feed, data)
    assert ours.buffer == theirs.buffer


def test_what_is_fed_may_change_afterwards() -> None:
    data = bytearray(b"before")
    buffer = StreamBuffer(Buffer)
    buffer.feed(data)
    buffer.feed(memoryview(data))
    data[:] = b"after!"
    assert buffer.buffer == b"beforebefore"


def test_more_than_there_is() -> None:
    buffer = StreamBuffer(Buffer)
    buffer.feed(b"abc")
    assert buffer.consume_exactly(4) is None
    assert buffer.consume_at_most(2) == b"ab"
    assert buffer.consume_at_most(2**63 - 1) == b"c"
    assert buffer.consume_at_most(2) == b""


def test_it_is_pickled_and_copied_as_the_librarys() -> None:
    buffer = StreamBuffer(Buffer)
    buffer.feed(b"abc")
    buffer.feed(b"def")
    for again in (pickle.loads(pickle.dumps(buffer)), copy.deepcopy(buffer)):
        assert type(again) is Buffer
        assert again.buffer == b"abcdef"


def test_a_decoder_gets_one_with_its_first_read() -> None:
    with speedups.installed("wsproto", strict=True):
        decoder = FrameDecoder(True)
        assert type(decoder.buffer) is Buffer
        decoder.buffer.feed(b"\x82\x02")
        decoder.receive_bytes(b"hi")
        assert type(decoder.buffer) is StreamBuffer
        assert decoder.process_buffer().payload == b"hi"


def test_a_buffer_of_somebody_else_stays() -> None:
    class Counting(Buffer):
        fed = 0

        def feed(self, new_bytes: bytes) -> None:
            self.fed += len(new_bytes)
            super().feed(new_bytes)

    with speedups.installed("wsproto", strict=True):
        decoder = FrameDecoder(True)
        decoder.buffer = Counting()
        decoder.receive_bytes(b"\x82\x02hi")
        assert decoder.buffer.fed == 4
        assert decoder.process_buffer().payload == b"hi"


def test_a_buffer_that_is_being_consumed_stays() -> None:
    with speedups.installed("wsproto", strict=True):
        decoder = FrameDecoder(True)
        decoder.buffer.feed(b"?\x82\x02hi")
        assert decoder.buffer.consume_exactly(1) == b"?"
        decoder.receive_bytes(b"")
        assert type(decoder.buffer) is Buffer
        assert decoder.process_buffer().payload == b"hi"


def test_a_large_read_is_not_kept_for_its_end() -> None:
    with speedups.installed("wsproto", strict=True):
        decoder = FrameDecoder(False)
        frame = frame_bytes(2, bytes(100_000), masking_key=KEY)
        data = frame + frame[:3]
        before = sys.getrefcount(data)
        decoder.receive_bytes(data)
        assert len(decoder.process_buffer().payload) == 100_000
        assert sys.getrefcount(data) == before + 1
        assert decoder.process_buffer() is None
        assert sys.getrefcount(data) == before
        assert decoder.buffer.buffer == frame[:3]


def fed_and_read(count: int, *, at_once: bool) -> float:
    """CPU seconds for a stream of small frames; read as it comes, or fed whole and then read."""
    frame = frame_bytes(2, bytes(60), masking_key=KEY)
    stream = frame * count
    decoder = FrameDecoder(False)
    start = time.thread_time()
    found = 0
    for place in range(0, len(stream), 50):
        decoder.receive_bytes(stream[place : place + 50])
        if not at_once:
            found += len(decoder.process_buffer().payload) if decoder.buffer.buffer else 0
    while at_once and (part := decoder.process_buffer()) is not None:
        found += len(part.payload)
    taken = time.thread_time() - start
    assert found or not at_once
    return taken


@pytest.mark.parametrize("at_once", [True, False])
def test_time_grows_with_the_stream_and_not_with_its_square(at_once: bool) -> None:
    with speedups.installed("wsproto", strict=True):
        assert_linear(lambda count: fed_and_read(count, at_once=at_once), 500)


def test_one_frame_for_each_read_of_two_does_not_copy_the_rest_again_and_again() -> None:
    """Somebody who takes less than comes: what waits is joined only where a frame is cut."""
    frame = frame_bytes(2, bytes(90), masking_key=KEY)

    def seconds(count: int) -> float:
        decoder = FrameDecoder(False)
        start = time.thread_time()
        for _ in range(count):
            decoder.receive_bytes(frame[:50] + frame[50:] + frame)
            assert len(decoder.process_buffer().payload) == 90
        return time.thread_time() - start

    with speedups.installed("wsproto", strict=True):
        assert_linear(seconds, 500)
