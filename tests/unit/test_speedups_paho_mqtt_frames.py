"""paho-mqtt's frames: built, sent in parts, and read whole, in pieces and with interruptions."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("paho.mqtt.client")

from paho.mqtt import client

from wsfast import speedups
from wsfast.frame import decode_header
from wsfast.mask import apply_mask
from wsfast.speedups.paho_mqtt_frames import Frames
from wsfast.speedups.selftest import frame_bytes, outcome

KEY = b"\x12\x34\x56\x78"
WRAPPER: Any = getattr(client, "_WebsocketWrapper", None) or client.WebsocketWrapper
SIZES = [0, 1, 2, 125, 126, 127, 65535, 65536, 100_000]


@pytest.fixture(autouse=True, scope="module")
def originals() -> Iterator[dict[str, Any]]:
    """The speedups are in; what the library has itself is handed to the test."""
    with speedups.installed("paho-mqtt", level="frames", strict=True):
        yield {
            name: getattr(WRAPPER, name).__wrapped__
            for name in ("_create_frame", "_send_impl", "_recv_impl")
        }


class Wire:
    """Gives one part after the other, cut to what is asked for; errors are raised."""

    def __init__(self, *parts: Any, takes: Any = 1 << 30) -> None:
        self.asked: list[int] = []
        self.sent = bytearray()
        self._parts = list(parts)
        self._takes = takes

    def recv(self, size: int) -> bytes:
        self.asked.append(size)
        if not self._parts:
            raise BlockingIOError(11, "nothing there")
        part = self._parts.pop(0)
        if isinstance(part, BaseException):
            raise part
        if len(part) > size:
            self._parts.insert(0, part[size:])
        return bytes(part[:size])

    def send(self, data: Any) -> int:
        assert type(data) is bytearray
        takes = self._takes.pop(0) if isinstance(self._takes, list) else self._takes
        if isinstance(takes, BaseException):
            raise takes
        self.sent += data[:takes]
        return min(takes, len(data))


def wrapper(wire: Any, owner: Any = WRAPPER) -> Any:
    """A wrapper as it is after its handshake."""
    made = owner.__new__(owner)
    made.connected = True
    made._ssl, made._host, made._port, made._path = False, "", 80, "/mqtt"
    made._socket = wire
    made._sendbuffer, made._readbuffer = bytearray(), bytearray()
    made._requested_size = made._payload_head = made._readbuffer_head = 0
    return made


def theirs(originals: dict[str, Any], wire: Any) -> Any:
    return wrapper(wire, type("Theirs", (WRAPPER,), dict(originals)))


def unmasked(frame: Any) -> tuple[int, bytes]:
    header = decode_header(frame)
    assert header is not None and header.fin and header.masked
    assert header.size + header.payload_length == len(frame)
    return header.opcode, apply_mask(bytes(frame[header.size :]), header.masking_key)


# --- building ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_masked_frame_and_what_becomes_of_the_data(size: int, level: str) -> None:
    payload = bytes(i * 7 & 255 for i in range(size))
    data = bytearray(payload)
    frame = wrapper(None)._create_frame(2, data)
    assert type(frame) is bytearray
    assert unmasked(frame) == (2, payload)
    assert frame.endswith(data)  # masked where it stood, as by the library


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_that_is_not_masked(size: int) -> None:
    data = bytearray(b"x" * size)
    assert wrapper(None)._create_frame(10, data, 0) == frame_bytes(10, b"x" * size)
    assert data == b"x" * size


@pytest.mark.parametrize("opcode", [0, 15, 127, 128, 200, -1, True, 2.0, None, "2"])
@pytest.mark.parametrize("data", [bytearray(b""), bytearray(b"abc"), b"", b"abc", [1, 2], None])
@pytest.mark.parametrize("masking", [0, False, 2, None])
def test_whatever_the_library_takes(
    originals: dict[str, Any], opcode: Any, data: Any, masking: Any
) -> None:
    expected = outcome(originals["_create_frame"], wrapper(None), opcode, data, masking)
    assert outcome(wrapper(None)._create_frame, opcode, data, masking) == expected


def test_bytes_cannot_be_masked_in_place(originals: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        wrapper(None)._create_frame(2, b"abc")


def test_a_random_source_that_was_patched_is_asked() -> None:
    with mock.patch("os.urandom", return_value=KEY) as urandom:
        frame = wrapper(None)._create_frame(2, bytearray(b"abc"))
        wire = Wire()
        wrapper(wire).send(b"abc")
    assert frame == wire.sent == frame_bytes(2, b"abc", masking_key=KEY)
    assert urandom.call_count == 2


def test_no_two_keys_are_the_same() -> None:
    made = wrapper(None)
    assert len({bytes(made._create_frame(2, bytearray())[2:]) for _ in range(200)}) == 200


# --- sending -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sending(size: int, kind: Any) -> None:
    wire = Wire()
    data = kind(b"x" * size)
    assert wrapper(wire).send(data) == size
    assert unmasked(wire.sent) == (2, b"x" * size)
    assert data == b"x" * size


def test_what_is_not_taken_at_once_is_asked_for_again() -> None:
    wire = Wire(takes=[3, 0, BlockingIOError(11, "full"), 4, 1000])
    made = wrapper(wire)
    assert made.send(b"hello") == 0
    assert made.write(b"hello") == 0
    with pytest.raises(BlockingIOError):
        made.send(b"hello")
    assert made._requested_size == 5 and len(made._sendbuffer) == 8
    assert made.send(b"hello") == 0
    assert made.send(b"hello") == 5
    assert made._sendbuffer == bytearray()
    assert unmasked(wire.sent) == (2, b"hello")


@pytest.mark.parametrize("odd", [None, "text", 3, [1, 2], object()])
def test_what_cannot_be_sent(originals: dict[str, Any], odd: Any) -> None:
    expected = outcome(theirs(originals, Wire()).send, odd)
    assert outcome(wrapper(Wire()).send, odd)[0] == expected[0]


def test_a_subclass_that_builds_frames_of_its_own_is_called() -> None:
    class Mine(WRAPPER):
        def _create_frame(self, opcode: int, data: bytearray, do_masking: int = 1) -> bytearray:
            return bytearray(b"mine")

    wire = Wire()
    assert wrapper(wire, Mine).send(b"hello") == 5
    assert wire.sent == b"mine"


# --- reading -----------------------------------------------------------------------------------


def read(made: Any, sizes: Any, tries: int = 100_000) -> list[Any]:
    """What recv returns for these sizes, asked for again until it has something."""
    found: list[Any] = []
    for size in sizes:
        for _ in range(tries):
            try:
                found.append(made.recv(size))
                break
            except BlockingIOError:
                continue
    return found


@pytest.mark.parametrize(
    ("size", "piece"),
    [
        *((size, piece) for size in (1, 2, 125, 126, 300) for piece in (1, 2, 3, 7, 1 << 20)),
        (70000, 1000),
        (70000, 1 << 20),
    ],
)
@pytest.mark.parametrize("key", [None, KEY])
def test_a_payload_in_parts_of_any_size(
    originals: dict[str, Any], size: int, key: bytes | None, piece: int
) -> None:
    payload = bytes(i * 13 & 255 for i in range(size))
    data = frame_bytes(2, payload, masking_key=key)
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    sizes = [1, 1, size // 2, size]
    sizes = [each for i, each in enumerate(sizes) if 0 < each and sum(sizes[:i]) < size]
    made = wrapper(Wire(*pieces))
    found = read(made, sizes)
    assert b"".join(found) == payload
    assert {type(part) for part in found} == {
        type(originals["_recv_impl"](wrapper(Wire(frame_bytes(2, b"x"))), 1))
    }
    assert (made._readbuffer, made._payload_head) == (bytearray(), 0)


def test_the_socket_is_not_asked_for_more_than_was_asked_for() -> None:
    wire = Wire(frame_bytes(2, b"x" * 200, masking_key=KEY) + frame_bytes(2, b"next"))
    made = wrapper(wire)
    assert made.recv(1) == b"x"
    assert wire.asked == [1, 1, 2, 4, 1]
    assert made.recv(50) == b"x" * 50
    assert made.read(1000) == b"x" * 149
    assert wire.asked[5:] == [50, 149]


def test_a_real_socket_is_asked_for_two_bytes_at_once() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        made = wrapper(near)
        for data in (b"\x82", b"\x03", b"abc"):
            with pytest.raises(BlockingIOError):
                made.recv(3)
            far.sendall(data)
        assert made.recv(3) == b"abc"
        far.sendall(frame_bytes(2, b"one") + frame_bytes(2, b"two"))
        assert made.recv(10) == b"one"
        assert near.recv(100) == frame_bytes(2, b"two")


def test_a_real_socket_at_its_end() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.close()
        made = wrapper(near)
        assert made.recv(1) == b""
        assert made.connected is False


@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize(
    "interruption",
    [BlockingIOError(11, "later"), b"", ConnectionResetError(104, "reset"), OSError(5)],
)
def test_an_interruption_at_every_byte(
    originals: dict[str, Any], before: int, interruption: Any
) -> None:
    data = frame_bytes(2, b"abcdef", masking_key=KEY)
    parts = [*(data[i : i + 1] for i in range(before)), interruption, data[before:]]
    ours, other = wrapper(Wire(*parts)), theirs(originals, Wire(*parts))
    for _ in range(20):
        expected = outcome(other.recv, 4)
        assert outcome(ours.recv, 4) == expected
        for name in ("connected", "_readbuffer", "_readbuffer_head", "_payload_head"):
            assert getattr(ours, name) == getattr(other, name), name
        assert ours._socket.asked == other._socket.asked


@pytest.mark.parametrize("opcode", [1, 3, 8, 9, 10, 15])
@pytest.mark.parametrize("payload", [b"", b"x", b"hello"])
@pytest.mark.parametrize("key", [None, KEY])
def test_other_frames_are_left_to_the_library(
    originals: dict[str, Any], opcode: int, payload: bytes, key: bytes | None
) -> None:
    data = frame_bytes(opcode, payload, masking_key=key) + frame_bytes(2, b"data")
    ours, other = wrapper(Wire(data)), theirs(originals, Wire(data))
    for _ in range(8):
        for size in (1, 3):
            assert outcome(ours.recv, size) == outcome(other.recv, size)
            assert ours._socket.sent == other._socket.sent
    if opcode == 9:
        assert decode_header(ours._socket.sent).opcode == 10  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [0, -1, True, 1 << 40, 1 << 70, None, 1.0, "1"])
def test_odd_sizes(originals: dict[str, Any], size: Any) -> None:
    data = frame_bytes(2, b"hello")
    ours, other = wrapper(Wire(data)), theirs(originals, Wire(data))
    for _ in range(3):
        assert outcome(ours.recv, size) == outcome(other.recv, size)
        assert ours._readbuffer == other._readbuffer


@pytest.mark.parametrize("form", [16, 64])
def test_lengths_that_are_longer_than_they_need_be(form: int) -> None:
    made = wrapper(Wire(frame_bytes(2, b"hello", length_form=form)))
    assert made.recv(100) == b"hello"


def test_a_length_of_63_bits(originals: dict[str, Any]) -> None:
    data = b"\x82\x7f\x7f" + b"\xff" * 7 + b"hello"
    ours, other = wrapper(Wire(data)), theirs(originals, Wire(data))
    for size in (1, 4, 9):
        assert outcome(ours.recv, size) == outcome(other.recv, size)


def test_many_packets_of_one_frame() -> None:
    packets = [bytes([i]) * 3 for i in range(200)]
    made = wrapper(Wire(frame_bytes(2, b"".join(packets))))
    assert read(made, [1, 2] * 200) == [part for p in packets for part in (p[:1], p[1:])]


@pytest.mark.parametrize("name", ["_buffered_read", "_create_frame"])
def test_a_method_that_was_patched_is_called(name: str) -> None:
    original = getattr(WRAPPER, name)
    spy = mock.Mock(side_effect=original)
    with mock.patch.object(WRAPPER, name, lambda *given: spy(*given)):
        made = wrapper(Wire(frame_bytes(9, b"x") + frame_bytes(2, b"hello")))
        assert read(made, [5], tries=3) == [b"hello"]
    assert spy.called


def test_mqtt_over_it() -> None:
    """A packet as `Client` reads it, and one as it writes it."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        options = (
            [client.CallbackAPIVersion.VERSION2] if hasattr(client, "CallbackAPIVersion") else []
        )
        mqtt = client.Client(*options, client_id="test", transport="websockets")
        mqtt._sock = wrapper(near)
        seen: list[Any] = []
        mqtt.on_message = lambda *given: seen.append(given[2].payload)
        payload = b"x" * 300
        topic = b"\0\x01t"
        length = len(topic) + len(payload)
        packet = b"\x30" + bytes([length & 127 | 128, length >> 7]) + topic + payload
        far.sendall(frame_bytes(2, packet))
        assert mqtt.loop_read() == 0
        assert seen == [payload]
        mqtt._sock.send(packet)
        assert unmasked(far.recv(1000)) == (2, packet)
        mqtt._sock = None


def test_frames_need_a_class() -> None:
    with pytest.raises(TypeError):
        Frames(None)  # type: ignore[arg-type]
