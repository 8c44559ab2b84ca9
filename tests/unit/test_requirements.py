"""What makes a request one that can be upgraded: each rule with its status."""

from __future__ import annotations

import pytest

from sockets import request_head
from wire import STEPS, pieces
from wsfast.errors import LocalProtocolError
from wsfast.handshake import Refusal, Request, ServerHandshake
from wsfast.headreader import BadHead
from wsfast.requirements import check_request, check_upgrade, combine, is_upgrade

FIELDS = {
    "host": "a.example",
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
}


def asked(target: str = "/", method: str = "GET", **fields: str | None) -> Request:
    """A request with these fields in place of the usual ones; None: without it."""
    changed = {name.replace("_", "-"): value for name, value in fields.items()}
    headers = [(name, value) for name, value in {**FIELDS, **changed}.items() if value is not None]
    return Request(method, target, "1.1", headers)


def test_a_good_one_returns_its_key() -> None:
    assert check_upgrade(check_request(asked())) == FIELDS["sec-websocket-key"]


@pytest.mark.parametrize(
    ("fields", "status", "section"),
    [
        ({"upgrade": None}, 426, "4.2.1"),
        ({"upgrade": "h2c"}, 426, "4.2.1"),
        ({"connection": "keep-alive"}, 426, "4.2.1"),
        ({"sec_websocket_version": None}, 400, "4.2.1"),
        ({"sec_websocket_version": "8"}, 426, "4.4"),
        ({"sec_websocket_key": None}, 400, "4.2.1"),
        ({"sec_websocket_key": "short"}, 400, "4.2.1"),
        ({"content_length": "5"}, 400, "6.3"),
        ({"transfer_encoding": "chunked"}, 400, "6.3"),
        ({"sec_websocket_protocol": "a, a"}, 400, "9.1"),
        ({"sec_websocket_extensions": ";"}, 400, "9.1"),
    ],
)
def test_what_a_websocket_needs(fields: dict[str, str | None], status: int, section: str) -> None:
    request = asked(**fields)
    found = check_request(request)  # as a plain request it is in order
    with pytest.raises(BadHead, match=section) as raised:
        check_upgrade(found)
    assert raised.value.status == status


@pytest.mark.parametrize("target", ["*", "a", "/a#b", "ftp://a/", "http://u@a/"])
def test_a_target_that_is_none(target: str) -> None:
    with pytest.raises(BadHead, match="target"):
        check_request(asked(target))


@pytest.mark.parametrize("host", [None, "", "a b", "a,b", "a:x", "[::1"])
def test_a_host_that_is_none(host: str | None) -> None:
    with pytest.raises(BadHead, match="Host"):
        check_request(asked(host=host))
    with pytest.raises(BadHead, match="Host"):
        check_request(asked("http://a,b/"))


def test_fields_that_come_once() -> None:
    assert combine([("a", "1"), ("b", "2"), ("a", "3")]) == {"a": "1, 3", "b": "2"}
    with pytest.raises(BadHead, match="origin header comes twice"):
        combine([("origin", "x"), ("origin", "x")])


def test_upgrade_is_one_among_others() -> None:
    assert is_upgrade({"upgrade": "h2c, WebSocket", "connection": "keep-alive, UPGRADE"})
    assert not is_upgrade({"upgrade": "websockets", "connection": "upgrade"})


# --- a server that also answers plain requests ---------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("step", STEPS)
def test_a_plain_request_is_handed_on(method: str, step: int) -> None:
    handshake = ServerHandshake(plain=True)
    data = f"{method} /x HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    results = [handshake.receive(piece) for piece in pieces(data, step)]
    request = results[-1]
    assert isinstance(request, Request) and results[:-1] == [None] * (len(results) - 1)
    assert (request.method, request.path, request.raw) == (method, "/x", data)
    assert not handshake.wants_upgrade
    refusal = handshake.check_upgrade()
    assert refusal is not None and refusal.status == 426
    with pytest.raises(LocalProtocolError, match="check_upgrade"):
        handshake.accept(request)


def test_an_upgrade_is_checked_when_asked() -> None:
    handshake = ServerHandshake(plain=True)
    request = handshake.receive(request_head())
    assert isinstance(request, Request) and handshake.wants_upgrade
    assert handshake.check_upgrade() is None
    assert handshake.accept(request).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("data", [b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_no_request_may_be_is_refused_all_the_same(data: bytes) -> None:
    refusal = ServerHandshake(plain=True).receive(data)
    assert isinstance(refusal, Refusal) and refusal.status == 400


def test_only_get_unless_plain_ones_are_welcome() -> None:
    refusal = ServerHandshake().receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert isinstance(refusal, Refusal) and refusal.status == 405
    assert b"\r\nallow: GET\r\n" in refusal.response
