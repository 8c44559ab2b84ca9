"""A handler that raises: logged once, its connection fails with 1011, the others go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from sockets import MORE_THAN_THE_KERNEL_TAKES, Net, Recorder, goodbye, network, request_head, text
from wire import KEY, PING, PONG, TEXT, frame
from wsfast.endpoint import Endpoint


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Oops(Exception):
    """What the handlers here raise."""


def fail(ws: Endpoint, *details: object) -> None:
    raise Oops


def errors(caplog: pytest.LogCaptureFixture) -> list[type[BaseException] | None]:
    """The exceptions that were logged as errors."""
    return [each.exc_info[0] for each in caplog.records if each.exc_info]


@pytest.mark.parametrize("event", ["open", "message", "ping", "pong"])
def test_only_that_connection_fails(
    net: Net, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    good, bad = Recorder(echo=True), Recorder(**{event: fail})
    other, _ = net.open(good)
    peer = net.peer(net.server(bad))
    peer.send(request_head() + frame(PING, b"", key=KEY) + frame(PONG, b"", key=KEY))
    peer.send(text("a") + text("b"))
    peer.take_head()
    peer.expect_close(1011)
    assert bad.closes == [(1011, "internal error")]
    assert bad.names()[-2:] == [event, "close"]
    assert errors(caplog) == [Oops]
    other.send(text("still here"))
    other.expect((TEXT, b"still here"))


def test_on_close_that_raises(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    handler = Recorder(close=fail)
    peer, _ = net.open(handler)
    peer.send(goodbye())
    peer.expect_close(1000)
    assert handler.closes == [(1000, "")]
    assert errors(caplog) == [Oops]


@pytest.mark.parametrize("end", ["eof", "disconnect"])
def test_on_close_that_raises_at_an_abrupt_end(
    net: Net, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    handler = Recorder(close=fail)
    peer, ws = net.open(handler)
    peer.close() if end == "eof" else ws.disconnect()
    net.until(lambda: not net.servers[0].connections)
    assert handler.closes == [(1006, "")]
    assert errors(caplog) == [Oops]


def test_on_close_that_raises_after_another_callback_did(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Recorder(message=fail, close=fail)
    peer, _ = net.open(handler)
    peer.send(text("a"))
    peer.expect_close(1011)
    assert handler.closes == [(1011, "internal error")]
    assert errors(caplog) == [Oops, Oops]


def test_on_drain_that_raises(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    handler = Recorder(drain=fail)
    server = net.server(handler, high_water_bytes=65536, low_water_bytes=0)
    peer = net.peer(server, reading=False, receive_bytes=4096)
    peer.send(request_head())
    net.until(lambda: handler.endpoints)
    ws = handler.endpoints[0]
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert ws.buffered_bytes
    peer.read()
    peer.take_head()
    peer.expect_close(1011)
    assert handler.names() == ["open", "drain", "close"]
    assert errors(caplog) == [Oops]


def test_raising_after_the_socket_was_closed(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    def leave(ws: Endpoint, message: str) -> None:
        ws.disconnect()
        raise Oops

    handler = Recorder(message=leave)
    peer, _ = net.open(handler)
    peer.send(text("a") + text("b"))
    net.until(lambda: not net.servers[0].connections)
    assert handler.names() == ["open", "message", "close"]
    assert errors(caplog) == [Oops]


def test_on_upgrade_that_raises(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    class Gate(Recorder):
        def on_upgrade(self, request: object) -> None:
            raise Oops

    handler = Gate()
    peer = net.peer(net.server(handler))
    peer.send(request_head())
    assert peer.take_head().startswith(b"HTTP/1.1 500 ")
    net.until(lambda: peer.ended)
    assert handler.names() == []  # refused, as by a Refusal
    assert errors(caplog) == [Oops]


def test_on_connect_failed_that_raises(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    handler = Recorder(failed=fail)
    peer = net.peer(net.server(handler))
    peer.close()
    net.until(lambda: handler.events)
    assert handler.names() == ["failed"]
    assert errors(caplog) == [Oops]


def test_an_interrupt_leaves_the_loop_and_fails_the_connection(net: Net) -> None:
    """What was left of the read is lost: going on would begin in the middle of a frame."""

    def interrupt(ws: Endpoint, message: str) -> None:
        ws.send("before")
        raise KeyboardInterrupt

    handler = Recorder(message=interrupt)
    peer, _ = net.open(handler)
    peer.send(text("a") + text("cut")[:4])
    with pytest.raises(KeyboardInterrupt):
        net.until(lambda: peer.frames)
    peer.send(text("cut")[4:])
    peer.expect_close(1011)
    assert peer.frames[0] == (TEXT, b"before")
    assert handler.messages == ["a"]
    assert handler.closes == [(1011, "internal error")]


def test_an_interrupt_in_on_drain_stops_nothing(net: Net) -> None:
    """Reading had stopped at high water, and goes on although on_drain never returned."""

    def interrupt(ws: Endpoint) -> None:
        raise KeyboardInterrupt

    handler = Recorder(echo=True, drain=interrupt)
    peer, ws = net.open(handler)
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.until(lambda: ws.buffered_bytes)
    peer.send(text("still there"))
    peer.read()
    with pytest.raises(KeyboardInterrupt):
        net.until(lambda: not ws.buffered_bytes)
    net.until(lambda: len(peer.frames) == 2)
    assert peer.frames[1] == (TEXT, b"still there")


def test_nothing_is_logged_for_what_a_peer_does(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    peer, _ = net.open(Recorder())
    peer.send(frame(TEXT, b"unmasked", key=None))
    peer.expect_close(1002)
    assert not caplog.records
