"""Who has not sent a request yet counts: sockets that say nothing, TLS handshakes under way."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from certificates import SecurePeer, secure_peer, server
from sockets import Net, Peer, Recorder, network, request_head, text
from wire import TEXT
from wsfast.limits import Limits
from wsfast.server import Server

#: How many wait for the answer that there is no room (wsfast.entrance).
WAITING = 64

LINE = b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n"


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def silent(net: Net, target: Server, count: int, host: str = "127.0.0.1") -> list[Peer]:
    """Connections that say nothing, once the server has seen all of them."""
    seen = counted(target)
    made = [
        net.adopt(socket.create_connection(target.addresses[0], source_address=(host, 0)))
        for _ in range(count)
    ]
    net.until(lambda: counted(target) == seen + count)
    net.settle()
    return made


def counted(target: Server) -> int:
    """How many connections came."""
    stats = target.stats()
    return (
        sum(stats[f"turned_away_{name}"] for name in ("connections", "address"))
        + (stats["accepted"])
    )


def status(peer: Peer) -> int:
    peer.send(request_head())
    return int(peer.take_head().split(b" ")[1])


def expect_nothing_left(net: Net, target: Server, *, rated: int = 0) -> None:
    for peer in net.peers:
        peer.close()
    admission = target.entrance.admission
    assert admission is not None
    net.until(lambda: not target.connections)
    assert (admission.connections, admission.waiting.connections) == (0, 0)
    assert admission.remembered_addresses == rated


def test_the_total_counts_from_accept_on(net: Net) -> None:
    target = net.server(Recorder(echo=True), max_connections=10)
    peers = silent(net, target, 10)
    late = silent(net, target, 1)[0]
    assert status(late) == 503
    peers[0].close()
    net.until(lambda: target.entrance.admission.connections == 9)
    assert status(silent(net, target, 1)[0]) == 101
    assert [status(peer) for peer in peers[1:]] == [101] * 9, "who came first has its place"
    expect_nothing_left(net, target)


@pytest.mark.parametrize("name", ["max_connections", "max_connections_per_address"])
def test_no_more_sockets_than_the_limit_and_those_who_wait(net: Net, name: str) -> None:
    target = net.server(Recorder(), **{name: 10})
    peers = silent(net, target, 100)
    assert target.connections == 10 + WAITING
    net.until(lambda: sum(peer.ended for peer in peers) == 90 - WAITING)
    assert all(not peer.received for peer in peers)
    stats = target.stats()
    which = name.removeprefix("max_").removesuffix("_per_address")
    which = which if name == "max_connections" else "address"
    assert stats[f"turned_away_{which}"] == 90 - WAITING
    waiting = [peer for peer in peers[10:] if not peer.ended]
    expected = 503 if name == "max_connections" else 429
    assert [status(peer) for peer in waiting] == [expected] * WAITING
    assert target.stats()[f"refused_{which}"] == WAITING
    expect_nothing_left(net, target)


def test_one_address_does_not_keep_out_another(net: Net) -> None:
    options = {"max_connections": 20, "max_connections_per_address": 10}
    target = net.server(Recorder(), **options)
    silent(net, target, 200)
    others = silent(net, target, 10, "127.0.0.2")
    assert [status(peer) for peer in others] == [101] * 10
    late = silent(net, target, 1, "127.0.0.3")[0]
    net.until(lambda: late.ended)
    assert target.stats()["turned_away_connections"] == 1
    expect_nothing_left(net, target)


def test_who_waited_is_let_in_if_there_is_room_by_then(net: Net) -> None:
    target = net.server(Recorder(), max_connections=1)
    first, second = silent(net, target, 2)
    first.close()
    net.until(lambda: target.connections == 1)
    assert status(second) == 101
    assert status(silent(net, target, 1)[0]) == 503
    assert target.stats()["admitted"] == 1
    expect_nothing_left(net, target)


def test_the_deadline_gives_places_back(net: Net) -> None:
    target = net.server(Recorder(), max_connections=5, opening_seconds=0.05)
    peers = silent(net, target, 100)
    net.until(lambda: all(peer.ended for peer in peers))
    assert target.entrance.admission.connections == 0
    assert status(net.peer(target)) == 101
    expect_nothing_left(net, target)


def test_whatever_ends_it_before_its_request_gives_the_place_back(net: Net) -> None:
    target = net.server(Recorder(), max_connections=100, max_connections_per_address=100)
    peers = silent(net, target, 6)
    peers[0].send(b"\x16\x03\x01")
    peers[1].send(b"GET /")
    peers[1].socket.shutdown(socket.SHUT_WR)
    peers[2].reset()
    peers[3].close()
    for endpoint in list(target.settings.endpoints)[:1]:
        endpoint.disconnect()
    expect_nothing_left(net, target)


@pytest.mark.parametrize("name", ["max_connections", "max_connections_per_address"])
def test_tls_handshakes_under_way_count(net: Net, name: str) -> None:
    """Over TLS nobody waits: the answer would cost a handshake each."""
    target = net.server(Recorder(), tls=server(), **{name: 5})
    peers = silent(net, target, 50)
    assert target.connections == 5
    net.until(lambda: sum(peer.ended for peer in peers) == 45)
    late = secure_peer(net, target)
    net.until(lambda: late.ended)
    assert not late.established
    for peer in peers:
        peer.close()
    net.until(lambda: not target.connections)
    through = [secure_peer(net, target).secure() for _ in range(5)]
    for each in through:
        each.upgrade()
    late = secure_peer(net, target)
    net.until(lambda: late.ended)
    assert (late.established, target.stats()["admitted"]) == (False, 5)
    through[0].close()
    net.until(lambda: target.connections == 4)
    again = secure_peer(net, target).secure()
    again.upgrade()
    expect_nothing_left(net, target)


def test_over_tls_the_rate_holds_before_the_handshake(net: Net) -> None:
    target = net.server(Recorder(), tls=server(), max_handshakes_per_second_per_address=3)
    target.entrance.clock = lambda: 0.0  # however long it takes, it is one moment
    peers = [secure_peer(net, target) for _ in range(10)]
    net.until(lambda: sum(peer.ended for peer in peers) == 7)
    assert not any(peer.established for peer in peers if peer.ended)
    for peer in peers:
        if not peer.ended:
            peer.secure().upgrade()
    stats = target.stats()
    assert (stats["admitted"], stats["turned_away_rate"], stats["accepted"]) == (3, 7, 3)
    other = socket.create_connection(target.addresses[0], source_address=("127.0.0.2", 0))
    SecurePeer(net, other).secure().upgrade()
    expect_nothing_left(net, target, rated=2)


@pytest.mark.parametrize("tls", [False, True])
def test_behind_a_proxy_header_the_address_counts_from_the_header_on(net: Net, tls: bool) -> None:
    target = net.server(
        Recorder(),
        max_connections=20,
        max_connections_per_address=2,
        proxy_protocol=True,
        trusted_proxies=["127.0.0.1"],
        tls=server() if tls else None,
    )
    peers = silent(net, target, 10)
    assert target.connections == 10, "the balancer may come more often than a client"
    for peer in peers:
        peer.send(LINE)
    net.until(lambda: target.connections == (2 if tls else 10))
    if tls:
        assert target.stats()["turned_away_address"] == 8
        net.until(lambda: sum(peer.ended for peer in peers) == 8)
    else:
        assert sorted(status(peer) for peer in peers) == [101] * 2 + [429] * 8
    other = silent(net, target, 1)[0]
    other.send(LINE.replace(b"1.2.3.4", b"1.2.3.5"))
    net.settle()
    assert not other.ended
    expect_nothing_left(net, target)


def test_the_total_holds_for_balancers(net: Net) -> None:
    options = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"], "tls": server()}
    target = net.server(Recorder(), max_connections=3, **options)
    peers = silent(net, target, 10)
    assert target.connections == 3
    net.until(lambda: sum(peer.ended for peer in peers) == 7)
    expect_nothing_left(net, target)


def test_a_reverse_proxy_may_hold_more_than_a_client(net: Net) -> None:
    """Its connections count in all at once, and for an address when they say for which."""
    options = {"max_connections_per_address": 2, "trusted_proxies": ["127.0.0.1"]}
    target = net.server(Recorder(), **options)
    peers = silent(net, target, 10)
    assert target.connections == 10
    statuses = []
    for number, peer in enumerate(peers):
        peer.send(request_head(f"X-Forwarded-For: 9.9.9.{number % 3}"))
        statuses.append(int(peer.take_head().split(b" ")[1]))
    assert statuses == [101] * 6 + [429] * 4
    expect_nothing_left(net, target)


def test_a_unix_socket_counts_in_all(net: Net, tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    limits = Limits(max_connections=2, max_connections_per_address=1)
    target = Server(Recorder(), unix=path, loop=net.loop, limits=limits)
    net.servers.append(target)
    peers = []
    for _ in range(4):
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(path)
        peers.append(net.adopt(connected))
    net.until(lambda: target.connections == 4)
    assert [status(peer) for peer in peers] == [101, 101, 503, 503]
    expect_nothing_left(net, target)


def test_a_full_server_answers_a_storm_and_stays_full(net: Net) -> None:
    """200 come at once to a full server: each gets a 503 or is closed, none gets in."""
    handler = Recorder(echo=True)
    target = net.server(handler, max_connections=3)
    inside = [net.peer(target).upgrade() for _ in range(3)]
    storm = [net.peer(target) for _ in range(200)]
    for peer in storm:
        with contextlib.suppress(OSError):
            peer.send(request_head())
    net.until(lambda: all(peer.ended for peer in storm))
    heard = sum(peer.received.startswith(b"HTTP/1.1 503 ") for peer in storm)
    stats = target.stats()
    assert heard >= WAITING
    assert stats["refused_connections"] + stats["turned_away_connections"] == 200
    assert stats["admitted"] == 3
    for peer in inside:
        peer.send(text("still here"))
        peer.expect((TEXT, b"still here"))
    expect_nothing_left(net, target)
