"""websocket-client beside itself: the same bytes through the originals and through ours.

The originals run in subclasses that carry them, as a library of their own. Both sides read the
same frames in the same pieces, with the same interruptions in between, and after every call
everything that can be seen is compared: results with the types of all that is in them, errors,
what was asked of the socket and written to it, and what is left in the buffers.
"""

from __future__ import annotations

import array
import socket
from collections.abc import Iterator
from random import Random
from typing import Any

from wsfast.frame import decode_header
from wsfast.mask import apply_mask

from .selftest import TEXTS, Mismatch, compare, frame_bytes, outcome, sizes, typed
from .target import Level, Originals

__all__ = ["selftest"]

ABNF = "websocket._abnf:ABNF"
BUFFER = "websocket._abnf:frame_buffer"
WEBSOCKET = "websocket._core:WebSocket"
VALIDATE = "websocket._utils:_validate_utf8"
KEY = b"\x0d\x07\xf1\x80"

#: Opcodes, the valid ones more often than the reserved ones.
OPCODES = (0, 1, 1, 1, 1, 1, 2, 2, 2, 8, 9, 9, 10, 10, 3, 11, 15)

#: What a Close can carry, and what it must not.
CLOSES = (b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0\xc3", b"\x03\xed", b"\x04\x00")

#: Two names of one thing: the attribute was renamed in 1.7.
MASK = ("mask_value", "mask")


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """Compare what is replaced at a level with the originals, on random input.

    Raises:
        Mismatch: naming what differs.
    """
    _check_mask(originals, random)
    _check_utf8(originals, random)
    if level == "frames":
        theirs = _Theirs(originals)
        _check_reached()
        _check_format(originals, random)
        for _ in range(2):
            _check_buffer(theirs, random)
            _check_messages(theirs, random)
        _check_socket(theirs, random)
        _check_sending(theirs, random)


# --- masking and UTF-8 -------------------------------------------------------------------------


def _check_mask(originals: Originals, random: Random) -> None:
    from websocket import ABNF as frames

    theirs = originals[ABNF + ".mask"].__func__
    for size in sizes(random, 6):
        data = random.randbytes(size)
        forms = (data, bytearray(data), memoryview(data), memoryview(data)[::2], list(data))
        more = (array.array("B", data), array.array("H", data * 2), data.decode("latin-1"))
        key = random.choice((KEY, random.randbytes(4), "\x0d\x07\xf1\x80", bytearray(KEY)))
        compare("ABNF.mask", theirs, frames.mask, key, random.choice(forms + more))
    odd = ((b"", b""), (b"abc", b"x" * 9), (KEY, None), (KEY, 3), (None, b"x"), (KEY, "\u0161"))
    for pair in random.sample((*odd, (b"abcdef", b"x" * 9), (KEY + KEY, b""), (1, 2)), 4):
        compare("ABNF.mask", theirs, frames.mask, *pair)


def _check_utf8(originals: Originals, random: Random) -> None:
    from websocket import _utils

    for _ in range(8):
        data = random.choice(TEXTS) + random.choice(TEXTS)
        data = data[random.randrange(len(data) + 1) :][: random.randrange(80)]
        form = random.choice((bytes, bytes, bytearray))(data)
        compare("_validate_utf8", originals[VALIDATE], _utils._validate_utf8, form)
    for odd in (None, "text", 3):
        compare("_validate_utf8", originals[VALIDATE], _utils._validate_utf8, odd)


# --- the originals -----------------------------------------------------------------------------


class _Theirs:
    """The library with its own methods, beside the patched one."""

    def __init__(self, originals: Originals) -> None:
        from websocket import WebSocket
        from websocket._abnf import frame_buffer

        def variant(place: str, base: type) -> Any:
            own = {
                where.removeprefix(f"{place}."): function
                for where, function in originals.items()
                if where.startswith(f"{place}.")
            }
            return type(base.__name__, (base,), own)

        self.WebSocket = variant(WEBSOCKET, WebSocket)
        self.frame_buffer = variant(BUFFER, frame_buffer)

    def connection(self, wire: Any, **options: Any) -> Any:
        """A WebSocket of originals."""
        made = self.WebSocket(**options)
        made.frame_buffer = self.frame_buffer(made._recv, made.frame_buffer.skip_utf8_validation)
        made.sock, made.connected = wire, True
        return made


def _ours(wire: Any, **options: Any) -> Any:
    from websocket import WebSocket

    made = WebSocket(**options)
    made.sock, made.connected = wire, True
    return made


def _check_reached() -> None:
    from websocket import WebSocket

    serves = getattr(WebSocket.recv, "serves", lambda connection: False)
    if not serves(WebSocket()):
        raise Mismatch("WebSocket.recv does not reach wsfast")


def _shown(value: Any) -> Any:
    """A value to compare: ABNF objects by what is in them."""
    from websocket import ABNF as frames

    if isinstance(value, list | tuple):
        return type(value), [_shown(each) for each in value]
    if isinstance(value, frames):
        fields = {name: each for name, each in vars(value).items() if name != "get_mask_key"}
        return type(value), typed(fields)
    return typed(value)


def _outcome(call: Any, *arguments: Any) -> Any:
    return outcome(lambda: _shown(call(*arguments)))


def _must_equal(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise Mismatch(f"{what}: the original {expected!r:.300}, wsfast {got!r:.300}")


# --- a socket with a script --------------------------------------------------------------------


class _Wire:
    """Gives bytes in pieces of any size, interrupted by timeouts and worse; keeps what it is sent.

    Two of them with the same seed do the same as long as they are asked the same.
    """

    def __init__(self, data: bytes, seed: int, *, calm: bool = False, rude: bool = False) -> None:
        self.asked: list[int] = []
        self.sent: list[bytes] = []
        self._data = data
        self._random = Random(seed)
        self._calm = calm  # no interruptions
        self._rude = rude  # more than was asked for, or not even bytes
        self._longest = self._random.choice((1, 3, 7, 50, 100, 1 << 20))

    def recv(self, size: int) -> Any:
        """As of a socket; nothing at the end."""
        self.asked.append(size)
        luck = self._random.random()
        if not self._calm and luck < 0.05:
            raise self._random.choice((TimeoutError("timed out"), ConnectionResetError(104, "x")))
        size = min(size, self._random.randint(1, self._longest))
        if self._rude and luck > 0.95:
            size += self._random.randrange(9)
        data, self._data = self._data[:size], self._data[size:]
        return bytearray(data) if self._rude and 0.94 < luck < 0.95 else data

    def frame_recv(self, size: int) -> Any:
        """As the recv of a frame_buffer: an error at the end."""
        if not self._data:
            raise EOFError
        return self.recv(size)

    def send(self, data: bytes) -> int:
        size = self._random.randint(1, len(data)) if self._random.random() < 0.2 else len(data)
        self.sent.append(data[:size])
        return size

    def gettimeout(self) -> float:
        return 0

    def close(self) -> None:
        self._data = b""

    def messages(self) -> list[Any]:
        """What was sent, frame by frame, without the mask."""
        return list(_unmasked(b"".join(self.sent)))


def _unmasked(data: bytes) -> Iterator[Any]:
    while data:
        header = decode_header(data)
        if header is None:
            raise Mismatch(f"half a frame was sent: {data!r}")
        end = header.size + header.payload_length
        payload = data[header.size : end]
        yield header[:6], apply_mask(payload, header.masking_key) if header.masked else payload
        data = data[end:]


def _payload(random: Random, opcode: int) -> bytes:
    if opcode == 8:
        return random.choice(CLOSES)
    if random.random() < 0.1:
        return random.randbytes(random.choice((125, 126, 127, 300)))
    text = b"".join(random.sample(TEXTS[:5], random.randrange(4)))
    return text + random.choice(TEXTS) if random.random() < 0.2 else text


def _frames(random: Random, count: int) -> Iterator[bytes]:
    """Messages, whole or in fragments with control frames between them, and some nonsense."""
    for _ in range(count):
        opcode = random.choice(OPCODES)
        key = random.randbytes(4) if random.random() < 0.2 else None
        rsv = random.choice((0,) * 30 + (1, 2, 4, 7))
        payload = _payload(random, opcode)
        if opcode not in (1, 2) or random.random() < 0.5:
            fin = random.random() < 0.95
            yield frame_bytes(opcode, payload, fin=fin, rsv=rsv, masking_key=key)
            continue
        for number in range(random.randrange(1, 4)):
            yield frame_bytes(0 if number else opcode, payload, fin=False, masking_key=key)
            if random.random() < 0.2:
                yield frame_bytes(random.choice((9, 10)), b"between")
        yield frame_bytes(0, _payload(random, 1), masking_key=key)


# --- reading -----------------------------------------------------------------------------------


def _kept(buffer: Any) -> Any:
    names = ("header", "length", "recv_buffer", *MASK)
    return typed([getattr(buffer, name, None) for name in names])


def _check_buffer(theirs: _Theirs, random: Random) -> None:
    """frame_buffer.recv_frame alone, with a recv of any manners."""
    from websocket._abnf import frame_buffer

    data, seed, rude = (
        b"".join(_frames(random, 4)),
        random.randrange(1 << 30),
        random.random() < 0.5,
    )
    wires = [_Wire(data, seed, rude=rude) for _ in range(2)]
    skip = random.choice((False, True))
    expected = theirs.frame_buffer(wires[0].frame_recv, skip)
    got = frame_buffer(wires[1].frame_recv, skip)
    for _ in range(30):
        first = _outcome(expected.recv_frame)
        _must_equal("frame_buffer.recv_frame", first, _outcome(got.recv_frame))
        _must_equal("frame_buffer", _kept(expected), _kept(got))
        _must_equal("frame_buffer.recv", wires[0].asked, wires[1].asked)
        if first.value[0] is EOFError:
            break


def _state(connection: Any) -> Any:
    fragments = connection.cont_frame
    return (
        _kept(connection.frame_buffer),
        typed([fragments.cont_data, fragments.recving_frames]),
        (connection.connected, connection.sock is None),
    )


def _check_messages(theirs: _Theirs, random: Random) -> None:
    """recv, recv_data and recv_data_frame, over sockets that time out."""
    data, seed = b"".join(_frames(random, 4)), random.randrange(1 << 30)
    calm = random.random() < 0.5
    wires = [_Wire(data, seed, calm=calm) for _ in range(2)]
    options: dict[str, Any] = {
        "fire_cont_frame": random.random() < 0.2,
        "enable_multithread": random.random() < 0.8,
        "skip_utf8_validation": random.random() < 0.3,
    }
    if random.random() < 0.3:
        options["get_mask_key"] = random.choice((lambda n: KEY[:n], lambda n: "abcd"))
    expected, got = theirs.connection(wires[0], **options), _ours(wires[1], **options)
    for _ in range(30):
        name = random.choice(("recv", "recv", "recv_data", "recv_data_frame", "recv_frame"))
        arguments = random.choice(((), (True,), (False,))) if "data" in name else ()
        first = _outcome(getattr(expected, name), *arguments)
        _must_equal(name, first, _outcome(getattr(got, name), *arguments))
        _must_equal(f"after {name}", _state(expected), _state(got))
        _must_equal(f"asked by {name}", wires[0].asked, wires[1].asked)
        if expected.sock is None:
            break
    _must_equal("answers", wires[0].messages(), wires[1].messages())


def _check_socket(theirs: _Theirs, random: Random) -> None:
    """The same over real sockets, which are read by shorter ways."""
    large = frame_bytes(random.choice((1, 2)), b"x" * random.choice((16384, 16385, 20000)))
    data = b"".join(_frames(random, 3)) + large + b"".join(_frames(random, 3))
    results = []
    for make in (theirs.connection, _ours):
        near, far = socket.socketpair()
        with near, far:
            far.sendall(data)
            far.shutdown(socket.SHUT_WR)
            connection = make(near)
            seen: list[Any] = []
            while connection.sock is not None and len(seen) < 40:
                seen.append((_outcome(connection.recv_data, True), _state(connection)))
            results.append(seen)
    _must_equal("recv_data from a socket", *results)


# --- building and sending ----------------------------------------------------------------------


def _check_format(originals: Originals, random: Random) -> None:
    from websocket import ABNF as frames

    def make(fields: list[Any], key: Any) -> Any:
        made = frames(*fields)
        if key is not None:
            made.get_mask_key = lambda size: key
        return made

    for size in sizes(random, 4):
        data = random.randbytes(size)
        forms = (data, bytearray(data), data.decode("latin-1"), memoryview(data), None, 7)
        fields: list[Any] = [random.choice((0, 1, 1, 1, True, False)) for _ in range(4)]
        fields += [random.choice((0, 1, 2, 8, 9, 10, 3, True)), random.choice((0, 1, 1, 1, 2))]
        if random.random() < 0.1:
            fields[random.randrange(6)] = random.choice((2, -1, 1.0, "1", None))
        fields.append(random.choice(forms + forms[:2] * 3))
        key = random.choice((KEY, KEY, random.randbytes(4), "abcd", b"abc", bytearray(KEY), 5))
        expected, got = make(fields, key), make(fields, key)
        result = _outcome(originals[ABNF + ".format"], expected)
        _must_equal(f"format of {fields!r:.200}", result, _outcome(got.format))
        _must_equal("after format", typed(expected.data), typed(got.data))
    usual = make([1, 0, 0, 0, 2, 1, KEY * 9], None)
    expected, got = originals[ABNF + ".format"](usual), usual.format()
    _must_equal("format", list(_unmasked(expected)), list(_unmasked(got)))


def _check_sending(theirs: _Theirs, random: Random) -> None:
    seed = random.randrange(1 << 30)
    wires = [_Wire(b"", seed) for _ in range(2)]
    options: dict[str, Any] = {"enable_multithread": random.random() < 0.8}
    if random.random() < 0.3:
        options["get_mask_key"] = lambda size: KEY[:size]
    expected, got = theirs.connection(wires[0], **options), _ours(wires[1], **options)
    for size in sizes(random, 6):
        data = random.randbytes(size)
        texts = ("a" * size, "\u0161" * size, "\ud800", data.decode("latin-1"))
        forms = (data, bytearray(data), memoryview(data), memoryview(data)[::2])
        payload = random.choice((*texts, *forms, *texts[:2], None, 3, list(data)))
        opcode = random.choice((1, 1, 1, 2, 2, 0, 8, 9, 10, 3, True, 1.0, None))
        result = _outcome(expected.send, payload, opcode)
        _must_equal(
            f"send({payload!r:.50}, {opcode!r})", result, _outcome(got.send, payload, opcode)
        )
    _must_equal("what was sent", wires[0].messages(), wires[1].messages())
    for connection in (expected, got):
        connection.sock = None
    _must_equal("send when closed", _outcome(expected.send, "x"), _outcome(got.send, "x"))
