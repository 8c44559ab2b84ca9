"""What went over one connection, and who ended it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Traffic"]


class Traffic(NamedTuple):
    """What went over one connection since it was opened; see `ws.traffic`.

    Attributes:
        seconds: how long it has been open, or was.
        messages_received, messages_sent: whole messages, control frames not among them.
        bytes_received, bytes_sent: of frames as they travel, headers, control frames and whatever
            was still waiting in a broken message included; not the opening handshake, and not
            what TLS adds. Sent is what the kernel took.
        closed_by: "us" or "peer", whoever began to end it, with a Close or without; None: nobody.
    """

    seconds: float
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    closed_by: str | None
