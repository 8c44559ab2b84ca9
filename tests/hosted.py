"""A server in a thread of its own, under each way of hosting; blocking sockets talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sockets import SECONDS, goodbye, request_head, text, with_limits
from wire import CLOSE, frames_in
from wsfast.hosting import Serving, new_event_loop, run
from wsfast.server import Server

__all__ = ["ASYNC_HOSTINGS", "HOSTINGS", "Wire", "hosted"]

HOSTINGS = ["alone", "asyncio", "plain-asyncio", "uvloop"]
#: Those where coroutine functions can be handlers.
ASYNC_HOSTINGS = HOSTINGS[1:]


class Wire:
    """A blocking client, by hand."""

    def __init__(self, address: Any) -> None:
        self.socket = socket.create_connection(address[:2], timeout=SECONDS)
        self.received = b""

    def send(self, data: bytes) -> Wire:
        self.socket.sendall(data)
        return self

    def push(self, data: bytes) -> None:
        """Send for as long as there is a connection: for a thread of its own."""
        with contextlib.suppress(OSError):
            self.send(data)

    def head(self) -> bytes:
        """The head of an HTTP answer; what follows stays in `received`."""
        while b"\r\n\r\n" not in self.received:
            data = self.socket.recv(65536)
            if not data:
                break
            self.received += data
        head, end, self.received = self.received.partition(b"\r\n\r\n")
        return head + end

    def upgrade(self, target: str = "/", *lines: str, early: bytes = b"") -> Wire:
        """Do the opening handshake; `early` are frames in the same segment."""
        self.send(request_head(*lines, target=target) + early)
        head = self.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return self

    def frames(self, count: int) -> list[tuple[int, bytes]]:
        """The next frames: (opcode, payload)."""
        found: list[tuple[int, bytes]] = []
        while len(found) < count:
            size = self._frame_size()
            if size is None:
                data = self.socket.recv(65536)
                assert data, f"the end, after {found}"
                self.received += data
                continue
            found += [(code, payload) for code, _, _, payload in frames_in(self.received[:size])]
            self.received = self.received[size:]
        return found

    def _frame_size(self) -> int | None:
        """Bytes of the first frame, None if it is not there in full."""
        data = self.received
        if len(data) < 2:
            return None
        length, at = data[1] & 127, 2
        if length >= 126:
            at = 4 if length == 126 else 10
            length = int.from_bytes(data[2:at], "big")
        return at + length if len(data) >= at + length else None

    def message(self) -> bytes:
        """The payload of the next frame."""
        return self.frames(1)[0][1]

    def ask(self, payload: str) -> bytes:
        """Send a text message, and return the next one."""
        return self.send(text(payload)).message()

    def rest(self) -> bytes:
        """All up to the end of the connection."""
        while data := self.socket.recv(65536):
            self.received += data
        return self.received

    def expect_close(self, close_code: int) -> None:
        """The next frame is a Close with that code; answer it, and wait for TCP's end."""
        [(opcode, payload)] = self.frames(1)
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, close_code)
        with contextlib.suppress(ConnectionError):  # who failed us listens no more
            self.send(goodbye(close_code))
            self.rest()

    def goodbye(self) -> None:
        """A closing handshake that we begin."""
        self.send(goodbye(1000))
        assert self.frames(1) == [(CLOSE, b"\x03\xe8")]
        assert self.rest() == b""

    def leave(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


class Hosted:
    """What serves.

    Attributes:
        server: the `Server`; ask it on its own thread only.
        address: where it listens.
    """

    server: Server
    address: Any

    def __init__(self, hosting: str, handler: object, options: dict[str, Any]) -> None:
        self._hosting = hosting
        self._serving = Serving(handler, "127.0.0.1", 0, **options)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._stop: Callable[[], object] = lambda: None
        self._wires: list[Wire] = []
        self._thread = threading.Thread(target=self._main, args=(handler, options), daemon=True)

    def connect(self) -> Wire:
        wire = Wire(self.address)
        self._wires.append(wire)
        return wire

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call something on the thread that serves, and return what it returned."""
        done, result = threading.Event(), []

        def call() -> None:
            try:
                result.append(function(*args))
            finally:
                done.set()

        self.server.loop.selector.call_threadsafe(call)
        assert done.wait(SECONDS)
        return result[0]

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until a condition of the serving thread holds."""
        assert self.call(self._watch, condition).wait(SECONDS), "the condition never held"

    def _watch(self, condition: Callable[[], object]) -> threading.Event:
        held = threading.Event()

        def look() -> None:
            if condition():
                held.set()
            else:
                self.server.loop.selector.call_later(0.02, look)

        look()
        return held

    def leave(self) -> None:
        """Close every client."""
        for wire in self._wires:
            wire.leave()

    def begin(self) -> None:
        self._thread.start()
        assert self._ready.wait(SECONDS)
        if self._error is not None:
            self._thread.join(SECONDS)
            raise self._error

    def end(self) -> None:
        """Stop serving, as on a signal, and wait for it."""
        if self._thread.is_alive():
            self._stop()
            self._thread.join(3 * SECONDS)
            assert not self._thread.is_alive(), "it does not stop"
        if self._error is not None:
            raise self._error

    def _main(self, handler: object, options: dict[str, Any]) -> None:
        try:
            if self._hosting == "alone":
                self._serve_alone(Server(handler, "127.0.0.1", 0, **options))
            else:
                run(self._serve_in_asyncio(), _loop_for(self._hosting))
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    def _serve_alone(self, server: Server) -> None:
        self._announce(server, server.loop.stop)
        server.loop.run()
        server.close()
        server.loop.close()

    async def _serve_in_asyncio(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with self._serving as serving:
            self._announce(serving.server, lambda: loop.call_soon_threadsafe(stopped.set))
            await stopped.wait()

    def _announce(self, server: Server, stop: Callable[[], object]) -> None:
        self.server, self._stop = server, stop
        self.address = server.addresses[0]
        self._ready.set()


def _loop_for(hosting: str) -> asyncio.AbstractEventLoop:
    if hosting == "uvloop":
        loop: asyncio.AbstractEventLoop = pytest.importorskip("uvloop").new_event_loop()
        return loop
    return new_event_loop() if hosting == "asyncio" else asyncio.SelectorEventLoop()


@contextlib.contextmanager
def hosted(hosting: str, handler: object, **options: Any) -> Iterator[Hosted]:
    """Serve a handler or an app under one of HOSTINGS, with short deadlines."""
    if hosting == "uvloop":
        pytest.importorskip("uvloop")
    serving = Hosted(hosting, handler, with_limits({"closing_seconds": 0.5, **options}))
    serving.begin()
    try:
        yield serving
    finally:
        serving.leave()
        serving.end()
