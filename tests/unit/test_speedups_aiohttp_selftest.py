"""The self-test of aiohttp's replacements: quiet about ours, and loud about any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("aiohttp")

from aiohttp._websocket import helpers, reader_py
from aiohttp._websocket.reader_py import WebSocketDataQueue, WebSocketReader
from aiohttp._websocket.writer import WebSocketWriter

from wsfast.speedups import aiohttp_selftest as selftest
from wsfast.speedups.aiohttp_mask import make_websocket_mask
from wsfast.speedups.aiohttp_reader import make_feed_data
from wsfast.speedups.aiohttp_selftest import (
    FEED_DATA,
    WRITE_FRAME,
    Reads,
    new_queue,
    new_reader,
    new_writer,
    selftest_reader,
    selftest_writer,
)
from wsfast.speedups.aiohttp_writer import make_write_websocket_frame
from wsfast.speedups.selftest import Mismatch, frame_bytes

MASK = "aiohttp._websocket.helpers:websocket_mask"

#: Enough that each of the mistakes below shows.
ROUNDS = 60

write_frame = getattr(WebSocketWriter, "_write_websocket_frame", None)
feed_data = WebSocketReader._feed_data
mask = helpers._websocket_mask_python

needs_write_frame = pytest.mark.skipif(write_frame is None, reason="it is part of send_frame")


@pytest.fixture
def mask_slot() -> Iterator[Callable[[Any], None]]:
    """Rebinds websocket_mask; the test of the masks looks at the place."""
    with mock.patch.object(helpers, "websocket_mask", make_websocket_mask(mask)):
        yield lambda ours: setattr(helpers, "websocket_mask", ours)


def check_writer(ours: Any) -> None:
    with mock.patch.object(WebSocketWriter, "_write_websocket_frame", ours):
        for number in range(ROUNDS):
            selftest_writer({WRITE_FRAME: write_frame}, "frames", Random(number))


def check_reader(ours: Any) -> None:
    with mock.patch.object(WebSocketReader, "_feed_data", ours):
        for number in range(ROUNDS):
            selftest_reader({FEED_DATA: feed_data}, "frames", Random(number))


def check_mask() -> None:
    for number in range(ROUNDS):
        selftest_writer({MASK: mask}, "kernels", Random(number))


# --- ours --------------------------------------------------------------------------------------


@needs_write_frame
def test_our_writer_passes() -> None:
    check_writer(make_write_websocket_frame(write_frame))


def test_our_reader_passes() -> None:
    check_reader(make_feed_data(feed_data))


def test_our_mask_passes(mask_slot: Callable[[Any], None]) -> None:
    check_mask()


def test_nothing_replaced_is_nothing_to_compare() -> None:
    selftest_writer({}, "kernels", Random(1))
    selftest_reader({}, "frames", Random(1))


# --- others ------------------------------------------------------------------------------------


def as_bytes(given: bytes, data: bytearray) -> Any:
    mask(given, data)
    return bytes(data)


def rotated(given: bytes, data: bytearray) -> None:
    mask(given[1:] + given[:1] if len(data) > 64 else given, data)


def lenient(given: bytes, data: Any) -> None:
    mask(bytes(given), data)


@pytest.mark.parametrize("wrong", [as_bytes, rotated, lenient])
def test_a_wrong_mask_is_found(wrong: Any, mask_slot: Callable[[Any], None]) -> None:
    mask_slot(wrong)
    with pytest.raises(Mismatch, match="websocket_mask"):
        check_mask()


def in_one_piece(self: Any, message: bytes, opcode: int, rsv: int) -> None:
    write = self.transport.write
    pieces: list[bytes] = []
    with mock.patch.object(self.transport, "write", pieces.append):
        write_frame(self, message, opcode, rsv)  # type: ignore[misc]
    write(b"".join(pieces))


def as_bytearray(self: Any, message: bytes, opcode: int, rsv: int) -> None:
    write = self.transport.write
    with mock.patch.object(self.transport, "write", lambda data: write(bytearray(data))):
        write_frame(self, message, opcode, rsv)  # type: ignore[misc]


def uncounted(self: Any, message: bytes, opcode: int, rsv: int) -> None:
    before = self._output_size
    write_frame(self, message, opcode, rsv)  # type: ignore[misc]
    self._output_size = before


def with_a_key_too_many(self: Any, message: bytes, opcode: int, rsv: int) -> None:
    self.get_random_bits()
    write_frame(self, message, opcode, rsv)  # type: ignore[misc]


def on_closing_transports(self: Any, message: bytes, opcode: int, rsv: int) -> None:
    with mock.patch.object(self.transport, "is_closing", return_value=False):
        write_frame(self, message, opcode, rsv)  # type: ignore[misc]


def of_one_message_more(self: Any, message: Any, opcode: int, rsv: int) -> None:
    write_frame(self, bytes(message), opcode, rsv)  # type: ignore[misc]


@needs_write_frame
@pytest.mark.parametrize(
    "wrong",
    [
        in_one_piece,
        as_bytearray,
        uncounted,
        with_a_key_too_many,
        on_closing_transports,
        of_one_message_more,
    ],
)
def test_a_wrong_writer_is_found(wrong: Any) -> None:
    with pytest.raises(Mismatch, match="the original"):
        check_writer(wrong)


def test_a_reader_that_is_not_reached_is_found() -> None:
    with pytest.raises(Mismatch, match="not reached"):
        check_reader(feed_data)


@pytest.mark.parametrize("name", ["_handle_frame", "_size", "pause_reading", "_opcode", "data"])
def test_a_wrong_reader_is_found(name: str) -> None:
    ours = make_feed_data(feed_data)

    def wrong(self: Any, data: bytes) -> None:
        if name == "pause_reading":
            self.queue._protocol._reading_paused = True
        ours(self, data)
        if name == "_size":
            self.queue._size += 1
        elif name == "_opcode" and data:
            self._opcode = 1
        elif name == "data" and self.queue._buffer:
            message, size = self.queue._buffer.pop()
            data = bytes(message.data) if type(message.data) is bytearray else message.data
            self.queue._buffer.append((message._replace(data=data), size))
        elif name == "_handle_frame" and self.queue._buffer:
            message, size = self.queue._buffer.pop()
            self.queue._buffer.append((tuple(message), size))

    with pytest.raises((Mismatch, AttributeError)):
        check_reader(wrong)


# --- its tools ---------------------------------------------------------------------------------


def test_a_writer_has_keys_that_its_seed_decides() -> None:
    first, second = (new_writer(WebSocketWriter, use_mask=True, seed=7) for _ in range(2))
    assert first.get_random_bits() == second.get_random_bits()
    assert first.transport.written == []


def test_a_reader_knows_its_limits() -> None:
    queue = new_queue(WebSocketDataQueue, 1000)
    reader = new_reader(WebSocketReader, queue, Reads((), max_msg_size=5))
    reader.feed_data(frame_bytes(2, b"1234"))
    assert queue._buffer
    reader.feed_data(frame_bytes(2, b"12345"))
    assert type(reader._exc) is reader_py.WebSocketError


def test_everything_that_frames_can_be_is_generated() -> None:
    random, firsts = Random(5), set()
    for _ in range(400):
        data = b"".join(selftest._messages(random, True))
        firsts.add(data[:1])
    assert {bytes([each]) for each in (0x01, 0x02, 0x81, 0x82, 0x88, 0xC1, 0xC2)} <= firsts
    assert any(each[0] & 0x10 for each in firsts)
    assert any(each[0] & 0x0F == 11 for each in firsts)
