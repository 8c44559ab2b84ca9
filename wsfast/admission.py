"""Admission: how many connections there may be, in all and from one address, and how quickly.

Handshakes per second are counted by the generic cell rate algorithm (ITU-T I.371 appendix A), a
token bucket that needs one number: the time at which the bucket will be full again. An address
whose time has passed is as good as one that was never seen, so it can be forgotten without
changing any answer. Two dictionaries take turns for that: what the older one holds when they
change has not been seen for so long that its bucket is full. Only if more than `max_addresses`
come within that time are buckets forgotten early; so memory has a limit, whoever comes.

IPv6 addresses count by their /64, which is what one customer has; IPv4 addresses one by one, also
those written as IPv6. Every step is O(1), and nothing here reads a clock.
"""

from __future__ import annotations

import ipaddress
import math

from wsfast.refusal import Refusal

__all__ = ["Admission", "AddressKey", "address_key"]

#: What addresses are counted by: an IPv4 address as it is, the upper half of an IPv6 address.
AddressKey = str | int

_SECTIONS = {503: "RFC 9110 section 15.6.4", 429: "RFC 6585 section 4"}


def address_key(host: str) -> AddressKey:
    """What an address is counted by.

    Args:
        host: an address as the socket module writes it. Anything else is its own key.
    """
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped
    return int(address) >> 64 if mapped is None else str(mapped)


class Admission:
    """Decides which handshakes become connections. All limits may be None: no limit.

    Args:
        max_connections: that are open at a time; beyond it 503.
        max_connections_per_address: of these; beyond it 429.
        max_handshakes_per_second_per_address: in the long run; beyond it 429.
        burst_handshakes: how many may come at once from an address that was quiet; None: those of
            one second.
        max_addresses: how many buckets are remembered in each of the two dictionaries.
        retry_after_seconds: what a 503, and a 429 for connections, says in Retry-After.

    Attributes:
        connections: how many are open.
        counters: how many were admitted, and refused for each of the reasons: ints by name.

    Raises:
        ValueError: a number is below its least.
    """

    __slots__ = (
        "_burst_seconds",
        "_full_at",
        "_full_at_before",
        "_interval_seconds",
        "_max_addresses",
        "_max_connections",
        "_max_per_address",
        "_per_address",
        "_retry_after_seconds",
        "_turn_at",
        "connections",
        "counters",
    )

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        max_connections_per_address: int | None = None,
        max_handshakes_per_second_per_address: float | None = None,
        burst_handshakes: int | None = None,
        max_addresses: int = 65536,
        retry_after_seconds: int = 5,
    ) -> None:
        rate = max_handshakes_per_second_per_address
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError(f"max_handshakes_per_second_per_address is {rate}, not above 0")
        _check_least("max_connections", max_connections)
        _check_least("max_connections_per_address", max_connections_per_address)
        _check_least("burst_handshakes", burst_handshakes)
        _check_least("max_addresses", max_addresses)
        _check_least("retry_after_seconds", retry_after_seconds)
        self._max_connections = max_connections
        self._max_per_address = max_connections_per_address
        self._interval_seconds = 0.0 if rate is None else 1 / rate
        burst = max(1, math.ceil(rate or 1)) if burst_handshakes is None else burst_handshakes
        self._burst_seconds = burst * self._interval_seconds
        self._max_addresses = max_addresses
        self._retry_after_seconds = retry_after_seconds
        self._full_at: dict[AddressKey, float] = {}
        self._full_at_before: dict[AddressKey, float] = {}
        self._turn_at = -math.inf
        self._per_address: dict[AddressKey, int] = {}
        self.connections = 0
        self.counters = dict.fromkeys(
            ("admitted", "refused_connections", "refused_address", "refused_rate"), 0
        )

    def admit(self, key: AddressKey | None, now: float) -> Refusal | None:
        """Decide on a handshake, and count the connection if it is let in.

        Args:
            key: `address_key` of the client, or None if it has no address (Unix sockets): then
                only `max_connections` holds.
            now: the time in seconds, of a clock that never goes back.

        Returns:
            None: it is admitted, and `release` is to be called when it ends. Or the refusal, 503
            or 429, each with Retry-After.
        """
        if self._max_connections is not None and self.connections >= self._max_connections:
            reason = f"there are {self.connections} connections, the limit"
            return self._refuse(503, "refused_connections", reason, self._retry_after_seconds)
        if key is not None:
            refusal = self._check_address(key, now)
            if refusal is not None:
                return refusal
            if self._max_per_address is not None:
                self._per_address[key] = self._per_address.get(key, 0) + 1
        self.connections += 1
        self.counters["admitted"] += 1
        return None

    def release(self, key: AddressKey | None) -> None:
        """A connection that was admitted under this key has ended."""
        self.connections -= 1
        if key is not None and self._max_per_address is not None:
            left = self._per_address[key] - 1
            if left:
                self._per_address[key] = left
            else:
                del self._per_address[key]

    @property
    def remembered_addresses(self) -> int:
        """How many addresses are held in memory, those with open connections counted again."""
        return len(self._full_at) + len(self._full_at_before) + len(self._per_address)

    def _check_address(self, key: AddressKey, now: float) -> Refusal | None:
        """Both limits of an address; a handshake that is refused takes no token."""
        most = self._max_per_address
        if most is not None and self._per_address.get(key, 0) >= most:
            reason = f"{most} connections from one address are the limit"
            return self._refuse(429, "refused_address", reason, self._retry_after_seconds)
        if not self._interval_seconds:
            return None
        self._turn(now)
        full_at = self._full_at.get(key, self._full_at_before.get(key, now))
        full_at = max(full_at, now) + self._interval_seconds
        # A hair more than the burst: sums of intervals are rounded.
        wait = full_at - now - self._burst_seconds
        if wait > self._interval_seconds * 1e-6:
            rate = 1 / self._interval_seconds
            reason = f"{rate:g} handshakes a second from one address are the limit"
            return self._refuse(429, "refused_rate", reason, math.ceil(wait))
        self._full_at[key] = full_at
        return None

    def _turn(self, now: float) -> None:
        """Forget what was not seen since the last turn, if its buckets are full by now."""
        if now >= self._turn_at or len(self._full_at) >= self._max_addresses:
            self._full_at_before = self._full_at
            self._full_at = {}
            self._turn_at = now + self._burst_seconds

    def _refuse(self, status: int, counter: str, reason: str, seconds: int) -> Refusal:
        self.counters[counter] += 1
        section = _SECTIONS[status]
        return Refusal(status, f"{reason} ({section})", [("Retry-After", str(seconds))])


def _check_least(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{name} is {value}, not 1 or more")
