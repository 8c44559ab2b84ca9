"""Random lives of many peers at once: every byte that must come back does, every end is told."""

from __future__ import annotations

import random
import selectors
import socket
import time
from collections.abc import Iterator

import pytest

from sockets import SECONDS, Net, Peer, Recorder, goodbye, network, request_head
from wire import BINARY, CLOSE, KEY, frame
from wsfast.echo.stream import EchoEndpoint
from wsfast.endpoint import Endpoint
from wsfast.server import Server

#: epoll, where readiness is edge-triggered, and what stands in for it elsewhere.
BACKENDS = [None, selectors.PollSelector]

#: What a read of the loop takes; a message that fills it exactly leaves nothing to be told of.
RECEIVE_BYTES = 256 * 1024

#: For each test; what has not begun by then is left out.
ROUNDS, SECONDS_EACH = 40, 2.0

#: How often the handler in Python answers each message.
COPIES = 6

LIMITS = {
    "high_water_bytes": 60_000,
    "low_water_bytes": 10_000,
    "max_queue_bytes": 64 << 20,
    "max_message_bytes": 16 << 20,
    "opening_seconds": 60,
}


@pytest.fixture(params=BACKENDS, ids=["default", "poll"])
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def random_payload(rng: random.Random) -> bytes:
    """Mostly small; some that fill a read exactly, or nearly, and some beyond the high water."""
    size = rng.choice(
        [
            rng.randrange(200),
            rng.randrange(200),
            rng.randrange(5000),
            rng.randrange(100_000),
            RECEIVE_BYTES - 14 + rng.randrange(-1, 2),
            rng.randrange(1_000_000),
        ]
    )
    return rng.randbytes(1) * size


class Life:
    """One peer that keeps to the protocol, at its own pace: sends, pauses, reads, and ends.

    Half of them shut down their sending side after the last byte and go on reading; some of these
    send no Close before. All that they sent must be answered nevertheless.
    """

    def __init__(self, net: Net, peer: Peer, rng: random.Random) -> None:
        self.peer = peer
        self.rng = rng
        self.half = rng.random() < 0.5
        self.leaves = self.half and rng.random() < 0.5
        self.messages = [random_payload(rng) for _ in range(rng.randrange(1, 12))]
        frames = [frame(BINARY, message, key=KEY) for message in self.messages]
        self.unsent = request_head() + b"".join(frames) + (b"" if self.leaves else goodbye())
        self.finished = False

    def step(self) -> None:
        """Do one thing of many."""
        if self.finished:
            return
        if self.rng.random() < 0.2:
            self.peer.reading = not self.peer.reading
            self.peer.update()
        if not self.unsent:
            if not self.peer.outgoing:
                self.finish()
        elif len(self.peer.outgoing) < 1 << 20:
            cut = self.rng.choice([1, 2, 7, 300, 70_000, RECEIVE_BYTES, len(self.unsent)])
            self.peer.send(self.unsent[:cut])
            self.unsent = self.unsent[cut:]

    def finish(self) -> None:
        """All was sent: from now on it only reads."""
        self.finished = True
        if self.half:
            self.peer.socket.shutdown(socket.SHUT_WR)
        self.peer.read()

    def check(self, copies: int) -> None:
        """Everything came back, in order, and then the end."""
        self.peer.take_head()
        answers = self.peer.frames
        assert self.peer.error is None
        wanted = [message for message in self.messages for _ in range(copies)]
        assert [payload for opcode, payload in answers if opcode == BINARY] == wanted
        assert [opcode for opcode, _ in answers if opcode != BINARY] == [CLOSE] * (not self.leaves)


def answer_often(ws: Endpoint, message: bytes) -> None:
    """More than the kernel takes while the peer does not read: reading stops at high water."""
    for _ in range(COPIES):
        ws.send(message)


class Rude:
    """A peer that sends anything, cut anywhere, and resets or leaves at any time."""

    def __init__(self, net: Net, peer: Peer, rng: random.Random) -> None:
        self.peer = peer
        self.rng = rng
        self.gone = False
        good = frame(BINARY, random_payload(rng), key=KEY)
        self.unsent = rng.choice([b"", request_head(), request_head()])
        self.unsent += rng.choice([rng.randbytes(300), good, good[: len(good) // 2]]) * 3

    def step(self) -> None:
        """Send a piece, or leave."""
        if self.gone:
            return
        if self.rng.random() < 0.3 or self.peer.error or self.peer.ended:
            self.gone = True
            self.rng.choice([Peer.close, Peer.reset])(self.peer)
        else:
            self.peer.send(self.unsent[: self.rng.randrange(100_000)])


def run_lives(net: Net, lives: list[Life], rude: list[Rude], rng: random.Random) -> None:
    """Let them live at random, then let all of them read to their end."""
    deadline = time.monotonic() + SECONDS
    while not all(life.finished for life in lives):
        assert time.monotonic() < deadline, "a peer could not send all that it had to"
        for each in rng.choices([*lives, *rude], k=len(lives) // 2 + 1):
            each.step()
            if rng.random() < 0.5:
                net.loop.selector.select(0)
        for life in lives:  # whoever waits for the server to read must read itself
            if life.peer.outgoing and not life.peer.reading and rng.random() < 0.3:
                life.peer.read()
        net.loop.selector.select(0)
    net.until(lambda: all(life.peer.ended for life in lives))


def one_round(net: Net, server: Server, handler: Recorder, copies: int, seed: int) -> None:
    """Some peers that keep to the protocol, and some that do not, at the same time."""
    rng = random.Random(seed)
    lives = [
        Life(net, net.peer(server, receive_bytes=rng.choice([0, 4096])), rng)
        for _ in range(rng.randrange(1, 10))
    ]
    rude = [Rude(net, net.peer(server), rng) for _ in range(rng.randrange(4))]
    run_lives(net, lives, rude, rng)
    for life in lives:
        life.check(copies)
        life.peer.close()
    for other in rude:
        other.peer.close()
    net.until(lambda: not server.connections)
    counted = sorted(code for code, _ in handler.closes)
    for life in lives:
        counted.remove(1006 if life.leaves else 1000)
    assert len(handler.closes) == len(handler.named("open")), "on_close comes once for each"
    assert 1000 not in counted, "a rude one says no good-bye"
    handler.events.clear()
    handler.endpoints.clear()
    net.peers.clear()


@pytest.mark.parametrize("endpoint", [Endpoint, EchoEndpoint])
def test_all_that_was_sent_comes_back(net: Net, endpoint: type[Endpoint]) -> None:
    in_c = endpoint is EchoEndpoint
    handler = Recorder() if in_c else Recorder(message=answer_often)
    server = net.server(handler, endpoint=endpoint, closing_seconds=10, **LIMITS)
    end = time.monotonic() + SECONDS_EACH
    seed = 0
    while seed < ROUNDS and (seed < 2 or time.monotonic() < end):
        one_round(net, server, handler, 1 if in_c else COPIES, seed)
        seed += 1


def test_our_own_clients_get_all_of_it(net: Net) -> None:
    """Both ends are ours: every message comes back in order, however fast they were sent."""
    rng = random.Random(0)
    server = net.server(Recorder(echo=True), **LIMITS)
    handlers = [Recorder() for _ in range(20)]
    sent = [[random_payload(rng) for _ in range(rng.randrange(1, 20))] for _ in handlers]
    clients = [net.client(server, each, max_message_bytes=16 << 20) for each in handlers]
    net.until(lambda: all(each.names() for each in handlers))
    waiting = [(ws, iter(messages)) for ws, messages in zip(clients, sent, strict=True)]
    while waiting:
        ws, messages = pair = rng.choice(waiting)
        message = next(messages, None)
        if message is None:
            waiting.remove(pair)
        else:
            ws.send(message)
        if rng.random() < 0.3:
            net.loop.selector.select(0)
    net.until(lambda: [each.messages for each in handlers] == sent)
    for ws in clients:
        ws.close(3000)
    net.until(lambda: not server.connections and all(ws.fd < 0 for ws in clients))
    assert [each.closes for each in handlers] == [[(3000, "")]] * len(handlers)
