"""Coroutines and clients that do anything at any time: order holds, on_close comes, all ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from typing import Any

import pytest

from hosted import ASYNC_HOSTINGS, Wire, hosted
from sockets import MORE_THAN_THE_KERNEL_TAKES, goodbye, text
from wire import BINARY, KEY, PING, frame
from wsfast.app import App
from wsfast.auth import Authenticated, Grant

CLIENTS = 60


class Oops(Exception):
    """What handlers raise here."""


class Chaos:
    """Does at random what an application may do, and keeps what it saw of each connection."""

    def __init__(self, seed: int, *, asynchronous: bool) -> None:
        self.choose = random.Random(seed)
        self.seen: dict[Any, list[Any]] = {}
        self.under_way: dict[Any, int] = {}
        self.faults: list[str] = []
        self.asynchronous = asynchronous

    async def verify(self, credential: str) -> Grant | None:
        await self.nap()
        if self.choose.random() < 0.02:
            raise Oops
        if self.choose.random() < 0.05:
            return None
        return Grant("all the same", seconds=self.choose.choice([None, 0.1, 5]))

    async def nap(self) -> None:
        for _ in range(self.choose.randrange(3)):
            await asyncio.sleep(self.choose.choice([0, 0, 0.001, 0.02]))

    def act(self, ws: Any) -> None:
        dice = self.choose.random()
        if dice < 0.02:
            ws.close(4000)
        elif dice < 0.03:
            ws.disconnect()
        elif dice < 0.04:
            raise Oops
        elif dice < 0.05:
            ws.fail(Oops())
        elif dice < 0.15:
            ws.pause_reading()
            ws.settings.loop.selector.call_later(0.05, ws.resume_reading)
        elif dice < 0.16:
            ws.send(MORE_THAN_THE_KERNEL_TAKES[: 2 << 20])
        elif dice < 0.3:
            ws.send(bytes(self.choose.randrange(100_000)))
        else:
            ws.send("x")

    async def during(self, ws: Any, event: Any) -> None:
        """One callback: nothing else of its connection may be under way."""
        self.under_way[ws] = self.under_way.get(ws, 0) + 1
        if self.under_way[ws] > 1:
            self.faults.append(f"{event} while something else was under way")
        try:
            await self.nap()
            self.note(ws, event)
            self.act(ws)
            await self.nap()
            self.act(ws)
        finally:
            self.under_way[ws] -= 1

    def note(self, ws: Any, event: Any) -> None:
        events = self.seen.setdefault(ws, [])
        if events and events[-1] == "close":
            self.faults.append(f"{event} after on_close")
        if isinstance(event, int) and isinstance(events[-1], int) and event <= events[-1]:
            self.faults.append(f"message {event} after {events[-1]}")
        if (event == "open") is bool(events):
            self.faults.append(f"{event} after {events}")
        events.append(event)


class Asynchronous(Chaos):
    async def on_open(self, ws: Any) -> None:
        self.note(ws, "open")
        await self.nap()

    async def on_message(self, ws: Any, message: Any) -> None:
        await self.during(ws, int(message[:6]))

    async def on_drain(self, ws: Any) -> None:
        await self.nap()
        self.act(ws)

    async def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        await self.nap()
        self.note(ws, "close")


class Synchronous(Chaos):
    def on_open(self, ws: Any) -> None:
        self.note(ws, "open")

    def on_message(self, ws: Any, message: Any) -> None:
        self.note(ws, int(message[:6]))
        self.act(ws)

    def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        self.note(ws, "close")


class Client:
    """Sends numbered messages, credentials, pings and nonsense; reads, or not; leaves somehow."""

    def __init__(self, wire: Wire, seed: int) -> None:
        self.wire, self.choose, self.sent = wire, random.Random(seed), 0
        self.cut = False
        wire.socket.settimeout(0.02)
        self.push(text("authenticate me"))

    def push(self, data: bytes) -> None:
        """Send it, or, if that takes too long, only a part and never anything again."""
        try:
            if not self.cut:
                self.wire.socket.sendall(data)
        except OSError:
            self.cut = True

    def step(self) -> None:
        dice = self.choose.random()
        if dice < 0.6:
            batch = b""
            for _ in range(self.choose.choice([1, 1, 3, 40])):
                self.sent += 1
                size = self.choose.choice([0, 0, 100, 20_000])
                batch += frame(BINARY, b"%06d" % self.sent + bytes(size), key=KEY)
            self.push(batch)
        elif dice < 0.7:
            self.push(text("authenticate me"))
        elif dice < 0.75:
            self.push(frame(PING, b"p", key=KEY))
        elif dice < 0.98:
            with contextlib.suppress(OSError):
                self.wire.socket.recv(1 << 20)
        else:
            self.leave()

    def leave(self) -> None:
        how = self.choose.choice(["goodbye", "half", "leave", "reset", "nonsense"])
        if how == "goodbye":
            self.push(goodbye())
        elif how == "half":
            with contextlib.suppress(OSError):
                self.wire.socket.shutdown(socket.SHUT_WR)
        elif how == "nonsense":
            self.push(b"\xff" * 10)
        else:
            with contextlib.suppress(OSError):
                self.wire.leave(reset=how == "reset")


@pytest.mark.slow
@pytest.mark.parametrize("hosting", ASYNC_HOSTINGS)
@pytest.mark.parametrize("kind", [Asynchronous, Synchronous])
@pytest.mark.parametrize("policy", ["close", "drop-oldest"])
def test_whatever_happens_it_ends_well(
    hosting: str, kind: type[Any], policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    handler = kind(seed, asynchronous=kind is Asynchronous)
    app = App(origins="any")
    gate = Authenticated(handler, verify=handler.verify, on_expiry="ask", grace_seconds=0.2)
    app.websocket("/", slow_consumer=policy).take(gate)
    options = {
        "ping_interval_seconds": 0.2,
        "dead_after_seconds": 0.3,
        "handler_seconds": 5,
        "closing_seconds": 0.3,
        "max_buffered_bytes": 64 << 20,
    }
    with caplog.at_level(logging.ERROR), hosted(hosting, app, **options) as serving:
        clients = [Client(serving.connect().upgrade(), seed + number) for number in range(CLIENTS)]
        choose = random.Random(seed)
        for _ in range(CLIENTS * 20):
            choose.choice(clients).step()
        for client in clients:
            client.leave()
        for client in clients:
            client.wire.leave()
        serving.wait(lambda: not serving.server.connections)
        serving.wait(lambda: not len(serving._serving.tasks))
        stats = serving.server.stats()
    assert handler.faults == []
    assert all(events[-1] == "close" for events in handler.seen.values())
    assert stats["opened"] == stats["closed"] == CLIENTS
    kinds = {
        each.exc_info[0].__name__ if each.exc_info else each.getMessage()
        for each in caplog.records
    }
    assert kinds <= {"Oops"}
    assert len(handler.seen) > CLIENTS / 2
    handler.seen.clear()
    handler.under_way.clear()
    caplog.clear()
