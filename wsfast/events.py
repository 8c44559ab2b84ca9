"""What `Connection.receive` returns beside messages: a str is text, bytes are binary."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Closed", "Event", "Ping", "Pong"]


class Ping(NamedTuple):
    """A Ping arrived; its Pong is queued already (RFC 6455 section 5.5.2)."""

    payload: bytes


class Pong(NamedTuple):
    """A Pong arrived, asked for or not (section 5.5.3)."""

    payload: bytes


class Closed(NamedTuple):
    """No message follows. Comes exactly once, as the last event (section 7.1.5, 7.1.6).

    `close_code` is the peer's, or 1005 if its Close carried none, or 1006 if the transport ended
    without one, or the code of the rule for which we failed the connection.
    """

    close_code: int
    close_reason: str


Event = str | bytes | Ping | Pong | Closed
