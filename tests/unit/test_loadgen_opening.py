"""wsfast.loadgen.opening: the short way accepts exactly what the full check accepts."""

from __future__ import annotations

import base64

import pytest

pytest.importorskip("httptools")
from wsfast.errors import HandshakeRefused, InvalidURL, LocalProtocolError
from wsfast.handshake import ServerHandshake, accept_key
from wsfast.loadgen.opening import Opener

URL = "ws://127.0.0.1:8000/chat?room=1"


def answer_to(key, **changes):
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", **changes}
    fields.setdefault("Sec-WebSocket-Accept", accept_key(key))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode()


@pytest.fixture(params=["first", "later"])
def opener(request):
    """An opener that has seen no answer yet, and one that takes the short way."""
    opener = Opener(URL)
    if request.param == "later":
        key, _ = opener.request()
        assert opener.judge(key, answer_to(key))
    return opener


def test_requests_are_valid_and_never_repeat(opener):
    keys = set()
    for _ in range(100):
        key, request = opener.request()
        asked = ServerHandshake().receive(request)
        assert asked.target == "/chat?room=1"
        assert dict(asked.headers)["host"] == "127.0.0.1:8000"
        assert dict(asked.headers)["sec-websocket-key"] == key
        assert len(base64.b64decode(key)) == 16
        keys.add(key)
    assert len(keys) == 100


def test_a_valid_answer_whole_and_cut(opener):
    key, _ = opener.request()
    answer = answer_to(key)
    for cut in range(len(answer)):
        assert opener.judge(key, answer[:cut]) is None
    assert opener.judge(key, answer) == len(answer)


def test_frames_behind_the_answer_are_left(opener):
    key, _ = opener.request()
    answer = answer_to(key)
    assert opener.judge(key, answer + b"\x82\x00") == len(answer)


def test_another_valid_answer_is_checked_and_learned(opener):
    for server in ("one", "two", "one"):
        key, _ = opener.request()
        answer = answer_to(key, Server=server)
        assert opener.judge(key, answer) == len(answer)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Sec-WebSocket-Accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, "Accept"),
        ({"Upgrade": "h2c"}, "Upgrade"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate"}, "extensions"),
        ({"Sec-WebSocket-Protocol": "chat"}, "subprotocol"),
    ],
)
def test_invalid_answers(opener, changes, reason):
    key, _ = opener.request()
    with pytest.raises(HandshakeRefused, match=reason):
        opener.judge(key, answer_to(key, **changes))


def test_the_accept_of_another_key_is_refused(opener):
    (key, _), (other, _) = opener.request(), opener.request()
    with pytest.raises(HandshakeRefused, match="Accept"):
        opener.judge(key, answer_to(other))


def test_the_status_of_a_refusal(opener):
    key, _ = opener.request()
    with pytest.raises(HandshakeRefused, match="403") as caught:
        opener.judge(key, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert caught.value.status == 403


def test_what_is_no_http(opener):
    key, _ = opener.request()
    with pytest.raises(HandshakeRefused) as caught:
        opener.judge(key, b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    assert caught.value.status == 0


def test_no_websocket_url():
    with pytest.raises(InvalidURL):
        Opener("http://127.0.0.1/")


def headers_of(request):
    """Names and values of a request, as a server reads them."""
    return ServerHandshake().receive(request)


def test_what_is_added_to_every_request():
    opener = Opener(
        URL,
        headers=[("X-Load", "yes"), ("Cookie", "a=b; c=d")],
        origin="https://example.org",
        subprotocols=["chat", "mqtt"],
    )
    for _ in range(3):
        _, request = opener.request()
        asked = headers_of(request)
        found = dict(asked.headers)
        assert found["x-load"] == "yes"
        assert found["cookie"] == "a=b; c=d"
        assert found["origin"] == "https://example.org"
        assert asked.subprotocols == ["chat", "mqtt"]


def test_a_subprotocol_that_was_not_offered_is_refused():
    opener = Opener(URL, subprotocols=["chat"])
    key, _ = opener.request()
    offered = answer_to(key, **{"Sec-WebSocket-Protocol": "chat"})
    assert opener.judge(key, offered) == len(offered)
    with pytest.raises(HandshakeRefused):
        opener.judge(key, answer_to(key, **{"Sec-WebSocket-Protocol": "mqtt"}))


def test_every_connection_has_its_token():
    opener = Opener(
        "ws://127.0.0.1:8000/?t={token}",
        headers=[("Authorization", "Bearer {token}")],
        tokens=["first", "second"],
    )
    for index, token in enumerate(["first", "second"]):
        key, request = opener.request(index)
        asked = headers_of(request)
        assert asked.target == f"/?t={token}"
        assert dict(asked.headers)["authorization"] == f"Bearer {token}"
        assert opener.judge(key, answer_to(key))


def test_without_tokens_nothing_is_replaced():
    _, request = Opener(URL, headers=[("X-Json", "{}")]).request(5)
    assert dict(headers_of(request).headers)["x-json"] == "{}"


@pytest.mark.parametrize(
    "options",
    [
        {"headers": [("Bad Name", "x")]},
        {"headers": [("X", "a\r\nInjected: y")]},
        {"subprotocols": ["not a token"]},
        {"origin": "a\nb"},
    ],
)
def test_what_cannot_be_sent(options):
    with pytest.raises(LocalProtocolError):
        Opener(URL, **options)
