"""wsfast-serve with an App, in every hosting: routes, drain, restart, and what is refused."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from programs import Program, is_running
from sockets import Net, Peer, goodbye, network, request_head, text
from storm import Storm
from wire import CLOSE, TEXT

APP = """
import asyncio

from wsfast.app import App

app = App(origins="any")

@app.websocket("/{path:path}")
class Room:
    ASYNC def on_message(self, ws, message):
        ws.send(f"{ws.path_params['path']}: {message}")

@app.get("/healthz")
def healthz(request):
    return "well"

@app.get("/loop")
def loop(request):
    try:
        return type(asyncio.get_running_loop()).__module__
    except RuntimeError:
        return "alone"
"""

GOING_AWAY = b"\x03\xe9server shutdown"
RESTARTED = b"\x03\xf4service restart"
HOSTINGS = ["alone", "asyncio", "uvloop"]


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def needs(hosting: str) -> None:
    if hosting == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")


def serve(directory: Path, *words: str, coroutines: bool = False, **options: Any) -> Program:
    """wsfast-serve with the app; its handler may be a coroutine function."""
    code = APP.replace("ASYNC ", "async " if coroutines else "")
    (directory / "rooms.py").write_text(code)
    place = ("--app-dir", str(directory), "--port", "0")
    return Program("wsfast.serve", "rooms:app", *place, *words, **options)


def connect(net: Net, program: Program, target: str) -> Peer:
    """A connection to a route, past its opening handshake."""
    peer = net.adopt(socket.create_connection(("127.0.0.1", program.port)))
    peer.send(request_head(target=target))
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    return peer


def page(net: Net, program: Program, target: str) -> str:
    """The body of a page."""
    peer = net.adopt(socket.create_connection(("127.0.0.1", program.port)))
    head = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    peer.send(head.encode())
    assert peer.take_head().startswith(b"HTTP/1.1 200 ")
    net.until(lambda: peer.ended)
    peer.close()
    return peer.received.decode()


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
@pytest.mark.parametrize("hosting", HOSTINGS)
def test_routes_pages_restart_and_drain(
    net: Net, tmp_path: Path, hosting: str, workers: tuple[str, ...]
) -> None:
    needs(hosting)
    words = ["--hosting", hosting, "--max-message-bytes=10", *workers]
    with serve(tmp_path, *words, coroutines=hosting != "alone") as program:
        assert page(net, program, "/healthz") == "well"
        peer = connect(net, program, "/red/1")
        peer.send(text("hello"))
        peer.expect((TEXT, b"red/1: hello"))
        peer.received.clear()
        if workers:
            before = set(program.workers())
            program.process.send_signal(signal.SIGHUP)
            peer.expect((CLOSE, RESTARTED))
            peer.send(goodbye(1012))
            net.poll(lambda: not before & set(program.workers()))
            peer = connect(net, program, "/blue")
        last = connect(net, program, "/green")
        peer.send(text("11 bytes .."))
        peer.expect_close(1009)
        program.process.send_signal(signal.SIGTERM)
        last.expect((CLOSE, GOING_AWAY))
        last.send(goodbye(1001))
        out, err = program.finish()
        assert out == "" and "ERROR" not in err and "WARNING" not in err
        assert program.process.returncode == 0


@pytest.mark.parametrize("hosting", HOSTINGS)
def test_a_restart_under_load_refuses_nobody(net: Net, tmp_path: Path, hosting: str) -> None:
    needs(hosting)
    with serve(tmp_path, "--hosting", hosting, "--workers", "2") as program:
        storm = Storm(net, program.port)
        for _ in range(2):
            before = set(program.workers())
            storm.until(50)
            program.process.send_signal(signal.SIGHUP)
            net.poll(lambda before=before: storm.step() and not before & set(program.workers()))
        storm.until(50)
        storm.end()
        assert program.end()[0] == 0
    assert storm.answers.keys() == {"101"}, storm.answers


@pytest.mark.parametrize(
    ("words", "coroutines", "module"),
    [
        ((), False, "alone"),
        ((), True, "asyncio"),
        (("--hosting", "asyncio"), False, "asyncio"),
        (("--hosting", "uvloop"), False, "uvloop"),
    ],
)
def test_the_hosting_is_the_one_that_it_needs(
    net: Net, tmp_path: Path, words: tuple[str, ...], coroutines: bool, module: str
) -> None:
    needs(module)
    with serve(tmp_path, *words, coroutines=coroutines) as program:
        assert page(net, program, "/loop").split(".")[0] == module
        assert program.end()[0] == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hosting", "alone"), "async def needs asyncio to host the server"),
        (("--origin", "any"), "--origin: rooms:app is an App, which says itself"),
    ],
)
def test_what_cannot_be_served_is_a_line_and_1(
    tmp_path: Path, workers: tuple[str, ...], words: tuple[str, ...], message: str
) -> None:
    program = serve(tmp_path, *words, *workers, coroutines=True)
    out, err = program.finish()
    assert (program.process.returncode, out) == (1, "")
    assert message in err and "Traceback" not in err


@pytest.mark.parametrize("hosting", HOSTINGS[1:])
def test_one_that_is_told_twice_does_not_wait(net: Net, tmp_path: Path, hosting: str) -> None:
    needs(hosting)
    for workers in ((), ("--workers", "1")):
        words = ("--hosting", hosting, "--drain-seconds", "600", *workers)
        with serve(tmp_path, *words, coroutines=True) as program:
            peer = connect(net, program, "/")
            program.process.send_signal(signal.SIGTERM)
            net.until(lambda peer=peer: peer.frames)
            program.process.send_signal(signal.SIGTERM)
            net.until(lambda peer=peer: peer.ended)
            program.finish()
            assert program.process.returncode == 0


@pytest.mark.parametrize("hosting", HOSTINGS[1:])
def test_a_worker_ends_when_its_supervisor_is_gone(net: Net, tmp_path: Path, hosting: str) -> None:
    needs(hosting)
    with serve(tmp_path, "--workers", "1", "--hosting", hosting) as program:
        [worker] = program.workers()
        program.process.kill()
        net.poll(lambda: not is_running(worker))
