"""A worker process as it sees itself: what it serves on, and what its supervisor tells it.

Between the two is a socket pair. The worker says that it is ready and, where somebody asks for
figures, once a second what it has counted; the supervisor says how to end, and if it is gone
itself, however that came, the worker sees the end of the stream and ends, too.
"""

from __future__ import annotations

import contextlib
import enum
import json
import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

from wsfast.callback import CallbackStream
from wsfast.rfc6455 import CloseCode
from wsfast.selector import Timer
from wsfast.server import Server
from wsfast.signals import on_signals

__all__ = ["READY", "Order", "Worker"]

#: What a worker says, once. Figures are lines of JSON behind it.
READY = b"R"

_REPORT_SECONDS = 1.0


class Order(enum.Enum):
    """What a supervisor says; the end of its stream means STOP."""

    STOP = b"S"  # drain, then end: everything stops
    RESTART = b"N"  # the same, with 1012: a new worker has taken over
    CUT = b"C"  # do not wait any longer


class Worker:
    """What the callable of a `Supervisor` is given in each worker process.

    Args:
        number: of its place, from 0; whoever replaces it has the same.
        sockets: what to listen on; the worker's own from now on.
        control: its end of the socket pair, non-blocking.
        reporting: tell `Server.stats` once a second, and at the end.
    """

    def __init__(
        self,
        number: int,
        sockets: list[socket.socket],
        control: socket.socket,
        *,
        reporting: bool = False,
    ) -> None:
        self.number = number
        self.sockets = sockets
        self._control = control
        self._orders: list[Order] = []
        self._reporting = reporting
        self._unsent = b""

    def ready(self) -> None:
        """Tell the supervisor that connections are accepted. `serve` does it."""
        with contextlib.suppress(OSError):  # it is gone: reading will say so
            self._control.send(READY)

    def report(self, server: Server) -> None:
        """Tell the supervisor what a server has counted. `obeying` does it, if it is asked for."""
        if not self._unsent:  # else it does not read; what it gets then is older, and complete
            self._unsent = json.dumps(server.stats()).encode() + b"\n"
        with contextlib.suppress(OSError):
            self._unsent = self._unsent[self._control.send(self._unsent) :]

    def serve(self, server: Server, **drain: Any) -> None:
        """Serve until the supervisor says otherwise or is gone, or until SIGTERM; then drain.

        Args:
            server: on `sockets`, on a loop of its own.
            drain: as for `Server.drain`; close_code and close_reason hold unless it is a restart,
                which says 1012, "service restart".
        """

        loop = server.loop
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one is no failure, nor a late one
        with self.obeying(server, loop.stop) as stop, on_signals(loop, {signal.SIGTERM: stop}):
            self.ready()
            loop.run()
            server.close(**self.how_to_close(drain))

    @contextlib.contextmanager
    def obeying(self, server: Server, end: Callable[[], object]) -> Iterator[Callable[[], None]]:
        """Listen to the supervisor, on the server's loop: for who runs that loop himself.

        Args:
            server: what is cut if the supervisor says so.
            end: called once, with the first order: time to drain as `how_to_close` says.

        Returns:
            A context manager; what it gives is called for SIGTERM, and counts as STOP.
        """

        def take(orders: list[Order]) -> None:
            if not self._orders:
                end()
            self._orders += orders
            if Order.CUT in self._orders:
                server.end_now()

        def obey(events: int) -> None:
            said = self._listen()
            if not said:
                control.remove()
            take(said or [Order.STOP])

        control = CallbackStream(
            server.loop.selector, self._control.fileno(), selectors.EVENT_READ, obey
        )
        with self._reports(server):
            try:
                yield lambda: take([Order.STOP])
            finally:
                control.remove()

    @contextlib.contextmanager
    def _reports(self, server: Server) -> Iterator[None]:
        """Report once a second, and when all is over."""
        if not self._reporting:
            yield
            return

        timers: list[Timer] = []

        def tell() -> None:
            self.report(server)
            timers[:] = [server.loop.selector.call_later(_REPORT_SECONDS, tell)]

        timers.append(server.loop.selector.call_later(0, tell))  # behind READY
        try:
            yield
        finally:
            timers[0].cancel()
            self.report(server)

    def _listen(self) -> list[Order]:
        """What the supervisor said; nothing if it is gone."""
        try:
            return [Order(bytes([each])) for each in self._control.recv(64)]
        except OSError:
            return []

    def how_to_close(self, drain: dict[str, Any]) -> dict[str, Any]:
        """The options of the drain, as they were ordered.

        Args:
            drain: as for `serve`.
        """
        if self._orders[:1] == [Order.RESTART]:
            code = CloseCode.SERVICE_RESTART
            drain = {**drain, "close_code": code, "close_reason": "service restart"}
        return {**drain, "limit_seconds": 0} if Order.CUT in self._orders else drain
