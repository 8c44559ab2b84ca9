"""wsfast.handshake: both roles, against each other and against whatever a peer may send.

The rules one by one are golden dialogues: tests/golden/handshake-requests.md and -responses.md.
"""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsfast.errors import InvalidURL, LocalProtocolError
from wsfast.handshake import (
    Accepted,
    ClientHandshake,
    Refusal,
    Rejected,
    Request,
    ServerHandshake,
    accept_key,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SIZES = [1, 2, 3, 7, 100_000]
REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com:8080\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\nOrigin: http://example.com:8080\r\nSec-WebSocket-Version: 13\r\n"
    b"Cookie: a=1; b=2\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def feed(handshake, data, size=100_000):
    """Feed all of it in pieces, and return the last answer."""
    result = None
    for at in range(0, len(data), size):
        result = handshake.receive(data[at : at + size])
    return result


def received(data=REQUEST, **options):
    """A server's side that has received a request, and the request."""
    handshake = ServerHandshake(**options)
    request = feed(handshake, data)
    assert isinstance(request, Request), request
    return handshake, request


def replaced(old, new):
    assert old in REQUEST
    return REQUEST.replace(old, new)


def test_the_example_of_the_standard():
    assert accept_key(KEY) == ACCEPT


@pytest.mark.parametrize("size", SIZES)
def test_both_roles_agree(size):
    client = ClientHandshake(
        "ws://user:pass@example.com:8080/a%20b?c=d",
        headers=[("X-Name", "value"), ("User-Agent", "test")],
        cookies={"session": "1", "theme": "dark"},
        origin="https://example.com",
        subprotocols=["v2.chat", "chat"],
        extensions=[("permessage-deflate", [("client_max_window_bits", None)]), ("other", [])],
    )
    server = ServerHandshake()
    request = feed(server, client.request + b"\x81\x80abcd", size)
    assert isinstance(request, Request)
    assert (request.path, request.query, request.host) == ("/a%20b", "c=d", "example.com:8080")
    assert request.cookies == {"session": "1", "theme": "dark"}
    assert request.origin == "https://example.com"
    assert request.authorization == "Basic " + base64.b64encode(b"user:pass").decode()
    assert request.subprotocols == ["v2.chat", "chat"]
    assert [name for name, _ in request.extensions] == ["permessage-deflate", "other"]
    assert request.header("x-name") == "value"
    assert server.trailing == b"\x81\x80abcd"

    chosen = [("permessage-deflate", [("client_max_window_bits", "12")])]
    answer = server.accept(
        request, subprotocol="chat", extensions=chosen, headers={"Set-Cookie": "a=b"}
    )
    result = feed(client, answer + b"\x81\x02hi", size)
    assert isinstance(result, Accepted)
    assert (result.subprotocol, result.extensions) == ("chat", chosen)
    assert result.response.status == 101
    assert result.response.header("set-cookie") == "a=b"
    assert client.trailing == b"\x81\x02hi"


@pytest.mark.parametrize("size", SIZES)
def test_a_refusal_reaches_the_client(size):
    client = ClientHandshake("ws://a/")
    server = ServerHandshake()
    assert isinstance(feed(server, client.request), Request)
    result = feed(client, server.refuse(401, headers=[("X", "1")], body=b"no entry"), size)
    assert isinstance(result, Rejected)
    assert (result.status, result.body) == (401, b"no entry")
    assert result.headers == [("x", "1"), ("content-length", "8"), ("connection", "close")]
    assert "401 Unauthorized" in result.reason


def test_what_a_client_sends():
    client = ClientHandshake("wss://[::1]:444/a?b", key=KEY)
    assert client.request == (
        b"GET /a?b HTTP/1.1\r\nHost: [::1]:444\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert (client.host, client.port, client.secure) == ("::1", 444, True)
    assert client.target == "/a?b"


def test_a_server_writes_the_least_that_is_asked_for():
    handshake, request = received()
    assert handshake.accept(request) == RESPONSE


def test_headers_of_the_caller_replace_ours():
    mine = {"host": "b", "Origin": "null", "authorization": "Bearer x", "Cookie": "z=1"}
    client = ClientHandshake("ws://u:p@a/", origin="http://a", cookies={"a": "1"}, headers=mine)
    _, request = received(client.request)
    assert (request.host, request.origin, request.authorization) == ("b", "null", "Bearer x")
    assert request.cookies == {"z": "1"}


def test_keys_differ():
    keys = {received(ClientHandshake("ws://a/").request)[1].header("sec-websocket-key")}
    keys |= {received(ClientHandshake("ws://a/").request)[1].header("sec-websocket-key")}
    assert len(keys) == 2


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZR==",  # the last four bits belong to no byte
        "dGhlIHNhbXBsZSBub25jZWU=",  # 17 bytes
        "dGhlIHNhbXBsZSBub25j",  # 15 bytes
        "dGhlIHNhbXBsZS-ub25jZQ==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ],
)
def test_a_key_is_the_base64_of_sixteen_bytes(key):
    result = feed(ServerHandshake(), replaced(KEY.encode(), key.encode()))
    assert isinstance(result, Refusal)
    assert result.status == 400
    assert "Sec-WebSocket-Key" in result.reason
    with pytest.raises(LocalProtocolError, match="base64"):
        ClientHandshake("ws://a/", key=key)


@given(st.binary(min_size=16, max_size=16))
def test_every_key_is_taken(raw):
    key = base64.b64encode(raw).decode()
    client = ClientHandshake("ws://a/", key=key)
    server, request = received(client.request)
    assert isinstance(client.receive(server.accept(request)), Accepted)


@pytest.mark.parametrize(
    "version", [b"0", b"8", b"12", b"14", b"013", b"13.0", b"256", b"x", b"13, 8"]
)
def test_other_versions_are_told_ours(version):
    result = feed(ServerHandshake(), replaced(b"Version: 13", b"Version: " + version))
    assert isinstance(result, Refusal)
    assert result.status == 426
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in result.response


@pytest.mark.parametrize(
    "host", [b"a", b"A.b-c_d:80", b"127.0.0.1", b"[::1]", b"[::1]:80", b"a:", b"%41"]
)
def test_hosts(host):
    assert received(replaced(b"example.com:8080\r\nC", host + b"\r\nC"))[1].host == host.decode()


@pytest.mark.parametrize(
    "host", [b"", b"a b", b"a/b", b"a@b", b"a,b", b"::1", b"a:b", b"[a", b"\xe9"]
)
def test_what_is_no_host(host):
    result = feed(ServerHandshake(), replaced(b"example.com:8080\r\nC", host + b"\r\nC"))
    assert isinstance(result, Refusal)
    assert result.status == 400
    assert "Host" in result.reason


@pytest.mark.parametrize(
    "line",
    [
        b"Host: a",
        b"Origin: null",
        b"sec-websocket-key: " + KEY.encode(),
        b"SEC-WEBSOCKET-VERSION: 13",
    ],
)
def test_what_must_come_once(line):
    result = feed(ServerHandshake(), REQUEST[:-2] + line + b"\r\n\r\n")
    assert isinstance(result, Refusal)
    assert result.status == 400
    assert "comes twice" in result.reason


def test_content_length_zero_is_no_body():
    assert received(REQUEST[:-2] + b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "method", [b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b"FOO"]
)
def test_other_methods(method):
    result = feed(ServerHandshake(), replaced(b"GET ", method + b" "))
    assert isinstance(result, Refusal)
    assert result.status == 405
    assert b"\r\nallow: GET\r\n" in result.response


@pytest.mark.parametrize("version", [b"0.9", b"1.0", b"1.2", b"2.0", b"3.0"])
def test_other_versions_of_http(version):
    result = feed(ServerHandshake(), replaced(b"HTTP/1.1", b"HTTP/" + version))
    assert isinstance(result, Refusal)
    assert result.status == 505


@pytest.mark.parametrize("size", SIZES)
def test_limits_are_431(size):
    for options, data in [
        ({"max_head_bytes": len(REQUEST) - 1}, REQUEST),
        ({"max_headers": 8}, REQUEST),
        ({}, b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 2000),
        ({}, b"GET / HTTP/1.1\r\nX: " + b"a" * 65536),
    ]:
        result = feed(ServerHandshake(**options), data, size)
        assert isinstance(result, Refusal)
        assert result.response.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert received(max_head_bytes=len(REQUEST), max_headers=9)


def test_what_comes_after_the_request_is_kept_in_order():
    handshake, request = received(REQUEST + b"\x81")
    assert handshake.receive(b"\x80abcd") is request
    assert handshake.receive(b"") is request
    assert handshake.trailing == b"\x81\x80abcd"
    assert isinstance(handshake.trailing, bytes)


def test_a_refusal_stays():
    handshake = ServerHandshake()
    refusal = handshake.receive(b"\x16\x03\x01")
    assert isinstance(refusal, Refusal)
    assert handshake.receive(REQUEST) is refusal


def test_accept_wants_what_was_received():
    handshake, request = received()
    for other in (ServerHandshake(), received()[0]):
        with pytest.raises(LocalProtocolError, match="receive"):
            other.accept(request)
    assert handshake.accept(request) == handshake.accept(request)


def test_only_what_was_offered_is_accepted():
    handshake, request = received()
    for subprotocol in ("Chat", "chat, superchat", "", "x\r\n"):
        with pytest.raises(LocalProtocolError, match="not offered"):
            handshake.accept(request, subprotocol=subprotocol)
    with pytest.raises(LocalProtocolError, match="'x' was not offered"):
        handshake.accept(request, extensions=[("x", [])])
    with pytest.raises(LocalProtocolError, match="no token"):
        handshake.accept(request, extensions=[("permessage-deflate", [("a\r\nX: y", None)])])


@pytest.mark.parametrize(
    "header",
    [
        ("X", "a\r\nY: b"),
        ("X", "a\n"),
        ("X", "\0"),
        ("X", "\u20ac"),
        ("X Y", "a"),
        ("X\r\nY", "a"),
        ("", "a"),
        ("Connection", "close"),
        ("upgrade", "h2c"),
        ("Sec-WebSocket-Accept", ACCEPT),
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Extensions", "x"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
    ],
)
def test_headers_that_cannot_be_sent(header):
    handshake, request = received()
    with pytest.raises(LocalProtocolError):
        handshake.accept(request, headers=[header])
    with pytest.raises(LocalProtocolError):
        ClientHandshake("ws://a/", headers=[header])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"origin": "a\r\nX: y"}, LocalProtocolError),
        ({"cookies": {"a": "b\r\nX: y"}}, LocalProtocolError),
        ({"subprotocols": ["a", "a"]}, LocalProtocolError),
        ({"subprotocols": "chat"}, TypeError),
        ({"extensions": [("a", [("b", "c d")])]}, LocalProtocolError),
        ({"headers": [("Host", "a"), ("host", "b")]}, LocalProtocolError),
        ({"url": "http://a/"}, InvalidURL),
        ({"url": "ws://a/\r\nX: y"}, InvalidURL),
    ],
)
def test_a_client_that_asks_wrongly(arguments, error):
    with pytest.raises(error):
        ClientHandshake(**{"url": "ws://a/", **arguments})


def test_bytes_after_the_101_are_kept():
    client = ClientHandshake("ws://a/", key=KEY)
    result = client.receive(RESPONSE + b"\x81")
    assert isinstance(result, Accepted)
    assert client.receive(b"\x00") is result
    assert client.trailing == b"\x81\x00"
    assert client.receive_eof() is result


def test_a_body_grows_up_to_its_bound():
    client = ClientHandshake("ws://a/")
    result = client.receive(b"HTTP/1.1 500 Oops\r\n\r\nab")
    assert isinstance(result, Rejected)
    assert client.receive(b"cd") is result
    assert result.body == b"abcd"
    client.receive(b"x" * 100_000)
    assert len(result.body) == 16384
    assert client.trailing == b""


def test_an_end_without_an_answer():
    for sent in (b"", b"HTTP/1.1 101 Swi", b"HTTP/1.1 100 Continue\r\n\r\n"):
        client = ClientHandshake("ws://a/")
        assert client.receive(sent) is None
        result = client.receive_eof()
        assert isinstance(result, Rejected)
        assert (result.status, result.headers, result.body) == (0, [], b"")
        assert "closed the connection" in result.reason
        assert client.receive_eof() is result


def test_interim_answers_share_the_limit():
    client = ClientHandshake("ws://a/", max_head_bytes=1000)
    result = feed(client, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
    assert isinstance(result, Rejected)
    assert "limit" in result.reason


# --- whatever a peer may send -----------------------------------------------------------------

pieces = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"=",
        b'"',
        b"\0",
        b"\xff",
        b"GET ",
        b"x",
    ]
    + [b"Upgrade", b"websocket", b"Host: a\r\n", b"Connection: close\r\n", b"\r\n\r\n"]
    + [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 100 \r\n\r\n"]
) | st.binary(max_size=4)


@st.composite
def mutated(draw, original):
    """The original, with a few places cut out, repeated or overwritten."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 30))] = draw(pieces)
    return bytes(data)


def agree(make, data):
    """The result of a role, which must be the same whole and in pieces, and never raise."""
    whole = make()
    result = feed(whole, data)
    for size in (1, 2, 3, 7):
        cut = make()
        other = feed(cut, data, size)
        assert type(other) is type(result)
        assert getattr(other, "status", None) == getattr(result, "status", None)
        if not isinstance(result, Refusal):
            assert cut.trailing == whole.trailing
    return result


@given(st.binary(max_size=200) | mutated(REQUEST) | mutated(b"\r\n" + REQUEST))
def test_a_server_never_raises_for_what_a_peer_sent(data):
    result = agree(ServerHandshake, data)
    if isinstance(result, Request):
        assert result.header("sec-websocket-version") == "13"
        assert result.host
        assert isinstance(result.query_params, dict)
        assert isinstance(result.cookies, dict)
        assert isinstance(result.extensions + result.subprotocols, list)
        handshake, again = received(data)
        assert handshake.accept(again).startswith(b"HTTP/1.1 101 ")
    elif result is not None:
        assert result.response.startswith(b"HTTP/1.1 %d " % result.status)
        assert result.response.isascii()


@given(st.binary(max_size=200) | mutated(RESPONSE) | mutated(b"HTTP/1.1 100 \r\n\r\n" + RESPONSE))
def test_a_client_never_raises_for_what_a_peer_sent(data):
    result = agree(lambda: ClientHandshake("ws://a/", key=KEY, subprotocols=["chat"]), data)
    if isinstance(result, Accepted):
        assert ACCEPT in result.response.header_values("sec-websocket-accept")
    elif result is not None:
        assert result.reason


@pytest.mark.parametrize(
    ("lines", "version", "may"),
    [
        ("", "1.1", True),
        ("Connection: keep-alive\r\n", "1.1", True),
        ("Content-Length: 0\r\n", "1.1", True),
        ("Connection: close\r\n", "1.1", False),
        ("Connection: a\r\nConnection: Close\r\n", "1.1", False),
        ("", "1.0", False),
        ("Connection: keep-alive\r\n", "1.0", False),
        ("Content-Length: 1\r\n", "1.1", False),
        ("Transfer-Encoding: chunked\r\n", "1.1", False),
        ("Upgrade: websocket\r\nConnection: upgrade\r\n", "1.1", False),
    ],
)
def test_which_plain_request_may_be_followed_by_another(
    lines: str, version: str, may: bool
) -> None:
    handshake = ServerHandshake(plain=True)
    assert not handshake.may_continue
    assert handshake.receive(f"GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n".encode())
    assert handshake.may_continue is may


@pytest.mark.parametrize("host", ["", "Host: a\r\n"])
def test_plain_requests_may_be_of_an_older_version(host: str) -> None:
    """It had no Host (RFC 9112 section 3.2); a WebSocket it cannot ask for."""
    sent = f"GET / HTTP/1.0\r\n{host}\r\n".encode()
    handshake = ServerHandshake(plain=True)
    request = handshake.receive(sent)
    assert isinstance(request, Request) and request.version == "1.0"
    refusal = handshake.check_upgrade()
    assert refusal is not None and refusal.status == 505
    strict = ServerHandshake().receive(sent)
    assert isinstance(strict, Refusal) and strict.status == 505


def test_a_refused_request_is_followed_by_nothing() -> None:
    handshake = ServerHandshake(plain=True)
    assert isinstance(handshake.receive(b"\x16\x03\x01\r\n\r\n"), Refusal)
    assert not handshake.may_continue
