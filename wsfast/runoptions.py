"""The options of `App.run` and of wsfast-serve: one list, with names, defaults and what they mean.

The command line is made from it, so that neither of the two can have what the other has not.
Beside these both take every field of `Limits` by its name.
"""

from __future__ import annotations

import dataclasses
import math
import socket
import ssl
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wsfast.forwarded import TrustedProxies
from wsfast.limits import Limits
from wsfast.metrics import parse_address
from wsfast.rfc6455 import CloseCode, is_sendable_close_code
from wsfast.tlsconfig import TlsServer

__all__ = ["HOSTINGS", "LIMITS", "RunOptions"]

HOSTINGS = ("alone", "asyncio", "uvloop")

#: The names of the limits.
LIMITS = frozenset(field.name for field in dataclasses.fields(Limits))

#: The least and the most.
_WHOLE = {"port": (0, 65535), "fd": (0, 1 << 20), "backlog": (1, 1 << 20), "workers": (1, 1024)}
_NUMBERS = {"drain_seconds": (0, 10**6), "drain_rate": (0.001, 10**9)}

_LISTENING = "where it listens; sockets that systemd passed come first"
_PROXIES = "behind a proxy"
_PROCESSES = "processes"
_END = "the end"
_WATCHING = "logs, on standard error, and figures"


def _option(default: Any, group: str, help: str, **more: Any) -> Any:
    """A field that is an option of the command line as well.

    Args:
        default: of both.
        group: of options, for --help.
        help: what it is, for --help.
        more: `kind`, a type that is made from a word, str if it is not given; `metavar`, the word
            that stands for a value; `word`, in place of --name; `choices`.
    """
    return dataclasses.field(default=default, metadata={"group": group, "help": help, **more})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How an application is run, checked when it is made.

    Attributes:
        host, port: where to listen; port 0 takes a free one.
        unix: path of a Unix domain socket to listen on instead.
        fd: an inherited descriptor that listens, instead.
        sockets: listening sockets to accept on, instead; not on a command line.
        backlog: connections that may wait to be accepted.
        certificate, key, client_ca: paths, as for `TlsServer`; a restart reads them again.
        tls: a `TlsServer` or `ssl.SSLContext` in their place; not on a command line.
        trusted_proxies, proxy_protocol: which proxies say who comes, see `Entrance`.
        hosting: "alone": a loop of our own, the fastest; "asyncio": inside an asyncio loop that
            runs on our selector, for coroutine functions and asyncio libraries; "uvloop": as a
            guest of uvloop, which must be installed. None: asyncio if the application has
            coroutine functions, and else alone.
        workers: processes under a `Supervisor`; None: this process serves by itself.
        shared_socket: all workers accept on the same socket; else each has its own (SO_REUSEPORT).
        pid_file: a file that holds the process id while it runs.
        drain_seconds: the time for connections to end; what is left then is cut.
        drain_rate: connections that are told to end a second, by each worker; None: all at once.
        close_code: what they are told; 1012 in any case if new workers take over.
        access_log: have an `AccessLog`.
        tracers: objects with methods of `tracing.Tracer`; not on a command line.
        metrics: HOST:PORT of a page with the figures of all workers, see wsfast.metrics.
        limits: fields of `Limits` by name, in place of those of the application.

    Raises:
        ValueError, TypeError: an option is out of its range, or two contradict each other.
    """

    host: str = _option("127.0.0.1", _LISTENING, "address or name")
    port: int = _option(8765, _LISTENING, "0: a free one", kind=int)
    unix: str | None = _option(
        None, _LISTENING, "a Unix domain socket instead (none)", metavar="PATH"
    )
    fd: int | None = _option(
        None, _LISTENING, "an inherited descriptor that listens, instead (none)", kind=int
    )
    sockets: Sequence[socket.socket] | None = None
    backlog: int = _option(
        4096, _LISTENING, "connections that may wait to be accepted", kind=int, metavar="N"
    )
    certificate: str | None = _option(None, "TLS", "speak wss:// with it (none)", metavar="FILE")
    key: str | None = _option(
        None, "TLS", "its key, if that file does not hold it (none)", metavar="FILE"
    )
    client_ca: str | None = _option(
        None, "TLS", "let in only clients with a certificate of these (none)", metavar="PATH"
    )
    tls: TlsServer | ssl.SSLContext | None = None
    trusted_proxies: Collection[str] = _option(
        (),
        _PROXIES,
        "an address, a network, or unix: what it says of the client is believed; again for more "
        "(nobody)",
        kind=list,
        word="--trusted-proxy",
        metavar="ADDRESS",
    )
    proxy_protocol: bool = _option(
        False, _PROXIES, "it sends PROXY headers, version 1 or 2", kind=bool
    )
    hosting: str | None = _option(
        None,
        _PROCESSES,
        "whose loop it runs on (alone, our own; asyncio if the application has coroutines)",
        choices=HOSTINGS,
    )
    workers: int | None = _option(
        None, _PROCESSES, "processes under a supervisor (none, one)", kind=int, metavar="N"
    )
    shared_socket: bool = _option(
        False,
        _PROCESSES,
        "one listening socket for all workers: whoever is awake accepts (one "
        "for each, and the kernel spreads connections)",
        kind=bool,
    )
    pid_file: str | None = _option(
        None, _PROCESSES, "write the process id there (none)", metavar="PATH"
    )
    drain_seconds: float = _option(
        25.0, _END, "after so long what is left is cut", kind=float, metavar="SECONDS"
    )
    drain_rate: float | None = _option(
        None,
        _END,
        "connections closed a second, by each worker (all at once)",
        kind=float,
        metavar="N",
    )
    close_code: int = _option(
        int(CloseCode.GOING_AWAY),
        _END,
        "what they are told; 1012 in any case if new workers take over",
        kind=int,
        metavar="CODE",
    )
    access_log: bool = _option(
        False, _WATCHING, "a record for each handshake and each close", kind=bool
    )
    tracers: Sequence[object] = ()
    metrics: str | None = _option(
        None,
        _WATCHING,
        "a page for Prometheus at /metrics, and one of JSON at /stats (none)",
        metavar="HOST:PORT",
    )
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (least, most) in _WHOLE.items():
            self._check(name, int, "a whole number", least, most)
        for name, span in _NUMBERS.items():
            self._check(name, int | float, "a number", *span)
        self._check("close_code", int, "a whole number", 1000, 4999)
        if not is_sendable_close_code(self.close_code):
            raise ValueError(f"close_code {self.close_code!r} must not be sent (RFC 6455 7.4)")
        if self.hosting is not None and self.hosting not in HOSTINGS:
            raise ValueError(f"hosting is {self.hosting!r}, none of {', '.join(HOSTINGS)}")
        if self.metrics is not None:
            parse_address(self.metrics)
        if self.unix is not None and not self.unix:
            raise ValueError(f"unix is {self.unix!r}, which is no path")
        self._check_together()

    def _check(self, name: str, kind: Any, what: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if value is None and type(self).__dataclass_fields__[name].default is None:
            return
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}, not {what}")
        if math.isnan(value) or not least <= value <= most:
            raise ValueError(f"{name} is {value!r}, not in {least}..{most}")

    def _check_together(self) -> None:
        where = [name for name in ("unix", "fd", "sockets") if getattr(self, name) is not None]
        if len(where) > 1:
            raise ValueError(f"{' and '.join(where)} say where to listen: one of them")
        if not TrustedProxies(self.trusted_proxies) and self.proxy_protocol:
            raise ValueError("proxy_protocol needs trusted_proxies: others could make it up")
        if self.certificate is None and (self.key or self.client_ca):
            raise ValueError("key and client_ca go with certificate")
        if self.certificate is not None and self.tls is not None:
            raise ValueError("certificate and tls are two certificates: one of them")
        unknown = sorted(set(self.limits) - LIMITS)
        if unknown:
            raise TypeError(f"there is no option {unknown[0]!r}; those of routes are App's")
