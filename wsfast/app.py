"""An application: WebSocket routes and plain pages, and the three ways to serve them.

    app = App(origins=["https://example.com"])

    @app.websocket("/chat/{room}")
    class Chat:
        def on_open(self, ws):
            ws.send("welcome to " + ws.path_params["room"])

        def on_message(self, ws, message):
            ws.send(message)

    @app.get("/healthz")
    def healthz(request):
        return "ok"

    app.run(host="0.0.0.0", port=8765)

Plain functions do as well: `@app.websocket(path)` on a function makes it the route's on_message,
and without a decorator it returns the route, whose `on_open`, `on_message`, `on_close` ... are
decorators themselves:

    chat = app.websocket("/chat/{room}")

    @chat.on_message
    def message(ws, message): ...

A handler class is instantiated once for its route: what belongs to one connection goes into
`ws.state`, so an idle connection costs no object.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from wsfast.handshake import Request
from wsfast.hosting import Serving
from wsfast.limits import Limits
from wsfast.origin import OriginPolicy
from wsfast.running import Running
from wsfast.runoptions import LIMITS, RunOptions
from wsfast.site import Accept, Origins, Route, Site

__all__ = ["Accept", "App"]

_P = TypeVar("_P", bound=Callable[[Request], Any])

_DEFAULTS = Limits()

_log = logging.getLogger("wsfast")


class App(Site):
    """Routes and pages, with what holds for all of them.

    Args:
        origins: which pages may connect, for every route that does not say otherwise; see
            `OriginPolicy`. It has no default.
        on_upgrade: called before the 101 on every route that has none of its own.
        subprotocols: those that routes speak which do not say otherwise.
        limits: `Limits` of opening handshakes, and of all routes that do not say otherwise.
        options: further keyword arguments of `Settings` for all routes.

    Raises:
        TypeError: `origins` is missing.
        ValueError: an origin is none.
    """

    def __init__(
        self,
        *,
        origins: Origins | None = None,
        on_upgrade: Callable[[Request], Any] | None = None,
        subprotocols: Sequence[str] = (),
        limits: Limits = _DEFAULTS,
        **options: Any,
    ) -> None:
        super().__init__(limits=limits, **options)
        if origins is None:
            raise TypeError(
                'App() needs origins: a list such as ["https://example.com"], "same" or "any". '
                "Browsers let any page open a WebSocket to any server and send its cookies along, "
                "so a server that does not check the Origin is at the service of every page that "
                "a user looks at (RFC 6455 section 10.2): servers that left it out became remote "
                "code execution"
            )
        OriginPolicy(origins)
        self._origins = origins
        self._on_upgrade = on_upgrade
        self._subprotocols = subprotocols

    def websocket(
        self,
        path: str,
        *,
        origins: Origins | None = None,
        subprotocols: Sequence[str] | None = None,
        on_upgrade: Callable[[Request], Any] | None = None,
        **options: Any,
    ) -> Route:
        """Accept WebSockets at a path; decorates a handler class or function, see `Route`.

        Args:
            path: as in wsfast.routing: "/chat/{room}", "/item/{id:int}", "/files/{rest:path}".
            origins, subprotocols, on_upgrade: in place of those of the app.
            options: `limits` and further arguments of `Settings`, in place of those of the app.

        Raises:
            ValueError: the path is malformed, ambiguous or taken, or an origin is none.
            LocalProtocolError: a subprotocol is no token, or comes twice.
        """
        route = Route(
            path,
            origins=self._origins if origins is None else origins,
            subprotocols=self._subprotocols if subprotocols is None else subprotocols,
            on_upgrade=on_upgrade,
            default_on_upgrade=self._on_upgrade,
            **options,
        )
        self.add_route(route)
        return route

    def get(self, path: str, *, while_draining: bool = False) -> Callable[[_P], _P]:
        """Answer GET and HEAD at a path: decorates f(request), which returns str, bytes or a
        `Response`, or a `Refusal`.

        Args:
            path: as in wsfast.routing.
            while_draining: call it also when the server ends; else the answer is 503 then, with
                Retry-After, so that a health check sees it.

        Raises:
            ValueError: the path is malformed, ambiguous or taken.
        """

        def decorate(page: _P) -> _P:
            self.add_page(path, page, while_draining=while_draining)
            return page

        return decorate

    def run(self, host: str = "127.0.0.1", port: int = 8765, **options: Any) -> None:
        """Serve until SIGINT or SIGTERM, then close every connection with 1001 and return.

        In the main thread only, as Python has it for signals. With workers each of them is forked
        from this process as it stands, so a restart (SIGHUP) brings no new code: wsfast-serve,
        which takes the same options, loads the application anew.

        Args:
            host, port: where to listen.
            options: further fields of `RunOptions`: hosting, workers, unix, tls, drain_rate ...;
                and of `Limits`, each in place of what the app has.

        Raises:
            TypeError, ValueError: there is no such option, or its value is out of its range.
            OSError: cannot listen there.
            LocalProtocolError: a route has no handler, or coroutine functions are to run alone.
            RuntimeError: workers died again and again, which the log says more about.
        """
        limits = {name: options.pop(name) for name in LIMITS & options.keys()}
        named = {field.name for field in dataclasses.fields(RunOptions)} - {"limits"}
        for name in options.keys() - named:
            limits[name] = options.pop(name)  # what is none is named there
        chosen = RunOptions(host=host, port=port, **options, limits=limits)
        dataclasses.replace(self.options["limits"], **limits)  # raises for what cannot be
        running = Running(lambda: self, chosen, _announce)
        self.check(asynchronous=running.hosting(self) != "alone")  # workers would say it too late
        if running.run():
            raise RuntimeError("the workers died again and again; the log says how")

    def serving(self, host: str = "127.0.0.1", port: int = 8765, **options: Any) -> Serving:
        """For a running asyncio or uvloop loop: `async with app.serving(host, port):`.

        Args:
            host, port: where to listen; port 0 takes a free one, see `Serving.addresses`.
            options: unix, and further keyword arguments of `Server`.
        """
        return Serving(self, host, port, **options)


def _announce(urls: str) -> None:
    _log.info("listening on %s", urls)
