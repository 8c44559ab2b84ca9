"""The server: listens, answers opening handshakes, and closes what is open when it ends."""

from __future__ import annotations

import collections
import contextlib
import inspect
import os
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wsfast.drain import Drain
from wsfast.endpoint import Endpoint
from wsfast.entrance import Entrance
from wsfast.errors import LocalProtocolError
from wsfast.forwarded import TrustedProxies
from wsfast.limits import Limits
from wsfast.listener import Listener
from wsfast.listening import adopt_sockets, listen
from wsfast.loop import Loop
from wsfast.opening import Opening, Outcome
from wsfast.rfc6455 import CloseCode, Role
from wsfast.settings import Settings
from wsfast.signals import on_signals
from wsfast.site import Origins, Route, site_of
from wsfast.tlsconfig import TlsServer
from wsfast.tracing import hears_ends, traced_handler, traced_opener

if TYPE_CHECKING:  # who has no coroutines does not pay for asyncio
    import asyncio

    from wsfast.tasks import Tasks

__all__ = ["Server", "serve"]

_DEFAULTS = Limits()


class Server:
    """A WebSocket server on a loop.

    Args:
        handler: any object; of on_open(ws), on_message(ws, message), on_close(ws, close_code,
            close_reason), on_ping(ws, payload), on_pong(ws, payload) and on_drain(ws) those that
            it has are called, for every path; on_connect_failed(ws, error) if an opening handshake
            was broken off rather than refused. on_upgrade(request), if it has it, returns None to
            accept, `wsfast.site.Accept`, or the answer: a `Refusal` or `Response`.
            Or an `App`, or any other `wsfast.site.Site`: it has routes, each with a handler.
        host, port: where to listen; port 0 takes a free one, see `addresses`.
        unix: path of a Unix domain socket to listen on instead.
        sockets: listening sockets to accept on in place of host, port and unix; the server's
            from now on. A Unix path that one of them is bound to stays when the server ends.
        loop: the `Loop` to live on, or None to make one.
        tasks: runs coroutine functions of handlers, where asyncio hosts; see wsfast.hosting.
        reuse_port: let other processes listen on the same port; the kernel shares connections out.
        backlog: connections that may wait to be accepted.
        subprotocols: those that the handler speaks, the preferred first (RFC 6455 section 1.9).
        origins: which pages may connect to the handler, as for `OriginPolicy`; None: those of the
            same origin, and whatever is no browser. "any" lets in every page: then any page on the
            web can use this server with the rights of whoever looks at it (section 10.2).
        proxy_protocol, trusted_proxies: which proxies say who comes, see `Entrance`.
        tls: a `TlsServer`, or an `ssl.SSLContext`, for wss://; None for ws://.
        endpoint: `Endpoint` or a subclass that handles messages in C.
        tracers: objects with methods of `tracing.Tracer`, as `logs.AccessLog`.
        limits: `Limits` of the server, and of all routes that do not say otherwise; None: those of
            the site, or the defaults.
        options: further keyword arguments of `Settings`, for routes that do not say otherwise.

    Raises:
        OSError: cannot listen there, or the host cannot be resolved.
        ValueError: the port, an origin or a proxy's network is none.
        LocalProtocolError: a subprotocol is no token, or comes twice; a route cannot be served.
        TypeError: an option is unknown, or belongs to the routes of a site.
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
        tasks: Tasks | None = None,
        reuse_port: bool = False,
        backlog: int = 4096,
        subprotocols: Sequence[str] = (),
        origins: Origins | None = None,
        tls: TlsServer | ssl.SSLContext | None = None,
        limits: Limits | None = None,
        proxy_protocol: bool = False,
        trusted_proxies: TrustedProxies | Collection[str] | str = (),
        endpoint: type[Endpoint] = Endpoint,
        tracers: Sequence[object] = (),
        **options: Any,
    ) -> None:
        self.site = site_of(handler, origins, subprotocols)
        self.site.check(asynchronous=tasks is not None)
        self.tls = None if tls is None else TlsServer.of(tls)
        self.loop = Loop() if loop is None else loop
        self._tasks = tasks
        self._tracers = tracers
        self._options = {"limits": _DEFAULTS, **self.site.options, **options}
        if limits is not None:
            self._options["limits"] = limits
        self._always = {"count_traffic": True} if hears_ends(tracers) else {}
        self.entrance = Entrance(
            self._options["limits"],
            proxy_protocol=proxy_protocol,
            trusted_proxies=trusted_proxies,
            secure=self.tls is not None,
        )
        self._lobby = _Lobby(getattr(handler, "on_connect_failed", None))
        opener = traced_opener(lambda: Opening(self), tracers)
        self.settings = Settings(
            self.loop,
            Role.SERVER,
            traced_handler(self._lobby, tracers),
            opener,
            make_session=None if self.tls is None else self.tls.open_session,
            preface=proxy_protocol,
            **self._options,
        )
        self._routes = {route: self._make_settings(route) for route in self.site.routes}
        self._listeners = [
            Listener(self.settings, listening, endpoint, self.entrance.gate)
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
            The counters of `Settings.stats` (accepted, messages_received, bytes_sent ...), summed
            over all routes; those of `Admission`, if `limits` say how many there may be; and of
            now: connections, sockets that are listening, and 1 for draining.
        """
        counted: collections.Counter[str] = collections.Counter()
        for each in self.all_settings:
            counted.update(each.stats)
        return {
            **counted,
            **self.entrance.counters,
            "connections": self.connections,
            "listening": len(self._listeners),
            "draining": int(self.draining),
        }

    @property
    def all_settings(self) -> list[Settings]:
        """Those of the opening handshake, and those of each route."""
        return [self.settings, *self._routes.values()]

    def settings_for(self, route: Route) -> Settings:
        """The settings of the open connections of a route."""
        settings = self._routes.get(route)
        if settings is None:  # it was added to the site after the server was made
            self.site.check(asynchronous=self._tasks is not None)
            settings = self._routes[route] = self._make_settings(route)
        return settings

    def _make_settings(self, route: Route) -> Settings:
        handler = route.handler
        options = {**self._options, **route.options, **self._always}
        options["endpoints"] = self.settings.endpoints
        if self._tasks is not None:
            seconds = getattr(options["limits"], "handler_seconds", None)  # Settings checks it
            handler = self._tasks.in_line(handler, seconds)
        handler = traced_handler(handler, self._tracers)
        return Settings(self.loop, Role.SERVER, handler, self.settings.opener, **options)

    def await_opening(
        self,
        endpoint: Endpoint,
        answer: Awaitable[Any],
        resume: Callable[[Endpoint, Outcome], None],
    ) -> None:
        """Await what an on_upgrade or a page returned; resume(endpoint, outcome) follows.

        Raises:
            LocalProtocolError: nobody is there who could.
        """
        if self._tasks is None:
            if inspect.iscoroutine(answer):
                answer.close()
            raise LocalProtocolError("an awaitable was returned, and asyncio does not host")
        self._lobby.waiting[endpoint] = self._tasks.answer(
            answer, lambda outcome: self._resume(endpoint, outcome, resume)
        )

    def _resume(
        self,
        endpoint: Endpoint,
        outcome: Outcome,
        resume: Callable[[Endpoint, Outcome], None],
    ) -> None:
        if self._lobby.waiting.pop(endpoint, None) is not None:
            resume(endpoint, outcome)

    def cancel_openings(self) -> None:
        """Cancel what is awaited for clients that wait for the answer to their request."""
        for task in self._lobby.waiting.values():
            task.cancel()

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
        """Whether a drain is under way: pages answer 503 then."""
        return self._drain is not None and not self._drain.done

    def end_now(self) -> None:
        """Let a drain that is under way cut what is left; without one nothing happens."""
        if self._drain is not None:
            self._drain.end_now()

    def drain_once(
        self,
        close_code: int = CloseCode.GOING_AWAY,
        close_reason: str = "server shutdown",
        **options: Any,
    ) -> Drain:
        """`drain`, or the drain that is under way, which goes on as it was begun."""
        if self._drain is not None and not self._drain.done:
            return self._drain
        return self.drain(close_code=close_code, close_reason=close_reason, **options)

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
        drain = self.drain_once(close_code, close_reason, **options)
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


class _Lobby:
    """The handler of connections that are not open yet.

    Attributes:
        waiting: what runs for those whose on_upgrade, or page, is awaited.
    """

    def __init__(self, on_connect_failed: Callable[[Endpoint, Exception], object] | None) -> None:
        self.waiting: dict[Endpoint, asyncio.Task[Any]] = {}
        self._on_connect_failed = on_connect_failed

    def on_connect_failed(self, ws: Endpoint, error: Exception) -> None:
        """The client left, or the deadline passed: nobody waits for an answer any more."""
        task = self.waiting.pop(ws, None)
        if task is not None:
            task.cancel()
        if self._on_connect_failed is not None:
            self._on_connect_failed(ws, error)


def serve(handler: object, host: str = "127.0.0.1", port: int = 8765, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM, then close every connection with 1001 and return.

    Args:
        handler, host, port: as for `Server`.
        options: further keyword arguments of `Server`.
    """
    server = Server(handler, host, port, **options)
    server.run()
    server.loop.close()
