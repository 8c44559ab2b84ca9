"""A worker process from its end of the socket pair: the orders, and the end of the stream."""

from __future__ import annotations

import contextlib
import json
import selectors
import signal
import socket
from collections.abc import Iterator

import pytest

from sockets import Net, Peer, Recorder, goodbye, network, request_head, text
from wire import CLOSE
from wsfast.callback import CallbackStream
from wsfast.limits import Limits
from wsfast.listening import listen
from wsfast.server import Server
from wsfast.worker import READY, Order, Worker


class Supervised:
    """A worker in this process, with one open connection; `supervisor` is the other end."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.supervisor, control = socket.socketpair()
        control.setblocking(False)
        self.control = control
        self.worker = Worker(3, listen("127.0.0.1", 0), control)
        self.server = Server(
            Recorder(),
            sockets=self.worker.sockets,
            loop=net.loop,
            limits=Limits(closing_seconds=30),
        )
        net.servers.append(self.server)
        self.peer = net.peer(self.server).upgrade()

    def serve(self, *, answering: bool = True, **drain: object) -> Peer:
        """Serve to the end; the peer answers its Close."""
        timer = None

        def look() -> None:
            nonlocal timer
            if self.peer.frames and answering:
                self.peer.send(goodbye(1001))
            else:
                timer = self.net.loop.selector.call_later(0, look)

        look()
        self.worker.serve(self.server, **drain)
        if timer is not None:
            timer.cancel()
        return self.peer


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


@pytest.fixture
def supervised(request: pytest.FixtureRequest, net: Net) -> Iterator[Supervised]:
    before = signal.getsignal(signal.SIGTERM)
    made = Supervised(net)
    yield made
    signal.signal(signal.SIGTERM, before)
    made.supervisor.close()
    made.control.close()
    request.node.funcargs.pop("supervised")  # as `network` does


@pytest.mark.parametrize(
    ("order", "payload"),
    [
        (Order.STOP, b"\x03\xe9server shutdown"),
        (Order.RESTART, b"\x03\xf4service restart"),
    ],
)
def test_an_order_drains(supervised: Supervised, order: Order, payload: bytes) -> None:
    supervised.supervisor.send(order.value)
    assert supervised.serve().frames == [(CLOSE, payload)]
    assert supervised.supervisor.recv(9) == READY
    assert not supervised.server.connections and not supervised.net.loop.selector.get_map()


def test_without_a_supervisor_it_ends(supervised: Supervised) -> None:
    supervised.supervisor.close()
    peer = supervised.serve(close_code=1013, close_reason="gone")
    assert peer.frames == [(CLOSE, b"\x03\xf5gone")]


def test_sigterm_drains_and_a_further_one_is_no_failure(supervised: Supervised) -> None:
    """Service managers send it to every process of a service, beside what the supervisor says."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    supervised.net.loop.selector.call_later(0, signal.raise_signal, signal.SIGTERM)
    supervised.net.loop.selector.call_later(0, supervised.supervisor.send, Order.STOP.value)
    assert supervised.serve().frames == [(CLOSE, b"\x03\xe9server shutdown")]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_an_order_to_end_at_once_cuts(supervised: Supervised) -> None:
    supervised.supervisor.send(Order.STOP.value)
    supervised.net.loop.selector.call_later(0.1, supervised.supervisor.send, Order.CUT.value)
    supervised.serve(answering=False)
    assert not supervised.server.connections


def test_orders_that_come_together(supervised: Supervised) -> None:
    supervised.supervisor.send(Order.RESTART.value + Order.STOP.value + Order.CUT.value)
    peer = supervised.serve(answering=False, limit_seconds=60)
    supervised.net.until(lambda: peer.ended)
    assert peer.frames == [(CLOSE, b"\x03\xf4service restart")]


def test_what_it_knows_of_its_place(supervised: Supervised) -> None:
    assert supervised.worker.number == 3
    assert supervised.server.addresses == [supervised.worker.sockets[0].getsockname()]
    supervised.supervisor.close()
    supervised.worker.ready()  # nobody hears it: no error
    supervised.peer.close()


def test_it_reports_what_it_has_counted(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind READY, and at the end once more, so that nothing is missing."""
    monkeypatch.setattr("wsfast.worker._REPORT_SECONDS", 60.0)
    before = signal.getsignal(signal.SIGTERM)
    supervisor, control = socket.socketpair()
    control.setblocking(False)
    with supervisor, control:
        supervisor.settimeout(10)
        worker = Worker(0, listen("127.0.0.1", 0), control, reporting=True)
        server = Server(Recorder(), sockets=worker.sockets, loop=net.loop)
        peer = net.adopt(socket.create_connection(server.addresses[0]))
        peer.send(request_head() + text("x") + goodbye(1000))
        said = b""

        def hear(events: int) -> None:
            nonlocal said
            said += supervisor.recv(65536)
            if said.endswith(b"}\n"):  # one report
                supervisor.send(Order.STOP.value)
                hearing.remove()

        hearing = CallbackStream(
            net.loop.selector, supervisor.fileno(), selectors.EVENT_READ, hear
        )
        worker.serve(server)
        said += supervisor.recv(65536)
    signal.signal(signal.SIGTERM, before)
    assert said.startswith(READY + b"{") and said.endswith(b"}\n")
    reports = [json.loads(line) for line in said[1:].splitlines()]
    assert len(reports) >= 2
    assert reports[-1] == server.stats() and reports[-1]["messages_received"] == 1
    assert not net.loop.selector.get_map()


def test_a_supervisor_that_does_not_read(net: Net) -> None:
    """A line is told as a whole or not at all, whenever the supervisor comes to read it."""
    supervisor, control = socket.socketpair()
    control.setblocking(False)
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server = net.server(Recorder())
    with supervisor, control:
        worker = Worker(0, [], control, reporting=True)
        for _ in range(200):
            worker.report(server)
        assert worker._unsent, "the kernel took no more"
        supervisor.setblocking(False)
        said = b""
        for _ in range(400):
            with contextlib.suppress(BlockingIOError):
                said += supervisor.recv(1 << 20)
            if not worker._unsent:
                break
            worker.report(server)
        lines = said.splitlines(keepends=True)
        assert len(lines) > 2
        assert all(json.loads(line) == server.stats() for line in lines)
