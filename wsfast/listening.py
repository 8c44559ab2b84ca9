"""Listening sockets: of a host, of a Unix path, or given by whoever started us."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["address_url", "adopt_sockets", "listen", "listen_for_workers", "resolve"]

_PORT_TRIES = 16
_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


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


def listen(
    host: str,
    port: int,
    *,
    unix: str | None = None,
    reuse_port: bool = False,
    backlog: int = 4096,
) -> list[socket.socket]:
    """Listen on every address of the host, or on the Unix path.

    Args:
        host, port: where; with port 0 all addresses get the same free one.
        unix: path of a Unix domain socket, in place of host and port. One that a killed server
            left is taken over.
        reuse_port: set SO_REUSEPORT: further sockets may listen on the same port, and the kernel
            shares connections out between them.
        backlog: connections that may wait to be accepted.

    Raises:
        OSError: cannot listen there, or the host cannot be resolved.
        ValueError: the port is none.
    """
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


def listen_for_workers(
    workers: int,
    host: str,
    port: int,
    *,
    unix: str | None = None,
    shared: bool = False,
    backlog: int = 4096,
) -> list[list[socket.socket]]:
    """Listen for several processes: each with sockets of its own on one port, or all with one.

    With sockets of their own (SO_REUSEPORT) the kernel spreads connections evenly. One that is
    shared brings them to whoever is awake first; a Unix path is always shared.

    Args:
        workers: how many processes.
        host, port, unix, backlog: as for `listen`.
        shared: one socket for all.

    Raises:
        OSError, ValueError: as for `listen`.
    """
    alone = shared or unix is not None or workers == 1
    found = [listen(host, port, unix=unix, reuse_port=not alone, backlog=backlog)]
    if alone:
        return found * workers
    port = found[0][0].getsockname()[1]
    try:
        while len(found) < workers:
            found.append(listen(host, port, reuse_port=True, backlog=backlog))
    except OSError:
        for each in sum(found, []):
            each.close()
        raise
    return found


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


def address_url(address: object, *, secure: bool = False) -> str:
    """The URL of what a socket listens on.

    Args:
        address: as the socket module gives it.
        secure: whether it speaks TLS.
    """
    scheme = "wss" if secure else "ws"
    if not isinstance(address, tuple):
        return f"{scheme}+unix:{address}"
    host, port = address[:2]
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def adopt_sockets(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Check listening sockets that somebody else made, and set them non-blocking.

    Args:
        sockets: the caller's; the server's from now on.

    Raises:
        TypeError: one is no `socket.socket`.
        ValueError: there is none, or one is no listening stream socket.
    """
    adopted = list(sockets)
    if not adopted:
        raise ValueError("sockets is empty: there is nothing to listen on")
    for each in adopted:
        if not isinstance(each, socket.socket):
            raise TypeError(f"{each!r} is no socket.socket")
        if each.type != socket.SOCK_STREAM:
            raise ValueError(f"descriptor {each.fileno()} is no stream socket: {each.type!r}")
        if not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(f"descriptor {each.fileno()} does not listen: {each!r}")
    for each in adopted:
        each.setblocking(False)
        if each.family in (socket.AF_INET, socket.AF_INET6):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return adopted
