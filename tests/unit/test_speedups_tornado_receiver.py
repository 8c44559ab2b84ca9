"""Tornado's _receive_frame: from the stream's buffer, at once if everything is there."""

from __future__ import annotations

import asyncio
import inspect
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("tornado")

from tornado import websocket as module
from tornado.iostream import BaseIOStream, StreamClosedError
from tornado.websocket import WebSocketProtocol13

from wsfast.speedups.guard import fingerprint
from wsfast.speedups.selftest import SIZES, TEXTS, frame_bytes, typed
from wsfast.speedups.tornado_receiver import make_receive_frame
from wsfast.speedups.tornado_selftest import Link, Running, parameters

KEY = b"\x12\x34\x56\x78"
MASKS = pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
CUTS = pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000, 1 << 20])

original = WebSocketProtocol13._receive_frame
ours = make_receive_frame(original)


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    with mock.patch.object(WebSocketProtocol13, "_receive_frame", ours):
        yield


def chunks_of(data: bytes, cut: int) -> list[bytes]:
    return [data[start : start + cut] for start in range(0, len(data), cut)]


def same(data: bytes, cut: int = 1 << 30, awaits: bool = False, **options: Any) -> Link:
    """What both see is the same; returns our connection."""
    links = []
    seen = []
    for receive_frame in (original, ours):
        link = Link(False, parameters(**options), awaits)
        seen.append(link.receive(receive_frame, chunks_of(data, cut)))
        links.append(link)
    assert seen[0] == seen[1]
    return links[1]


def messages(link: Link) -> list[Any]:
    return [values[1][0][1] for name, values in link.handler.log if name == "message"]


def held(link: Link, data: bytes) -> None:
    """Put it into the stream's buffer, as if read."""
    link.stream._read_buffer += data
    link.stream._read_buffer_size = len(link.stream._read_buffer)


def receive_held(link: Link) -> None:
    """Receive one frame that is held."""
    with Running(link.loop):
        link.loop.futures = 0
        with pytest.raises(StopIteration):
            link.protocol._receive_frame().send(None)


# --- messages ----------------------------------------------------------------------------------


@MASKS
@pytest.mark.parametrize("size", [*SIZES, 65535, 65536, 300_000])
def test_messages_of_every_size(size: int, key: bytes | None) -> None:
    data = Random(size).randbytes(size)
    text = ("žluťoučký kůň " * (size // 14))[: size // 2]
    stream = frame_bytes(2, data, masking_key=key) + frame_bytes(1, b"a" * size, masking_key=key)
    stream += frame_bytes(1, text.encode(), masking_key=key)
    link = same(stream)
    assert messages(link) == [data, "a" * size, text]
    assert [type(each) for each in messages(link)] == [bytes, str, str]
    assert link.protocol._wire_bytes_in == len(stream)


@MASKS
@CUTS
@pytest.mark.parametrize("awaits", [False, True])
def test_a_stream_in_pieces(awaits: bool, cut: int, key: bytes | None) -> None:
    stream = b"".join(
        [
            frame_bytes(1, "kůň".encode(), masking_key=key),
            frame_bytes(2, bytes(300), masking_key=key),
            frame_bytes(1, b"frag", fin=False, masking_key=key),
            frame_bytes(9, b"between", masking_key=key),
            frame_bytes(0, b"men", fin=False, masking_key=key),
            frame_bytes(0, b"ted", masking_key=key),
            frame_bytes(2, b"", masking_key=key),
            frame_bytes(2, bytes(70000 if cut > 100 else 700), masking_key=key),
            frame_bytes(1, "漢字".encode() * (3000 if cut > 100 else 30), masking_key=key),
            frame_bytes(8, struct.pack("!H", 1000) + b"bye", masking_key=key),
        ]
    )
    link = same(stream, cut, awaits)
    assert messages(link)[2] == "fragmented"
    assert len(messages(link)) == 6
    assert link.protocol.close_reason == "bye"


@pytest.mark.parametrize("opcode", [1, 2])
def test_a_whole_frame_needs_no_future(opcode: int) -> None:
    frame = frame_bytes(opcode, b"x" * 200, masking_key=KEY)
    link = Link(False, parameters())
    held(link, frame * 3)
    for number in range(3):
        receive_held(link)
        assert link.loop.futures == 0
        assert link.stream._read_buffer_size == len(link.stream._read_buffer)
        assert len(link.stream._read_buffer) == len(frame) * (2 - number)
    assert len(messages(link)) == 3


def test_a_large_frame_needs_two() -> None:
    frame = frame_bytes(1, b"x" * 100_000, masking_key=KEY)
    link = Link(False, parameters())
    link.receive(ours, [frame[:1], frame[1:500], frame[500:]])
    assert messages(link) == ["x" * 100_000]
    assert link.loop.futures == 3  # the last one waits for the next frame


@CUTS
@pytest.mark.parametrize("awaits", [False, True])
def test_compressed_messages(cut: int, awaits: bool) -> None:
    deflate, stream = zlib.compressobj(wbits=-15), b""
    for number in range(6):
        payload = deflate.compress(b"compressed " * 50 * number) + deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = payload[:-4]
        stream += frame_bytes(1, payload[:9], fin=False, rsv=4, masking_key=KEY)
        stream += frame_bytes(0, payload[9:], masking_key=KEY)
        stream += frame_bytes(9, b"between", masking_key=KEY)
        stream += frame_bytes(2, b"plain", masking_key=KEY)
        payload = deflate.compress(b"whole") + deflate.flush(zlib.Z_SYNC_FLUSH)
        stream += frame_bytes(1, payload[:-4], rsv=4, masking_key=KEY)
    link = same(stream, cut, awaits, compressed=True)
    assert len(messages(link)) == 18


# --- errors ------------------------------------------------------------------------------------


@MASKS
@CUTS
@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_are_not_utf8(text: bytes, cut: int, key: bytes | None) -> None:
    stream = frame_bytes(2, b"before", masking_key=key) + frame_bytes(1, text, masking_key=key)
    link = same(stream + frame_bytes(2, b"after", masking_key=key), cut)
    try:
        text.decode()
    except UnicodeDecodeError:
        assert link.stream._closed
        assert messages(link) == [b"before"]
    else:
        assert messages(link) == [b"before", text.decode(), b"after"]


@MASKS
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("fin", [False, True])
def test_first_bytes(fin: bool, compressed: bool, key: bytes | None) -> None:
    """Opcodes, RSV and FIN, after a whole message and after a fragment."""
    odd = bytearray(frame_bytes(1, b"odd", masking_key=key))
    rest = frame_bytes(0, b"end") + frame_bytes(1, b"x")
    for first in range(256):
        odd[0] = first
        stream = frame_bytes(2, b"before", fin=fin, masking_key=key) + odd + rest
        for cut in (1, 7, 1000):
            same(stream, cut, compressed=compressed)


@MASKS
@CUTS
@pytest.mark.parametrize("size", [98, 99, 100, 101, 126, 70000])
def test_the_limit(size: int, cut: int, key: bytes | None) -> None:
    whole = frame_bytes(2, bytes(size), masking_key=key)
    halves = frame_bytes(2, bytes(size // 2), fin=False, masking_key=key)
    halves += frame_bytes(0, bytes(size - size // 2), masking_key=key)
    for stream in (whole * 2, halves * 2):
        link = same(stream, cut, limit=100)
        assert len(messages(link)) == (2 if size <= 100 else 0)
        assert link.stream.written == ([] if size <= 100 else [b"\x88\x11\x03\xf1message too big"])


@CUTS
@pytest.mark.parametrize(
    "length", [1 << 63, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 14, 1 << 31]
)
def test_lengths_that_nobody_sends(length: int, cut: int) -> None:
    stream = frame_bytes(1, b"before") + b"\x82\xff" + struct.pack("!Q", length) + KEY + b"data"
    assert same(stream, cut).stream._closed


@CUTS
@pytest.mark.parametrize("form", [16, 64])
def test_lengths_in_a_longer_form(form: int, cut: int) -> None:
    stream = frame_bytes(2, b"data", masking_key=KEY, length_form=form) * 2
    assert messages(same(stream + frame_bytes(1, b"text"), cut)) == [b"data", b"data", "text"]


def test_an_announced_size_is_not_allocated() -> None:
    link = Link(False, parameters(limit=1 << 28))
    tracemalloc.start()
    try:
        link.receive(ours, [b"\x82\xff" + struct.pack("!Q", 1 << 27) + KEY + b"data"])
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert messages(link) == []


def test_what_a_handler_raises_is_logged_and_ends_the_connection() -> None:
    for receive_frame in (ours, original):
        link = Link(False, parameters())
        with mock.patch.object(link.handler, "on_message", side_effect=KeyError("mine")):
            link.receive(receive_frame, [frame_bytes(1, b"text", masking_key=KEY)])
        assert link.handler.log == [("error", typed(("'mine'",)))]
        assert link.stream._closed


# --- a stream that closes ----------------------------------------------------------------------


def test_what_was_read_before_the_stream_closed_is_received() -> None:
    link = Link(False, parameters())
    held(link, frame_bytes(1, b"last", masking_key=KEY))
    link.stream.close()
    receive_held(link)
    assert messages(link) == ["last"]


@pytest.mark.parametrize("before", [b"", b"\x81", b"\x81\x84", b"\x81\x84abcd", b"\x81\x84abcdte"])
def test_a_stream_that_is_closed_raises(before: bytes) -> None:
    left = []
    for receive_frame in (ours, original):
        link = Link(False, parameters())
        held(link, before)
        link.stream.close()
        with Running(link.loop), pytest.raises(StreamClosedError):
            receive_frame(link.protocol).send(None)
        left.append((bytes(link.stream._read_buffer), link.protocol._wire_bytes_in))
    assert left[0] == left[1]


def test_a_connection_that_ended_while_its_payload_arrived_hands_on_nothing() -> None:
    for receive_frame in (ours, original):
        for frame in (frame_bytes(1, b"late", masking_key=KEY), frame_bytes(2, b"late")):
            link = Link(False, parameters())
            with Running(link.loop):
                waiting = receive_frame(link.protocol)
                waiting.send(None)
                link.stream.arrive(frame[:-1])
                waiting.send(None)
                link.protocol.client_terminated = True
                link.stream.arrive(frame[-1:])
                with pytest.raises(StopIteration):
                    waiting.send(None)
            assert link.handler.log == []
            assert link.protocol._message_bytes_in == 0


def test_somebody_who_reads_already_is_an_error() -> None:
    for receive_frame in (ours, original):
        link = Link(False, parameters())
        with Running(link.loop):
            link.stream.read_bytes(100)
            with pytest.raises(AssertionError, match="^Already reading$"):
                receive_frame(link.protocol).send(None)


def test_a_closed_connection_is_noticed_when_the_buffer_is_empty() -> None:
    """The stream listens for the end, whoever emptied its buffer."""
    link = Link(False, parameters())
    held(link, frame_bytes(1, b"one") * 2)
    receive_held(link)
    assert link.stream._state is None
    receive_held(link)
    assert link.stream._state is not None


def test_a_wait_can_be_cancelled() -> None:
    link = Link(False, parameters())
    with Running(link.loop):
        waiting = link.protocol._receive_frame()
        waiting.send(None)
        with pytest.raises(asyncio.CancelledError):
            waiting.throw(asyncio.CancelledError())


# --- who else is asked -------------------------------------------------------------------------


def test_a_subclass_that_reads_hears_of_every_read() -> None:
    class Reading(WebSocketProtocol13):
        reads: list[int]

        async def _read_bytes(self, n: int) -> bytes:
            self.reads.append(n)
            return await super()._read_bytes(n)

    link = Link(False, parameters())
    link.protocol.__class__ = Reading
    link.protocol.reads = []
    held(link, frame_bytes(1, b"text", masking_key=KEY))
    receive_held(link)
    assert link.protocol.reads == [2, 4, 4]


def test_a_patched_instance_hears_of_every_read() -> None:
    link = Link(False, parameters())
    held(link, frame_bytes(1, b"text", masking_key=KEY))
    link.protocol._read_bytes = mock.AsyncMock(side_effect=[b"\x81\x00", b""])
    receive_held(link)
    assert messages(link) == [""]
    assert [each.args for each in link.protocol._read_bytes.call_args_list] == [(2,), (0,)]


@pytest.mark.parametrize("opcode", [1, 2, 9])
def test_a_subclass_that_handles_hears_of_every_message(opcode: int) -> None:
    class Handling(WebSocketProtocol13):
        heard: list[Any]

        def _handle_message(self, opcode: int, data: bytes) -> None:
            self.heard.append(typed((opcode, data)))

    link = Link(False, parameters())
    link.protocol.__class__ = Handling
    link.protocol.heard = []
    held(link, frame_bytes(opcode, b"text", masking_key=KEY))
    receive_held(link)
    assert link.protocol.heard == [typed((opcode, b"text"))]
    assert link.loop.futures == 0


def test_a_patched_class_hears_of_every_message() -> None:
    link = Link(False, parameters())
    held(link, frame_bytes(1, b"text", masking_key=KEY) * 2)
    with mock.patch.object(WebSocketProtocol13, "_handle_message", return_value=None) as handle:
        receive_held(link)
    assert handle.call_args == mock.call(1, b"text")
    receive_held(link)
    assert messages(link) == ["text"]


def test_callbacks_run_through_run_callback() -> None:
    link = Link(False, parameters())
    held(link, frame_bytes(1, b"text", masking_key=KEY))
    with mock.patch.object(link.protocol, "_run_callback", return_value=None) as callback:
        receive_held(link)
    assert callback.call_args == mock.call(link.handler.on_message, "text")


@pytest.mark.parametrize("name", ["read_bytes", "_consume", "_find_read_pos", "_finish_read"])
def test_a_stream_of_a_subclass_reads_by_itself(name: str) -> None:
    link = Link(False, parameters())
    calls = []

    def counted(self: Any, *arguments: Any) -> Any:
        calls.append(arguments)
        return getattr(BaseIOStream, name)(self, *arguments)

    link.stream.__class__ = type("Own", (type(link.stream),), {name: counted})
    held(link, frame_bytes(1, b"text", masking_key=KEY))
    receive_held(link)
    assert messages(link) == ["text"]
    assert len(calls) >= 3


def test_a_stream_that_is_none_is_awaited() -> None:
    link = Link(False, parameters())
    link.protocol.stream = mock.Mock()
    link.protocol.stream.read_bytes = mock.AsyncMock(side_effect=[b"\x81\x02", b"ok"])
    receive_held(link)
    assert messages(link) == ["ok"]


def test_another_mask_is_used() -> None:
    link = Link(False, parameters())
    held(link, frame_bytes(1, b"\0\0\0\0", masking_key=b"abcd") * 2)
    with mock.patch.object(module, "_websocket_mask", lambda mask, data: b"mine"):
        receive_held(link)
    receive_held(link)
    assert messages(link) == ["mine", "\0\0\0\0"]


# --- coming and going --------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 1000])
def test_a_connection_may_change_hands_at_every_frame(cut: int) -> None:
    stream = b"".join(
        [
            frame_bytes(1, b"part", fin=False, masking_key=KEY),
            frame_bytes(10, b"pong", masking_key=KEY),
            frame_bytes(0, b"ial", fin=False),
            frame_bytes(0, b"!", masking_key=KEY),
            frame_bytes(2, bytes(200)),
            frame_bytes(1, b"end"),
        ]
    )
    for first in ([], [original]):
        turns = iter([*first, *[ours, original] * 6])

        def in_turns(protocol: Any, turns: Any = turns) -> Any:
            return next(turns)(protocol)

        link = Link(False, parameters())
        link.receive(in_turns, chunks_of(stream, cut))
        assert messages(link) == ["partial!", bytes(200), "end"]


def test_it_looks_like_the_original() -> None:
    assert ours.__name__ == "_receive_frame"
    assert ours.__qualname__ == original.__qualname__
    assert ours.__wrapped__ is original
    assert fingerprint(ours) == fingerprint(original)
    assert list(inspect.signature(ours).parameters) == ["self"]
    coroutine = ours(Link(False, parameters()).protocol)
    assert inspect.isawaitable(coroutine)
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()
