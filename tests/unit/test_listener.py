"""Accepting: in batches, into subclasses, and not at all while there are no descriptors."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sockets import Net, Recorder, network, request_head, text
from wire import TEXT
from wsfast.echo.stream import EchoEndpoint
from wsfast.endpoint import Endpoint
from wsfast.listener import Listener
from wsfast.rfc6455 import Role
from wsfast.settings import Settings

resource = pytest.importorskip("resource", reason="this platform has no descriptor limits")


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


#: What `no_descriptors_left` takes at least, whether or not there were holes below the top.
TAKEN = 8


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[list[int]]:
    """Take every descriptor up to a lowered limit; yields them, so that some can be closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = max(map(int, os.listdir("/proc/self/fd")))
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1 + TAKEN, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


def test_more_wait_than_one_batch_accepts(net: Net) -> None:
    handler = Recorder()
    server = net.server(handler)
    peers = [net.peer(server) for _ in range(150)]
    net.until(lambda: server.connections == 150)
    for peer in peers:
        peer.send(request_head())
    net.until(lambda: len(handler.endpoints) == 150)
    assert len({ws.fd for ws in handler.endpoints}) == 150


def test_what_is_accepted_does_not_block_is_not_inherited_and_does_not_delay(net: Net) -> None:
    _, ws = net.open(Recorder())
    assert not os.get_inheritable(ws.fd)
    assert not os.get_blocking(ws.fd)
    borrowed = socket.socket(fileno=ws.fd)
    try:
        assert borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        borrowed.detach()


def test_it_makes_the_endpoints_it_is_told(net: Net) -> None:
    peer = net.peer(net.server(Recorder(), endpoint=EchoEndpoint)).upgrade()
    assert all(type(ws) is EchoEndpoint for ws in net.servers[0].settings.endpoints)
    peer.send(text("echo"))
    peer.expect((TEXT, b"echo"))


def test_closing_it_leaves_what_was_accepted(net: Net) -> None:
    handler = Recorder(echo=True)
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    listening.setblocking(False)
    settings = Settings(net.loop, Role.SERVER, handler, object)
    listener = Listener(settings, listening)
    assert listener.address == address
    assert listener.settings is settings
    peer = net.adopt(socket.create_connection(address))
    net.until(lambda: settings.endpoints)
    listener.close()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert settings.endpoints
    for endpoint in list(settings.endpoints):
        endpoint.disconnect()
    net.until(lambda: peer.ended)


class Gate:
    """Lets in so many; keeps the hosts that it was asked about, and counts who has left."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.hosts: list[str | None] = []
        self.left = 0

    def __call__(self, host: str | None) -> Gate | None:
        self.hosts.append(host)
        self.room -= 1
        return self if self.room >= 0 else None

    def leave(self) -> None:
        self.left += 1


@contextlib.contextmanager
def gated(
    net: Net, listening: socket.socket, gate: object, make: type = Endpoint
) -> Iterator[Any]:
    """The settings of a listener with a gate."""
    listening.setblocking(False)
    settings = Settings(net.loop, Role.SERVER, Recorder(), object)
    listener = Listener(settings, listening, make, gate)  # type: ignore[arg-type]
    try:
        yield settings
    finally:
        listener.close()
        for endpoint in list(settings.endpoints):
            endpoint.disconnect()


@pytest.mark.parametrize(
    ("family", "host"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_UNIX, None)],
)
def test_a_gate_is_asked_about_every_host(net: Net, family: int, host: str, tmp_path: Any) -> None:
    listening = socket.socket(family)
    try:
        listening.bind(str(tmp_path / "socket") if host is None else (host, 0))
    except OSError:
        listening.close()
        pytest.skip(f"this machine has no {host}")
    listening.listen()
    gate = Gate(2)
    with gated(net, listening, gate) as settings:
        peers = []
        for number in range(1, 5):
            connected = socket.socket(family)
            connected.connect(listening.getsockname())
            peers.append(net.adopt(connected))
            net.until(lambda number=number: len(gate.hosts) == number)
        net.until(lambda: sum(peer.ended for peer in peers) == 2)
        assert gate.hosts == [host] * 4
        assert [peer.ended for peer in peers] == [False, False, True, True]
        assert {endpoint.counted_at for endpoint in settings.endpoints} == {gate}
        assert settings.stats["accepted"] == 2
        peers[0].close()
        net.until(lambda: gate.left == 1)
    assert gate.left == 2


def test_a_place_is_given_back_if_no_endpoint_can_be_made(net: Net) -> None:
    class Broken(Endpoint):
        def __init__(self) -> None:
            raise ZeroDivisionError

    gate = Gate(1)
    listening = socket.create_server(("127.0.0.1", 0))
    with gated(net, listening, gate, Broken) as settings:
        peer = net.adopt(socket.create_connection(listening.getsockname()))
        with pytest.raises(TypeError):
            net.until(lambda: peer.ended)
    assert gate.left == 1 and not settings.endpoints


def test_a_gate_that_raises_leaves_the_loop(net: Net) -> None:
    def broken(host: str | None) -> None:
        raise ZeroDivisionError

    listening = socket.create_server(("127.0.0.1", 0))
    with gated(net, listening, broken):
        peer = net.adopt(socket.create_connection(listening.getsockname()))
        with pytest.raises(ZeroDivisionError):
            net.until(lambda: peer.ended)


def test_without_descriptors_it_pauses_and_serves_on(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    addresses: list[object] = []
    handler = Recorder(echo=True, message=lambda ws, _: addresses.append(ws.remote_address))
    server = net.server(handler)
    peer = net.peer(server).upgrade()
    waiting = [net.peer(server) for _ in range(10)]
    with no_descriptors_left() as taken:
        before = time.process_time()
        net.loop.run_while(lambda: True, 1.0)
        assert time.process_time() - before < 0.3, "it spins"
        assert server.connections == 1
        assert [each.levelno for each in caplog.records] == [logging.WARNING]
        assert "1 connections are open" in caplog.text
        peer.send(text("served on"))
        peer.expect((TEXT, b"served on"))
        assert addresses == [peer.socket.getsockname()], "even this needs no descriptor"
        for _ in range(4):
            os.close(taken.pop())
        net.until(lambda: server.connections == 5)
    for each in waiting:
        each.send(request_head() + text("me too"))
        each.take_head()
        each.expect((TEXT, b"me too"))
    assert len(caplog.records) == 1


def test_the_next_shortage_is_told_again(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server = net.server(Recorder())
    for round_ in range(2):
        net.peer(server)
        with no_descriptors_left():
            net.until(lambda round_=round_: len(caplog.records) > round_)
        net.until(lambda round_=round_: server.connections == round_ + 1)


def test_an_endpoint_that_cannot_be_made_leaves_the_loop(net: Net) -> None:
    class Broken(Endpoint):
        """Its constructor takes arguments that nobody gives."""

        def __init__(self) -> None:
            raise ZeroDivisionError

    server = net.server(Recorder(), endpoint=Broken)
    peer = net.peer(server)
    with pytest.raises(TypeError):
        net.until(lambda: peer.ended)
