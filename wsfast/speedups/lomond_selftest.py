"""The self-test of lomond: streams that are fed bytes, with the originals and with ours."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from .hoehrmann import broken_text, compare_validators, parts_of, text_of
from .lomond import BUILD, FEED, PARSE
from .selftest import Mismatch, compare, frame_bytes, outcome
from .target import Level, Originals, Workload

__all__ = ["HEAD", "received", "selftest", "stream_of", "workloads"]

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """See `Part.selftest`."""
    from lomond import frame, frame_parser, mask, message

    for module in (frame_parser, message):
        theirs = originals[f"{module.__name__}:Utf8Validator"]
        compare_validators(theirs, module.Utf8Validator, random, rounds=6)
    for module in (mask, frame):
        _check_masks(originals[f"{module.__name__}:mask_payload"], module.mask_payload, random)
    if level == "frames":
        _check_built(originals, random)
        quiet = logging.Filter("no logger of this name")
        logger = logging.getLogger("lomond")
        logger.addFilter(quiet)
        try:
            for _ in range(8):
                _check_received(originals, random)
        finally:
            logger.removeFilter(quiet)
        _check_reached()


def _check_masks(original: Any, replacement: Any, random: Random) -> None:
    for size in (0, 1, 3, 4, 5, random.randrange(300)):
        key = random.choice(
            (random.randbytes(4), bytearray(b"four"), b"five5", b"no", [1, 2, 3, 4])
        )
        for data in (bytearray(random.randbytes(size)), random.randbytes(size), None):
            compare("mask_payload", original, replacement, key, data)


# --- building ------------------------------------------------------------------------------------


def _check_built(originals: Originals, random: Random) -> None:
    from lomond.frame import CompressedFrame, Frame

    theirs = originals[BUILD].__func__
    for _ in range(20):
        body = random.randbytes(random.choice((0, 1, 125, 126, 300)))
        payload = random.choice((body, bytearray(body), memoryview(body)))
        named: dict[str, Any] = {
            "masking_key": random.choice((b"four", b"4444", bytearray(b"four"), b"five5")),
            "mask": random.choice((True, True, False, 1)),
            "fin": random.choice((0, 1, True, 2)),
            "rsv1": random.choice((0, 1)),
        }
        opcode = random.choice((0, 1, 2, 8, 9, 10, 3, 17))
        kind = random.choice((Frame, CompressedFrame))
        one, other = (bytearray(body) if type(payload) is bytearray else payload for _ in "12")
        expected = outcome(theirs, kind, opcode, one, **named)
        got = outcome(kind.build, opcode, other, **named)
        if expected != got or one != other:
            raise Mismatch(f"build({opcode}, {payload!r}, {named}): {expected}, wsfast {got}")
    frames = {bytes(Frame.build(2, bytes(4))) for _ in range(4)}  # two may be alike by chance
    if len(frames) == 1 or any(each != b"\x82\x84" + each[2:6] * 2 for each in frames):
        raise Mismatch(f"masking keys: {frames!r}")


# --- receiving -----------------------------------------------------------------------------------


@functools.cache
def _parser_class(parse: Any, feed: Any) -> Any:
    from lomond.frame_parser import ClientFrameParser

    return type("ClientFrameParser", (ClientFrameParser,), {"parse": parse, "feed": feed})


def stream_of(parser: Any, compression: bool) -> Any:
    """A WebsocketStream behind its head, that parses with this class."""
    from lomond.stream import WebsocketStream

    stream = WebsocketStream()
    stream.frame_parser = parser()
    if compression:
        stream.set_compression(_Compression)
    list(stream.feed(HEAD))
    return stream


class _Compression:
    """Gives what was compressed back as it is."""

    @staticmethod
    def decompress(frames: Sequence[Any]) -> bytes:
        return b"".join(bytes(frame.payload) for frame in frames)


def _random_frames(random: Random) -> Iterator[bytes]:
    inside = False
    for _ in range(random.randint(1, 8)):
        fault = random.random()
        opcode, fin, rsv = 0 if inside else random.choice((1, 1, 2)), random.random() < 0.7, 0
        payload = text_of(random.choice((0, 1, 5, 125, 126, 200)), random)
        form, key = None, None
        if fault < 0.25:
            opcode, fin, payload = random.choice((8, 9, 10)), True, payload[:60]
            payload = random.choice((payload, b"\x03\xe8ok", b"", b"x", b"\x03\xe8\xff"))
        elif fault < 0.33:
            payload = broken_text(random)
        elif fault < 0.41:
            opcode, rsv = random.randrange(16), random.choice((0, 4, 1))
        elif fault < 0.44:
            key = b"four"
        elif fault < 0.47:
            form = 64
        yield frame_bytes(opcode, payload, fin=fin, rsv=rsv, masking_key=key, length_form=form)
        inside = not fin if opcode < 3 else inside


def received(stream: Any, parts: Sequence[Any]) -> list[Any]:
    """Feed the parts, and tell what comes out and what can be seen after each."""
    seen: list[Any] = []
    for part in parts:
        try:
            for message in stream.feed(part):
                fields = {name: getattr(message, name) for name in type(message).__slots__}
                seen.append((type(message), message.opcode, fields))
        except Exception as error:
            seen.append((type(error), re.sub(r"<memory at \w+>", "<memory>", str(error))))
        parser = stream.frame_parser
        validator = parser._utf8_validator
        seen.append((bytes(parser._buffer), parser._is_text, validator.i, validator.state))
        seen.append([_fields(frame) for frame in stream._frames])
    return seen


def _fields(frame: Any) -> list[Any]:
    from lomond.frame import Frame

    values = [getattr(frame, name) for name in Frame.__slots__]
    return [(type(value), value) for value in values]


def _check_received(originals: Originals, random: Random) -> None:
    from lomond.frame_parser import ClientFrameParser

    data, compression = b"".join(_random_frames(random)), random.random() < 0.2
    kind = random.choice((bytes, bytearray, memoryview))
    parts = [kind(part) for part in parts_of(data, random)]
    theirs = stream_of(_parser_class(originals[PARSE], originals[FEED]), compression)
    ours = stream_of(ClientFrameParser, compression)
    expected, got = received(theirs, parts), received(ours, parts)
    if expected != got:
        told = f"{data!r} in {len(parts)}, compression {compression}"
        raise Mismatch(f"feed() of {told}: the original {expected}, wsfast {got}")


def _check_reached() -> None:
    from lomond.frame_parser import ClientFrameParser

    parser = ClientFrameParser(parse_headers=False)
    frames = list(parser.feed(b"\x81\x04text"))
    if [type(each.payload) for each in frames] != [bytearray] or parser._buffer:
        raise Mismatch("a frame did not come through")
    if type(parser._awaiting) is type(parser).read:
        raise Mismatch("a parser does not run ours")


# --- bench ---------------------------------------------------------------------------------------


def workloads() -> Sequence[Workload]:
    """See `Target.workloads`."""
    found = []
    for size in (125, 65536):
        data = b"a" * size
        for opcode, name in ((1, "text"), (2, "binary")):
            run = _receiving(memoryview(frame_bytes(opcode, data)))
            found.append(Workload(f"receive {name}", size, run))
        found.append(Workload("send text", size, _sending(data)))
    return found


def _receiving(frame: memoryview) -> Callable[[], object]:
    from lomond.frame_parser import ClientFrameParser

    stream = stream_of(ClientFrameParser, False)
    return lambda: list(stream.feed(frame))


def _sending(data: bytes) -> Callable[[], object]:
    from lomond.frame import Frame

    return lambda: Frame(1, payload=bytearray(data)).to_bytes()
