"""A `verify` that is a coroutine function, wherever asyncio hosts: what waits, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hosted import ASYNC_HOSTINGS, Hosted, Wire, hosted
from sockets import request_head, text
from wire import BINARY, KEY, PING, PONG, TEXT, frame, pieces
from wsfast.app import App
from wsfast.auth import Authenticated, Basic, Bearer, Grant
from wsfast.errors import LocalProtocolError
from wsfast.server import Server


@pytest.fixture(params=ASYNC_HOSTINGS)
def async_hosting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Provider:
    """An identity provider: each question waits until it is let go of."""

    gate: Gate
    grants = {
        "alice": Grant("alice"),
        "brief": Grant("alice", 0.2),
        "again": Grant("alice"),
        "bob": Grant("bob"),
        "true": True,
    }

    def __init__(self, *at_once: str) -> None:
        self.at_once = at_once
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def verify(self, credential: str) -> Any:
        self.asked.append(credential)
        try:
            if credential not in self.at_once:
                gate = self.gates[credential] = asyncio.Event()
                await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(credential)
            raise
        if credential == "raise":
            raise ZeroDivisionError("on purpose")
        if credential == "cancel":
            raise asyncio.CancelledError
        return self.grants.get(credential)

    def let_go(self, serving: Hosted, credential: str) -> None:
        """Answer, once it was asked."""
        serving.wait(lambda: credential in self.gates)
        serving.call(lambda: self.gates.pop(credential).set())


class Sync:
    """Keeps what happens, and echoes."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def on_authenticated(self, ws: Any, grant: Grant) -> None:
        self.log.append(f"granted {grant.subject}")

    def on_open(self, ws: Any) -> None:
        self.log.append("open")

    def on_message(self, ws: Any, message: Any) -> None:
        self.log.append(message if len(message) < 100 else len(message))
        if message == "raise here":
            raise KeyError(message)
        if message == "leave":
            ws.disconnect()
        ws.send(message)

    def on_ping(self, ws: Any, payload: bytes) -> None:
        self.log.append(payload)

    def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        self.log.append(f"close {close_code}")


class Async(Sync):
    async def on_open(self, ws: Any) -> None:
        await asyncio.sleep(0)
        super().on_open(ws)

    async def on_message(self, ws: Any, message: Any) -> None:
        await asyncio.sleep(0)
        super().on_message(ws, message)


class Gate(Authenticated):
    """Remembers the one that was made of it for the server."""

    hosted: Authenticated

    def around(self, handler: object, tasks: Any = None) -> Authenticated:
        self.hosted = super().around(handler, tasks)
        return self.hosted


def gated(handler: object, provider: Provider, **options: Any) -> App:
    app = App(origins="any")
    provider.gate = Gate(handler, verify=provider.verify, **options)
    app.websocket("/").take(provider.gate)
    return app


def end_of(wire: Wire, reason: str, close_code: int = 4401) -> None:
    """A Close with that code and reason, answered; TCP ends then, or the wire's patience."""
    [(opcode, payload)] = wire.frames(1)
    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, close_code)
    assert reason in payload[2:].decode()
    wire.send(frame(8, payload, key=KEY)).rest()


# --- what waits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Sync, Async])
def test_what_comes_behind_the_credential_waits_in_order(async_hosting: str, kind: Any) -> None:
    provider, handler = Provider(), kind()
    with hosted(async_hosting, gated(handler, provider)) as serving:
        wire = serving.connect().upgrade(early=text("authenticate alice") + text("a"))
        wire.send(text("b") + frame(PING, b"p", key=KEY) + text("c"))
        assert wire.frames(1) == [(PONG, b"p")], "the engine answers pings, whoever is verified"
        serving.wait(lambda: provider.asked)
        assert handler.log == []
        provider.let_go(serving, "alice")
        assert wire.frames(3) == [(TEXT, b"a"), (TEXT, b"b"), (TEXT, b"c")]
        assert wire.ask("d") == b"d"
        wire.goodbye()
        expected = ["granted alice", "open", "a", "b", b"p", "c", "d", "close 1000"]
        serving.wait(lambda: handler.log == expected)
    assert provider.asked == ["alice"] and provider.cancelled == []


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_however_it_is_cut(async_hosting: str, step: int) -> None:
    provider, handler = Provider("alice", "again"), Sync()
    sent = request_head() + b"".join(
        map(text, ["authenticate alice", "a", "authenticate again", "b", "authenticate alice"])
    )
    with hosted(async_hosting, gated(handler, provider)) as serving:
        wire = serving.connect()
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces(sent, step):
            wire.send(piece)
        assert wire.head().startswith(b"HTTP/1.1 101 ")
        assert wire.frames(2) == [(TEXT, b"a"), (TEXT, b"b")]
        serving.wait(lambda: handler.log.count("granted alice") == 3)
        assert [each for each in handler.log if each in "ab"] == ["a", "b"]


def test_a_provider_that_answers_at_once_is_no_special_case(async_hosting: str) -> None:
    provider, handler = Provider("alice"), Sync()
    with hosted(async_hosting, gated(handler, provider)) as serving:
        wires = [serving.connect() for _ in range(20)]
        for wire in wires:
            wire.upgrade(early=text("authenticate alice") + text("x"))
        for wire in wires:
            assert wire.message() == b"x"
            wire.goodbye()
        serving.wait(lambda: handler.log.count("close 1000") == 20)
        serving.wait(lambda: not len(serving._serving.tasks))
        assert provider.gate.hosted._sessions == {}


def test_memory_is_bounded_while_it_waits(async_hosting: str) -> None:
    provider, handler = Provider(), Sync()
    with hosted(async_hosting, gated(handler, provider)) as serving:
        wire = serving.connect().upgrade().send(text("authenticate alice"))
        serving.wait(lambda: provider.asked)
        count, size = 400, 100_000
        data = frame(BINARY, bytes(size), key=KEY) * count
        sender = threading.Thread(target=wire.push, args=(data,))
        sender.start()
        [session] = provider.gate.hosted._sessions.values()
        serving.wait(lambda: session.line is not None and len(session.line) > 1)
        sender.join(0.3)
        assert sender.is_alive(), "40 MB left although nobody is let in"
        assert len(session.line) * size <= 512 * 1024
        provider.let_go(serving, "alice")
        assert wire.frames(count) == [(BINARY, bytes(size))] * count
        sender.join(10)
        assert handler.log == ["granted alice", "open", *[size] * count]


# --- how it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [b"", text("more") * 30])
@pytest.mark.parametrize("credential", ["mallory", "alice"])
def test_the_deadline_goes_on(async_hosting: str, behind: bytes, credential: str) -> None:
    provider, handler = Provider(), Sync()
    app = gated(handler, provider, deadline_seconds=0.2)
    with hosted(async_hosting, app, closing_seconds=60) as serving:
        wire = serving.connect().upgrade(early=text(f"authenticate {credential}") + behind)
        end_of(wire, "no credential was verified within 0.2 s")
        serving.wait(lambda: provider.cancelled == [credential])
        serving.wait(lambda: not serving.server.connections)
        assert provider.gate.hosted._sessions == {}
    assert handler.log == []


@pytest.mark.parametrize("behind", [b"", text("more") * 30])
def test_a_wrong_credential(async_hosting: str, behind: bytes) -> None:
    provider, handler = Provider(), Sync()
    with hosted(async_hosting, gated(handler, provider), closing_seconds=60) as serving:
        wire = serving.connect().upgrade(early=text("authenticate mallory") + behind)
        provider.let_go(serving, "mallory")
        end_of(wire, "the credential is not accepted")
        serving.wait(lambda: not serving.server.connections)
    assert handler.log == []


@pytest.mark.parametrize("credential", ["raise", "cancel", "true"])
@pytest.mark.parametrize("behind", [b"", text("more") * 30])
def test_what_goes_wrong_is_1011_and_logged_once(
    async_hosting: str, credential: str, behind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    provider, handler = Provider(), Sync()
    with hosted(async_hosting, gated(handler, provider)) as serving:
        wire = serving.connect().upgrade(early=text(f"authenticate {credential}") + behind)
        provider.let_go(serving, credential)
        wire.expect_close(1011)
        wire.leave()
        serving.wait(lambda: not serving.server.connections)
        assert provider.gate.hosted._sessions == {}
    assert handler.log == []
    kinds = {"raise": ZeroDivisionError, "cancel": LocalProtocolError, "true": TypeError}
    assert [each.exc_info[0] for each in caplog.records if each.exc_info] == [kinds[credential]]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("how", ["leave", "reset", "goodbye", "half"])
def test_the_connection_may_end_meanwhile(
    async_hosting: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider, handler = Provider(), Sync()
    with hosted(async_hosting, gated(handler, provider)) as serving:
        wire = serving.connect().upgrade(early=text("authenticate alice") + text("more"))
        serving.wait(lambda: provider.asked)
        if how == "goodbye":
            wire.goodbye()
        elif how == "half":
            wire.socket.shutdown(socket.SHUT_WR)
            wire.rest()
        else:
            wire.leave(reset=how == "reset")
        serving.wait(lambda: not serving.server.connections)
        serving.wait(lambda: provider.cancelled == ["alice"])
        serving.wait(lambda: not len(serving._serving.tasks))
        assert provider.gate.hosted._sessions == {}
    assert handler.log == [] and not caplog.records


def test_the_server_may_end_meanwhile(
    async_hosting: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider, handler = Provider(), Sync()
    with hosted(async_hosting, gated(handler, provider), closing_seconds=0.2) as serving:
        wire = serving.connect().upgrade(early=text("authenticate alice"))
        serving.wait(lambda: provider.asked)
        serving.end()
        assert wire.frames(1)[0][1][:2] == (1001).to_bytes(2, "big")
    assert handler.log == [] and provider.cancelled == ["alice"] and not caplog.records


@pytest.mark.parametrize("message", ["raise here", "leave"])
def test_a_handler_that_fails_or_leaves_gets_nothing_of_what_waited(
    async_hosting: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider, handler = Provider(), Sync()
    with hosted(async_hosting, gated(handler, provider)) as serving:
        behind = b"".join(map(text, ["a", message, "b", "c"]))
        wire = serving.connect().upgrade(early=text("authenticate alice") + behind)
        provider.let_go(serving, "alice")
        wire.rest()
        wire.leave()
        serving.wait(lambda: not serving.server.connections)
    end = "close 1011" if message == "raise here" else "close 1006"
    assert handler.log == ["granted alice", "open", "a", message, end]
    assert len(caplog.records) == (message == "raise here")


# --- renewal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Sync, Async])
def test_a_renewal_holds_nothing_up(async_hosting: str, kind: Any) -> None:
    provider, handler = Provider("brief"), kind()
    with hosted(async_hosting, gated(handler, provider, on_expiry="ask")) as serving:
        early = text("authenticate brief") + text("authenticate alice")  # before it is asked for
        wire = serving.connect().upgrade(early=early)
        serving.wait(lambda: "alice" in provider.gates)
        assert [wire.ask(each) for each in "abc"] == [b"a", b"b", b"c"]
        provider.let_go(serving, "alice")
        serving.wait(lambda: handler.log.count("granted alice") == 2)
        assert wire.ask("d") == b"d", "and nobody asks for another one"
    assert handler.log[:6] == ["granted alice", "open", "a", "b", "c", "granted alice"]


def test_behind_a_second_one_that_waits_everything_waits(async_hosting: str) -> None:
    """One at a time is verified, and each message is delivered by whom it was sent."""
    provider, handler = Provider(), Sync()
    with hosted(async_hosting, gated(handler, provider)) as serving:
        words = ["authenticate alice", "a", "authenticate again", "b", "authenticate bob", "c"]
        wire = serving.connect().upgrade(early=b"".join(map(text, words)))
        provider.let_go(serving, "alice")
        assert wire.frames(2) == [(TEXT, b"a"), (TEXT, b"b")]
        serving.wait(lambda: provider.asked == ["alice", "again"])
        wire.send(text("d"))
        provider.let_go(serving, "again")
        serving.wait(lambda: provider.asked == ["alice", "again", "bob"])
        assert wire.frames(2) == [(TEXT, b"c"), (TEXT, b"d")]
        provider.let_go(serving, "bob")
        end_of(wire, "somebody else's")
        serving.wait(lambda: handler.log[-1] == "close 4401")
    assert handler.log == [
        "granted alice",
        "open",
        "a",
        "b",
        "granted alice",
        "c",
        "d",
        "close 4401",
    ]


def test_a_flood_of_credentials_costs_what_it_has_to(async_hosting: str) -> None:
    """Each is looked at twice, not as often as there are others; and they stay bounded."""
    provider, handler = Provider("alice"), Sync()
    count = 3000
    with hosted(async_hosting, gated(handler, provider)) as serving:
        wire = serving.connect().upgrade()
        begun = time.process_time()
        wire.send(text("authenticate alice") * count + text("end"))
        assert wire.message() == b"end"
        assert time.process_time() - begun < 8
    assert handler.log.count("granted alice") >= count - 1


@pytest.mark.parametrize("on_expiry", ["close", "ask"])
def test_a_renewal_that_takes_too_long(async_hosting: str, on_expiry: str) -> None:
    provider, handler = Provider("brief"), Sync()
    app = gated(handler, provider, on_expiry=on_expiry, grace_seconds=0.2)
    with hosted(async_hosting, app, closing_seconds=60) as serving:
        early = text("authenticate brief") + text("authenticate alice")
        wire = serving.connect().upgrade(early=early)
        reasons = {
            "close": "the credential has expired",
            "ask": "no new credential was verified within 0.2 s",
        }
        end_of(wire, reasons[on_expiry])  # and no challenge comes before
        serving.wait(lambda: provider.cancelled == ["alice"])
        serving.wait(lambda: handler.log[-1] == "close 4401")


def test_a_renewal_within_the_grace(async_hosting: str) -> None:
    provider, handler = Provider("brief"), Sync()
    app = gated(handler, provider, on_expiry="ask", grace_seconds=9)
    with hosted(async_hosting, app) as serving:
        wire = serving.connect().upgrade(early=text("authenticate brief"))
        assert wire.message() == b"reauthenticate"
        wire.send(text("authenticate alice") + text("a"))
        assert wire.message() == b"a"
        provider.let_go(serving, "alice")
        serving.wait(lambda: handler.log.count("granted alice") == 2)


def test_a_renewal_does_not_wait_for_a_handler_that_is_busy(async_hosting: str) -> None:
    class Busy(Async):
        async def on_message(self, ws: Any, message: Any) -> None:
            self.gate = asyncio.Event()
            await self.gate.wait()
            await super().on_message(ws, message)

    provider, handler = Provider("brief", "alice"), Busy()
    app = gated(handler, provider, on_expiry="ask", grace_seconds=9)
    with hosted(async_hosting, app) as serving:
        wire = serving.connect().upgrade(early=text("authenticate brief") + text("a"))
        assert wire.message() == b"reauthenticate"
        wire.send(text("authenticate alice"))
        serving.wait(lambda: provider.asked == ["brief", "alice"])
        serving.call(lambda: handler.gate.set())
        assert wire.message() == b"a"
        serving.wait(lambda: handler.log[-1] == "granted alice")


# --- what may be given, and where ----------------------------------------------------------------


class Callable_:
    async def __call__(self, credential: str) -> Grant:
        return Grant(credential)


async def verify(credential: str) -> Grant:
    return Grant(credential)


@pytest.mark.parametrize("given", [Callable_(), lambda credential: verify(credential)])
def test_whatever_has_to_be_awaited_is(async_hosting: str, given: Any) -> None:
    handler = Sync()
    with hosted(async_hosting, Authenticated(handler, verify=given)) as serving:
        assert serving.connect().upgrade(early=text("authenticate x")).ask("a") == b"a"
    assert handler.log[:2] == ["granted x", "open"]


def test_a_gate_behind_a_gate(async_hosting: str) -> None:
    outer, inner, handler = Provider(), Provider(), Sync()
    gate = Authenticated(Authenticated(handler, verify=inner.verify), verify=outer.verify)
    with hosted(async_hosting, gate) as serving:
        words = ["authenticate alice", "hello"]
        wire = serving.connect().upgrade(early=b"".join(map(text, words)))
        outer.let_go(serving, "alice")
        end_of(wire, "the first message is no credential")
    assert inner.asked == [] and handler.log == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Authenticated(Sync(), verify=verify),
        lambda: Authenticated(Sync(), verify=Callable_()),
        lambda: Authenticated(Authenticated(Sync(), verify=verify), verify={}.get),
    ],
)
def test_alone_it_is_refused_at_the_start(make: Callable[[], Any]) -> None:
    with pytest.raises(LocalProtocolError, match="^verify of route .*: async def needs asyncio"):
        Server(make(), "127.0.0.1", 0)


@pytest.mark.parametrize("check", [Basic(verify), Bearer(verify), Bearer(Callable_())])
def test_alone_so_is_one_of_a_handshake(check: Any) -> None:
    app = App(origins="any", on_upgrade=check)
    app.websocket("/")(Sync)
    with pytest.raises(LocalProtocolError, match="^on_upgrade of route .*: async def needs"):
        Server(app, "127.0.0.1", 0)


@pytest.mark.parametrize("check", [Basic(verify), Bearer(verify)])
def test_one_of_a_handshake_is_awaited(async_hosting: str, check: Any) -> None:
    app = App(origins="any", on_upgrade=check)
    app.websocket("/")(Sync)
    with hosted(async_hosting, app) as serving:
        wire = serving.connect().send(request_head())
        assert wire.head().startswith(b"HTTP/1.1 401 ")


def test_alone_an_awaitable_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    """A plain function that returns one cannot be told before."""
    handler = Sync()

    def later(credential: str) -> Awaitable[Grant]:
        return verify(credential)

    with hosted("alone", Authenticated(handler, verify=later)) as serving:
        wire = serving.connect().upgrade(early=text("authenticate x") + text("more"))
        wire.expect_close(1011)
    assert handler.log == []
    assert "verify returned an awaitable, and asyncio does not host" in caplog.text
    caplog.clear()
