"""Admission: how many connections there may be, in all and from one address, and how quickly.

A connection is counted from accept to the end of its socket, at a `Place`: that of its address,
or one for all whose address is not known yet. Places are shared, so a connection holds a
reference and nothing else. Who finds everything taken may wait until its request is read, so that
it hears why it is refused; but only so many wait, and all others are to be closed at once: or
whoever says nothing would hold as many sockets as it likes. Where nobody may wait, since each
answer would cost too much (TLS), the rate of an address counts from accept on, too.

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

__all__ = ["Admission", "AddressKey", "Place", "address_key"]

#: What addresses are counted by: an IPv4 address as it is, the upper half of an IPv6 address.
AddressKey = str | int

_COUNTERS = (
    *("admitted", "refused_connections", "refused_address", "refused_rate"),
    *("turned_away_connections", "turned_away_address", "turned_away_rate"),
)
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


class Place:
    """Where connections are counted.

    Attributes:
        key: `address_key` of all of them, or None.
        connections: how many they are.
    """

    __slots__ = ("_admission", "connections", "key")

    def __init__(self, admission: Admission, key: AddressKey | None) -> None:
        self._admission = admission
        self.connections = 0
        self.key = key

    def leave(self) -> None:
        """One of them has ended."""
        self._admission.leave(self)


class Admission:
    """Decides which sockets and handshakes become connections. A limit may be None: no limit.

    Args:
        max_connections: that there are at a time; beyond it 503.
        max_connections_per_address: of these; beyond it 429.
        max_handshakes_per_second_per_address: in the long run; beyond it 429.
        burst_handshakes: how many may come at once from an address that was quiet; None: those of
            one second.
        max_waiting: how many there may be beyond both limits, until they are refused. With 0 the
            rate holds for `enter` and `identify` in place of `admit`, if they know the address.
        max_addresses: how many buckets are remembered in each of the two dictionaries.
        retry_after_seconds: what a 503, and a 429 for connections, says in Retry-After.

    Attributes:
        connections: how many have a place.
        waiting: the place of those that wait to be refused; `connections` are without them.
        counters: how many were admitted, refused and turned away for each reason: ints by name.

    Raises:
        ValueError: a number is below its least.
    """

    __slots__ = (
        "_anyone",
        "_anyone_known",
        "_burst_seconds",
        "_full_at",
        "_full_at_before",
        "_interval_seconds",
        "_max_addresses",
        "_max_connections",
        "_max_per_address",
        "_max_waiting",
        "_per_address",
        "_retry_after_seconds",
        "_turn_at",
        "connections",
        "counters",
        "waiting",
    )

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        max_connections_per_address: int | None = None,
        max_handshakes_per_second_per_address: float | None = None,
        burst_handshakes: int | None = None,
        max_waiting: int = 64,
        max_addresses: int = 65536,
        retry_after_seconds: int = 5,
    ) -> None:
        rate = max_handshakes_per_second_per_address
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError(f"max_handshakes_per_second_per_address is {rate}, not above 0")
        _check_least("max_connections", max_connections)
        _check_least("max_connections_per_address", max_connections_per_address)
        _check_least("burst_handshakes", burst_handshakes)
        _check_least("max_waiting", max_waiting, 0)
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
        self._per_address: dict[AddressKey, Place] = {}
        self._max_waiting = max_waiting
        self._anyone = Place(self, None)
        self._anyone_known = Place(self, None)
        self.waiting = Place(self, None)
        self.connections = 0
        self.counters = dict.fromkeys(_COUNTERS, 0)

    def enter(self, key: AddressKey | None, now: float) -> Place | None:
        """Count a connection that has just come.

        Args:
            key: `address_key` of whoever it comes from; None if that is not known yet, or if there
                is no address (Unix sockets): then only `max_connections` holds.
            now: the time in seconds, of a clock that never goes back.

        Returns:
            Its place, which it is to leave when it ends; None: it is to be closed at once.
        """
        return self._seat(None, key, now)

    def identify(self, place: Place, key: AddressKey | None, now: float) -> Place | None:
        """It is known by now whose connection it is, and nothing of its request was read.

        Args:
            place: that it has.
            key, now: as for `enter`.

        Returns:
            Its place from now on; None: it is to be closed, and keeps the place until then.
        """
        return self._seat(place, key, now)

    def admit(
        self, place: Place | None, key: AddressKey | None, now: float, *, first: bool = True
    ) -> Place | Refusal:
        """Decide on a handshake.

        Args:
            place: that the connection has; None: it is counted from here on.
            key: `address_key` of the client, or None if it has no address.
            now: the time in seconds, of a clock that never goes back.
            first: it is the first request of its connection, whose token may be taken already.

        Returns:
            Its place from now on. Or the refusal, 503 or 429, each with Retry-After; then it keeps
            the one that it has.
        """
        wanted = self._place_of(key)
        limit = self._limit(place, wanted)
        if limit == "connections":
            reason = f"there are {self.connections} connections, the limit"
            return self._refuse(503, limit, reason, self._retry_after_seconds)
        if limit == "address":
            reason = f"{wanted.connections} connections from one address are the limit"
            return self._refuse(429, limit, reason, self._retry_after_seconds)
        paid = first and not self._max_waiting and place is wanted
        seconds = 0 if key is None or paid else self._seconds_until(key, now)
        if seconds:
            rate = 1 / self._interval_seconds
            reason = f"{rate:g} handshakes a second from one address are the limit"
            return self._refuse(429, "rate", reason, seconds)
        self.counters["admitted"] += 1
        return self._change(place, wanted)

    def leave(self, place: Place) -> None:
        """A connection that has this place has ended."""
        place.connections -= 1
        if place is not self.waiting:
            self.connections -= 1
        if place.key is not None and not place.connections:
            del self._per_address[place.key]

    @property
    def remembered_addresses(self) -> int:
        """How many addresses are held in memory, those with connections counted again."""
        return len(self._full_at) + len(self._full_at_before) + len(self._per_address)

    def _seat(self, place: Place | None, key: AddressKey | None, now: float) -> Place | None:
        """Before a request is read: the place for a key, or one to wait at."""
        wanted = self._place_of(key)
        limit = self._limit(place, wanted)
        if limit is None and key is not None and not self._max_waiting:
            limit = "rate" if self._seconds_until(key, now) else None
        if limit is None:
            return self._change(place, wanted)
        if place is self.waiting or self.waiting.connections < self._max_waiting:
            return self._change(place, self.waiting)
        self.counters[f"turned_away_{limit}"] += 1
        return None

    def _place_of(self, key: AddressKey | None) -> Place:
        """Where connections of a key are counted; it is kept once there is one."""
        if key is None or self._max_per_address is None:
            return self._anyone if key is None else self._anyone_known
        return self._per_address.get(key) or Place(self, key)

    def _limit(self, place: Place | None, wanted: Place) -> str | None:
        """Which limit is in the way from one place to another; None: none of them."""
        if place is wanted:
            return None
        most = self._max_connections
        if most is not None and self.connections >= most and place in (None, self.waiting):
            return "connections"
        most = self._max_per_address
        if most is not None and wanted.key is not None and wanted.connections >= most:
            return "address"
        return None

    def _change(self, place: Place | None, wanted: Place) -> Place:
        """Count a connection elsewhere."""
        if place is wanted:
            return wanted
        wanted.connections += 1
        if wanted is not self.waiting:
            self.connections += 1
        if wanted.key is not None:
            self._per_address[wanted.key] = wanted
        if place is not None:
            self.leave(place)
        return wanted

    def _seconds_until(self, key: AddressKey, now: float) -> int:
        """Take a token: 0; or how long there is none, and none is taken."""
        if not self._interval_seconds:
            return 0
        self._turn(now)
        full_at = self._full_at.get(key, self._full_at_before.get(key, now))
        full_at = max(full_at, now) + self._interval_seconds
        # A hair more than the burst: sums of intervals are rounded.
        wait = full_at - now - self._burst_seconds
        if wait > self._interval_seconds * 1e-6:
            return math.ceil(wait)
        self._full_at[key] = full_at
        return 0

    def _turn(self, now: float) -> None:
        """Forget what was not seen since the last turn, if its buckets are full by now."""
        if now >= self._turn_at or len(self._full_at) >= self._max_addresses:
            self._full_at_before = self._full_at
            self._full_at = {}
            self._turn_at = now + self._burst_seconds

    def _refuse(self, status: int, limit: str, reason: str, seconds: int) -> Refusal:
        self.counters[f"refused_{limit}"] += 1
        section = _SECTIONS[status]
        return Refusal(status, f"{reason} ({section})", [("Retry-After", str(seconds))])


def _check_least(name: str, value: int | None, least: int = 1) -> None:
    if value is not None and value < least:
        raise ValueError(f"{name} is {value}, not {least} or more")
