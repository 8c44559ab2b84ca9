"""websocket-client's messages: received and sent, over wires of the tests and real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websocket")

import websocket
from websocket import ABNF, WebSocket

from websocket_client_wire import Wire, connected, served
from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome

KEY = b"\x12\x34\x56\x78"
METHODS = ("recv", "recv_data", "recv_data_frame", "send")


@pytest.fixture(autouse=True, scope="module")
def originals() -> Iterator[dict[str, Any]]:
    """The speedups are in; what the library has itself is handed to the test."""
    with speedups.installed("websocket-client", level="frames", strict=True):
        yield {name: vars(WebSocket)[name].__wrapped__ for name in METHODS}


@pytest.fixture
def pair() -> Iterator[tuple[Any, socket.socket]]:
    """A WebSocket over a real socket, and the other end."""
    near, far = socket.socketpair()
    with near, far:
        far.settimeout(10)
        yield connected(near), far


# --- receiving ---------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 20000, 65536])
def test_text_and_binary_of_every_length(size: int, piece: int) -> None:
    text = "aé漢\U0001f600" * (size // 10) + "x" * (size % 10)
    data = frame_bytes(1, text.encode()) + frame_bytes(2, text.encode(), masking_key=KEY)
    connection = connected(Wire(data, piece))
    assert served(connection)
    assert connection.recv() == text
    received = connection.recv()
    assert received == text.encode() and type(received) is bytes


@pytest.mark.parametrize("size", [0, 1, 125, 126, 20000, 60000])
def test_the_same_over_a_socket(pair: tuple[Any, socket.socket], size: int) -> None:
    connection, far = pair
    far.sendall(frame_bytes(1, b"x" * size))
    assert connection.recv() == "x" * size
    far.sendall(frame_bytes(2, b"y" * size))
    assert connection.recv() == b"y" * size


def test_what_follows_a_large_frame_stays_in_the_socket(pair: tuple[Any, socket.socket]) -> None:
    connection, far = pair
    far.sendall(frame_bytes(2, b"x" * 20000) + frame_bytes(1, b"next"))
    assert connection.recv() == b"x" * 20000
    assert connection.sock.recv(100) == frame_bytes(1, b"next")


def test_recv_data_and_recv_data_frame() -> None:
    connection = connected(Wire(frame_bytes(1, b"abc") * 2 + frame_bytes(2, b"de") * 2))
    assert connection.recv_data() == (ABNF.OPCODE_TEXT, b"abc")
    opcode, frame = connection.recv_data_frame()
    assert (opcode, type(frame), frame.opcode, frame.data) == (1, ABNF, 1, b"abc")
    assert connection.recv_data(True) == (ABNF.OPCODE_BINARY, b"de")
    opcode, frame = connection.recv_data_frame(control_frame=True)
    assert (opcode, frame.data) == (2, b"de")


def test_iteration_and_next() -> None:
    connection = connected(Wire(frame_bytes(1, b"one") + frame_bytes(1, b"two") * 2))
    assert next(connection) == "one"
    assert connection.next() == "two"
    assert next(iter(connection)) == "two"


def test_fragments_make_one_message() -> None:
    parts = [b"a\xc5", b"\xbe", b"", b"b" * 300]
    data = frame_bytes(1, parts[0], fin=False)
    data += b"".join(frame_bytes(0, each, fin=False) for each in parts[1:3])
    data += frame_bytes(9, b"ping") + frame_bytes(0, parts[3])
    wire = Wire(data * 3)
    connection = connected(wire)
    assert connection.recv() == b"".join(parts).decode()
    opcode, frame = connection.recv_data_frame()
    assert (opcode, frame.opcode, frame.fin, frame.data) == (1, 0, 1, b"".join(parts))
    assert connection.recv_data() == (1, b"".join(parts))
    assert connection.cont_frame.cont_data is None
    assert connection.cont_frame.recving_frames is None
    assert wire.frames() == [(10, b"ping")] * 3


def test_fragments_survive_an_interruption() -> None:
    wire = Wire(frame_bytes(2, b"one ", fin=False) + frame_bytes(0, b"two ", fin=False))
    connection = connected(wire)
    connection.frame_buffer.recv = mock.Mock(
        side_effect=[*(wire.recv(2), wire.recv(4)) * 2, TimeoutError]
    )
    connection.frame_buffer.recv.side_effect = [
        *(b"\x02\x04", b"one ", b"\x00\x04", b"two "),
        TimeoutError("timed out"),
        *(b"\x80\x05", b"three"),
    ]
    with pytest.raises(TimeoutError):
        connection.recv()
    assert connection.cont_frame.cont_data == [2, b"one two "]
    assert connection.cont_frame.recving_frames == 2
    assert connection.recv() == b"one two three"


def test_a_control_frame_between_fragments_is_handed_out_if_asked_for() -> None:
    data = frame_bytes(1, b"one ", fin=False) + frame_bytes(10, b"pong") + frame_bytes(0, b"two")
    connection = connected(Wire(data))
    assert connection.recv_data(True) == (ABNF.OPCODE_PONG, b"pong")
    assert connection.cont_frame.cont_data == [1, b"one "]
    assert connection.recv_data(True) == (ABNF.OPCODE_TEXT, b"one two")


@pytest.mark.parametrize(
    "data",
    [
        frame_bytes(0, b"nothing to continue"),
        frame_bytes(1, b"one", fin=False) + frame_bytes(1, b"two"),
        frame_bytes(1, b"one", fin=False) + frame_bytes(2, b"two", fin=False),
    ],
)
def test_fragments_out_of_order(originals: dict[str, Any], data: bytes) -> None:
    connection = connected(Wire(data))
    with pytest.raises(websocket.WebSocketProtocolException, match="Illegal frame"):
        connection.recv()
    begun = len(data) > 25
    assert connection.cont_frame.cont_data == ([1, b"one"] if data[0] == 1 else None), begun


def test_fragments_are_fired_one_by_one_if_asked_for() -> None:
    data = frame_bytes(1, b"a\xff", fin=False) + frame_bytes(0, b"b", fin=False)
    connection = connected(Wire((data + frame_bytes(0, b"c")) * 2), fire_cont_frame=True)
    assert connection.recv_data() == (1, b"a\xff")
    assert connection.recv_data() == (0, b"b")
    opcode, frame = connection.recv_data_frame()
    assert (opcode, frame.fin, frame.data) == (0, 1, b"c")
    with pytest.raises(UnicodeDecodeError):
        connection.recv()


def test_ping_is_answered_and_pong_is_dropped() -> None:
    data = frame_bytes(9, b"are you there") + frame_bytes(10, b"") + frame_bytes(9, b"")
    wire = Wire(data + frame_bytes(1, b"hello"))
    assert connected(wire).recv() == "hello"
    assert wire.frames() == [(10, b"are you there"), (10, b"")]


def test_a_ping_that_is_too_long() -> None:
    connection = connected(Wire(frame_bytes(9, b"x" * 126)))
    with pytest.raises(websocket.WebSocketProtocolException, match="Ping message is too long"):
        connection.recv()


def test_control_frames_are_handed_out_if_asked_for() -> None:
    connection = connected(Wire(frame_bytes(9, b"ping") + frame_bytes(10, b"pong")))
    assert connection.recv_data(control_frame=True) == (9, b"ping")
    opcode, frame = connection.recv_data_frame(True)
    assert (opcode, type(frame), frame.data) == (10, ABNF, b"pong")


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0\xc5\xbe"])
def test_close_is_answered_and_handed_out(payload: bytes) -> None:
    wire = Wire(frame_bytes(8, payload) * 3)
    connection = connected(wire)
    assert connection.recv_data() == (8, payload)
    assert connection.connected is False
    assert wire.frames() == [(8, b"\x03\xe8")]
    assert connection.recv() == ""
    assert connection.recv_data_frame()[1].data == payload


def test_the_end_of_the_stream(pair: tuple[Any, socket.socket]) -> None:
    connection, far = pair
    near = connection.sock
    far.sendall(b"\x82\x05ab")
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(
        websocket.WebSocketConnectionClosedException, match="Connection to remote host was lost"
    ):
        connection.recv()
    assert connection.sock is None and connection.connected is False
    assert near.fileno() == -1
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        connection.recv()


def test_the_end_inside_of_a_large_frame(pair: tuple[Any, socket.socket]) -> None:
    connection, far = pair
    far.sendall(frame_bytes(2, b"x" * 30000)[:20000])
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        connection.recv()
    assert b"".join(connection.frame_buffer.recv_buffer) == b"x" * (20000 - 4)


def test_a_socket_that_does_not_block(pair: tuple[Any, socket.socket]) -> None:
    """Every call that finds nothing raises; the last one has all of it."""
    connection, far = pair
    connection.settimeout(0)
    data = frame_bytes(1, b"x" * 50000)
    for start in range(0, len(data), 9000):
        with pytest.raises(BlockingIOError):
            connection.recv()
        far.sendall(data[start : start + 9000])
    assert connection.recv() == "x" * 50000


def test_a_timeout_inside_of_a_frame(pair: tuple[Any, socket.socket]) -> None:
    connection, far = pair
    connection.settimeout(0.01)
    data = frame_bytes(2, b"x" * 30000)
    far.sendall(data[:25000])
    with pytest.raises(websocket.WebSocketTimeoutException, match="timed out"):
        connection.recv()
    far.sendall(data[25000:])
    assert connection.recv() == b"x" * 30000


def test_a_socket_that_was_closed(pair: tuple[Any, socket.socket]) -> None:
    connection, _ = pair
    connection.sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        connection.recv()
    with pytest.raises(OSError, match="Bad file descriptor"):
        connection.send("x")


# --- UTF-8 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["recv", "recv_data", "recv_data_frame"])
def test_text_that_is_not_utf8(name: str) -> None:
    connection = connected(Wire(frame_bytes(1, b"ab\xff")))
    with pytest.raises(websocket.WebSocketPayloadException) as caught:
        getattr(connection, name)()
    assert caught.value.args == ("cannot decode: b'ab\\xff'",)
    assert connection.cont_frame.cont_data is None


def test_text_that_ends_inside_a_character() -> None:
    """Not noticed by the library's validation, but by recv, which decodes."""
    connection = connected(Wire(frame_bytes(1, b"ab\xc5") * 2))
    assert connection.recv_data() == (1, b"ab\xc5")
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        connection.recv()


def test_validation_can_be_skipped() -> None:
    connection = connected(Wire(frame_bytes(1, b"ab\xff") * 2), skip_utf8_validation=True)
    assert connection.recv_data() == (1, b"ab\xff")
    with pytest.raises(UnicodeDecodeError, match="invalid start byte"):
        connection.recv()


@pytest.mark.parametrize("name", ["_abnf.validate_utf8", "_utils._validate_utf8"])
def test_a_validation_that_was_patched_decides(name: str) -> None:
    connection = connected(Wire(frame_bytes(1, b"fine") * 2))
    with mock.patch(f"websocket.{name}", return_value=False) as patched:
        for call in (connection.recv, connection.recv_data):
            with pytest.raises(websocket.WebSocketPayloadException):
                call()
    assert patched.call_count == 2


# --- sending -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_sending_every_length(size: int) -> None:
    wire = Wire()
    connection = connected(wire)
    header = 6 + (2 if 125 < size < 65536 else 8 if size > 65535 else 0)
    assert connection.send("x" * size) == header + size
    assert connection.send_binary(b"y" * size) == header + size
    assert connection.send(bytearray(b"z" * size), 2) == header + size
    assert wire.frames() == [(1, b"x" * size), (2, b"y" * size), (2, b"z" * size)]


@pytest.mark.parametrize("text", ["ascii", "žluťoučký", "漢字", "\U0001f600", "\x00\x7f\x80"])
def test_sending_text(text: str) -> None:
    wire = Wire()
    connected(wire).send(text)
    assert wire.frames() == [(1, text.encode())]


@pytest.mark.parametrize(
    "payload", [None, 3, "\ud800", [1], memoryview(b"abcdef")[::2], b"ok", ""]
)
@pytest.mark.parametrize("opcode", [0, 1, 2, 3, 8, 9, 10, 11, -1, True, 1.0, None, "1"])
def test_sending_whatever_the_library_takes(
    originals: dict[str, Any], payload: Any, opcode: Any
) -> None:
    wires = [Wire(), Wire()]
    ours, theirs = map(connected, wires)
    expected = outcome(originals["send"], theirs, payload, opcode)
    assert outcome(ours.send, payload, opcode) == expected
    assert wires[0].frames() == wires[1].frames()


def test_ping_pong_and_close_are_sent() -> None:
    wire = Wire()
    connection = connected(wire)
    connection.ping("hi")
    connection.pong(b"ho")
    connection.send_close(1001, b"going")
    assert wire.frames() == [(9, b"hi"), (10, b"ho"), (8, b"\x03\xe9going")]


@pytest.mark.parametrize("takes", [1, 3, 50])
def test_what_is_not_taken_at_once_is_sent_again(takes: int) -> None:
    wire = Wire(takes=takes)
    assert connected(wire).send("x" * 100) == 106
    assert wire.frames() == [(1, b"x" * 100)]
    assert len(wire.sends) == -(-106 // takes)


def test_a_large_message_over_a_socket_that_takes_parts(pair: tuple[Any, socket.socket]) -> None:
    connection, far = pair
    connection.settimeout(10)  # then send takes what there is room for
    connection.set_mask_key(lambda size: KEY)
    expected = frame_bytes(2, b"x" * (1 << 20), masking_key=KEY)
    received = bytearray()

    def read() -> None:
        while len(received) < len(expected):
            received.extend(far.recv(1 << 16))

    thread = threading.Thread(target=read)
    thread.start()
    assert connection.send_binary(b"x" * (1 << 20)) == len(expected)
    thread.join(10)
    assert received == expected


def test_sending_on_a_closed_connection() -> None:
    connection = connected(None)
    with pytest.raises(
        websocket.WebSocketConnectionClosedException, match=r"socket is already closed\."
    ):
        connection.send("x")


def test_the_other_end_is_gone(pair: tuple[Any, socket.socket]) -> None:
    connection, far = pair
    far.close()
    with pytest.raises(OSError):
        for _ in range(3):
            connection.send("x" * 100)


def test_the_send_lock_is_held() -> None:
    connection = connected(Wire())
    connection.lock = mock.MagicMock()
    connection.send("x")
    connection.lock.__enter__.assert_called_once_with()
