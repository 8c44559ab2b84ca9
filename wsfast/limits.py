"""Every limit and deadline of a connection, and of the server or client that it belongs to."""

from __future__ import annotations

import dataclasses
import math

__all__ = ["Limits"]

_LONGEST_MESSAGE = (1 << 62) - 1
_MOST_BYTES = (1 << 62) - 1
_MOST = (1 << 31) - 1

#: Whole numbers: (least, most, whether None is allowed).
_WHOLE = {
    "max_message_bytes": (1, _LONGEST_MESSAGE, False),
    "max_fragments": (1, _LONGEST_MESSAGE, True),
    "max_head_bytes": (1, _MOST, False),
    "max_headers": (1, _MOST, False),
    "high_water_bytes": (0, _MOST_BYTES, False),
    "low_water_bytes": (0, _MOST_BYTES, False),
    "max_queue_bytes": (0, _MOST_BYTES, False),
    "max_buffered_bytes": (1, _MOST_BYTES, True),
    "max_received_bytes_per_second": (1, _MOST_BYTES, True),
    "max_connections": (1, _MOST, True),
    "max_connections_per_address": (1, _MOST, True),
}

#: Times that something must have, and events per second: above 0.
_ABOVE_ZERO = {
    "opening_seconds": False,
    "closing_seconds": False,
    "max_messages_per_second": True,
    "max_pings_per_second": True,
    "max_handshakes_per_second_per_address": True,
}

#: Times that may be off: 0 and None mean so.
_SWITCHABLE = (
    "keep_alive_seconds",
    "ping_interval_seconds",
    "dead_after_seconds",
    "idle_seconds",
    "lifetime_seconds",
    "handler_seconds",
)

_SHARES = ("ping_jitter", "lifetime_jitter")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits and deadlines, checked when they are made; `dataclasses.replace` changes a copy.

    Attributes:
        max_message_bytes: longest message accepted, decoded; 1009 beyond it.
        max_fragments: frames of one message, None for any number: held bytes are bounded anyway.
        max_head_bytes, max_headers: of the head of an HTTP request or answer, and its lines.
        opening_seconds: from accept or connect to the end of the opening handshake.
        keep_alive_seconds: from the answer to a plain request to the first byte of the next one
            on that connection; longer than the minute of most load balancers, so that they are
            the ones who close. 0 or None: every answer ends its connection. An answer that has
            not left by then has `closing_seconds` more.
        closing_seconds: from our Close to the end of the connection.
        ping_interval_seconds: without received bytes for so long, a ping is sent; 0 or None:
            never.
        ping_jitter: the share by which each interval is varied at random, both ways.
        dead_after_seconds: after a ping without any received bytes for so long, the connection is
            given up: a last Close with 1011, "keepalive ping timeout", and the end of TCP;
            on_close gets 1006 (RFC 6455 7.1.5) with that reason. 0 or None: never.
        idle_seconds: without a message either way for so long, the connection is closed with 1000,
            "idle"; pings and pongs are no messages. 0 or None: never.
        lifetime_seconds: the longest that a connection stays open; then it is closed with 1001,
            "maximum lifetime". 0 or None: for ever.
        lifetime_jitter: the share by which each lifetime is shortened, at random, at most.
        handler_seconds: the longest that a coroutine of a handler may take; then it is cancelled
            and its connection closed with 1011. 0 or None: as long as it likes.
        high_water_bytes, low_water_bytes: bytes queued for a slow peer above which a server stops
            reading from it, and at which it goes on and on_drain is called.
        max_queue_bytes: with more than this queued, a further send meets the policy for slow
            consumers.
        max_buffered_bytes: queued bytes of all connections of a loop together; None: no limit.
        max_messages_per_second, max_received_bytes_per_second, max_pings_per_second: of one peer,
            with what one second allows as its burst; 1008 beyond it. None: no limit.
        max_connections: at a time, each from accept to the end of its socket; beyond it 503, or
            closed at once (TLS, or too many to answer). None: no limit.
        max_connections_per_address: of these from one client, an IPv6 /64 being one, counted from
            when it is known who it is; beyond it 429, or closed at once.
        max_handshakes_per_second_per_address: with those of one second as burst; beyond it 429,
            or, over TLS, closed before the TLS handshake.

    Raises:
        ValueError: a number is out of its range.
        TypeError: a value is no number, or no whole number where one is needed.
    """

    max_message_bytes: int = 1 << 20
    max_fragments: int | None = None
    max_head_bytes: int = 16384
    max_headers: int = 128
    opening_seconds: float = 5.0
    keep_alive_seconds: float | None = 75.0
    closing_seconds: float = 10.0
    ping_interval_seconds: float | None = 25.0
    ping_jitter: float = 0.2
    dead_after_seconds: float | None = 20.0
    idle_seconds: float | None = None
    lifetime_seconds: float | None = None
    lifetime_jitter: float = 0.1
    handler_seconds: float | None = None
    high_water_bytes: int = 256 * 1024
    low_water_bytes: int = 64 * 1024
    max_queue_bytes: int = 1 << 20
    max_buffered_bytes: int | None = None
    max_messages_per_second: float | None = None
    max_received_bytes_per_second: int | None = None
    max_pings_per_second: float | None = None
    max_connections: int | None = None
    max_connections_per_address: int | None = None
    max_handshakes_per_second_per_address: float | None = None

    def __post_init__(self) -> None:
        for name, (least, most, optional) in _WHOLE.items():
            _check_whole(name, getattr(self, name), least, most, optional)
        for name, optional in _ABOVE_ZERO.items():
            _check_number(name, getattr(self, name), optional, above_zero=True)
        for name in _SWITCHABLE:
            _check_number(name, getattr(self, name), True, above_zero=False)
        for name in _SHARES:
            share = getattr(self, name)
            _check_number(name, share, False, above_zero=False)
            if share >= 1:
                raise ValueError(f"{name} is {share!r}, a share is less than 1")
        if not self.low_water_bytes <= self.high_water_bytes <= self.max_queue_bytes:
            raise ValueError(
                f"low_water_bytes {self.low_water_bytes}, high_water_bytes "
                f"{self.high_water_bytes}, max_queue_bytes {self.max_queue_bytes} are not in "
                "rising order"
            )


def _check_whole(name: str, value: object, least: int, most: int, optional: bool) -> None:
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, not a whole number{' or None' if optional else ''}")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, not in {least}..{most}")


def _check_number(name: str, value: object, optional: bool, *, above_zero: bool) -> None:
    if value is None and optional:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, not a number{' or None' if optional else ''}")
    if not (0 < value if above_zero else 0 <= value) or math.isinf(value):
        rule = "above 0" if above_zero else "0 or more"
        raise ValueError(f"{name} is {value!r}, it must be finite and {rule}")
