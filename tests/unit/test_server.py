"""The server: where it listens, whom it lets in, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wsfast.server
from sockets import SECONDS, Net, Recorder, goodbye, network, request_head, text
from wsfast.errors import LocalProtocolError
from wsfast.handshake import Refusal
from wsfast.limits import Limits
from wsfast.server import Server, serve

ROOT = Path(wsfast.server.__file__).resolve().parents[1]

SERVE = """
import sys, time
from wsfast.loop import Loop
from wsfast.limits import Limits
from wsfast.server import serve
class Echo:
    def on_message(self, ws, message):
        ws.send(message)
    def on_close(self, ws, code, reason):
        print("closed", code, flush=True)
loop = Loop()
begun = []
def ready():
    begun.append(time.process_time())
    print("ready", flush=True)
loop.selector.call_threadsafe(ready)
serve(Echo(), unix=sys.argv[1], loop=loop, limits=Limits(closing_seconds=float(sys.argv[2])))
print("cpu", time.process_time() - begun[0])
"""


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


# --- whom it lets in -----------------------------------------------------------------------------


def answer(net: Net, server: Server, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to a request, up to the end of the connection."""
    peer = net.peer(server)
    peer.send(request)
    head = peer.take_head()
    net.until(lambda: peer.ended)
    assert peer.error is None
    peer.close()
    return head, bytes(peer.received)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (request_head().replace(b": 13", b": 12"), 426),
        (request_head(*(f"X-{n}: 1" for n in range(200))), 431),
        (request_head("X-Long: " + "x" * 20000), 431),
    ],
)
def test_other_requests_get_their_http_answer(net: Net, request_: bytes, status: int) -> None:
    handler = Recorder()
    server = net.server(handler)
    head, body = answer(net, server, request_)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in head or b"\r\nConnection: Upgrade, close\r\n" in head
    assert b"Content-Length: %d\r\n" % len(body) in head
    net.until(lambda: not server.connections)
    assert "open" not in handler.names()


def test_the_refusal_arrives_though_more_follows(net: Net) -> None:
    server = net.server(Recorder())
    head, _ = answer(net, server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + bytes(1 << 20))
    assert head.startswith(b"HTTP/1.1 426 ")


def test_on_upgrade_refuses_with_status_headers_and_body(net: Net) -> None:
    class Gate(Recorder):
        def on_upgrade(self, request: Any) -> Refusal | None:
            if request.path == "/open":
                return None
            return Refusal(401, headers=[("WWW-Authenticate", "Basic")], body=b"who?")

    handler = Gate(echo=True)
    server = net.server(handler)
    head, body = answer(net, server, request_head(target="/closed"))
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Basic\r\n" in head and body == b"who?"
    peer = net.peer(server)
    peer.send(request_head(target="/open"))
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    assert handler.names() == ["open"]


@pytest.mark.parametrize(
    ("origins", "origin", "accepted"),
    [
        ("any", "https://anywhere.example", True),
        ("same", "http://127.0.0.1", True),
        ("same", "https://evil.example", False),
        ("same", None, False),
        (["https://a.example", None], "https://a.example", True),
        (["https://a.example", None], "https://b.example", False),
        (["https://a.example", None], None, True),
        ([], "https://a.example", False),
    ],
)
def test_origins(net: Net, origins: Any, origin: str | None, accepted: bool) -> None:
    handler = Recorder()
    peer = net.peer(net.server(handler, origins=origins))
    peer.send(request_head(*([f"Origin: {origin}"] if origin else [])))
    head = peer.take_head()
    assert head.startswith(b"HTTP/1.1 101 " if accepted else b"HTTP/1.1 403 ")
    assert bool(handler.endpoints) is accepted


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [(None, True), ("http://127.0.0.1", True), ("https://evil.example", False)],
)
def test_by_default_foreign_pages_are_refused(
    net: Net, origin: str | None, accepted: bool
) -> None:
    peer = net.peer(net.server(Recorder()))
    peer.send(request_head(*([f"Origin: {origin}"] if origin else [])))
    assert peer.take_head().startswith(b"HTTP/1.1 101 " if accepted else b"HTTP/1.1 403 ")


@pytest.mark.parametrize("wrong", ["*", ["https://*.example"], ["example.com"], [""]])
def test_an_origin_that_is_none_raises_at_construction(net: Net, wrong: Any) -> None:
    with pytest.raises(ValueError, match="allowed origin"):
        net.server(Recorder(), origins=wrong)


@pytest.mark.parametrize(
    ("ours", "offered", "chosen"),
    [
        (["b", "a"], "a, b", "b"),
        (["c"], "a, b", None),
        ([], "a", None),
        (["a"], None, None),
    ],
)
def test_subprotocols(net: Net, ours: list[str], offered: str | None, chosen: str | None) -> None:
    handler = Recorder()
    peer = net.peer(net.server(handler, subprotocols=ours))
    peer.send(request_head(*([f"Sec-WebSocket-Protocol: {offered}"] if offered else [])))
    head = peer.take_head()
    assert (b"Sec-WebSocket-Protocol" in head) is (chosen is not None)
    assert handler.endpoints[0].subprotocol == chosen


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("chat", TypeError), (["a b"], LocalProtocolError), (["a", "a"], LocalProtocolError)],
)
def test_subprotocols_that_are_none_raise_at_construction(
    net: Net, wrong: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="subprotocols"):
        net.server(Recorder(), subprotocols=wrong)


@pytest.mark.parametrize("wrong", [{"max_head_bytes": 0}, {"max_headers": -1}])
def test_head_limits_that_are_none_raise_at_construction(net: Net, wrong: Any) -> None:
    with pytest.raises(ValueError, match="max_head"):
        net.server(Recorder(), **wrong)


def test_limits_go_to_the_settings(net: Net) -> None:
    server = net.server(Recorder(), max_message_bytes=5, views=True)
    assert server.settings.limits.max_message_bytes == 5 and server.settings.views
    peer = net.peer(server).upgrade()
    peer.send(text("123456"))
    peer.expect_close(1009)
    with pytest.raises(TypeError):
        Server(Recorder(), no_such_limit=1)
    with pytest.raises(ValueError):
        Server(Recorder(), limits=Limits(max_message_bytes=0))


# --- how it ends ---------------------------------------------------------------------------------


def test_close_says_1001_and_waits_for_the_answers(net: Net) -> None:
    handler = Recorder()
    server = net.server(handler)
    asked = net.peer(server)
    peers = [net.peer(server).upgrade() for _ in range(3)]
    net.until(lambda: server.connections == 4)
    answered: list[object] = []

    def answer_close(peer: Any) -> None:
        peer.pull_more()
        if peer is not asked and peer.frames and not peer.ended:
            answered.append(peer.frames[0])
            peer.send(goodbye(1001))
        elif peer.ended:
            peer.close()

    for peer in [asked, *peers]:
        peer.pull_more, peer.pull = peer.pull, lambda peer=peer: answer_close(peer)
    server.close()
    assert answered == [(8, b"\x03\xe9server shutdown")] * 3
    assert handler.closes == [(1001, "")] * 3
    assert server.connections == 0
    assert asked.received.startswith(b"HTTP/1.1 503 ") and asked.error is None


def test_close_cuts_those_that_do_not_answer(net: Net) -> None:
    handler = Recorder()
    server = net.server(handler, closing_seconds=0.1)
    peer = net.peer(server).upgrade()
    server.close(1012, "restart")
    assert handler.closes == [(1006, "")]
    peer.expect_close(1012)
    server.close()


class Serving:
    """`serve` in a process of its own, on a Unix socket."""

    def __init__(self, path: Path, closing_seconds: float) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(path), str(closing_seconds)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def connect(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(str(self.path))
        return connected

    def finish(self) -> list[str]:
        """Wait for the end: what it printed since."""
        out, _ = self.process.communicate(timeout=2 * SECONDS)
        return out.split("\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_with_1001_and_exits_with_0(
    net: Net, tmp_path: Path, number: signal.Signals
) -> None:
    serving = Serving(tmp_path / "socket", 10)
    peer = net.adopt(serving.connect()).upgrade()
    serving.process.send_signal(number)
    peer.expect((8, b"\x03\xe9server shutdown"))
    peer.send(goodbye(1001))
    net.until(lambda: peer.ended)
    printed = serving.finish()
    assert serving.process.returncode == 0
    assert printed[0] == "closed 1001"
    assert not serving.path.exists()


def test_after_a_signal_it_waits_without_spinning(net: Net, tmp_path: Path) -> None:
    serving = Serving(tmp_path / "socket", 1)
    peer = net.adopt(serving.connect()).upgrade()
    serving.process.send_signal(signal.SIGTERM)
    net.until(lambda: peer.ended)
    printed = serving.finish()
    assert serving.process.returncode == 0
    assert printed[0] == "closed 1006"
    assert float(printed[1].split()[1]) < 0.3, "seconds of CPU, in one second of waiting"


def test_a_signal_at_once_is_not_lost(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "socket", 1)
    serving.process.send_signal(signal.SIGTERM)
    serving.finish()
    assert serving.process.returncode == 0


def test_run_says_when_it_is_ready_and_when_it_is_to_end(net: Net) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = net.server(Recorder())
    peer = net.peer(server).upgrade()
    said: list[str] = []

    def ready() -> None:
        said.append("ready")
        net.loop.selector.call_later(0, signal.raise_signal, signal.SIGTERM)

    def stop() -> None:
        said.append("stop")
        assert not server.draining

    server.run(on_ready=ready, on_stop=stop, close_code=1012, limit_seconds=0.2)
    assert said == ["ready", "stop"] and not server.connections
    peer.expect_close(1012)
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_a_second_signal_cuts_at_once(net: Net) -> None:
    server = net.server(Recorder(), closing_seconds=60)
    net.peer(server).upgrade()

    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    begun = time.monotonic()
    net.loop.selector.call_later(0, interrupt)
    server.run(on_stop=lambda: net.loop.selector.call_later(0, interrupt))
    assert time.monotonic() - begun < SECONDS and not server.connections


def test_serve_passes_its_options_on() -> None:
    with pytest.raises(OSError):
        serve(Recorder(), "198.51.100.1", 0, reuse_port=True)
    with pytest.raises(TypeError):
        serve(Recorder(), no_such_option=1)
