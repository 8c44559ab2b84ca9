"""aiohttp's WebSocketWriter: the same writes, of the same types, with keys from the same place."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("aiohttp")

from aiohttp import ClientConnectionResetError, WSMsgType
from aiohttp._websocket import writer as module
from aiohttp._websocket.writer import WebSocketWriter

from wsfast.speedups.aiohttp_selftest import new_writer
from wsfast.speedups.aiohttp_writer import make_write_websocket_frame
from wsfast.speedups.selftest import SIZES, outcome, typed

if not hasattr(WebSocketWriter, "_write_websocket_frame"):
    pytest.skip("this aiohttp has no _write_websocket_frame", allow_module_level=True)

original = WebSocketWriter._write_websocket_frame
ours = make_write_websocket_frame(original)


class Theirs(WebSocketWriter):
    """As aiohttp has it, whatever is installed."""

    _write_websocket_frame = original


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    with mock.patch.object(WebSocketWriter, "_write_websocket_frame", ours):
        yield


def both(*arguments: Any, bits: Any = None, **options: Any) -> tuple[Any, Any]:
    """What a call comes to, with ours and with the original."""
    found = []
    for owner in (WebSocketWriter, Theirs):
        writer = new_writer(owner, use_mask=options.pop("use_mask", True), **options)
        options["use_mask"] = writer.use_mask
        if bits is not None:
            writer.get_random_bits = lambda: bits
        done = outcome(writer._write_websocket_frame, *arguments)
        found.append((done, typed(writer.transport.written), writer._output_size))
    return found[0], found[1]


# --- the bytes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("use_mask", [True, False])
@pytest.mark.parametrize("size", [*SIZES, 16384, 16385, 65535, 65536, 300_000])
def test_frames_are_the_same(size: int, use_mask: bool) -> None:
    message = Random(size).randbytes(size)
    mine, theirs = both(message, 2, 0, use_mask=use_mask, seed=size)
    assert mine == theirs
    assert mine[0].kind == "returned"


@pytest.mark.parametrize("opcode", [*range(16), *WSMsgType])
@pytest.mark.parametrize("rsv", [0, 0x40, 0x30, 0x70])
def test_every_opcode_and_every_rsv(opcode: int, rsv: int) -> None:
    mine, theirs = both(b"message", opcode, rsv)
    assert mine == theirs


@pytest.mark.parametrize("opcode, rsv", [(256, 0), (-1, 0), (1 << 70, 0), (1, 256), (1, -1)])
@pytest.mark.parametrize("closing", [False, True])
def test_numbers_that_are_no_byte(opcode: int, rsv: int, closing: bool) -> None:
    mine, theirs = both(b"message", opcode, rsv, closing=closing)
    assert mine == theirs


@pytest.mark.parametrize(
    "message",
    [
        bytearray(b"message"),
        memoryview(b"message"),
        memoryview(b"messages")[::2],
        memoryview(b"messages").cast("I"),
        bytearray(20000),
        memoryview(bytes(20000)),
        "text",
        None,
        3,
        [1, 2, 3],
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("use_mask", [True, False])
def test_messages_of_other_types(message: Any, use_mask: bool) -> None:
    mine, theirs = both(message, 2, 0, use_mask=use_mask)
    assert mine == theirs


@pytest.mark.parametrize("opcode", [None, "1", 1.0, True])
def test_opcodes_of_other_types(opcode: Any) -> None:
    mine, theirs = both(b"message", opcode, 0)
    assert mine == theirs


def test_a_large_message_of_a_server_is_written_behind_its_header_and_not_copied() -> None:
    message = bytes(module.MSG_SIZE + 1)
    writer = new_writer(WebSocketWriter, use_mask=False)
    writer._write_websocket_frame(message, 2, 0)
    header, payload = writer.transport.written
    assert header == b"\x82\x7e\x40\x01"
    assert payload is message
    assert writer._output_size == len(message) + 4


def test_a_large_message_of_a_client_is_one_write() -> None:
    writer = new_writer(WebSocketWriter, use_mask=True)
    writer._write_websocket_frame(bytes(100_000), 2, 0)
    (frame,) = writer.transport.written
    assert type(frame) is bytes
    assert writer._output_size == len(frame) == 100_014


# --- whom it asks ------------------------------------------------------------------------------


def test_keys_are_those_of_the_writers_own_source() -> None:
    writer = new_writer(WebSocketWriter, use_mask=True)
    asked = []

    def bits() -> int:
        asked.append(1)
        return 0x01020304

    writer.get_random_bits = bits
    writer._write_websocket_frame(bytes(4), 2, 0)
    assert writer.transport.written == [b"\x82\x84\x01\x02\x03\x04\x01\x02\x03\x04"]
    assert len(asked) == 1


@pytest.mark.parametrize("bits", [-1, 1 << 32, 1 << 70, "key", 1.5, True, 0, 0xFFFFFFFF, [4]])
def test_keys_that_are_none(bits: Any) -> None:
    mine, theirs = both(b"message", 2, 0, bits=bits)
    assert mine == theirs


def test_a_server_asks_for_no_key() -> None:
    writer = new_writer(WebSocketWriter, use_mask=False)
    writer.get_random_bits = mock.Mock(side_effect=AssertionError)
    writer._write_websocket_frame(b"message", 2, 0)
    assert writer.transport.written == [b"\x82\x07message"]


@pytest.mark.parametrize("use_mask", [True, False])
def test_nothing_is_written_on_a_closing_transport(use_mask: bool) -> None:
    writer = new_writer(WebSocketWriter, use_mask=use_mask, closing=True)
    writer.get_random_bits = mock.Mock(side_effect=AssertionError)
    with pytest.raises(ClientConnectionResetError, match="^Cannot write to closing transport$"):
        writer._write_websocket_frame(b"message", 1, 0)
    assert writer.transport.written == []
    assert writer._output_size == 0


def test_the_transport_is_asked_once() -> None:
    for closing in (False, True):
        writer = new_writer(WebSocketWriter, use_mask=True, closing=closing)
        with mock.patch.object(writer.transport, "is_closing", return_value=closing) as asked:
            outcome(writer._write_websocket_frame, b"message", 1, 0)
        assert asked.call_count == 1


def test_what_a_transport_raises_is_passed_on_and_not_counted() -> None:
    writer = new_writer(WebSocketWriter, use_mask=True)
    writer.transport.write = mock.Mock(side_effect=OSError("gone"))
    with pytest.raises(OSError, match="^gone$"):
        writer._write_websocket_frame(b"message", 1, 0)
    assert writer._output_size == 0


def test_another_mask_is_used() -> None:
    def no_mask(mask: bytes, data: bytearray) -> None:
        assert len(mask) == 4

    with mock.patch.object(module, "websocket_mask", no_mask):
        writer = new_writer(WebSocketWriter, use_mask=True)
        writer._write_websocket_frame(b"message", 1, 0)
    assert writer.transport.written[0].endswith(b"message")
    writer._write_websocket_frame(b"message", 1, 0)
    assert not writer.transport.written[1].endswith(b"message")


def test_a_subclass_hears_of_every_frame() -> None:
    class Counting(WebSocketWriter):
        frames = 0

        def _write_websocket_frame(self, message: bytes, opcode: int, rsv: int) -> None:
            self.frames += 1
            super()._write_websocket_frame(message, opcode, rsv)

    async def send() -> Any:
        writer = new_writer(Counting, use_mask=True)
        for opcode in (1, 2, 9):
            await writer.send_frame(b"message", opcode)
        return writer

    writer = asyncio.run(send())
    assert writer.frames == len(writer.transport.written) == 3


# --- through send_frame ------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [0, 15])
@pytest.mark.parametrize("use_mask", [True, False])
@pytest.mark.parametrize("size", [0, 130, 5000, 20000, 100_000])
def test_messages_are_sent_the_same(size: int, use_mask: bool, compress: int) -> None:
    async def send(owner: Any) -> Any:
        writer = new_writer(owner, use_mask=use_mask, seed=size, compress=compress)
        for opcode in (WSMsgType.TEXT, WSMsgType.BINARY):
            await writer.send_frame(b"na" * (size // 2), opcode)
        await writer.send_frame(b"ping", WSMsgType.PING)
        await writer.send_frame(b"once", WSMsgType.BINARY, compress=9)
        await writer.close(1001, "away")
        return typed(writer.transport.written), writer._output_size

    assert asyncio.run(send(WebSocketWriter)) == asyncio.run(send(Theirs))


def test_nothing_is_sent_after_the_close() -> None:
    async def send() -> None:
        writer = new_writer(WebSocketWriter, use_mask=True)
        await writer.close()
        with pytest.raises(ClientConnectionResetError):
            await writer.send_frame(b"message", 1)

    asyncio.run(send())


def test_a_writer_that_is_paused_drains_when_the_limit_is_passed() -> None:
    async def send() -> Any:
        writer = new_writer(WebSocketWriter, use_mask=True)
        writer._limit = 100
        writer.protocol._paused = True
        writer.protocol._drain_helper = mock.AsyncMock()
        await writer.send_frame(bytes(90), 2)
        assert writer.protocol._drain_helper.await_count == 0
        await writer.send_frame(bytes(90), 2)
        return writer

    writer = asyncio.run(send())
    assert writer.protocol._drain_helper.await_count == 1
    assert writer._output_size == 0


def test_it_looks_like_the_original() -> None:
    assert ours.__name__ == original.__name__
    assert ours.__qualname__ == original.__qualname__
    assert ours.__doc__ == original.__doc__
    assert ours.__wrapped__ is original
    assert list(inspect.signature(ours).parameters) == ["self", "message", "opcode", "rsv"]
    writer = new_writer(WebSocketWriter, use_mask=False)
    writer._write_websocket_frame(message=b"named", opcode=1, rsv=0)
    assert writer.transport.written == [b"\x81\x05named"]
