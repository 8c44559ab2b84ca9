"""aiohttp's pure-Python WebSocketReader: messages, errors, limits and a queue that is full."""

from __future__ import annotations

import asyncio
import inspect
import struct
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("aiohttp")

from aiohttp import WSMessage, WSMsgType
from aiohttp._websocket import models
from aiohttp._websocket import reader_py as module
from aiohttp._websocket.models import WebSocketError, WSCloseCode
from aiohttp._websocket.reader_py import WebSocketDataQueue, WebSocketReader

from wsfast.speedups.aiohttp_reader import make_feed_data
from wsfast.speedups.aiohttp_selftest import Reads, new_queue, new_reader
from wsfast.speedups.guard import fingerprint
from wsfast.speedups.selftest import SIZES, TEXTS, frame_bytes, typed

KEY = b"\x12\x34\x56\x78"
MASKS = pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
CUTS = pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000, 1 << 20])

original = WebSocketReader._feed_data
ours = make_feed_data(original)


class Theirs(WebSocketReader):
    """As aiohttp has it, whatever is installed."""

    _feed_data = original


class Ours(WebSocketReader):
    """Patched in a class of its own, which is a subclass besides."""

    _feed_data = ours


def run(owner: Any, data: bytes, cut: int = 1 << 30, **options: Any) -> tuple[list[Any], Any, Any]:
    """The messages with their types, the error, and what the protocol was told."""
    reads = Reads((), **options)
    queue = new_queue(WebSocketDataQueue, reads.limit)
    reader = new_reader(owner, queue, reads)
    for start in range(0, len(data), cut):
        reader.feed_data(data[start : start + cut])
    messages = []
    while queue._buffer:
        message = queue._read_from_buffer()
        messages.append((type(message), typed(tuple(message))))
    error = reader._exc
    told = None if error is None else (type(error), error.args, repr(error.__cause__))
    return messages, told, queue._protocol.log


def same(data: bytes, cut: int = 1 << 30, **options: Any) -> tuple[list[Any], Any, Any]:
    """The outcome, which is the same for both."""
    mine, theirs = run(Ours, data, cut, **options), run(Theirs, data, cut, **options)
    assert mine == theirs
    return mine


def fed(owner: Any, *chunks: Any, **options: Any) -> Any:
    reads = Reads((), **options)
    reader = new_reader(owner, new_queue(WebSocketDataQueue, reads.limit), reads)
    for chunk in chunks:
        reader.feed_data(chunk)
    return reader


def is_ours(reader: Any) -> bool:
    """Whether nothing but our code read frames: it leaves no length behind."""
    return bool(reader._payload_len_flag == 0)


# --- messages ----------------------------------------------------------------------------------


@MASKS
@pytest.mark.parametrize("size", [*SIZES, 65535, 65536, 300_000])
def test_messages_of_every_size(size: int, key: bytes | None) -> None:
    data = Random(size).randbytes(size)
    text = ("žluťoučký kůň " * (size // 14))[: size // 2]
    stream = frame_bytes(2, data, masking_key=key) + frame_bytes(1, b"a" * size, masking_key=key)
    stream += frame_bytes(1, text.encode(), masking_key=key)
    messages, error, _ = same(stream)
    assert [each[1][1][1][1] for each in messages] == [data, "a" * size, text]
    assert messages[0][0] is WSMessage
    assert error is None


@MASKS
@CUTS
def test_a_stream_in_pieces(cut: int, key: bytes | None) -> None:
    stream = b"".join(
        [
            frame_bytes(1, "kůň".encode(), masking_key=key),
            frame_bytes(2, bytes(300), masking_key=key),
            frame_bytes(1, b"frag", fin=False, masking_key=key),
            frame_bytes(9, b"between", masking_key=key),
            frame_bytes(0, b"men", fin=False, masking_key=key),
            frame_bytes(0, b"ted", masking_key=key),
            frame_bytes(2, b"", masking_key=key),
            frame_bytes(10, b"", masking_key=key),
            frame_bytes(2, bytes(70000 if cut > 100 else 700), masking_key=key),
            frame_bytes(1, "漢字".encode() * (3000 if cut > 100 else 30), masking_key=key),
            frame_bytes(8, struct.pack("!H", 1000) + b"bye", masking_key=key),
        ]
    )
    messages, error, _ = same(stream, cut, limit=1 << 30)
    assert len(messages) == 9
    assert error is None


@MASKS
def test_a_message_whose_parts_meet_inside_of_a_character(key: bytes | None) -> None:
    text = "漢字" * 40000
    stream = frame_bytes(1, text.encode(), masking_key=key)
    for cut in (65537, 65538, 65539):
        messages, error, _ = same(stream, cut)
        assert messages[0][1][1][1] == (str, text)
        assert error is None


def test_whole_frames_are_read_by_ours() -> None:
    for opcode in (1, 2):
        stream = frame_bytes(opcode, b"x" * 200, masking_key=KEY) * 3
        assert is_ours(fed(Ours, stream))
        assert not is_ours(fed(Theirs, stream))


def test_types_are_those_of_aiohttp() -> None:
    reader = fed(Ours, frame_bytes(1, b"text", masking_key=KEY), frame_bytes(9, b"p"))
    text, ping = reader.queue._buffer.popleft()[0], reader.queue._buffer.popleft()[0]
    assert text == WSMessage(WSMsgType.TEXT, "text", "")
    assert type(text) is WSMessage
    assert type(text.type) is WSMsgType
    assert hash(text) == hash(("text",)[:0] + tuple(text))
    assert ping.data == b"p"
    masked = fed(Ours, frame_bytes(9, b"p", masking_key=KEY)).queue._buffer[0][0]
    assert type(masked.data) is bytearray


@pytest.mark.skipif(
    not hasattr(models, "WSMessageTextBytes"), reason="this aiohttp decodes always"
)
@CUTS
def test_texts_may_stay_bytes(cut: int) -> None:
    stream = frame_bytes(1, b"text \xff", masking_key=KEY) + frame_bytes(
        2, b"data", masking_key=KEY
    )
    messages, error, _ = same(stream * 2, cut, decode_text=False)
    assert [each[0] for each in messages] == [models.WSMessageTextBytes, WSMessage] * 2
    assert error is None


@pytest.mark.parametrize("form", [bytearray, memoryview])
def test_reads_of_other_types(form: Any) -> None:
    frame = frame_bytes(1, b"proactor", masking_key=KEY)
    assert fed(Ours, form(frame)).queue._buffer[0][0].data == "proactor"
    reader = fed(Ours)
    assert ours(reader, frame) is None
    with pytest.raises(TypeError):
        ours(reader, None)


@CUTS
def test_compressed_messages(cut: int) -> None:
    deflate, stream = zlib.compressobj(wbits=-15), b""
    for number in range(6):
        payload = deflate.compress(b"compressed " * 50 * number) + deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = payload[:-4]
        stream += frame_bytes(1, payload[:9], fin=False, rsv=4, masking_key=KEY)
        stream += frame_bytes(9, b"between", masking_key=KEY)
        stream += frame_bytes(0, payload[9:], masking_key=KEY)
        stream += frame_bytes(2, b"plain", masking_key=KEY)
        payload = deflate.compress(b"whole") + deflate.flush(zlib.Z_SYNC_FLUSH)
        stream += frame_bytes(1, payload[:-4], rsv=4, masking_key=KEY)
    messages, error, _ = same(stream, cut, compress=True, max_msg_size=1 << 20)
    assert len(messages) == 24
    assert error is None


# --- errors ------------------------------------------------------------------------------------


@MASKS
@CUTS
@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_are_not_utf8(text: bytes, cut: int, key: bytes | None) -> None:
    stream = frame_bytes(2, b"before", masking_key=key) + frame_bytes(1, text, masking_key=key)
    messages, error, _ = same(stream + frame_bytes(2, b"after", masking_key=key), cut)
    try:
        text.decode()
    except UnicodeDecodeError:
        assert len(messages) == 1
        assert error[:2] == (
            WebSocketError,
            (WSCloseCode.INVALID_TEXT, "Invalid UTF-8 text message"),
        )
    else:
        assert len(messages) == 3


@MASKS
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("fin", [False, True])
def test_first_bytes(fin: bool, compress: bool, key: bytes | None) -> None:
    """Opcodes, RSV and FIN, after a whole message and after a fragment."""
    odd = bytearray(frame_bytes(1, b"odd", masking_key=key))
    rest = frame_bytes(0, b"end") + frame_bytes(1, b"x")
    for first in range(256):
        odd[0] = first
        stream = frame_bytes(2, b"before", fin=fin, masking_key=key) + odd + rest
        for cut in (1, 7, 1000):
            same(stream, cut, compress=compress)


@MASKS
@pytest.mark.parametrize("cut", [1, 3, 1000])
@pytest.mark.parametrize("code", [0, 999, 1000, 1004, 1005, 1011, 1015, 2999, 3000, 5000, 65535])
def test_close_codes(code: int, cut: int, key: bytes | None) -> None:
    for reason in (b"", b"bye", b"\xff"):
        payload = struct.pack("!H", code) + reason
        same(frame_bytes(1, b"x") + frame_bytes(8, payload, masking_key=key), cut)
    same(frame_bytes(8, b"\x03", masking_key=key), cut)
    same(frame_bytes(8, b"", masking_key=key) * 2, cut)


@MASKS
@CUTS
@pytest.mark.parametrize("size", [98, 99, 100, 101, 126, 70000])
def test_the_limit(size: int, cut: int, key: bytes | None) -> None:
    whole = frame_bytes(2, bytes(size), masking_key=key)
    halves = frame_bytes(2, bytes(size // 2), fin=False, masking_key=key)
    halves += frame_bytes(0, bytes(size - size // 2), masking_key=key)
    for stream in (whole * 2, halves * 2):
        messages, error, _ = same(stream, cut, max_msg_size=100)
        assert (error is None) == (size < 100)
        assert len(messages) == (2 if size < 100 else 0)


@CUTS
@pytest.mark.parametrize(
    "length", [1 << 63, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 14, 1 << 31]
)
@pytest.mark.parametrize("max_msg_size", [0, 1 << 22])
def test_lengths_that_nobody_sends(length: int, max_msg_size: int, cut: int) -> None:
    stream = frame_bytes(1, b"before") + b"\x82\xff" + struct.pack("!Q", length) + KEY + b"data"
    same(stream, cut, max_msg_size=max_msg_size)


@CUTS
@pytest.mark.parametrize("form", [16, 64])
def test_lengths_in_a_longer_form(form: int, cut: int) -> None:
    stream = frame_bytes(2, b"data", masking_key=KEY, length_form=form) * 2
    messages, error, _ = same(stream + frame_bytes(1, b"text"), cut)
    assert len(messages) == 3
    assert error is None


def test_a_reader_that_failed_reads_no_more() -> None:
    reader = fed(Ours, frame_bytes(3, b"odd"))
    assert reader.feed_data(frame_bytes(1, b"text")) == (True, frame_bytes(1, b"text"))
    assert not reader.queue._buffer


# --- the queue ---------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 10, 1000])
@CUTS
def test_a_queue_that_nobody_reads_pauses(limit: int, cut: int) -> None:
    stream = frame_bytes(1, b"x" * 100, masking_key=KEY) * 40
    messages, _, log = same(stream, cut, limit=limit)
    assert len(messages) == 40
    assert log[0] == "paused"


@pytest.mark.parametrize("taken", [1, 2, 7])
def test_a_reader_goes_on_as_the_queue_is_read(taken: int) -> None:
    stream = frame_bytes(2, bytes(300), masking_key=KEY) * 30 + frame_bytes(1, b"end")[:4]
    seen: list[Any] = []
    for owner in (Ours, Theirs):
        reader = fed(owner, stream, limit=500)
        queue, states = reader.queue, []
        while queue._buffer:
            for _ in range(min(taken, len(queue._buffer))):
                queue._read_from_buffer()
            states.append(
                (queue._size, len(queue._buffer), len(reader._tail), queue._protocol.log)
            )
        seen.append(states)
    assert seen[0] == seen[1]


def test_somebody_who_waits_is_woken() -> None:
    async def wait() -> Any:
        queue: Any = new_queue(WebSocketDataQueue)
        queue._loop = asyncio.get_running_loop()
        reader = new_reader(Ours, queue, Reads(()))
        waiting = asyncio.ensure_future(queue.read())
        await asyncio.sleep(0)
        reader.feed_data(frame_bytes(1, b"awake", masking_key=KEY))
        return await waiting

    assert asyncio.run(wait()) == WSMessage(WSMsgType.TEXT, "awake", "")


def test_a_queue_of_a_subclass_is_fed() -> None:
    class Listening(WebSocketDataQueue):
        heard: list[Any]

        def feed_data(self, data: Any, size: int) -> None:
            self.heard.append((data.data, size))

    queue = new_queue(Listening)
    queue.heard = []
    new_reader(Ours, queue, Reads(())).feed_data(frame_bytes(1, "kůň".encode(), masking_key=KEY))
    assert queue.heard == [("kůň", 5)]


def test_a_queue_that_is_no_queue_is_fed() -> None:
    queue = mock.Mock(_size=0, _limit=100)
    reader = new_reader(Ours, queue, Reads(()))
    reader.feed_data(frame_bytes(2, b"mocked", masking_key=KEY))
    assert queue.feed_data.call_args == mock.call(WSMessage(WSMsgType.BINARY, b"mocked", ""), 6)


# --- who else is asked -------------------------------------------------------------------------


def test_a_subclass_hears_of_every_frame() -> None:
    class Listening(Ours):
        heard: list[Any]

        def _handle_frame(self, *frame: Any) -> None:
            self.heard.append(typed(frame))

    reader = fed(Listening)
    reader.heard = []
    reader.feed_data(frame_bytes(1, b"one", masking_key=KEY) + frame_bytes(2, b"two"))
    assert reader.heard == [typed((True, 1, bytearray(b"one"), 0)), typed((True, 2, b"two", 0))]


def test_a_patched_instance_hears_of_every_frame() -> None:
    reader = fed(Ours)
    with mock.patch.object(reader, "_handle_frame") as handle:
        reader.feed_data(frame_bytes(1, b"one", masking_key=KEY))
    assert handle.call_args == mock.call(True, 1, bytearray(b"one"), 0)
    reader.feed_data(frame_bytes(1, b"two", masking_key=KEY))
    assert reader.queue._buffer[0][0].data == "two"


def test_a_patched_class_hears_of_every_frame() -> None:
    reader = fed(Ours)
    with mock.patch.object(WebSocketReader, "_handle_frame") as handle:
        reader.feed_data(frame_bytes(1, b"one", masking_key=KEY))
    assert handle.call_count == 1
    reader.feed_data(frame_bytes(1, b"two", masking_key=KEY))
    assert reader.queue._buffer[0][0].data == "two"


def test_another_mask_is_used() -> None:
    reader = fed(Ours)
    with mock.patch.object(module, "websocket_mask"):
        reader.feed_data(frame_bytes(1, b"\0\0\0", masking_key=b"abcd"))
    reader.feed_data(frame_bytes(1, b"two", masking_key=KEY))
    assert [each[0].data for each in reader.queue._buffer] == ["abc", "two"]


def test_a_reader_with_a_foreign_field_is_served_by_the_original() -> None:
    reader = fed(Ours)
    reader._partial = b""
    reader.feed_data(frame_bytes(1, b"one", masking_key=KEY))
    assert reader.queue._buffer[0][0].data == "one"
    assert not is_ours(reader)


# --- coming and going --------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 50])
def test_a_reader_may_change_hands_at_every_byte(cut: int) -> None:
    stream = b"".join(
        [
            frame_bytes(1, b"text" * 40, masking_key=KEY),
            frame_bytes(1, b"part", fin=False, masking_key=KEY),
            frame_bytes(10, b"pong", masking_key=KEY),
            frame_bytes(0, b"end"),
            frame_bytes(2, bytes(200)),
        ]
    )
    expected = [each[0] for each in fed(Theirs, stream).queue._buffer]
    for first in (ours, original):
        reader = fed(Ours)
        turns: Iterator[Any] = iter([first, *[ours, original] * len(stream)])
        for start in range(0, len(stream), cut):
            next(turns)(reader, stream[start : start + cut])
        assert [each[0] for each in reader.queue._buffer] == expected


def test_it_looks_like_the_original() -> None:
    assert ours.__name__ == "_feed_data"
    assert ours.__qualname__ == original.__qualname__
    assert ours.__wrapped__ is original
    assert fingerprint(ours) == fingerprint(original)
    assert list(inspect.signature(ours).parameters) == ["self", "data"]


def test_other_constants_are_refused() -> None:
    with mock.patch.object(module, "READ_PAYLOAD", 5), pytest.raises(ValueError, match="PAYLOAD$"):
        make_feed_data(original)
