"""What a server answers, by path: WebSocket routes and plain pages.

A site knows no socket and no loop: the same one may be served by several servers at a time.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from wsfast.auth import Authenticated
from wsfast.coroutines import is_asynchronous
from wsfast.errors import LocalProtocolError
from wsfast.handshake import Refusal, Request
from wsfast.headers import HeadersLike, format_cookies, format_subprotocols, pairs
from wsfast.origin import OriginPolicy
from wsfast.response import Response
from wsfast.routing import Routes

__all__ = [
    "CALLBACKS",
    "Accept",
    "Found",
    "Origins",
    "Resource",
    "Route",
    "Site",
    "coroutines_of",
    "site_of",
]

#: The methods of a handler that are called once its connection is open.
CALLBACKS = ("on_open", "on_message", "on_ping", "on_pong", "on_drain", "on_close")

#: Which pages may open a connection; see `OriginPolicy`.
Origins = Collection[str | None] | str

_F = TypeVar("_F", bound=Callable[..., Any])
_H = TypeVar("_H")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """An on_upgrade that accepts, and has something to say about it.

    Attributes:
        headers: further headers of the 101.
        cookies: set for this origin until the browser is closed, out of reach for scripts:
            `Path=/; HttpOnly; SameSite=Lax`. For other attributes write Set-Cookie into `headers`.
        subprotocol: one of those that the client offers; None: the first of the route's that it
            offers.
        state: what `ws.state` is from the beginning, for who the client turned out to be.

    Raises:
        LocalProtocolError: a cookie cannot be sent.
    """

    headers: HeadersLike = ()
    cookies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    subprotocol: str | None = None
    state: object = None

    def __post_init__(self) -> None:
        format_cookies(self.cookies)

    @property
    def header_lines(self) -> list[tuple[str, str]]:
        """The headers, those of the cookies included."""
        lines = pairs(self.headers)
        for name, value in self.cookies.items():
            lines.append(("Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax"))
        return lines


#: What on_upgrade returns: None accepts.
Verdict = Accept | Refusal | Response | None


class Route:
    """A path where WebSockets are accepted, and what becomes of them.

    Args:
        path: as in wsfast.routing.
        origins: which pages may connect, see `OriginPolicy`.
        subprotocols: those that it speaks, the preferred first (RFC 6455 section 1.9).
        on_upgrade: called with the `Request` before the 101, in place of a handler's own.
        default_on_upgrade: the same, if neither route nor handler has one.
        options: `limits` and further keyword arguments of `Settings`.

    Raises:
        ValueError, TypeError: an origin is none.
        LocalProtocolError: a subprotocol is no token, or comes twice.
    """

    def __init__(
        self,
        path: str,
        *,
        origins: Origins,
        subprotocols: Sequence[str] = (),
        on_upgrade: Callable[[Request], Any] | None = None,
        default_on_upgrade: Callable[[Request], Any] | None = None,
        **options: Any,
    ) -> None:
        format_subprotocols(subprotocols)
        self.path = path
        self.origins = OriginPolicy(origins)
        self.subprotocols = tuple(subprotocols)
        self.options = options
        self.handler: object = types.SimpleNamespace()
        self._on_upgrade = on_upgrade
        self._default = default_on_upgrade

    def __call__(self, handler: _H) -> _H:
        """Take a handler class, or a function that is on_message, as a decorator; returns it.

        A class is instantiated without arguments, once for the route: what belongs to one
        connection goes into `ws.state`.

        Raises:
            TypeError: there is nothing in it to call, or the route has a handler.
        """
        if inspect.isroutine(handler):
            self._set("on_message", handler)
        else:
            self.take(handler() if inspect.isclass(handler) else handler)
        return handler

    def take(self, handler: object) -> None:
        """Take an object for the handler; raises as `__call__` does."""
        if self.has_handler:
            raise TypeError(f"route {self.path} has a handler already")
        if not any(hasattr(handler, name) for name in (*CALLBACKS, "on_upgrade")):
            raise TypeError(f"{handler!r} is no handler: it has none of {', '.join(CALLBACKS)}")
        self.handler = handler

    @property
    def has_handler(self) -> bool:
        """Whether there is anything to be called."""
        return not isinstance(self.handler, types.SimpleNamespace) or bool(vars(self.handler))

    @property
    def upgrade(self) -> Callable[[Request], Any] | None:
        """The on_upgrade of the route, or else of its handler, or else the default."""
        return self._on_upgrade or getattr(self.handler, "on_upgrade", self._default)

    @property
    def coroutines(self) -> list[str]:
        """Which of the callbacks are coroutine functions, by name."""
        names = coroutines_of(self.handler)
        return [*names, "on_upgrade"] if is_asynchronous(self.upgrade) else names

    def choose_subprotocol(self, request: Request) -> str | None:
        """The first of ours that the client offered, or None."""
        if not self.subprotocols:
            return None
        offered = request.subprotocols
        return next((name for name in self.subprotocols if name in offered), None)

    def _set(self, name: str, function: Any) -> None:
        if not isinstance(self.handler, types.SimpleNamespace):
            raise TypeError(f"route {self.path} has a handler already: {name} belongs there")
        if hasattr(self.handler, name):
            raise TypeError(f"route {self.path} has its {name} already")
        setattr(self.handler, name, function)

    def on_open(self, function: _F) -> _F:
        """Decorate f(ws): the connection is open."""
        self._set("on_open", function)
        return function

    def on_message(self, function: _F) -> _F:
        """Decorate f(ws, message): a message came, str for text, bytes for binary."""
        self._set("on_message", function)
        return function

    def on_ping(self, function: _F) -> _F:
        """Decorate f(ws, payload): a ping came, and is answered."""
        self._set("on_ping", function)
        return function

    def on_pong(self, function: _F) -> _F:
        """Decorate f(ws, payload): a pong came."""
        self._set("on_pong", function)
        return function

    def on_drain(self, function: _F) -> _F:
        """Decorate f(ws): what was queued beyond the high-water mark has left."""
        self._set("on_drain", function)
        return function

    def on_close(self, function: _F) -> _F:
        """Decorate f(ws, close_code, close_reason): the connection ended; comes once."""
        self._set("on_close", function)
        return function

    def on_upgrade(self, function: _F) -> _F:
        """Decorate f(request): None or `Accept` lets the client in, others are its answer."""
        if self.upgrade is not self._default:
            raise TypeError(f"route {self.path} has its on_upgrade already")
        self._on_upgrade = function
        return function


@dataclasses.dataclass(slots=True)
class Resource:
    """What stands at one path.

    Attributes:
        route: for WebSockets, or None.
        page: for plain requests, called with the `Request`, or None.
        while_draining: the page is answered also by a server that ends, and not with 503.
    """

    route: Route | None = None
    page: Callable[[Request], Any] | None = None
    while_draining: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it answers."""
        return ("GET",) if self.page is None else ("GET", "HEAD")


#: What stands at the path of a request, and its parameters as (name, value, name ...).
Found = tuple[Resource, tuple[str | int, ...]]


class Site:
    """Routes and pages by path.

    Args:
        fallback: the route of every path, for a server with one handler.
        options: `limits` and further keyword arguments of `Settings`, for the opening handshakes
            and for all routes that do not say otherwise.
    """

    def __init__(self, fallback: Route | None = None, **options: Any) -> None:
        self.options = options
        self._paths: Routes[Resource] = Routes()
        self._resources: list[Resource] = []
        self._fallback: Found | None = None
        if fallback is not None:
            self._resources.append(Resource(fallback))
            self._fallback = self._resources[0], ()

    def add_route(self, route: Route) -> None:
        """Add a route.

        Raises:
            ValueError: its path is malformed, ambiguous or taken.
        """
        resource = self._resource(route.path)
        if resource.route is not None:
            raise ValueError(f"path {route.path!r} has its WebSocket route already")
        resource.route = route

    def add_page(
        self, path: str, page: Callable[[Request], Any], *, while_draining: bool = False
    ) -> None:
        """Add a page, see `Resource`; raises as `add_route` does."""
        resource = self._resource(path)
        if resource.page is not None:
            raise ValueError(f"path {path!r} has its page already")
        resource.page = page
        resource.while_draining = while_draining

    def _resource(self, path: str) -> Resource:
        resource = self._paths.get(path)
        if resource is None:
            resource = Resource()
            self._paths.add(path, resource)
            self._resources.append(resource)
        return resource

    @property
    def routes(self) -> Iterator[Route]:
        """All routes."""
        return (each.route for each in self._resources if each.route is not None)

    def find(self, path: str) -> Found | None:
        """What stands at the path of a request, percent-encoded as it came."""
        return self._fallback or self._paths.find(path)

    @property
    def coroutines(self) -> Iterator[str]:
        """What is a coroutine function, for a reader: "on_open of route /chat", "page health"."""
        for resource in self._resources:
            if resource.route is not None and resource.route.coroutines:
                yield f"{', '.join(resource.route.coroutines)} of route {resource.route.path}"
            if is_asynchronous(resource.page):
                name = getattr(resource.page, "__qualname__", repr(resource.page))
                yield f"page {name}"

    def check(self, *, asynchronous: bool) -> None:
        """Check before it is served that it can be.

        Args:
            asynchronous: whether an asyncio loop hosts it.

        Raises:
            LocalProtocolError: a route has no handler, or something is `async def` and nobody is
                there to run it.
        """
        for route in self.routes:
            if self._fallback is None and not route.has_handler:
                raise LocalProtocolError(f"route {route.path} has no handler")
        what = None if asynchronous else next(self.coroutines, None)
        if what is not None:
            raise LocalProtocolError(
                f"{what}: async def needs asyncio to host the server: "
                'run(hosting="asyncio"), or serving() inside a running loop'
            )


def coroutines_of(handler: object) -> list[str]:
    """Which methods of a handler are coroutine functions, by name, and `verify` before it."""
    names = []
    while isinstance(handler, Authenticated):
        names += ["verify"] * handler.asynchronous
        handler = handler.handler
    callbacks = (*CALLBACKS, "on_authenticated")
    return names + [name for name in callbacks if is_asynchronous(getattr(handler, name, None))]


def site_of(
    handler: object, origins: Origins | None = None, subprotocols: Sequence[str] = ()
) -> Site:
    """A site as it is; any other handler as the one of every path.

    Args:
        handler: as for `Server`.
        origins, subprotocols: of the handler; None: the same origin, and whatever is no browser.

    Raises:
        TypeError: a site has routes that have their own.
    """
    if isinstance(handler, Site):
        if origins is not None or subprotocols:
            raise TypeError("origins and subprotocols are those of the site's routes")
        return handler
    route = Route(
        "/{path:path}",
        origins=("same", None) if origins is None else origins,
        subprotocols=subprotocols,
    )
    route.handler = handler
    return Site(route)
