"""Coroutines that keep a connection waiting: merely slow ones, and those that never return.

Reading from the peer is paused then, so that no pong can be seen. Nobody is given up for that, but
a peer that is gone is noticed all the same, and `handler_seconds` ends what hangs.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hosted import ASYNC_HOSTINGS, Hosted, Wire, hosted
from sockets import text, vanish
from wire import CLOSE, KEY, PING, TEXT, frame, frames_in
from wsfast.auth import Authenticated, Grant

OFTEN: dict[str, Any] = {
    "ping_interval_seconds": 0.1,
    "ping_jitter": 0.0,
    "dead_after_seconds": 0.1,
}


@pytest.fixture(params=ASYNC_HOSTINGS)
def async_hosting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Stuck:
    """Hangs at the first message until the gate opens; on_close comes behind that."""

    def __init__(self) -> None:
        self.gate: asyncio.Event | None = None
        self.log: list[Any] = []
        self.ws: Any = None

    async def on_message(self, ws: Any, message: str) -> None:
        self.ws = ws
        if self.gate is None:
            self.gate = asyncio.Event()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        self.log.append(message)

    def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        self.log.append((close_code, close_reason))


def stuck(serving: Hosted, handler: Stuck, *, full: bool = True) -> Wire:
    """A connection whose handler hangs, with messages in line, and one that nobody has read."""
    wire = serving.connect().upgrade(early=text("0") * (20 if full else 2))
    serving.wait(lambda: handler.ws and handler.ws.settings.stats["pings_sent"])
    if full:
        wire.send(text("unread"))
    return wire


def open_gate(handler: Stuck) -> None:
    assert handler.gate is not None
    handler.gate.set()


def pings(serving: Hosted, handler: Stuck, more: int) -> None:
    """Wait for so many further heartbeats."""
    sent = serving.call(lambda: handler.ws.settings.stats["pings_sent"])
    serving.wait(lambda: handler.ws.settings.stats["pings_sent"] >= sent + more)


def test_a_slow_handler_costs_nobody_a_connection(async_hosting: str) -> None:
    handler = Stuck()
    options = {**OFTEN, "dead_after_seconds": 1.0}  # so long TCP may take to acknowledge a ping
    with hosted(async_hosting, handler, **options) as serving:
        wire = stuck(serving, handler)
        pings(serving, handler, 2)
        assert handler.log == []
        wire.send(text("more"))  # later it would be too late: nobody answers pings here
        serving.call(open_gate, handler)
        serving.wait(lambda: handler.log[:22] == [*"0" * 20, "unread", "more"])


def test_a_peer_that_vanishes_while_its_messages_wait_is_noticed(async_hosting: str) -> None:
    handler = Stuck()
    with hosted(async_hosting, handler, **OFTEN) as serving:
        wire = stuck(serving, handler)
        vanish(wire.socket)
        serving.wait(lambda: not serving.server.connections)
        assert serving.server.stats()["dead_peers"] == 1 and handler.log == []
        serving.call(open_gate, handler)
        serving.wait(lambda: handler.log == [*"0" * 20, (1006, "keepalive ping timeout")])


@pytest.mark.parametrize("reset", [False, True])
def test_a_peer_that_leaves_while_its_messages_wait_is_noticed(
    async_hosting: str, reset: bool
) -> None:
    handler = Stuck()
    with hosted(async_hosting, handler, **OFTEN) as serving:
        wire = stuck(serving, handler)
        wire.leave(reset=reset)
        serving.wait(lambda: not serving.server.connections)
        serving.call(open_gate, handler)
        serving.wait(lambda: handler.log == [*"0" * 20, (1006, "keepalive ping timeout")])


def test_with_room_in_line_a_dead_peer_is_noticed_as_ever(async_hosting: str) -> None:
    """It is read from: the pong that does not come says it all."""
    handler = Stuck()
    with hosted(async_hosting, handler, **OFTEN) as serving:
        stuck(serving, handler, full=False)  # nobody answers pings there
        serving.wait(lambda: not serving.server.connections)
        serving.call(open_gate, handler)
        serving.wait(lambda: handler.log == ["0", "0", (1006, "keepalive ping timeout")])


@pytest.mark.parametrize("full", [False, True])
def test_a_handler_that_never_returns_is_cut(
    async_hosting: str, full: bool, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Stuck()
    options = {"ping_interval_seconds": 0.1, "dead_after_seconds": None, "handler_seconds": 0.5}
    with hosted(async_hosting, handler, **options) as serving:
        wire = serving.connect().upgrade(early=text("0") * (20 if full else 2))
        wire.push(text("unread"))
        frames = frames_in(wire.rest())
        assert {code for code, *_ in frames[:-1]} <= {PING}
        assert (frames[-1][0], frames[-1][3][:2]) == (CLOSE, (1011).to_bytes(2, "big"))
        wire.leave()
        serving.wait(lambda: handler.log == ["cancelled", (1011, "internal error")])
        serving.wait(lambda: not len(serving._serving.tasks))
        serving.wait(lambda: not serving.server.connections)
    [record] = caplog.records
    assert "Stuck.on_message took longer than 0.5 s (handler_seconds)" in record.getMessage()


def test_a_limit_of_a_route_holds_behind_a_gate_too(
    async_hosting: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Stuck()

    async def verify(credential: str) -> Grant:
        return Grant(credential)

    gate = Authenticated(handler, verify=verify)
    with hosted(async_hosting, gate, handler_seconds=0.2) as serving:
        wire = serving.connect().upgrade(early=text("authenticate alice") + text("x"))
        wire.expect_close(1011)
        wire.leave()
        serving.wait(lambda: handler.log == ["cancelled", (1011, "internal error")])
    assert len(caplog.records) == 1


# --- the application pauses, too -----------------------------------------------------------------


def test_who_paused_itself_is_not_resumed_when_the_line_is_short_again(async_hosting: str) -> None:
    class Pausing(Stuck):
        async def on_message(self, ws: Any, message: str) -> None:
            if not self.log:
                ws.pause_reading()
            await super().on_message(ws, message)

    handler = Pausing()
    with hosted(async_hosting, handler) as serving:
        wire = serving.connect().upgrade().send(text("0") * 20)
        serving.wait(lambda: handler.gate)
        wire.send(text("unread"))
        serving.call(open_gate, handler)
        serving.wait(lambda: len(handler.log) == 20)
        assert wire.send(frame(PING, b"p", key=KEY))
        serving.wait(lambda: not len(serving._serving.tasks))
        serving.call(lambda: handler.ws.send("still here"))
        assert wire.frames(1) == [(TEXT, b"still here")], "no pong: nobody reads"
        assert len(handler.log) == 20
        serving.call(lambda: handler.ws.resume_reading())
        serving.wait(lambda: handler.log[20:] == ["unread"])


def test_who_resumes_does_not_open_a_full_line(async_hosting: str) -> None:
    handler = Stuck()
    with hosted(async_hosting, handler) as serving:
        wire = serving.connect().upgrade().send(text("0") * 20)
        serving.wait(lambda: handler.gate)
        serving.call(lambda: handler.ws.pause_reading())
        serving.call(lambda: handler.ws.resume_reading())
        for _ in range(50):
            wire.send(text("x"))
        serving.call(lambda: handler.ws.send("here"))
        assert wire.frames(1) == [(TEXT, b"here")]
        received = serving.call(lambda: handler.ws.settings.stats["messages_received"])
        assert received == 20
        serving.call(open_gate, handler)
        serving.wait(lambda: len(handler.log) == 70)


def test_a_closed_connection_has_nobody_to_resume(async_hosting: str) -> None:
    handler = Stuck()
    with hosted(async_hosting, handler) as serving:
        wire = serving.connect().upgrade().send(text("0") * 20)
        serving.wait(lambda: handler.gate)
        serving.call(lambda: handler.ws.disconnect())
        assert wire.rest() == b""
        serving.call(open_gate, handler)
        serving.wait(lambda: handler.log == [*"0" * 20, (1006, "")])
