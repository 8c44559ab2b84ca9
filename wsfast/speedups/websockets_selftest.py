"""websockets beside itself: the same bytes and messages through the originals and through ours.

The originals run in copies of the library's classes that carry them, `_Theirs`. Both sides are
fed the same pieces, and after every piece everything that can be seen is compared: events with
the types of all that is in them, what is to be written, errors, the state, and the reader's
buffer. Masking keys differ from one side to the other, so frames are compared unmasked.
"""

from __future__ import annotations

import itertools
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from random import Random
from types import FunctionType
from typing import Any

from .selftest import SIZES, TEXTS, Mismatch, compare, frame_bytes, outcome, pieces, sizes, typed
from .target import Level, Originals

__all__ = ["selftest"]

FRAME = "websockets.frames:Frame."
PROTOCOL = "websockets.protocol:Protocol."
KEY = b"\x0d\x07\xf1\x80"

#: What is passed in place of bytes, now and then.
ODD = (None, "text", 7, [1, 2], array("I", [1, 2]), memoryview(array("I", [1, 2])), b"", True)

#: What a Close can carry, and what it must not.
CLOSES = (b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0\xc3", b"\x03\xed", b"\x04\x00")


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """Compare what is replaced at a level with the originals, on random input.

    Raises:
        Mismatch: naming what differs.
    """
    for where, original in originals.items():
        if where.endswith(":apply_mask"):
            _check_mask(where, original, random)
    if FRAME + "parse" in originals:
        theirs = _Theirs(originals)
        _check_reached()
        for _ in range(2):
            _check_stream(theirs, random)
        _check_sending(theirs, random)
        _check_parse(originals, random)
        _check_serialize(originals, random)


def differ(what: str, ours: object, theirs: object) -> None:
    """Raise Mismatch unless both are equal."""
    if ours != theirs:
        raise Mismatch(f"{what}: the original {theirs!r:.300}, wsfast {ours!r:.300}")


# --- the mask ----------------------------------------------------------------------------------


def _check_mask(where: str, original: Any, random: Random) -> None:
    module, _, name = where.partition(":")
    ours = getattr(sys.modules[module], name)
    for size in sizes(random, 4):
        data = random.randbytes(size)
        forms = (data, bytearray(data), memoryview(data), memoryview(data)[::2])
        mask = random.choice((bytes, bytearray))(random.randbytes(4))
        compare(name, original, ours, random.choice(forms), mask)
    for odd in ((b"abc", b"x"), ("text", KEY), (b"", KEY + b"x"), (b"x", "text"), (None, None)):
        compare(name, original, ours, *odd)


# --- the originals -----------------------------------------------------------------------------


class _Theirs:
    """The library with its own methods, beside the patched one."""

    def __init__(self, originals: Originals) -> None:
        from websockets import frames, protocol

        own = {name: originals[FRAME + name] for name in ("parse", "serialize")}
        self.Frame: Any = type("Frame", (frames.Frame,), own)
        namespace = {**vars(protocol), "Frame": self.Frame}
        methods = {
            name: _moved(originals.get(PROTOCOL + name, value), namespace)
            for name, value in vars(protocol.Protocol).items()
            if isinstance(originals.get(PROTOCOL + name, value), FunctionType)
        }
        self.Protocol: Any = type("Protocol", (protocol.Protocol,), methods)


def _moved(function: Any, namespace: dict[str, Any]) -> Any:
    """The function as if it had been defined among other globals."""
    code, defaults = function.__code__, function.__defaults__
    moved = FunctionType(code, namespace, function.__name__, defaults, function.__closure__)
    moved.__kwdefaults__ = function.__kwdefaults__
    return moved


# --- what can be seen --------------------------------------------------------------------------


def fields(event: Any) -> object:
    flags = (event.fin, event.rsv1, event.rsv2, event.rsv3)
    return [typed(each) for each in (event.opcode, event.data, *flags)]


def unmasked(frame: bytes) -> object:
    """A frame that was written, without its masking key."""
    from wsfast.frame import decode_header
    from wsfast.mask import apply_mask

    header = decode_header(frame) if type(frame) is bytes and frame else None
    if header is None:
        return typed(frame)
    payload = frame[header.size :]
    if header.masked:
        payload = apply_mask(payload, header.masking_key)
    return (*header[:7], header.size, payload)


def _error(error: BaseException | None) -> object:
    if error is None:
        return None
    return type(error), str(error), _error(error.__cause__)


def seen(protocol: Any) -> object:
    """All that the library tells about a connection, and what it has in hand."""
    size = getattr(protocol, "current_size", getattr(protocol, "cur_size", None))
    closes = [str(each) for each in (protocol.close_rcvd, protocol.close_sent)]
    deflate = [getattr(each, "decode_cont_data", None) for each in protocol.extensions]
    return [
        [fields(each) for each in protocol.events_received()],
        [unmasked(each) for each in protocol.data_to_send()],
        typed(protocol.reader.buffer),
        (typed(size), typed(protocol.expect_continuation_frame), protocol.state, closes),
        (_error(protocol.parser_exc), protocol.eof_sent, protocol.close_expected(), deflate),
    ]


# --- receiving ---------------------------------------------------------------------------------


def _limits(random: Random) -> Any:
    from websockets.protocol import Protocol

    both = "max_fragment_size" in Protocol.__init__.__code__.co_names  # since 16.0
    found = [None, None, 1 << 20, 300, 40, 0]
    return random.choice([*found, (300, 100), (None, 50), (90, None)] if both else found)


def _extensions(random: Random) -> Callable[[], list[Any]]:
    """Makes equal lists of extensions; none, more often than not."""
    from websockets.extensions.permessage_deflate import PerMessageDeflate

    if random.random() < 0.5:
        return list
    flags = (random.random() < 0.2, random.random() < 0.2)
    return lambda: [PerMessageDeflate(*flags, 12, 12, {"memLevel": 5})]


class _Writer:
    """Writes frames as a peer would who is mostly right."""

    def __init__(self, random: Random, masked: bool, deflate: bool) -> None:
        self._random = random
        self._masked = masked
        self._compressor = zlib.compressobj(wbits=-12) if deflate else None
        self._continued = False

    def frame(self) -> bytes:
        """The next one."""
        chosen = self._random.random()
        if chosen < 0.04:
            return self._broken()
        if chosen < 0.2:
            opcode = self._random.choice((9, 9, 10))
            return self._built(opcode, self._random.randbytes(self._random.randint(0, 125)))
        if chosen < 0.22:
            return self._built(8, self._random.choice(CLOSES))
        return self._data()

    def _built(self, opcode: int, payload: bytes, **options: Any) -> bytes:
        masked = self._masked is not options.pop("wrong_side", False)
        key = self._random.randbytes(4) if masked else None
        return frame_bytes(opcode, payload, masking_key=key, **options)

    def _data(self) -> bytes:
        fin = self._random.random() < 0.7
        opcode = 0 if self._continued else self._random.choice((1, 2))
        payload = self._random.choice((self._text, self._noise))()
        rsv = 0
        if self._compressor is not None and self._random.random() < 0.9:
            rsv = 4 if opcode else 0
            payload = self._compressed(payload, fin)
        self._continued = not fin
        return self._built(opcode, payload, fin=fin, rsv=rsv)

    def _text(self) -> bytes:
        return self._random.choice(TEXTS) * self._random.choice((1, 1, 3))

    def _noise(self) -> bytes:
        return self._random.randbytes(self._random.choice(SIZES))

    def _compressed(self, payload: bytes, fin: bool) -> bytes:
        assert self._compressor is not None
        data = self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        if self._random.random() < 0.02:
            return self._random.randbytes(10)
        return data[:-4] if fin else data

    def _broken(self) -> bytes:
        options = self._random.choice(
            (
                {"rsv": self._random.randint(1, 7)},
                {"length_form": 64},
                {"length_form": 16},
                {"wrong_side": True},
                {"fin": False},
            )
        )
        payload = self._random.randbytes(self._random.choice((0, 5, 130)))
        return self._built(self._random.randint(0, 15), payload, **options)


def _cut(stream: bytes, random: Random) -> Iterator[bytes]:
    """The stream as it is read: whole up to somewhere, then small pieces, then whole again."""
    start = random.choice((0, random.randint(0, len(stream))))
    if start:
        yield stream[:start]
    for piece in itertools.islice(pieces(stream[start:], random), 25):
        start += len(piece)
        yield piece
    if stream[start:]:
        yield stream[start:]


def _check_stream(theirs: _Theirs, random: Random) -> None:
    """One connection from its first frame on."""
    from websockets.protocol import CLIENT, SERVER, Protocol

    side, limits = random.choice((SERVER, CLIENT)), _limits(random)
    extensions = _extensions(random)
    pair = Protocol(side, max_size=limits), theirs.Protocol(side, max_size=limits)
    for each in pair:
        each.extensions = extensions()
    writer = _Writer(random, side is SERVER, bool(pair[0].extensions))
    stream = b"".join(writer.frame() for _ in range(random.randint(1, 10)))
    for piece in _cut(stream, random):
        data = piece if random.random() < 0.9 else random.choice((bytearray, memoryview))(piece)
        _both(pair, "receive_data", data)
    _both(pair, "receive_eof")
    _both(pair, "receive_data", b"x")


def _both(pair: tuple[Any, Any], method: str, *arguments: Any, **options: Any) -> None:
    ours, theirs = [
        (outcome(getattr(each, method), *arguments, **options), seen(each)) for each in pair
    ]
    differ(f"{method}{arguments!r:.80}", ours, theirs)


# --- sending -----------------------------------------------------------------------------------


def forms(random: Random, data: bytes) -> Any:
    """The data in one of the forms that are accepted, or something else."""
    chosen = random.random()
    if chosen < 0.5:
        return data
    if chosen < 0.6:
        return random.choice(ODD)
    return random.choice((bytearray(data), memoryview(data), memoryview(data)[::2]))


def _check_sending(theirs: _Theirs, random: Random) -> None:
    from websockets.protocol import CLIENT, SERVER, Protocol

    side, extensions = random.choice((SERVER, CLIENT)), _extensions(random)
    pair = Protocol(side), theirs.Protocol(side)
    for each in pair:
        each.extensions = extensions()
    methods = ("send_text", "send_binary", "send_continuation", "send_continuation", "send_ping")
    for size in sizes(random, 6):
        method = random.choice(methods)
        arguments = [forms(random, random.randbytes(size))]
        if method != "send_ping" and (method == "send_continuation" or random.random() < 0.5):
            arguments.append(random.choice((True, True, False, 1, None)))
        _both(pair, method, *arguments)
    _both(pair, "send_close", 1000, "bye")
    _both(pair, "send_text", b"too late")


# --- frames alone ------------------------------------------------------------------------------


def _drive(parse: Any, bits: list[bytes], eof: bool, options: dict[str, Any]) -> Iterator[object]:
    """What happens in each step of parsing a frame, and what is left in the buffer."""
    from websockets.streams import StreamReader

    reader = StreamReader()
    parser = parse(reader.read_exact, **options)
    for number, bit in enumerate(bits, 1):
        reader.feed_data(bit)
        if eof and number == len(bits):
            reader.feed_eof()
        try:
            yield next(parser), typed(reader.buffer)
        except StopIteration as stop:
            yield stop.value and fields(stop.value), typed(reader.buffer)
        except Exception as error:
            yield _error(error), typed(reader.buffer)


def _check_parse(originals: Originals, random: Random) -> None:
    from websockets.frames import Frame

    def theirs(*arguments: Any, **options: Any) -> Any:
        return originals[FRAME + "parse"].__func__(Frame, *arguments, **options)

    for _ in range(4):
        mask = random.random() < 0.5
        frame = _Writer(random, mask, False).frame() + random.randbytes(random.choice((0, 5)))
        bits = list(_cut(frame, random))
        options = {"mask": mask, "max_size": random.choice((None, None, 100))}
        eof = random.random() < 0.3
        found = [list(_drive(each, bits, eof, options)) for each in (Frame.parse, theirs)]
        differ(f"Frame.parse of {bits!r:.100}", *found)


def _check_serialize(originals: Originals, random: Random) -> None:
    from websockets.frames import Frame, Opcode

    def called(serialize: Any, *arguments: Any, **options: Any) -> object:
        found = outcome(serialize, *arguments, **options)
        if found.kind == "returned":
            return found.kind, found.value[0], unmasked(found.value[1])
        return found

    makers = _extensions(random)
    ours, theirs = makers(), makers()
    for size in sizes(random, 4):
        opcode = random.choice((*Opcode, *Opcode, 1, 3, None))
        fin, rsv1 = random.choice((True, True, True, False)), random.random() < 0.05
        frame = Frame(opcode, forms(random, random.randbytes(size)), fin, rsv1)
        mask = random.choice((True, False))
        differ(
            f"Frame.serialize of {frame!r:.100}",
            called(frame.serialize, mask=mask, extensions=ours),
            called(originals[FRAME + "serialize"], frame, mask=mask, extensions=theirs),
        )


# --- whether ours are reached ------------------------------------------------------------------


def called_by(function: Callable[..., Any], *arguments: Any) -> set[str]:
    """Names of the Python functions that it calls in this thread; none under a profiler."""
    names: set[str] = set()
    if sys.getprofile() is not None:
        function(*arguments)
        return names
    sys.setprofile(lambda frame, event, _: names.add(frame.f_code.co_name))
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return names


def _check_reached() -> None:
    """A message each way must pass none of the library's own code for frames."""
    from websockets.protocol import CLIENT, SERVER, Protocol

    client, server = Protocol(CLIENT), Protocol(SERVER)
    found = called_by(client.send_text, b"reached")
    found |= called_by(server.receive_data, b"".join(client.data_to_send()))
    events = server.events_received()
    if len(events) != 1 or found & {"serialize", "send_frame", "recv_frame", "check"}:
        raise Mismatch(f"a message from send_text to receive_data passed {sorted(found)}")
