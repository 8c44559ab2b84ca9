"""Our client, made to wait: what the handler was called with, in the order of a dialogue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from system.interop.processes import DEADLINE_SECONDS
from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.loop import Loop

__all__ = ["OurClient", "connected"]


class OurClient:
    """One connection on a loop of its own; each wait runs the loop, within the deadline."""

    def __init__(self, loop: Loop, url: str, subprotocols: Sequence[str]) -> None:
        self.loop = loop
        self.messages: deque[str | bytes] = deque()
        self.opened: list[str | None] = []
        self.closed: list[tuple[int, str]] = []
        self.pongs: list[bytes] = []
        self.failed: Exception | None = None
        self.ws = connect(url, self, subprotocols=subprotocols, loop=loop)

    def on_open(self, ws: Endpoint) -> None:
        """The handshake is over."""
        self.opened.append(ws.subprotocol)

    def on_message(self, ws: Endpoint, message: str | bytes) -> None:
        """Keep it for receive()."""
        self.messages.append(message)

    def on_pong(self, ws: Endpoint, payload: bytes) -> None:
        """Keep it for ping()."""
        self.pongs.append(payload)

    def on_connect_failed(self, ws: Endpoint, error: Exception) -> None:
        """Keep it for wait_open()."""
        self.failed = error

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        """Keep it for wait_closed()."""
        self.closed.append((close_code, close_reason))

    def wait_open(self) -> str | None:
        """Wait for the opening handshake; returns the subprotocol."""
        self._run_until(lambda: self.opened or self.failed)
        assert self.failed is None, self.failed
        return self.opened[0]

    def receive(self) -> str | bytes:
        """The next message."""
        self._run_until(lambda: self.messages or self.closed)
        assert self.messages, f"closed with {self.closed} instead of a message"
        return self.messages.popleft()

    def ping(self, payload: bytes) -> None:
        """Send a ping and wait for the next pong, which has to carry the same payload."""
        self.pongs.clear()
        self.ws.ping(payload)
        self._run_until(lambda: self.pongs or self.closed)
        assert self.pongs == [payload]

    def wait_closed(self) -> tuple[int, str]:
        """Wait for the end of the TCP connection, too: what on_close got, once."""
        self._run_until(lambda: self.closed and self.ws.fd < 0)
        [closed] = self.closed
        return closed

    def _run_until(self, condition: Callable[[], object]) -> None:
        self.loop.run_while(lambda: not condition(), DEADLINE_SECONDS)
        assert condition(), "the deadline passed"


@contextmanager
def connected(url: str, subprotocols: Sequence[str] = ()) -> Iterator[OurClient]:
    """An open connection; at the end it is closed, if the dialogue has not closed it."""
    loop = Loop()
    client = OurClient(loop, url, subprotocols)
    try:
        client.wait_open()
        yield client
        client.ws.close()
        client.wait_closed()
    finally:
        client.ws.disconnect()
        loop.close()
