"""lomond's frames, ours against its own: built and parsed, cut, broken, and who is asked."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("lomond")

from lomond import frame as module
from lomond.errors import ProtocolError
from lomond.frame import CompressedFrame, Frame
from lomond.frame_parser import ClientFrameParser, FrameParser
from lomond.parser import ParseEOF, ParseOverflow

from reference import mask
from wsfast import speedups
from wsfast.speedups.lomond_selftest import _parser_class as parser_class
from wsfast.speedups.lomond_selftest import received, stream_of
from wsfast.speedups.selftest import frame_bytes, outcome

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = b"\x12\x34\x56\x78"


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with speedups.installed("lomond", strict=True):
        yield


def original(where: str) -> Any:
    value = speedups.registry.library("lomond").originals[f"lomond.{where}"]
    return value.__func__ if isinstance(value, classmethod) else value


def theirs() -> Any:
    return parser_class(original("frame_parser:FrameParser.parse"), original("parser:Parser.feed"))


# --- building ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("is_masked", [True, False])
def test_frames_of_every_length(size: int, kind: Callable[[bytes], Any], is_masked: bool) -> None:
    told = []
    for build in (Frame.build, functools.partial(original("frame:Frame.build"), Frame)):
        payload = kind(bytes(range(256)) * 256)[:size]
        named = {"mask": is_masked, "masking_key": KEY}
        told.append((outcome(build, BINARY, payload, **named), bytes(payload)))
    assert told[0] == told[1]


def test_a_bytearray_is_masked_where_it_is() -> None:
    payload = bytearray(b"payload")
    Frame(TEXT, payload, masking_key=KEY).to_bytes()
    assert payload == mask(b"payload", KEY)
    frame = Frame(TEXT, payload, mask=False)
    assert frame.to_bytes()[2:] == payload == mask(b"payload", KEY)


@pytest.mark.parametrize("opcode", [*range(18), True, None, "1"])
@pytest.mark.parametrize(
    "named",
    [
        {},
        {"fin": 0},
        {"fin": True},
        {"fin": 2},
        {"rsv1": 1},
        {"rsv3": 1, "rsv2": 3},
        {"rsv1": None},
    ],
    ids=str,
)
def test_frames_of_every_opcode(opcode: Any, named: dict[str, Any]) -> None:
    theirs = functools.partial(original("frame:Frame.build"), Frame)
    named |= {"payload": b"payload", "masking_key": KEY}
    assert outcome(Frame.build, opcode, **named) == outcome(theirs, opcode, **named)


@pytest.mark.parametrize("key", [b"abc", b"longer", bytearray(KEY), "four", [1, 2, 3, 4]])
@pytest.mark.parametrize("payload", [b"payload", "text", None, [1, 2]])
def test_arguments_of_every_kind(key: Any, payload: Any) -> None:
    theirs = functools.partial(original("frame:Frame.build"), Frame)
    for masked in (True, False):
        named = {"payload": payload, "masking_key": key, "mask": masked}
        assert outcome(Frame.build, TEXT, **named) == outcome(theirs, TEXT, **named)


def test_no_two_masking_keys_are_equal() -> None:
    assert len({Frame.build(BINARY, bytes(4)) for _ in range(100)}) == 100


@pytest.mark.parametrize("name", ["make_masking_key", "mask_payload"])
def test_what_is_replaced_in_the_module_is_used(name: str) -> None:
    with mock.patch.object(module, name) as replaced:
        replaced.return_value = b"\1\2\3\4"
        frame = Frame.build(BINARY, bytes(4))
        assert replaced.called
        assert name == "mask_payload" or frame == b"\x82\x84" + b"\1\2\3\4" * 2


def test_a_subclass_is_built_by_theirs() -> None:
    class Mine(Frame):  # type: ignore[misc]
        _pack_mask = staticmethod(lambda key: b"none")

    assert Mine.build(TEXT, b"", masking_key=KEY) == b"\x81\x80none"
    assert CompressedFrame.build(TEXT, b"", masking_key=KEY) == b"\x81\x80" + KEY


# --- parsing -----------------------------------------------------------------------------------

STREAMS = {
    "text": frame_bytes(TEXT, "žluť 漢字".encode()),
    "empty": frame_bytes(TEXT, b"") + frame_bytes(BINARY, b""),
    "126": frame_bytes(BINARY, bytes(126)) + frame_bytes(TEXT, b"a" * 300),
    "65536": frame_bytes(TEXT, b"a" * 65_536) + frame_bytes(TEXT, b"more"),
    "fragments": frame_bytes(TEXT, b"\xc5", fin=False)
    + frame_bytes(0, b"", fin=False)
    + frame_bytes(0, b"\xbe"),
    "controls": frame_bytes(BINARY, b"a", fin=False)
    + frame_bytes(PING, b"?")
    + frame_bytes(PONG, b"!")
    + frame_bytes(0, b"\xff"),
    "control in half a letter": frame_bytes(TEXT, b"\xc5", fin=False)
    + frame_bytes(PING, b"\xff")
    + frame_bytes(0, b"\xbe"),
    "close": frame_bytes(CLOSE, b"\x03\xe8bye") + frame_bytes(TEXT, b"more"),
    "close of nothing": frame_bytes(CLOSE, b""),
    "close of one byte": frame_bytes(CLOSE, b"x") + frame_bytes(TEXT, b"more"),
    "close with bad text": frame_bytes(CLOSE, b"\x03\xe8\xff") + frame_bytes(TEXT, b"more"),
    "close with cut text": frame_bytes(CLOSE, b"\x03\xe8\xc5"),
    "bad text": frame_bytes(TEXT, b"good \xff") + frame_bytes(TEXT, b"more"),
    "cut text": frame_bytes(TEXT, b"cut \xe6\xbc") + frame_bytes(TEXT, b"more"),
    "bad second fragment": frame_bytes(TEXT, b"\xc5", fin=False) + frame_bytes(0, b"A"),
    "text in text": frame_bytes(TEXT, b"a", fin=False) + frame_bytes(TEXT, b"b"),
    "continuation of nothing": frame_bytes(0, b"a") + frame_bytes(TEXT, b"more"),
    "reserved bits": frame_bytes(TEXT, b"a", rsv=4) + frame_bytes(TEXT, b"more"),
    "other reserved bits": frame_bytes(TEXT, b"a", rsv=3) + frame_bytes(TEXT, b"more"),
    "reserved opcode": frame_bytes(3, b"a") + frame_bytes(TEXT, b"more"),
    "cut control": frame_bytes(PING, b"a", fin=False) + frame_bytes(TEXT, b"more"),
    "long control": frame_bytes(PING, bytes(126)) + frame_bytes(TEXT, b"more"),
    "not minimal": frame_bytes(TEXT, b"text", length_form=64) + frame_bytes(TEXT, b"more"),
    "far too long": b"\x82\x7f\xff" + bytes(7) + frame_bytes(TEXT, b"more"),
    "masked": frame_bytes(TEXT, b"text", masking_key=KEY) + frame_bytes(TEXT, b"more"),
}


def both(parts: list[Any], compression: bool = False) -> list[Any]:
    expected = received(stream_of(theirs(), compression), parts)
    got = received(stream_of(ClientFrameParser, compression), parts)
    assert got == expected
    return got


@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_streams_whole(stream: bytes, kind: Callable[[bytes], Any], compression: bool) -> None:
    both([kind(stream)], compression)
    both([kind(frame_bytes(TEXT, b"first") + stream), kind(frame_bytes(BINARY, b""))], compression)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("stream", [each for each in STREAMS.values() if len(each) < 1000])
def test_streams_cut(stream: bytes, size: int) -> None:
    both([stream[start : start + size] for start in range(0, len(stream), size)])


def test_frames_of_a_parser() -> None:
    parser = ClientFrameParser(parse_headers=False)
    first, second = parser.feed(memoryview(frame_bytes(TEXT, b"text") + frame_bytes(PING, b"")))
    assert type(first) is Frame and type(first.payload) is bytearray and first.payload == b"text"
    assert (first.fin, first.rsv1, first.mask, first.masking_key) == (1, 0, False, None)
    assert type(second.payload) is bytes and second.opcode == PING


def test_frames_are_not_views() -> None:
    """lomond receives into one buffer again and again."""
    buffer = bytearray(frame_bytes(TEXT, b"text"))
    (frame,) = ClientFrameParser(parse_headers=False).feed(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert frame.payload == b"text"


def test_a_buffer_that_shrinks_while_it_is_read() -> None:
    for kind in (ClientFrameParser, theirs()):
        data = bytearray(frame_bytes(TEXT, b"one") + frame_bytes(TEXT, b"two"))
        parser = kind(parse_headers=False)
        seen = []
        for frame in parser.feed(data):
            seen.append(bytes(frame.payload))
            del data[5:]
        assert seen == [b"one"]


def test_a_caller_that_gives_up_is_handed_the_frame_again() -> None:
    for kind in (ClientFrameParser, theirs()):
        parser = kind(parse_headers=False)
        for frame in parser.feed(frame_bytes(TEXT, b"one") + frame_bytes(TEXT, b"lost")):
            assert frame.payload == b"one"
            break
        rest = [bytes(each.payload) for each in parser.feed(frame_bytes(TEXT, b"two"))]
        assert rest == [b"one", b"two"]


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 101 x\r\n\r\n"])
def test_the_head_comes_first(head: bytes) -> None:
    for kind in (ClientFrameParser, theirs()):
        parser = kind(parse_headers=bool(head))
        parts = head + frame_bytes(TEXT, b"text")
        seen = [each for at in range(len(parts)) for each in parser.feed(parts[at : at + 1])]
        assert [bytes(each) for each in seen[:-1]] == ([head] if head else [])
        assert seen[-1].payload == b"text"


def test_the_end_of_the_stream() -> None:
    for kind in (ClientFrameParser, theirs()):
        parser = kind(parse_headers=False)
        with pytest.raises(ParseEOF, match="unexpected eof"):
            list(parser.feed(b""))
        with pytest.raises(ParseEOF, match="end of file reached"):
            list(parser.feed(b"data"))


def test_after_an_error_nothing_is_parsed() -> None:
    for kind in (ClientFrameParser, theirs()):
        parser = kind(parse_headers=False)
        with pytest.raises(ProtocolError, match="reserved bits set"):
            list(parser.feed(frame_bytes(TEXT, b"", rsv=1)))
        with pytest.raises(ParseOverflow, match="extra bytes"):
            list(parser.feed(frame_bytes(TEXT, b"text")))
        with pytest.raises(ParseOverflow, match="extra bytes"):
            list(parser.feed(frame_bytes(TEXT, b"text")))


def test_a_parser_that_is_closed() -> None:
    for kind in (ClientFrameParser, theirs()):
        parser = kind(parse_headers=False)
        parser.close()
        with pytest.raises(AttributeError):
            list(parser.feed(frame_bytes(TEXT, b"text")))


def test_a_parser_that_is_reset() -> None:
    for kind in (ClientFrameParser, theirs()):
        parser = kind(parse_headers=False)
        list(parser.feed(frame_bytes(TEXT, b"text")[:3]))
        parser.reset()
        (frame,) = parser.feed(frame_bytes(TEXT, b"more"))
        assert frame.payload == b"more"


def test_without_validation() -> None:
    for kind in (ClientFrameParser, theirs()):
        parser = kind(parse_headers=False, validate=False)
        (frame,) = parser.feed(frame_bytes(3, b"text", rsv=7))
        assert (frame.opcode, frame.rsv1, frame.rsv2, frame.rsv3) == (3, 1, 1, 1)


def test_a_server_parses_masked_frames() -> None:
    for parse in (FrameParser.parse, original("frame_parser:FrameParser.parse")):
        kind = type("Server", (FrameParser,), {"parse": parse})
        (frame,) = kind(parse_headers=False).feed(frame_bytes(BINARY, b"data", masking_key=KEY))
        assert frame.mask is True and frame.masking_key == KEY and frame.payload != b"data"


def test_what_is_logged_of_a_masked_frame(caplog: pytest.LogCaptureFixture) -> None:
    said = []
    for kind in (ClientFrameParser, theirs()):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "lomond"):
            received(stream_of(kind, False), [STREAMS["text"] + STREAMS["masked"]])
        said.append([each.getMessage() for each in caplog.records])
    assert said[0] == said[1] and len(said[0]) == 2


# --- who is still asked ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["on_frame", "read_text", "unpack16"])
def test_a_method_that_a_class_overrides_is_called(name: str) -> None:
    called = []

    def method(self: Any, given: Any) -> Any:
        called.append(name)
        return getattr(super(kind, self), name)(given)

    kind: Any = type("Parser", (ClientFrameParser,), {name: method})
    list(kind(parse_headers=False).feed(STREAMS["text"] + STREAMS["126"]))
    assert called


@pytest.mark.parametrize("name", ["on_frame", "read_text", "unpack16"])
def test_a_method_of_the_instance_is_called(name: str) -> None:
    parser = ClientFrameParser(parse_headers=False)
    method = mock.Mock(wraps=getattr(parser, name))
    setattr(parser, name, method)
    assert len(list(parser.feed(STREAMS["text"] + STREAMS["126"]))) == 3 and method.called


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Frame, "validate"),
        (Frame, "__init__"),
        (FrameParser, "read_text"),
        (ClientFrameParser, "on_frame"),
    ],
)
def test_a_method_that_is_replaced_in_the_library_is_called(owner: Any, name: str) -> None:
    genuine, called = vars(owner)[name], []

    def method(self: Any, *given: Any, **named: Any) -> Any:
        called.append(name)
        return genuine(self, *given, **named)

    parser = ClientFrameParser(parse_headers=False)
    with mock.patch.object(owner, name, method):
        (frame,) = parser.feed(STREAMS["text"])
    assert called and bytes(frame.payload).decode() == "žluť 漢字"


def test_another_class_of_frames_is_used() -> None:
    class Mine(Frame):  # type: ignore[misc]
        pass

    parser = ClientFrameParser(parse_headers=False)
    parser._frame_class = Mine
    (frame,) = parser.feed(STREAMS["text"])
    assert type(frame) is Mine


def test_a_validator_from_before_is_used() -> None:
    parser = ClientFrameParser(parse_headers=False)
    parser._utf8_validator = validator = mock.Mock()
    validator.validate.return_value = (True, True, 0, 0)
    (frame,) = parser.feed(STREAMS["text"])
    assert validator.validate.called and validator.reset.called and frame.opcode == TEXT
