"""The opening handshake of a server: the order of its refusals, and bytes cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sockets import Net, Peer, Recorder, network, request_head, text
from wire import STEPS, TEXT
from wsfast.handshake import Refusal
from wsfast.response import Response
from wsfast.site import Accept, Route, Site


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def asked(net: Net, server: Any, data: bytes, step: int = 0) -> Peer:
    peer = net.peer(server)
    peer.send(data, step)
    return peer


def status(peer: Peer) -> int:
    return int(peer.take_head().split(b" ")[1])


def full_site(asking: list[Any]) -> Site:
    site = Site()

    def on_upgrade(request: Any) -> None:
        asking.append(request)

    route = Route("/ws/{n:int}", origins=["https://a.example"], on_upgrade=on_upgrade)
    route(Recorder(echo=True))
    site.add_route(route)
    site.add_page("/page", lambda request: "page")
    return site


GOOD = "Origin: https://a.example"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x16\x03\x01", 400),
        (b"GET /none HTTP/2.0\r\n\r\n", 505),
        (b"GET /none HTTP/1.0\r\n\r\n", 404),
        (b"GET /ws/1 HTTP/1.0\r\n\r\n", 505),
        (request_head(GOOD, target="/ws/1").replace(b"/1.1", b"/1.0"), 505),
        (b"GET /page HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
        (b"GET /none HTTP/1.1\r\n\r\n", 400),
        (b"POST /none HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"POST /ws/1 HTTP/1.1\r\nHost: a\r\nOrigin: x\r\n\r\n", 405),
        (b"HEAD /ws/1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET /ws/1 HTTP/1.1\r\nHost: a\r\nOrigin: x\r\n\r\n", 426),
        (request_head(GOOD, target="/ws/1").replace(b": 13", b": 12"), 426),
        (request_head("Origin: https://b.example", target="/ws/1"), 403),
        (request_head(target="/ws/1"), 403),
        (request_head(target="/page"), 200),
    ],
)
def test_what_is_refused_first(net: Net, data: bytes, expected: int) -> None:
    """on_upgrade is asked only about what would be accepted otherwise."""
    asking: list[Any] = []
    peer = asked(net, net.server(full_site(asking)), data)
    assert status(peer) == expected
    net.until(lambda: peer.ended)
    assert asking == [] and peer.error is None


@pytest.mark.parametrize("step", STEPS)
def test_cut_anywhere(net: Net, step: int) -> None:
    asking: list[Any] = []
    server = net.server(full_site(asking))
    peer = asked(net, server, request_head(GOOD, target="/ws/7") + text("early"), step)
    assert status(peer) == 101
    peer.expect((TEXT, b"early"))
    assert [request.path_params for request in asking] == [{"n": 7}]
    page = asked(net, server, b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n", step)
    assert status(page) == 200


def test_405_says_what_is_allowed(net: Net) -> None:
    server = net.server(full_site([]))
    for target, allowed in (("/ws/1", b"GET"), ("/page", b"GET, HEAD")):
        peer = asked(net, server, f"PUT {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert b"\r\nAllow: " + allowed + b"\r\n" in peer.take_head()


def test_a_refusal_has_no_body_for_head(net: Net) -> None:
    """RFC 9110 section 9.3.2."""
    server = net.server(full_site([]))
    for target, expected in (("/none", b"404 "), ("/ws/1", b"405 ")):
        peer = asked(net, server, f"HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        net.until(lambda peer=peer: peer.ended)
        assert peer.received.startswith(b"HTTP/1.1 " + expected)
        head, _, body = peer.received.partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: " in head and not body


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (None, 101),
        (Accept(), 101),
        (Refusal(418), 418),
        (Response(200, "not today"), 200),
        (True, 500),
        ("no", 500),
    ],
)
def test_verdicts(net: Net, verdict: Any, expected: int, caplog: pytest.LogCaptureFixture) -> None:
    class Gate(Recorder):
        def on_upgrade(self, request: Any) -> Any:
            return verdict

    handler = Gate()
    peer = asked(net, net.server(handler), request_head())
    assert status(peer) == expected
    assert ("returned" in caplog.text) is (expected == 500)
    assert handler.names() == (["open"] if expected == 101 else [])


def test_the_state_is_there_in_on_open(net: Net) -> None:
    class Known(Recorder):
        def on_upgrade(self, request: Any) -> Accept:
            return Accept(state=request.header("x-user"))

    seen: list[Any] = []
    handler = Known(open=lambda ws: seen.append(ws.state))
    asked(net, net.server(handler), request_head("X-User: ann"))
    net.until(lambda: seen)
    assert seen == ["ann"]


def test_a_header_of_accept_cannot_inject(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    class Wrong(Recorder):
        def on_upgrade(self, request: Any) -> Accept:
            return Accept(headers={"X-A": "1\r\nX-B: 2"})

    peer = asked(net, net.server(Wrong()), request_head())
    assert status(peer) == 500
    assert "control character" in caplog.text


def test_a_page_that_fails_or_returns_nonsense(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.add_page("/none", lambda request: None)
    site.add_page("/fail", lambda request: 1 // 0)
    server = net.server(site)
    for target in ("/none", "/fail"):
        data = f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        assert status(asked(net, server, data)) == 500
    assert "returned NoneType" in caplog.text and "ZeroDivisionError" in caplog.text


def test_a_page_that_refuses(net: Net) -> None:
    site = Site()
    site.add_page("/", lambda request: Refusal(401, headers={"WWW-Authenticate": "Basic"}))
    peer = asked(net, net.server(site), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    head = peer.take_head()
    assert head.startswith(b"HTTP/1.1 401 ") and b"\r\nWWW-Authenticate: Basic\r\n" in head


def test_the_client_address(net: Net) -> None:
    seen: list[Any] = []
    site = Site()
    site.add_page("/", lambda request: seen.append(request.client_address) or "")
    peer = asked(net, net.server(site), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    ours = peer.socket.getsockname()
    assert status(peer) == 200 and seen == [ours]


def test_a_path_as_a_whole_uri(net: Net) -> None:
    peer = asked(net, net.server(full_site([])), b"GET http://a/page HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(peer) == 200


def test_a_route_that_is_added_later(net: Net) -> None:
    site = Site()
    server = net.server(site)
    assert status(asked(net, server, request_head(target="/late"))) == 404
    route = Route("/late", origins="any")
    site.add_route(route)
    route(Recorder(echo=True))
    peer = asked(net, server, request_head(target="/late") + text("x"))
    assert status(peer) == 101
    peer.expect((TEXT, b"x"))


def test_an_awaitable_without_asyncio_is_a_500(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> None: ...

    class Gate(Recorder):
        def on_upgrade(self, request: Any) -> Any:
            return later()

    assert status(asked(net, net.server(Gate()), request_head())) == 500
    assert "asyncio does not host" in caplog.text
    caplog.clear()  # its traceback holds the endpoint


def test_figures_are_those_of_all_routes(net: Net) -> None:
    site = full_site([])
    other = Route("/other", origins="any")
    other(Recorder(echo=True))
    site.add_route(other)
    server = net.server(site)
    for target in ("/ws/1", "/other", "/other", "/none"):
        peer = asked(net, server, request_head(GOOD, target=target))
        peer.take_head()
        if target != "/none":
            peer.send(text("x"))
            peer.expect((TEXT, b"x"))
    stats = server.stats()
    expected = {"accepted": 4, "opened": 3, "refused": 1, "messages_received": 3}
    assert {name: stats[name] for name in expected} == expected
    assert stats["connections"] == 4 and stats["listening"] == 1
