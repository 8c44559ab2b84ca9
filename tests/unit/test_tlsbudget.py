"""The budget of TLS handshakes: a storm of them does not stop the connections that are open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from certificates import SecurePeer, secure_open, secure_peer, server
from sockets import Net, Recorder, network, text
from wire import TEXT
from wsfast.loop import Loop
from wsfast.selector import EpollSelector
from wsfast.tlsbudget import TlsBudget


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


@pytest.fixture
def narrow() -> Iterator[Net]:
    """A net whose loop takes two steps of handshakes a turn."""
    net = Net(handshakes_per_turn=2)
    yield net
    net.close()


@pytest.mark.parametrize("per_turn", [0, -1, 1 << 31])
def test_a_budget_of_none_is_refused(per_turn: int) -> None:
    with pytest.raises(ValueError, match=f"handshakes_per_turn is {per_turn}"):
        Loop(handshakes_per_turn=per_turn)


def test_the_default() -> None:
    selector = EpollSelector()
    budget = TlsBudget(selector)
    assert budget.steps_per_turn == 16
    assert budget.waiting_handshakes == 0
    budget.resume()
    selector.close()


def turns(net: Net, peers: list[SecurePeer]) -> Iterator[None]:
    """Turn by turn, until all of them are through."""
    for _ in range(1000):
        net.loop.selector.select(1)
        yield
        if all(peer.established for peer in peers):
            return


def storm(net: Net, target: object, count: int) -> list[SecurePeer]:
    """Clients whose ClientHello is sent at once; nothing of it is served yet."""
    return [secure_peer(net, target) for _ in range(count)]


def test_a_storm_does_not_stop_who_is_open(narrow: Net) -> None:
    """300 handshakes at two steps a turn: an echo takes as few turns as without them."""
    handler = Recorder(echo=True)
    open_peer, _ = secure_open(narrow, handler)
    peers = storm(narrow, narrow.servers[0], 300)
    taken = 0
    for number in range(1, 41):
        open_peer.send(text(str(number)))
        while len(open_peer.frames) < number:
            narrow.loop.selector.select(1)
            taken += 1
    assert taken <= 4 * 40
    assert narrow.loop.waiting_handshakes > 0
    assert sum(peer.established for peer in peers) < len(peers)
    narrow.until(lambda: all(peer.established for peer in peers), 60)
    narrow.until(lambda: narrow.loop.waiting_handshakes == 0)


def test_the_row_is_served_in_order(narrow: Net) -> None:
    handler = Recorder()
    target = narrow.server(handler, tls=server())
    peers = storm(narrow, target, 40)
    order: list[int] = []
    for _ in turns(narrow, peers):
        order += [
            number for number, peer in enumerate(peers) if peer.established and number not in order
        ]
    assert len(order) == len(peers)
    # A turn takes two steps, and a handshake two of them: neighbours may change places.
    assert all(abs(number - place) <= 4 for place, number in enumerate(order))


def test_a_turn_takes_no_more_than_its_share(narrow: Net) -> None:
    target = narrow.server(Recorder(), tls=server())
    peers = storm(narrow, target, 20)
    for turn, _ in enumerate(turns(narrow, peers), 1):
        # Counted from the first turn on: what the kernel delivers late comes with the next.
        assert sum(peer.established for peer in peers) <= 2 * turn
    assert all(peer.established for peer in peers)


def test_those_that_wait_have_their_deadline(narrow: Net) -> None:
    handler = Recorder()
    target = narrow.server(handler, tls=server(), opening_seconds=0.1)
    peers = storm(narrow, target, 30)
    for peer in peers:
        peer.send_records = lambda records: None  # none of them goes on
    narrow.until(lambda: len(handler.named("failed")) == len(peers))
    assert all("took longer than 0.1 s" in str(event[1]) for event in handler.named("failed"))
    narrow.until(lambda: all(peer.ended for peer in peers))


def test_who_leaves_while_waiting_takes_no_share(narrow: Net) -> None:
    handler = Recorder()
    target = narrow.server(handler, tls=server())
    peers = storm(narrow, target, 30)
    narrow.until(lambda: target.connections == 30)
    for ws in list(target.settings.endpoints):
        ws.disconnect()
    narrow.until(lambda: all(peer.ended for peer in peers))
    assert narrow.loop.waiting_handshakes == 0


def test_plain_connections_wait_for_nothing(narrow: Net) -> None:
    handler = Recorder(echo=True)
    storm(narrow, narrow.server(Recorder(), tls=server()), 30)
    narrow.settle()
    peer = narrow.peer(narrow.server(handler)).upgrade()
    peer.send(text("through"))
    peer.expect((TEXT, b"through"))
