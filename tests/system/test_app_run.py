"""`App.run` as programs call it: hosting, worker processes, and options of wsfast-serve."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from programs import ROOT, Program
from sockets import Net, Peer, goodbye, network, text
from wire import CLOSE, TEXT

#: A program that runs its app with the keyword arguments in its first word.
PROGRAM = """
import ast, asyncio, logging, os, sys
from wsfast.app import App

logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
app = App(origins="any")

@app.websocket("/")
class Echo:
    ASYNC def on_message(self, ws, message):
        try:
            loop = type(asyncio.get_running_loop()).__module__.split(".")[0]
        except RuntimeError:
            loop = "alone"
        known = {"pid": str(os.getpid()), "loop": loop}
        ws.send(known.get(message, message))

app.run(port=0, **ast.literal_eval(sys.argv[1]))
print("ended", flush=True)
"""


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def start(
    directory: Path, options: object, *, coroutines: bool = False, lines: int = 1
) -> Program:
    """The program, which says so many lines until it is ready."""
    code = PROGRAM.replace("ASYNC ", "async " if coroutines else "")
    (directory / "running_app.py").write_text(code)
    env = {"PYTHONPATH": f"{directory}:{ROOT}"}
    return Program("running_app", repr(options), env=env, lines=lines)


def ask(net: Net, peer: Peer, question: str) -> str:
    """What it answers on an open connection."""
    peer.received.clear()
    peer.send(text(question))
    net.until(lambda: peer.frames)
    opcode, payload = peer.frames[0]
    assert opcode == TEXT
    return payload.decode()


@pytest.mark.parametrize(
    ("options", "coroutines", "expected"),
    [
        ({}, False, "alone"),
        ({}, True, "asyncio"),
        ({"hosting": "asyncio"}, False, "asyncio"),
        ({"hosting": "uvloop"}, True, "uvloop"),
    ],
)
def test_the_hosting_is_the_one_that_it_needs(
    net: Net, tmp_path: Path, options: dict[str, object], coroutines: bool, expected: str
) -> None:
    if expected == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    with start(tmp_path, options, coroutines=coroutines) as program:
        assert ask(net, program.connect(net), "loop") == expected
        status, out, err = program.end()
        assert (status, out, err) == (0, "ended\n", "")


@pytest.mark.parametrize("coroutines", [False, True])
def test_worker_processes(net: Net, tmp_path: Path, coroutines: bool) -> None:
    """Replaced when they die and by SIGHUP, drained by SIGTERM; then `run` returns."""
    options = {"workers": 2, "close_code": 1012, "drain_seconds": 5}
    with start(tmp_path, options, coroutines=coroutines, lines=3) as program:
        program.said = [line for line in program.said if line.startswith("listening")]
        workers = program.workers()
        assert len(workers) == 2
        assert int(ask(net, program.connect(net), "pid")) in workers
        os.kill(workers[0], signal.SIGKILL)
        net.poll(lambda: len(set(program.workers()) - {workers[0]}) == 2)
        before = set(program.workers())
        program.process.send_signal(signal.SIGHUP)
        net.poll(lambda: not before & set(program.workers()))
        peer = program.connect(net)
        program.process.send_signal(signal.SIGTERM)
        net.until(lambda: peer.frames)
        assert peer.frames == [(CLOSE, b"\x03\xf4server shutdown")]
        peer.send(goodbye(1012))
        out, err = program.finish()
        assert out.endswith("ended\n") and err == "" and program.process.returncode == 0


def test_options_of_the_drain(net: Net, tmp_path: Path) -> None:
    options = {"close_code": 1012, "drain_seconds": 0.3, "drain_rate": 1000.0}
    with start(tmp_path, options) as program:
        peers = [program.connect(net) for _ in range(5)]
        program.process.send_signal(signal.SIGTERM)
        net.until(lambda: all(peer.ended for peer in peers))
        assert {peer.frames[0] for peer in peers} == {(CLOSE, b"\x03\xf4server shutdown")}
        out, _ = program.finish()
        assert "5 of 5 connections are cut at the limit" in out


def test_a_limit_by_its_name_and_the_access_log(net: Net, tmp_path: Path) -> None:
    with start(tmp_path, {"max_message_bytes": 5, "access_log": True}) as program:
        peer = program.connect(net)
        peer.send(text("123456"))
        peer.expect_close(1009)
        peer.close()
        _, out, _ = program.end()
        assert re.search(r'"GET /" closed 1009 "[^"]+" \S+ by server received 0/\d+ sent 0/', out)


def test_the_figures_of_workers(net: Net, tmp_path: Path) -> None:
    with start(tmp_path, {"workers": 2, "metrics": "127.0.0.1:0"}, lines=4) as program:
        figures = re.search(r"figures at (\S+/)metrics", program.said[0])
        assert figures
        with urllib.request.urlopen(f"{figures[1]}stats", timeout=20) as answer:
            assert json.load(answer)["program"]["workers_ready"] == 2
        assert program.end()[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drain_rate": -1}, "ValueError: drain_rate is -1, not in 0.001.."),
        ({"max_message_bytes": 0}, "ValueError: max_message_bytes is 0, not in 1.."),
        ({"view": True}, "TypeError: there is no option 'view'"),
        ({"hosting": "alone"}, "LocalProtocolError: on_message of route /: async def needs"),
        ({"hosting": "alone", "workers": 2}, "LocalProtocolError: on_message of route /: async"),
        ({"certificate": "/nowhere/at/all"}, "FileNotFoundError"),
    ],
)
def test_what_cannot_be_is_an_exception(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    program = start(tmp_path, options, coroutines=True)
    out, err = program.finish()
    assert program.process.returncode == 1 and out == ""
    assert message in err.splitlines()[-1]


def test_workers_that_cannot_work(tmp_path: Path) -> None:
    dying = "os.register_at_fork(after_in_child=lambda: os._exit(3))\napp.run("
    (tmp_path / "dying_app.py").write_text(
        PROGRAM.replace("app.run(", dying).replace("ASYNC ", "")
    )
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    out, err = Program("dying_app", "{'workers': 2}", env=env).finish()
    assert "ended with status 3, before all were ready: giving up" in out
    assert err.splitlines()[-1].startswith("RuntimeError: the workers died again and again")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = PROGRAM.replace("port=0", f"port={taken.getsockname()[1]}")
        (tmp_path / "taken_app.py").write_text(code.replace("ASYNC ", ""))
        program = Program("taken_app", "{}", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
        _, err = program.finish()
    assert program.process.returncode == 1
    assert "Address already in use" in err.splitlines()[-1]
