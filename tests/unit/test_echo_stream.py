"""The echo without Python objects: the same bytes back, by every path through it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from sockets import (
    MORE_THAN_THE_KERNEL_TAKES,
    Net,
    Peer,
    Recorder,
    goodbye,
    network,
    request_head,
    text,
)
from wire import BINARY, CONTINUATION, KEY, PING, PONG, STEPS, TEXT, frame
from wsfast.echo.stream import EchoEndpoint
from wsfast.endpoint import Endpoint

EDGES = [0, 1, 125, 126, 127, 4096, 65535, 65536, 128 * 1024 - 1, 128 * 1024, 250_000, 1 << 20]


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def echo(net: Net, **options: object) -> Peer:
    """A raw peer of the echo, past the opening handshake."""
    options = {"max_message_bytes": 16 << 20, **options}
    return net.peer(net.server(object(), endpoint=EchoEndpoint, **options)).upgrade()


def test_it_is_an_endpoint() -> None:
    assert issubclass(EchoEndpoint, Endpoint)


@pytest.mark.parametrize("size", EDGES)
def test_every_size_text_and_binary(net: Net, size: int) -> None:
    peer = echo(net)
    binary = random.Random(size).randbytes(size)
    ascii_ = bytes(32 + byte % 95 for byte in binary[:1000]) * (size // 1000 + 1)
    wide = ("\u00fc\u20ac\U0001f600" * (size // 9 + 1)).encode()[: size // 9 * 9]
    sent = [(BINARY, binary), (TEXT, ascii_[:size]), (TEXT, wide)]
    peer.send(b"".join(frame(opcode, payload, key=KEY) for opcode, payload in sent))
    peer.expect(*sent)


@pytest.mark.parametrize("step", STEPS)
def test_whole_and_cut_and_in_parts(net: Net, step: int) -> None:
    peer = echo(net)
    stream = text("one") + frame(BINARY, b"two", key=KEY) + text("th", fin=False)
    stream += frame(PING, b"!", key=KEY) + frame(CONTINUATION, b"ree", key=KEY)
    peer.send(stream + frame(BINARY, b"", key=KEY), step)
    peer.expect((TEXT, b"one"), (BINARY, b"two"), (PONG, b"!"), (TEXT, b"three"), (BINARY, b""))


@pytest.mark.parametrize("size", [0, 10, 200_000])
def test_text_that_is_not_utf8_fails_and_what_was_before_is_echoed(net: Net, size: int) -> None:
    peer = echo(net)
    bad = b"x" * size + b"\xed\xa0\x80"
    peer.send(text("before") + text(bad) + text("after"))
    peer.expect_close(1007)
    assert peer.frames[0] == (TEXT, b"before") and len(peer.frames) == 2


def test_text_that_ends_inside_a_character_fails(net: Net) -> None:
    peer = echo(net)
    peer.send(text(b"\xe2\x82"))
    peer.expect_close(1007)


def test_nothing_is_echoed_after_close(net: Net) -> None:
    peer = echo(net)
    [ws] = net.servers[0].settings.endpoints
    peer.send(text("before"))
    peer.expect((TEXT, b"before"))
    ws.close()
    peer.send(text("after") + text("pa", fin=False) + frame(CONTINUATION, b"rt", key=KEY))
    peer.send(goodbye())
    peer.expect_close(1000)
    assert len(peer.frames) == 2


def repeated(frames: list[bytes], count: int) -> bytes:
    """So many frames, the first behind the last."""
    return b"".join(itertools.islice(itertools.cycle(frames), count))


@pytest.mark.parametrize("size", [20, 3000, 200_000])
def test_a_peer_that_sends_without_reading_is_not_read_on(net: Net, size: int) -> None:
    """Memory stays at high water plus a read, and not a byte is lost or moved."""
    server = net.server(object(), endpoint=EchoEndpoint)
    peer = net.peer(server, reading=False, receive_bytes=4096)
    rng = random.Random(size)
    count = min(len(MORE_THAN_THE_KERNEL_TAKES) // size, 400_000)
    messages = [rng.randbytes(size) for _ in range(1000)]  # over and over
    peer.send(
        request_head() + repeated([frame(BINARY, each, key=KEY) for each in messages], count)
    )
    highest, left = 0, -1
    while left != len(peer.outgoing) or not server.connections:
        left = len(peer.outgoing)
        net.settle()
        highest = max([highest, *(ws.buffered_bytes for ws in server.settings.endpoints)])
    assert highest < 1_000_000
    peer.read()
    peer.take_head()
    expected = repeated([frame(BINARY, each) for each in messages], count)
    net.until(lambda: len(peer.received) >= len(expected))
    assert peer.received == expected


def test_our_client_and_ten_mebibytes(net: Net) -> None:
    client = Recorder()
    server = net.server(object(), endpoint=EchoEndpoint, max_message_bytes=16 << 20)
    ws = net.client(server, client, max_message_bytes=16 << 20)
    net.until(lambda: client.names() == ["open"])
    message = random.Random(10).randbytes(10 << 20)
    ws.send(message)
    ws.send("t" * (10 << 20))
    net.until(lambda: len(client.messages) == 2, 30)
    assert client.messages == [message, "t" * (10 << 20)]
