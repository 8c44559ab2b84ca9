"""Plain requests, one after the other on one connection: what keeps it, and what ends it."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Iterator
from typing import Any

import pytest

from certificates import secure_peer
from certificates import server as server_tls
from hosted import hosted
from sockets import (
    MORE_THAN_THE_KERNEL_TAKES,
    SECONDS,
    Net,
    Peer,
    Recorder,
    network,
    request_head,
    text,
)
from wire import STEPS, TEXT
from wsfast.handshake import Refusal
from wsfast.limits import Limits
from wsfast.response import Response
from wsfast.site import Route, Site

GET = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def site(**pages: Any) -> Site:
    """A page that says "page" and a WebSocket that echoes, and other pages by name."""
    made = Site()
    for name, page in {"page": lambda request: "page", **pages}.items():
        made.add_page(f"/{name}", page)
    route = Route("/ws", origins="any")
    route(Recorder(echo=True))
    made.add_route(route)
    return made


def answers(data: bytes | bytearray) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, fields (names in lower case) and body of each of the answers to GET."""
    found, rest = [], bytes(data)
    while rest:
        head, end, rest = rest.partition(b"\r\n\r\n")
        assert end, f"half a head: {head!r}"
        line, *lines = head.decode("latin-1").split("\r\n")
        named = [each.split(": ", 1) for each in lines]
        fields = {name.lower(): value for name, value in named}
        assert len(fields) == len(named), f"a field comes twice: {lines}"
        size = int(fields.get("content-length", "0"))
        found.append((int(line.split(" ")[1]), fields, rest[:size]))
        assert len(rest) >= size
        rest = rest[size:]
    return found


def take(net: Net, peer: Peer, count: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """Wait for so many answers with the body "page", and take them."""
    net.until(lambda: peer.received.count(b"\r\n\r\npage") >= count or peer.ended)
    found = answers(peer.received)
    peer.received.clear()
    return found


def test_a_second_request_on_the_same_connection(net: Net) -> None:
    server = net.server(site())
    peer = net.peer(server)
    for _ in range(3):
        peer.send(GET)
        [(status, fields, body)] = take(net, peer)
        assert (status, body, peer.ended) == (200, b"page", False)
        assert "connection" not in fields and fields["content-length"] == "4"
    assert server.connections == 1
    peer.send(LAST)
    [(_, fields, body)] = take(net, peer)
    assert fields["connection"] == "close" and body == b"page"
    net.until(lambda: peer.ended and not server.connections)
    assert peer.error is None
    stats = server.stats()
    assert [stats[name] for name in ("accepted", "pages", "refused", "failed")] == [1, 4, 0, 0]


@pytest.mark.parametrize("step", STEPS)
def test_pipelined_requests_cut_anywhere(net: Net, step: int) -> None:
    seen: list[str] = []
    pages = site(other=lambda request: seen.append(request.query) or "page")
    peer = net.peer(net.server(pages))
    other = b"GET /other?%d HTTP/1.1\r\nHost: a\r\n\r\n"
    peer.send(b"".join(other % n for n in range(5)) + LAST, step)
    net.until(lambda: peer.ended)
    assert [body for _, _, body in answers(peer.received)] == [b"page"] * 6
    assert seen == ["0", "1", "2", "3", "4"] and peer.error is None


def test_so_many_in_one_go_and_no_more(net: Net) -> None:
    """The last one says that nothing more is answered, so a client knows what to ask again."""
    peer = net.peer(net.server(site()))
    peer.send(GET * 500)
    net.until(lambda: peer.ended)
    found = answers(peer.received)
    assert len(found) == 16 and peer.error is None
    assert [fields.get("connection") for _, fields, _ in found] == [None] * 15 + ["close"]


def test_as_many_as_one_likes_one_after_the_other(net: Net) -> None:
    peer = net.peer(net.server(site()))
    for _ in range(50):
        peer.send(GET * 2)
        assert len(take(net, peer, 2)) == 2


def test_who_does_not_read_gets_no_more_pages(net: Net) -> None:
    """What waits for a peer is bounded, however many requests it sends."""
    body = "x" * 1_000_000
    server = net.server(site(big=lambda request: body), high_water_bytes=1 << 16)
    peer = net.peer(server, reading=False, receive_bytes=4096)
    held = 0
    for _ in range(40):
        peer.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
        net.settle()
        waiting = [each.buffered_bytes for each in server.settings.endpoints]
        held = max([held, *waiting])
    assert 0 < held < 11_000_000
    assert server.stats()["pages"] <= 24
    peer.reset()
    net.until(lambda: not server.connections)


def test_a_websocket_after_a_page(net: Net) -> None:
    """What a proxy does that keeps its connections: requests of many clients on one."""
    server = net.server(site())
    peer = net.peer(server)
    peer.send(GET + request_head(target="/ws") + text("early"))
    net.until(lambda: b"early" in peer.received)
    first, _, rest = bytes(peer.received).partition(b"page")
    assert first.startswith(b"HTTP/1.1 200 ") and rest.startswith(b"HTTP/1.1 101 ")
    peer.received[:] = rest.partition(b"\r\n\r\n")[2]
    peer.expect((TEXT, b"early"))
    stats = server.stats()
    assert (stats["pages"], stats["opened"]) == (1, 1)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (LAST, 200),
        (LAST.replace(b"close", b"Keep-Alive, CLOSE"), 200),
        (GET.replace(b"/1.1", b"/1.0"), 200),
        (b"GET /page HTTP/1.0\r\n\r\n", 200),
        (b"GET /page HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
        (b"GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /", 200),
        (b"GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
        (request_head(target="/page") + text("early"), 200),
        (b"GET /closing HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET /refusing HTTP/1.1\r\nHost: a\r\n\r\n", 401),
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"POST /page HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", 426),
        (b"GET /ws HTTP/1.0\r\n\r\n", 505),
    ],
)
def test_what_ends_it(net: Net, request_: bytes, status: int) -> None:
    """And what follows such a request is never taken for another one."""
    pages = site(
        closing=lambda request: Response(body="page", headers={"Connection": "close"}),
        refusing=lambda request: Refusal(401),
    )
    peer = net.peer(net.server(pages))
    peer.send(GET + request_ + GET)
    net.until(lambda: peer.ended)
    found = answers(peer.received)
    assert [each for each, _, _ in found] == [200, status] and peer.error is None
    assert found[1][1]["connection"].endswith("close") and "connection" not in found[0][1]


def test_nonsense_behind_a_request(net: Net) -> None:
    peer = net.peer(net.server(site()))
    peer.send(GET + b"\x16\x03\x01\r\n\r\n")
    net.until(lambda: peer.ended)
    assert [status for status, _, _ in answers(peer.received)] == [200, 400]


def test_head_has_the_length_and_no_body(net: Net) -> None:
    peer = net.peer(net.server(site()))
    peer.send(GET.replace(b"GET", b"HEAD") + LAST)
    net.until(lambda: peer.ended)
    first, _, rest = bytes(peer.received).partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: 4\r\n" in first + b"\r\n"
    assert [body for _, _, body in answers(rest)] == [b"page"]


def test_head_opens_no_websocket(net: Net) -> None:
    """RFC 6455 section 4.2.1: the method is GET. A page at that path answers, and is the end."""
    pages = site(ws=lambda request: "page")
    peer = net.peer(net.server(pages))
    peer.send(request_head(target="/ws").replace(b"GET", b"HEAD") + text("early"))
    net.until(lambda: b"\r\n\r\n" in peer.received)
    head, _, rest = bytes(peer.received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close" in head and not rest
    net.until(lambda: peer.ended)


def test_every_answer_has_its_date(net: Net) -> None:
    """RFC 9110 section 6.6.1; and one that a page sets is its own."""
    own = "Tue, 15 Nov 1994 08:12:31 GMT"
    pages = site(old=lambda request: Response(body="page", headers={"date": own}))
    old = b"GET /old HTTP/1.1\r\nHost: a\r\n\r\n"
    peer = net.peer(net.server(pages))
    begun = int(time.time())
    peer.send(GET + old + b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
    net.until(lambda: peer.ended)
    dates = [fields["date"] for _, fields, _ in answers(peer.received)]
    assert dates[1] == own
    for date in (dates[0], dates[2]):
        assert date.endswith(" GMT")
        assert begun <= email.utils.parsedate_to_datetime(date).timestamp() <= time.time()


# --- time and ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [GET, GET + GET])
def test_an_idle_connection_is_closed_at_its_deadline(net: Net, sent: bytes) -> None:
    handler = Recorder()
    pages = site()
    pages.on_connect_failed = handler.on_connect_failed  # type: ignore[attr-defined]
    server = net.server(pages, keep_alive_seconds=0.2)
    peer = net.peer(server)
    peer.send(sent)
    begun = time.monotonic()
    net.until(lambda: peer.ended)
    assert 0.15 < time.monotonic() - begun < SECONDS and peer.error is None
    assert len(answers(peer.received)) == len(sent) // len(GET)
    assert handler.names() == [] and server.stats()["failed"] == 0, "nobody did anything wrong"


@pytest.mark.parametrize("secure", [False, True])
def test_an_answer_that_takes_longer_than_that_still_leaves(net: Net, secure: bool) -> None:
    """It has the time of an end: `closing_seconds`."""
    body = bytes(MORE_THAN_THE_KERNEL_TAKES)
    pages = site(big=lambda request: body)
    options = {"keep_alive_seconds": 0.1, "closing_seconds": SECONDS}
    server = net.server(pages, **options, **({"tls": server_tls()} if secure else {}))
    peer = secure_peer(net, server).secure() if secure else net.peer(server)
    peer.reading = False
    peer.update()
    peer.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    passed: list[bool] = []
    net.loop.selector.call_later(0.5, passed.append, True)
    net.until(lambda: passed)
    assert server.connections == 1
    peer.read()
    net.until(lambda: peer.ended)
    [(status, _, found)] = answers(peer.received)
    assert (status, found == body, peer.error) == (200, True, None)


def test_the_next_request_has_the_deadline_of_the_first(net: Net) -> None:
    server = net.server(site(), keep_alive_seconds=30, opening_seconds=0.2)
    peer = net.peer(server)
    peer.send(GET)
    take(net, peer)
    peer.send(GET[:20])
    net.until(lambda: peer.ended)
    assert server.stats()["failed"] == 1


def test_it_can_be_switched_off(net: Net) -> None:
    for off in (0, None):
        peer = net.peer(net.server(site(), keep_alive_seconds=off))
        peer.send(GET * 2)
        net.until(lambda peer=peer: peer.ended)
        [(_, fields, _)] = answers(peer.received)
        assert fields["connection"] == "close"


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_client_that_leaves_between_two_requests(net: Net, how: str) -> None:
    server = net.server(site())
    peer = net.peer(server)
    peer.send(GET)
    take(net, peer)
    if how == "half":
        peer.socket.shutdown(1)
    else:
        getattr(peer, how)()
    net.until(lambda: not server.connections)
    assert server.stats()["failed"] == 0


def test_a_request_and_the_end_of_the_stream_together(net: Net) -> None:
    """`nc -N` and its kind."""
    server = net.server(site(big=lambda request: "x" * 3_000_000))
    peer = net.peer(server)
    peer.socket.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.socket.shutdown(1)
    net.until(lambda: peer.ended)
    [(status, _, body)] = answers(peer.received)
    assert (status, len(body)) == (200, 3_000_000)


def test_a_drain_ends_those_that_wait(net: Net) -> None:
    server = net.server(site())
    idle, asking = net.peer(server), net.peer(server)
    for peer in (idle, asking):
        peer.send(GET)
        take(net, peer)
    drain = server.drain()
    asking.send(GET)
    net.until(lambda: asking.ended)
    [(status, fields, _)] = answers(asking.received)
    assert (status, fields["connection"], fields["retry-after"]) == (503, "close", "5")
    net.until(lambda: drain.done)
    net.until(lambda: idle.ended)
    assert idle.error is None and not idle.received


# --- who is counted ------------------------------------------------------------------------------


def test_a_connection_takes_one_place_whatever_it_asks_for(net: Net) -> None:
    server = net.server(site(), max_connections=1, max_connections_per_address=1)
    peer = net.peer(server)
    for _ in range(5):
        peer.send(GET)
        take(net, peer)
    admission = server.entrance.admission
    assert admission is not None
    assert (admission.connections, admission.counters["admitted"]) == (1, 5)
    other = net.peer(server)
    other.send(GET)
    assert other.take_head().startswith(b"HTTP/1.1 503 ")
    peer.send(request_head(target="/ws"))
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    assert admission.connections == 1
    peer.close()
    net.until(lambda: not admission.connections)
    assert admission.remembered_addresses == 0


def test_behind_a_proxy_the_next_request_may_be_of_another_client(net: Net) -> None:
    seen: list[Any] = []
    pages = site(who=lambda request: seen.append(request.client_address) or "page")
    options = {"trusted_proxies": ["127.0.0.1"], "max_connections_per_address": 1}
    server = net.server(pages, **options)
    peer = net.peer(server)
    for client in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        peer.send(f"GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n".encode())
        assert take(net, peer)[0][0] == 200
    assert [host for host, _ in seen] == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    other = net.peer(server)
    for client, status in (("192.0.2.2", b"200"), ("192.0.2.1", b"429")):
        other.send(f"GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n".encode())
        assert other.take_head().removeprefix(b"page").startswith(b"HTTP/1.1 " + status)


def test_a_proxy_header_stands_before_the_first_request_only(net: Net) -> None:
    seen: list[Any] = []
    pages = site(who=lambda request: seen.append(request.client_address) or "page")
    options = {"trusted_proxies": ["127.0.0.1"], "proxy_protocol": True}
    peer = net.peer(net.server(pages, **options))
    who = b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n"
    peer.send(b"PROXY TCP4 192.0.2.7 5.6.7.8 1 2\r\n" + who)
    take(net, peer)
    peer.send(who)
    take(net, peer)
    assert seen == [("192.0.2.7", 1)] * 2


def test_handshakes_a_second_are_requests_a_second(net: Net) -> None:
    server = net.server(site(), max_handshakes_per_second_per_address=0.01)
    peer = net.peer(server)
    peer.send(GET * 2)
    net.until(lambda: peer.ended)
    assert [status for status, _, _ in answers(peer.received)] == [200, 429]


def test_over_tls_only_the_first_was_paid_for_when_it_came(net: Net) -> None:
    options = {"tls": server_tls(), "max_handshakes_per_second_per_address": 1.001}
    server = net.server(site(), **options)  # a burst of two
    server.entrance.clock = lambda: 0.0  # and no more of it comes with the time
    peer = secure_peer(net, server).secure()
    peer.send(GET * 3)
    net.until(lambda: peer.ended)
    assert [status for status, _, _ in answers(peer.received)] == [200, 200, 429]
    assert server.stats()["refused_rate"] == 1


# --- pages that are awaited ----------------------------------------------------------------------


@pytest.mark.parametrize("hosting", ["asyncio", "uvloop"])
def test_awaited_pages_are_answered_in_order(hosting: str) -> None:
    async def slow(request: Any) -> str:
        await asyncio.sleep(0.01)
        return "page"

    pages = site(slow=slow)
    with hosted(hosting, pages) as serving:
        wire = serving.connect()
        wire.send(GET.replace(b"/page", b"/slow") + GET + GET.replace(b"/page", b"/slow") + LAST)
        assert [body for _, _, body in answers(wire.rest())] == [b"page"] * 4
        assert serving.call(serving.server.stats)["pages"] == 4


def test_limits_are_those_of_the_server() -> None:
    assert (Limits().keep_alive_seconds or 0) > 60, "load balancers keep theirs for a minute"
