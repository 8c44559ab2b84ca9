"""The app: what it asks for, what its decorators do, and how `run` ends."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wsfast.app
from hosted import Wire
from sockets import Net, Recorder, goodbye, network, request_head, text
from wire import TEXT
from wsfast.app import Accept, App
from wsfast.errors import LocalProtocolError
from wsfast.handshake import Refusal
from wsfast.limits import Limits
from wsfast.logs import AccessLog
from wsfast.server import Server

ROOT = Path(wsfast.app.__file__).resolve().parents[1]

PROGRAM = """
import sys
from wsfast.app import App
from wsfast.limits import Limits
app = App(origins="any", limits=Limits(closing_seconds=60))
@app.websocket("/chat/{room}")
class Chat:
    def on_message(self, ws, message):
        ws.send(ws.path_params["room"] + message)
    def on_close(self, ws, code, reason):
        print("closed", code, flush=True)
@app.get("/")
def page(request):
    return "page"
print("starting", flush=True)
app.run(unix=sys.argv[1], hosting=sys.argv[2])
print("ended", flush=True)
"""


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


# --- origins -------------------------------------------------------------------------------------


def test_an_app_must_say_whom_it_lets_in() -> None:
    with pytest.raises(TypeError) as raised:
        App()
    message = str(raised.value)
    for part in ("App() needs origins: a list", '"same"', '"any"', "10.2", "remote code"):
        assert part in message


@pytest.mark.parametrize("origins", ["*", ["a.example"], ["any", "same"], [5], "https://"])
def test_origins_that_are_none(origins: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="origin"):
        App(origins=origins)
    with pytest.raises((ValueError, TypeError), match="origin"):
        App(origins="any").websocket("/", origins=origins)


@pytest.mark.parametrize(
    ("origins", "origin", "accepted"),
    [
        ("any", "https://x.example", True),
        ("any", None, True),
        ("same", "http://127.0.0.1", True),
        ("same", "https://x.example", False),
        ("same", None, False),
        (["https://x.example"], "https://x.example", True),
        (["https://x.example"], "https://x.example:444", False),
        (["https://x.example", None], None, True),
        (["https://x.example"], "null", False),
        ([], "https://x.example", False),
    ],
)
@pytest.mark.parametrize("of_the_route", [False, True])
def test_origins(
    net: Net, origins: Any, origin: str | None, accepted: bool, of_the_route: bool
) -> None:
    app = App(origins=["https://other.example"] if of_the_route else origins)
    app.websocket("/", origins=origins if of_the_route else None)(Recorder())
    peer = net.peer(net.server(app))
    peer.send(request_head(*([f"Origin: {origin}"] if origin else [])))
    assert peer.take_head().startswith(b"HTTP/1.1 101 " if accepted else b"HTTP/1.1 403 ")


def test_origins_of_a_server_are_those_of_its_app(net: Net) -> None:
    for options in ({"origins": "any"}, {"subprotocols": ["a"]}):
        with pytest.raises(TypeError, match="those of the site's routes"):
            net.server(App(origins="same"), **options)


# --- routes --------------------------------------------------------------------------------------


def test_decorators_return_what_they_decorate(net: Net) -> None:
    app = App(origins="any")

    @app.websocket("/class")
    class Handler:
        def on_message(self, ws: Any, message: Any) -> None:
            ws.send("class " + message)

    @app.websocket("/function")
    def function(ws: Any, message: Any) -> None:
        ws.send("function " + message)

    route = app.websocket("/functions")

    @route.on_message
    def message(ws: Any, message: Any) -> None:
        ws.send("functions " + message)

    @route.on_open
    def opened(ws: Any) -> None:
        ws.send("open")

    @app.get("/page")
    def page(request: Any) -> str:
        return "page"

    assert isinstance(Handler, type) and function.__name__ == "function"
    assert opened.__name__ == "opened" and page(None) == "page"
    server = net.server(app)
    expected = {
        "/class": [b"class x"],
        "/function": [b"function x"],
        "/functions": [b"open", b"functions x"],
    }
    for target, answers in expected.items():
        peer = net.peer(server)
        peer.send(request_head(target=target) + text("x"))
        peer.take_head()
        peer.expect(*((TEXT, answer) for answer in answers))


def test_options_of_a_route(net: Net) -> None:
    app = App(origins="any", limits=Limits(max_message_bytes=10))
    app.websocket("/small")(Recorder(echo=True))
    app.websocket("/large", limits=Limits(max_message_bytes=1000))(Recorder(echo=True))
    server = Server(app, port=0, loop=net.loop)
    net.servers.append(server)
    assert server.settings.limits.max_message_bytes == 10
    for target, fits in (("/small", False), ("/large", True)):
        peer = net.peer(server)
        peer.send(request_head(target=target) + text("x" * 100))
        peer.take_head()
        if fits:
            peer.expect((TEXT, b"x" * 100))
        else:
            peer.expect_close(1009)


def test_on_upgrade_of_app_route_and_handler(net: Net) -> None:
    def by_the_app(request: Any) -> Refusal:
        return Refusal(401)

    def by_the_route(request: Any) -> Accept:
        return Accept(state="route")

    class Gate(Recorder):
        def on_upgrade(self, request: Any) -> Accept:
            return Accept(state="handler")

    app = App(origins="any", on_upgrade=by_the_app)
    app.websocket("/app")(Recorder())
    route, handler = Recorder(), Gate()
    app.websocket("/route", on_upgrade=by_the_route)(route)
    app.websocket("/handler")(handler)
    server = net.server(app)
    for target, status in (("/app", b"401"), ("/route", b"101"), ("/handler", b"101")):
        peer = net.peer(server)
        peer.send(request_head(target=target))
        assert peer.take_head().split(b" ")[1] == status
    assert route.endpoints[0].state == "route" and handler.endpoints[0].state == "handler"


@pytest.mark.parametrize("path", ["", "x", "/{a}/{a}", "/{a:float}", "/x{a}"])
def test_paths_are_checked_when_they_are_registered(path: str) -> None:
    app = App(origins="any")
    with pytest.raises(ValueError, match="path"):
        app.websocket(path)
    with pytest.raises(ValueError, match="path"):
        app.get(path)(lambda request: "")
    assert list(app.routes) == []


def test_one_app_on_two_servers(net: Net) -> None:
    app = App(origins="any")
    app.websocket("/")(Recorder(echo=True))
    for server in (net.server(app), net.server(app)):
        peer = net.peer(server).upgrade()
        peer.send(text("x"))
        peer.expect((TEXT, b"x"))
        assert server.connections == 1


def test_counters_and_tracers_of_all_routes(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    app = App(origins="any", limits=Limits(max_connections=4))
    app.websocket("/echo")(Recorder(echo=True))
    app.websocket("/mute/{name}", limits=Limits(max_message_bytes=10))(lambda ws, message: None)
    app.get("/page")(lambda request: "page")
    caplog.set_level(logging.INFO, "wsfast.access")
    log = AccessLog()
    server = Server(app, port=0, loop=net.loop, tracers=[log])
    net.servers.append(server)
    for target in ("/echo", "/mute/a", "/mute/b", "/page", "/nowhere"):
        peer = net.peer(server)
        peer.send(request_head(target=target) + text("hi") + goodbye(4000))
        net.until(lambda peer=peer: peer.ended)
        peer.close()
    net.until(lambda: not server.connections)
    stats = server.stats()
    counted = ("accepted", "opened", "refused", "pages", "closed")
    assert [stats[name] for name in counted] == [5, 3, 1, 1, 3]
    assert (stats["messages_received"], stats["messages_sent"]) == (3, 1)
    assert (stats["admitted"], stats["listening"], stats["connections"]) == (5, 1, 0)
    records = [vars(record) for record in caplog.records]
    assert [(each["path"], each.get("status"), each.get("close_code")) for each in records] == [
        *(("/echo", 101, None), ("/echo", None, 4000)),
        *(("/mute/a", 101, None), ("/mute/a", None, 4000)),
        *(("/mute/b", 101, None), ("/mute/b", None, 4000)),
        *(("/page", 200, None), ("/nowhere", 404, None)),
    ]
    assert not log._begun and not log._open


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pages_of_a_server_that_drains(
    net: Net, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was accepted before and asks now is told; a WebSocket may open, and is closed then."""
    monkeypatch.setattr("wsfast.drain._OPENING_SECONDS", 60.0)
    app = App(origins="any")
    app.websocket("/")(Recorder())
    app.get("/healthz")(lambda request: "ok")
    app.get("/version", while_draining=True)(lambda request: "7")
    server = net.server(app)
    probes = {name: net.peer(server) for name in ("/healthz", "/version", "/nothing")}
    peer, keeper = net.peer(server), net.peer(server).upgrade()
    net.until(lambda: server.connections == 5)
    server.drain(close_code=1012)
    heads = {}
    for name, probe in probes.items():
        probe.send(f"{method} {name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        heads[name] = probe.take_head()
    assert [head.split(b" ")[1] for head in heads.values()] == [b"503", b"200", b"404"]
    assert b"\r\nRetry-After: 5\r\n" in heads["/healthz"]
    peer.send(request_head())
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    net.until(lambda: peer.frames)
    peer.send(goodbye(1012))
    peer.expect_close(1012)
    keeper.close()


# --- running -------------------------------------------------------------------------------------


def test_a_hosting_that_is_none() -> None:
    with pytest.raises(ValueError, match="hosting is 'trio', none of alone, asyncio, uvloop"):
        App(origins="any").run(hosting="trio")


def test_a_route_without_a_handler_is_refused_at_the_start() -> None:
    app = App(origins="any")
    app.websocket("/empty")
    with pytest.raises(LocalProtocolError, match="route /empty has no handler"):
        app.run(port=0)


@pytest.mark.parametrize("workers", [None, 2])
def test_what_cannot_be_served_is_said_here_and_not_by_workers(workers: int | None) -> None:
    app = App(origins="any")

    @app.get("/")
    async def page(request: Any) -> str:
        return "page"

    with pytest.raises(LocalProtocolError, match="page .*: async def needs asyncio"):
        app.run(port=0, workers=workers, hosting="alone")
    client_side = ssl.create_default_context()
    with pytest.raises(ValueError, match="is for the other side"):
        app.run(port=0, workers=workers, tls=client_side)
    with pytest.raises(ValueError, match="proxy_protocol needs trusted_proxies"):
        app.run(port=0, workers=workers, proxy_protocol=True)


@pytest.mark.parametrize("hosting", ["alone", "asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_ends_with_a_signal(tmp_path: Path, hosting: str, number: signal.Signals) -> None:
    if hosting == "uvloop":
        pytest.importorskip("uvloop")
    path = tmp_path / "socket"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), hosting],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "starting\n"
        wire = unix_wire(path)
        assert wire.upgrade("/chat/lobby").ask("!") == b"lobby!"
        process.send_signal(number)
        wire.expect_close(1001)
        wire.leave()
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert out == "closed 1001\nended\n" and process.returncode == 0
    assert not path.exists()


def unix_wire(path: Path) -> Wire:
    """A client of a Unix domain socket; a program that has begun listens soon."""
    wire = Wire.__new__(Wire)
    wire.received = b""
    for _ in range(6000):
        wire.socket = socket.socket(socket.AF_UNIX)
        wire.socket.settimeout(10)
        try:
            wire.socket.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            wire.socket.close()
            os.sched_yield()
            select_a_moment()
        else:
            return wire
    raise AssertionError("it does not listen")


def select_a_moment() -> None:
    signal.sigtimedwait([], 0.01)
