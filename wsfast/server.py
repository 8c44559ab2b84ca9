"""The server: listens, answers opening handshakes, and closes what is open when it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
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
from wsfast.loop import Loop
from wsfast.origin import OriginPolicy
from wsfast.proxy import ProxyFault
from wsfast.rfc6455 import CloseCode, Role
from wsfast.settings import Settings

__all__ = ["Server", "serve"]

_DEFAULTS = Limits()
_PORT_TRIES = 16
_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


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
            for listening in _listen(host, port, unix, reuse_port, backlog)
        ]
        self._unix = unix

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


def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    """The addresses to listen on.

    Raises:
        OSError: the host cannot be resolved.
        ValueError: the port is none; getaddrinfo would take it modulo 65536.
    """
    if not (isinstance(port, int) and 0 <= port <= 65535):
        raise ValueError(f"port is {port!r}, not in 0..65535")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise OSError(f"cannot resolve {host!r}: {error}") from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listen(
    host: str, port: int, unix: str | None, reuse_port: bool, backlog: int
) -> list[socket.socket]:
    """Listening sockets for every address of the host, or for the Unix path."""
    if unix is not None:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix domain sockets")
        _remove_stale(unix)
        return [_bind(socket.AF_UNIX, unix, False, backlog)]
    addresses = resolve(host, port)
    for _ in range(_PORT_TRIES):
        with contextlib.suppress(_PortTaken):
            return _listen_on_all(addresses, reuse_port, backlog)
    raise OSError(errno.EADDRINUSE, f"found no port that is free on every address of {host!r}")


def _remove_stale(path: str) -> None:
    """Remove the socket file that a killed server left: nobody accepts on it any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        except OSError:
            return  # nothing is there; or binding says what is


class _PortTaken(Exception):
    """The port that the first address was given is in use on another."""


def _listen_on_all(
    addresses: Sequence[tuple[socket.AddressFamily, Any]], reuse_port: bool, backlog: int
) -> list[socket.socket]:
    """One port for all: with port 0 the one that the first address is given.

    What resolves to an address that this machine does not have, as localhost to ::1 without IPv6,
    is left out as long as another one remains.
    """
    listening: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in addresses:
        given = address[1]
        if listening and not given:
            address = (address[0], listening[0].getsockname()[1], *address[2:])
        try:
            listening.append(_bind(family, address, reuse_port, backlog))
        except OSError as error:
            failure = error
            if error.errno not in _ABSENT:
                for each in listening:
                    each.close()
                if listening and not given and error.errno == errno.EADDRINUSE:
                    raise _PortTaken from error
                raise
    if not listening and failure is not None:
        raise failure
    return listening


def _bind(
    family: socket.AddressFamily, address: Any, reuse_port: bool, backlog: int
) -> socket.socket:
    listening = None
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
        if family != getattr(socket, "AF_UNIX", None):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(backlog)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise OSError(
            error.errno, f"cannot listen on {address!r}: {error.strerror or error}"
        ) from error
    return listening
