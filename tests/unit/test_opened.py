"""What a connection remembers of its opening; and reading that pauses because somebody asked."""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sockets import MORE_THAN_THE_KERNEL_TAKES, Net, Recorder, network, request_head, text, vanish
from wire import PING, PONG, TEXT, frame
from wsfast.rfc6455 import Role
from wsfast.selector import Timer
from wsfast.settings import Settings
from wsfast.site import Route, Site


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def routed(net: Net, handler: object, path: str = "/chat/{room}/{id:int}") -> Any:
    route = Route(path, origins="any")
    route(handler)
    site = Site()
    site.add_route(route)
    return net.server(site)


def test_the_request_is_readable_for_life_and_beyond(net: Net) -> None:
    seen: list[Any] = []
    handler = Recorder(
        open=lambda ws: seen.append(ws.request),
        message=lambda ws, _: seen.append(ws.request),
        close=lambda ws, *_: seen.append(ws.request),
    )
    peer = net.peer(routed(net, handler))
    ours = peer.socket.getsockname()
    lines = ["Cookie: a=1; b=2", "X-Name: v"]
    peer.send(request_head(*lines, target="/chat/a%20b/7?q=1&q=2"))
    peer.take_head()
    peer.send(text("x"))
    net.until(lambda: len(seen) == 2)
    peer.reset()
    net.until(lambda: len(seen) == 3)
    seen.append(handler.endpoints[0].request)
    for request in seen:
        assert request == seen[0]
        assert request.path_params == {"room": "a b", "id": 7}
        assert request.cookies == {"a": "1", "b": "2"}
        assert request.query_params == {"q": ["1", "2"]}
        assert request.client_address == ours
    assert len({id(request) for request in seen}) == 4, "an object of its own for each look"


def test_path_params_are_there_in_every_callback(net: Net) -> None:
    seen: list[Any] = []
    handler = Recorder(
        open=lambda ws: seen.append(ws.path_params),
        message=lambda ws, _: seen.append(ws.path_params),
        close=lambda ws, *_: seen.append(ws.path_params),
    )
    peer = net.peer(routed(net, handler))
    peer.send(request_head(target="/chat/x/1") + text("m"))
    net.until(lambda: len(seen) == 2)
    peer.close()
    net.until(lambda: len(seen) == 3)
    assert seen == [{"room": "x", "id": 1}] * 3
    seen[0]["room"] = "changed"
    assert handler.endpoints[0].path_params["room"] == "x"


def test_without_parameters_it_is_empty(net: Net) -> None:
    handler = Recorder()
    net.open(handler)
    assert handler.endpoints[0].path_params == {}
    assert handler.endpoints[0].request.path_params == {}


def test_before_it_is_open_there_is_no_request(net: Net) -> None:
    server = net.server(Recorder())
    peer = net.peer(server)
    peer.send(request_head()[:50])
    net.until(lambda: server.connections)
    net.settle()
    [endpoint] = server.settings.endpoints
    assert endpoint.request is None and endpoint.path_params == {}


def test_a_client_has_the_answer_in_on_open_only(net: Net) -> None:
    seen: list[Any] = []
    handler = Recorder(open=lambda ws: seen.append(ws.request))
    ws = net.client(net.server(Recorder()), handler)
    net.until(lambda: seen)
    assert seen[0].response.status == 101
    assert ws.request is None


def test_what_is_kept_is_no_more_than_bytes(net: Net) -> None:
    """The objects of the request are gone once on_open returned."""
    counts: list[int] = []
    handler = Recorder(open=lambda ws: counts.append(sys.getrefcount(ws.request)))
    _, ws = net.open(handler)
    before = sys.getrefcount(ws.request)
    assert counts[0] >= before == 1, "only this look holds it"


@pytest.mark.parametrize("keep", [False, True])
def test_a_route_may_forget_its_request(net: Net, keep: bool) -> None:
    seen: list[Any] = []
    handler = Recorder(open=lambda ws: seen.append(ws.request))
    route = Route("/{room}", origins="any", keep_request=keep)
    route(handler)
    site = Site()
    site.add_route(route)
    peer = net.peer(net.server(site))
    peer.send(request_head(target="/lobby"))
    peer.take_head()
    ws = handler.endpoints[0]
    assert seen[0].path == "/lobby" and (ws.request is None) is not keep
    assert ws.path_params == {"room": "lobby"}


def test_without_anybody_to_look_at_it_it_is_not_kept(net: Net) -> None:
    server = net.server(object())
    net.peer(server).upgrade()
    [ws] = server.settings.endpoints
    assert ws.ready_state == 1 and ws.request is None


def test_settings_of_another_server_are_refused(
    net: Net, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = net.server(Recorder())
    other = Settings(net.loop, Role.SERVER, Recorder(), object)
    monkeypatch.setattr(server, "settings_for", lambda route: other)
    peer = net.peer(server)
    peer.send(request_head())
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")  # it is on its way already
    net.until(lambda: peer.ended)
    assert "these settings belong to another server" in caplog.text
    peer.close()
    net.until(lambda: not server.connections)
    assert not other.endpoints


# --- reading that pauses -------------------------------------------------------------------------


def test_nothing_is_read_while_reading_is_paused(net: Net) -> None:
    handler = Recorder(
        echo=True, message=lambda ws, message: message == "p" and ws.pause_reading()
    )
    peer, ws = net.open(handler)
    peer.send(text("a") + text("p") + text("b"))  # what was read already is delivered
    net.until(lambda: len(handler.messages) == 3)
    peer.send(text("c") + frame(PING, b"x", key=b"abcd"))
    net.settle()
    assert handler.messages == ["a", "p", "b"]
    assert ws.send("sent all the same")
    peer.expect((TEXT, b"a"), (TEXT, b"p"), (TEXT, b"b"), (TEXT, b"sent all the same"))
    ws.resume_reading()
    net.until(lambda: handler.messages == ["a", "p", "b", "c"])
    net.until(lambda: (PONG, b"x") in peer.frames)


def test_pausing_twice_is_pausing_once(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    ws.pause_reading()
    ws.pause_reading()
    peer.send(text("a"))
    net.settle()
    assert not handler.messages
    ws.resume_reading()
    ws.resume_reading()
    net.until(lambda: handler.messages == ["a"])


HALTS = ("application", "handler", "credential", "upgrade")


@pytest.mark.parametrize("order", [*itertools.permutations(HALTS)])
def test_reading_goes_on_when_everybody_has_resumed(net: Net, order: tuple[Any, ...]) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    for by in HALTS:
        ws.pause_reading(by=by)
        ws.pause_reading(by=by)
    peer.send(text("a"))
    for by in order:
        net.settle()
        assert not handler.messages
        ws.resume_reading(by=by)
        ws.resume_reading(by=by)
    net.until(lambda: handler.messages == ["a"])


@pytest.mark.parametrize("by", HALTS)
@pytest.mark.parametrize("other", HALTS)
def test_who_paused_nothing_resumes_nothing(net: Net, by: Any, other: Any) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    ws.pause_reading(by=by)
    peer.send(text("a"))
    if other != by:
        ws.resume_reading(by=other)
        net.settle()
        assert not handler.messages
    ws.resume_reading(by=by)
    net.until(lambda: handler.messages == ["a"])


def test_nobody_else_may_pause(net: Net) -> None:
    _, ws = net.open(Recorder())
    for call in (ws.pause_reading, ws.resume_reading):
        with pytest.raises(ValueError, match="by is 'me', not one of .'application', 'handler'"):
            call(by="me")
        with pytest.raises(ValueError, match="by is 0"):
            call(by=0)


@pytest.mark.parametrize("drains_first", [False, True])
@pytest.mark.parametrize("by", HALTS)
def test_a_full_queue_is_a_reason_of_its_own(net: Net, by: Any, drains_first: bool) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, high_water_bytes=1000, low_water_bytes=100)
    peer.reading = False
    peer.update()
    ws.pause_reading(by=by)
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    peer.send(text("a"))
    if not drains_first:
        ws.resume_reading(by=by)
    net.settle()
    assert ws.buffered_bytes > 1000 and not handler.messages
    peer.read()
    net.until(lambda: not ws.buffered_bytes, 30)
    if drains_first:
        net.settle()
        assert not handler.messages
        ws.resume_reading(by=by)
    net.until(lambda: handler.messages == ["a"])


def test_the_budget_of_all_is_a_reason_of_its_own(net: Net) -> None:
    """Who has answers waiting while all together have too much is not read from, whoever asks."""
    handler = Recorder()
    peer, ws = net.open(
        handler, max_buffered_bytes=4096, max_queue_bytes=1 << 30, high_water_bytes=1 << 30
    )
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    peer.send(text("a"))
    ws.pause_reading()
    ws.resume_reading()
    net.settle()
    assert not handler.messages
    ws.pause_reading()
    peer.read()
    net.until(lambda: not ws.buffered_bytes, 30)
    net.settle()
    assert not handler.messages
    ws.resume_reading()
    net.until(lambda: handler.messages == ["a"])


def test_a_client_pauses_for_whoever_asks_but_not_for_its_queue(net: Net) -> None:
    handler, mine = Recorder(), Recorder()
    ws = net.client(net.server(handler), mine, high_water_bytes=1000, low_water_bytes=100)
    net.until(lambda: mine.endpoints and handler.endpoints)
    handler.endpoints[0].pause_reading()
    ws.send(MORE_THAN_THE_KERNEL_TAKES[: 1 << 20] * 8)
    net.settle()
    assert ws.buffered_bytes > 1000
    handler.endpoints[0].send("a")
    net.until(lambda: mine.messages == ["a"])
    ws.pause_reading()
    handler.endpoints[0].send("b")
    net.settle()
    assert mine.messages == ["a"]
    ws.resume_reading()
    net.until(lambda: mine.messages == ["a", "b"])


@pytest.mark.parametrize("by", HALTS)
def test_a_failed_connection_is_drained_whoever_paused(net: Net, by: Any) -> None:
    """The peer sees the Close, although megabytes that it sent are unread."""
    handler = Recorder()
    peer, ws = net.open(handler)
    ws.pause_reading(by=by)
    peer.send(text("x" * 1000) * 2000)
    net.settle()
    ws.fail(ValueError())
    peer.expect_close(1011)
    assert not handler.messages


def test_the_end_waits_as_well(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler)
    ws.pause_reading()
    peer.send(text("last"))
    peer.close()
    net.settle()
    assert handler.names() == ["open"]
    ws.resume_reading()
    net.until(lambda: handler.names() == ["open", "message", "close"])


def test_the_closing_deadline_does_not_wait(net: Net) -> None:
    handler = Recorder()
    _, ws = net.open(handler, closing_seconds=0.1)
    ws.pause_reading()
    ws.close()
    net.until(lambda: handler.closes == [(1006, "")])
    ws.resume_reading()  # nothing to resume, and no error
    ws.pause_reading()


def test_a_client_that_pauses_before_tcp_stands_still_connects(net: Net) -> None:
    handler = Recorder()
    ws = net.client(net.server(Recorder(open=lambda ws: ws.send("hello"))), handler)
    ws.pause_reading()
    net.settle()
    assert handler.events == []
    ws.resume_reading()
    net.until(lambda: handler.messages == ["hello"])


def test_it_pauses_while_the_queue_is_full_too(net: Net) -> None:
    """Two reasons not to read: both must be gone."""
    handler = Recorder()
    server = net.server(handler, high_water_bytes=1000, low_water_bytes=100)
    peer = net.peer(server, reading=False, receive_bytes=4096)
    peer.send(request_head())
    net.until(lambda: handler.endpoints)
    ws = handler.endpoints[0]
    ws.send(bytes(12 << 20))
    net.settle()
    ws.pause_reading()
    peer.send(text("a"))
    peer.read()
    net.until(lambda: not ws.buffered_bytes, 30)
    net.settle()
    assert not handler.messages
    ws.resume_reading()
    net.until(lambda: handler.messages == ["a"])


DYING: dict[str, Any] = {
    "ping_interval_seconds": 0.1,
    "ping_jitter": 0.0,
    "dead_after_seconds": 0.1,
}
DEAD = (1006, "keepalive ping timeout")

#: For those that live, when the machine pauses as well: TCP may acknowledge late.
LIVING: dict[str, Any] = {**DYING, "dead_after_seconds": 0.8}


@pytest.mark.parametrize("by", HALTS)
def test_a_peer_that_nobody_listens_to_is_not_dead(net: Net, by: Any) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, **LIVING)
    ws.pause_reading(by=by)
    net.until(lambda: len(peer.frames) >= 2)  # heartbeats that nobody answers
    assert not handler.closes
    ws.resume_reading(by=by)
    net.until(lambda: handler.closes)
    assert handler.closes == [DEAD]


def test_a_peer_that_nobody_listens_to_lives_while_we_talk(net: Net) -> None:
    """Something is always under way to it then, and is acknowledged."""
    handler = Recorder()
    _, ws = net.open(handler, **LIVING)
    ws.pause_reading()

    def talk() -> None:
        ws.send(bytes(50_000))
        timers[:] = [net.loop.selector.call_later(0.01, talk)]

    timers: list[Timer] = []
    talk()
    net.until(lambda: handler.closes or ws.settings.stats["pings_sent"] >= 3)
    assert not handler.closes
    timers[0].cancel()


def test_a_peer_that_waits_for_us_to_read_is_not_dead(net: Net) -> None:
    """It sends until nothing fits in any more, and reads nothing until that has left."""
    handler = Recorder()
    peer, ws = net.open(handler, **LIVING)
    ws.pause_reading()
    peer.reading = False
    peer.send(text("x" * 65_000) * 200)
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.until(lambda: handler.closes or ws.settings.stats["pings_sent"] >= 3)
    assert not handler.closes and peer.outgoing and ws.buffered_bytes
    peer.read()
    ws.resume_reading()
    net.until(lambda: len(handler.messages) == 200)


@pytest.mark.parametrize("talks", [False, True])
def test_a_peer_that_vanishes_while_nobody_listens_is_dead(net: Net, talks: bool) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, **DYING)
    ws.pause_reading()
    peer.send(text("unread"))
    net.settle()
    vanish(peer.socket)
    if talks:
        ws.send("x")
    net.until(lambda: handler.closes)
    assert handler.names() == ["open", "close"] and handler.closes == [DEAD]
    assert ws.fd < 0 and ws.settings.stats["dead_peers"] == 1


@pytest.mark.parametrize("reset", [False, True])
def test_a_peer_that_leaves_while_nobody_listens_is_dead(net: Net, reset: bool) -> None:
    handler = Recorder()
    peer, _ = net.open(handler, **DYING)
    handler.endpoints[0].pause_reading()
    peer.send(text("unread"))
    net.settle()
    peer.reset() if reset else peer.close()
    net.until(lambda: handler.closes)
    assert handler.names() == ["open", "close"] and handler.closes == [DEAD]


def test_a_peer_that_only_stops_sending_is_not_dead(net: Net) -> None:
    """It may still read: what it sent before waits, and so does its end."""
    handler = Recorder()
    peer, ws = net.open(handler, **LIVING)
    ws.pause_reading()
    peer.send(text("last"))
    peer.socket.shutdown(socket.SHUT_WR)
    net.until(lambda: len(peer.frames) >= 3)
    assert not handler.closes
    ws.resume_reading()
    net.until(lambda: handler.names() == ["open", "message", "close"])


def test_what_is_kept_counts_as_memory_of_the_connection(net: Net) -> None:
    handler, small = Recorder(), Recorder()
    net.peer(net.server(handler)).upgrade("X-Long: " + "x" * 5000)
    net.peer(net.server(small)).upgrade()
    difference = handler.endpoints[0].memory() - small.endpoints[0].memory()
    assert 5000 <= difference < 5100
