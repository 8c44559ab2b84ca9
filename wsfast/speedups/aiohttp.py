"""aiohttp: with its own Cython reader and mask a client's frames are written faster; without it,
as AIOHTTP_NO_EXTENSIONS and interpreters without a wheel have it, everything is.

The compiled `reader_c` is native already, and holds its mask by a C pointer: nothing is replaced
there, and nothing could be gained. Its pure-Python twin `reader_py` reads all whole frames of one
read in C, and hands them to aiohttp's own queue as before.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Sequence
from typing import Any

from .aiohttp_selftest import (
    FEED_DATA,
    WRITE_FRAME,
    Reads,
    new_queue,
    new_reader,
    new_writer,
    selftest_reader,
    selftest_writer,
)
from .guard import judge_all
from .selftest import frame_bytes
from .target import Part, Slot, Target, Workload

__all__ = ["TARGET"]

HELPERS = "aiohttp._websocket.helpers"
READER = "aiohttp._websocket.reader_py"
COMPILED_READER = "aiohttp._websocket.reader_c"
WRITER = "aiohttp._websocket.writer"

#: What `_feed_data` calls, and ours does itself: part of what was tested, oldest first.
STOOD_FOR = {
    f"{READER}:WebSocketReader._handle_frame": (
        "c6e6dc24fbc1 28d01fecfd06 f84fa008b29c 530f58f6b5ea 12a5d9759269 f6a72e35ff6d"
    ),
    f"{READER}:WebSocketDataQueue.feed_data": "e37babd04059 257223507eeb",
}


def _mask_slots(*modules: str) -> list[Slot]:
    """Where the pure-Python mask is; the compiled one leaves nothing to gain."""
    from .aiohttp_mask import make_websocket_mask

    pure = vars(sys.modules[HELPERS])["_websocket_mask_python"]
    return [
        Slot(f"{each}:websocket_mask", make_websocket_mask, parameters=("mask", "data"))
        for each in modules
        if vars(sys.modules[each]).get("websocket_mask") is pure
    ]


def _writer_slots() -> Sequence[Slot]:
    from .aiohttp_writer import make_write_websocket_frame

    return [
        *_mask_slots(WRITER, HELPERS),
        Slot(
            WRITE_FRAME,
            make_write_websocket_frame,
            level="frames",
            parameters=("self", "message", "opcode", "rsv"),
            fingerprints=frozenset({"a429977436b7", "1113d05096bb"}),
            optional=True,  # before 3.13.2 it was in the middle of send_frame
        ),
    ]


def _reader_slots() -> Sequence[Slot]:
    if COMPILED_READER in sys.modules:
        return []  # aiohttp does not use the one that somebody has imported beside it
    return [
        *_mask_slots(READER),
        Slot(
            FEED_DATA,
            _make_feed_data,
            level="frames",
            parameters=("self", "data"),
            fingerprints=frozenset(
                {"c9825c107224", "5096bf3dfe4b", "f6a88894beed", "3d5a91c388d0", "c80a52155af7"}
            ),
        ),
    ]


def _make_feed_data(original: Any) -> Any:
    from .aiohttp_reader import make_feed_data

    judge_all(STOOD_FOR)
    return make_feed_data(original)


def _workloads() -> Sequence[Workload]:
    from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
    from aiohttp._websocket.writer import WebSocketWriter

    found = []
    for size in (125, 65536, 1 << 20):
        for masked in (True, False):
            kind = "masked" if masked else "plain"
            writer = new_writer(WebSocketWriter, use_mask=masked)
            write = functools.partial(_write, writer, b"x" * size)
            found.append(Workload(f"write {kind} binary", size, write))
            for name, opcode in (("text", 1), ("binary", 2)):
                key = b"\x0d\x07\xf1\x80" if masked else None
                frame = frame_bytes(opcode, b"x" * size, masking_key=key)
                for count in (1, 32) if size < 1000 else (1,):
                    queue = new_queue(WebSocketDataQueue, 1 << 22)
                    reader = new_reader(WebSocketReader, queue, Reads(()))
                    read = functools.partial(_read, reader, queue, frame * count)
                    many = f", {count} a read" if count > 1 else ""
                    found.append(Workload(f"read {kind} {name}{many}", size, read, frames=count))
    return found


def _write(writer: Any, message: bytes) -> None:
    writer.transport.written.clear()
    writer._write_websocket_frame(message, 2, 0)


def _read(reader: Any, queue: Any, data: bytes) -> None:
    reader.feed_data(data)
    try:
        queue._size = 0
    except AttributeError:  # the compiled queue counts by itself
        _take_all(queue)
    else:
        queue._buffer.clear()


def _take_all(queue: Any) -> None:
    for _ in range(len(queue._buffer)):
        with contextlib.suppress(StopIteration):
            queue.read().send(None)


TARGET = Target(
    library="aiohttp",
    package="aiohttp",
    tested=("3.11.18", "3.14.6"),
    parts=(
        Part(WRITER, _writer_slots, selftest_writer),
        Part(READER, _reader_slots, selftest_reader),
    ),
    workloads=_workloads,
    note="its compiled reader is native already; what a client sends gains, "
    "and everything where aiohttp runs without its extensions",
)
