"""The entrance of a server: who comes, by what proxies say, and whether there is room.

Addresses go through it in this order: the socket's, that of a PROXY header, that of
X-Forwarded-For or Forwarded; each of the last two only if a trusted proxy says it. Limits per
address count the last one. A connection counts from its request's head to the end of its socket:
those that have not asked for anything yet are ended by the deadline of the opening handshake.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection

from wsfast.admission import Admission, address_key
from wsfast.forwarded import TrustedProxies
from wsfast.head import Request
from wsfast.limits import Limits
from wsfast.proxy import ProxyFault, ProxyHeader, ProxyReader
from wsfast.refusal import Refusal

__all__ = ["Address", "Arrival", "Entrance"]

#: (host, port) of a peer; None: it came over a Unix socket.
Address = tuple[str, int] | None


class Entrance:
    """What all connections of a server pass first.

    Args:
        limits: how many connections there may be, in all and from one address.
        proxy_protocol: every connection begins with a PROXY header of version 1 or 2, and comes
            from a trusted proxy; all others are closed without an answer.
        trusted_proxies: networks as for `TrustedProxies`, whose X-Forwarded-* is believed, or a
            `TrustedProxies`.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(trusted_proxies, TrustedProxies):
            trusted_proxies = TrustedProxies(trusted_proxies)
        if proxy_protocol and not trusted_proxies:
            raise ValueError("proxy_protocol needs trusted_proxies: others could make it up")
        self.proxy_protocol = proxy_protocol
        self.proxies = trusted_proxies
        self.admission = _admission(limits)
        self.clock = clock

    @property
    def counters(self) -> dict[str, int]:
        """Those of `admission`; empty without one."""
        return {} if self.admission is None else self.admission.counters

    def arrive(self, peer: object) -> Arrival:
        """A connection comes.

        Args:
            peer: the address of its socket as the socket module gives it: a tuple, or a str for a
                Unix socket. None if it is closed already: then it comes from nowhere, and not
                from a Unix socket, which may be trusted.
        """
        if isinstance(peer, tuple):
            return Arrival(self, peer[:2])
        return Arrival(self, ("", 0) if peer is None else None)


def _admission(limits: Limits) -> Admission | None:
    most = limits.max_connections
    most_per_address = limits.max_connections_per_address
    rate = limits.max_handshakes_per_second_per_address
    if most is None and most_per_address is None and rate is None:
        return None
    return Admission(
        max_connections=most,
        max_connections_per_address=most_per_address,
        max_handshakes_per_second_per_address=rate,
    )


class Arrival:
    """One connection on its way in.

    Args:
        entrance: where it arrives.
        address: of its socket.

    Attributes:
        address: who comes: the client's address once the PROXY header was read, if there is one.
    """

    __slots__ = ("_entrance", "_reader", "address")

    def __init__(self, entrance: Entrance, address: Address) -> None:
        self.address = address
        self._entrance = entrance
        self._reader = ProxyReader() if entrance.proxy_protocol else None

    def receive(self, data: bytes) -> bytes | ProxyFault | None:
        """Take the next bytes of the connection, cut anywhere.

        Returns:
            What follows the PROXY header, perhaps nothing so far; None while more of it is
            needed; a fault: the connection is to be closed without an answer.
        """
        if self._reader is None:
            return data
        if not self._entrance.proxies.trusts(self.address):
            return ProxyFault(f"{self.address} is no trusted proxy (proxy-protocol.txt section 2)")
        found = self._reader.receive(data)
        if not isinstance(found, ProxyHeader):
            return found
        trailing = self._reader.trailing
        self._reader = None
        if found.source is not None:
            self.address = found.source
        return trailing

    def admit(
        self, request: Request, at_close: Callable[[Callable[[], None]], object]
    ) -> Refusal | None:
        """Write into the request who asks, and decide whether there is room.

        Args:
            request: what came; its client_address, scheme and forwarded_host are set.
            at_close: gets what is to be called once when the connection ends.

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
        refusal = admission.admit(key, self._entrance.clock())
        if refusal is None:
            at_close(functools.partial(admission.release, key))
        return refusal
