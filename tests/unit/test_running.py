"""From options to what is served: sockets, hosting, limits; and what is cleaned up."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockets import Net, network, request_head
from wsfast.running import Running, _pid_file
from wsfast.runoptions import RunOptions
from wsfast.serve.loading import load
from wsfast.server import Server

APP = """
class Echo:
    def on_message(self, ws, message):
        ws.send(message)

from wsfast.app import App
from wsfast.limits import Limits
app = App(origins="any", limits=Limits(max_headers=5, max_head_bytes=1000))
app.websocket("/chat")(Echo)

class Later:
    async def on_close(self, ws, close_code, close_reason):
        pass

later = App(origins="any")
@later.get("/")
async def page(request):
    return "page"
"""


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Target and directory of an application, and the path of modules as it was."""
    (tmp_path / "echoing.py").write_text(APP)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield ["echoing:Echo", "--app-dir", str(tmp_path)]
    sys.modules.pop("echoing", None)


def running(app: list[str], **options: Any) -> Running:
    """How a handler, or what else its module has, is run."""
    target, _, directory = app

    def announce(urls: str) -> None:
        """Nobody listens."""

    return Running(lambda: load(target, directory), RunOptions(**options), announce)


def server_of(made: Running) -> Server:
    """What it serves without workers."""
    application = made.load()
    return Server(application, **made.server_options(application, made.sockets()[0]))


def close_all(places: list[list[socket.socket]]) -> None:
    for each in sum(places, []):
        each.close()


def test_sockets_of_a_port(app: list[str]) -> None:
    for options, places, kinds in (
        ({}, 1, 1),
        ({"workers": 3}, 3, 3),
        ({"workers": 3, "shared_socket": True}, 3, 1),
    ):
        found = running(app, port=0, **options).sockets()
        assert len(found) == places
        assert len({each.fileno() for [each] in found}) == kinds
        close_all(found)


def test_a_port_of_one_process_is_its_own(app: list[str]) -> None:
    """Without SO_REUSEPORT: a second program does not get a share of its connections."""
    found = running(app, port=0).sockets()
    port = found[0][0].getsockname()[1]
    with pytest.raises(OSError, match="Address already in use"):
        running(app, port=port, workers=2).sockets()
    close_all(found)


def test_an_app_keeps_its_limits_but_for_those_that_are_named(app: list[str]) -> None:
    server = server_of(running(["echoing:app", *app[1:]], port=0, limits={"max_headers": 7}))
    limits = server.settings.limits
    assert (limits.max_headers, limits.max_head_bytes) == (7, 1000)
    assert [route.path for route in server.site.routes] == ["/chat"]
    server.close()
    server.loop.close()


@pytest.mark.parametrize(
    ("target", "asked", "hosting"),
    [
        ("app", None, "alone"),
        ("Echo", None, "alone"),
        ("later", None, "asyncio"),
        ("Later", None, "asyncio"),
        ("later", "alone", "alone"),
        ("app", "asyncio", "asyncio"),
        ("app", "uvloop", "uvloop"),
    ],
)
def test_whose_loop(app: list[str], target: str, asked: str | None, hosting: str) -> None:
    if hosting == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    made = running([f"echoing:{target}", *app[1:]], hosting=asked)
    assert made.hosting(made.load()) == hosting


def test_a_uvloop_that_is_not_there(app: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="hosting is 'uvloop', which is not installed"):
        running(app, hosting="uvloop").hosting(object())


def test_a_descriptor_that_was_inherited(app: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        fd = os.dup(given.fileno())
        found = running(app, fd=fd, workers=2).sockets()
        assert found[0] is found[1] and found[0][0].fileno() == fd
        assert found[0][0].getsockname() == given.getsockname()
        close_all(found)


def test_sockets_that_the_program_made(app: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        assert running(app, sockets=[given], workers=2).sockets() == [[given], [given]]
    with pytest.raises(ValueError, match="sockets is empty"):
        running(app, sockets=[]).sockets()


def test_sockets_of_systemd_come_first(app: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        monkeypatch.setattr("wsfast.running.take_sockets", lambda: [("web", given)])
        assert running(app, workers=2).sockets() == [[given], [given]]


@pytest.mark.parametrize(
    ("origins", "origin", "accepted"),
    [
        (None, "https://foreign.example", False),
        (None, None, True),
        (["https://foreign.example"], "https://foreign.example", True),
        (["https://foreign.example"], None, False),
        ("any", "https://foreign.example", True),
    ],
)
def test_the_server_of_a_handler(
    net: Net, app: list[str], origins: Any, origin: str | None, accepted: bool
) -> None:
    server = server_of(dataclasses.replace(running(app, port=0), origins=origins))
    connected = socket.create_connection(server.addresses[0])
    peer = net.adopt(connected)
    lines = [f"Origin: {origin}"] if origin else []
    peer.send(request_head(*lines))
    net.poll(lambda: (server.loop.selector.select(0), peer.received)[1])
    assert peer.received.startswith(b"HTTP/1.1 101 " if accepted else b"HTTP/1.1 403 ")
    peer.close()
    server.close()
    server.loop.close()


def test_tracers_of_the_program_and_the_access_log(app: list[str]) -> None:
    mine = object()
    for access_log, count in ((False, 1), (True, 2)):
        made = running(app, tracers=[mine], access_log=access_log)
        tracers = made.server_options(made.load(), [])["tracers"]
        assert tracers[0] is mine and len(tracers) == count


def test_certificates_are_read_when_they_are_needed(app: list[str], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        running(app, port=0, certificate=str(tmp_path / "none")).run()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made = running(app, tls=context)
    assert made.server_options(made.load(), [])["tls"].context is context


@pytest.mark.parametrize("hosting", ["alone", "asyncio", "uvloop"])
@pytest.mark.parametrize("metrics", [None, "127.0.0.1:0"])
def test_from_start_to_end(
    app: list[str], tmp_path: Path, hosting: str, metrics: str | None
) -> None:
    """In this process: announced, ended by a signal, and nothing is left."""
    if hosting == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    said: list[str] = []
    path, pid_file = tmp_path / "socket", tmp_path / "pid"

    def announce(urls: str) -> None:
        said.append(urls)
        assert pid_file.read_text() == f"{os.getpid()}\n"
        threading.Timer(0.01, signal.raise_signal, [signal.SIGTERM]).start()

    made = running(app, unix=str(path), pid_file=str(pid_file), hosting=hosting, metrics=metrics)
    assert dataclasses.replace(made, announce=announce).run() == 0
    assert said == [f"ws+unix:{path}"] and not path.exists() and not pid_file.exists()


def test_the_pid_file_is_there_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with _pid_file(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with _pid_file(str(path)):
        path.unlink()
    with _pid_file(None):
        assert not path.exists()
