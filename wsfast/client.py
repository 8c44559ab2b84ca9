"""The client: opens one connection, on a loop of its own or on a given one."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Any

from wsfast.endpoint import Endpoint
from wsfast.errors import ConnectFailed, HandshakeRefused, LocalProtocolError
from wsfast.handshake import Accepted, ClientHandshake, Rejected
from wsfast.limits import Limits
from wsfast.loop import Loop
from wsfast.rfc6455 import Role
from wsfast.settings import Settings
from wsfast.tlsconfig import TlsClient

__all__ = ["connect"]

_Address = tuple[socket.AddressFamily, Any]

_DEFAULTS = Limits()
_HANDSHAKE_OPTIONS = frozenset({"headers", "cookies", "origin", "subprotocols", "extensions"})


class _Opening:
    """The opening handshake of one connection that we ask for."""

    __slots__ = ("_handshake",)

    def __init__(self, handshake: ClientHandshake) -> None:
        self._handshake = handshake

    def start(self, endpoint: Endpoint) -> None:
        endpoint.write(self._handshake.request)

    def receive(self, endpoint: Endpoint, data: bytes) -> None:
        result = self._handshake.receive(data)
        if isinstance(result, Accepted):
            endpoint.open(result, self._handshake.trailing, result.subprotocol)
        elif result is not None:
            endpoint.fail(_refused(result))

    def receive_eof(self, endpoint: Endpoint) -> None:
        result = self._handshake.receive_eof()
        if isinstance(result, Rejected):
            endpoint.fail(_refused(result))


def _refused(result: Rejected) -> HandshakeRefused:
    return HandshakeRefused(
        result.reason, status=result.status, headers=result.headers, body=result.body
    )


class _Attempt:
    """Stands before the user's handler: tries the addresses of the host one after the other."""

    def __init__(
        self, handler: object, addresses: list[_Address], local_address: tuple[str, int] | None
    ) -> None:
        self._handler = handler
        self._addresses = addresses
        self._local_address = local_address
        self._address: Any = None
        self.connected = False
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def start(self, ws: Endpoint) -> None:
        """Connect to the next address that does not fail at once."""
        while True:
            family, self._address = self._addresses.pop(0)
            try:
                connecting = _connect_socket(family, self._address, self._local_address)
            except ConnectFailed:
                if not self._addresses:
                    raise
            else:
                ws.adopt(connecting.detach())
                return

    def on_connect_failed(self, ws: Endpoint, error: Exception) -> None:
        if isinstance(error, ConnectFailed) and error.errno and not self.connected:
            error = _failed(error.errno, self._address)
            if self._addresses:
                try:
                    return self.start(ws)
                except ConnectFailed as last:
                    error = last
        self.error = error
        callback = getattr(self._handler, "on_connect_failed", None)
        if callback is not None:
            callback(ws, error)


class _Waiting:
    """The user's handler without on_connect_failed: `connect` raises the error instead."""

    def __init__(self, handler: object) -> None:
        self._handler = handler

    def __getattr__(self, name: str) -> Any:
        if name == "on_connect_failed":
            raise AttributeError(name)
        return getattr(self._handler, name)


def connect(
    url: str,
    handler: object,
    *,
    loop: Loop | None = None,
    local_address: tuple[str, int] | None = None,
    limits: Limits = _DEFAULTS,
    tls: TlsClient | ssl.SSLContext | None = None,
    endpoint: type[Endpoint] = Endpoint,
    **options: Any,
) -> Endpoint:
    """Connect to a ws:// or wss:// URL.

    The addresses that the host resolves to are tried one after the other. Without a loop this
    runs one until the connection has ended: the handler does everything. With a loop it returns
    at once; on_open or on_connect_failed of the handler follows.

    Args:
        url: where to, as RFC 6455 section 3 has it.
        handler: as for `Server`; on_connect_failed(ws, error) is called, on a given loop only,
            if the connection does not open.
        loop: the `Loop` to live on.
        local_address: (host, port) to connect from.
        tls: for wss://, a `TlsClient` or an `ssl.SSLContext`; None verifies the server against
            the authorities of the system.
        endpoint: `Endpoint` or a subclass that handles messages in C.
        limits: `Limits` of the connection.
        options: headers, cookies, origin, subprotocols and extensions go to
            `ClientHandshake`; all others to `Settings`.

    Returns:
        The endpoint; ended, if no loop was given.

    Raises:
        InvalidURL, LocalProtocolError: the URL or an option breaks a rule.
        ConnectFailed: the address cannot be resolved; without a loop, also whatever else kept the
            connection from opening; of its subclasses `TlsFailed` says what was wrong with TLS or
            with the certificate, `HandshakeRefused` has the server's answer.
    """
    opening = {name: options.pop(name) for name in _HANDSHAKE_OPTIONS & options.keys()}
    handshake = ClientHandshake(
        url, max_head_bytes=limits.max_head_bytes, max_headers=limits.max_headers, **opening
    )
    options["limits"] = limits
    if handshake.secure:
        options["make_session"] = TlsClient.of(tls).sessions_for(handshake.host)
    elif tls is not None:
        raise LocalProtocolError("tls goes with wss://, and the URL is ws:// (RFC 6455 section 3)")
    if loop is not None:
        return _start(handshake, handler, loop, local_address, endpoint, options)[0]
    loop = Loop()
    try:
        ws, attempt = _start(handshake, _Waiting(handler), loop, local_address, endpoint, options)
        try:
            while ws.fd >= 0:
                loop.selector.select()
        finally:
            ws.disconnect()
    finally:
        loop.close()
    if attempt.error is not None:
        raise attempt.error
    return ws


def _start(
    handshake: ClientHandshake,
    handler: object,
    loop: Loop,
    local_address: tuple[str, int] | None,
    endpoint: type[Endpoint],
    options: dict[str, Any],
) -> tuple[Endpoint, _Attempt]:
    def opener() -> _Opening:
        attempt.connected = True
        return _Opening(handshake)

    attempt = _Attempt(handler, _resolve(handshake.host, handshake.port), local_address)
    ws = endpoint(Settings(loop, Role.CLIENT, attempt, opener, **options))
    attempt.start(ws)
    return ws, attempt


def _resolve(host: str, port: int) -> list[_Address]:
    """The addresses of a name, the preferred first. It blocks, as getaddrinfo does."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectFailed(f"cannot resolve {host!r}: {error}") from error
    return [(family, address) for family, _, _, _, address in found]


def _failed(number: int | None, address: Any) -> ConnectFailed:
    return ConnectFailed(number, f"cannot connect to {address}: {os.strerror(number or 0)}")


def _connect_socket(
    family: socket.AddressFamily, address: Any, local_address: tuple[str, int] | None
) -> socket.socket:
    """A socket whose connect is under way."""
    try:
        connecting = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _failed(error.errno, address) from error
    try:
        connecting.setblocking(False)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if local_address is not None:
            connecting.bind(local_address)
    except OSError as error:
        connecting.close()
        raise ConnectFailed(f"cannot connect from {local_address}: {error}") from error
    failure = connecting.connect_ex(address)
    if failure not in (0, errno.EINPROGRESS):
        connecting.close()
        raise _failed(failure, address)
    return connecting
