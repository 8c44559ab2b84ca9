"""The entrance of a server: who comes, by what proxies say, and whether there is room.

Addresses go through it in this order: the socket's, that of a PROXY header, that of
X-Forwarded-For or Forwarded; each of the last two only if a trusted proxy says it. A connection
counts from accept to the end of its socket, and towards the limits of its address from when that
address is known: for whoever comes from a trusted proxy that is when the proxy has said it.

Beyond a limit a plain connection may wait until its request is read and answered with 503 or 429,
as long as few do: behind a reverse proxy the client gets that answer, with its Retry-After. Over
TLS it is closed at once: the answer would cost a TLS handshake each, when there is most to do. For
the same reason TLS connections take their token of the address's rate when they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

from wsfast.admission import AddressKey, Admission, Place, address_key
from wsfast.forwarded import TrustedProxies
from wsfast.head import Request
from wsfast.limits import Limits
from wsfast.proxy import ProxyFault, ProxyHeader, ProxyReader
from wsfast.refusal import Refusal

__all__ = ["Address", "Arrival", "Entrance", "Guest"]

#: (host, port) of a peer; None: it came over a Unix socket.
Address = tuple[str, int] | None

#: How many may wait for the answer that there is no room.
_MAX_WAITING = 64


class Guest(Protocol):
    """Whoever comes: an endpoint."""

    #: Where it is counted; it leaves it when its socket ends.
    counted_at: Place | None


class Entrance:
    """What all connections of a server pass first.

    Args:
        limits: how many connections there may be, in all and from one address.
        proxy_protocol: every connection begins with a PROXY header of version 1 or 2, and comes
            from a trusted proxy; all others are closed without an answer.
        trusted_proxies: networks as for `TrustedProxies`, whose X-Forwarded-* is believed, or a
            `TrustedProxies`.
        secure: requests come over TLS.
        clock: the time in seconds, one that never goes back.

    Attributes:
        admission: counts them; None if there is no such limit.

    Raises:
        ValueError: a network is none, or proxy_protocol is asked for and nobody is trusted.
    """

    __slots__ = ("admission", "clock", "proxies", "proxy_protocol")

    def __init__(
        self,
        limits: Limits,
        *,
        proxy_protocol: bool = False,
        trusted_proxies: TrustedProxies | Collection[str] | str = (),
        secure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(trusted_proxies, TrustedProxies):
            trusted_proxies = TrustedProxies(trusted_proxies)
        if proxy_protocol and not trusted_proxies:
            raise ValueError("proxy_protocol needs trusted_proxies: others could make it up")
        self.proxy_protocol = proxy_protocol
        self.proxies = trusted_proxies
        self.admission = _admission(limits, 0 if secure else _MAX_WAITING)
        self.clock = clock

    @property
    def counters(self) -> dict[str, int]:
        """Those of `admission`; empty without one."""
        return {} if self.admission is None else self.admission.counters

    @property
    def gate(self) -> Callable[[str | None], Place | None] | None:
        """What decides on a socket that was accepted, see `Admission.enter`; None: all may come.

        It is called with the host that the socket comes from, or None for a Unix socket.
        """
        return None if self.admission is None else self._enter

    def _enter(self, host: str | None) -> Place | None:
        assert self.admission is not None
        key = self._key(None if host is None else (host, 0))
        return self.admission.enter(key, self.clock())

    def identify(self, guest: Guest, address: Address) -> bool:
        """A PROXY header has said who comes.

        Returns:
            Whether there may be room; else it is to be closed.
        """
        if self.admission is None or guest.counted_at is None:
            return True
        found = self.admission.identify(guest.counted_at, self._key(address), self.clock())
        guest.counted_at = found or guest.counted_at
        return found is not None

    def _key(self, address: Address) -> AddressKey | None:
        """What an address is counted by; None for that of a proxy that will say more."""
        if address is None or self.proxies.trusts(address):
            return None
        return address_key(address[0])

    def arrive(self, peer: object) -> Arrival:
        """The first bytes of a connection come.

        Args:
            peer: the address of its socket as the socket module gives it: a tuple, or a str for a
                Unix socket. None if it is closed already: then it comes from nowhere, and not
                from a Unix socket, which may be trusted.
        """
        if isinstance(peer, tuple):
            return Arrival(self, peer[:2])
        return Arrival(self, ("", 0) if peer is None else None)


def _admission(limits: Limits, max_waiting: int) -> Admission | None:
    most = limits.max_connections
    most_per_address = limits.max_connections_per_address
    rate = limits.max_handshakes_per_second_per_address
    if most is None and most_per_address is None and rate is None:
        return None
    return Admission(
        max_connections=most,
        max_connections_per_address=most_per_address,
        max_handshakes_per_second_per_address=rate,
        max_waiting=max_waiting,
    )


class Arrival:
    """One connection on its way in.

    Args:
        entrance: where it arrives.
        address: of its socket.

    Attributes:
        address: who comes: the client's address once the PROXY header was read, if there is one.
        fault: why it is to be closed without an answer, or None.
    """

    __slots__ = ("_entrance", "_first", "_reader", "address", "fault")

    def __init__(self, entrance: Entrance, address: Address) -> None:
        self.address = address
        self.fault: str | None = None
        self._entrance = entrance
        self._first = True
        self._reader = ProxyReader() if entrance.proxy_protocol else None

    def receive(self, guest: Guest, data: bytes) -> bytes | None:
        """Take the next bytes of the connection, cut anywhere.

        Args:
            guest: whose place is changed when a PROXY header has said who comes.
            data: the bytes.

        Returns:
            What follows the PROXY header, perhaps nothing so far; None while more of it is
            needed, or if there is a `fault` now.
        """
        if self._reader is None:
            return data
        if not self._entrance.proxies.trusts(self.address):
            self.fault = f"{self.address} is no trusted proxy (proxy-protocol.txt section 2)"
            return None
        found = self._reader.receive(data)
        if isinstance(found, ProxyFault):
            self.fault = found.reason
            return None
        return None if found is None else self._pass(guest, found, self._reader.trailing)

    def _pass(self, guest: Guest, header: ProxyHeader, trailing: bytes) -> bytes | None:
        self._reader = None
        if header.source is not None:
            self.address = header.source
            if not self._entrance.identify(guest, header.source):
                self.fault = f"{header.source} is one connection too many"
                return None
        return trailing

    def admit(self, guest: Guest, request: Request) -> Refusal | None:
        """Write into the request who asks, and decide whether there is room.

        Args:
            guest: whose place is changed, if it is let in.
            request: what came; its client_address, scheme and forwarded_host are set.

        Returns:
            None, or the refusal: 429 or 503.
        """
        client = self._entrance.proxies.resolve(request, self.address)
        request.client_address = client.address
        request.scheme = client.scheme
        request.forwarded_host = client.host
        admission = self._entrance.admission
        if admission is None:
            return None
        key = None if client.address is None else address_key(client.address[0])
        now, first = self._entrance.clock(), self._first
        self._first = False
        found = admission.admit(guest.counted_at, key, now, first=first)
        if isinstance(found, Refusal):
            return found
        guest.counted_at = found
        return None
