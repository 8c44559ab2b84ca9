"""wsproto beside itself: the same bytes and events through the originals and through ours.

The originals run in subclasses that carry them, as a library of their own: `_Theirs` makes
connections out of those. Both sides are fed the same pieces, and after every piece everything
that can be seen is compared: events and frames with the types of all that is in them, errors,
the state, the extensions' calls, and what the decoders hold.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .selftest import TEXTS, Mismatch, compare, frame_bytes, outcome, sizes, typed
from .target import Level, Originals

if TYPE_CHECKING:
    from random import Random

__all__ = ["selftest"]

FRAMES = "wsproto.frame_protocol:"
KEY = b"\x0d\x07\xf1\x80"

#: Opcodes, the valid ones more often than the reserved ones.
OPCODES = (0, 0, 1, 1, 1, 1, 2, 2, 2, 8, 9, 9, 10, 3, 11, 15)

#: What a Close can carry, and what it must not.
CLOSES = (b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0\xc3", b"\x03\xed", b"\x04\x00")


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """Compare what is replaced at a level with the originals, on random input.

    Raises:
        Mismatch: naming what differs.
    """
    _check_masker(originals, random)
    if level == "frames":
        theirs = _Theirs(originals)
        _check_reached()
        for _ in range(2):
            _check_stream(theirs, random)
        _check_decoder(theirs, random)
        _check_sending(theirs, random)


# --- the masker --------------------------------------------------------------------------------


def _check_masker(originals: Originals, random: Random) -> None:
    from wsproto.frame_protocol import XorMaskerSimple

    def run(process: Any, keys: Any, *chunks: Any) -> list[Any]:
        masker = XorMaskerSimple(keys)
        return [(process(masker, chunk), masker._masking_key) for chunk in chunks]

    theirs = originals[FRAMES + "XorMaskerSimple.process"]
    for size in sizes(random, 8):
        data = random.randbytes(size)
        forms = (data, bytearray(data), memoryview(data)[::2], memoryview(data))
        chunks = [random.choice(forms) for _ in range(3)]
        key = random.choice((bytes, bytearray))(random.randbytes(4))
        compare(
            "XorMaskerSimple.process",
            lambda *given: run(theirs, *given),
            lambda *given: run(XorMaskerSimple.process, *given),
            key,
            *chunks,
        )
    for odd in ((b"abc", b"x"), (KEY, "text"), (KEY, [1, 2]), (KEY, 3), (KEY, None), (None, b"x")):
        compare(
            "XorMaskerSimple.process",
            lambda *given: run(theirs, *given),
            lambda *given: run(XorMaskerSimple.process, *given),
            *odd,
        )


# --- the originals -----------------------------------------------------------------------------


class _Theirs:
    """The library with its own methods, beside the patched one."""

    def __init__(self, originals: Originals) -> None:
        from wsproto import WSConnection, connection, extensions, frame_protocol

        def variant(place: str, base: type) -> type:
            prefix = f"{place}."
            own = {
                where.removeprefix(prefix): function
                for where, function in originals.items()
                if where.startswith(prefix)
            }
            return type(base.__name__, (base,), own)

        masker: Any = variant(FRAMES + "XorMaskerSimple", frame_protocol.XorMaskerSimple)
        decoder: Any = variant(FRAMES + "FrameDecoder", frame_protocol.FrameDecoder)
        self.FrameProtocol: Any = variant(FRAMES + "FrameProtocol", frame_protocol.FrameProtocol)
        self.MessageDecoder: Any = variant(
            FRAMES + "MessageDecoder", frame_protocol.MessageDecoder
        )
        self.Connection: Any = variant("wsproto.connection:Connection", connection.Connection)
        self.WSConnection: Any = variant("wsproto:WSConnection", WSConnection)
        self.PerMessageDeflate: Any = variant(
            "wsproto.extensions:PerMessageDeflate", extensions.PerMessageDeflate
        )

        def parse_header(self: Any) -> bool:
            found: bool = frame_protocol.FrameDecoder.parse_header(self)
            if type(self.masker) is frame_protocol.XorMaskerSimple:
                self.masker = masker(self.masker._masking_key)
            return found

        decoder.parse_header = parse_header
        self.FrameDecoder = decoder

    def protocol(self, client: bool, extensions: list[Any]) -> Any:
        """A FrameProtocol of originals."""
        made = self.FrameProtocol(client, extensions)
        made._frame_decoder = self.FrameDecoder(client, made.extensions)
        made._message_decoder = self.MessageDecoder()
        return made

    def connection(self, client: bool, extensions: list[Any]) -> Any:
        """A Connection of originals."""
        made = self.Connection(_role(client))
        made._proto = self.protocol(client, extensions)
        return made


def _role(client: bool) -> Any:
    from wsproto.connection import ConnectionType

    return ConnectionType.CLIENT if client else ConnectionType.SERVER


def _plain_connection(client: bool, extensions: list[Any]) -> Any:
    from wsproto.connection import Connection

    return Connection(_role(client), extensions)


def _check_reached() -> None:
    """A message goes through our classes on the library's own way."""
    from wsproto.connection import Connection
    from wsproto.events import BytesMessage

    from .wsproto_buffer import StreamBuffer
    from .wsproto_events import EventIterator
    from .wsproto_parser import FrameParser

    connection = Connection(_role(True))
    connection.receive_data(b"\x82\x02hi")
    events = connection.events()
    reached = {
        "Connection.events": (events, EventIterator),
        "FrameProtocol._parse_more": (connection._proto._parse_more, FrameParser),
        "FrameDecoder.buffer": (connection._proto._frame_decoder.buffer, StreamBuffer),
    }
    for what, (found, ours) in reached.items():
        if type(found) is not ours:
            raise Mismatch(f"{what} is a {type(found).__name__}: wsfast is not reached")
    found = next(events)
    if type(found) is not BytesMessage or found.data != b"hi" or events.parser is None:
        raise Mismatch(f"a message through wsfast is {found!r}")


# --- receiving ---------------------------------------------------------------------------------


class _Probe:
    """An extension that answers by chance, the same on both sides, and notes what it was asked."""

    def __init__(self, seed: float) -> None:
        from random import Random

        from wsproto.frame_protocol import CloseReason, RsvBits

        self._random = Random(seed)
        self._refusal = CloseReason.POLICY_VIOLATION
        self._claims = RsvBits(True, True, False)
        self._rsv = RsvBits
        self.asked: list[Any] = []

    def _note(self, proto: Any, *asked: Any) -> bool:
        """Note the question; whether to refuse."""
        self.asked.append((typed(list(asked)), _state_of(proto)))
        return self._random.random() < 0.03

    def enabled(self) -> bool:
        return True

    def frame_inbound_header(self, proto: Any, opcode: Any, rsv: Any, size: int) -> Any:
        if self._note(proto, opcode, rsv, size):
            return self._refusal
        return self._random.choice((self._claims, (True, True, True), [0, 1, 1], self._claims))

    def frame_inbound_payload_data(self, proto: Any, data: Any) -> Any:
        if self._note(proto, data):
            return self._refusal
        return self._random.choice((bytes, bytearray))(data[::-1])

    def frame_inbound_complete(self, proto: Any, fin: bool) -> Any:
        if self._note(proto, fin):
            return self._refusal
        return self._random.choice((None, None, b"", b" and more", bytearray(b".")))

    def frame_outbound(self, proto: Any, opcode: Any, rsv: Any, data: Any, fin: bool) -> Any:
        self._note(proto, opcode, rsv, data, fin)
        rsv = self._random.choice((rsv, self._claims, self._rsv(0, 1, True)))
        if self._random.random() < 0.1:
            return rsv, "text"
        return rsv, self._random.choice((bytes, bytearray, memoryview))(data)[1:]


def _extensions(theirs: _Theirs, random: Random) -> tuple[list[Any], list[Any]]:
    """The same extensions for both sides; ours are the second."""
    from wsproto.extensions import PerMessageDeflate

    kind, seed = random.choice(("", "", "deflate", "deflate", "probe", "probes")), random.random()

    def make(deflate: Any) -> list[Any]:
        if kind != "deflate":
            return [_Probe(seed + number) for number in range({"": 0, "probe": 1}.get(kind, 2))]
        made = deflate(seed < 0.3, 9 if seed < 0.6 else None, seed > 0.7)
        if seed < 0.9:
            made.finalize("permessage-deflate")
        return [made]

    return make(theirs.PerMessageDeflate), make(PerMessageDeflate)


def _kept(extensions: list[Any]) -> list[Any]:
    """What extensions hold; the state of a compressor shows in what comes out of it."""
    return [
        (name, type(value) if name.endswith("pressor") else typed(value))
        for each in extensions
        for name, value in vars(each).items()
        if name != "_random"
    ]


def _payload(opcode: int, random: Random) -> bytes:
    if opcode == 8:
        return random.choice(CLOSES)
    if opcode > 8:
        return random.randbytes(random.choice((0, 4, 125, 125, 126)))
    if random.random() < 0.7:
        return b"".join(random.choices(TEXTS[:5], k=random.choice((0, 1, 2, 9))))
    return random.choice((random.choice(TEXTS), random.randbytes(random.choice((1, 300)))))


def _frames(from_client: bool, deflated: bool, random: Random) -> list[bytes]:
    """The pieces of a stream in which most is right, and what is wrong comes late."""
    packer = zlib.compressobj(wbits=-15)
    stream = b""
    cuts = [0]
    fragmented = False
    for number in range(random.randint(1, 6)):
        wrong = random.random() < 0.05 * number
        opcode = random.choice(OPCODES if wrong else (1, 1, 2, 9, 10))
        if fragmented and opcode in (1, 2) and not wrong:
            opcode = 0
        fin = opcode > 7 or random.random() < 0.7
        payload = _payload(opcode, random)
        rsv = random.randint(0, 7) if wrong else 0
        if deflated and opcode in (1, 2) and fin and random.random() < 0.7:
            payload = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
            payload, rsv = payload[:-4], 4
        form = random.choice((7, 16, 64)) if wrong and len(payload) < 126 else None
        key = KEY if from_client is not (wrong and random.random() < 0.3) else None
        stream += frame_bytes(opcode, payload, fin=fin, rsv=rsv, masking_key=key, length_form=form)
        fragmented = not fin if opcode < 3 else fragmented
        cuts += [len(stream) - random.randint(0, 12)] * (random.random() < 0.3)
    cuts = sorted({max(0, cut) for cut in (*cuts, random.randint(0, len(stream)))})
    return [stream[a:b] for a, b in zip(cuts, [*cuts[1:], len(stream)], strict=True)]


def _check_stream(theirs: _Theirs, random: Random) -> None:
    client, extensions = random.random() < 0.4, _extensions(theirs, random)
    script = [
        (random.choice((bytes, bytes, bytearray, memoryview)), piece, random.choice((0, 1, 9, 99)))
        for piece in _frames(not client, bool(extensions[0]), random)
    ]
    mode = random.choice((_hear_events, _hear_events, _hear_upgraded, _hear_frames))
    closing = random.random() < 0.1
    connection = theirs.connection(client, extensions[0])
    expected = mode(connection, script, closing, theirs.WSConnection)
    got = mode(_plain_connection(client, extensions[1]), script, closing, None)
    _check_equal(f"{mode.__name__}, {client=}, {extensions[1]}", script, expected, got)
    _check_equal(f"{extensions[1]}, {client=}", script, *map(_kept, extensions))


def _hear_events(connection: Any, script: Any, closing: bool, _: Any) -> list[Any]:
    return list(_hear(connection, connection, connection.events, script, closing))


def _hear_upgraded(connection: Any, script: Any, closing: bool, variant: Any) -> list[Any]:
    from wsproto import WSConnection

    whole = (variant or WSConnection)(_role(connection.client))
    whole.connection = connection
    return list(_hear(whole, connection, whole.events, script, closing))


def _hear_frames(connection: Any, script: Any, closing: bool, _: Any) -> list[Any]:
    frames = connection._proto.received_frames
    return list(_hear(connection, connection, frames, script, closing))


def _hear(fed: Any, connection: Any, listen: Any, script: Any, closing: bool) -> Iterator[Any]:
    """Everything that can be seen while the pieces of a script arrive."""
    from wsproto.events import CloseConnection

    if closing:
        yield outcome(lambda: _unkeyed(fed.send(CloseConnection(code=1000))))
    for form, piece, count in script:
        yield outcome(fed.receive_data, form(piece))
        found = listen()
        for _ in range(count):
            heard = outcome(lambda found=found: _described(next(found)))
            yield heard
            if heard.kind == "raised":
                yield outcome(next, found)
                break
        yield connection.state, _state_of(connection._proto)
    yield outcome(fed.receive_data, None), outcome(list, fed.events()), connection.state


def _described(value: Any) -> Any:
    """Events compare equal whatever the types of their fields are."""
    fields = vars(value) if hasattr(value, "__dict__") else value
    return type(value), fields, getattr(value, "code", None)


def _state_of(proto: Any) -> Any:
    """What a FrameProtocol, or a FrameDecoder alone, holds and goes on with."""
    decoder = getattr(proto, "_frame_decoder", proto)
    found = [bytes(decoder.buffer.buffer), decoder.buffer.bytes_used, decoder.header]
    if decoder.header is not None:
        key = getattr(decoder.masker, "_masking_key", None)
        found += [decoder.effective_opcode, type(decoder.masker).__name__, key]
        found += [decoder.payload_required, decoder.payload_consumed]
    if decoder is not proto:
        messages = proto._message_decoder
        text = messages.decoder and messages.decoder.getstate()
        found += [messages.opcode, text, proto._outbound_opcode, len(proto.extensions)]
    return typed(found)


def _check_decoder(theirs: _Theirs, random: Random) -> None:
    """A FrameDecoder and a MessageDecoder by themselves, which go on after errors."""
    from wsproto.frame_protocol import FrameDecoder, MessageDecoder

    client, extensions = random.random() < 0.5, _extensions(theirs, random)
    script = _frames(not client, bool(extensions[0]), random)

    def run(decoder: Any, messages: Any) -> list[Any]:
        log: list[Any] = []
        for piece in script:
            decoder.receive_bytes(piece)
            for _ in range(3):
                found = outcome(decoder.process_buffer)
                log += [found, _state_of(decoder)]
                frame = found.value
                if found.kind == "returned" and frame[0] is not type(None):
                    frame = frame[0](*(each[1] for each in frame[1]))
                    log.append(outcome(messages.process_frame, frame))
        return log

    expected = run(theirs.FrameDecoder(client, extensions[0]), theirs.MessageDecoder())
    got = run(FrameDecoder(client, extensions[1]), MessageDecoder())
    _check_equal(f"FrameDecoder({client}, {extensions[1]})", script, expected, got)
    _check_equal(f"{extensions[1]}, {client=}", script, *map(_kept, extensions))


def _check_equal(what: str, given: Any, expected: Any, got: Any) -> None:
    if expected == got:
        return
    for theirs, ours in zip(expected, got, strict=False):
        if theirs != ours:
            raise Mismatch(f"{what}, given {given}: the original {theirs}, wsfast {ours}")
    raise Mismatch(f"{what}, given {given}: {len(expected)} steps, but {len(got)} with wsfast")


# --- sending -----------------------------------------------------------------------------------


def _check_sending(theirs: _Theirs, random: Random) -> None:
    client, extensions = random.random() < 0.6, _extensions(theirs, random)
    script = [_deed(random) for _ in range(12)]

    def run(connection: Any) -> list[Any]:
        proto = connection._proto
        return [
            (outcome(lambda deed=deed: _unkeyed(deed(connection))), proto._outbound_opcode)
            for deed in script
        ]

    expected = run(theirs.connection(client, extensions[0]))
    got = run(_plain_connection(client, extensions[1]))
    _check_equal(f"sending, {client=}, {extensions[1]}", "", expected, got)
    _check_equal(f"{extensions[1]}, sending", "", *map(_kept, extensions))


def _deed(random: Random) -> Any:
    """Something to do with a connection that returns what is to be sent."""
    from wsproto import events
    from wsproto.frame_protocol import Opcode

    size = random.choice(
        (0, 1, 16, 125, 126, 300, 65535, 65536) if random.random() < 0.3 else (7,)
    )
    data = random.randbytes(size)
    text = random.choice(("x" * size, random.choice(TEXTS[:5]).decode(), "\ud800"))
    wide = memoryview(struct.pack("8Q", *range(8))).cast("Q")
    payload: Any = random.choice(
        (data, bytearray(data), memoryview(data), memoryview(data)[::2], text, text, text, wide, 5)
    )
    fin: Any = random.choice((True, True, True, False, False, 1))
    small = random.choice((b"", data[:125], bytearray(data), "text", memoryview(data)))
    code, reason = random.choice((None, 1000, 1005, 4000)), random.choice((None, "", "bye"))
    opcode = random.choice((*Opcode, 2))
    kind = random.choice((events.TextMessage, events.BytesMessage, events.Message))
    return random.choice(
        (
            lambda connection: connection.send(kind(data=payload, message_finished=fin)),
            lambda connection: connection.send(kind(data=payload, message_finished=fin)),
            lambda connection: connection._proto.send_data(payload, fin),
            lambda connection: connection._proto.send_data(payload=payload, fin=fin),
            lambda connection: connection.send(events.Ping(payload=small)),
            lambda connection: connection.send(events.Pong(payload=small)),
            lambda connection: connection._proto.ping(small),
            lambda connection: connection._proto.close(code, reason),
            lambda connection: connection._proto._serialize_frame(opcode, small, fin),
        )
    )


def _unkeyed(frame: Any) -> Any:
    """The frame with a masking key of zeros, and its payload to match."""
    form = frame[1] & 127
    start = 2 + (form == 126) * 2 + (form == 127) * 8
    if not frame[1] & 128:
        return frame
    key = bytes(frame[start : start + 4]) * (len(frame) // 4 + 1)
    payload = frame[start + 4 :]
    mask = int.from_bytes(key[: len(payload)], "big")
    plain = (int.from_bytes(payload, "big") ^ mask).to_bytes(len(payload), "big")
    return frame[:start] + bytes(4) + plain
