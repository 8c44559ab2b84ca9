"""Coroutine functions as handlers, wherever asyncio hosts: order, bounds, failing, ending."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from hosted import ASYNC_HOSTINGS, hosted
from sockets import text
from wire import BINARY, CLOSE, KEY, PING, PONG, TEXT, frame
from wsfast.app import App
from wsfast.auth import Authenticated, Grant


@pytest.fixture(params=ASYNC_HOSTINGS)
def async_hosting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Recording:
    """Coroutines that say when they begin and end."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gate: asyncio.Event | None = None

    async def step(self, what: str) -> None:
        self.log.append(f"+{what}")
        await asyncio.sleep(0)
        if what == "wait":
            self.gate = asyncio.Event()
            await self.gate.wait()
        if what == "raise":
            raise RuntimeError("on purpose")
        self.log.append(f"-{what}")

    async def on_open(self, ws: Any) -> None:
        await self.step("open")

    async def on_message(self, ws: Any, message: str) -> None:
        await self.step(message)
        ws.send(message)

    def on_ping(self, ws: Any, payload: bytes) -> None:
        self.log.append("ping")

    async def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        await self.step(f"close {close_code}")


def spans(*names: str) -> list[str]:
    """Each begins and ends before the next."""
    return [f"{sign}{name}" for name in names for sign in "+-"]


def test_async_handlers_come_one_at_a_time(async_hosting: str) -> None:
    handler = Recording()
    with hosted(async_hosting, handler) as serving:
        names = [str(number) for number in range(100)]
        early = b"".join(text(name) for name in names)
        wire = serving.connect().upgrade(early=early)
        assert [payload for _, payload in wire.frames(100)] == [name.encode() for name in names]
        wire.goodbye()
        serving.wait(lambda: handler.log == spans("open", *names, "close 1000"))
        serving.wait(lambda: not serving._serving.tasks)


def test_connections_do_not_wait_for_each_other(async_hosting: str) -> None:
    handler = Recording()
    with hosted(async_hosting, handler) as serving:
        stuck = serving.connect().upgrade().send(text("wait"))
        serving.wait(lambda: handler.gate)
        assert serving.connect().upgrade().ask("x") == b"x"
        serving.call(lambda: handler.gate.set())  # type: ignore[union-attr]
        assert stuck.message() == b"wait"


def test_sync_callbacks_keep_their_place_in_line(async_hosting: str) -> None:
    handler = Recording()
    with hosted(async_hosting, handler) as serving:
        wire = serving.connect().upgrade()
        wire.send(text("wait") + frame(PING, b"p", key=KEY) + text("b"))
        assert wire.frames(1) == [(PONG, b"p")]  # the engine answers pings, whoever is busy
        serving.wait(lambda: handler.gate)
        serving.call(lambda: handler.gate.set())  # type: ignore[union-attr]
        assert [payload for _, payload in wire.frames(2)] == [b"wait", b"b"]
        assert handler.log[2:] == ["+wait", "-wait", "ping", "+b", "-b"]


def test_on_close_waits_for_what_is_under_way(async_hosting: str) -> None:
    handler = Recording()
    with hosted(async_hosting, handler) as serving:
        wire = serving.connect().upgrade().send(text("wait") + text("b"))
        serving.wait(lambda: handler.gate)
        wire.leave(reset=True)
        serving.wait(lambda: not serving.server.connections)
        assert handler.log == [*spans("open"), "+wait"]
        serving.call(lambda: handler.gate.set())  # type: ignore[union-attr]
        serving.wait(lambda: handler.log == spans("open", "wait", "b", "close 1006"))


@pytest.mark.parametrize("early", [False, True])
def test_an_exception_is_1011_and_logged_once(
    async_hosting: str, early: bool, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Recording()
    with hosted(async_hosting, handler) as serving:
        messages = text("a") + text("raise") + text("b") + text("c")
        wire = serving.connect().upgrade(early=messages if early else b"")
        if not early:
            wire.send(messages)
        assert wire.message() == b"a"
        wire.expect_close(1011)
        serving.wait(lambda: handler.log[-1] == "-close 1011")
        assert handler.log == [*spans("open", "a"), "+raise", *spans("close 1011")]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


def test_reading_pauses_while_messages_wait(async_hosting: str) -> None:
    """A peer that sends faster than the handler works fills its own buffers, not our memory."""
    handler = Recording()
    with hosted(async_hosting, handler) as serving:
        wire = serving.connect().upgrade().send(text("wait"))
        serving.wait(lambda: handler.gate)
        count, size = 400, 100_000
        data = (frame(BINARY, bytes(size), key=KEY)) * count
        sender = threading.Thread(target=wire.push, args=(data,))
        sender.start()
        sender.join(0.3)
        assert sender.is_alive(), "40 MB left although nobody reads"
        serving.call(lambda: handler.gate.set())  # type: ignore[union-attr]
        assert wire.frames(1) == [(TEXT, b"wait")]
        assert wire.frames(100) == [(BINARY, bytes(size))] * 100
        wire.socket.shutdown(socket.SHUT_RDWR)  # to close it would not wake the sender
        sender.join(10)
        assert not sender.is_alive()
        serving.wait(lambda: not serving._serving.tasks)


def test_closing_from_a_coroutine(async_hosting: str) -> None:
    class Leaving(Recording):
        async def on_message(self, ws: Any, message: str) -> None:
            await self.step(message)
            ws.close(4000, "enough")
            await self.step("after")
            assert not ws.send("too late")

    handler = Leaving()
    with hosted(async_hosting, handler) as serving:
        serving.connect().upgrade().send(text("a")).expect_close(4000)
        serving.wait(lambda: handler.log[-1:] == ["-close 4000"])
        assert handler.log == spans("open", "a", "after", "close 4000")


def test_shutdown_cancels_what_hangs(async_hosting: str, caplog: pytest.LogCaptureFixture) -> None:
    handler = Recording()
    with hosted(async_hosting, handler, closing_seconds=0.1, grace_seconds=0.2) as serving:
        wire = serving.connect().upgrade().send(text("wait") + text("never"))
        serving.wait(lambda: handler.gate)
        serving.end()
        assert wire.frames(1)[0][0] == CLOSE
    assert handler.log == [*spans("open"), "+wait", *spans("close 1006")]
    assert not caplog.records


def test_other_asyncio_code_runs_beside_it(async_hosting: str) -> None:
    """And what it sends from outside of a handler leaves at once."""
    app = App(origins="any")
    sockets: list[Any] = []

    @app.websocket("/")
    class Ticker:
        def on_open(self, ws: Any) -> None:
            sockets.append(ws)
            asyncio.get_running_loop().call_later(0.01, ws.send, "from asyncio")

        def on_message(self, ws: Any, message: str) -> None:
            self.task = asyncio.get_running_loop().create_task(self.later(ws, message))

        async def later(self, ws: Any, message: str) -> None:
            result = await asyncio.get_running_loop().run_in_executor(None, message.upper)
            ws.send(result)

    with hosted(async_hosting, app) as serving:
        wire = serving.connect().upgrade()
        assert wire.message() == b"from asyncio"
        assert wire.ask("thread") == b"THREAD"


# --- behind a gate -------------------------------------------------------------------------------


class Gated(Recording):
    """The same, for who has authenticated."""

    async def on_authenticated(self, ws: Any, grant: Grant) -> None:
        await self.step(f"granted {grant.subject}")


def gated_app(handler: Gated, **options: Any) -> App:
    """The credential "brief" is good for a moment."""
    grants = {"alice": Grant("alice"), "brief": Grant("alice", seconds=0.1)}
    app = App(origins="any")
    gate = Authenticated(handler, verify=grants.get, **options)
    app.websocket("/").take(gate)
    return app


def test_a_gated_handler_that_raises(async_hosting: str, caplog: pytest.LogCaptureFixture) -> None:
    handler = Gated()
    with hosted(async_hosting, gated_app(handler)) as serving:
        wire = serving.connect().upgrade(early=text("authenticate alice") + text("raise"))
        wire.expect_close(1011)
        serving.wait(lambda: handler.log[-1].startswith("-close"))
    assert "on purpose" in caplog.text


def test_behind_authentication_in_line(async_hosting: str) -> None:
    handler = Gated()
    with hosted(async_hosting, gated_app(handler)) as serving:
        early = frame(PING, b"", key=KEY) + b"".join(map(text, ["authenticate alice", "a", "b"]))
        wire = serving.connect().upgrade(early=early)
        assert [payload for _, payload in wire.frames(3)] == [b"", b"a", b"b"]
        wire.goodbye()
        expected = spans("granted alice", "open", "a", "b", "close 1000")
        serving.wait(lambda: handler.log == expected)


def test_who_does_not_authenticate_never_reaches_it(async_hosting: str) -> None:
    handler = Gated()
    with hosted(async_hosting, gated_app(handler)) as serving:
        wire = serving.connect().upgrade(early=text("authenticate mallory") + text("more"))
        wire.expect_close(4401)
        serving.wait(lambda: not serving.server.connections)
    assert handler.log == []


def test_a_credential_does_not_wait_in_line(async_hosting: str) -> None:
    """It is renewed while a message is under way that takes longer than the grace."""
    handler = Gated()
    app = gated_app(handler, on_expiry="ask", grace_seconds=5.0)
    with hosted(async_hosting, app) as serving:
        wire = serving.connect().upgrade(early=text("authenticate brief") + text("wait"))
        assert wire.message() == b"reauthenticate"
        wire.send(text("authenticate alice") + text("more"))
        serving.wait(lambda: handler.gate)
        serving.call(lambda: handler.gate.set())  # type: ignore[union-attr]
        assert [payload for _, payload in wire.frames(2)] == [b"wait", b"more"]
        names = ("granted alice", "open", "wait", "granted alice", "more")
        serving.wait(lambda: handler.log == spans(*names))
