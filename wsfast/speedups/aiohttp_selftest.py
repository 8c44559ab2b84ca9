"""aiohttp beside itself: the same frames and reads through the originals and through ours.

The originals run in subclasses that carry them, in turns with the classes that we have patched.
No loop is needed: a writer writes to a list, and a queue is drained by hand, so that readers stall
and go on as they do before a slow consumer.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .selftest import SIZES, TEXTS, Mismatch, compare, frame_bytes, outcome, pieces, sizes, typed
from .target import Level, Originals

if TYPE_CHECKING:
    from random import Random

__all__ = [
    "FEED_DATA",
    "WRITE_FRAME",
    "Reads",
    "new_queue",
    "new_reader",
    "new_writer",
    "selftest_reader",
    "selftest_writer",
]

WRITE_FRAME = "aiohttp._websocket.writer:WebSocketWriter._write_websocket_frame"
FEED_DATA = "aiohttp._websocket.reader_py:WebSocketReader._feed_data"

#: Opcodes, the valid ones more often than the reserved ones.
OPCODES = (0, 1, 1, 2, 2, 8, 9, 10, 3, 11, 15)

#: What a Close can carry, and what it must not.
CLOSES = (b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0\xc3", b"\x03\xed", b"\x04\x00")

#: What a reader remembers from read to read, whatever it reads next.
BETWEEN = ("_state", "_tail", "_opcode", "_partial", "_frame_fin", "_compressed")

#: What it remembers while it is inside of a frame.
WITHIN = (
    "_has_mask",
    "_frame_opcode",
    "_frame_payload_len",
    "_payload_bytes_to_read",
)


def selftest_writer(originals: Originals, level: Level, random: Random) -> None:
    """Compare the writer's frames with the originals.

    Raises:
        Mismatch: naming what differs.
    """
    _check_masks(originals, random)
    if WRITE_FRAME in originals:
        from aiohttp._websocket.writer import WebSocketWriter

        theirs = _carrying(WebSocketWriter, "_write_websocket_frame", originals[WRITE_FRAME])
        _check_writing(theirs, WebSocketWriter, random)


def selftest_reader(originals: Originals, level: Level, random: Random) -> None:
    """Compare what the pure-Python reader makes of its reads with the original.

    Raises:
        Mismatch: naming what differs.
    """
    _check_masks(originals, random)
    if FEED_DATA in originals:
        from aiohttp._websocket.reader_py import WebSocketReader

        _check_reached(WebSocketReader)
        theirs = _carrying(WebSocketReader, "_feed_data", originals[FEED_DATA])
        for _ in range(2):
            _check_reading(theirs, WebSocketReader, random)


def _carrying(base: type[Any], name: str, original: Any) -> type[Any]:
    """The class as it was before that method was replaced."""
    return type(base.__name__, (base,), {name: original})


# --- the mask ---------------------------------------------------------------------------------


def _check_masks(originals: Originals, random: Random) -> None:
    from .guard import find

    for where, original in originals.items():
        if not where.endswith(":websocket_mask"):
            continue
        ours = find(where)[2]
        for size in sizes(random, 4):
            data = bytearray(random.randbytes(size))
            compare(where, original, ours, random.randbytes(4), data)
        data = bytearray(random.randbytes(random.randrange(40)))
        for mask, odd in (
            (b"abc", data),
            (b"abcde", data),
            (bytearray(b"abcd"), data),
            (memoryview(b"abcd"), data),
            (b"abcd", bytes(data)),
            (b"abcd", memoryview(data)),
            (b"abcd", None),
            (None, data),
            ("abcd", data),
        ):
            compare(where, original, ours, mask, odd)


# --- writing ----------------------------------------------------------------------------------


class Transport:
    """What a writer writes to.

    Attributes:
        written: its writes, with types.
    """

    def __init__(self, closing: bool = False) -> None:
        self.written: list[Any] = []
        self._closing = closing

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: Any) -> None:
        self.written.append(data)


class Flow:
    """The protocol of a connection, as far as writers and queues look at it.

    Attributes:
        log: when reading was paused and resumed.
    """

    _paused = False

    def __init__(self) -> None:
        self._reading_paused = False
        self.log: list[str] = []

    def pause_reading(self) -> None:
        self._reading_paused = True
        self.log.append("paused")

    def resume_reading(self) -> None:
        self._reading_paused = False
        self.log.append("resumed")


def new_writer(
    owner: type[Any], *, use_mask: bool, seed: int = 0, closing: bool = False, compress: int = 0
) -> Any:
    """A writer of that class with masking keys that a seed decides."""
    from random import Random

    keys = Random(seed)
    transport = Transport(closing)
    return owner(Flow(), transport, use_mask=use_mask, random=keys, compress=compress)


def _check_writing(theirs: type[Any], ours: type[Any], random: Random) -> None:
    for size in (*sizes(random, 6), random.choice((16384, 16385, 65535, 65536))):
        message = random.randbytes(size)
        _compare_writing(theirs, ours, random, message, random.choice(OPCODES), 0)
    message = random.randbytes(random.randrange(200))
    rsv = random.choice((0, 0x40, 0x70))
    for odd in (
        (bytearray(message), 2, rsv),
        (memoryview(message), 2, rsv),
        (memoryview(message * 4).cast("I"), 2, rsv),
        ("text", 1, 0),
        (None, 1, 0),
        (message, 256, 0),
        (message, -1, 0),
        (message, None, 0),
        (message, 1 << 70, 0),
        (message, True, rsv),
        (message, 1, 256),
        (message, 1.0, 0),
    ):
        _compare_writing(theirs, ours, random, *odd)
    for bits in (-1, 1 << 32, None, "key", True, 0xFFFFFFFF, 0):
        _compare_writing(theirs, ours, random, message, 2, rsv, bits)
    _compare_sending(theirs, ours, random)


def _compare_writing(
    theirs: type[Any],
    ours: type[Any],
    random: Random,
    message: Any,
    opcode: Any,
    rsv: Any,
    *bits: Any,
) -> None:
    seed, use_mask, closing = random.random(), random.random() < 0.6, random.random() < 0.05
    seen = []
    for owner in (theirs, ours):
        writer = new_writer(owner, use_mask=use_mask, seed=int(seed * 1e9), closing=closing)
        if bits:
            writer.get_random_bits = lambda: bits[0]
        done = outcome(writer._write_websocket_frame, message, opcode, rsv)
        seen.append((done, typed(writer.transport.written), writer._output_size))
    if seen[0] != seen[1]:
        told = f"_write_websocket_frame({message!r:.100}, {opcode!r}, {rsv!r})"
        raise Mismatch(f"{told}: the original {seen[0]!r:.300}, wsfast {seen[1]!r:.300}")


def _compare_sending(theirs: type[Any], ours: type[Any], random: Random) -> None:
    """A few messages through `send_frame`, compressed or not; nothing there has to wait."""
    seed, compress = random.randrange(1000), random.choice((0, 15))
    use_mask, data = random.random() < 0.6, random.randbytes(random.choice((0, 130, 5000)))
    seen = []
    for owner in (theirs, ours):
        writer = new_writer(owner, use_mask=use_mask, seed=seed, compress=compress)
        results = []
        for opcode in (1, 2, 9, 10, 2, 8):
            coroutine = writer.send_frame(data[:125] if opcode > 7 else data, opcode)
            results.append(outcome(coroutine.send, None))
        seen.append((results, typed(writer.transport.written), writer._output_size))
    if seen[0] != seen[1]:
        raise Mismatch(f"send_frame: the original {seen[0]!r:.300}, wsfast {seen[1]!r:.300}")


# --- reading ----------------------------------------------------------------------------------


class Reads(NamedTuple):
    """What is read, and by whom.

    Attributes:
        chunks: the reads, each with how many messages are taken from the queue after it.
        limit: of the queue.
        max_msg_size, compress, decode_text: of the reader.
    """

    chunks: Sequence[tuple[bytes, int]]
    limit: int = 1 << 16
    max_msg_size: int = 0
    compress: bool = False
    decode_text: bool = True


def new_queue(owner: type[Any], limit: int = 1 << 16) -> Any:
    """A queue of that class before a `Flow`."""
    return owner(Flow(), limit, loop=None)


def new_reader(owner: type[Any], queue: Any, reads: Reads) -> Any:
    """A reader of that class; it did not always have `decode_text`."""
    from aiohttp._websocket import models

    options = reads.max_msg_size, reads.compress
    if hasattr(models, "WSMessageTextBytes"):
        return owner(queue, *options, reads.decode_text)
    return owner(queue, *options)


def _check_reached(owner: type[Any]) -> None:
    """A frame that we read leaves no length behind, as aiohttp's own code does."""
    from aiohttp._websocket.reader_py import WebSocketDataQueue

    reader = new_reader(owner, new_queue(WebSocketDataQueue), Reads(()))
    reader.feed_data(frame_bytes(1, b"reached", masking_key=b"\x01\x02\x03\x04"))
    message = reader.queue._read_from_buffer()
    if reader._payload_len_flag or message.data not in ("reached", b"reached"):
        raise Mismatch(f"_feed_data is not reached: {message}")


def _check_reading(theirs: type[Any], ours: type[Any], random: Random) -> None:
    compress = random.random() < 0.4
    data = b"".join(_messages(random, compress))
    chunks = list(pieces(data, random))
    if len(chunks) > 60:
        chunks = [data]
    reads = Reads(
        chunks=[(chunk, random.choice((0, 0, 1, 3))) for chunk in chunks],
        limit=random.choice((0, 100, 1000, 1 << 16)),
        max_msg_size=random.choice((0, 0, 100, 4096, 1 << 22)),
        compress=compress,
        decode_text=random.random() < 0.8,
    )
    seen = [list(_read(owner, reads)) for owner in (theirs, ours)]
    for before, after in zip(*seen, strict=True):
        if before != after:
            told = f"_feed_data of {data!r:.300} in {len(chunks)} reads, {reads[1:]}"
            raise Mismatch(f"{told}: the original {before!r:.500}, wsfast {after!r:.500}")


def _read(owner: type[Any], reads: Reads) -> Iterator[Any]:
    """Everything that can be seen of a reader and its queue after each read."""
    from aiohttp._websocket.reader_py import WebSocketDataQueue

    queue = new_queue(WebSocketDataQueue, reads.limit)
    reader = new_reader(owner, queue, reads)
    for chunk, taken in reads.chunks:
        yield typed(reader.feed_data(chunk)), _state(reader)
        for _ in range(min(taken, len(queue._buffer))):
            message = queue._read_from_buffer()
            yield type(message), typed(tuple(message)), _state(reader)
    while queue._buffer:
        message = queue._read_from_buffer()
        yield type(message), typed(tuple(message)), _state(reader)


def _state(reader: Any) -> Any:
    queue, error = reader.queue, reader._exc
    stalled = getattr(queue, "_stalled_reader", None)
    around = queue._size, len(queue._buffer), queue._protocol.log[:], stalled is None
    if error is not None:
        return around, (type(error), error.args, repr(error.__cause__)), queue._exception is error
    fields = BETWEEN if reader._state == 1 else BETWEEN + WITHIN
    masked = reader._frame_mask if reader._has_mask and reader._state == 4 else None
    held = b"".join(reader._payload_fragments)
    return around, {name: typed(getattr(reader, name)) for name in fields}, masked, held


def _messages(random: Random, compress: bool) -> Iterator[bytes]:
    """Messages in order for the most part, and a frame that may be anything now and then."""
    deflate = zlib.compressobj(wbits=-15)
    for _ in range(random.randint(1, 8)):
        payload = random.choice((random.randbytes(random.choice(SIZES)), *TEXTS))
        key = random.choice((None, random.randbytes(4)))
        if random.random() < 0.15:
            yield _any_frame(random, payload, key)
            continue
        deflated = compress and random.random() < 0.5
        if deflated:
            payload = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        yield from _fragments(random, payload, 4 if deflated else 0, key)


def _any_frame(random: Random, payload: bytes, key: bytes | None) -> bytes:
    if random.random() < 0.2:
        return frame_bytes(8, random.choice(CLOSES), masking_key=key)
    return frame_bytes(
        random.choice(OPCODES),
        payload,
        fin=random.random() < 0.8,
        rsv=random.choice((0, 0, 0, 4, 1)),
        masking_key=key,
        length_form=random.choice((None, None, 16, 64)),
    )


def _fragments(random: Random, payload: bytes, rsv: int, key: bytes | None) -> Iterator[bytes]:
    """One message in one to three frames, with a ping between them now and then."""
    opcode, count = random.choice((1, 2)), random.choice((1, 1, 1, 2, 3))
    for number in range(count):
        part = payload[len(payload) * number // count : len(payload) * (number + 1) // count]
        yield frame_bytes(opcode, part, fin=number == count - 1, rsv=rsv, masking_key=key)
        opcode = rsv = 0
        if random.random() < 0.2:
            yield frame_bytes(random.choice((9, 10)), payload[:100], masking_key=key)
