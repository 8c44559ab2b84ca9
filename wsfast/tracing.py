"""Hooks on the life of a server's connections, for tracing, metrics and the access log.

Without a tracer nothing is called and nothing is kept: the hooks are put around the handler and
around the opening handshake of a server that was given one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from wsfast.endpoint import Endpoint
from wsfast.rfc6455 import State

__all__ = [
    "Ending",
    "Handshake",
    "Tracer",
    "hears_ends",
    "request_line",
    "traced_handler",
    "traced_opener",
]

_MOST_LINE_BYTES = 8192
#: What a PROXY header of version 2 begins with; its length stands behind two more bytes.
_PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n"


class Handshake(NamedTuple):
    """How an opening handshake was answered.

    Attributes:
        method, target: of the request line, as the peer sent them: not checked, not escaped.
        status: of the answer, 101 if the connection is open now.
        subprotocol: the negotiated one, or None.
        request: the request; None if its head could not be read.
        seconds: from the request's first byte to the answer.
    """

    method: str
    target: str
    status: int
    subprotocol: str | None
    request: Any
    seconds: float


class Ending(NamedTuple):
    """What a connection came to.

    Attributes:
        close_code, close_reason: as the handler's on_close got them; 1006 without a Close of the
            peer (RFC 6455 section 7.1.5).
        closed_by: "server" or "client", whoever began to end it, with a Close or without.
        seconds: how long it was open, to the end of its socket.
        messages_received, messages_sent: whole messages, control frames not among them.
        bytes_received, bytes_sent: of all frames as they travelled, and of nothing else; sent is
            what the kernel took.
    """

    close_code: int
    close_reason: str
    closed_by: str
    seconds: float
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int


class Tracer(Protocol):
    """What a tracer may have: of these methods those that it has are called.

    What one raises counts as the handler's: it is logged, and that connection is closed.
    """

    def on_handshake_start(self, ws: Endpoint) -> None:
        """The first bytes of a request came."""

    def on_handshake_end(self, ws: Endpoint, handshake: Handshake) -> None:
        """The request was answered; called before the handler's on_open."""

    def on_handshake_failed(self, ws: Endpoint, error: Exception) -> None:
        """The opening handshake was broken off, by the peer or by its deadline."""

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        """An open connection has closed; called before the handler's on_close."""

    def on_end(self, ws: Endpoint, ending: Ending) -> None:
        """The socket of a connection that was open is closed; what was still to leave has left.

        What it raises is logged, and does nothing else.
        """


def _hook(tracers: Iterable[object], name: str) -> Callable[..., None] | None:
    """One call for the method of this name of all that have it; None if nobody has.

    All are called, whatever one of them raises.
    """
    methods = [method for each in tracers if (method := getattr(each, name, None))]
    return functools.reduce(_in_turn, methods) if methods else None


class _TracedHandler:
    """A handler whose end of life is told to tracers first; everything else is the handler's."""

    def __init__(self, handler: object, tracers: Iterable[object]) -> None:
        self._handler = handler
        closing = [_tell_end(_hook(tracers, "on_end")), _hook(tracers, "on_close")]
        self._put("on_close", *closing)
        self._put("on_connect_failed", _hook(tracers, "on_handshake_failed"))

    def _put(self, name: str, *hooks: Callable[..., None] | None) -> None:
        """Have hooks called before the handler's method of a name, those that there are."""
        parts = (*hooks, getattr(self._handler, name, None))
        called = [each for each in parts if each is not None]
        if called:
            setattr(self, name, functools.reduce(_in_turn, called))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)


def _in_turn(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        try:
            first(*arguments)
        finally:
            second(*arguments)

    return call


def _tell_end(hook: Callable[..., None] | None) -> Callable[..., None] | None:
    """A hook for on_close that calls another one when the socket is closed."""
    if hook is None:
        return None

    def on_close(ws: Endpoint, close_code: int, close_reason: str) -> None:
        def tell() -> None:
            traffic = ws.traffic
            assert traffic is not None, "its settings count"
            seconds, *counted, closed_by = traffic
            by = "client" if closed_by == "peer" else "server"
            hook(ws, Ending(close_code, close_reason, by, seconds, *counted))

        ws.at_close(tell)

    return on_close


class _TracedOpening:
    """An opening handshake that is given a stand-in for its endpoint, which tells the tracers."""

    __slots__ = ("_answering", "_hooks", "_opening")

    def __init__(self, opening: Any, hooks: _Hooks) -> None:
        self._opening = opening
        self._hooks = hooks
        self._answering: _Answering | None = None

    def receive(self, endpoint: Endpoint, data: bytes) -> bytes | None:
        if self._answering is None:
            self._answering = _Answering(endpoint, self._hooks)
            if self._hooks.start is not None:
                self._hooks.start(endpoint)
                if endpoint.ready_state is State.CLOSED:
                    return None
        answering = self._answering
        if len(answering.head) < _MOST_LINE_BYTES and request_line(answering.head) is None:
            answering.head += data[:_MOST_LINE_BYTES]
        left: bytes | None = self._opening.receive(answering, data)
        return left

    def receive_preface(self, endpoint: Endpoint, data: bytes) -> Any:
        """What stands in front of TLS is no part of the request."""
        return self._opening.receive_preface(endpoint, data)

    def receive_eof(self, endpoint: Endpoint) -> None:
        self._opening.receive_eof(self._answering or endpoint)

    def on_answered(self, response: bytes) -> None:
        """Refused with this, by the opening or, in a drain, past it, or a page; another request
        may follow."""
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.tell(int(response[9:12]), None, self._opening.request)


class _Hooks(NamedTuple):
    """The hooks of an opening handshake; None where nobody listens."""

    start: Callable[..., None] | None
    end: Callable[..., None] | None


class _Answering:
    """An endpoint for the time of its opening handshake: what answers it is seen in passing.

    It counts as the endpoint itself, in a dict as well, and what is set on it is set there.
    """

    __slots__ = ("_begun", "_endpoint", "_hooks", "head")

    def __init__(self, endpoint: Endpoint, hooks: _Hooks) -> None:
        self._endpoint = endpoint
        self._hooks = hooks
        self._begun = time.monotonic()
        self.head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoint, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._endpoint, name, value)

    def __hash__(self) -> int:
        return hash(self._endpoint)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self._endpoint

    def open(
        self,
        request: Any,
        trailing: bytes,
        subprotocol: str | None = None,
        *rest: Any,
        **more: Any,
    ) -> None:
        """Accepted; the 101 leaves at the end of the turn, unless a tracer raises."""
        try:
            self.tell(101, subprotocol, request)
        except BaseException:
            self._endpoint.disconnect()
            raise
        self._endpoint.open(request, trailing, subprotocol, *rest, **more)

    def tell(self, status: int, subprotocol: str | None, request: Any) -> None:
        """Tell the tracers how it was answered."""
        if self._hooks.end is None:
            return
        words = (request_line(self.head) or "").split(" ")
        method, target = (words[0], words[1]) if len(words) == 3 else ("", "")
        seconds = time.monotonic() - self._begun
        handshake = Handshake(method, target, status, subprotocol, request, seconds)
        self._hooks.end(self._endpoint, handshake)


def request_line(head: bytes) -> str | None:
    """The request line of what a peer sent, behind a PROXY header; None if there is none yet."""
    if _PROXY_2.startswith(head[: len(_PROXY_2)]):
        if len(head) < 16:
            return None
        head = head[16 + int.from_bytes(head[14:16], "big") :]
    elif head.startswith(b"PROXY "):
        head = head.partition(b"\n")[2]
    line, end, _ = head.partition(b"\n")
    return line.decode("latin-1") if end else None


def hears_ends(tracers: Iterable[object]) -> bool:
    """Whether one of them has on_end, for which connections must be counted."""
    return _hook(tracers, "on_end") is not None


def traced_handler(handler: object, tracers: Iterable[object]) -> object:
    """The handler, with tracers in front of it; without tracers the handler itself."""
    listening = list(tracers)
    return _TracedHandler(handler, listening) if listening else handler


def traced_opener(opener: Callable[[], Any], tracers: Iterable[object]) -> Callable[[], Any]:
    """What makes opening handshakes, with tracers around it; without tracers the opener itself."""
    listening = list(tracers)
    hooks = _Hooks(_hook(listening, "on_handshake_start"), _hook(listening, "on_handshake_end"))
    return (lambda: _TracedOpening(opener(), hooks)) if any(hooks) else opener
