"""Tracers hear of handshakes and closes, whatever becomes of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from sockets import Net, Recorder, goodbye, network, request_head, text
from wire import STEPS, TEXT, pieces
from wsfast.errors import ConnectFailed
from wsfast.handshake import Refusal
from wsfast.listener import Listener
from wsfast.listening import listen
from wsfast.rfc6455 import Role
from wsfast.settings import Settings
from wsfast.site import Route, Site
from wsfast.tracing import (
    Ending,
    Handshake,
    Tracer,
    hears_ends,
    request_line,
    traced_handler,
    traced_opener,
)


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Spy:
    """A tracer with all methods."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_handshake_start(self, ws: Any) -> None:
        self.heard.append(("start",))

    def on_handshake_end(self, ws: Any, handshake: Handshake) -> None:
        self.heard.append(("end", handshake))

    def on_handshake_failed(self, ws: Any, error: Exception) -> None:
        self.heard.append(("failed", error))

    def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        self.heard.append(("close", close_code, close_reason))

    def on_end(self, ws: Any, ending: Ending) -> None:
        self.heard.append(("ended", ending))

    def names(self) -> list[str]:
        return [each[0] for each in self.heard]


@pytest.mark.parametrize("step", STEPS)
def test_the_life_of_a_connection(net: Net, step: int) -> None:
    spy, handler = Spy(), Recorder(echo=True)
    peer = net.peer(net.server(handler, tracers=[spy], subprotocols=["chat"]))
    peer.send(request_head("Sec-WebSocket-Protocol: chat", target="/room?who=me"), step)
    peer.take_head()
    assert spy.names() == ["start", "end"]
    handshake = spy.heard[1][1]
    assert handshake[:4] == ("GET", "/room?who=me", 101, "chat")
    assert handshake.request.target == "/room?who=me" and 0 <= handshake.seconds < 10
    peer.send(text("hello"))
    peer.expect((TEXT, b"hello"))
    peer.send(goodbye(1000))
    net.until(lambda: peer.ended)
    assert spy.heard[2] == ("close", 1000, "")
    ending = spy.heard[3][1]
    assert ending._replace(seconds=0) == (1000, "", "client", 0, 1, 1, 11 + 8, 7 + 4)
    assert 0 < ending.seconds < 10 and spy.names()[2:] == ["close", "ended"]
    assert handler.names() == ["open", "message", "close"], "the handler hears all as before"


def test_frames_that_come_with_the_request(net: Net) -> None:
    spy, handler = Spy(), Recorder(echo=True)
    peer = net.peer(net.server(handler, tracers=[spy]))
    peer.send(request_head() + text("early") + goodbye(1000))
    net.until(lambda: peer.ended)
    assert spy.names() == ["start", "end", "close", "ended"]
    assert handler.messages == ["early"]
    assert spy.heard[3][1][4:] == (1, 1, 11 + 8, 7 + 4), "the head is not counted"


def test_each_request_of_a_connection(net: Net) -> None:
    """Pages are requests that are answered; a connection that ends between two is no failure."""
    site = Site()
    site.add_page("/page", lambda request: "page")
    spy = Spy()
    peer = net.peer(net.server(site, tracers=[spy]))
    one = b"GET /page?1 HTTP/1.1\r\nHost: a\r\n\r\n"
    peer.send(one + one.replace(b"1 H", b"2 H"))
    net.until(lambda: len(spy.heard) == 4)
    peer.send(one.replace(b"?1", b"/none"))
    net.until(lambda: peer.ended)
    assert spy.names() == ["start", "end"] * 3
    told = [each[1][:3] for each in spy.heard if each[0] == "end"]
    assert told == [
        ("GET", "/page?1", 200),
        ("GET", "/page?2", 200),
        ("GET", "/page/none", 404),
    ]
    assert [each[1].request.target for each in spy.heard[1::2]] == [each[1] for each in told]
    other = net.peer(net.servers[0])
    other.send(one)
    other.take_head()
    other.close()
    net.until(lambda: not net.servers[0].connections)
    assert spy.names() == ["start", "end"] * 4


def test_who_closed_and_what_was_counted(net: Net) -> None:
    """The server's ends: a close, a cut, a message that is too long; and a peer that vanishes."""
    spy = Spy()
    handler = Recorder(echo=True)
    server = net.server(handler, tracers=[spy], max_message_bytes=100, closing_seconds=0.1)
    ends = [
        lambda ws, peer: ws.close(4000, "enough"),
        lambda ws, peer: ws.disconnect(),
        lambda ws, peer: peer.send(text("x" * 101)),
        lambda ws, peer: peer.close(),
        lambda ws, peer: peer.reset(),
        lambda ws, peer: peer.socket.shutdown(1),
    ]
    for end in ends:
        peer = net.peer(server).upgrade()
        peer.send(text("hi"))
        peer.expect((TEXT, b"hi"))
        end(handler.endpoints[-1], peer)
        net.until(lambda: not server.connections)
    endings = [each[1] for each in spy.heard if each[0] == "ended"]
    assert [each.closed_by for each in endings] == ["server"] * 3 + ["client"] * 3
    assert [each.close_code for each in endings] == [1006, 1006, 1009, 1006, 1006, 1006]
    assert {(each.messages_received, each.messages_sent) for each in endings} == {(1, 1)}
    assert [each.bytes_sent - 4 for each in endings[:2]] == [2 + 2 + 6, 0]
    assert [each.bytes_received for each in endings] == [8, 8, 8 + 107, 8, 8, 8]


def test_what_a_hook_at_the_end_raises_ends_nothing_else(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def on_end(self, ws: Any, ending: Ending) -> None:
            raise RuntimeError("at the end")

    spy, handler = Spy(), Recorder()
    server = net.server(handler, tracers=[Failing()])
    peer = net.peer(server).upgrade()
    peer.send(goodbye())
    net.until(lambda: peer.ended)
    assert "at the end" in caplog.text and handler.names() == ["open", "close"]
    assert not spy.heard and not server.connections


def test_connections_are_counted_for_who_hears_their_end(net: Net) -> None:
    assert hears_ends([Spy()]) and not hears_ends([]) and not hears_ends([object()])
    for tracers, counted in (([Spy()], True), ([], False), ([object()], False)):
        handler = Recorder()
        route = Route("/", origins="any", count_traffic=False)
        route(handler)
        site = Site()
        site.add_route(route)
        net.peer(net.server(site, tracers=tracers)).upgrade()
        assert (handler.endpoints[0].traffic is not None) is counted


@pytest.mark.parametrize(
    ("request_", "seen"),
    [
        (request_head(target="/no"), ("GET", "/no", 403)),
        (b"POST /form HTTP/1.1\r\nHost: a\r\n\r\n", ("POST", "/form", 405)),
        (b"nonsense\r\n\r\n", ("", "", 400)),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", ("", "", 400)),
    ],
)
def test_a_refused_request(net: Net, request_: bytes, seen: tuple[str, str, int]) -> None:
    class Gate(Recorder):
        def on_upgrade(self, request: Any) -> Refusal | None:
            return Refusal(403)

    spy = Spy()
    peer = net.peer(net.server(Gate(), tracers=[spy]))
    peer.send(request_)
    net.until(lambda: peer.ended)
    assert spy.names() == ["start", "end"]
    handshake = spy.heard[1][1]
    assert handshake[:4] == (*seen, None)
    assert (handshake.request is None) is (seen[2] == 400), "its head could not be read"


def test_a_request_that_is_broken_off(net: Net) -> None:
    spy, handler = Spy(), Recorder()
    server = net.server(handler, tracers=[spy], opening_seconds=0.1)
    for data in (b"", b"GET"):
        peer = net.peer(server)
        peer.send(data)
        net.until(lambda peer=peer: peer.ended)
    assert spy.names() == ["failed", "start", "failed"]
    assert all(isinstance(each[1], ConnectFailed) for each in spy.heard if each[0] == "failed")
    assert handler.names() == ["failed", "failed"]


def test_a_request_line_without_end_is_not_kept(net: Net) -> None:
    spy = Spy()
    peer = net.peer(net.server(Recorder(), tracers=[spy], max_head_bytes=100_000))
    peer.send(b"GET /" + b"a" * 90_000 + b" HTTP/1.1\r\n\r\n")
    net.until(lambda: "end" in spy.names())
    assert spy.heard[1][1].method == ""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(10) + b"\n\n",
    ],
)
def test_the_request_line_stands_behind_what_a_proxy_says(before: bytes, step: int) -> None:
    sent = before + b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
    head, found = b"", []
    for piece in pieces(sent, step):
        head += piece
        found.append(request_line(head))
    assert found[-1] == "GET /x HTTP/1.1\r"
    assert set(found) <= {None, found[-1]}


def test_behind_a_proxy_the_line_is_the_request(net: Net) -> None:
    spy = Spy()
    options = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]}
    peer = net.peer(net.server(Recorder(), tracers=[spy], **options))
    peer.send(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + request_head(target="/behind"))
    peer.take_head()
    handshake = spy.heard[1][1]
    assert handshake[:3] == ("GET", "/behind", 101)
    assert handshake.request.client_address == ("1.2.3.4", 1)


def test_several_tracers_with_some_of_the_methods(net: Net) -> None:
    class Half:
        def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
            self.code = close_code

    spy, half, none = Spy(), Half(), object()
    peer = net.peer(net.server(Recorder(), tracers=[none, half, spy])).upgrade()
    peer.send(goodbye(4000))
    net.until(lambda: peer.ended)
    assert half.code == 4000 and spy.names() == ["start", "end", "close", "ended"]


def test_a_tracer_that_raises_does_not_hide_the_close_from_the_handler(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad:
        def on_close(self, *details: object) -> None:
            raise KeyError("tracer")

    handler = Recorder()
    peer = net.peer(net.server(handler, tracers=[Bad()])).upgrade()
    peer.send(goodbye(1000))
    net.until(lambda: peer.ended)
    assert handler.closes == [(1000, "")] and "KeyError: 'tracer'" in caplog.text


def test_a_handler_that_fails_when_it_is_open_does_not_refuse(net: Net) -> None:
    """The 101 has left by then: one answer, and the close that follows."""

    def fail(ws: Any) -> None:
        raise RuntimeError("on purpose")

    spy = Spy()
    peer = net.peer(net.server(Recorder(open=fail), tracers=[spy])).upgrade()
    peer.expect_close(1011)
    assert spy.names() == ["start", "end", "close"]
    assert spy.heard[1][1].status == 101 and spy.heard[2][1] == 1011


def test_a_tracer_that_raises_does_not_hide_a_refusal_from_the_client(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad:
        def on_handshake_end(self, *details: object) -> None:
            raise KeyError("tracer")

    peer = net.peer(net.server(Recorder(), tracers=[Bad()]))
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.take_head().startswith(b"HTTP/1.1 426 ")
    assert "KeyError: 'tracer'" in caplog.text


def test_a_tracer_that_raises_at_the_101_ends_the_connection_and_the_others_hear(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    """No 500 behind a 101, and nobody is told of a 500 that never left."""

    class Bad:
        def on_handshake_end(self, ws: Any, handshake: Handshake) -> None:
            raise KeyError("tracer")

    spy, handler = Spy(), Recorder()
    peer = net.peer(net.server(handler, tracers=[Bad(), spy]))
    peer.send(request_head())
    net.until(lambda: peer.ended)
    assert peer.received == b"" and "KeyError: 'tracer'" in caplog.text
    assert spy.names() == ["start", "end", "failed"] and spy.heard[1][1].status == 101
    assert handler.names() == ["failed"]


@pytest.mark.parametrize("event", ["start", "end"])
def test_a_tracer_may_close_what_it_hears_of(
    net: Net, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    """Behind which nothing is read on, nothing is counted, and nothing goes wrong."""
    site, asked = Site(), []
    site.add_page("/page", lambda request: asked.append(request) or "page")
    tracer = type("Closing", (), {f"on_handshake_{event}": lambda self, ws, *_: ws.disconnect()})
    server = net.server(site, tracers=[tracer()], max_connections=1)
    for _ in range(3):
        peer = net.peer(server)
        peer.send(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        net.until(lambda peer=peer: peer.ended)
    assert len(asked) == (3 if event == "end" else 0) and not caplog.records
    admission = server.entrance.admission
    assert admission is not None and admission.connections == 0 == server.connections


def test_an_opening_may_take_what_it_is_given_for_the_endpoint(net: Net) -> None:
    """As a key for who left in the meantime, and to set the state of the connection to come."""
    given: dict[Any, str] = {}

    class Opening:
        def receive(self, endpoint: Any, data: bytes) -> None:
            given[endpoint] = "known"
            endpoint.state = "set before it is open"
            endpoint.open(None, b"", None, None)

    spy, handler = Spy(), Recorder()
    opener = traced_opener(Opening, [spy])
    handler_ = traced_handler(handler, [spy])
    settings = Settings(net.loop, Role.SERVER, handler_, opener, count_traffic=True)
    [listening] = listen("127.0.0.1", 0)
    listener = Listener(settings, listening)
    with socket.create_connection(listener.address) as peer:
        peer.send(b"GET / HTTP/1.1\r\n")
        net.until(lambda: handler.endpoints)
        [ws] = handler.endpoints
        assert given[ws] == "known" and ws.state == "set before it is open"
        assert spy.names() == ["start", "end"]
    net.until(lambda: handler.closes)
    listener.close()


def test_without_a_listener_nothing_is_put_in_between() -> None:
    handler = Recorder()

    def opener() -> None:
        """Never called."""

    assert traced_handler(handler, []) is handler
    assert traced_opener(opener, []) is opener
    assert traced_opener(opener, [object()]) is opener


def test_the_protocol_names_every_hook() -> None:
    named = {name for name in vars(Tracer) if name.startswith("on_")}
    assert named == {name for name in vars(Spy) if name.startswith("on_")}
