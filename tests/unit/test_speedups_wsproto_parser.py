"""FrameProtocol of wsproto, receiving through ours: lazy as a generator, and over like one."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Generator, Iterator
from typing import Any

import pytest

pytest.importorskip("wsproto")

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome, typed
from wsfast.speedups.wsproto_parser import FrameIterator, FrameParser

KEY = b"\x01\x80\x7f\xfe"


def frame(opcode: int, payload: bytes, **options: Any) -> bytes:
    return frame_bytes(opcode, payload, masking_key=KEY, **options)


DIALOGUES = {
    "messages": frame(1, b"one") + frame(2, b"two") + frame(9, b"ping") + frame(10, b"pong"),
    "fragments": frame(1, b"o\xc3", fin=False) + frame(9, b"") + frame(0, b"\xa9"),
    "close": frame(8, b"\x03\xe8bye") + frame(1, b"too late"),
    "empty close": frame(8, b"") + frame(1, b"too late"),
    "bad close": frame(8, b"\x03") + frame(1, b"too late"),
    "reserved close": frame(8, b"\x03\xee"),
    "close that is no text": frame(8, b"\x0f\xa0\xff"),
    "private close": frame(8, b"\x0f\xa0ok"),
    "bad text": frame(1, b"good") + frame(1, b"\xff") + frame(1, b"too late"),
    "bad opcode": frame(3, b"") + frame(1, b"too late"),
    "out of turn": frame(0, b"first") + frame(1, b"too late"),
    "new message in a message": frame(1, b"a", fin=False) + frame(2, b"b"),
    "unmasked": frame_bytes(1, b"plain"),
}


def frames_of(stream: bytes, cut: int, protocol: FrameProtocol | None = None) -> list[Any]:
    protocol = protocol or FrameProtocol(False, [])
    found: list[Any] = []
    for start in range(0, len(stream), cut):
        protocol.receive_bytes(stream[start : start + cut])
        frames: Any = protocol.received_frames()
        while (said := outcome(next, frames)).kind == "returned":
            found.append(said)
        found += [said, outcome(next, frames)]
    return found


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("wsproto", strict=True):
        yield


def test_dialogues_are_the_librarys_whole_and_in_pieces() -> None:
    each = [(stream, cut) for stream in DIALOGUES.values() for cut in (1, 2, 3, 7, 1000)]
    plain = [frames_of(*given) for given in each]
    with speedups.installed("wsproto", strict=True):
        assert [frames_of(*given) for given in each] == plain


def test_protocols_get_our_parser(fast: None) -> None:
    protocol = FrameProtocol(True, [])
    assert type(protocol._parse_more) is FrameParser
    assert type(protocol.received_frames()) is FrameIterator
    for each in (protocol._parse_more, protocol.received_frames()):
        assert isinstance(each, Generator) and iter(each) is each


def test_a_protocol_of_a_subclass_is_asked() -> None:
    class Mine(FrameProtocol):
        def _process_close(self, frame: Any) -> Any:
            return super()._process_close(frame)._replace(payload=(4000, "mine"))

    class Loud(FrameProtocol):
        def received_frames(self) -> Any:
            return (each._replace(payload="LOUD") for each in super().received_frames())

    def run() -> Any:
        return [
            frames_of(DIALOGUES["close"], cut, kind(False, []))
            for kind in (Mine, Loud)
            for cut in (1, 3, 1000)
        ]

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain


def test_nothing_is_read_before_it_is_asked_for(fast: None) -> None:
    protocol = FrameProtocol(False, [])
    protocol.receive_bytes(frame(1, b"one") + frame(1, b"\xff"))
    frames = protocol.received_frames()
    assert len(protocol._frame_decoder.buffer) == 9 + 7
    assert next(frames).payload == "one"
    assert len(protocol._frame_decoder.buffer) == 7
    with pytest.raises(ParseFailed):
        next(frames)


def test_what_comes_meanwhile_is_read_too(fast: None) -> None:
    protocol = FrameProtocol(False, [])
    protocol.receive_bytes(frame(1, b"one"))
    found = []
    for each in protocol.received_frames():
        found.append(each.payload)
        if len(found) < 3:
            protocol.receive_bytes(frame(1, b"more"))
    assert found == ["one", "more", "more"]


def test_an_iterator_that_is_over_stays_over(fast: None) -> None:
    protocol = FrameProtocol(False, [])
    frames = protocol.received_frames()
    assert list(frames) == []
    protocol.receive_bytes(frame(1, b"one"))
    assert list(frames) == []
    assert [each.payload for each in protocol.received_frames()] == ["one"]


def test_the_parser_alone_yields_none_between_reads(fast: None) -> None:
    protocol = FrameProtocol(False, [])
    parser = protocol._parse_more
    assert next(parser) is None and next(parser) is None
    protocol.receive_bytes(frame(1, b"one") + frame(8, b""))
    assert next(parser) == (Opcode.TEXT, "one", True, True)
    assert next(parser).payload == (1005, "")
    assert list(parser) == []


def test_what_generators_can_do() -> None:
    def run(what: Any) -> Any:
        protocol = FrameProtocol(False, [])
        protocol.receive_bytes(frame(1, b"one") + frame(1, b"two") + frame(1, b"three"))
        frames: Any = protocol.received_frames()
        next(frames)
        said = outcome(what, frames)
        return said, outcome(next, frames), [each.payload for each in protocol.received_frames()]

    deeds: list[Any] = [
        lambda frames: frames.send(None),
        lambda frames: frames.close(),
        lambda frames: frames.throw(LookupError("mine")),
        lambda frames: frames.throw(LookupError),
        lambda frames: frames.throw(LookupError, LookupError("mine"), None),
        lambda frames: list(frames),
    ]
    plain = [run(deed) for deed in deeds]
    with speedups.installed("wsproto", strict=True):
        assert [run(deed) for deed in deeds] == plain


def test_disabled_extensions_are_dropped_with_the_first_frame() -> None:
    def run() -> Any:
        late: Any = PerMessageDeflate()
        late.finalize("permessage-deflate")
        protocol = FrameProtocol(False, [late, PerMessageDeflate()])
        counts = [len(protocol.extensions)]
        late._enabled = False
        protocol.receive_bytes(frame(1, b"one"))
        counts.append(len(protocol.extensions))
        payloads = [each.payload for each in protocol.received_frames()]
        return counts, len(protocol.extensions), payloads

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain == ([1, 1], 0, ["one"])


def test_an_extension_that_fails_ends_the_parser() -> None:
    class Failing(PerMessageDeflate):
        def enabled(self) -> bool:
            if self._enabled == "once":
                self._enabled = True
                return True
            raise LookupError("mine")

    def run() -> Any:
        failing: Any = Failing()
        failing._enabled = "once"
        protocol = FrameProtocol(False, [failing])
        return frames_of(DIALOGUES["messages"], 5, protocol)

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain


def test_no_payload_is_kept_alive(fast: None) -> None:
    protocol = FrameProtocol(False, [])
    protocol.receive_bytes(frame(2, bytes(100_000)))
    (found,) = protocol.received_frames()
    payload = found.payload
    del found
    assert sys.getrefcount(payload) == 2  # the name, and the argument


def test_a_protocol_is_collected_with_its_parser(fast: None) -> None:
    protocol = FrameProtocol(False, [])
    protocol.receive_bytes(frame(1, b"one"))
    assert len(list(protocol.received_frames())) == 1
    gone = weakref.ref(protocol)
    del protocol
    gc.collect()
    assert gone() is None


def test_state_is_the_librarys_after_every_piece() -> None:
    def run(cut: int) -> list[Any]:
        protocol = FrameProtocol(False, [])
        stream = DIALOGUES["fragments"] + DIALOGUES["messages"]
        held = []
        for start in range(0, len(stream), cut):
            protocol.receive_bytes(stream[start : start + cut])
            list(protocol.received_frames())
            decoder, messages = protocol._frame_decoder, protocol._message_decoder
            held.append(typed([bytes(decoder.buffer.buffer), decoder.header, messages.opcode]))
        return held

    plain = [run(cut) for cut in (1, 2, 3, 7)]
    with speedups.installed("wsproto", strict=True):
        assert [run(cut) for cut in (1, 2, 3, 7)] == plain
