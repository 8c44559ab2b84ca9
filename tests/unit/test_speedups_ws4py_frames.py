"""ws4py's frames, ours against its own: built and received, cut, broken, and who is asked."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("ws4py")

from ws4py import messaging, streaming
from ws4py.framing import Frame
from ws4py.messaging import BinaryMessage, CloseControlMessage, PingControlMessage, TextMessage

from ids import shown
from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome
from wsfast.speedups.ws4py_selftest import feed, stream_of, unmasked

KEY = b"\x12\x34\x56\x78"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
masked = functools.partial(frame_bytes, masking_key=KEY)


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with speedups.installed("ws4py", strict=True):
        yield


def original(where: str) -> Any:
    return speedups.registry.library("ws4py").originals[f"ws4py.{where}"]


# --- building ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("key", [None, KEY, bytearray(KEY), b""])
def test_frames_of_every_length(size: int, key: Any) -> None:
    frame = Frame(BINARY, bytes(size), masking_key=key, fin=1)
    built = frame.build()
    assert type(built) is bytes and built == original("framing:Frame.build")(frame)


@pytest.mark.parametrize("opcode", [*range(17), None, True, "1"])
@pytest.mark.parametrize(
    "bits", [{}, {"fin": 1}, {"fin": 2}, {"rsv1": 1}, {"rsv2": 1, "fin": True}]
)
def test_frames_of_every_opcode(opcode: Any, bits: dict[str, Any]) -> None:
    frame = Frame(opcode, b"body", **bits)
    assert outcome(frame.build) == outcome(original("framing:Frame.build"), frame)


@pytest.mark.parametrize(
    "fields",
    [
        {"masking_key": b"longer"},
        {"masking_key": b"abc"},
        {"masking_key": "text"},
        {"masking_key": [1, 2, 3, 4]},
        {"body": bytearray(b"body")},
        {"body": None},
        {"payload_length": 3},
        {"payload_length": 1 << 63},
        {"rsv3": 2},
        {"fin": "1"},
    ],
    ids=str,
)
def test_frames_with_something_unusual(fields: dict[str, Any]) -> None:
    frame = Frame(BINARY, b"body")
    vars(frame).update(fields)
    assert outcome(frame.build) == outcome(original("framing:Frame.build"), frame)


def test_a_mask_that_a_class_overrides_is_called() -> None:
    class Plain(Frame):  # type: ignore[misc]
        def mask(self, data: bytes) -> bytes:
            return data[::-1]

    assert Plain(TEXT, b"text", masking_key=KEY, fin=1).build() == b"\x81\x84" + KEY + b"txet"


MESSAGES = [
    TextMessage("žluť"),
    TextMessage(b""),
    BinaryMessage(bytes(126)),
    PingControlMessage("?"),
    CloseControlMessage(1000, "bye"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=shown)
@pytest.mark.parametrize("is_masked", [True, False, 1, None])
def test_messages(message: Any, is_masked: Any) -> None:
    theirs = original("messaging:Message.single")(message, is_masked)
    ours = message.single(mask=is_masked)
    assert type(ours) is bytes and unmasked(ours) == unmasked(theirs)
    for flags in ({}, {"first": True}, {"last": True}, {"first": 1, "last": 1}):
        theirs = original("messaging:Message.fragment")(message, mask=is_masked, **flags)
        assert unmasked(message.fragment(mask=is_masked, **flags)) == unmasked(theirs)


def test_no_two_masking_keys_are_equal() -> None:
    assert len({TextMessage("text").single(mask=True) for _ in range(100)}) == 100


def test_another_source_of_keys_is_used() -> None:
    with mock.patch("os.urandom", lambda size: b"\1\2\3\4"[:size]):
        assert BinaryMessage(bytes(4)).single(mask=True) == b"\x82\x84" + b"\1\2\3\4" * 2
    module = mock.Mock(urandom=lambda size: b"\4\3\2\1"[:size])
    with mock.patch.object(messaging, "os", module):
        assert BinaryMessage(bytes(4)).fragment(mask=True) == b"\x00\x84" + b"\4\3\2\1" * 2


def test_another_class_of_frames_is_used() -> None:
    with mock.patch.object(messaging, "Frame") as frame:
        assert TextMessage("text").single() is frame.return_value.build.return_value


@pytest.mark.parametrize("name", ["build", "__init__"])
def test_a_frame_method_that_is_replaced_is_called(name: str) -> None:
    genuine, called = vars(Frame)[name], []

    def method(self: Any, *given: Any, **named: Any) -> Any:
        called.append(name)
        return genuine(self, *given, **named)

    with mock.patch.object(Frame, name, method):
        assert TextMessage("text").single() == b"\x81\x04text"
    assert called


@pytest.mark.parametrize("data", [bytearray(b"data"), None, "text"])
def test_data_that_are_no_bytes_are_left_to_theirs(data: Any) -> None:
    message = TextMessage("text")
    message.data = data
    assert outcome(message.single) == outcome(original("messaging:Message.single"), message)


# --- receiving ---------------------------------------------------------------------------------


def both(parts: list[Any], expect_masking: bool = True) -> list[Any]:
    theirs = stream_of(original("streaming:Stream.receiver"), expect_masking)
    ours = stream_of(None, expect_masking)
    expected, got = feed(theirs, parts), feed(ours, parts)
    assert got == expected
    for each in (theirs, ours):
        each._cleanup()
        assert each.parser is not None
        each._cleanup()
    return got


def as_asked(data: bytes, expect_masking: bool = True) -> None:
    """As WebSocket.once: two bytes, and then as many as the stream wants."""
    told = []
    for receiver in (original("streaming:Stream.receiver"), None):
        stream, rest, size = stream_of(receiver, expect_masking), data, 2
        seen: list[Any] = []
        while rest:
            (state,) = feed(stream, [rest[:size]])
            rest, size = rest[size:], state[0] if isinstance(state[0], int) else 2
            seen.append(state)
        told.append(seen)
    assert told[0] == told[1]


STREAMS = {
    "text": masked(TEXT, "žluť 漢字".encode()),
    "empty": masked(TEXT, b"") + masked(BINARY, b""),
    "126": masked(BINARY, bytes(126)) + masked(TEXT, b"a" * 300),
    "65536": masked(TEXT, b"a" * 65_536) + masked(TEXT, b"more"),
    "fragments": masked(TEXT, b"\xc5", fin=False) + masked(0, b"", fin=False) + masked(0, b"\xbe"),
    "controls": masked(BINARY, b"a", fin=False) + masked(PING, b"?") + masked(PONG, b"!"),
    "close": masked(CLOSE, b"\x03\xe8bye") + masked(TEXT, b"more"),
    "close of nothing": masked(CLOSE, b""),
    "close of one byte": masked(CLOSE, b"x"),
    "close of a code": masked(CLOSE, b"\x0f\xa0"),
    "close of no code": masked(CLOSE, b"\x00\x05bye"),
    "close with bad text": masked(CLOSE, b"\x03\xe8\xff"),
    "close with cut text": masked(CLOSE, b"\x03\xe8\xc5"),
    "close after half a letter": masked(TEXT, b"\xc5", fin=False) + masked(CLOSE, b"\x03\xe8\xbe"),
    "bad text": masked(TEXT, b"good \xff") + masked(TEXT, b"more"),
    "cut text": masked(TEXT, b"cut \xe6\xbc") + masked(TEXT, b"more"),
    "text in text": masked(TEXT, b"a", fin=False) + masked(TEXT, b"b") + masked(0, b"c"),
    "binary in text": masked(TEXT, b"a", fin=False) + masked(BINARY, b"b"),
    "text behind half a letter": masked(TEXT, b"\xc5", fin=False) + masked(TEXT, b"b"),
    "continuation of nothing": masked(0, b"a") + masked(TEXT, b"more"),
    "reserved bits": masked(TEXT, b"a", rsv=4) + masked(TEXT, b"more"),
    "reserved opcode": masked(3, b"a") + masked(TEXT, b"more"),
    "cut control": masked(PING, b"a", fin=False) + masked(TEXT, b"more"),
    "long control": masked(PING, bytes(126)),
    "not minimal": masked(TEXT, b"text", length_form=64) + masked(TEXT, b"a", length_form=16),
    "far too long": b"\x82\xff\xff" + bytes(7) + masked(TEXT, b"more"),
    "unmasked": frame_bytes(TEXT, b"text") + frame_bytes(PING, b"") + masked(TEXT, b"more"),
}


@pytest.mark.parametrize("expect_masking", [True, False])
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_streams_as_they_are_asked_for(stream: bytes, expect_masking: bool) -> None:
    as_asked(stream, expect_masking)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_streams_whole(stream: bytes) -> None:
    """What comes behind a whole frame in one call is dropped; theirs drops it, too."""
    both([stream])
    both([stream, masked(TEXT, b"more")])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("stream", [each for each in STREAMS.values() if len(each) < 1000])
def test_streams_cut(stream: bytes, size: int) -> None:
    both([stream[start : start + size] for start in range(0, len(stream), size)])


@pytest.mark.parametrize("nothing", [None, b"", bytearray()])
def test_nothing_changes_nothing(nothing: Any) -> None:
    data = masked(TEXT, bytes(126))
    parts: list[Any] = []
    for at in range(0, len(data), 5):
        parts += [nothing, data[at : at + 5], nothing]
    both(parts)


def test_bytearrays_are_received() -> None:
    both([bytearray(each) for each in (STREAMS["text"], STREAMS["close"])])
    both([bytearray(frame_bytes(TEXT, b"text"))], expect_masking=False)


def test_messages_are_bytes() -> None:
    stream = stream_of(None)
    stream.parser.send(masked(TEXT, b"text"))
    assert type(stream.message) is TextMessage and type(stream.message.data) is bytes
    assert stream.has_message and stream.message.completed is True


def test_a_frame_that_is_unmasked_otherwise() -> None:
    """wsaccel.patch_ws4py, as an example, replaces Frame.unmask: also for open streams."""
    stream = stream_of(None)
    stream.parser.send(masked(TEXT, b"before"))
    stream.message = None
    with mock.patch.object(Frame, "unmask", lambda self, data: self.masking_key + data):
        stream.parser.send(masked(BINARY, bytes(2)))
        assert stream.message.data == KEY + KEY[:2]


def test_classes_of_messages_that_are_replaced_are_used() -> None:
    class Mine(TextMessage):  # type: ignore[misc]
        pass

    stream = stream_of(None)
    with mock.patch.object(streaming, "TextMessage", Mine):
        stream.parser.send(masked(TEXT, b"text"))
    assert type(stream.message) is Mine


@pytest.mark.parametrize("name", ["Utf8Validator", "Frame", "unpack"])
def test_what_is_replaced_in_the_module_is_used(name: str) -> None:
    genuine, called = getattr(streaming, name), []

    def used(*given: Any, **named: Any) -> Any:
        called.append(name)
        return genuine(*given, **named)

    with mock.patch.object(streaming, name, used):
        stream = stream_of(None)
        stream.parser.send(masked(CLOSE, b"\x03\xe8bye"))
    assert called and stream.closing.code == 1000


@pytest.mark.parametrize("name", ["_parsing", "unmask"])
def test_a_method_of_frames_that_is_replaced_is_called(name: str) -> None:
    genuine, called = vars(Frame)[name], []

    def method(self: Any, *given: Any) -> Any:
        called.append(name)
        return genuine(self, *given)

    with mock.patch.object(Frame, name, method):
        stream = stream_of(None)
        stream.parser.send(masked(TEXT, b"text"))
    assert called and stream.message.data == b"text"


def test_closing_codes_that_are_replaced_count() -> None:
    with mock.patch.object(streaming, "VALID_CLOSING_CODES", [1015]):
        both([masked(CLOSE, b"\x03\xf7bye")])
        both([masked(CLOSE, b"\x03\xe8bye")])


def test_an_error_of_a_message_comes_through() -> None:
    def broken(*given: Any) -> None:
        raise RuntimeError("broken")

    with mock.patch.object(streaming, "PingControlMessage", broken):
        stream = stream_of(None)
        with pytest.raises(RuntimeError, match="broken"):
            stream.parser.send(masked(PING, b"?"))
        with pytest.raises(StopIteration):
            stream.parser.send(masked(PING, b"?"))


def test_a_stream_that_is_cleaned_up_forgets_everything() -> None:
    stream = stream_of(None)
    stream.parser.send(masked(TEXT, b"text")[:5])
    parser = stream.parser
    assert parser.gi_running in (False, 0)
    stream._cleanup()
    assert [stream.message, stream.errors, stream.pings, stream._parser] == [None] * 4
    with pytest.raises(StopIteration):
        next(parser)


def test_a_parser_that_is_closed_cleans_its_stream_up() -> None:
    for receiver in (original("streaming:Stream.receiver"), None):
        stream = stream_of(receiver)
        stream.parser.close()
        assert [stream.message, stream.errors, stream._parser] == [None] * 3
