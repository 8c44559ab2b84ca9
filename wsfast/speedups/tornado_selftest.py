"""Tornado beside itself: the same frames through the originals and through ours.

No socket and no loop is needed for it. A `Link` is a connection over a stream whose descriptor
is a script; while a coroutine runs on it, a loop that does nothing is the running one, so that
Futures can be made wherever `install` is called, in a coroutine as an example.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .selftest import TEXTS, Mismatch, compare, frame_bytes, outcome, pieces, sizes, typed
from .target import Level, Originals

if TYPE_CHECKING:
    from random import Random

__all__ = ["PROTOCOL", "Link", "Running", "parameters", "selftest"]

MASK = "tornado.websocket:_websocket_mask"
PROTOCOL = "tornado.websocket:WebSocketProtocol13."

#: Opcodes, the valid ones more often than the reserved ones.
OPCODES = (0, 0, 1, 1, 1, 1, 2, 2, 2, 8, 9, 9, 10, 3, 7, 11, 15)

#: Control frames between fragments.
CONTROLS = (9, 10)

#: What a connection remembers from frame to frame, and what its users look at.
FIELDS = (
    "client_terminated",
    "server_terminated",
    "close_code",
    "close_reason",
    "_frame_compressed",
    "_fragmented_message_buffer",
    "_fragmented_message_opcode",
    "_message_bytes_in",
    "_message_bytes_out",
    "_wire_bytes_in",
    "_wire_bytes_out",
)


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """Compare what is replaced at a level with the originals, on random input.

    Raises:
        Mismatch: naming what differs.
    """
    for where, original in originals.items():
        if where.endswith(":_websocket_mask"):
            _check_mask(where, original, random)
    if level == "frames":
        _check_writing(originals[PROTOCOL + "_write_frame"], random)
        if PROTOCOL + "_receive_frame" in originals:
            _check_reached()
            for _ in range(2):
                _check_receiving(originals[PROTOCOL + "_receive_frame"], random)


# --- a connection without a socket --------------------------------------------------------------


class Loop:
    """The running loop while a coroutine is driven by hand.

    Attributes:
        futures: how many were made.
    """

    def __init__(self) -> None:
        self.futures = 0

    def get_debug(self) -> bool:
        self.futures += 1
        return False

    def call_soon(self, *_: Any, **__: Any) -> None:
        """Nobody waits: coroutines are driven by hand."""

    # Tornado's own loop, as far as a closing connection asks for it.

    def time(self) -> float:
        return 0.0

    def add_timeout(self, *_: Any) -> object:
        return self

    def remove_timeout(self, _: Any) -> None:
        """Nothing ever times out."""


class Running:
    """Makes a loop the running one of this thread for a moment."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        from asyncio import _get_running_loop, _set_running_loop

        self._before = _get_running_loop()
        _set_running_loop(self._loop)  # type: ignore[arg-type]

    def __exit__(self, *_: object) -> None:
        from asyncio import _set_running_loop

        _set_running_loop(self._before)


@functools.cache
def _stream_class(base: type[Any]) -> type[Any]:
    """A stream over a script; its reading is Tornado's own down to `read_from_fd`."""

    class ScriptedStream(base):  # type: ignore[misc]
        def __init__(self, loop: Loop) -> None:
            self.io_loop = loop
            self.arrived = memoryview(b"")
            self.written: list[Any] = []
            self.max_buffer_size = 104857600
            self.read_chunk_size = 65536
            self.error = None
            self._read_buffer = bytearray()
            self._read_buffer_size = 0
            self._user_read_buffer = False
            self._after_user_read_buffer = None
            self._read_delimiter = None
            self._read_regex = None
            self._read_max_bytes = None
            self._read_bytes = None
            self._read_partial = False
            self._read_until_close = False
            self._read_future = None
            self._close_callback = self.close
            self._state: int | None = None
            self._closed = False
            self._read_buffer_pos = 0

        def arrive(self, data: bytes) -> None:
            self.arrived = memoryview(bytes(self.arrived) + data if self.arrived else data)
            self._handle_read()

        def read_from_fd(self, buf: Any) -> int | None:
            count = min(len(buf), len(self.arrived))
            buf[:count] = self.arrived[:count]
            self.arrived = self.arrived[count:]
            return count or None

        def write(self, data: Any) -> Any:
            self.written.append(data)
            return _Written()

        def close(self, exc_info: Any = False) -> None:
            self._closed = True

        def _add_io_state(self, state: int) -> None:
            self._state = (self._state or 0) | state

    return ScriptedStream


class _Written:
    """The Future of a write, done at once."""

    def done(self) -> bool:
        return True

    def add_done_callback(self, _: Any) -> None:
        """A connection is told of its pongs; here it sends one after the other."""


class Handler:
    """What a connection hands its messages to.

    Attributes:
        log: what it was told, with types.
    """

    def __init__(self, awaits: bool) -> None:
        self.log: list[Any] = []
        self._awaits = awaits

    def _told(self, name: str, *values: Any) -> Any:
        self.log.append((name, typed(values)))
        if not self._awaits:
            return None
        from asyncio import Future

        done: Future[None] = Future()
        done.set_result(None)
        return done

    def on_message(self, message: Any) -> Any:
        return self._told("message", message)

    def on_ping(self, data: Any) -> None:
        self._told("ping", data)

    def on_pong(self, data: Any) -> None:
        self._told("pong", data)

    def log_exception(self, *error: Any) -> None:
        self._told("error", str(error[1]))


def parameters(limit: int = 10 * 1024 * 1024, compressed: bool = False) -> Any:
    """What Tornado makes a connection with."""
    from tornado.websocket import _WebSocketParams

    return _WebSocketParams(max_message_size=limit, compression_options={} if compressed else None)


class Link:
    """A connection over a scripted stream.

    Args:
        masks: whether it masks what it sends, as clients do.
        params: see `parameters`.
        awaits: whether the handler returns Futures.

    Attributes:
        protocol, stream, handler, loop: its parts.
    """

    def __init__(self, masks: bool, params: Any, awaits: bool = False) -> None:
        from tornado.iostream import IOStream
        from tornado.websocket import WebSocketProtocol13

        self.loop = Loop()
        self.handler = Handler(awaits)
        self.stream = _stream_class(IOStream)(self.loop)
        self.protocol: Any = WebSocketProtocol13(self.handler, masks, params)
        self.protocol.stream = self.stream
        if params.compression_options is not None:
            self.protocol._create_compressors("server", {})

    def receive(self, receive_frame: Callable[[Any], Any], chunks: list[bytes]) -> list[Any]:
        """Receive frames until the chunks are used up, or the connection ends; what was seen."""
        waiting = iter(chunks)
        seen = []
        with Running(self.loop):
            while not self.protocol.client_terminated:
                done = outcome(self._one, receive_frame(self.protocol), waiting)
                seen.append((done, self._seen()))
                if done.kind == "raised" or not done.value[1]:
                    break
        return seen

    def _one(self, coroutine: Any, waiting: Iterator[bytes]) -> bool:
        """Drive it through one frame; False if the chunks did not suffice."""
        while True:
            try:
                future = coroutine.send(None)
            except StopIteration:
                return True
            while not future.done():
                chunk = next(waiting, None)
                if chunk is None:
                    coroutine.close()
                    return False
                self.stream.arrive(chunk)

    def _seen(self) -> Any:
        fields = {name: typed(getattr(self.protocol, name, None)) for name in FIELDS}
        stream = self.stream
        held = bytes(stream._read_buffer), stream._read_buffer_size, stream._state
        written = typed([each for each in stream.written])
        return self.handler.log[:], fields, held, written, stream._closed


# --- the mask ---------------------------------------------------------------------------------


def _check_mask(where: str, original: Any, random: Random) -> None:
    from .guard import find

    ours = find(where)[2]
    for size in sizes(random, 8):
        compare(where, original, ours, random.randbytes(4), random.randbytes(size))
    data = random.randbytes(random.randrange(40))
    for odd in (
        (b"abc", data),
        (b"abcde", data),
        (bytearray(b"abcd"), data),
        (b"abcd", bytearray(data)),
        (b"abcd", memoryview(data)),
        (b"abcd", "text"),
        ("abcd", data),
        (None, data),
        (b"abcd", None),
        (b"abcd", 3),
    ):
        compare(where, original, ours, *odd)


# --- writing ----------------------------------------------------------------------------------


def _check_writing(original: Any, random: Random) -> None:
    from tornado.websocket import WebSocketProtocol13

    for size in (*sizes(random, 6), random.choice((65535, 65536, 70000))):
        data = random.randbytes(size)
        opcode, fin = random.choice(OPCODES), random.random() < 0.8
        flags = random.choice((0, 0, 0x40, 0x70))
        _compare_writing(original, WebSocketProtocol13, random, fin, opcode, data, flags)
    for odd in (
        (True, 9, bytes(126)),
        (False, 9, b""),
        (True, 1, bytearray(b"data")),
        (True, 1, memoryview(b"data")),
        (True, 1, "text"),
        (True, 256, b"data"),
        (True, -1, b"data"),
        (True, None, b"data"),
        (1, True, b"data"),
        (True, 1, b"data", 1 << 70),
    ):
        _compare_writing(original, WebSocketProtocol13, random, *odd)


def _compare_writing(original: Any, owner: Any, random: Random, *arguments: Any) -> None:
    masks = random.random() < 0.5
    seen = []
    for write_frame in (original, owner._write_frame):
        link = Link(masks, parameters())
        done = outcome(write_frame, link.protocol, *arguments)
        kind = done.value[0] if done.kind == "returned" else done.value
        frames = [(type(each), _without_key(each, masks)) for each in link.stream.written]
        seen.append((done.kind, kind, frames, link.protocol._wire_bytes_out))
    if seen[0] != seen[1]:
        told = f"_write_frame{arguments!r}"[:200]
        raise Mismatch(f"{told}: the original {seen[0]!r:.300}, wsfast {seen[1]!r:.300}")


def _without_key(frame: bytes, masked: bool) -> tuple[bytes, bytes]:
    """Header and payload; keys are random, so the frame is unmasked with its own."""
    head = {126: 4, 127: 10}.get(frame[1] & 127, 2)
    if not masked:
        return frame[:head], frame[head:]
    key, payload = frame[head : head + 4], frame[head + 4 :]
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    plain = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return frame[:head], plain.to_bytes(len(payload), "big")


# --- receiving --------------------------------------------------------------------------------


def _check_reached() -> None:
    """A whole frame in the stream's buffer needs no read: no Future is made for it."""
    from tornado.websocket import WebSocketProtocol13

    link = Link(False, parameters())
    link.stream._read_buffer += frame_bytes(1, b"reached", masking_key=b"\x01\x02\x03\x04")
    link.stream._read_buffer_size = len(link.stream._read_buffer)
    with Running(link.loop):
        link._one(WebSocketProtocol13._receive_frame(link.protocol), iter(()))
    if link.handler.log != [("message", typed(("reached",)))] or link.loop.futures:
        raise Mismatch(f"_receive_frame is not reached: {link.handler.log}")


def _check_receiving(original: Any, random: Random) -> None:
    from tornado.websocket import WebSocketProtocol13

    compressed, awaits = random.random() < 0.3, random.random() < 0.3
    limit = random.choice((10 * 1024 * 1024, 300))
    data = b"".join(_frames(random, compressed))
    chunks = list(pieces(data, random))
    if len(chunks) > 60:
        chunks = [data]
    seen = [
        Link(False, parameters(limit, compressed), awaits).receive(receive_frame, chunks)
        for receive_frame in (original, WebSocketProtocol13._receive_frame)
    ]
    for theirs, ours in zip(*seen, strict=False):
        if theirs != ours:
            told = f"_receive_frame of {data!r:.300} in {len(chunks)} pieces"
            raise Mismatch(f"{told}: the original {theirs!r:.600}, wsfast {ours!r:.600}")
    if len(seen[0]) != len(seen[1]):
        raise Mismatch(
            f"_receive_frame: {len(seen[0])} and {len(seen[1])} frames of {data!r:.300}"
        )


def _frames(random: Random, compressed: bool) -> Iterator[bytes]:
    """Messages in order for the most part, and a frame that may be anything now and then."""
    deflate = zlib.compressobj(wbits=-15)
    for _ in range(random.randint(1, 6)):
        payload = random.choice((random.randbytes(random.choice((0, 5, 126, 300))), *TEXTS))
        key = random.choice((None, random.randbytes(4)))
        if random.random() < 0.2:
            yield _any_frame(random, payload, key)
            continue
        deflated = compressed and random.random() < 0.5
        if deflated:
            payload = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        yield from _fragments(random, payload, 4 if deflated else 0, key)


def _known(opcodes: tuple[int, ...]) -> tuple[int, ...]:
    """Without Pong where Tornado asks its own loop for the time of the last one (before 6.5)."""
    import tornado

    late = tornado.version_info >= (6, 5)
    return tuple(each for each in opcodes if late or each != 10)


def _any_frame(random: Random, payload: bytes, key: bytes | None) -> bytes:
    return frame_bytes(
        random.choice(_known(OPCODES)),
        payload,
        fin=random.random() < 0.8,
        rsv=random.choice((0, 0, 0, 4, 1)),
        masking_key=key,
        length_form=random.choice((None, None, 16, 64)),
    )


def _fragments(random: Random, payload: bytes, rsv: int, key: bytes | None) -> Iterator[bytes]:
    """One message in one to three frames, with a ping between them now and then."""
    opcode, count = random.choice((1, 2)), random.choice((1, 1, 2, 3))
    for number in range(count):
        part = payload[len(payload) * number // count : len(payload) * (number + 1) // count]
        yield frame_bytes(opcode, part, fin=number == count - 1, rsv=rsv, masking_key=key)
        opcode = rsv = 0
        if random.random() < 0.2:
            yield frame_bytes(random.choice(_known(CONTROLS)), payload[:100], masking_key=key)
