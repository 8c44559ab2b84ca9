"""wsfast.refusal: answers that end the connection."""

from __future__ import annotations

import pytest

from wsfast.errors import LocalProtocolError
from wsfast.refusal import Refusal, write_response


def lines(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


def test_a_refusal_says_why():
    refusal = Refusal(426, "not version 13", [("Sec-WebSocket-Version", "13")])
    head, body = lines(refusal.response)
    assert head == [
        "HTTP/1.1 426 Upgrade Required",
        "Sec-WebSocket-Version: 13",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Length: 15",
        "Connection: close",
    ]
    assert body == b"not version 13\n"


def test_a_refusal_with_a_body_of_its_own():
    refusal = Refusal(403, "not today", {"Content-Type": "application/json"}, b"{}")
    head, body = lines(refusal.response)
    assert head[1:] == ["Content-Type: application/json", "Content-Length: 2", "Connection: close"]
    assert body == b"{}"
    assert lines(Refusal(403, "not today", body=b"").response)[1] == b""
    assert lines(Refusal(403).response) == lines(write_response(403, (), b""))
    assert lines(Refusal(204, "nothing to say").response)[1] == b""


def test_a_refusal_that_cannot_be_sent_raises_at_once():
    for arguments in ((101,), (600,), (403, "", [("X", "a\r\nY: b")]), (204, "", (), b"x")):
        with pytest.raises(LocalProtocolError):
            Refusal(*arguments)


def test_any_answer():
    head, body = lines(write_response(404, {"X": "1", "content-length": "7"}, b"ab\r\n\r\n"))
    assert head == ["HTTP/1.1 404 Not Found", "X: 1", "Content-Length: 6", "Connection: close"]
    assert body == b"ab\r\n\r\n"


def test_a_status_without_a_phrase_keeps_its_space():
    assert write_response(599, [], b"").startswith(b"HTTP/1.1 599 \r\n")


def test_connection_options_are_kept_beside_close():
    head, _ = lines(write_response(426, [("connection", "Upgrade")], b""))
    assert head[-1] == "Connection: Upgrade, close"
    head, _ = lines(write_response(426, [("Connection", "x, Close")], b""))
    assert head[-1] == "Connection: x, Close"


def test_an_answer_that_does_not_end_the_connection():
    head, _ = lines(write_response(200, {"X": "1"}, b"ab", keep=True))
    assert head == ["HTTP/1.1 200 OK", "X: 1", "Content-Length: 2"]
    head, _ = lines(write_response(200, {"Connection": "X"}, b"", keep=True))
    assert head[-1] == "Connection: X"


@pytest.mark.parametrize("status", [204, 304])
def test_no_length_where_there_is_no_body(status):
    assert b"Content-Length" not in write_response(status, [], b"")


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, -1])
def test_a_status_that_refuses_nothing(status):
    with pytest.raises(LocalProtocolError, match=f"status {status}"):
        write_response(status, [], b"")


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_a_body(status):
    with pytest.raises(LocalProtocolError, match=f"status {status} has no body"):
        write_response(status, [], b"x")


@pytest.mark.parametrize(
    "header", [("X", "a\r\nY: b"), ("X\r\n", "a"), ("Transfer-Encoding", "chunked"), ("X", "\0")]
)
def test_headers_that_cannot_be_sent(header):
    with pytest.raises(LocalProtocolError, match=header[0][:1]):
        write_response(400, [header], b"")
