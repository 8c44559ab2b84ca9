"""One app, served alone, inside asyncio, and as a guest: the same for whoever connects."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from hosted import ASYNC_HOSTINGS, HOSTINGS, hosted
from sockets import goodbye, request_head, text
from wire import BINARY, CLOSE, KEY, PING, PONG, TEXT, frame
from wsfast.app import Accept, App
from wsfast.errors import LocalProtocolError
from wsfast.handshake import Refusal
from wsfast.response import Response, redirect


@pytest.fixture(params=HOSTINGS)
def hosting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ASYNC_HOSTINGS)
def async_hosting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Echo:
    def on_message(self, ws: Any, message: Any) -> None:
        ws.send(message)


def echo_app() -> App:
    app = App(origins="any")
    app.websocket("/")(Echo)
    return app


# --- routes --------------------------------------------------------------------------------------


def test_echo(hosting: str) -> None:
    with hosted(hosting, echo_app()) as serving:
        wires = [serving.connect().upgrade() for _ in range(5)]
        for size in (0, 125, 126, 70_000):
            for wire in wires:
                wire.send(frame(BINARY, bytes(size), key=KEY))
            for wire in wires:
                assert wire.frames(1) == [(BINARY, bytes(size))]
        wires[0].send(frame(PING, b"p", key=KEY))
        assert wires[0].frames(1) == [(PONG, b"p")]
        wires[0].goodbye()
        serving.wait(lambda: serving.server.connections == 4)


def test_a_handler_without_an_app(hosting: str) -> None:
    with hosted(hosting, Echo()) as serving:
        assert serving.connect().upgrade("/any/path").ask("x") == b"x"


def test_routes_pages_and_refusals(hosting: str) -> None:
    app = App(origins=["https://a.example", None])

    @app.websocket("/chat/{room}/{id:int}")
    def chat(ws: Any, message: str) -> None:
        params, request = ws.path_params, ws.request
        ws.send(f"{params} {request.path_params == params} {request.query} {message}")

    app.websocket("/open", origins="any")(Echo)

    @app.get("/healthz")
    def healthz(request: Any) -> str:
        return "ok"

    @app.get("/chat/{room}/{id:int}")
    def page(request: Any) -> Response:
        return Response(body=f"{request.path_params['room']}", content_type="text/html")

    with hosted(hosting, app) as serving:
        wire = serving.connect().upgrade("/chat/a%20b/7?q=1")
        assert wire.ask("hi") == b"{'room': 'a b', 'id': 7} True q=1 hi"
        assert serving.connect().upgrade("/open", "Origin: https://b.example").ask("x") == b"x"
        for request, status, body in [
            (b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, b"ok"),
            (b"HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, b""),
            (b"GET /chat/x/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, b"x"),
            (b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 405, None),
            (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, None),
            (request_head(target="/chat/x/y"), 404, None),
            (b"GET /open HTTP/1.1\r\nHost: a\r\n\r\n", 426, None),
            (request_head("Origin: https://b.example", target="/chat/x/1"), 403, None),
            (request_head("Origin: null", target="/chat/x/1"), 403, None),
        ]:
            wire = serving.connect().send(request)
            assert wire.head().startswith(b"HTTP/1.1 %d " % status), request
            rest = wire.rest()
            assert rest == body if body is not None else rest.endswith(b"\n")


def test_subprotocols_of_a_route(hosting: str) -> None:
    app = App(origins="any", subprotocols=["a"])
    for path, options in (("/a", {}), ("/b", {"subprotocols": ["c", "b"]})):

        @app.websocket(path, **options)
        class Said:
            def on_open(self, ws: Any) -> None:
                ws.send(str(ws.subprotocol))

    with hosted(hosting, app) as serving:
        offer = "Sec-WebSocket-Protocol: a, b, c"
        assert serving.connect().upgrade("/a", offer).message() == b"a"
        assert serving.connect().upgrade("/b", offer).message() == b"c"
        assert serving.connect().upgrade("/b").message() == b"None"


def decide(request: Any) -> Any:
    """What an on_upgrade may do, by path."""
    match request.path_params["what"]:
        case "accept":
            return None
        case "more":
            return Accept(headers={"X-More": "1"}, cookies={"s": "1"}, subprotocol="b", state="me")
        case "refuse":
            return Refusal(401, headers=[("WWW-Authenticate", "Bearer")], body=b"who?")
        case "respond":
            return Response(503, "busy", {"Retry-After": "1"})
        case "redirect":
            return redirect("/elsewhere")
        case "wrong":
            return "yes"
        case "unoffered":
            return Accept(subprotocol="zzz")
    raise RuntimeError("on purpose")


async def decide_later(request: Any) -> Any:
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    return decide(request)


def gate_app(on_upgrade: Any) -> App:
    app = App(origins="any")

    @app.websocket("/{what}", on_upgrade=on_upgrade)
    class Gate:
        def on_open(self, ws: Any) -> None:
            ws.send(f"{ws.state} {ws.subprotocol}")

    return app


def check_gate(hosting: str, on_upgrade: Any) -> None:
    with hosted(hosting, gate_app(on_upgrade)) as serving:
        for what, status, line in [
            ("refuse", 401, b"WWW-Authenticate: Bearer"),
            ("respond", 503, b"Retry-After: 1"),
            ("redirect", 307, b"Location: /elsewhere"),
            ("wrong", 500, b""),
            ("unoffered", 500, b""),
            ("raise", 500, b""),
        ]:
            wire = serving.connect().send(request_head(target=f"/{what}"))
            head = wire.head()
            assert head.startswith(b"HTTP/1.1 %d " % status) and line in head
            wire.rest()
        assert serving.connect().upgrade("/accept").message() == b"None None"
        wire = serving.connect()
        wire.send(request_head("Sec-WebSocket-Protocol: a, b", target="/more"))
        head = wire.head()
        assert b"\r\nX-More: 1\r\n" in head and b"\r\nSec-WebSocket-Protocol: b\r\n" in head
        assert b"\r\nSet-Cookie: s=1; Path=/; HttpOnly; SameSite=Lax\r\n" in head
        assert wire.message() == b"me b"


def test_on_upgrade(hosting: str, caplog: pytest.LogCaptureFixture) -> None:
    check_gate(hosting, decide)
    assert len(caplog.records) == 3


def test_async_on_upgrade(async_hosting: str, caplog: pytest.LogCaptureFixture) -> None:
    check_gate(async_hosting, decide_later)
    assert len(caplog.records) == 3


def test_coroutines_need_asyncio() -> None:
    async def later(*args: Any) -> None: ...

    for add in (
        lambda app: app.websocket("/a", on_upgrade=later)(Echo),
        lambda app: app.websocket("/a")(later),
        lambda app: app.get("/a")(later),
    ):
        app = App(origins="any")
        add(app)
        with pytest.raises(LocalProtocolError, match="async def needs asyncio") as raised:
            app.run(port=0, hosting="alone")
        assert "later" in str(raised.value) or "/a" in str(raised.value)


def test_an_awaitable_that_nobody_announced(caplog: pytest.LogCaptureFixture) -> None:
    app = App(origins="any")
    app.websocket("/{what}", on_upgrade=lambda request: decide_later(request))(Echo)
    with hosted("alone", app) as serving:
        wire = serving.connect().send(request_head(target="/accept"))
        assert wire.head().startswith(b"HTTP/1.1 500 ")
    assert "asyncio does not host" in caplog.text


def test_an_async_page(async_hosting: str) -> None:
    app = App(origins="any")

    @app.get("/{name}")
    async def page(request: Any) -> str:
        await asyncio.sleep(0.01)
        if request.path_params["name"] == "bad":
            raise RuntimeError
        return str(request.path_params["name"])

    with hosted(async_hosting, app) as serving:
        wire = serving.connect()
        wire.send(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert wire.head().startswith(b"HTTP/1.1 200 ") and wire.rest() == b"x"
        wire = serving.connect().send(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.head().startswith(b"HTTP/1.1 500 ")


def test_tracers_hear_of_handshakes_that_were_awaited(async_hosting: str) -> None:
    heard: list[Any] = []

    class Spy:
        def on_handshake_end(self, ws: Any, handshake: Any) -> None:
            heard.append((handshake.target, handshake.status))

        def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
            heard.append(close_code)

    with hosted(async_hosting, gate_app(decide_later), tracers=[Spy()]) as serving:
        wire = serving.connect().upgrade("/accept")
        assert wire.message() == b"None None"
        wire.goodbye()
        serving.connect().send(request_head(target="/refuse")).head()
        serving.wait(lambda: heard == [("/accept", 101), 1000, ("/refuse", 401)])


# --- frames with the handshake -------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 300])
def test_frames_behind_the_handshake(hosting: str, count: int) -> None:
    early = b"".join(text(f"{number}") for number in range(count)) + frame(PING, b"p", key=KEY)
    with hosted(hosting, echo_app()) as serving:
        wire = serving.connect().upgrade(early=early)
        frames = wire.frames(count + 1)
        assert frames[:-1] == [(TEXT, b"%d" % number) for number in range(count)]
        assert frames[-1] == (PONG, b"p")


@pytest.mark.parametrize("size", [100, 300_000])
def test_frames_while_on_upgrade_runs(async_hosting: str, size: int) -> None:
    """They are kept, bounded, and delivered after the 101, in order; a Close among them."""
    entered, release = threading.Event(), threading.Event()

    async def on_upgrade(request: Any) -> None:
        entered.set()
        while not release.is_set():
            await asyncio.sleep(0.005)

    app = App(origins="any")
    app.websocket("/", on_upgrade=on_upgrade)(Echo)
    with hosted(async_hosting, app) as serving:
        wire = serving.connect().send(request_head() + text("with"))
        assert entered.wait(5)
        more = frame(BINARY, bytes(size), key=KEY) * 4 + frame(PING, b"p", key=KEY) + goodbye()
        sender = threading.Thread(target=wire.send, args=(more,))
        sender.start()
        serving.call(lambda: None)
        assert wire.received == b""
        release.set()
        assert wire.head().startswith(b"HTTP/1.1 101 ")
        frames = wire.frames(7)
        sender.join(5)
        assert frames[0] == (TEXT, b"with")
        assert frames[1:5] == [(BINARY, bytes(size))] * 4
        assert sorted(frames[5:]) == [(CLOSE, b"\x03\xe8"), (PONG, b"p")]


def waiting_app(log: list[str]) -> App:
    """An app whose on_upgrade waits for ever."""
    app = App(origins="any")

    @app.websocket("/")
    class Slow(Echo):
        async def on_upgrade(self, request: Any) -> None:
            log.append("asked")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

    app.websocket("/echo")(Echo)
    return app


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_cancels_on_upgrade(async_hosting: str, reset: bool) -> None:
    log: list[str] = []
    with hosted(async_hosting, waiting_app(log)) as serving:
        wire = serving.connect().send(request_head())
        serving.wait(lambda: log == ["asked"])
        wire.leave(reset=reset)
        serving.wait(lambda: log == ["asked", "cancelled"])
        serving.wait(lambda: not serving.server.connections)


def test_the_deadline_holds_while_on_upgrade_runs(async_hosting: str) -> None:
    log: list[str] = []
    with hosted(async_hosting, waiting_app(log), opening_seconds=0.2) as serving:
        # On its thread, so that the request is there when the deadline begins.
        wire = serving.call(lambda: serving.connect().send(request_head()))
        assert wire.rest() == b""
        serving.wait(lambda: log == ["asked", "cancelled"])


def test_shutdown_cancels_on_upgrade(async_hosting: str) -> None:
    log: list[str] = []
    with hosted(async_hosting, waiting_app(log)) as serving:
        wire = serving.connect().send(request_head())
        serving.wait(lambda: log == ["asked"])
        serving.end()
        assert log == ["asked", "cancelled"]
        del wire


def test_an_on_upgrade_that_cancels_itself(
    async_hosting: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_upgrade(request: Any) -> None:
        raise asyncio.CancelledError

    app = App(origins="any")
    app.websocket("/", on_upgrade=on_upgrade)(Echo)
    with hosted(async_hosting, app) as serving:
        wire = serving.connect().send(request_head())
        assert wire.head().startswith(b"HTTP/1.1 500 ")
    assert "cancelled itself" in caplog.text


# --- timers, closing, shutdown -------------------------------------------------------------------


def test_deadlines_hold(hosting: str) -> None:
    with hosted(hosting, echo_app(), opening_seconds=0.2) as serving:
        wire = serving.connect().send(b"GET / HTTP/1.1\r\n")
        assert wire.rest() == b""  # cut at the deadline


def test_timers_of_the_selector(hosting: str) -> None:
    app = App(origins="any")

    @app.websocket("/")
    class Later:
        def on_message(self, ws: Any, message: str) -> None:
            ws.settings.loop.selector.call_later(0.05, ws.send, message)

    with hosted(hosting, app) as serving:
        assert serving.connect().upgrade().ask("timer") == b"timer"


def test_a_peer_that_does_not_answer_close(hosting: str) -> None:
    closes: list[int] = []
    app = App(origins="any")

    @app.websocket("/")
    class Closing:
        def on_message(self, ws: Any, message: str) -> None:
            ws.close(4001)

        def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
            closes.append(close_code)

    with hosted(hosting, app, closing_seconds=0.1) as serving:
        wire = serving.connect().upgrade().send(text("x"))
        assert wire.frames(1) == [(CLOSE, b"\x0f\xa1")]
        assert wire.rest() == b""
        serving.wait(lambda: closes == [1006])


def test_shutdown_says_1001_to_all(hosting: str) -> None:
    with hosted(hosting, echo_app()) as serving:
        wires = [serving.connect().upgrade() for _ in range(3)]
        threads = [threading.Thread(target=wire.expect_close, args=(1001,)) for wire in wires]
        for thread in threads:
            thread.start()
        serving.end()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()


def test_a_handler_that_raises(hosting: str, caplog: pytest.LogCaptureFixture) -> None:
    def chat(ws: Any, message: str) -> None:
        raise RuntimeError("on purpose")

    app = App(origins="any")
    app.websocket("/")(chat)
    with hosted(hosting, app) as serving:
        serving.connect().upgrade(early=text("x")).expect_close(1011)
        serving.connect().upgrade().send(text("x")).expect_close(1011)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    caplog.clear()  # their tracebacks hold the endpoints
