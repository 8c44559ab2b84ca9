"""What a TLS session holds: what memory() says, beside what malloc gave out."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from certificates import client, secure_open, server
from sockets import MORE_THAN_THE_KERNEL_TAKES, Net, Recorder, heap_bytes, network
from wire import BINARY, KEY, frame
from wsfast.tls import TlsSession

CONNECTIONS = 60


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def both_ends(net: Net, version: str, count: int, theirs: Recorder, mine: Recorder) -> None:
    """So many connections more of our client to our server, all of them idle."""
    tls = server(minimum_version=version, maximum_version=version)
    target, own = net.server(theirs, tls=tls), client()
    before = len(theirs.endpoints)
    for _ in range(count):
        net.client(target, mine, tls=own)
    net.until(lambda: len(theirs.endpoints) == len(mine.endpoints) == before + count, 30)
    for ws in mine.endpoints:  # OpenSSL gives a buffer back when it has read the tickets
        ws.send("x")
    net.until(lambda: len(theirs.messages) >= len(mine.endpoints))
    net.settle()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_memory_is_what_malloc_gave_out(net: Net, version: str) -> None:
    """Within a third: OpenSSL's part is a figure that was measured with one of its versions."""
    both_ends(net, version, 5, Recorder(), Recorder())
    theirs, mine = Recorder(), Recorder()
    gc.collect()
    before = heap_bytes()
    both_ends(net, version, CONNECTIONS, theirs, mine)
    gc.collect()
    taken = heap_bytes() - before
    said = sum(ws.memory() for ws in theirs.endpoints + mine.endpoints)
    assert said * 0.75 < taken < said * 1.33


@pytest.mark.parametrize("size", [16_000, 200_000])
def test_what_large_messages_leave_behind_counts(net: Net, size: int) -> None:
    """The MemoryBIOs keep the largest block that they ever needed."""
    theirs, mine = Recorder(echo=True), Recorder()
    both_ends(net, "1.3", CONNECTIONS, theirs, mine)
    ends = theirs.endpoints + mine.endpoints
    gc.collect()
    before, said = heap_bytes(), sum(ws.memory() for ws in ends)
    for ws in mine.endpoints:
        ws.send(bytes(size))
        net.until(lambda: mine.messages and mine.messages[-1] == bytes(size))
        mine.events.clear()
        theirs.events.clear()
    net.settle()
    gc.collect()
    taken, more = heap_bytes() - before, sum(ws.memory() for ws in ends) - said
    assert more > CONNECTIONS * 2 * min(size, 64 * 1024)
    assert more * 0.7 < taken < more * 1.1


def test_memory_of_one_connection(net: Net) -> None:
    peer, ws = secure_open(net, Recorder())
    session = ws.tls.memory()
    assert 14 * 1024 < session < 24 * 1024
    assert session < ws.memory() < session + 1024
    peer.send(frame(BINARY, bytes(100_000), key=KEY))
    net.until(lambda: ws.tls.memory() > session + 64 * 1024)
    assert ws.tls.memory() < session + 2 * 100_000


def test_records_that_wait_count(net: Net) -> None:
    peer, ws = secure_open(net, Recorder())
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert ws.memory() > ws.buffered_bytes
    ws.disconnect()


def test_a_session_before_its_handshake() -> None:
    """A client keeps the certificates of its server, and more than a server."""
    clients = TlsSession(client().context, server_side=False, server_hostname="localhost")
    servers = TlsSession(server().context, server_side=True)
    assert clients.memory() > servers.memory() > 14 * 1024
