"""The server: listens, answers opening handshakes, and closes what is open when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from wsfast.drain import Drain
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
from wsfast.signals import on_signals
from wsfast.tlsconfig import TlsServer
from wsfast.tracing import traced_handler, traced_opener

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
        if isinstance(request, Request):
            request.tls = endpoint.tls
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
        tls: a `TlsServer`, or an `ssl.SSLContext`, for wss://; None for ws://.
        endpoint: `Endpoint` or a subclass that handles messages in C.
        tracers: objects with methods of `tracing.Tracer`, as `logs.AccessLog`.
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
        tls: TlsServer | ssl.SSLContext | None = None,
        limits: Limits = _DEFAULTS,
        proxy_protocol: bool = False,
        trusted_proxies: TrustedProxies | Collection[str] | str = (),
        endpoint: type[Endpoint] = Endpoint,
        tracers: Sequence[object] = (),
        **options: Any,
    ) -> None:
        format_subprotocols(subprotocols)  # raises now, not per request
        self.tls = None if tls is None else TlsServer.of(tls)
        if self.tls is not None and proxy_protocol:
            raise ValueError(
                "proxy_protocol and tls: a PROXY header stands in front of the TLS handshake, "
                "where it is not read; end TLS in the proxy, or let it forward the address"
            )
        self.loop = Loop() if loop is None else loop
        self._subprotocols = tuple(subprotocols)
        self._origins = OriginPolicy(origins)
        self.entrance = Entrance(
            limits, proxy_protocol=proxy_protocol, trusted_proxies=trusted_proxies
        )
        self._on_request: Callable[[Request], Refusal | None] | None = getattr(
            handler, "on_request", None
        )
        opener = traced_opener(lambda: _Opening(self), tracers)
        handler = traced_handler(handler, tracers)
        self.settings = Settings(
            self.loop,
            Role.SERVER,
            handler,
            opener,
            limits=limits,
            make_session=None if self.tls is None else self.tls.open_session,
            **options,
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
        self._drain: Drain | None = None

    @property
    def addresses(self) -> list[Any]:
        """What it listens on, as the socket module gives it."""
        return [listener.address for listener in self._listeners]

    @property
    def connections(self) -> int:
        """How many sockets are open, those in their opening handshake included."""
        return len(self.settings.endpoints)

    def stats(self) -> dict[str, int]:
        """What happened so far, and how it stands, for metrics.

        Returns:
            The counters of `Settings.stats` (accepted, messages_received, bytes_sent ...), and of
            now: connections, sockets that are listening, and 1 for draining.
        """
        return {
            **self.settings.stats,
            "connections": self.connections,
            "listening": len(self._listeners),
            "draining": int(self.draining),
        }

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

    def drain(self, **options: Any) -> Drain:
        """Stop listening and close every connection, without waiting for that.

        The drain lives on the loop's timers, so it works wherever the loop is hosted.

        Args:
            options: close_code, close_reason, connections_per_second, jitter, limit_seconds and
                on_done, as for `Drain`.

        Returns:
            The `Drain`, whose end_now() cuts what is left.

        Raises:
            RuntimeError: a drain is under way.
            ValueError: an option is out of its range.
        """
        if self.draining:
            raise RuntimeError("the server is draining already; Drain.end_now() ends that at once")
        self._drain = Drain(self.loop, self.settings.endpoints, **options)
        self.stop_listening()
        return self._drain

    @property
    def draining(self) -> bool:
        """Whether a drain is under way: a health check answers 503 then."""
        return self._drain is not None and not self._drain.done

    def end_now(self) -> None:
        """Let a drain that is under way cut what is left; without one nothing happens."""
        if self._drain is not None:
            self._drain.end_now()

    def close(
        self,
        close_code: int = CloseCode.GOING_AWAY,
        close_reason: str = "server shutdown",
        **options: Any,
    ) -> None:
        """Stop listening and close every connection, running the loop until all are gone.

        A connection whose peer does not answer is cut at its closing deadline. A drain that is
        under way goes on as it was begun.

        Args:
            close_code, close_reason, options: as for `drain`.
        """
        if not self.draining:
            self.drain(close_code=close_code, close_reason=close_reason, **options)
        drain = self._drain
        assert drain is not None
        self.loop.run_while(lambda: not drain.check(), drain.limit_seconds + 5)

    def run(
        self,
        *,
        on_ready: Callable[[], object] | None = None,
        on_stop: Callable[[], object] | None = None,
        **options: Any,
    ) -> None:
        """Serve until SIGINT or SIGTERM, then `close` and return; a second signal cuts at once.

        In the main thread only, as Python has it for signals.

        Args:
            on_ready: called once signals are handled.
            on_stop: called when the first of them came.
            options: as for `close`.
        """
        asked = False

        def end() -> None:
            nonlocal asked
            if not asked:
                asked = True
                self.loop.stop()
            else:
                self.end_now()

        with on_signals(self.loop, dict.fromkeys((signal.SIGINT, signal.SIGTERM), end)):
            if on_ready is not None:
                on_ready()
            self.loop.run()
            if on_stop is not None:
                on_stop()
            self.close(**options)


def serve(handler: object, host: str = "127.0.0.1", port: int = 8765, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM, then close every connection with 1001 and return.

    Args:
        handler, host, port: as for `Server`.
        options: further keyword arguments of `Server`.
    """
    server = Server(handler, host, port, **options)
    server.run()
    server.loop.close()
