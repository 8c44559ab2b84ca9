"""gevent-websocket's reading, ours against its own: headers, frames, messages, who is asked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("geventwebsocket")

from geventwebsocket import websocket as module
from geventwebsocket.exceptions import FrameTooLargeException, ProtocolError, WebSocketError
from geventwebsocket.websocket import Header, WebSocket

from wsfast import speedups
from wsfast.speedups.gevent_websocket_selftest import Stream, websocket
from wsfast.speedups.selftest import frame_bytes, outcome

KEY = b"\x12\x34\x56\x78"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
masked = functools.partial(frame_bytes, masking_key=KEY)
HANDLER = websocket(WebSocket, Stream(b"")).handler
FIELDS = ("fin", "mask", "opcode", "flags", "length")


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with speedups.installed("gevent-websocket", strict=True):
        yield


def original(name: str) -> Any:
    found = speedups.registry.library("gevent-websocket").originals
    value = found[f"geventwebsocket.websocket:{name}"]
    return value.__func__ if isinstance(value, classmethod) else value


class Reading:
    """A WebSocket that writes down what it is told, with ours or with theirs."""

    def handle_ping(self, header: Any, payload: bytes) -> None:
        self.told.append(("ping", fields(header), payload))  # type: ignore[attr-defined]
        super().handle_ping(header, payload)  # type: ignore[misc]

    def handle_pong(self, header: Any, payload: bytes) -> None:
        self.told.append(("pong", fields(header), payload))  # type: ignore[attr-defined]


class Theirs:
    def read_frame(self) -> Any:
        return original("WebSocket.read_frame")(self)

    def read_message(self) -> Any:
        return original("WebSocket.read_message")(self)


def fields(header: Any) -> list[Any]:
    return [(type(value), value) for value in (getattr(header, name) for name in FIELDS)]


def both(data: bytes, *bases: type, error: Exception | None = None) -> list[Any]:
    """Receive all of it with ours and with theirs; return what came out."""
    told = []
    for each in (bases, (*bases, Theirs)):
        kind = type("WebSocket", (*each, Reading, WebSocket), {})
        stream = Stream(data, error)
        ws = kind.__new__(kind)
        ws.told = []
        kind.__init__(ws, {}, stream, HANDLER)
        seen: list[Any] = []
        while not ws.closed and len(seen) < 20:
            seen.append(outcome(ws.receive))
            seen.append((stream.tell(), getattr(ws, "utf8validate_last", None)))
            seen.append((ws.utf8validator.i, ws.utf8validator.state))
            if seen[-3].kind == "raised":
                break
        told.append((seen, ws.told, stream.written, ws.closed))
    assert told[0] == told[1]
    return [each.value for each in told[0][0][::3]]


# --- headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0x81, 0x82, 0x01, 0x00, 0x89, 0x09, 0xC1, 0xF8, 0x83, 0x8F])
@pytest.mark.parametrize("second", [0x00, 0x05, 0x7D, 0x7E, 0x7F, 0x80, 0x85, 0xFD, 0xFE, 0xFF])
@pytest.mark.parametrize("more", [0, 1, 2, 6, 8, 12, 20])
def test_headers(first: int, second: int, more: int) -> None:
    data = bytes([first, second, *range(1, more + 1)])
    told = []
    for decode in (
        Header.decode_header,
        functools.partial(original("Header.decode_header"), Header),
    ):
        stream = Stream(data)
        told.append((outcome(lambda d, s: fields(d(s)), decode, stream), stream.tell()))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"", WebSocketError, "Unexpected EOF while decoding header"),
        (b"\x81", WebSocketError, "Unexpected EOF while decoding header"),
        (b"\x81\xfe\x00", WebSocketError, "Unexpected EOF while decoding header"),
        (b"\x81\x85123", WebSocketError, "Unexpected EOF while decoding header"),
        (b"\x09\x00", ProtocolError, r"Received fragmented control frame: b'\\t\\x00'"),
        (b"\x89\xfe", FrameTooLargeException, "Control frame cannot be larger than 125 bytes"),
    ],
)
def test_errors_of_headers(data: bytes, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Header.decode_header(Stream(data))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_streams_may_return_any_bytes(kind: Callable[[bytes], Any]) -> None:
    stream = Stream(b"\x81\xfe\x01\x001234")
    header = Header.decode_header(mock.Mock(read=lambda size: kind(stream.read(size))))
    assert (header.length, bytes(header.mask), header.fin) == (256, b"1234", True)


def test_a_subclass_of_header_is_made_by_theirs() -> None:
    class Mine(Header):  # type: ignore[misc]
        def __init__(self, **named: Any) -> None:
            super().__init__(**named)
            self.mine = named

    header = Mine.decode_header(Stream(b"\x81\x05"))
    assert header.mine == {"fin": True, "opcode": 1, "flags": 0, "length": 5}


# --- messages ----------------------------------------------------------------------------------

STREAMS = {
    "text": masked(TEXT, "žluť 漢字".encode()),
    "empty": masked(TEXT, b"") + masked(BINARY, b""),
    "binary": masked(BINARY, bytes(range(256))),
    "70000": masked(TEXT, b"a" * 70_000) + masked(BINARY, bytes(70_000)),
    "unmasked": frame_bytes(TEXT, b"text") + frame_bytes(BINARY, b"data"),
    "fragments": masked(TEXT, b"\xc5", fin=False) + masked(0, b"", fin=False) + masked(0, b"\xbe"),
    "binary fragments": masked(BINARY, b"a", fin=False) + frame_bytes(0, b"b"),
    "controls": masked(TEXT, b"a", fin=False)
    + masked(PING, b"?")
    + masked(PONG, b"!")
    + masked(0, b"b"),
    "close": masked(CLOSE, b"\x03\xe8bye"),
    "close of nothing": masked(CLOSE, b""),
    "close of one byte": masked(CLOSE, b"x"),
    "close with bad text": masked(CLOSE, b"\x03\xe8\xff"),
    "bad text": masked(TEXT, b"good \xff"),
    "cut text": masked(TEXT, b"cut \xe6\xbc"),
    "cut between fragments": masked(TEXT, b"\xe6", fin=False) + masked(0, b"\xbc"),
    "bad second fragment": masked(TEXT, b"\xe6", fin=False) + masked(0, b"A"),
    "text in fragments": masked(TEXT, b"a", fin=False) + masked(BINARY, b"b"),
    "continuation of nothing": masked(0, b"a"),
    "reserved bits": masked(TEXT, b"a", rsv=4),
    "reserved opcode": masked(3, b"a"),
    "reserved control": masked(11, b"a"),
    "long ping": masked(PING, bytes(126)),
    "cut payload": masked(TEXT, b"text")[:-1],
    "cut header": masked(TEXT, b"text")[:3],
    "nothing": b"",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("error", [None, OSError("gone"), ValueError("odd")], ids=repr)
def test_streams(stream: bytes, error: Exception | None) -> None:
    both(stream, error=error)
    both(masked(TEXT, "ž".encode()) + stream + masked(TEXT, b"more"), error=error)


def test_types_of_messages() -> None:
    data = STREAMS["unmasked"] + masked(TEXT, b"text") + masked(BINARY, b"data")
    kinds = [kind for kind, _ in both(data)[:4]]
    assert kinds == [str, bytearray, str, bytearray]


def test_what_the_stream_keeps_is_not_handed_out() -> None:
    """A payload without a mask, in a bytearray of the stream's, is copied as theirs is."""
    kept = bytearray(b"data")

    def read(size: int) -> Any:
        return b"\x82\x04"[:size] if size == 2 else kept

    ws = websocket(WebSocket, mock.Mock(read=read))
    message = ws.receive()
    assert message == kept and message is not kept


def test_an_interrupt_comes_through() -> None:
    class Stop(BaseException):
        pass

    def read(size: int) -> bytes:
        if size == 2:
            return b"\x81\x05"
        raise Stop

    with pytest.raises(Stop):
        websocket(WebSocket, mock.Mock(read=read)).read_frame()


def test_frames() -> None:
    for read in (WebSocket.read_frame, original("WebSocket.read_frame")):
        ws = websocket(WebSocket, Stream(masked(TEXT, b"text") + frame_bytes(PING, b"")))
        header, payload = read(ws)
        assert (type(payload), payload, header.length) == (bytearray, b"text", 4)
        header, payload = read(ws)
        assert (type(payload), payload, header.opcode) == (bytes, b"", PING)


# --- who is still asked ------------------------------------------------------------------------


def recording(name: str) -> type:
    def hook(self: Any, *given: Any) -> Any:
        self.told.append(name)
        return getattr(super(base, self), name)(*given)

    base = type("Recording", (), {name: hook})
    return base


@pytest.mark.parametrize("name", ["validate_utf8", "_decode_bytes", "handle_close"])
def test_a_method_that_a_class_overrides_is_called(name: str) -> None:
    both(STREAMS["text"] + STREAMS["fragments"] + STREAMS["close"], recording(name))


@pytest.mark.parametrize("name", ["read_frame", "validate_utf8", "_decode_bytes"])
def test_a_method_of_the_instance_is_called(name: str) -> None:
    kind = type("WithDict", (WebSocket,), {})
    ws = kind({}, Stream(masked(TEXT, b"text")), HANDLER)
    method = mock.Mock(wraps=getattr(ws, name))
    setattr(ws, name, method)
    assert ws.receive() == "text" and method.called


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Header, "unmask_payload"),
        (WebSocket, "read_frame"),
        (WebSocket, "validate_utf8"),
        (WebSocket, "_decode_bytes"),
    ],
)
def test_a_method_that_is_replaced_in_the_library_is_called(owner: Any, name: str) -> None:
    genuine, called = vars(owner)[name], []

    def method(self: Any, *given: Any) -> Any:
        called.append(given)
        return genuine(self, *given)

    with mock.patch.object(owner, name, method):
        assert websocket(WebSocket, Stream(masked(TEXT, b"text"))).receive() == "text"
    assert called


@pytest.mark.parametrize("name", ["ProtocolError", "WebSocketError"])
def test_another_class_of_errors_is_raised(name: str) -> None:
    class Mine(Exception):
        pass

    data = {"ProtocolError": STREAMS["reserved bits"], "WebSocketError": b"\x81"}[name]
    with mock.patch.object(module, name, Mine):
        ws = websocket(WebSocket, Stream(data))
        with pytest.raises(Mine):
            ws.read_message()


def test_another_opcode_of_a_class_counts() -> None:
    class Strange(WebSocket):  # type: ignore[misc]
        OPCODE_TEXT = 2
        OPCODE_BINARY = 1

    ws = Strange({}, Stream(masked(BINARY, b"text")), HANDLER)
    assert ws.receive() == "text"


def test_a_validator_from_before_is_used() -> None:
    ws = websocket(WebSocket, Stream(masked(TEXT, b"text")))
    ws.utf8validator = original("Utf8Validator")()
    assert ws.receive() == "text"
    assert ws.utf8validate_last == (True, True, 4, 8)
