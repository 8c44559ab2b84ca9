"""Servers for tests and proofs: an echo, a broadcast and a ticker that err as they are told.

What they do wrong is known exactly, so what an instrument says about them can be checked.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from wsfast.endpoint import Endpoint
from wsfast.loadgen.pacer import Pacer
from wsfast.loop import Loop
from wsfast.server import Server

__all__ = ["Faults", "FaultyServer"]

#: The longest wait of a turn: how soon a signal to stop is seen.
TURN_SECONDS = 0.25

#: How long before its end a freeze sleeps no more.
SLEEP_ENDS_SECONDS = 0.002


class Faults(NamedTuple):
    """What a server does to its answers.

    Attributes:
        delays: (seconds, weight) pairs: an answer waits for one of these times, drawn by weight.
        skew_seconds: of a broadcast each receiver gets its copy so much behind the one before; the
            sender, who is the first, gets it at once.
        stall_seconds, stall_every_seconds: the whole process freezes for so long, so often,
            counted from the first message on; 0: never.
        drop, duplicate, reorder, corrupt, foreign: the share of messages, 0 to 1, that is not
            answered, answered twice, answered behind the next one, answered with another last
            byte, or answered and followed by a message that nobody asked for.
        seed: of the choices.
    """

    delays: Sequence[tuple[float, float]] = ()
    skew_seconds: float = 0.0
    stall_seconds: float = 0.0
    stall_every_seconds: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    foreign: float = 0.0
    seed: int = 0


class FaultyServer:
    """Answers with faults.

    Args:
        host, port: where to listen.
        mode: "echo": to whom it came from; "broadcast": to everybody; "ticker": nothing is
            answered, everybody gets `rate` messages a second.
        faults: what goes wrong.
        rate: of the ticker, in messages a second for each connection.
        tick_bytes: size of what the ticker sends.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        mode: str = "echo",
        faults: Faults | None = None,
        rate: float = 10.0,
        tick_bytes: int = 20,
    ) -> None:
        self.faults = faults or Faults()
        self.mode = mode
        self.open: set[Endpoint] = set()
        self.loop = Loop()
        self.server = Server(self, host, port, loop=self.loop, origins="any")
        self._pacer = Pacer(
            self.loop.selector
        )  # to the microsecond: it is what others are held to
        self._choose = random.Random(self.faults.seed)
        self._waiting: list[tuple[float, int, Endpoint, Any]] = []  # a heap by time
        self._number = 0
        self._held: dict[Endpoint, Any] = {}  # an answer that lets the next one pass
        self._next_stall: float | None = None
        self._tick = bytes(tick_bytes)
        self._tick_gap = 1.0 / rate
        self._next_tick: float | None = None
        self._stopped = False

    # --- the handler -----------------------------------------------------------------------------

    def on_open(self, ws: Endpoint) -> None:
        self.open.add(ws)
        if self.mode == "ticker" and self._next_tick is None:
            self._next_tick = time.monotonic() + self._tick_gap

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        self.open.discard(ws)
        self._held.pop(ws, None)

    def on_message(self, ws: Endpoint, message: Any) -> None:
        if self._next_stall is None:
            self._next_stall = time.monotonic() + self.faults.stall_every_seconds
        if self.mode == "ticker" or self._happens(self.faults.drop):
            return
        if self._happens(self.faults.corrupt) and message:
            last = message[-1:]
            wrong = "~" if last != "~" else "}"
            message = message[:-1] + (wrong if isinstance(message, str) else bytes([last[0] ^ 1]))
        if self._happens(self.faults.reorder) and ws not in self._held:
            self._held[ws] = message
            return
        self._answer(ws, message)
        if self._happens(self.faults.duplicate):
            self._answer(ws, message)
        if ws in self._held:
            self._answer(ws, self._held.pop(ws))
        if self._happens(self.faults.foreign):
            self._answer(ws, "nobody asked for this")

    def _happens(self, share: float) -> bool:
        return share > 0 and self._choose.random() < share

    def _answer(self, ws: Endpoint, message: Any) -> None:
        others = self.open - {ws} if self.mode == "broadcast" else ()
        for place, each in enumerate((ws, *others)):
            skew = place * self.faults.skew_seconds
            if self.faults.delays or skew:
                due = self._due() + skew
                heapq.heappush(self._waiting, (due, self._number, each, message))
                self._number += 1
            else:
                each.send(message)

    def _due(self) -> float:
        delays = self.faults.delays or ((0.0, 1.0),)
        (chosen,) = self._choose.choices(delays, [weight for _, weight in delays])
        return time.monotonic() + chosen[0]

    # --- the loop --------------------------------------------------------------------------------

    @property
    def address(self) -> Any:
        """Where it listens, (host, port)."""
        return self.server.addresses[0]

    def stop(self) -> None:
        """End `run` after this turn; from a handler of signals as well."""
        self._stopped = True
        self.loop.selector.wakeup()

    def run(self) -> None:
        """Serve until `stop`, then close every connection with 1001."""
        while not self._stopped:
            self._stall()
            now = time.monotonic()
            self._send_waiting(now)
            self._send_ticks(now)
            self._pacer.wake_at(int(self._next_due(now) * 1e9))
            self.loop.selector.select(TURN_SECONDS)
        self._waiting.clear()
        self._pacer.close()
        self.server.close()
        self.loop.close()

    def _next_due(self, now: float) -> float:
        due = [now + TURN_SECONDS]
        due += [self._waiting[0][0]] if self._waiting else []
        due += [each for each in (self._stall_time(), self._next_tick) if each is not None]
        return min(due)

    def _stall_time(self) -> float | None:
        return self._next_stall if self.faults.stall_every_seconds else None

    def _stall(self) -> None:
        """Freeze if it is time: nothing is read, answered or accepted meanwhile."""
        due = self._stall_time()
        if due is not None and self._next_stall is not None and time.monotonic() >= due:
            _freeze_until(due + self.faults.stall_seconds)
            self._next_stall += self.faults.stall_every_seconds

    def _send_waiting(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, _, ws, message = heapq.heappop(self._waiting)
            if ws in self.open:
                ws.send(message)
        self.loop.selector.flush()

    def _send_ticks(self, now: float) -> None:
        if self._next_tick is None or now < self._next_tick:
            return
        for ws in list(self.open):
            ws.send(self._tick)
        self._next_tick += self._tick_gap
        self.loop.selector.flush()


def _freeze_until(when: float) -> None:
    """Sleep, and watch the clock at the end: a sleep alone ends too late."""
    time.sleep(max(0.0, when - SLEEP_ENDS_SECONDS - time.monotonic()))
    while time.monotonic() < when:
        pass
