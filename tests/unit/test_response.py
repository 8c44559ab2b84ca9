"""Plain answers: their bytes, HEAD, redirects, and what would inject a header."""

from __future__ import annotations

import email.utils
import re
import time
from typing import Any

import pytest

from wsfast.errors import LocalProtocolError
from wsfast.handshake import ClientHandshake, Rejected
from wsfast.refusal import Refusal
from wsfast.response import Response, dated, redirect, response_for


def split(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    return line, dict(field.split(": ", 1) for field in fields), body


@pytest.mark.parametrize(
    ("answer", "content_type", "body"),
    [
        ("ok", "text/plain; charset=utf-8", b"ok"),
        ("gr\u00fcn", "text/plain; charset=utf-8", b"gr\xc3\xbcn"),
        (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
        ("", "text/plain; charset=utf-8", b""),
        (Response(body="{}", content_type="application/json"), "application/json", b"{}"),
        (Response(body="<p>", headers={"content-type": "text/html"}), "text/html", b"<p>"),
    ],
)
def test_what_a_handler_returns(answer: Any, content_type: str, body: bytes) -> None:
    line, headers, sent = split(response_for(answer).encode())
    assert line == "HTTP/1.1 200 OK" and sent == body
    named = {name.lower(): value for name, value in headers.items()}
    assert named == {
        "content-type": content_type,
        "content-length": str(len(body)),
        "connection": "close",
    }


@pytest.mark.parametrize("answer", [None, 200, {"status": "ok"}, bytearray(b"x"), ("ok", 200)])
def test_other_answers_are_named(answer: Any) -> None:
    with pytest.raises(TypeError, match=f"returned {type(answer).__name__}, not str"):
        response_for(answer)


@pytest.mark.parametrize("body", ["", "body", b"\r\n\r\n", "gr\u00fcn" * 100])
def test_head_has_the_length_and_no_body(body: str | bytes) -> None:
    response = Response(body=body)
    whole, head = response.encode(), response.encode(head_only=True)
    assert head.endswith(b"\r\n\r\n") and whole.startswith(head)
    line, headers, rest = split(head)
    raw = body.encode() if isinstance(body, str) else body
    assert rest == b"" and headers["Content-Length"] == str(len(raw))
    assert whole == head + raw


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body(status: int) -> None:
    _, headers, body = split(Response(status).encode())
    assert body == b"" and "Content-Length" not in headers and "Content-Type" not in headers
    with pytest.raises(LocalProtocolError, match=f"status {status} has no body"):
        Response(status, "body")


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600])
def test_a_status_out_of_range(status: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"status {status}"):
        Response(status)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-B: 2"},
        {"X-A": "1\nX-B: 2"},
        {"X-A\r\nX-B": "1"},
        {"X-A": "\x00"},
        {"X A": "1"},
        {"X-A": "\u20ac"},
        {"Transfer-Encoding": "chunked"},
    ],
)
def test_no_header_is_injected(headers: dict[str, str]) -> None:
    with pytest.raises(LocalProtocolError, match="header"):
        Response(headers=headers)
    with pytest.raises(LocalProtocolError, match="header"):
        Response(content_type="text/plain\r\nX: 1")


@pytest.mark.parametrize("given", ["", "close", "Keep-Alive", "a, CLOSE"])
def test_a_connection_that_is_kept(given: str) -> None:
    response = Response(body="x", headers={"Connection": given} if given else {})
    closes = "close" in given.lower()
    assert response.closes is closes
    line, headers, body = split(response.encode(keep=True))
    assert (line, headers.get("Connection"), body) == ("HTTP/1.1 200 OK", given or None, b"x")
    _, headers, _ = split(response.encode())
    assert headers["Connection"].lower().endswith("close")
    assert response.encode(keep=True, head_only=True) == response.encode(keep=True)[:-1]


@pytest.mark.parametrize("body", [b"", b"x", b"\r\nDate: no\r\n\r\nx"])
def test_the_date_is_put_in_once(body: bytes) -> None:
    """RFC 9110 section 6.6.1: in the head, in the one form that is allowed (section 5.6.7)."""
    written = Response(body=body).encode()
    line, headers, rest = split(dated(written))
    assert line == "HTTP/1.1 200 OK" and rest == body
    assert re.fullmatch(
        r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
        headers["Date"],
    )
    moment = email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    assert abs(moment - time.time()) < 60
    assert dated(dated(written)) == dated(written)


@pytest.mark.parametrize("name", ["Date", "date", "DATE"])
def test_a_date_of_ones_own_stays(name: str) -> None:
    written = Response(headers={name: "Tue, 15 Nov 1994 08:12:31 GMT"}).encode()
    assert dated(written) == written


def test_the_length_cannot_lie() -> None:
    _, headers, body = split(Response(body="abc", headers={"Content-Length": "1"}).encode())
    assert headers["Content-Length"] == "3" and body == b"abc"


def test_a_content_type_stands_in_one_place() -> None:
    with pytest.raises(LocalProtocolError, match="Content-Type as well"):
        Response(headers={"Content-Type": "a/b"}, content_type="c/d")


def test_a_body_of_another_type() -> None:
    with pytest.raises(TypeError, match="the body is list"):
        Response(body=[])  # type: ignore[arg-type]


def test_a_client_can_read_it() -> None:
    client = ClientHandshake("ws://a/")
    result = client.receive(Response(503, "busy", {"Retry-After": "3"}).encode())
    assert isinstance(result, Rejected)
    assert (result.status, result.body) == (503, b"busy")
    assert ("retry-after", "3") in result.headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(status: int) -> None:
    refusal = redirect("https://elsewhere.example/x", status)
    assert isinstance(refusal, Refusal)
    line, headers, _ = split(refusal.response)
    assert line.startswith(f"HTTP/1.1 {status} ")
    assert headers["Location"] == "https://elsewhere.example/x"


def test_redirects_that_are_none() -> None:
    with pytest.raises(LocalProtocolError, match="status 200 redirects nobody"):
        redirect("/", 200)
    with pytest.raises(LocalProtocolError, match="Location"):
        redirect("/\r\nSet-Cookie: a=b")
