"""The self-test of gevent-websocket: WebSockets over bytes, with the originals and with ours."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from .gevent_websocket import MODULE
from .hoehrmann import broken_text, compare_validators, text_of
from .selftest import Mismatch, compare, frame_bytes, outcome
from .target import Level, Originals, Workload

__all__ = ["Stream", "selftest", "websocket", "workloads"]

HEADER = f"{MODULE}:Header."
SOCKET = f"{MODULE}:WebSocket."


class Stream:
    """What a WebSocket reads from and writes to: bytes, at most so many of them at once.

    Args:
        data: what can be read.
        error: raised by the read that would go beyond the data, in place of too few bytes.
    """

    def __init__(self, data: bytes, error: Exception | None = None) -> None:
        self._data = io.BytesIO(data)
        self._size, self._error = len(data), error
        self.tell = self._data.tell
        self.written = b""

    def read(self, size: int) -> bytes:
        if self._error is not None and self._data.tell() + size > self._size:
            raise self._error
        return self._data.read(size)

    def write(self, data: bytes) -> None:
        self.written += data


class Handler:
    """The server's side, as far as a WebSocket asks it."""

    class server:
        application = None

    class logger:
        @staticmethod
        def debug(*words: object) -> None:
            """Drops it."""


def websocket(kind: Any, stream: Any) -> Any:
    """A WebSocket of this class over a stream."""
    return kind({}, stream, Handler)


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """See `Part.selftest`."""
    from geventwebsocket.websocket import Utf8Validator, WebSocket

    if type(websocket(WebSocket, Stream(b"")).utf8validator) is not Utf8Validator:
        raise Mismatch("a new WebSocket has another validator")
    compare_validators(originals[f"{MODULE}:Utf8Validator"], Utf8Validator, random)
    _check_masks(originals, random)
    if level == "frames":
        _check_headers(originals, random)
        for _ in range(8):
            _check_messages(originals, random)


def _check_masks(originals: Originals, random: Random) -> None:
    from geventwebsocket.websocket import Header

    for name in ("mask_payload", "unmask_payload"):
        for size in (0, 1, 3, 4, 5, random.randrange(300)):
            payload = random.randbytes(size)
            header = Header(length=max(0, size + random.choice((0, 0, 0, -1, 1))))
            header.mask = random.choice((random.randbytes(4), b"longer", b"no", ""))
            for given in (payload, bytearray(payload), memoryview(payload), list(payload)):
                ours = getattr(header, name)
                compare(name, functools.partial(originals[HEADER + name], header), ours, given)


def _seen(header: Any) -> Any:
    fields = [getattr(header, name) for name in type(header).__slots__]
    return [(type(each), each) for each in fields]


def _check_headers(originals: Originals, random: Random) -> None:
    from geventwebsocket.websocket import Header

    theirs = originals[HEADER + "decode_header"].__func__
    for _ in range(30):
        data = random.randbytes(random.choice((0, 1, 2, 3, 14, 14, 14)))
        if len(data) > 1 and random.random() < 0.5:
            data = data[:1] + bytes([data[1] | random.choice((0x7E, 0x7F))]) + data[2:]
        one, other = Stream(data), Stream(data)
        expected = outcome(lambda stream: _seen(theirs(Header, stream)), one)
        got = outcome(lambda stream: _seen(Header.decode_header(stream)), other)
        if expected != got or one.tell() != other.tell():
            raise Mismatch(f"decode_header({data!r}): the original {expected}, wsfast {got}")


@functools.cache
def _theirs(read_frame: Any, read_message: Any) -> Any:
    from geventwebsocket.websocket import WebSocket

    members = {"__slots__": (), "read_frame": read_frame, "read_message": read_message}
    return type("WebSocket", (WebSocket,), members)


def _random_stream(random: Random) -> tuple[bytes, Exception | None]:
    """What a stream has to give, and how it ends."""
    data, inside = b"", False
    for _ in range(random.randint(1, 6)):
        fault = random.random()
        opcode, fin, rsv = 0 if inside else random.choice((1, 1, 2)), random.random() < 0.6, 0
        payload = text_of(random.choice((0, 1, 5, 125, 126, 200)), random)
        if fault < 0.2:
            opcode, fin, payload = random.choice((8, 9, 10)), True, payload[:60]
            payload = random.choice((payload, b"\x03\xe8ok", b"", b"x"))
        elif fault < 0.3:
            payload = broken_text(random)
        elif fault < 0.4:
            opcode, rsv = random.randrange(16), random.choice((0, 0, 4))
        key = random.randbytes(4) if random.random() < 0.9 else None
        data += frame_bytes(opcode, payload, fin=fin, rsv=rsv, masking_key=key)
        inside = not fin if opcode < 3 else inside
    cut = random.randint(0, len(data)) if random.random() < 0.2 else len(data)
    return data[:cut], random.choice((None, None, OSError("gone"), ValueError("odd")))


def _read_all(kind: Any, stream: Any) -> list[Any]:
    seen = []
    ws = websocket(kind, stream)
    for _ in range(8):
        result = outcome(ws.receive)
        last = getattr(ws, "utf8validate_last", None)
        counters = [getattr(ws.utf8validator, name) for name in ("i", "state")]
        seen.append((result, last, counters, ws.closed, stream.tell(), stream.written))
        if ws.closed or result.kind == "raised":
            break
    return seen


def _check_messages(originals: Originals, random: Random) -> None:
    from geventwebsocket.websocket import WebSocket

    theirs = _theirs(originals[SOCKET + "read_frame"], originals[SOCKET + "read_message"])
    data, error = _random_stream(random)
    expected, got = (_read_all(kind, Stream(data, error)) for kind in (theirs, WebSocket))
    if expected != got:
        raise Mismatch(f"receive() of {data!r}: the original {expected}, wsfast {got}")
    reached = websocket(WebSocket, Stream(frame_bytes(1, b"text", masking_key=b"four")))
    if reached.receive() != "text" or not getattr(WebSocket.read_message, "__wsfast__", False):
        raise Mismatch("a message does not come through ours")


def workloads() -> Sequence[Workload]:
    """See `Target.workloads`."""
    from geventwebsocket.websocket import WebSocket

    found = []
    for size in (125, 65536):
        for opcode, name in ((1, "text"), (2, "binary")):
            run = _receiving(WebSocket, frame_bytes(opcode, b"a" * size, masking_key=b"four"))
            found.append(Workload(f"receive {name}", size, run))
    return found


def _receiving(kind: Any, frame: bytes) -> Callable[[], object]:
    data = io.BytesIO(frame)

    class Source:
        read = data.read
        write = staticmethod(lambda data: None)

    ws = websocket(kind, Source)

    def run() -> object:
        data.seek(0)
        return ws.receive()

    return run
