"""websockify beside itself: the same bytes through the originals and through ours.

The originals run in a subclass that carries them. Both sides read the same frames in the same
pieces, and after every call everything that can be seen is compared: results with their types,
errors, frames that wait, what was written, and what is left in the buffer.
"""

from __future__ import annotations

import socket
from random import Random
from typing import Any

from .selftest import SIZES, Mismatch, compare, frame_bytes, outcome, typed
from .target import Level, Originals

__all__ = ["selftest"]

WEBSOCKET = "websockify.websocket:WebSocket."
KEY = b"\x0d\x07\xf1\x80"

#: Opcodes, the one that it is made for more often than the others.
OPCODES = (2, 2, 2, 2, 2, 0, 0, 1, 8, 9, 9, 10, 3)

STATE = (
    "_recv_buffer",
    "_recv_queue",
    "_partial_msg",
    "_sent_close",
    "_received_close",
    "close_code",
    "close_reason",
)


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """Compare what is replaced at a level with the originals, on random input.

    Raises:
        Mismatch: naming what differs.
    """
    from websockify.websocket import WebSocket

    ours: Any = WebSocket
    own = {where.removeprefix(WEBSOCKET): function for where, function in originals.items()}
    theirs: Any = type("WebSocket", (WebSocket,), own)
    for name in own:
        if not getattr(getattr(WebSocket(), name), "__wsfast__", False):
            raise Mismatch(f"{name} does not reach wsfast")
    _check_unmask(theirs(), ours(), random)
    if level == "frames":
        _check_decoding(theirs(), ours(), random)
        for _ in range(3):
            _check_reading(theirs, ours, random)
        _check_socket(theirs, ours, random)


def _must_equal(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise Mismatch(f"{what}: the original {expected!r:.300}, wsfast {got!r:.300}")


def _check_unmask(theirs: Any, ours: Any, random: Random) -> None:
    for size in random.sample(SIZES[:-2], 8):
        data = random.randbytes(size)
        data_forms = (data, data, bytearray(data), memoryview(data), memoryview(data)[::2])
        key_forms = (KEY, random.randbytes(4), bytearray(KEY), KEY * 2, KEY[:3], list(KEY))
        given = random.choice(data_forms), random.choice(key_forms)
        for name in ("_unmask", "_mask"):
            compare(name, getattr(theirs, name), getattr(ours, name), *given)
    for odd in ("text", None, 3):
        compare("_unmask", theirs._unmask, ours._unmask, odd, KEY)
        compare("_unmask", theirs._unmask, ours._unmask, b"data", odd)


def _check_decoding(theirs: Any, ours: Any, random: Random) -> None:
    for _ in range(8):
        data = _frames(random, 1) + b"more"
        data = data[: random.randrange(len(data) + 1)]
        given = random.choice((bytes, bytes, bytes, bytearray, memoryview))(data)
        compare("_decode_hybi", theirs._decode_hybi, ours._decode_hybi, given)


# --- reading -----------------------------------------------------------------------------------


def _frames(random: Random, count: int, client: bool = False) -> bytes:
    made = []
    for _ in range(count):
        opcode = random.choice(OPCODES)
        size = random.choice((0, 1, 2, 5, 30, 125, 126, 300))
        masked = client == (random.random() < 0.05)
        made.append(
            frame_bytes(
                opcode,
                b"\x03\xe8bye"
                if opcode == 8 and random.random() < 0.5
                else random.randbytes(size),
                fin=random.random() < 0.8,
                rsv=random.choice((0, 0, 0, 7)),
                masking_key=random.randbytes(4) if masked else None,
                length_form=random.choice((None, None, None, 64)),
            )
        )
    return b"".join(made)


class _Wire:
    """A socket that gives bytes in pieces of any size, at times none; keeps what it is sent."""

    def __init__(self, data: bytes, seed: int) -> None:
        self.asked: list[int] = []
        self.sent: list[bytes] = []
        self._data = data
        self._random = Random(seed)
        self._longest = self._random.choice((3, 50, 1 << 20))

    def recv(self, size: int) -> bytes:
        """As of a socket that does not block; nothing at the end."""
        self.asked.append(size)
        luck = self._random.random()
        if luck < 0.1:
            raise BlockingIOError(11, "nothing there")
        if luck > 0.99:
            raise ConnectionResetError(104, "reset")
        size = min(size, self._random.randint(1, self._longest))
        data, self._data = self._data[:size], self._data[size:]
        return data

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def close(self) -> None:
        self._data = b""


def _connected(kind: Any, wire: Any, client: bool) -> Any:
    made = kind()
    made.client, made._state, made.socket = client, "done", wire
    return made


def _state(connection: Any) -> Any:
    kept = typed([getattr(connection, name) for name in STATE])
    return kept, len(connection._send_buffer), connection.socket is None


def _check_reading(theirs: Any, ours: Any, random: Random) -> None:
    client = random.random() < 0.3
    data, seed = _frames(random, 5, client), random.randrange(1 << 30)
    wires = [_Wire(data, seed) for _ in range(2)]
    expected, got = _connected(theirs, wires[0], client), _connected(ours, wires[1], client)
    for _ in range(30):
        result = outcome(expected.recvmsg)
        _must_equal("recvmsg", result, outcome(got.recvmsg))
        _must_equal("after recvmsg", _state(expected), _state(got))
        _must_equal("asked by recvmsg", wires[0].asked, wires[1].asked)
        if expected.socket is None:
            break
    if not client:  # a client's answers are masked with keys of their own
        _must_equal("answers", wires[0].sent, wires[1].sent)


def _check_socket(theirs: Any, ours: Any, random: Random) -> None:
    """The same over real sockets, which are asked for more of a large frame at once.

    Only frames that are valid: which of those behind a wrong one are still handed out depends on
    where the reads end.
    """
    data = b"".join(
        frame_bytes(
            random.choice((2, 2, 9, 10)),
            b"x" * random.choice((0, 5, 125, 4090, 9000, 20000)),
            masking_key=random.randbytes(4),
        )
        for _ in range(4)
    )
    results = []
    for kind in (theirs, ours):
        near, far = socket.socketpair()
        with near, far:
            far.sendall(data)
            far.shutdown(socket.SHUT_WR)
            connection = _connected(kind, near, False)
            seen: list[Any] = []
            while connection.socket is not None and len(seen) < 40:
                result = outcome(connection.recvmsg)
                if result.kind == "returned":  # how often there was nothing yet may differ
                    seen.append(result)
            results.append((seen, connection.close_code, connection.close_reason))
    _must_equal("recvmsg from a socket", *results)
