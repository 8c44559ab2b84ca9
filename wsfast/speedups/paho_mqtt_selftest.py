"""paho-mqtt's socket wrapper beside itself: the same bytes through the originals and through ours.

The originals run in a subclass that carries them. Both sides read the same frames in the same
pieces, with the same interruptions in between, and after every call everything that can be seen
is compared: results with their types, errors, what was asked of the socket and written to it, and
what the wrapper keeps.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from random import Random
from typing import Any

from wsfast.frame import decode_header
from wsfast.mask import apply_mask

from .selftest import SIZES, Mismatch, frame_bytes, outcome, typed
from .target import Level, Originals

__all__ = ["selftest"]

#: Opcodes, those that MQTT comes in more often than the others.
OPCODES = (2, 2, 2, 2, 0, 0, 1, 8, 9, 10, 3, 15)

STATE = (
    "connected",
    "_sendbuffer",
    "_readbuffer",
    "_requested_size",
    "_payload_head",
    "_readbuffer_head",
)


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """Compare what is replaced at a level with the originals, on random input.

    Raises:
        Mismatch: naming what differs.
    """
    place = next(iter(originals)).rpartition(".")[0]
    both = _Both(place, originals)
    _check_reached(both, level)
    _check_building(both, random)
    if level == "frames":
        for _ in range(2):
            _check_reading(both, random)
        _check_socket(both, random)
        _check_sending(both, random)


class _Both:
    """The wrapper class as it is, and one with the originals."""

    def __init__(self, place: str, originals: Originals) -> None:
        from .guard import find

        self.ours: Any = find(place)[2]
        own = {where.rpartition(".")[2]: function for where, function in originals.items()}
        self.theirs: Any = type(self.ours.__name__, (self.ours,), own)

    def connected(self, *wires: Any) -> list[Any]:
        """One wrapper of each kind, the original first, as they are after the handshake."""
        made = []
        for owner, wire in zip((self.theirs, self.ours), wires, strict=True):
            wrapper = owner.__new__(owner)
            wrapper.connected = True
            wrapper._ssl, wrapper._host, wrapper._port, wrapper._path = False, "", 80, "/mqtt"
            wrapper._socket = wire
            wrapper._sendbuffer, wrapper._readbuffer = bytearray(), bytearray()
            wrapper._requested_size = wrapper._payload_head = wrapper._readbuffer_head = 0
            made.append(wrapper)
        return made


def _check_reached(both: _Both, level: Level) -> None:
    """What `Client` calls, through recv and send of the wrapper, is ours."""
    names = ["_create_frame"] if level == "kernels" else ["_create_frame", "_recv_impl"]
    wrapper = both.connected(None, None)[1]
    for name in names:
        if not getattr(getattr(wrapper, name), "__wsfast__", False):
            raise Mismatch(f"{name} does not reach wsfast")


def _must_equal(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise Mismatch(f"{what}: the original {expected!r:.300}, wsfast {got!r:.300}")


def _state(wrapper: Any) -> Any:
    return typed([getattr(wrapper, name) for name in STATE])


def _unmasked(data: bytes) -> Iterator[Any]:
    """Frames without their random keys."""
    while data:
        header = decode_header(data)
        if header is None:
            raise Mismatch(f"half a frame: {data!r}")
        end = header.size + header.payload_length
        payload = data[header.size : end]
        yield header[:6], apply_mask(payload, header.masking_key) if header.masked else payload
        data = data[end:]


# --- a socket with a script --------------------------------------------------------------------


class _Wire:
    """Gives bytes in pieces of any size, at times none or an error; keeps what it is sent.

    Two of them with the same seed do the same as long as they are asked the same.
    """

    def __init__(self, data: bytes, seed: int, *, errors: bool = False) -> None:
        self.asked: list[int] = []
        self.sent: list[bytes] = []
        self._data = data
        self._random = Random(seed)
        self._errors = errors
        self._longest = self._random.choice((1, 3, 50, 1 << 20))

    def recv(self, size: int) -> bytes:
        """As of a socket that does not block; nothing at the end."""
        self.asked.append(size)
        luck = self._random.random()
        if luck < 0.1:
            raise BlockingIOError(11, "nothing there")
        if self._errors and luck < 0.13:
            raise self._random.choice((ConnectionResetError(104, "reset"), OSError(9, "closed")))
        size = min(size, self._random.randint(1, self._longest))
        data, self._data = self._data[:size], self._data[size:]
        return data

    def send(self, data: bytes) -> int:
        luck = self._random.random()
        if luck < 0.1:
            raise BlockingIOError(11, "no room")
        size = self._random.randint(0, len(data)) if luck < 0.4 else len(data)
        self.sent.append(bytes(data[:size]))
        return size


# --- building and sending ----------------------------------------------------------------------


def _check_building(both: _Both, random: Random) -> None:
    expected, got = both.connected(None, None)

    def build(wrapper: Any, opcode: Any, data: Any, *masking: Any) -> Any:
        """The frame, its type, and what became of the data; without the random key."""
        frame = wrapper._create_frame(opcode, data, *masking)
        header = decode_header(frame)
        if header is None or frame[header.size :] != data:
            raise Mismatch(f"_create_frame: {frame!r} does not end with {data!r}")
        return type(frame), list(_unmasked(bytes(frame)))

    for size in (0, 1, *random.sample(SIZES[:-2], 6)):
        data = random.choice((bytearray, bytearray, bytearray, bytes))(random.randbytes(size))
        masking = random.choice(((), (1,), (0,), (True,), (False,), (2,), (None,)))
        opcode = random.choice((*range(16), 127, 128, -1, True, 2.0))
        copies = [type(data)(data) for _ in range(2)]
        result = outcome(build, expected, opcode, copies[0], *masking)
        _must_equal(
            f"_create_frame({opcode!r}, {data!r:.50}, {masking})",
            result,
            outcome(build, got, opcode, copies[1], *masking),
        )


def _check_sending(both: _Both, random: Random) -> None:
    seed = random.randrange(1 << 30)
    wires = [_Wire(b"", seed) for _ in range(2)]
    expected, got = both.connected(*wires)
    for _ in range(8):
        size = random.choice(SIZES[:-3])
        data = random.choice((bytes, bytes, bytearray, memoryview))(random.randbytes(size))
        name = random.choice(("send", "write", "_send_impl"))
        result = outcome(getattr(expected, name), data)
        _must_equal(name, result, outcome(getattr(got, name), data))
        kept = (len(expected._sendbuffer), type(expected._sendbuffer), expected._requested_size)
        _must_equal(
            f"after {name}",
            kept,
            (len(got._sendbuffer), type(got._sendbuffer), got._requested_size),
        )
    sent = [
        b"".join(wire.sent) + bytes(each._sendbuffer)
        for wire, each in zip(wires, (expected, got), strict=True)
    ]
    _must_equal("what was sent", *(list(_unmasked(each)) for each in sent))
    for odd in (None, 5, "text"):
        expected, got = both.connected(_Wire(b"", seed), _Wire(b"", seed))
        result = outcome(expected.send, odd)
        _must_equal(f"send({odd!r})", result[0], outcome(got.send, odd)[0])


# --- reading -----------------------------------------------------------------------------------


def _frames(random: Random, count: int) -> bytes:
    made = []
    for _ in range(count):
        opcode = random.choice(OPCODES)
        size = random.choice((0, 1, 2, 5, 30, 125, 126, 300))
        key = random.randbytes(4) if random.random() < 0.3 else None
        made.append(
            frame_bytes(
                opcode,
                random.randbytes(size),
                fin=random.random() < 0.8,
                rsv=random.choice((0, 0, 0, 7)),
                masking_key=key,
                length_form=random.choice((None, None, None, 64)),
            )
        )
    return b"".join(made)


def _check_reading(both: _Both, random: Random) -> None:
    data, seed = _frames(random, 4), random.randrange(1 << 30)
    wires = [_Wire(data, seed, errors=seed % 2 == 0) for _ in range(2)]
    expected, got = both.connected(*wires)
    for _ in range(30):
        size = random.choice((1, 1, 1, 2, 7, 40, 400, 0, -1))
        result = outcome(expected.recv, size)
        _must_equal(f"recv({size})", result, outcome(got.recv, size))
        _must_equal(f"after recv({size})", _state(expected), _state(got))
        _must_equal(f"asked by recv({size})", wires[0].asked, wires[1].asked)
        if not expected.connected:
            break
    _must_equal("answers", wires[0].sent, wires[1].sent)


def _check_socket(both: _Both, random: Random) -> None:
    """The same over real sockets, which are asked for two bytes at once."""
    data, sizes_asked = _frames(random, 4), [random.choice((1, 1, 3, 50)) for _ in range(30)]
    results = []
    for number in range(2):
        near, far = socket.socketpair()
        with near, far:
            far.sendall(data)
            far.shutdown(socket.SHUT_WR)
            wrapper = both.connected(near, near)[number]
            seen = []
            for size in sizes_asked:
                seen.append((outcome(wrapper.recv, size), _state(wrapper)))
                if not wrapper.connected:
                    break
            results.append(seen)
    _must_equal("recv from a socket", *results)
