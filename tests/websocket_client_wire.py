"""What websocket-client reads from and writes to in its tests: bytes in pieces, and no network."""

from __future__ import annotations

from typing import Any

from wsfast.frame import decode_header
from wsfast.mask import apply_mask

__all__ = ["Wire", "connected", "served"]


class Wire:
    """Gives bytes in pieces; keeps what it is sent, as much as it takes at once.

    Args:
        data: what there is to read; nothing after that.
        piece: bytes that recv returns at most.
        takes: bytes that send takes at most.
    """

    def __init__(self, data: bytes = b"", piece: int = 1 << 20, takes: int = 1 << 30) -> None:
        self.data = bytearray(data)
        self.sent = bytearray()
        self.sends: list[int] = []
        self.closed = False
        self._piece, self._takes = piece, takes

    def gettimeout(self) -> float:
        return 0

    def recv(self, size: int) -> bytes:
        part = bytes(self.data[: min(size, self._piece)])
        del self.data[: len(part)]
        return part

    def send(self, data: bytes) -> int:
        part = data[: self._takes]
        self.sends.append(len(part))
        self.sent += part
        return len(part)

    def close(self) -> None:
        self.closed = True

    def frames(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of what was sent; every frame has to be masked."""
        found, data = [], bytes(self.sent)
        while data:
            header = decode_header(data)
            assert header is not None and header.masked
            end = header.size + header.payload_length
            found.append((header.opcode, apply_mask(data[header.size : end], header.masking_key)))
            data = data[end:]
        return found


def connected(wire: Any, **options: Any) -> Any:
    """A WebSocket that is connected to a wire, or to any socket."""
    from websocket import WebSocket

    made = WebSocket(**options)
    made.sock, made.connected = wire, True
    return made


def served(connection: Any) -> bool:
    """Whether the speedups read its frames."""
    from websocket import WebSocket

    found: bool = WebSocket.recv.serves(connection)
    return found
