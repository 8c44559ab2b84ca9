"""views=True: memoryviews of what was received, valid for as long as they are kept."""

from __future__ import annotations

import gc
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from sockets import Net, Recorder, network, request_head, text
from wire import BINARY, CONTINUATION, KEY, STEPS, TEXT, frame
from wsfast.endpoint import Endpoint
from wsfast.listener import Listener
from wsfast.rfc6455 import Role
from wsfast.settings import Settings


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def binary(payload: bytes, **options: Any) -> bytes:
    return frame(BINARY, payload, key=KEY, **options)


def test_views_are_read_only_and_text_is_still_str(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler, views=True)
    peer.send(binary(b"payload") + text("text") + binary(b""))
    net.until(lambda: len(handler.messages) == 3)
    view, string, empty = handler.messages
    assert isinstance(view, memoryview) and view.readonly and view == b"payload"
    assert string == "text"
    assert isinstance(empty, memoryview) and empty.nbytes == 0


def test_views_kept_beyond_the_callback_never_change(net: Net) -> None:
    """Later reads land in other memory while a view is held, and in the same when it is not."""
    handler = Recorder()
    peer, _ = net.open(handler, views=True)
    rng = random.Random(7)
    messages = [rng.randbytes(rng.choice([1, 100, 5000, 70_000])) for _ in range(200)]
    for number, message in enumerate(messages):
        peer.send(binary(message) + text("between"))
        net.until(lambda number=number: len(handler.messages) == 2 * number + 2)
    assert [bytes(view) for view in handler.messages[::2]] == messages
    handler.events.clear()
    gc.collect()
    peer.send(binary(b"after"))
    net.until(lambda: handler.messages)
    assert handler.messages[0] == b"after"


@pytest.mark.parametrize("step", STEPS)
def test_messages_in_parts_are_views_too(net: Net, step: int) -> None:
    handler = Recorder()
    peer, _ = net.open(handler, views=True)
    stream = binary(b"abc", fin=False) + frame(CONTINUATION, b"def", key=KEY) + binary(b"whole")
    peer.send(stream, step)
    net.until(lambda: len(handler.messages) == 2)
    assert all(isinstance(message, memoryview) for message in handler.messages)
    assert [bytes(message) for message in handler.messages] == [b"abcdef", b"whole"]


def test_a_message_longer_than_the_receive_buffer(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler, views=True)
    message = random.Random(1).randbytes(1_000_000)
    peer.send(binary(message) + binary(b"next"))
    net.until(lambda: len(handler.messages) == 2)
    assert [bytes(view) for view in handler.messages] == [message, b"next"]


def test_views_of_frames_behind_the_handshake(net: Net) -> None:
    handler = Recorder(echo=True)
    server = net.server(handler, views=True)
    first, second = net.peer(server), net.peer(server)
    first.send(request_head() + binary(b"first"))
    second.send(request_head() + binary(b"second"))
    for peer, payload in ((first, b"first"), (second, b"second")):
        peer.take_head()
        peer.expect((BINARY, payload))
    assert sorted(bytes(view) for view in handler.messages) == [b"first", b"second"]


def test_a_view_outlives_its_endpoint_and_its_loop() -> None:
    other = Net()
    handler = Recorder()
    peer, _ = other.open(handler, views=True)
    peer.send(binary(b"kept"))
    other.until(lambda: handler.messages)
    view = handler.messages[0]
    other.close()
    assert view == b"kept"


def test_sending_a_view_back(net: Net) -> None:
    handler = Recorder(echo=True)
    peer, _ = net.open(handler, views=True)
    message = random.Random(2).randbytes(200_000)
    peer.send(binary(b"small") + binary(message))
    peer.expect((BINARY, b"small"), (BINARY, message))


class LateOpening:
    """An opening handshake that is accepted later, from another endpoint's callback."""

    waiting: list[tuple[Endpoint, bytes]] = []

    def receive(self, endpoint: Endpoint, data: bytes) -> None:
        self.waiting.append((endpoint, data))

    def receive_eof(self, endpoint: Endpoint) -> None:
        """Nothing to answer."""


@pytest.mark.parametrize("views", [False, True])
def test_opening_one_endpoint_inside_the_turn_of_another(net: Net, views: bool) -> None:
    """Its first frames must not land on those that the other is reading."""
    handler = Recorder(echo=True)
    server = net.server(handler, views=views)
    late = Recorder(echo=True)
    settings = Settings(net.loop, Role.SERVER, late, LateOpening, views=views)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    listener = Listener(settings, listening)
    late_peer = net.adopt(socket.create_connection(listener.address))
    late_peer.send(b"please")
    net.until(lambda: LateOpening.waiting)
    endpoint, _ = LateOpening.waiting.pop()

    def accept(ws: Endpoint, message: Any) -> None:
        if endpoint.fd >= 0 and not late.events:
            endpoint.write(b"yes\r\n\r\n")
            endpoint.open(None, b"".join(binary(b"late%d" % n) for n in range(1000)))
            endpoint.open(None, binary(b"twice is once"))

    handler.hooks["message"] = accept
    peer = net.peer(server).upgrade()
    peer.send(binary(b"go") + b"".join(binary(b"own%d" % n) for n in range(1000)))
    net.until(lambda: len(handler.messages) == 1001 and len(late.messages) == 1000)
    assert [bytes(each) for each in handler.messages[1:]] == [b"own%d" % n for n in range(1000)]
    assert [bytes(each) for each in late.messages] == [b"late%d" % n for n in range(1000)]
    assert late_peer.take_head() == b"yes\r\n\r\n"
    net.until(lambda: len(late_peer.frames) == 1000)
    listener.close()
    endpoint.disconnect()
    endpoint.open(None, b"")
    endpoint.refuse(b"")
    endpoint.write(b"")
    assert late.names().count("open") == 1
    assert peer.frames[0] == (BINARY, b"go") and (TEXT, b"") not in peer.frames
