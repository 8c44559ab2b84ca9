"""The other side of a server: a client on wsfast.connection and one socket, in our own process."""

from __future__ import annotations

import contextlib
import select
import socket
import time
import zlib
from types import TracebackType

from wsfast.connection import Connection
from wsfast.events import Closed
from wsfast.handshake import Accepted, ClientHandshake
from wsfast.rfc6455 import Role

__all__ = ["Deflate", "Peer"]

#: The longest that nothing may happen.
SILENCE_SECONDS = 30.0
CLOSE_SECONDS = 2.0
MAX_BYTES = 1 << 24
READ_BYTES = 1 << 18
TAIL = b"\x00\x00\xff\xff"


class Deflate:
    """permessage-deflate (RFC 7692) with context takeover, for the connection of a client."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(wbits=-15)
        self._inflate = zlib.decompressobj(wbits=-15)

    def accepts(self, opcode: int, size: int) -> bool:
        """Every message."""
        return True

    def encode(self, data: bytes, fin: bool) -> bytes:
        """Compress one message."""
        flushed = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return flushed.removesuffix(TAIL) if fin else flushed

    def decode(self, data: bytes, fin: bool, max_bytes: int) -> bytes:
        """Decompress one frame."""
        return self._inflate.decompress(data + TAIL if fin else data, max_bytes)


class Peer:
    """One connection; use it as a context manager.

    Args:
        url: ws:// and a numeric address.
        deflate: ask for permessage-deflate.

    Raises:
        OSError: the server does not accept, or did nothing for too long.
    """

    def __init__(self, url: str, deflate: bool = False) -> None:
        extensions = [("permessage-deflate", [])] if deflate else []
        handshake = ClientHandshake(url, extensions=extensions)
        self._socket = socket.create_connection((handshake.host, handshake.port), SILENCE_SECONDS)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(handshake.request)
            while (result := handshake.receive(self._read())) is None:
                pass
            if not isinstance(result, Accepted) or deflate != bool(result.extensions):
                raise OSError(f"the server answers {result}")
        except BaseException:
            self._socket.close()
            raise
        self._connection = Connection(
            Role.CLIENT, max_message_bytes=MAX_BYTES, extension=Deflate() if deflate else None
        )
        self._arrived = self._connection.receive(handshake.trailing)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def exchange(self, message: str | bytes, count: int) -> None:
        """Send it so many times at once, and wait for as many echoes.

        Raises:
            OSError: an echo differs, the connection ended, or nothing came for too long.
        """
        for _ in range(count):
            self._connection.send(message)
        pending = memoryview(self._connection.data_to_send())
        while count:
            pending = self._write(pending)
            self._wait(bool(pending))
            with contextlib.suppress(BlockingIOError):
                for event in self._connection.receive(self._read()):
                    if event != message:
                        raise OSError(f"an echo differs: {str(event)[:80]}")
                    count -= 1

    def close(self) -> None:
        """Close in order, within a bounded time; cut it where the server does not heed that."""
        deadline = time.monotonic() + CLOSE_SECONDS
        with contextlib.suppress(OSError):
            self._connection.send_close()
            self._socket.settimeout(CLOSE_SECONDS)
            self._socket.sendall(self._connection.data_to_send())
            while time.monotonic() < deadline:
                events = self._connection.receive(self._read())
                if any(isinstance(event, Closed) for event in events):
                    break
        self._socket.close()

    def _write(self, pending: memoryview) -> memoryview:
        with contextlib.suppress(BlockingIOError):
            return pending[self._socket.send(pending) :] if pending else pending
        return pending

    def _wait(self, writing: bool) -> None:
        self._poll.modify(self._socket, select.POLLIN | (select.POLLOUT if writing else 0))
        if not self._poll.poll(SILENCE_SECONDS * 1000):
            raise TimeoutError(f"the server did nothing for {SILENCE_SECONDS:g} s")

    def _read(self) -> bytes:
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        # Some libraries leave Nagle's algorithm on: they wait for our acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data
