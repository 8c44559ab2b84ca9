"""wsfast-serve in this process: what it listens on, and the end that is not a signal."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockets import Net, network, request_head
from wsfast.serve import cli
from wsfast.serve.loading import LoadError, load
from wsfast.serve.options import parse
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
    """The first words of a command line, and logging as it was."""
    (tmp_path / "echoing.py").write_text(APP)
    monkeypatch.setattr(sys, "path", sys.path[:])
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield ["echoing:Echo", "--app-dir", str(tmp_path)]
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    sys.modules.pop("echoing", None)


def server_of(words: list[str]) -> Server:
    """What a command line without workers serves."""
    options = parse(words)
    target = load(options.target, options.app_dir)
    return Server(target, **cli._server_options(options, target, cli._sockets(options)[0]))


def close_all(places: list[list[socket.socket]]) -> None:
    for each in sum(places, []):
        each.close()


def test_sockets_of_a_port(app: list[str]) -> None:
    for words, places, kinds in (
        ([], 1, 1),
        (["--workers", "3"], 3, 3),
        (["--workers", "3", "--shared-socket"], 3, 1),
    ):
        found = cli._sockets(parse([*app, "--port", "0", *words]))
        assert len(found) == places
        assert len({each.fileno() for [each] in found}) == kinds
        close_all(found)


def test_an_app_keeps_its_limits_but_for_those_that_are_named(app: list[str]) -> None:
    server = server_of(["echoing:app", *app[1:], "--port", "0", "--max-headers", "7"])
    limits = server.settings.limits
    assert (limits.max_headers, limits.max_head_bytes) == (7, 1000)
    assert [route.path for route in server.site.routes] == ["/chat"]
    server.close()
    server.loop.close()
    options = parse(["echoing:app", *app[1:], "--origin", "any"])
    with pytest.raises(LoadError, match="echoing:app is an App, which says itself who may"):
        cli._server_options(options, load(options.target, options.app_dir), [])


@pytest.mark.parametrize(
    ("target", "words", "hosting"),
    [
        ("app", [], "alone"),
        ("Echo", [], "alone"),
        ("later", [], "asyncio"),
        ("Later", [], "asyncio"),
        ("later", ["--hosting", "alone"], "alone"),
        ("app", ["--hosting", "asyncio"], "asyncio"),
        ("app", ["--hosting", "uvloop"], "uvloop"),
    ],
)
def test_whose_loop(app: list[str], target: str, words: list[str], hosting: str) -> None:
    if hosting == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    options = parse([f"echoing:{target}", *app[1:], *words])
    assert cli._hosting(options, load(options.target, options.app_dir)) == hosting


def test_a_uvloop_that_is_not_there(app: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LoadError, match="uvloop is not installed"):
        cli._hosting(parse([*app, "--hosting", "uvloop"]), object())


def test_a_descriptor_that_was_inherited(app: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        fd = os.dup(given.fileno())
        found = cli._sockets(parse([*app, "--fd", str(fd), "--workers", "2"]))
        assert found[0] is found[1] and found[0][0].fileno() == fd
        assert found[0][0].getsockname() == given.getsockname()
        close_all(found)


def test_sockets_of_systemd_come_first(app: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        monkeypatch.setattr(cli, "take_sockets", lambda: [("web", given)])
        assert cli._sockets(parse([*app, "--workers", "2"])) == [[given], [given]]


@pytest.mark.parametrize(
    ("words", "origin", "accepted"),
    [
        ([], "https://foreign.example", False),
        ([], None, True),
        (["--origin", "https://foreign.example"], "https://foreign.example", True),
        (["--origin", "https://foreign.example"], None, False),
        (["--origin", "any"], "https://foreign.example", True),
    ],
)
def test_the_server_of_an_application(
    net: Net, app: list[str], words: list[str], origin: str | None, accepted: bool
) -> None:
    server = server_of([*app, "--port", "0", *words])
    connected = socket.create_connection(server.addresses[0])
    peer = net.adopt(connected)
    lines = [f"Origin: {origin}"] if origin else []
    peer.send(request_head(*lines))
    net.poll(lambda: (server.loop.selector.select(0), peer.received)[1])
    assert peer.received.startswith(b"HTTP/1.1 101 " if accepted else b"HTTP/1.1 403 ")
    peer.close()
    server.close()
    server.loop.close()


def test_a_port_that_is_taken_is_a_line_and_1(
    app: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as raised:
            cli.main([*app, "--port", str(port)])
    assert raised.value.code == 1
    err = capsys.readouterr().err
    assert f"cannot listen on ('127.0.0.1', {port}): Address already in use" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere:app", "there is no module 'nowhere'"),
        ("echoing:missing", "module 'echoing' has no attribute 'missing'"),
    ],
)
def test_an_application_that_is_not_there_is_a_line_and_1(
    app: list[str], target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main([target, *app[1:], "--port", "0"])
    assert raised.value.code == 1
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_the_pid_file_is_there_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with cli._pid_file(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with cli._pid_file(str(path)):
        path.unlink()
    with cli._pid_file(None):
        assert not path.exists()
