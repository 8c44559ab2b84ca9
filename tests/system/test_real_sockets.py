"""Server and client over real sockets: every size, every way of hosting, and rough company."""

from __future__ import annotations

import asyncio
import logging
import random
import selectors
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sockets import Net, Peer, Recorder, answer_handshake, goodbye, network, request_head, text
from wire import BINARY, CONTINUATION, KEY, PING, TEXT, close_frame, frame
from wsfast.callback import CallbackStream
from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.limits import Limits
from wsfast.loop import Loop
from wsfast.selector import EpollSelector
from wsfast.server import Server

SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20, 10 << 20]
SMALL_SIZES = [0, 1, 125, 126, 65535, 65536]
LIMIT = 16 << 20


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def random_text(size: int) -> bytes:
    """UTF-8 of that many bytes, with characters of one to four."""
    rng = random.Random(size)
    pool = ["a", "Z", "\u00e9", "\u20ac", "\U0001f600"]
    made = "".join(rng.choices(pool, k=min(size, 4000))).encode()
    repeated = made * (size // max(len(made), 1) + 1)
    kept = repeated[:size].decode(errors="ignore").encode()
    return kept + b"." * (size - len(kept))


# --- round trips -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("parts", [1, 3])
def test_round_trips_of_a_raw_peer(net: Net, size: int, parts: int) -> None:
    peer, _ = net.open(Recorder(echo=True), max_message_bytes=LIMIT)
    sent = [(BINARY, random.Random(size).randbytes(size)), (TEXT, random_text(size))]
    for opcode, payload in sent:
        step = size // parts + 1
        pieces = [payload[at * step : (at + 1) * step] for at in range(parts)]
        for number, piece in enumerate(pieces):
            code = CONTINUATION if number else opcode
            peer.send(frame(code, piece, key=KEY, fin=number == parts - 1))
    peer.expect(*sent)
    peer.send(goodbye())
    net.until(lambda: peer.ended)


@pytest.mark.parametrize("size", SIZES)
def test_round_trips_of_our_client(net: Net, size: int) -> None:
    client = Recorder()
    ws = net.client(
        net.server(Recorder(echo=True), max_message_bytes=LIMIT), client, max_message_bytes=LIMIT
    )
    net.until(lambda: client.names() == ["open"])
    messages = [random.Random(size).randbytes(size), random_text(size).decode()]
    for message in messages:
        assert ws.send(message)
    net.until(lambda: len(client.messages) == 2)
    assert client.messages == messages
    ws.close(1000, "done")
    net.until(lambda: client.closes)
    assert client.closes == [(1000, "")]


@pytest.mark.parametrize("step", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 5000])
def test_round_trips_cut_by_the_peer(net: Net, size: int, step: int) -> None:
    peer = net.peer(net.server(Recorder(echo=True)))
    sent = [(BINARY, bytes(range(256)) * (size // 256 + 1)), (TEXT, random_text(size))]
    sent[0] = (BINARY, sent[0][1][:size])
    stream = b"".join(frame(opcode, payload, key=KEY) for opcode, payload in sent)
    peer.send(request_head() + stream, step)
    peer.take_head()
    peer.expect(*sent)


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_many_in_flight(net: Net, size: int) -> None:
    client = Recorder()
    server = net.server(Recorder(echo=True))
    ws = net.client(server, client)
    net.until(lambda: client.names() == ["open"])
    count = 3_000_000 // (size + 1000)
    messages = [b"%06d" % n + bytes(size) for n in range(count)]
    for message in messages:
        assert ws.send(message)
    net.until(lambda: len(client.messages) == count, 30)
    assert client.messages == messages


# --- ways of hosting -------------------------------------------------------------------------


class Asking:
    """A client's handler for asyncio: a future for each answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.opened = loop.create_future()
        self.answers: asyncio.Queue[Any] = asyncio.Queue()

    def on_open(self, ws: Endpoint) -> None:
        self.opened.set_result(ws)

    def on_message(self, ws: Endpoint, message: Any) -> None:
        self.answers.put_nowait(message)

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        self.answers.put_nowait(close_code)


async def converse(
    server: Server, loop: Loop, handler: Asking, flush: Callable[[], None]
) -> list[Any]:
    """Open, send two messages from a coroutine, close; the answers."""
    host, port = server.addresses[0]
    connect(f"ws://{host}:{port}/", handler, loop=loop)
    flush()
    ws = await handler.opened
    answers = []
    for message in ("one", b"two" * 100_000):
        ws.send(message)
        flush()
        answers.append(await handler.answers.get())
    await asyncio.sleep(0)
    ws.close(3000)
    flush()
    return [*answers, await handler.answers.get()]


def test_as_the_selector_of_asyncio() -> None:
    """The server lives inside of asyncio's own loop: same thread, no other loop."""
    selector = EpollSelector()
    events = asyncio.SelectorEventLoop(selector)
    loop = Loop(selector)
    server = Server(Recorder(echo=True), port=0, loop=loop)
    talk = converse(server, loop, Asking(events), lambda: None)
    answers = events.run_until_complete(asyncio.wait_for(talk, 10))
    assert answers == ["one", b"two" * 100_000, 3000]
    server.stop_listening()
    events.close()


def test_as_a_guest_of_asyncio() -> None:
    """The selector's descriptor is polled by another loop, which calls select(0)."""
    events = asyncio.SelectorEventLoop(selectors.DefaultSelector())
    loop = Loop()
    try:
        number = loop.selector.fileno()
    except OSError as error:  # io.UnsupportedOperation
        pytest.skip(f"no descriptor to poll: {error}")
    events.add_reader(number, loop.selector.select, 0)
    server = Server(Recorder(echo=True), port=0, loop=loop)
    talk = converse(server, loop, Asking(events), loop.selector.flush)
    answers = events.run_until_complete(asyncio.wait_for(talk, 10))
    assert answers == ["one", b"two" * 100_000, 3000]
    server.close()
    events.remove_reader(number)
    events.close()
    loop.close()


def test_beside_plain_files_and_other_streams(net: Net) -> None:
    """Endpoints take nothing from whoever else uses the selector."""
    left, right = socket.socketpair()
    other, another = socket.socketpair()
    net.loop.selector.register(left, selectors.EVENT_READ, "data")
    heard: list[bytes] = []
    stream = CallbackStream(
        net.loop.selector, other.fileno(), 1, lambda events: heard.append(other.recv(9))
    )
    peer, _ = net.open(Recorder(echo=True))
    right.send(b"plain")
    another.send(b"stream")
    peer.send(text("socket"))
    ready = net.loop.selector.select(1)
    assert [(key.data, events) for key, events in ready] == [("data", 1)]
    peer.expect((TEXT, b"socket"))
    assert heard == [b"stream"]
    stream.remove()
    net.loop.selector.unregister(left)
    for each in (left, right, other, another):
        each.close()


# --- rough company ---------------------------------------------------------------------------

#: What a peer may do, with the connection in any state.
ROUGH: list[Callable[[Peer], object]] = [
    lambda peer: peer.send(text("words")),
    lambda peer: peer.send(frame(BINARY, bytes(70_000), key=KEY)),
    lambda peer: peer.send(frame(PING, b"ping", key=KEY)),
    lambda peer: peer.send(text("half a fra")[:9]),
    lambda peer: peer.send(frame(TEXT, b"bad", key=None)),
    lambda peer: peer.send(text(b"\xff")),
    lambda peer: peer.send(goodbye(3000)),
    lambda peer: peer.send(request_head()),
    lambda peer: peer.socket.shutdown(socket.SHUT_WR),
    lambda peer: setattr(peer, "reading", False) or peer.update(),
    lambda peer: peer.read(),
    Peer.close,
    Peer.reset,
]

#: What a handler may do, in any callback.
HASTY: list[Callable[[Endpoint], object]] = [
    lambda ws: ws.send("answer"),
    lambda ws: ws.send(bytes(200_000)),
    lambda ws: ws.ping(b"?"),
    lambda ws: ws.close(3001),
    lambda ws: ws.disconnect(),
    lambda ws: 1 // 0,
    lambda ws: None,
]


class Hasty:
    """A handler that does anything anywhere, to its own connection and to others."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.open: list[Endpoint] = []
        self.told: list[Endpoint] = []

    def act(self, ws: Endpoint, *details: object) -> None:
        chosen = self.rng.choice(self.open) if self.open and self.rng.random() < 0.3 else ws
        self.rng.choice(HASTY)(chosen)

    on_message = on_ping = on_pong = on_drain = act

    def on_open(self, ws: Endpoint) -> None:
        self.open.append(ws)
        self.act(ws)

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        assert ws in self.open, "on_close without on_open, or a second time"
        self.open.remove(ws)
        self.told.append(ws)
        self.act(ws)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_races_on_close_comes_once(
    net: Net, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    """Hundreds of random lives: each that opened is told of its end exactly once."""
    caplog.set_level(logging.CRITICAL, "wsfast")  # a kept traceback keeps its endpoint alive
    rng = random.Random(seed)
    handler = Hasty(rng)
    server = net.server(
        handler,
        closing_seconds=0.1,
        opening_seconds=0.2,
        high_water_bytes=100_000,
        low_water_bytes=10_000,
    )
    for _ in range(150):
        peer = net.peer(server, receive_bytes=rng.choice([0, 4096]))
        if rng.random() < 0.9:
            peer.send(request_head() + rng.choice([b"", text("first"), goodbye()]))
        for _ in range(rng.randrange(6)):
            chosen = rng.choice(net.peers[-20:])
            if chosen.socket.fileno() >= 0 and chosen.error is None:
                try:
                    rng.choice(ROUGH)(chosen)
                except OSError:  # the server was faster
                    chosen.close()
            if rng.random() < 0.7:
                net.loop.selector.select(0)
    for peer in net.peers:
        peer.close()
    net.until(lambda: not server.connections)
    assert not handler.open
    assert len(set(map(id, handler.told))) == len(handler.told) > 50


class HastyClient(Hasty):
    """The same on the client's side: what does not open fails, once."""

    failed = 0

    def on_connect_failed(self, ws: Endpoint, error: Exception) -> None:
        assert ws not in self.open and ws not in self.told
        assert isinstance(error, ConnectionError)
        self.failed += 1


#: What a server may answer to the opening handshake, and after it.
ANSWERS: list[Callable[[bytes], bytes]] = [
    answer_handshake,
    lambda request: answer_handshake(request) + frame(TEXT, b"first"),
    lambda request: answer_handshake(request) + close_frame(3000),
    lambda request: answer_handshake(request) + frame(TEXT, b"masked", key=KEY),
    lambda request: answer_handshake(request)[:-3],
    lambda request: b"HTTP/1.1 403 No\r\n\r\n",
    lambda request: b"",
]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_server_does_a_client_ends_once(
    net: Net, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    caplog.set_level(logging.CRITICAL, "wsfast")
    rng = random.Random(seed)
    handler = HastyClient(rng)
    listening, url = net.listen()
    made: list[Endpoint] = []
    limits = Limits(closing_seconds=0.1, opening_seconds=0.2)
    for _ in range(150):
        made.append(connect(url, handler, loop=net.loop, limits=limits))
        if rng.random() < 0.1:
            made[-1].close()
        peer = net.accept(listening, upgrade=False)
        request = peer.take_head()
        if request:
            peer.send(rng.choice(ANSWERS)(request))
        for _ in range(rng.randrange(4)):
            net.loop.selector.select(0)
            if peer.error is None:
                peer.send(rng.choice([frame(TEXT, b"x"), frame(PING), close_frame(1000), b"\xff"]))
        rng.choice([Peer.close, Peer.reset, Peer.update])(peer)
    for peer in net.peers:
        peer.close()
    net.until(lambda: all(ws.fd < 0 for ws in made))
    assert not handler.open
    assert len(handler.told) + handler.failed == len(made)
    assert len(handler.told) > 20 and handler.failed > 20
