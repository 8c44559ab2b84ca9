"""websocket-client's frames: built, and read whole, in pieces and with interruptions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websocket")

import websocket
from websocket import ABNF
from websocket._abnf import frame_buffer

from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome
from wsfast.speedups.websocket_client_frames import Again, Frames, methods_of

KEY = b"\x12\x34\x56\x78"
MASK = "mask_value" if "mask_value" in vars(ABNF()) else "mask"


@pytest.fixture(autouse=True, scope="module")
def originals() -> Iterator[dict[str, Any]]:
    """The speedups are in; what the library has itself is handed to the test."""
    with speedups.installed("websocket-client", level="frames", strict=True):
        yield {
            "format": ABNF.format.__wrapped__,
            "recv_frame": frame_buffer.recv_frame.__wrapped__,
        }


def source(*parts: Any) -> Callable[[int], Any]:
    """A recv that gives one part after the other, whatever it is asked for; errors are raised."""
    rest = list(parts)

    def recv(size: int) -> Any:
        part = rest.pop(0) if rest else EOFError()
        if isinstance(part, BaseException):
            raise part
        return part

    return recv


def cut(data: bytes, size: int) -> Callable[[int], bytes]:
    """A recv that gives at most that many bytes at a time, and never more than asked for."""
    rest = bytearray(data)

    def recv(asked: int) -> bytes:
        if not rest:
            raise EOFError
        part = bytes(rest[: min(size, asked)])
        del rest[: len(part)]
        return part

    return recv


def shown(frame: Any) -> Any:
    return type(frame), {name: v for name, v in vars(frame).items() if name != "get_mask_key"}


def kept(buffer: Any) -> Any:
    return buffer.header, buffer.length, getattr(buffer, MASK), buffer.recv_buffer


# --- building ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_format_of_every_length(size: int, kind: Any) -> None:
    frame = ABNF(1, 0, 0, 0, 2, 1, kind(b"x" * size))
    frame.get_mask_key = lambda length: KEY[:length]
    assert frame.format() == frame_bytes(2, b"x" * size, masking_key=KEY)
    assert type(frame.format()) is bytes


def test_format_without_mask(originals: dict[str, Any]) -> None:
    assert ABNF(1, 0, 0, 0, 1, 0, b"abc").format() == frame_bytes(1, b"abc")
    ours, theirs = (ABNF(1, 0, 0, 0, 1, 0, "žluť") for _ in range(2))
    assert outcome(ours.format) == outcome(originals["format"], theirs)
    assert ours.data == theirs.data  # since 1.7 it is encoded in place


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((2, 0, 0, 0, 1, 1, b""), "not 0 or 1"),
        ((1, 0, -1, 0, 1, 1, b""), "not 0 or 1"),
        ((1, 0, 0, None, 1, 1, b""), "not 0 or 1"),
        ((1, 0, 0, 0, 3, 1, b""), "Invalid OPCODE"),
        ((1, 0, 0, 0, 11, 1, b""), "Invalid OPCODE"),
        ((1, 0, 0, 0, 1 << 80, 1, b""), "Invalid OPCODE"),
    ],
)
def test_format_refuses_as_the_library_does(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ABNF(*fields).format()


@pytest.mark.parametrize("fields", [(True, 1, 0, True, 2), (0, 0.0, 0, 0, 9), (1, 0, 0, 0, True)])
@pytest.mark.parametrize("data", [b"abc", "abc", "\u0161", None, 3, memoryview(b"abcd")[::2]])
@pytest.mark.parametrize("masked", [0, 1, True, 2])
def test_format_of_odd_fields(
    originals: dict[str, Any], fields: Any, data: Any, masked: Any
) -> None:
    frames = [ABNF(*fields, masked, data) for _ in range(2)]
    for frame in frames:
        frame.get_mask_key = lambda length: KEY
    expected = outcome(originals["format"], frames[0])
    assert outcome(frames[1].format) == expected
    assert frames[1].data == frames[0].data


@pytest.mark.parametrize("token", ["abcd", "\xe1bcd", b"abc", b"abcde", bytearray(KEY), None, 3])
def test_format_with_odd_keys_asks_for_them_once(originals: dict[str, Any], token: Any) -> None:
    frames = [ABNF(1, 0, 0, 0, 1, 1, b"payload") for _ in range(2)]
    for frame in frames:
        frame.get_mask_key = mock.Mock(return_value=token)
    assert outcome(frames[1].format) == outcome(originals["format"], frames[0])
    frames[1].get_mask_key.assert_called_once_with(4)


def test_format_takes_fresh_keys_from_the_system() -> None:
    frame = ABNF.create_frame("text", ABNF.OPCODE_TEXT)
    keys = {frame.format()[2:6] for _ in range(50)}
    assert len(keys) == 50


def test_a_key_source_that_was_replaced_is_asked() -> None:
    with mock.patch("os.urandom", lambda size: KEY[:size]):
        frame = ABNF.create_frame(b"abc", ABNF.OPCODE_BINARY)
    assert frame.format() == frame_bytes(2, b"abc", masking_key=KEY)


def test_a_subclass_s_mask_is_used() -> None:
    class Loud(ABNF):
        def _get_masked(self, mask_key: Any) -> bytes:
            return b"loud"

    assert Loud(1, 0, 0, 0, 1, 1, b"abc").format() == b"\x81\x83loud"


def test_a_mask_that_was_patched_is_used() -> None:
    frame = ABNF(1, 0, 0, 0, 1, 1, b"abc")
    frame.get_mask_key = lambda length: KEY
    with mock.patch.object(ABNF, "mask", staticmethod(lambda key, data: b"***")):
        assert frame.format() == b"\x81\x83" + KEY + b"***"


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 300, 16384, 16385, 40000, 65536])
@pytest.mark.parametrize("key", [None, KEY])
def test_a_frame_whole_and_in_pieces(size: int, key: bytes | None, piece: int) -> None:
    payload = bytes(i * 13 & 255 for i in range(size))
    data = frame_bytes(2, payload, masking_key=key)
    buffer = frame_buffer(cut(data * 2, piece), False)
    for _ in range(2):
        frame = buffer.recv_frame()
        assert shown(frame)[1] == {
            **dict.fromkeys(("rsv1", "rsv2", "rsv3"), 0),
            "fin": 1,
            "opcode": 2,
            MASK: int(key is not None),
            "data": payload,
        }
        assert type(frame.data) is bytes
    assert kept(buffer) == (None, None, None, [])


def test_never_more_is_asked_for_than_the_frame_has() -> None:
    asked: list[int] = []
    data = frame_bytes(2, b"x" * 20000, masking_key=KEY)
    recv = cut(data, 1 << 20)
    buffer = frame_buffer(lambda size: [asked.append(size), recv(size)][1], False)
    buffer.recv_frame()
    assert asked == [2, 2, 4, 16384, 20000 - 16384]


@pytest.mark.parametrize("form", [16, 64])
def test_lengths_that_are_longer_than_they_need_be(form: int) -> None:
    data = frame_bytes(2, b"abc", length_form=form)
    assert frame_buffer(cut(data, 100), False).recv_frame().data == b"abc"


def test_more_than_was_asked_for_is_kept() -> None:
    buffer = frame_buffer(source(frame_bytes(2, b"abc") + frame_bytes(1, b"de")), False)
    assert buffer.recv_frame().data == b"abc"
    assert buffer.recv_buffer == [frame_bytes(1, b"de")]
    assert buffer.recv_frame().data == b"de"


@pytest.mark.parametrize("after", range(12))
def test_an_interruption_at_every_byte(originals: dict[str, Any], after: int) -> None:
    """Once, and what was read is where the library keeps it; it goes on from there."""
    data = frame_bytes(2, b"abcd", masking_key=KEY, length_form=16)
    parts = [*(bytes([byte]) for byte in data[:after]), TimeoutError("timed out"), data[after:]]
    parts = [part for part in parts if part]
    ours, theirs = (frame_buffer(source(*parts), False) for _ in range(2))
    expected = outcome(originals["recv_frame"], theirs)
    assert outcome(ours.recv_frame) == expected
    assert kept(ours) == kept(theirs)
    if expected.kind == "raised":
        assert shown(ours.recv_frame()) == shown(originals["recv_frame"](theirs))
        assert kept(ours) == kept(theirs)
    assert not ours.lock.locked()


@pytest.mark.parametrize("odd", [bytearray(b"\x82\x01"), None, 3, "ab", memoryview(b"ab"), b""])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_what_is_not_bytes_goes_to_the_library(
    originals: dict[str, Any], odd: Any, before: int
) -> None:
    data = frame_bytes(2, b"abcdefgh")
    parts = [data[i : i + 1] for i in range(before)] + [odd, data[before:]]
    ours, theirs = (frame_buffer(source(*parts), False) for _ in range(2))
    for _ in range(4):
        expected = outcome(lambda: shown(originals["recv_frame"](theirs)))
        assert outcome(lambda: shown(ours.recv_frame())) == expected
        assert kept(ours) == kept(theirs)


@pytest.mark.parametrize(
    "data",
    [
        frame_bytes(1, b"", rsv=4),
        frame_bytes(1, b"", rsv=1),
        frame_bytes(3, b""),
        frame_bytes(15, b""),
        frame_bytes(9, b"", fin=False),
        frame_bytes(8, b"\x03"),
        frame_bytes(8, b"\x03\xed"),
        frame_bytes(8, b"\x03\xe8\xff"),
        frame_bytes(8, b"\x03\xe8" + b"x" * 130),
    ],
)
def test_frames_that_are_refused(originals: dict[str, Any], data: bytes) -> None:
    ours, theirs = (frame_buffer(cut(data, 100), False) for _ in range(2))
    with pytest.raises(websocket.WebSocketProtocolException) as expected:
        originals["recv_frame"](theirs)
    with pytest.raises(websocket.WebSocketProtocolException) as got:
        ours.recv_frame()
    assert got.value.args == expected.value.args
    assert kept(ours) == kept(theirs)
    assert not ours.lock.locked()


def test_utf8_of_a_close_is_skipped_if_asked() -> None:
    data = frame_bytes(8, b"\x03\xe8\xff")
    assert frame_buffer(cut(data, 100), True).recv_frame().data == b"\x03\xe8\xff"


@pytest.mark.parametrize("name", ["recv_strict", "recv_header", "recv_length", "recv_mask"])
def test_a_method_that_was_patched_is_called(name: str) -> None:
    data = frame_bytes(2, b"x" * 126, masking_key=KEY)
    original = getattr(frame_buffer, name)
    spy = mock.Mock(side_effect=original)
    with mock.patch.object(frame_buffer, name, lambda *given: spy(*given)):
        assert frame_buffer(cut(data, 100), False).recv_frame().data == b"x" * 126
    assert spy.called


def test_a_method_of_the_instance_is_called() -> None:
    buffer = frame_buffer(cut(frame_bytes(2, b"abc"), 100), False)
    buffer.recv_strict = mock.Mock(side_effect=buffer.recv_strict)
    assert buffer.recv_frame().data == b"abc"
    assert buffer.recv_strict.call_count == 2


def test_a_validation_that_was_patched_is_called() -> None:
    with mock.patch.object(ABNF, "validate", side_effect=KeyError("mine")):
        with pytest.raises(KeyError):
            frame_buffer(cut(frame_bytes(2, b"abc"), 100), False).recv_frame()


def test_a_class_that_was_put_in_place_of_abnf_is_used() -> None:
    class Mine(ABNF):
        pass

    with mock.patch("websocket._abnf.ABNF", Mine):
        frame = frame_buffer(cut(frame_bytes(2, b"abc"), 100), False).recv_frame()
    assert type(frame) is Mine


def test_frames_are_abnf_objects_that_can_be_sent_back() -> None:
    frame = frame_buffer(cut(frame_bytes(1, b"abc"), 100), False).recv_frame()
    assert isinstance(frame, ABNF)
    assert str(frame).startswith("fin=1 opcode=1 data=")
    assert frame.format() == frame_bytes(1, b"abc")


def test_two_threads_read_one_frame_each() -> None:
    entered, done = threading.Event(), threading.Event()
    rest = cut(frame_bytes(2, b"one") + frame_bytes(2, b"two"), 100)

    def recv(size: int) -> bytes:
        entered.set()
        done.wait(10)
        return rest(size)

    buffer = frame_buffer(recv, False)
    seen: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: seen.append(buffer.recv_frame().data)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    done.set()
    for thread in threads:
        thread.join(10)
    assert sorted(seen) == [b"one", b"two"]


def test_any_lock_is_taken() -> None:
    buffer = frame_buffer(cut(frame_bytes(2, b"abc"), 100), False)
    buffer.lock = mock.MagicMock()
    assert buffer.recv_frame().data == b"abc"
    buffer.lock.__enter__.assert_called_once_with()
    buffer.lock.__exit__.assert_called_once_with(None, None, None)


# --- a socket that says it again -----------------------------------------------------------------


def test_again_tells_once_and_then_hands_on() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.send(b"later")
        again = Again(near, None, b"first")
        assert again.fileno() == near.fileno()
        assert (again.recv(100), again.recv(100)) == (b"first", b"later")
        failing = Again(near, BlockingIOError(11, "again"))
        with pytest.raises(BlockingIOError, match="again"):
            failing.send(b"data")
        assert failing.send(b"data") == 4


def test_methods_of_a_class() -> None:
    methods = methods_of(frame_buffer, frame_buffer(None, False))
    assert methods.serves(frame_buffer(None, False))
    assert not methods.serves(
        type("Sub", (frame_buffer,), {"clear": lambda self: None})(None, False)
    )


def test_frames_are_not_bound_over_a_patched_random_source() -> None:
    with mock.patch("os.urandom", lambda size: KEY):
        with pytest.raises(RuntimeError, match=r"os\.urandom"):
            Frames()
