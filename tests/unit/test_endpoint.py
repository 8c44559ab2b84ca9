"""The life of an endpoint on real sockets: messages both ways, and its end, told once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sockets import MORE_THAN_THE_KERNEL_TAKES, Net, Recorder, goodbye, network, request_head, text
from wire import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, STEPS, TEXT, close_frame, frame
from wsfast.endpoint import Endpoint
from wsfast.errors import LocalProtocolError
from wsfast.rfc6455 import State

CODE_1000 = (1000).to_bytes(2, "big")
GOOD_BEFORE_BAD = text("good") + frame(BINARY, b"bad", key=None)


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


# --- messages --------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_messages_and_pings_wherever_they_are_cut(net: Net, step: int) -> None:
    handler = Recorder(echo=True)
    peer, _ = net.open(handler)
    stream = text("Gr\u00fc\u00dfe") + frame(BINARY, b"\x00\xff", key=KEY) + text("")
    stream += text("par", fin=False) + frame(PING, b"p", key=KEY)
    stream += frame(CONTINUATION, b"ts", key=KEY) + frame(PONG, b"q", key=KEY)
    peer.send(stream, step)
    peer.expect(
        (TEXT, "Gr\u00fc\u00dfe".encode()),
        (BINARY, b"\x00\xff"),
        (TEXT, b""),
        (PONG, b"p"),
        (TEXT, b"parts"),
    )
    assert handler.messages == ["Gr\u00fc\u00dfe", b"\x00\xff", "", "parts"]
    assert handler.named("ping") + handler.named("pong") == [("ping", b"p"), ("pong", b"q")]


@pytest.mark.parametrize("step", STEPS)
def test_frames_behind_the_handshake_are_kept(net: Net, step: int) -> None:
    handler = Recorder(echo=True)
    peer = net.peer(net.server(handler))
    peer.send(request_head() + text("early") + frame(PING, b"!", key=KEY), step)
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    peer.expect((TEXT, b"early"), (PONG, b"!"))
    assert handler.names() == ["open", "message", "ping"]


def test_a_frame_cut_by_the_end_of_the_handshake(net: Net) -> None:
    peer = net.peer(net.server(Recorder(echo=True)))
    peer.send(request_head() + text("cut")[:5])
    net.settle()
    peer.send(text("cut")[5:])
    peer.take_head()
    peer.expect((TEXT, b"cut"))


def test_what_on_open_sends_is_the_first_frame(net: Net) -> None:
    handler = Recorder(echo=True, open=lambda ws: ws.send("welcome"))
    peer = net.peer(net.server(handler))
    peer.send(request_head() + text("early"))
    peer.take_head()
    peer.expect((TEXT, b"welcome"), (TEXT, b"early"))


def test_a_handler_needs_no_method(net: Net) -> None:
    server = net.server(object())
    peer = net.peer(server).upgrade()
    peer.send(text("to nobody") + frame(PING, b"", key=KEY) + frame(PONG, b"", key=KEY))
    peer.expect((PONG, b""))
    peer.send(goodbye())
    peer.expect_close(1000)


def test_ping_and_pong_are_sent_and_counted_as_control_frames(net: Net) -> None:
    peer, ws = net.open(Recorder())
    assert ws.ping(b"a") and ws.pong() and ws.ping(bytearray(b"b"))
    peer.expect((PING, b"a"), (PONG, b""), (PING, b"b"))
    with pytest.raises(LocalProtocolError, match="125"):
        ws.ping(bytes(126))
    with pytest.raises(TypeError):
        ws.ping(5)  # not five zero bytes


@pytest.mark.parametrize("message", [1, None, ["text"]])
def test_what_is_no_message_raises_and_sends_nothing(net: Net, message: Any) -> None:
    peer, ws = net.open(Recorder())
    with pytest.raises(TypeError):
        ws.send(message)
    with pytest.raises(UnicodeEncodeError):
        ws.send("\ud800")
    ws.send("fine")
    peer.expect((TEXT, b"fine"))


def test_bytes_like_messages_and_subclasses(net: Net) -> None:
    class Name(str):
        """A str that is not exactly one."""

    peer, ws = net.open(Recorder())
    for message in (bytearray(b"1"), memoryview(b"2"), Name("3"), "\u00e9", "\U0001f600"):
        assert ws.send(message)
    peer.expect(
        (BINARY, b"1"),
        (BINARY, b"2"),
        (TEXT, b"3"),
        (TEXT, "\u00e9".encode()),
        (TEXT, "\U0001f600".encode()),
    )


def test_send_before_open_raises_and_close_before_open_fails(net: Net) -> None:
    server = net.server(Recorder())
    client = Recorder()
    ws = net.client(server, client)
    assert ws.ready_state is State.CONNECTING
    with pytest.raises(LocalProtocolError, match="not open yet"):
        ws.send("too early")
    ws.close()
    assert ws.ready_state is State.CLOSED
    assert client.names() == ["failed"]
    assert not ws.send("too late")
    net.until(lambda: not server.connections)


def test_request_subprotocol_and_data(net: Net) -> None:
    seen: list[Any] = []

    def look(ws: Endpoint) -> None:
        ws.state = ["mine"]
        seen.append((ws.request.path, ws.request.header("x-name"), ws.subprotocol, ws.ready_state))

    handler = Recorder(open=look)
    peer = net.peer(net.server(handler, subprotocols=["b", "a"]))
    peer.send(request_head("X-Name: value", "Sec-WebSocket-Protocol: a, b", target="/p?q"))
    assert b"\r\nSec-WebSocket-Protocol: b\r\n" in peer.take_head()
    ws = handler.endpoints[0]
    assert seen == [("/p", "value", "b", State.OPEN)]
    again = ws.request
    assert (again.path, again.query, again.header("x-name")) == ("/p", "q", "value")
    assert ws.request is not again and ws.path_params == {}
    assert ws.state == ["mine"]


# --- the end, told once ------------------------------------------------------------------------


def one_close(net: Net, handler: Recorder, close_code: int) -> None:
    """on_close comes, comes last, and comes once."""
    net.until(lambda: handler.closes)
    net.settle()
    assert handler.names().count("close") == 1
    assert handler.names()[-1] == "close"
    assert handler.closes[0][0] == close_code
    net.until(lambda: not net.servers[0].connections)
    assert handler.endpoints[0].ready_state is State.CLOSED
    assert handler.endpoints[0].fd == -1


@pytest.mark.parametrize("step", STEPS)
def test_closed_by_the_peer(net: Net, step: int) -> None:
    handler = Recorder()
    peer, _ = net.open(handler)
    peer.send(close_frame(3001, b"bye", key=KEY), step)
    peer.expect_close(3001)
    one_close(net, handler, 3001)


def test_closed_by_us_the_server_ends_tcp_first(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    ws.close(4000, "enough")
    ws.close(4001)
    assert ws.ready_state is State.CLOSING
    peer.expect((CLOSE, (4000).to_bytes(2, "big") + b"enough"))
    assert not handler.closes and not peer.ended
    peer.send(goodbye(4000))
    net.until(lambda: peer.ended)
    one_close(net, handler, 4000)


def test_closed_by_both_at_once(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    peer.send(goodbye(3000))
    ws.close(1001)
    peer.expect_close(1001)
    one_close(net, handler, 3000)


def test_the_end_of_tcp_is_1006(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler)
    peer.close()
    one_close(net, handler, 1006)


def test_a_reset_is_1006(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler)
    peer.reset()
    one_close(net, handler, 1006)


def test_a_close_frame_and_the_end_in_one_turn(net: Net) -> None:
    handler = Recorder(echo=True)
    peer, _ = net.open(handler)
    peer.send(text("last") + goodbye())
    peer.close()
    one_close(net, handler, 1000)
    assert handler.messages == ["last"]


def test_disconnect_is_1006_and_ends_at_once(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    ws.send("corked, perhaps lost")
    ws.disconnect()
    ws.disconnect()
    one_close(net, handler, 1006)
    net.until(lambda: peer.ended)


@pytest.mark.parametrize("end", ["frame", "eof", "reset", "disconnect", "failed"])
def test_in_on_close_nothing_can_be_sent_and_nothing_raises(net: Net, end: str) -> None:
    results: list[object] = []

    def try_all(ws: Endpoint, *details: object) -> None:
        results.extend([ws.send("x"), ws.ping(), ws.pong(), ws.close(), ws.disconnect()])

    handler = Recorder(close=try_all)
    peer, ws = net.open(handler)
    acts: dict[str, Callable[[], object]] = {
        "frame": lambda: peer.send(goodbye()),
        "eof": peer.close,
        "reset": peer.reset,
        "disconnect": ws.disconnect,
        "failed": lambda: peer.send(frame(TEXT, b"", key=None)),
    }
    acts[end]()
    net.until(lambda: results)
    assert results == [False, False, False, None, None]
    one_close(net, handler, {"frame": 1000, "failed": 1002}.get(end, 1006))


@pytest.mark.parametrize("event", ["open", "message", "ping", "pong", "close"])
@pytest.mark.parametrize("way", ["disconnect", "close", "both", "reversed"])
def test_ended_inside_of_a_callback(net: Net, event: str, way: str) -> None:
    acts: dict[str, list[Callable[[Endpoint], object]]] = {
        "disconnect": [Endpoint.disconnect, Endpoint.disconnect],
        "close": [Endpoint.close, Endpoint.close],
        "both": [Endpoint.close, Endpoint.disconnect],
        "reversed": [Endpoint.disconnect, Endpoint.close],
    }
    results: list[object] = []

    def end(ws: Endpoint, *details: object) -> None:
        ws.send("still corked")
        for act in acts[way]:
            act(ws)
        results.append(ws.send("nothing follows"))

    handler = Recorder(**{event: end})
    peer = net.peer(net.server(handler))
    peer.send(request_head() + frame(PING, b"", key=KEY) + frame(PONG, b"", key=KEY))
    peer.send(text("a") + goodbye() + text("ignored"))
    net.until(lambda: handler.closes)
    net.until(lambda: peer.ended or peer.error)
    assert results[0] is False
    one_close(net, handler, 1000 if way == "close" or event == "close" else 1006)


def test_close_inside_on_message_sends_what_is_corked_first(net: Net) -> None:
    def end(ws: Endpoint, message: str) -> None:
        ws.send("corked")
        ws.close(3000)
        assert not ws.send("dropped")
        assert not ws.ping()

    handler = Recorder(message=end)
    peer, _ = net.open(handler)
    peer.send(text("a") + text("b"))
    peer.expect((TEXT, b"corked"), (CLOSE, (3000).to_bytes(2, "big")))
    assert handler.messages == ["a", "b"]  # the peer may speak until its own Close (7.1.6)
    peer.send(goodbye(3000))
    net.until(lambda: peer.ended)


def test_one_endpoint_ends_others_of_the_same_batch(net: Net) -> None:
    """Close inside of publish: of those that are ready as well, none is called any more."""
    handler = Recorder()
    server = net.server(handler)
    peers = [net.peer(server).upgrade() for _ in range(8)]

    def end_all(ws: Endpoint, message: str) -> None:
        for each in handler.endpoints:
            each.send(message)
            each.disconnect()

    handler.hooks["message"] = end_all
    for peer in peers:
        peer.send(text("all"))
    net.until(lambda: not server.connections)
    assert handler.messages == ["all"]
    assert handler.closes == [(1006, "")] * 8


def test_descriptors_are_reused_within_a_turn(net: Net) -> None:
    """What is closed and accepted in one batch shares a number, and no event."""
    handler = Recorder(echo=True)
    server = net.server(handler)
    old = [net.peer(server).upgrade() for _ in range(16)]
    ended = handler.endpoints[:]
    numbers = {ws.fd for ws in ended}
    handler.hooks["message"] = lambda ws, message: [each.disconnect() for each in ended]
    old[0].send(text("go"))
    new = [net.peer(server) for _ in range(16)]  # accepted in between, in this order
    for peer in old[1:]:
        peer.send(text("too late"))
    net.until(lambda: server.connections == 16 and ended[0].fd < 0)
    handler.hooks.clear()
    for peer in new:
        peer.send(request_head() + text("fresh"))
        assert b" 101 " in peer.take_head()
        peer.expect((TEXT, b"fresh"))
    assert numbers == {ws.fd for ws in handler.endpoints[16:]}
    assert handler.closes == [(1006, "")] * 16
    assert handler.messages == ["go"] + ["fresh"] * 16


# --- order and deadlines -------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_good_frame_before_a_bad_one_is_answered_first(net: Net, step: int) -> None:
    handler = Recorder(echo=True)
    peer, _ = net.open(handler)
    peer.send(GOOD_BEFORE_BAD, step)
    peer.expect_close(1002)
    assert peer.frames[0] == (TEXT, b"good")
    peer.close()
    one_close(net, handler, 1002)


@pytest.mark.parametrize("wrong", ["unmasked", "utf8", "too long", "length"])
def test_the_code_arrives_though_a_megabyte_follows(net: Net, wrong: str) -> None:
    bad, code = {
        "unmasked": (frame(TEXT, b"x", key=None), 1002),
        "utf8": (text(b"\xff"), 1007),
        "too long": (frame(BINARY, b"", key=KEY, length=1 << 30), 1009),
        "length": (frame(BINARY, b"x", key=KEY, form=64, length=1), 1002),
    }[wrong]
    peer, _ = net.open(Recorder(), max_message_bytes=1 << 20)
    peer.send(bad + bytes(1 << 20))
    peer.expect_close(code)
    assert not peer.outgoing


def test_a_peer_that_never_answers_close_is_cut(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, closing_seconds=0.2)
    ws.close()
    peer.send(text("still talking"))
    net.until(lambda: handler.closes)
    one_close(net, handler, 1006)
    assert handler.messages == ["still talking"]


def test_a_peer_that_reads_nothing_is_cut_too(net: Net) -> None:
    handler = Recorder()
    server = net.server(handler, closing_seconds=0.2)
    net.peer(server, reading=False).send(request_head())
    net.until(lambda: handler.endpoints)
    ws = handler.endpoints[0]
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert ws.buffered_bytes
    ws.close()
    one_close(net, handler, 1006)


def test_a_failed_peer_that_does_not_leave_is_cut(net: Net) -> None:
    handler = Recorder()
    peer, _ = net.open(handler)
    peer.send(frame(TEXT, b"", key=None))
    net.until(lambda: peer.ended)  # we have shut down for writing
    assert net.servers[0].connections == 1
    net.until(lambda: not net.servers[0].connections)
