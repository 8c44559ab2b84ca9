"""A worker process as it sees itself: what it serves on, and what its supervisor tells it.

Between the two is a socket pair. The worker says that it is ready; the supervisor says how to end,
and if it is gone itself, however that came, the worker sees the end of the stream and ends, too.
"""

from __future__ import annotations

import contextlib
import enum
import selectors
import signal
import socket
from collections.abc import Iterable
from typing import Any

from wsfast.callback import CallbackStream
from wsfast.rfc6455 import CloseCode
from wsfast.server import Server
from wsfast.signals import on_signals

__all__ = ["READY", "Order", "Worker"]

#: What a worker says, once.
READY = b"R"


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
    """

    def __init__(self, number: int, sockets: list[socket.socket], control: socket.socket) -> None:
        self.number = number
        self.sockets = sockets
        self._control = control
        self._orders: list[Order] = []

    def ready(self) -> None:
        """Tell the supervisor that connections are accepted. `serve` does it."""
        with contextlib.suppress(OSError):  # it is gone: reading will say so
            self._control.send(READY)

    def serve(self, server: Server, **drain: Any) -> None:
        """Serve until the supervisor says otherwise or is gone, or until SIGTERM; then drain.

        Args:
            server: on `sockets`, on a loop of its own.
            drain: as for `Server.drain`; close_code and close_reason hold unless it is a restart,
                which says 1012, "service restart".
        """

        def obey(events: int) -> None:
            said = self._listen()
            if not said:
                control.remove()
            self._take(said or [Order.STOP], server)

        loop = server.loop
        control = CallbackStream(loop.selector, self._control.fileno(), selectors.EVENT_READ, obey)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one is no failure, nor a late one
        with on_signals(loop, {signal.SIGTERM: lambda: self._take([Order.STOP], server)}):
            self.ready()
            loop.run()
            server.close(**self._how_to_close(drain))
        control.remove()

    def _listen(self) -> list[Order]:
        """What the supervisor said; nothing if it is gone."""
        try:
            return [Order(bytes([each])) for each in self._control.recv(64)]
        except OSError:
            return []

    def _take(self, orders: Iterable[Order], server: Server) -> None:
        """The first order ends the loop; a later CUT whatever is left."""
        if not self._orders:
            server.loop.stop()
        self._orders += orders
        if Order.CUT in self._orders:
            server.end_now()

    def _how_to_close(self, drain: dict[str, Any]) -> dict[str, Any]:
        """The options of the drain, as they were ordered."""
        if self._orders[:1] == [Order.RESTART]:
            code = CloseCode.SERVICE_RESTART
            drain = {**drain, "close_code": code, "close_reason": "service restart"}
        return {**drain, "limit_seconds": 0} if Order.CUT in self._orders else drain
