"""A worker inside asyncio or uvloop, seen from its supervisor's end of the socket pair."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sockets import goodbye, request_head
from wsfast import hosted
from wsfast.listening import listen
from wsfast.server import Server
from wsfast.worker import READY, Order, Worker


class Echo:
    """A handler with a coroutine function."""

    async def on_message(self, ws: Any, message: str) -> None:
        """Send it back."""
        ws.send(message)


@pytest.fixture(params=["asyncio", "uvloop"])
def hosting(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    before = signal.getsignal(signal.SIGTERM)
    yield request.param
    signal.signal(signal.SIGTERM, before)


def play(supervisor: socket.socket, address: Any, order: Order | None, said: list[bytes]) -> None:
    """Wait until it is ready, open a connection, give the order, and answer the Close."""
    said.append(supervisor.recv(9))
    with socket.create_connection(address) as client:
        client.settimeout(20)
        client.sendall(request_head())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        if order is None:
            supervisor.close()
        else:
            supervisor.send(order.value)
        said.append(client.recv(4096))
        with contextlib.suppress(ConnectionError):  # who was told to cut listens no more
            client.sendall(goodbye(1001))
            client.recv(4096)


@pytest.mark.parametrize(
    ("order", "payload"),
    [
        (Order.STOP, b"\x03\xe9server shutdown"),
        (Order.RESTART, b"\x03\xf4service restart"),
        (Order.CUT, b"\x03\xe9server shutdown"),
        (None, b"\x03\xe9server shutdown"),
    ],
)
def test_orders(hosting: str, order: Order | None, payload: bytes) -> None:
    supervisor, control = socket.socketpair()
    control.setblocking(False)
    said: list[bytes] = []
    with supervisor, control:
        sockets = listen("127.0.0.1", 0)
        arguments = (supervisor, sockets[0].getsockname(), order, said)
        thread = threading.Thread(target=play, args=arguments)
        thread.start()
        worker = Worker(0, sockets, control)
        hosted.work(worker, hosting, Echo(), {"sockets": sockets}, limit_seconds=10)
        thread.join(20)
    assert said == [READY, bytes([0x88, len(payload)]) + payload]


def test_alone_until_a_signal(hosting: str) -> None:
    said: list[str] = []

    def ready(server: Server) -> None:
        assert server.stats()["listening"] == 1
        said.append("ready")
        threading.Timer(0.01, signal.raise_signal, [signal.SIGTERM]).start()

    sockets = listen("127.0.0.1", 0)
    hosted.serve(
        hosting, Echo(), {"sockets": sockets}, on_ready=ready, on_stop=lambda: said.append("stop")
    )
    assert said == ["ready", "stop"] and sockets[0].fileno() == -1
