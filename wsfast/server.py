"""The server: listens, answers opening handshakes, and closes what is open when it ends."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any

from wsfast.callback import CallbackStream
from wsfast.endpoint import Endpoint
from wsfast.entrance import Arrival, Entrance
from wsfast.errors import ConnectFailed
from wsfast.forwarded import TrustedProxies
from wsfast.handshake import Refusal, Request, ServerHandshake
from wsfast.headers import format_subprotocols
from wsfast.limits import Limits
from wsfast.listener import Listener
from wsfast.listening import adopt_sockets, listen
from wsfast.loop import Loop
from wsfast.origin import OriginPolicy
from wsfast.proxy import ProxyFault
from wsfast.rfc6455 import CloseCode, Role
from wsfast.settings import Settings

__all__ = ["Server", "serve"]

_DEFAULTS = Limits()


class _Opening:
    """The opening handshake of one accepted connection."""

    __slots__ = ("_arrival", "_handshake", "_server")

    def __init__(self, server: Server) -> None:
        self._arrival: Arrival | None = None
        self._handshake = ServerHandshake(
            max_head_bytes=server.settings.limits.max_head_bytes,
            max_headers=server.settings.limits.max_headers,
        )
        self._server = server

    def receive(self, endpoint: Endpoint, data: bytes) -> None:
        if self._arrival is None:
            self._arrival = self._server.entrance.arrive(endpoint.remote_address)
        passed = self._arrival.receive(data)
        if isinstance(passed, ProxyFault):
            endpoint.fail(ConnectFailed(passed.reason))
            return
        request = None if passed is None else self._handshake.receive(passed)
        if request is None:
            return
        try:
            refusal = request if isinstance(request, Refusal) else None
            if isinstance(request, Request):
                refusal = self._arrival.admit(request, endpoint.at_close)
                refusal = refusal or self._server.judge(request)
        except Exception:
            endpoint.refuse(Refusal(500, "the request could not be judged").response)
            raise  # the endpoint logs it
        if refusal is not None:
            endpoint.refuse(refusal.response)
            return
        assert isinstance(request, Request)
        subprotocol = self._server.choose_subprotocol(request)
        endpoint.write(self._handshake.accept(request, subprotocol=subprotocol))
        endpoint.open(request, self._handshake.trailing, subprotocol)

    def receive_eof(self, endpoint: Endpoint) -> None:
        """Half a request and the end: there is nobody to answer."""


class Server:
    """A WebSocket server on a loop.

    Args:
        handler: any object; of on_open(ws), on_message(ws, message), on_close(ws, close_code,
            close_reason), on_ping(ws, payload), on_pong(ws, payload) and on_drain(ws) those that
            it has are called; on_connect_failed(ws, error) if an opening handshake was broken off
            rather than refused. on_request(request), if it has it, returns None to accept, or a
            `wsfast.handshake.Refusal`.
        host, port: where to listen; port 0 takes a free one, see `addresses`.
        unix: path of a Unix domain socket to listen on instead.
        sockets: listening sockets to accept on in place of host, port and unix; the server's
            from now on. A Unix path that one of them is bound to stays when the server ends.
        loop: the `Loop` to live on, or None to make one.
        reuse_port: let other processes listen on the same port; the kernel shares connections out.
        backlog: connections that may wait to be accepted.
        subprotocols: those that we speak, the preferred first (RFC 6455 section 1.9).
        origins: which pages may connect, as for `OriginPolicy`; the default lets in those of the
            same origin, and whatever is no browser. "any" lets in every page: then any page on the
            web can use this server with the rights of whoever looks at it (section 10.2).
        proxy_protocol, trusted_proxies: which proxies say who comes, see `Entrance`.
        endpoint: `Endpoint` or a subclass that handles messages in C.
        limits: `Limits` of the server and its connections.
        options: further keyword arguments of `Settings`.

    Raises:
        OSError: cannot listen there, or the host cannot be resolved.
        ValueError: the port, an origin or a proxy's network is none.
        LocalProtocolError: a subprotocol is no token, or comes twice.
        TypeError: an option is unknown, or `subprotocols` is a str and no list of names.
    """

    def __init__(
        self,
        handler: object,
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        unix: str | None = None,
        sockets: Iterable[socket.socket] | None = None,
        loop: Loop | None = None,
        reuse_port: bool = False,
        backlog: int = 4096,
        subprotocols: Sequence[str] = (),
        origins: Collection[str | None] | str = ("same", None),
        limits: Limits = _DEFAULTS,
        proxy_protocol: bool = False,
        trusted_proxies: TrustedProxies | Collection[str] | str = (),
        endpoint: type[Endpoint] = Endpoint,
        **options: Any,
    ) -> None:
        format_subprotocols(subprotocols)  # raises now, not per request
        self.loop = Loop() if loop is None else loop
        self._subprotocols = tuple(subprotocols)
        self._origins = OriginPolicy(origins)
        self.entrance = Entrance(
            limits, proxy_protocol=proxy_protocol, trusted_proxies=trusted_proxies
        )
        self._on_request: Callable[[Request], Refusal | None] | None = getattr(
            handler, "on_request", None
        )
        self.settings = Settings(
            self.loop, Role.SERVER, handler, lambda: _Opening(self), limits=limits, **options
        )
        self._listeners = [
            Listener(self.settings, listening, endpoint)
            for listening in (
                listen(host, port, unix=unix, reuse_port=reuse_port, backlog=backlog)
                if sockets is None
                else adopt_sockets(sockets)
            )
        ]
        self._unix = unix if sockets is None else None

    @property
    def addresses(self) -> list[Any]:
        """What it listens on, as the socket module gives it."""
        return [listener.address for listener in self._listeners]

    @property
    def connections(self) -> int:
        """How many sockets are open, those in their opening handshake included."""
        return len(self.settings.endpoints)

    def judge(self, request: Request) -> Refusal | None:
        """Decide on a request that RFC 6455 allows: None accepts it."""
        refusal = self._origins.check(request)
        if refusal is None and self._on_request is not None:
            refusal = self._on_request(request)
        return refusal

    def choose_subprotocol(self, request: Request) -> str | None:
        """The first of ours that the client offered, or None."""
        if not self._subprotocols:
            return None
        offered = request.subprotocols
        return next((name for name in self._subprotocols if name in offered), None)

    def stop_listening(self) -> None:
        """Accept nothing more; what is open stays open."""
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        if self._unix is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._unix)
            self._unix = None

    def close(
        self, close_code: int = CloseCode.GOING_AWAY, close_reason: str = "server shutdown"
    ) -> None:
        """Stop listening and close every connection, running the loop until all are gone.

        A connection whose peer does not answer is cut at its closing deadline.
        """
        self.stop_listening()
        endpoints = self.settings.endpoints
        for endpoint in list(endpoints):
            endpoint.close(close_code, close_reason)
        self.loop.run_while(lambda: endpoints, self.settings.limits.closing_seconds + 5)
        for endpoint in list(endpoints):
            endpoint.disconnect()


def serve(handler: object, host: str = "127.0.0.1", port: int = 8765, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM, then close every connection with 1001 and return.

    Args:
        handler, host, port: as for `Server`.
        options: further keyword arguments of `Server`.
    """
    server = Server(handler, host, port, **options)
    with stop_on_signal(server.loop):
        server.loop.run()
        server.close()
    server.loop.close()


@contextlib.contextmanager
def stop_on_signal(loop: Loop) -> Iterator[None]:
    """Let SIGINT and SIGTERM stop the loop. In the main thread only, as Python has it.

    A signal that comes between the check for signals and the system call that waits would be seen
    only after the wait: so the interpreter also writes to a socket that the loop watches.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        loop.stop()

    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    watcher = CallbackStream(
        loop.selector, reader.fileno(), selectors.EVENT_READ, lambda events: reader.recv(4096)
    )
    previous_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_wakeup)
        watcher.remove()
        reader.close()
        writer.close()
