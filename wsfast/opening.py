"""What is asked for on one accepted connection, until it is a WebSocket or ends.

The order in which a request is judged: the PROXY header in front of it, if one is demanded; its
head (400, 431, 505); whether there is room (429, 503); its path and method (404, 405), and a plain
page if that is what stands there (503 while the server drains); for a WebSocket what RFC 6455
section 4.2.1 demands (400, 426, 505), the Origin (403), and on_upgrade last, so that no code of
the application runs for a request that was never going to be accepted.

After a page the connection is kept for another request, a plain one or one for a WebSocket, unless
the client does not want that or cannot know it (`ServerHandshake.may_continue`). A refusal ends
it. Each request is judged anew, and so is whether there is room for it: behind a proxy the next
one may be of somebody else. Requests that come in one go are answered one after the other, up to
16, and only as long as the client takes the answers.

An on_upgrade or a page may be a coroutine function. While it runs, the deadline of the opening
holds, bytes of a client that does not wait for the 101 are kept, up to 64 KiB before reading
pauses, and a client that leaves cancels it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from wsfast.drain import SHUTTING_DOWN
from wsfast.endpoint import Endpoint
from wsfast.entrance import Arrival, Entrance
from wsfast.errors import ConnectFailed, LocalProtocolError
from wsfast.handshake import Refusal, Request, ServerHandshake
from wsfast.headers import Headers, show
from wsfast.response import Response, dated, response_for
from wsfast.settings import Settings
from wsfast.site import Accept, Resource, Route, Site

__all__ = ["Opening", "Outcome", "Reception"]

_MAX_EARLY_BYTES = 64 * 1024
_MOST_IN_ONE_GO = 16
_EMPTY_LINE = b"\r\n\r\n"


class Outcome(Protocol):
    """What an awaited answer came to; a done `asyncio.Future` is one."""

    def cancelled(self) -> bool:
        """Whether there is none."""

    def result(self) -> Any:
        """The answer, or the exception, raised."""


class Reception(Protocol):
    """What an opening needs of its server."""

    site: Site
    settings: Settings
    entrance: Entrance

    @property
    def draining(self) -> bool:
        """Whether it is about to end."""

    def settings_for(self, route: Route) -> Settings:
        """The settings of the open connections of a route."""

    def await_opening(
        self,
        endpoint: Endpoint,
        answer: Awaitable[Any],
        resume: Callable[[Endpoint, Outcome], None],
    ) -> None:
        """Await an answer, and call `resume` with its outcome, unless the client has left."""


class Opening:
    """The requests on one accepted connection.

    Args:
        server: whose site is asked for.

    Attributes:
        request: what came, once its head was read and it is known who asks; None before.
    """

    __slots__ = (
        "_arrival",
        "_early",
        "_handshake",
        "_in_one_go",
        "_kept",
        "_outcome",
        "_resource",
        "_server",
        "_waiting",
        "request",
    )

    def __init__(self, server: Reception) -> None:
        self._server = server
        self._arrival: Arrival | None = None
        self._in_one_go = 1
        self._waiting = False
        self._outcome: Outcome | None = None
        self._begin()

    def _begin(self) -> None:
        """Be ready for a request."""
        limits = self._server.settings.limits
        self._handshake = ServerHandshake(
            max_head_bytes=limits.max_head_bytes, max_headers=limits.max_headers, plain=True
        )
        self.request: Request | None = None
        self._early = 0
        self._resource = Resource()
        self._kept = False

    def receive(self, endpoint: Endpoint, data: bytes) -> bytes | None:
        """Take the next bytes; b"" after `Endpoint.continue_opening`.

        Returns:
            What arrived behind a request that was answered, of the next one; None otherwise.
        """
        passed = self.receive_preface(endpoint, data)
        request = None if passed is None else self._handshake.receive(passed)
        if request is None:
            return None
        if self._waiting:
            self._hold(endpoint, len(data))
            return None
        try:
            self._go_on(endpoint, request)
        except Exception:
            endpoint.refuse(dated(Refusal(500, "the request could not be judged").response))
            raise  # the endpoint logs it
        return self._next_request() if self._kept else None

    def _next_request(self) -> bytes:
        """Begin anew; what has arrived of the next request."""
        trailing = self._handshake.trailing
        self._in_one_go = self._in_one_go + 1 if trailing else 1
        self._begin()
        return trailing

    def receive_preface(self, endpoint: Endpoint, data: bytes) -> bytes | None:
        """Take the next bytes of a PROXY header, in front of TLS or of the request.

        Returns:
            What follows it: all, if none is demanded; None while more of it is needed, or if the
            endpoint was closed for what came.
        """
        if self._arrival is None:
            self._arrival = self._server.entrance.arrive(endpoint.remote_address)
        passed = self._arrival.receive(endpoint, data)
        if self._arrival.fault is not None:
            endpoint.fail(ConnectFailed(self._arrival.fault))
        return passed

    def receive_eof(self, endpoint: Endpoint) -> None:
        """Half a request and the end: there is nobody to answer."""

    def _hold(self, endpoint: Endpoint, size: int) -> None:
        """Keep bytes of a client that does not wait for the answer."""
        self._early += size
        if self._early > _MAX_EARLY_BYTES:
            endpoint.pause_reading(by="upgrade")

    def _go_on(self, endpoint: Endpoint, request: Request | Refusal) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            answer = request if isinstance(request, Refusal) else self._judge(endpoint, request)
            if answer is not None and inspect.isawaitable(answer):
                self._wait(endpoint, answer)
                return
        elif outcome.cancelled():
            raise LocalProtocolError("an on_upgrade or a page cancelled itself")
        else:
            answer = outcome.result()
        assert isinstance(request, Request) or answer is request
        self._answer(endpoint, request, answer)

    def _judge(self, endpoint: Endpoint, request: Request) -> Any:
        """What to answer: an awaitable of it, perhaps; for a page what it returned."""
        assert self._arrival is not None
        request.tls = endpoint.tls
        refusal = self._arrival.admit(endpoint, request)
        self.request = request
        if refusal is not None:
            return refusal
        found = self._server.site.find(request.path)
        if found is None:
            return Refusal(404, f"nothing stands at {show(request.path)}")
        resource, parameters = found
        self._resource = resource
        if request.method not in resource.methods:
            allowed = ", ".join(resource.methods)
            reason = f"the method is {request.method}, not {allowed} (RFC 6455 section 4.2.1)"
            return Refusal(405, reason, [("Allow", allowed)])
        for at in range(0, len(parameters), 2):
            request.path_params[str(parameters[at])] = parameters[at + 1]
        upgrades = self._handshake.wants_upgrade and request.method == "GET"
        if resource.route is None or (resource.page and not upgrades):
            assert resource.page is not None
            self._resource = Resource(page=resource.page)
            if self._server.draining and not resource.while_draining:
                return SHUTTING_DOWN
            return resource.page(request)
        return self._judge_upgrade(request, resource.route)

    def _judge_upgrade(self, request: Request, route: Route) -> Any:
        refusal = self._handshake.check_upgrade() or route.origins.check(request)
        if refusal is not None or route.upgrade is None:
            return refusal
        return route.upgrade(request)

    def _wait(self, endpoint: Endpoint, answer: Awaitable[Any]) -> None:
        self._waiting = True
        self._server.await_opening(endpoint, answer, self._resume)

    def _resume(self, endpoint: Endpoint, outcome: Outcome) -> None:
        """The answer is there: go on with it in a turn of the endpoint's own."""
        self._waiting = False
        self._outcome = outcome
        if self._early > _MAX_EARLY_BYTES:
            endpoint.resume_reading(by="upgrade")
        endpoint.continue_opening()

    def _answer(self, endpoint: Endpoint, request: Request | Refusal, answer: Any) -> None:
        if isinstance(answer, Refusal):
            response = answer.response
            if isinstance(request, Request) and request.method == "HEAD":
                response = response[: response.index(_EMPTY_LINE) + len(_EMPTY_LINE)]
            endpoint.refuse(dated(response))
            return
        assert isinstance(request, Request)
        route = self._resource.route
        if route is None:
            self._answer_page(endpoint, request, response_for(answer))
        elif isinstance(answer, Response):
            endpoint.refuse(dated(answer.encode()))
        elif answer is None or isinstance(answer, Accept):
            self._accept(endpoint, request, route, answer)
        else:
            raise LocalProtocolError(
                f"on_upgrade of route {route.path} returned {answer!r}, not None, Accept, Refusal "
                "or Response"
            )

    def _answer_page(self, endpoint: Endpoint, request: Request, response: Response) -> None:
        settings = self._server.settings
        self._kept = (
            bool(settings.limits.keep_alive_seconds)
            and not response.closes
            and not self._server.draining
            and self._handshake.may_continue
            and self._in_one_go < _MOST_IN_ONE_GO
            and endpoint.buffered_bytes <= settings.limits.high_water_bytes
        )
        written = response.encode(head_only=request.method == "HEAD", keep=self._kept)
        endpoint.answer(dated(written), self._kept)

    def _accept(
        self, endpoint: Endpoint, request: Request, route: Route, accept: Accept | None
    ) -> None:
        headers: Headers = []
        subprotocol = route.choose_subprotocol(request)
        if accept is not None:
            headers = accept.header_lines
            subprotocol = accept.subprotocol or subprotocol
            endpoint.state = accept.state
        settings = self._server.settings_for(route)
        handshake = self._handshake
        endpoint.write(handshake.accept(request, subprotocol=subprotocol, headers=headers))
        endpoint.open(request, handshake.trailing, subprotocol, settings=settings)
