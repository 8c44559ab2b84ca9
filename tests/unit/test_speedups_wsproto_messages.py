"""MessageDecoder.process_frame of wsproto, replaced: text, fragments, and who is out of turn."""

from __future__ import annotations

import itertools
from codecs import getincrementaldecoder
from typing import Any

import pytest

pytest.importorskip("wsproto")

from wsproto.frame_protocol import CloseReason, Frame, MessageDecoder, Opcode, ParseFailed

from ids import shown
from wsfast import speedups
from wsfast.speedups.selftest import TEXTS, outcome, typed

CONTINUATION, TEXT, BINARY = Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY


def said(frames: list[Any], decoder: MessageDecoder | None = None) -> list[Any]:
    """What a decoder makes of frames, and what it holds after each."""
    decoder = decoder or MessageDecoder()
    found: list[Any] = []
    for frame in frames:
        found.append(outcome(decoder.process_frame, frame))
        text = decoder.decoder and (type(decoder.decoder), decoder.decoder.getstate())
        found.append(typed([decoder.opcode, text]))
    return found


def check(*dialogues: list[Any]) -> None:
    plain = [said(frames) for frames in dialogues]
    with speedups.installed("wsproto", strict=True):
        ours = [said(frames) for frames in dialogues]
    assert ours == plain


def parts(opcode: Opcode, data: bytes, cut: int, kind: Any = bytes) -> list[Frame]:
    """A message in frames of `cut` bytes."""
    pieces = [data[start : start + cut] for start in range(0, len(data), cut)] or [b""]
    return [
        Frame(CONTINUATION if number else opcode, kind(piece), True, number == len(pieces) - 1)
        for number, piece in enumerate(pieces)
    ]


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("cut", [1, 2, 3, 7, 10_000])
def test_texts_whole_and_in_fragments(cut: int, kind: Any) -> None:
    check(*(parts(TEXT, text, cut, kind) for text in TEXTS))


@pytest.mark.parametrize("text", ["x" * 5000, "x" * 5000 + "é", "é" + "x" * 5000, "漢字" * 900])
@pytest.mark.parametrize("cut", [1023, 1024, 1500, 10_000])
def test_long_texts(text: str, cut: int) -> None:
    data = text.encode()
    check(parts(TEXT, data, cut), parts(TEXT, data + b"\xff", cut), parts(TEXT, data[:-1], cut))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_binary_is_handed_on(kind: Any) -> None:
    check(parts(BINARY, b"\xff\x00 not text", 3, kind), parts(BINARY, b"", 1, kind))


@pytest.mark.parametrize("finished", [*itertools.product((True, False), (True, False))])
def test_parts_of_frames(finished: tuple[bool, bool]) -> None:
    """wsproto hands out what has arrived of a frame: then the frame is not finished."""
    first = Frame(TEXT, b"\xe6\xbc", *finished)
    check([first, Frame(CONTINUATION, b"\xa2", True, True), Frame(BINARY, b"next", *finished)])


def test_every_order_of_opcodes() -> None:
    frames = [
        Frame(opcode, payload, True, fin)
        for opcode, payload, fin in itertools.product(
            (CONTINUATION, TEXT, BINARY), (b"ab", b"\xc3"), (True, False)
        )
    ]
    check(*map(list, itertools.product(frames, repeat=3)))


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.CLOSE])
def test_control_frames_are_an_assertion(opcode: Opcode) -> None:
    check([Frame(opcode, b"", True, True)])


@pytest.mark.parametrize(
    "frame",
    [
        Frame(TEXT, "a str", True, True),
        Frame(TEXT, memoryview(b"view"), True, True),
        Frame(TEXT, None, True, True),
        Frame(BINARY, None, True, True),
        Frame(TEXT, b"ab", 1, 1),
        Frame(TEXT, b"ab", True, None),
        Frame(1, b"ab", True, True),
        (TEXT, b"ab", True, True),
        None,
    ],
    ids=shown,
)
def test_what_is_no_plain_frame_is_the_originals(frame: Any) -> None:
    check([frame, Frame(TEXT, b"ab", True, True)])


def test_the_error_names_the_code() -> None:
    with speedups.installed("wsproto", strict=True):
        with pytest.raises(ParseFailed, match="invalid start byte") as caught:
            MessageDecoder().process_frame(Frame(TEXT, b"\xff", True, True))
        assert caught.value.code is CloseReason.INVALID_FRAME_PAYLOAD_DATA
        assert isinstance(caught.value.__context__, UnicodeDecodeError)


@pytest.mark.parametrize("errors", ["strict", "replace"])
def test_a_codecs_object_of_somebody_else_goes_on(errors: str) -> None:
    def run() -> Any:
        decoder = MessageDecoder()
        decoder.opcode = TEXT
        decoder.decoder = getincrementaldecoder("utf-8")(errors)
        decoder.decoder.decode(b"\xc3")
        return said(
            [Frame(CONTINUATION, b"\xa9 or not \xff", True, True), Frame(TEXT, b"x", True, True)],
            decoder,
        )

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain


def test_a_subclass_is_its_own() -> None:
    class Shouting(MessageDecoder):
        def process_frame(self, frame: Frame) -> Any:
            return super().process_frame(frame)._replace(payload="LOUD")

    with speedups.installed("wsproto", strict=True):
        decoder = Shouting()
        assert decoder.process_frame(Frame(TEXT, b"ab", True, False)).payload == "LOUD"
        assert decoder.process_frame(Frame(CONTINUATION, b"ab", True, True)).opcode is TEXT
