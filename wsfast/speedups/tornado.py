"""Tornado: Jupyter, Bokeh, Streamlit, and what else serves WebSockets from its IOStream.

At level kernels its mask is replaced, which without the C extension (no wheel, a free-threaded
build) is a byte loop. At level frames a frame is built in C, and one that the stream has already
read is taken out of the stream's buffer, where Tornado awaits it in three or four steps.

The latter stands on private fields of `BaseIOStream` that are what they are since 6.3; before
that, frames are received by Tornado's own code with our mask.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Coroutine, Sequence
from typing import Any

from .guard import judge_all
from .target import Part, Slot, Target, Workload
from .tornado_selftest import PROTOCOL, Link, Running, parameters, selftest

__all__ = ["TARGET"]

STREAM = "tornado.iostream:BaseIOStream."

#: The release from which on `_read_buffer` begins with what is read next.
WITH_PLAIN_BUFFER = (6, 3)

#: What `_receive_frame` calls, and ours does itself: part of what was tested, oldest first.
STOOD_FOR = {
    PROTOCOL + "_read_bytes": "bfc2889272de",
    PROTOCOL + "_handle_message": "310f19f8a904 e39e71df5e80 92a58abd6cd2",
    STREAM + "read_bytes": "e03d41f5e870",
    STREAM + "_start_read": "655742b7c716",
    STREAM + "_try_inline_read": "e5b98a74c2ee",
    STREAM + "_find_read_pos": "5e768cf5f891",
    STREAM + "_read_from_buffer": "dbfaa9e06ccf",
    STREAM + "_finish_read": "52f1f556f3b6 f9ba8027b56b",
    STREAM + "_consume": "308a11d9ee5e 78f0b707dd40",
    STREAM + "_maybe_add_error_listener": "134fa8a33b58",
}


def _slots() -> Sequence[Slot]:
    import tornado

    from .tornado_mask import make_websocket_mask
    from .tornado_writer import make_write_frame

    found = [
        Slot(f"tornado.{module}:_websocket_mask", make_websocket_mask)
        for module in ("websocket", "util", "web")
    ]
    found.append(
        Slot(
            PROTOCOL + "_write_frame",
            make_write_frame,
            level="frames",
            parameters=("self", "fin", "opcode", "data", "flags"),
            fingerprints=frozenset({"bebe3f4d6335"}),
        )
    )
    if tornado.version_info >= WITH_PLAIN_BUFFER:
        found.append(
            Slot(
                PROTOCOL + "_receive_frame",
                _make_receive_frame,
                level="frames",
                parameters=("self",),
                fingerprints=frozenset({"924e89024c3e"}),
            )
        )
    return found


def _make_receive_frame(original: Any) -> Any:
    from .tornado_receiver import make_receive_frame

    judge_all(STOOD_FOR)
    return make_receive_frame(original)


def _workloads() -> Sequence[Workload]:
    from tornado.websocket import WebSocketProtocol13

    found = []
    for size in (125, 65536, 1 << 20):
        for kind, opcode in (("text", 1), ("binary", 2)):
            for masked in (True, False):
                link = Link(masked, parameters())
                send = functools.partial(_send, link, opcode, b"x" * size)
                link.protocol._write_frame(True, opcode, b"x" * size)
                frame = link.stream.written.pop()
                told = f"{'masked' if masked else 'plain'} {kind}"
                found.append(Workload(f"write {told}", size, send))
                for count in (1, 32) if size < 1000 else (1,):
                    receive = functools.partial(_receive, WebSocketProtocol13, link, frame, count)
                    name = f"receive {told}" + (f", {count} a read" if count > 1 else "")
                    found.append(Workload(name, size, receive, frames=count))
    return found


def _receive(owner: Any, link: Link, frame: bytes, count: int) -> None:
    """Frames that come in one read to a connection that waits for them."""
    link.handler.log.clear()
    with Running(link.loop):
        waiting: Coroutine[Any, Any, None] = owner._receive_frame(link.protocol)
        waiting.send(None)
        link.stream.arrive(frame * count)
        while True:
            with contextlib.suppress(StopIteration):
                waiting.send(None)
                raise RuntimeError("whole frames did not suffice")
            count -= 1
            if not count:
                return
            waiting = owner._receive_frame(link.protocol)


def _send(link: Link, opcode: int, payload: bytes) -> None:
    link.stream.written.clear()
    link.protocol._write_frame(True, opcode, payload)


TARGET = Target(
    library="tornado",
    package="tornado",
    tested=("6.1", "6.6.2"),
    parts=(Part("tornado.websocket", _slots, selftest),),
    workloads=_workloads,
)
