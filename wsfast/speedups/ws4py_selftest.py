"""The self-test of ws4py: streams that are sent bytes, with the originals and with ours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from random import Random
from types import GeneratorType
from typing import Any

from .hoehrmann import broken_text, compare_validators, parts_of, text_of
from .selftest import Mismatch, compare, frame_bytes, outcome
from .target import Level, Originals, Workload
from .ws4py import FRAME, MESSAGE, STREAMING

__all__ = ["feed", "selftest", "stream_of", "unmasked", "workloads"]


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """See `Part.selftest`."""
    from ws4py import streaming

    # Its own third and fourth answers are one too small for every chunk; nothing reads them.
    theirs = originals[f"{STREAMING}Utf8Validator"]
    compare_validators(theirs, streaming.Utf8Validator, random, fields=2)
    _check_masks(originals, random)
    if level == "frames":
        _check_built(originals, random)
        _check_messages(originals, random)
        for _ in range(6):
            _check_received(originals, random)
        _check_reached()


def _check_masks(originals: Originals, random: Random) -> None:
    from ws4py.framing import Frame

    for name in ("mask", "unmask"):
        for size in (0, 1, 3, 4, 5, random.randrange(300)):
            key = random.choice((random.randbytes(4), b"longer", bytearray(b"four"), b"no", None))
            frame, data = Frame(masking_key=key), random.randbytes(size)
            for given in (data, bytearray(data), memoryview(data), list(data)):
                theirs = functools.partial(originals[FRAME + name], frame)
                compare(name, theirs, getattr(frame, name), given)


# --- building ------------------------------------------------------------------------------------


def _check_built(originals: Originals, random: Random) -> None:
    from ws4py.framing import Frame

    for _ in range(20):
        body = random.randbytes(random.choice((0, 1, 125, 126, 300)))
        frame = Frame(random.choice((0, 1, 2, 8, 9, 10, 3, 11, True)), body)
        frame.masking_key = random.choice((None, b"", b"four", bytearray(b"four"), b"longer"))
        frame.fin = random.choice((0, 1, 1, True, 2))
        frame.rsv1, frame.rsv2, frame.rsv3 = (random.choice((0, 0, 1, 3)) for _ in range(3))
        if random.random() < 0.1:
            frame.payload_length += 1
        expected, got = outcome(originals[f"{FRAME}build"], frame), outcome(frame.build)
        if expected != got:
            raise Mismatch(f"build() of {vars(frame)}: the original {expected}, wsfast {got}")


def unmasked(frame: bytes) -> tuple[bytes, bytes]:
    """The header of a frame without its masking key, and the payload as it was."""
    start = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    if not frame[1] & 0x80:
        return frame[:start], frame[start:]
    key, payload = frame[start : start + 4], frame[start + 4 :]
    return frame[:start], bytes(b ^ key[i & 3] for i, b in enumerate(payload))


def _check_messages(originals: Originals, random: Random) -> None:
    from ws4py.messaging import BinaryMessage, PingControlMessage, TextMessage

    for _ in range(6):
        text = text_of(random.choice((0, 1, 50, 126)), random)
        message = random.choice((TextMessage, BinaryMessage, PingControlMessage))(text)
        flags = [random.choice((True, False, 1)) for _ in range(3)]
        for name, given in (("single", flags[:1]), ("fragment", flags)):
            expected = outcome(originals[MESSAGE + name], message, *given)
            got = outcome(getattr(message, name), *given)
            if type(got.value[1]) is not bytes or expected.kind != got.kind:
                raise Mismatch(f"{name}{given}: the original {expected}, wsfast {got}")
            if unmasked(expected.value[1]) != unmasked(got.value[1]):
                raise Mismatch(f"{name}{given}: the original {expected}, wsfast {got}")


# --- receiving -----------------------------------------------------------------------------------


def stream_of(receiver: Any, expect_masking: bool = True) -> Any:
    """A stream that receives with this receiver; None: with that of its class."""
    from ws4py.streaming import Stream

    kind = Stream if receiver is None else _stream_class(receiver)
    return kind(expect_masking=expect_masking)


@functools.cache
def _stream_class(receiver: Any) -> Any:
    from ws4py.streaming import Stream

    return type("Stream", (Stream,), {"receiver": receiver})


def _random_frames(random: Random, masked: bool) -> Iterator[bytes]:
    inside = False
    for _ in range(random.randint(1, 8)):
        fault = random.random()
        opcode, fin, rsv = 0 if inside else random.choice((1, 1, 2)), random.random() < 0.7, 0
        payload = text_of(random.choice((0, 1, 5, 125, 126, 200)), random)
        if fault < 0.25:
            opcode, fin, payload = random.choice((8, 9, 10)), True, payload[:60]
            payload = random.choice((payload, b"\x03\xe8ok", b"", b"x", b"\x03\xe8\xff", b"\0\0"))
        elif fault < 0.35:
            payload = broken_text(random)
        elif fault < 0.45:
            opcode, rsv = random.randrange(16), random.choice((0, 0, 0, 4))
        key = random.randbytes(4) if masked != (random.random() < 0.05) else None
        yield frame_bytes(opcode, payload, fin=fin, rsv=rsv, masking_key=key)
        inside = not fin if opcode < 3 else inside


def feed(stream: Any, parts: Sequence[bytes]) -> list[Any]:
    """Send the parts to a stream's parser, and tell what can be seen after each."""
    seen: list[Any] = []
    for part in parts:
        try:
            wanted = stream.parser.send(part)
        except Exception as error:
            wanted = (type(error), str(error))
        seen.append((wanted, *_seen(stream)))
        stream.errors, stream.closing = [], None
        if stream.has_message:
            stream.message = None
    return seen


def _seen(stream: Any) -> list[Any]:
    told = [*stream.errors, *stream.pings, *stream.pongs, stream.closing, stream.message]
    return [each if each is None else (type(each), vars(each)) for each in told]


def _check_received(originals: Originals, random: Random) -> None:
    masked = random.random() < 0.8
    data = b"".join(_random_frames(random, masked))
    theirs = stream_of(originals[f"{STREAMING}Stream.receiver"], masked)
    ours = stream_of(None, masked)
    parts: Any = list(parts_of(data, random))
    if random.random() < 0.7:
        expected, got = (_received_as_asked(each, data) for each in (theirs, ours))
    else:
        expected, got = feed(theirs, parts), feed(ours, parts)
    if expected != got:
        raise Mismatch(f"receiver of {data!r} in {parts}: the original {expected}, wsfast {got}")
    for each in (theirs, ours):
        each._cleanup()
    if vars(theirs) != vars(ours):
        raise Mismatch(f"_cleanup(): the original {vars(theirs)}, wsfast {vars(ours)}")


def _received_as_asked(stream: Any, data: bytes) -> list[Any]:
    """As WebSocket.once does it: read as many bytes as the stream wants next."""
    seen: list[Any] = []
    size = 2
    while data and len(seen) < 60:
        told = feed(stream, [data[:size]])
        data = data[size:]
        size = told[0][0] if isinstance(told[0][0], int) else 2
        seen += told
    return seen


def _check_reached() -> None:
    from ws4py.messaging import Message
    from ws4py.streaming import Stream

    if isinstance(Stream().parser, GeneratorType):
        raise Mismatch("a stream does not receive with ours")
    for method in (Message.single, Message.fragment):
        if not getattr(method, "__wsfast__", False):
            raise Mismatch(f"{method.__name__} is not ours")


# --- bench ---------------------------------------------------------------------------------------


class _Socket:
    """Gives the same bytes again and again, and swallows what is sent."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def recv(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        self.at += len(found)
        return found

    def sendall(self, data: bytes) -> None:
        """Nobody reads it."""


def workloads() -> Sequence[Workload]:
    """See `Target.workloads`."""
    found = []
    for size in (125, 65536):
        data = b"a" * size
        for opcode, name in ((1, "text"), (2, "binary")):
            run = _receiving(frame_bytes(opcode, data, masking_key=b"four"))
            found.append(Workload(f"server receives {name}", size, run))
        for name, masked in (("server", False), ("client", True)):
            found.append(Workload(f"{name} sends text", size, _sending(data.decode(), masked)))
    return found


def _receiving(frame: bytes) -> Callable[[], None]:
    from ws4py.websocket import WebSocket

    sock = _Socket(frame)
    ws = WebSocket(sock)

    def run() -> None:
        sock.at = 0
        while sock.at < len(frame):
            ws.once()

    return run


def _sending(text: str, masked: bool) -> Callable[[], None]:
    from ws4py.websocket import WebSocket

    ws = WebSocket(_Socket(b""))
    ws.stream.always_mask = masked
    return functools.partial(ws.send, text)
