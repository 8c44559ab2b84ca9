"""Frames by hand, byte for byte as section 5.2 draws them, and ways of feeding them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from wsfast.connection import Connection
from wsfast.rfc6455 import Role

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "KEY",
    "PING",
    "PONG",
    "STEPS",
    "TEXT",
    "client",
    "close_frame",
    "connection",
    "feed",
    "frame",
    "frames_in",
    "pieces",
    "server",
    "unmasked",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

#: The masking key of the examples in section 5.7.
KEY = bytes.fromhex("37fa213d")

#: Bytes a feed: whole, and cut as every parser test must be.
STEPS = [0, 1, 2, 3, 7]


def unmasked(payload: bytes, key: bytes) -> bytes:
    """XOR with the key (section 5.3), the slow way."""
    if len(payload) > 4096:  # big integers do the same at once
        repeated = key * (len(payload) // 4 + 1)
        number = int.from_bytes(payload, "big")
        return (number ^ int.from_bytes(repeated[: len(payload)], "big")).to_bytes(
            len(payload), "big"
        )
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def length_field(length: int, form: int | None, mask_bit: int) -> bytes:
    """The second byte and the extended length; form 7, 16 or 64 bits, None for the minimal."""
    if form is None:
        form = 7 if length < 126 else 16 if length < 65536 else 64
    if form == 7:
        return bytes([mask_bit | length])
    if form == 16:
        return bytes([mask_bit | 126]) + struct.pack("!H", length)
    return bytes([mask_bit | 127]) + struct.pack("!Q", length)


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """One frame, legal or not.

    Args:
        opcode, fin, rsv: the first byte; rsv holds RSV1 as 4.
        payload: before masking.
        key: masking key, or None for an unmasked frame.
        length: what the header says, if not the truth.
        form: bits of the length field, 7, 16 or 64; None for the minimal.
    """
    said = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    head += length_field(said, form, 0x80 if key is not None else 0)
    return head + payload if key is None else head + key + unmasked(payload, key)


def close_frame(close_code: int, reason: bytes = b"", *, key: bytes | None = None) -> bytes:
    """A Close frame with a code and a reason (section 5.5.1)."""
    return frame(CLOSE, struct.pack("!H", close_code) + reason, key=key)


def pieces(data: bytes, step: int) -> Iterator[bytes]:
    """The data cut into pieces of `step` bytes; 0: whole."""
    for at in range(0, len(data), step or max(len(data), 1)):
        yield data[at : at + (step or len(data))]


def feed(receiver: Any, data: bytes, step: int = 0) -> list[Any]:
    """All events of the data, fed in pieces of `step` bytes."""
    return [event for piece in pieces(data, step) for event in receiver.receive(piece)]


def server(**options: Any) -> Connection:
    """A server that takes the injected key KEY for nothing: servers do not mask."""
    return Connection(Role.SERVER, **options)


def client(masking_keys: Callable[[], bytes] | None = lambda: KEY, **options: Any) -> Connection:
    """A client that masks everything with KEY."""
    return Connection(Role.CLIENT, masking_keys=masking_keys, **options)


def connection(role: Role, **options: Any) -> tuple[Connection, bytes | None]:
    """A connection of that role, and the key that its peer masks with (None: it must not)."""
    return (server(**options), KEY) if role is Role.SERVER else (client(**options), None)


def frames_in(data: bytes) -> list[tuple[int, bool, int, bytes]]:
    """Read whole frames back, apart from the code under test: (opcode, fin, rsv, payload)."""
    found = []
    while data:
        first, second = data[0], data[1]
        length, at = second & 127, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
        key = data[at : at + 4] if second & 128 else bytes(4)
        at += 4 if second & 128 else 0
        assert len(data) >= at + length, "the last frame is not whole"
        payload = unmasked(data[at : at + length], key)
        found.append((first & 15, first >= 128, first >> 4 & 7, payload))
        data = data[at + length :]
    return found
