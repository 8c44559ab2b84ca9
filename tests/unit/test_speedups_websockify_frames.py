"""websockify's frames: unmasked and decoded, and read whole, in pieces and several at once."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockify")

from websockify.websocket import WebSocket, WebSocketWantReadError

from wsfast import speedups
from wsfast.speedups.selftest import SIZES, frame_bytes, outcome
from wsfast.speedups.websockify_frames import Frames

KEY = b"\x12\x34\x56\x78"
METHODS = ("_unmask", "_decode_hybi", "_recv_frames")


@pytest.fixture(autouse=True, scope="module")
def originals() -> Iterator[dict[str, Any]]:
    """The speedups are in; what the library has itself is handed to the test."""
    with speedups.installed("websockify", level="frames", strict=True):
        yield {name: getattr(WebSocket, name).__wrapped__ for name in METHODS}


class Wire:
    """Gives one part after the other, cut to what is asked for; errors are raised."""

    def __init__(self, *parts: Any) -> None:
        self.asked: list[int] = []
        self.sent = bytearray()
        self.closed = False
        self._parts = list(parts)

    def recv(self, size: int) -> bytes:
        self.asked.append(size)
        part = self._parts.pop(0) if self._parts else BlockingIOError(errno.EWOULDBLOCK, "empty")
        if isinstance(part, BaseException):
            raise part
        if len(part) > size:
            self._parts.insert(0, part[size:])
        return bytes(part[:size])

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def close(self) -> None:
        self.closed = True


def connected(wire: Any, owner: Any = WebSocket, client: bool = False) -> Any:
    made = owner()
    made.client, made._state, made.socket = client, "done", wire
    return made


def theirs(originals: dict[str, Any], wire: Any, client: bool = False) -> Any:
    return connected(wire, type("Theirs", (WebSocket,), dict(originals)), client)


def messages(made: Any, tries: int = 2000) -> list[Any]:
    """What recvmsg returns, up to its None at the end."""
    found = []
    for _ in range(tries):
        try:
            message = made.recvmsg()
        except WebSocketWantReadError:
            continue
        if message is None:
            return found
        found.append(message)
    raise AssertionError("there is no end")


# --- unmasking ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_unmask_of_every_size(originals: dict[str, Any], size: int, kind: Any) -> None:
    data = kind(i * 7 & 255 for i in range(size))
    result = WebSocket()._unmask(data, KEY)
    assert type(result) is bytes
    assert result == originals["_unmask"](WebSocket(), data, KEY)
    assert WebSocket()._mask(result, KEY) == data


@pytest.mark.parametrize("mask", [b"", b"abc", b"abcde", bytearray(KEY), list(KEY), "abcd", None])
@pytest.mark.parametrize("data", [b"", b"abcdefg", memoryview(b"abcdefg")[::2], "text", None, 3])
def test_unmask_of_whatever_the_library_takes(
    originals: dict[str, Any], data: Any, mask: Any
) -> None:
    expected = outcome(originals["_unmask"], WebSocket(), data, mask)
    assert outcome(WebSocket()._unmask, data, mask) == expected


def test_sending_a_frame_of_a_client() -> None:
    """It masks through `_mask`, with keys of `random` as ever."""
    frame = WebSocket()._encode_hybi(2, b"hello", KEY)
    assert frame == frame_bytes(2, b"hello", masking_key=KEY)


# --- decoding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("fin", [True, False])
def test_decode(originals: dict[str, Any], size: int, key: bytes | None, fin: bool) -> None:
    data = frame_bytes(2, b"x" * size, masking_key=key, fin=fin)
    for end in ("", "more"):
        frame = WebSocket()._decode_hybi(data + end.encode())
        assert frame == {
            "fin": fin,
            "opcode": 2,
            "masked": key is not None,
            "length": len(data),
            "payload": b"x" * size,
        }
        expected = originals["_decode_hybi"](WebSocket(), data + end.encode())
        assert list(frame) == list(expected)
        assert [type(each) for each in frame.values()] == [type(e) for e in expected.values()]


@pytest.mark.parametrize("form", [7, 16, 64])
@pytest.mark.parametrize("key", [None, KEY])
def test_decode_of_every_beginning(
    originals: dict[str, Any], form: int, key: bytes | None
) -> None:
    data = frame_bytes(2, b"hello", masking_key=key, length_form=form)
    for end in range(len(data) + 1):
        expected = originals["_decode_hybi"](WebSocket(), data[:end])
        assert WebSocket()._decode_hybi(data[:end]) == expected
        assert (expected is None) == (end < len(data))


@pytest.mark.parametrize("data", [b"\x82\xff" + b"\xff" * 12, b"\x82\x7f" + b"\xff" * 8 + b"x"])
def test_decode_of_lengths_without_end(data: bytes) -> None:
    assert WebSocket()._decode_hybi(data) is None


@pytest.mark.parametrize("kind", [bytearray, memoryview, list, str, type(None)])
def test_decode_of_anything_else(originals: dict[str, Any], kind: Any) -> None:
    data = frame_bytes(2, b"hello", masking_key=KEY)
    odd = None if kind is type(None) else "text" if kind is str else kind(data)
    expected = outcome(originals["_decode_hybi"], WebSocket(), odd)
    assert outcome(WebSocket()._decode_hybi, odd) == expected


def test_a_subclass_that_unmasks_in_its_own_way_is_called() -> None:
    class Mine(WebSocket):
        def _unmask(self, buf: Any, mask: Any) -> bytes:
            return b"mine"

    data = frame_bytes(2, b"hello", masking_key=KEY)
    assert Mine()._decode_hybi(data)["payload"] == b"mine"
    assert connected(Wire(data), Mine).recvmsg() == b"mine"


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 5000])
@pytest.mark.parametrize("client", [False, True])
def test_messages_whole_and_in_pieces(size: int, piece: int, client: bool) -> None:
    key = None if client else KEY
    expected = [bytes([i]) * size for i in range(3)]
    data = b"".join(frame_bytes(2, each, masking_key=key) for each in expected)
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    made = connected(Wire(*pieces, b""), client=client)
    assert messages(made, 50_000) == expected
    assert (made.close_code, made.close_reason) == (1006, "Connection closed abnormally")
    assert made.socket is None


def test_all_frames_of_one_read_wait_in_the_queue() -> None:
    data = b"".join(frame_bytes(2, bytes([i]), masking_key=KEY) for i in range(100))
    made = connected(Wire(data + b"\x82"))
    assert made.recvmsg() == b"\0"
    assert made.pending() and len(made._recv_queue) == 99
    assert made._recv_buffer == b"\x82"
    assert [made.recvmsg() for _ in range(99)] == [bytes([i]) for i in range(1, 100)]
    assert not made.pending()


def test_fragments_ping_and_close(originals: dict[str, Any]) -> None:
    data = frame_bytes(2, b"one ", masking_key=KEY, fin=False)
    data += frame_bytes(9, b"ping", masking_key=KEY) + frame_bytes(0, b"two", masking_key=KEY)
    data += frame_bytes(8, b"\x03\xe8bye", masking_key=KEY)
    made = connected(Wire(data))
    other = theirs(originals, Wire(data))
    for each in (made, other):
        wire = each.socket
        assert messages(each) == [b"one two"]
        assert (each.close_code, each.close_reason) == (1000, "bye")
        assert wire.sent == frame_bytes(10, b"ping") + frame_bytes(8, b"\x03\xe8bye")


@pytest.mark.parametrize(
    "data",
    [
        frame_bytes(2, b"not masked"),
        frame_bytes(1, b"text", masking_key=KEY),
        frame_bytes(0, b"nothing to continue", masking_key=KEY),
        frame_bytes(3, b"", masking_key=KEY),
        frame_bytes(9, b"", masking_key=KEY, fin=False),
        frame_bytes(8, b"\x03\xe8\xff", masking_key=KEY),
    ],
)
def test_frames_that_are_refused(originals: dict[str, Any], data: bytes) -> None:
    ours, other = connected(Wire(data)), theirs(originals, Wire(data))
    for _ in range(3):
        assert outcome(ours.recvmsg) == outcome(other.recvmsg)
        assert (ours.close_code, ours._sent_close) == (other.close_code, other._sent_close)
    assert ours._send_buffer == other._send_buffer


@pytest.mark.parametrize(
    "interruption",
    [
        BlockingIOError(errno.EWOULDBLOCK, "empty"),
        ConnectionResetError(104, "reset"),
        OSError(9, "closed"),
        ValueError("mine"),
        b"",
    ],
)
@pytest.mark.parametrize("before", [0, 1, 8])
def test_interruptions(originals: dict[str, Any], before: int, interruption: Any) -> None:
    data = frame_bytes(2, b"hello", masking_key=KEY)
    parts = [*([data[:before]] if before else []), interruption, data[before:]]
    ours, other = connected(Wire(*parts)), theirs(originals, Wire(*parts))
    for _ in range(4):
        assert outcome(ours.recvmsg) == outcome(other.recvmsg)
        assert ours._recv_buffer == other._recv_buffer
        if other.socket is None:
            break


# --- real sockets --------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[Any, socket.socket]]:
    """A WebSocket over a real socket, and the other end."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        yield connected(near), far


def test_a_large_frame_is_received_at_once(pair: tuple[Any, socket.socket]) -> None:
    made, far = pair
    large = frame_bytes(2, b"x" * 50000, masking_key=KEY)
    far.sendall(large + frame_bytes(2, b"next", masking_key=KEY))
    with pytest.raises(WebSocketWantReadError):
        made.recvmsg()
    assert made._recv_buffer == large[:4096]
    assert made.recvmsg() == b"x" * 50000
    assert made._recv_buffer == b"" and not made.pending()  # no more of it than of the frame
    assert made.recvmsg() == b"next"


def test_small_frames_are_received_as_ever(pair: tuple[Any, socket.socket]) -> None:
    made, far = pair
    far.sendall(frame_bytes(2, b"x", masking_key=KEY) * 1000)
    assert made.recvmsg() == b"x"
    assert 7 * len(made._recv_queue) + len(made._recv_buffer) == 4096 - 7


def test_an_empty_socket(pair: tuple[Any, socket.socket]) -> None:
    made, _ = pair
    with pytest.raises(WebSocketWantReadError):
        made.recvmsg()


def test_the_end_of_a_socket(pair: tuple[Any, socket.socket]) -> None:
    made, far = pair
    far.close()
    assert made.recvmsg() is None
    assert made.close_code == 1006 and made.socket is None


def test_a_socket_that_was_closed(pair: tuple[Any, socket.socket]) -> None:
    made, _ = pair
    made.socket.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        made.recvmsg()


# --- who is still asked --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["_recv", "_decode_hybi", "_unmask"])
def test_a_method_that_was_patched_is_called(name: str) -> None:
    spy = mock.Mock(side_effect=getattr(WebSocket, name))
    with mock.patch.object(WebSocket, name, lambda *given: spy(*given)):
        made = connected(Wire(frame_bytes(2, b"hello", masking_key=KEY)))
        assert made.recvmsg() == b"hello"
    assert spy.called


@pytest.mark.parametrize("name", ["_recv", "_decode_hybi", "_unmask"])
def test_a_method_of_the_instance_is_called(name: str) -> None:
    made = connected(Wire(frame_bytes(2, b"hello", masking_key=KEY)))
    spy = mock.Mock(side_effect=getattr(made, name))
    setattr(made, name, spy)
    assert made.recvmsg() == b"hello"
    assert spy.called


def test_a_subclass_that_overrides_nothing_of_it() -> None:
    class Mine(WebSocket):
        def select_subprotocol(self, protocols: Any) -> str:
            return "binary"

    assert connected(Wire(frame_bytes(2, b"hello", masking_key=KEY)), Mine).recvmsg() == b"hello"


def test_a_socket_class_that_was_patched_is_called(pair: tuple[Any, socket.socket]) -> None:
    made, _ = pair
    data = frame_bytes(2, b"hi", masking_key=KEY)
    with mock.patch.object(socket.socket, "recv", return_value=data, create=True) as recv:
        assert made.recvmsg() == b"hi"
    recv.assert_called_once_with(4096)


def test_frames_are_bound_to_the_library() -> None:
    ours = Frames().make_decode_hybi(WebSocket._decode_hybi)
    assert ours(WebSocket(), frame_bytes(2, b"hello"))["payload"] == b"hello"
