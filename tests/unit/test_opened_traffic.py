"""What went over a connection, counted over sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sockets import Net, Recorder, goodbye, network, request_head, text
from wire import KEY, PING, PONG, STEPS, TEXT, frame


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def test_traffic_is_counted_only_where_it_is_asked_for(net: Net) -> None:
    handler = Recorder()
    plain = net.peer(net.server(handler)).upgrade()
    net.peer(net.server(handler, count_traffic=True)).upgrade()
    without, counted = handler.endpoints
    assert without.traffic is None and counted.traffic is not None
    assert counted.memory() - without.memory() == 56
    assert counted.settings.count_traffic and not without.settings.count_traffic
    plain.close()


@pytest.mark.parametrize("step", STEPS)
def test_traffic_is_exact_with_bytes_cut_anywhere(net: Net, step: int) -> None:
    """Of frames and of nothing else, those that came with the request included."""
    handler = Recorder(echo=True, open=lambda ws: ws.send("hello"))
    peer = net.peer(net.server(handler, count_traffic=True))
    peer.send(request_head() + text("early") + frame(PING, b"p", key=KEY), step)
    peer.take_head()
    peer.send(frame(TEXT, b"in ", key=KEY, fin=False) + frame(0, b"parts", key=KEY), step)
    peer.expect((TEXT, b"hello"), (TEXT, b"early"), (PONG, b"p"), (TEXT, b"in parts"))
    [ws] = handler.endpoints
    received = (6 + 5) + (6 + 1) + (6 + 3) + (6 + 5)
    sent = (2 + 5) + (2 + 5) + (2 + 1) + (2 + 8)
    assert ws.traffic[1:] == (2, 3, received, sent, None)
    assert ws.traffic.seconds > 0


def test_what_was_not_sent_yet_is_not_counted(net: Net) -> None:
    seen: list[Any] = []
    handler = Recorder(open=lambda ws: (ws.send("x" * 10), seen.append(ws.traffic)))
    peer = net.peer(net.server(handler, count_traffic=True)).upgrade()
    peer.expect((TEXT, b"x" * 10))
    assert seen[0][1:] == (0, 1, 0, 0, None), "and the 101 never"
    assert handler.endpoints[0].traffic.bytes_sent == 12


def test_large_messages_and_a_queue(net: Net) -> None:
    """Sent in one go, in parts, and outside of a turn: each byte once."""
    handler = Recorder()
    peer, ws = net.open(handler, count_traffic=True)
    for size in (1000, 200_000, 3_000_000):
        ws.send(bytes(size))
    whole = 4 + 1000 + 10 + 200_000 + 10 + 3_000_000
    net.until(lambda: len(peer.received) == whole)
    assert ws.traffic.bytes_sent == whole and ws.traffic.messages_sent == 3


def test_traffic_stands_still_when_the_socket_is_closed(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, count_traffic=True)
    peer.send(goodbye())
    net.until(lambda: peer.ended)
    last = ws.traffic
    assert last == ws.traffic and last[1:] == (0, 0, 8, 4, "peer")


def test_our_own_client_counts_too(net: Net) -> None:
    server = net.server(Recorder(echo=True))
    mine = Recorder(open=lambda ws: ws.send("hello"), message=lambda ws, _: ws.close())
    ws = net.client(server, mine, count_traffic=True)
    net.until(lambda: mine.closes)
    assert ws.traffic[1:] == (1, 1, 7 + 4, 11 + 8, "us")
