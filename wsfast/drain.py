"""The graceful end of a server's connections: told to leave at a pace, cut at a hard limit.

When a server with many connections ends, all of its clients would come back at once, to whoever
is left. So they are told one by one. Nothing here waits: the drain lives on the loop's timers,
whoever runs the loop.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Collection

from wsfast.endpoint import Endpoint
from wsfast.loop import Loop
from wsfast.refusal import Refusal
from wsfast.rfc6455 import MAX_REASON_BYTES, CloseCode, State, is_sendable_close_code

__all__ = ["SHUTTING_DOWN", "Drain"]

#: How soon it is seen that all are gone, and that an opening handshake is over.
_LOOK_SECONDS = 0.125
#: How long an opening handshake that is under way may take to its end.
_OPENING_SECONDS = 1.0

#: What whoever asks is told; Retry-After is in seconds (RFC 9110 section 10.2.3).
SHUTTING_DOWN = Refusal(503, "the server is shutting down", [("Retry-After", "5")])

_log = logging.getLogger("wsfast")


class Drain:
    """Closes connections at a pace, and cuts what is left at a limit.

    A connection in its opening handshake may finish it, and is closed then; after a second it gets
    503. One that was told is closed by its own closing deadline, if its peer does not answer.

    Args:
        loop: the `Loop` that they live on.
        endpoints: the live set of them; whoever is closed leaves it.
        close_code, close_reason: what they are told; 1001 or 1012 (RFC 6455 section 7.4.1, and the
            IANA registry).
        connections_per_second: the pace; None tells all of them at once.
        jitter: the share, 0 to 1, by which the time from one to the next varies, both ways.
        limit_seconds: after so long what is left is cut: told if it was not, and disconnected.
        on_done: called with this object in a turn of the loop, once no connection is left.

    Attributes:
        connections: how many there were at the beginning.
        limit_seconds: as given.
        cut: how many were left at the limit.
        done: no connection is left.

    Raises:
        ValueError: the close code must not be sent, the reason exceeds 123 bytes of UTF-8, the
            pace is not above 0, the jitter not in 0..1, or the limit below 0.
    """

    def __init__(
        self,
        loop: Loop,
        endpoints: Collection[Endpoint],
        *,
        close_code: int = CloseCode.GOING_AWAY,
        close_reason: str = "server shutdown",
        connections_per_second: float | None = None,
        jitter: float = 0.2,
        limit_seconds: float = 25.0,
        on_done: Callable[[Drain], object] | None = None,
    ) -> None:
        _check(close_code, close_reason, connections_per_second, jitter, limit_seconds)
        self.connections = len(endpoints)
        self.limit_seconds = limit_seconds
        self.cut = 0
        self.done = False
        self._loop = loop
        self._endpoints = endpoints
        self._close = (close_code, close_reason)
        self._gap_seconds = 0.0 if connections_per_second is None else 1 / connections_per_second
        self._jitter = jitter
        self._begun = time.monotonic()
        self._limit = self._begun + limit_seconds
        self._on_done: list[Callable[[Drain], object]] = [] if on_done is None else [on_done]
        self._untold: list[Endpoint] = []
        self._next = self._begun
        self._is_cutting = False
        self._tell()
        self._timer = loop.selector.call_later(0, self._look)

    def end_now(self) -> None:
        """Do not wait any longer: cut what is left, in this turn and the next."""
        self._limit = time.monotonic()
        if not self.done:
            self._timer.cancel()
            self._look()

    def when_done(self, on_done: Callable[[Drain], object]) -> None:
        """Have this called, too, as `on_done`; a drain that is over calls it now."""
        if self.done:
            on_done(self)
        else:
            self._on_done.append(on_done)

    def check(self) -> bool:
        """Whether it is over; says so at once, where a timer would a moment later."""
        if not self.done and not self._endpoints:
            self._finish()
        return self.done

    def _look(self) -> None:
        """Take the next step: tell those whose time it is, cut at the limit, see the end."""
        if self.check():
            return
        now = time.monotonic()
        seconds = _LOOK_SECONDS
        if self._is_cutting:
            self._disconnect()
            seconds = 0.0
        elif now >= self._limit:
            self._last_words()
            seconds = 0.0
        else:
            self._tell()
            if self._untold:
                seconds = min(seconds, self._next - now)
            if now >= self._begun + _OPENING_SECONDS:
                self._refuse()
        self._timer = self._loop.selector.call_later(max(0.0, seconds), self._look)

    def _tell(self) -> None:
        """Close those whose time has come, in no order that a client could know."""
        now = time.monotonic()
        if not self._untold:
            self._untold = [each for each in self._endpoints if each.ready_state is State.OPEN]
            random.shuffle(self._untold)
        self._next = max(self._next, now - _LOOK_SECONDS)  # time that a busy loop lost is lost
        while self._untold and self._next <= now:
            endpoint = self._untold.pop()
            if endpoint.ready_state is State.OPEN:
                endpoint.close(*self._close)
                self._next += self._gap_seconds * random.uniform(
                    1 - self._jitter, 1 + self._jitter
                )

    def _last_words(self) -> None:
        """The limit: tell the rest; the turn that follows sends it, and the next step cuts."""
        self.cut = len(self._endpoints)
        self._is_cutting = True
        _log.warning("%d of %d connections are cut at the limit", self.cut, self.connections)
        self._refuse()
        for endpoint in list(self._endpoints):
            if endpoint.ready_state is State.OPEN:
                endpoint.close(*self._close)

    def _refuse(self) -> None:
        """Answer those that are in their opening handshake still; a second time does nothing."""
        for endpoint in list(self._endpoints):
            if endpoint.ready_state is State.CONNECTING:
                endpoint.refuse(SHUTTING_DOWN.response)

    def _disconnect(self) -> None:
        for endpoint in list(self._endpoints):
            endpoint.disconnect()

    def _finish(self) -> None:
        self.done = True
        self._timer.cancel()
        self._untold = []
        for on_done in self._on_done:
            on_done(self)


def _check(
    close_code: int,
    close_reason: str,
    connections_per_second: float | None,
    jitter: float,
    limit_seconds: float,
) -> None:
    if not is_sendable_close_code(close_code):
        raise ValueError(f"close_code {close_code!r} must not be sent (RFC 6455 7.4)")
    if len(close_reason.encode()) > MAX_REASON_BYTES:
        raise ValueError(
            f"close_reason {close_reason!r} exceeds {MAX_REASON_BYTES} bytes (RFC 6455 5.5)"
        )
    if connections_per_second is not None and not 0 < connections_per_second < math.inf:
        raise ValueError(f"connections_per_second is {connections_per_second!r}, not above 0")
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter is {jitter!r}, not in 0..1")
    if not 0 <= limit_seconds < math.inf:
        raise ValueError(f"limit_seconds is {limit_seconds!r}, not finite and 0 or more")
